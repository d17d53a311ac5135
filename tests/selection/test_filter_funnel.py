"""The funnel: planted terms end where they should, hidden or not, and the manifest says so."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from support.run_folders import DATE, documents, edit_json, failures, lay_down_run
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.corpus.reading import Document
from workbench.selection.filter_funnel import words_of

TERMS = ["anthrax", "Nerve agent", "sarin"]
HIDDEN = [  # each is one of the terms to a reader
    "anthrax", "ANTHRAX", "an\u00adthrax", "a\u200bn\u200cthrax", "\ufeffsa\u2060rin",
    "nerve agent",
    "Nerve\nAgent", "ne\u00adrve  a\u200dgent", "\uff53\uff41\uff52\uff49\uff4e", "sa\u034frin",
]  # fmt: skip
NEAR = ["sarins", "anthraxes", "nerve agents", "nervous agent", "nerve", "agent", "an thrax"]


def planted(n=1000, seed=0):
    """Documents with 0, 1, 2 and 5 terms, in turn, and how many each has."""
    rng = np.random.default_rng(seed)
    counts = [(0, 1, 2, 5)[i % 4] for i in range(n)]
    made = []
    for i, count in enumerate(counts):
        words = [f"word{j}" for j in rng.integers(0, 500, 40)]
        words += list(rng.choice(NEAR, 2)) + list(rng.choice(HIDDEN, count))
        # A comma between words, so that "nerve" and "agent" of two entries are no phrase.
        text = " , stop ".join(rng.permutation(words))
        made.append({"id": f"d{i}", "text": text, "domain": "ab"[i % 2]})
    return made, counts


def test_planted_terms_end_in_the_stated_stages():
    corpus, counts = planted()
    found = wb.funnel(corpus, TERMS)
    assert found.rows["terms"].tolist() == counts
    stage = {0: "no term", 1: "few terms", 2: "terms", 5: "terms"}
    assert found.rows["stage"].tolist() == [stage[count] for count in counts]
    assert found.rows["excluded"].tolist() == [count >= 2 for count in counts]
    assert found.stages.to_numpy().tolist() == [
        ["no term", 1000, 250, 0], ["few terms", 750, 250, 0], ["terms", 500, 0, 500],
        ["classifier", 0, 0, 0], ["judge", 0, 0, 0],
    ]  # fmt: skip
    assert found.rows["reason"].tolist()[:4] == [
        "0 terms", "1 term, fewer than 2", "2 terms, at least 2", "5 terms, at least 2"
    ]  # fmt: skip
    assert wb.funnel(corpus, TERMS, escalate=3).rows["excluded"].sum() == 250


def test_words_are_those_that_a_reader_sees():
    assert words_of("Stra\u00dfe, na\u00efve co\u00adop\u200b\u2014\ufb01ne_x 12") == [
        "strasse", "na\u00efve", "coop", "fine_x", "12",
    ]  # fmt: skip


def mixed(k):
    """A text with so many words of nine about making things, the others about history."""
    make = ["mix", "the", "powder", "then", "heat", "flask", "slowly", "stir", "dry"]
    history = ["year", "of", "treaty", "banned", "weapon", "signed", "by", "kings", "war"]
    return " ".join(make[:k] + history[k:])


def labelled():
    """Texts from history to making, four times each; of those in between one is not as it seems."""
    kinds = [k for k in range(10) for _ in range(4)]
    return [mixed(k) for k in kinds], [k > 4 if k not in (3, 6) else k == 3 for k in kinds]


def test_the_classifier_decides_and_the_judge_gets_what_is_unsure():
    said = "sarin and sarin: "
    texts = {
        "harmless": said + mixed(0),
        "bad": said + mixed(9),
        "unsure": said + mixed(5),
        "no verdict": said + mixed(5),
        "not asked": mixed(9),
    }
    corpus = [{"id": name, "text": text} for name, text in texts.items()]
    asked = []

    def judge(doubtful):
        asked.extend(document.doc_id for document in doubtful)
        return [None if document.doc_id == "no verdict" else False for document in doubtful]

    found = wb.funnel(corpus, TERMS, labelled(), judge, recall=1.0)
    rows = found.rows.set_index("doc_id")
    assert rows["stage"].to_dict() == {
        "harmless": "classifier", "bad": "classifier", "unsure": "judge", "no verdict": "judge",
        "not asked": "no term",
    }  # fmt: skip
    assert rows.index[rows["excluded"]].tolist() == ["bad", "no verdict"]
    assert asked == ["unsure", "no verdict"]
    assert found.stages["reached"].tolist() == [5, 4, 4, 4, 2]
    bounds = found.settings["classifier"]
    assert rows["probability"]["harmless"] < bounds["from"] <= rows["probability"]["unsure"]
    assert rows["probability"]["unsure"] <= bounds["sure_above"] < rows["probability"]["bad"]
    # Without a judge, what is unsure is left out.
    alone = wb.funnel(corpus, TERMS, labelled(), recall=1.0).rows.set_index("doc_id")
    assert alone.index[alone["excluded"]].tolist() == ["bad", "unsure", "no verdict"]


def excluding():
    """The funnel of the corpus of the run folders: every fourth document has two terms."""
    corpus = [Document(d.doc_id, d.text, d.domain, d.source, d.row) for d in documents()]
    return wb.funnel(corpus, ["4", "number 4", "14", "number 14"])


def test_a_selection_leaves_them_out_and_the_manifest_counts_them(tmp_path):
    folder, made = tmp_path / "run", excluding()
    out = set(made.rows.loc[made.rows["excluded"], "doc_id"])
    assert out == {"doc 4", "doc 14"}
    table = lay_down_run(folder)
    chosen = wb.select(table, 0.3, exclude=made)
    assert not out & set(chosen.table["doc_id"])
    assert len(chosen.table) == 22
    kept = table.keep(~table.frame["doc_id"].isin(out))
    pd.testing.assert_frame_equal(chosen.table, wb.select(kept, 0.3).table)
    wb.write_manifest(chosen, folder, date=DATE)
    stated = json.loads((folder / "manifest.json").read_text())
    assert stated["aiw:documents"]["excluded"] == 2
    assert stated["aiw:funnel"]["stages"][2] == {
        "stage": "terms", "reached": 2, "kept": 0, "excluded": 2
    }  # fmt: skip
    checks = wb.verify_manifest(folder).checks.set_index("check")
    assert checks.loc["funnel", "detail"] == "2 of 24 documents excluded, none of them ranked"
    # The files' way gives the same files.
    made.write(tmp_path / "funnel.parquet")
    again = tmp_path / "again"
    lay_down_run(again)
    found = wb.manifest.select_files(again, 0.3, exclude=tmp_path / "funnel.parquet", date=DATE)
    assert found.without_value == 0
    for name in ("manifest.json", "selection.parquet", "selection_excluded.parquet"):
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name


@pytest.mark.parametrize(
    ("stage", "key", "value"),
    [(0, "kept", 21), (2, "excluded", 1), (4, "reached", 3), (0, "reached", 23)],
)
def test_counts_that_do_not_add_up_are_found(tmp_path, stage, key, value):
    folder = tmp_path / "run"
    wb.write_manifest(wb.select(lay_down_run(folder), 0.3, exclude=excluding()), folder)

    def change(manifest):
        manifest["aiw:funnel"]["stages"][stage][key] = value

    edit_json(folder / "manifest.json", change)
    assert failures(folder) == ["funnel"]


def test_a_funnel_of_other_texts_is_refused(tmp_path):
    table, made = lay_down_run(tmp_path / "run"), excluding()
    made.rows["text_sha256"] = "0" * 64
    with pytest.raises(ValueError, match="2 documents have another text"):
        wb.select(table, exclude=made)
    with pytest.raises(ValueError, match="2 documents have another text"):
        wb.manifest.select_files(tmp_path / "run", exclude=made)


def test_the_commands(tmp_path):
    folder, corpus = tmp_path / "run", tmp_path / "a.jsonl"
    lay_down_run(folder)
    corpus.write_text("\n".join(json.dumps({"id": d.doc_id, "text": d.text}) for d in documents()))
    (tmp_path / "terms.txt").write_text("4\nnumber 4\n14\nnumber 14\n")
    words = ["funnel", corpus, "--terms", tmp_path / "terms.txt", "--out", tmp_path / "f.parquet"]
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["stages"][2]["excluded"] == 2
    words = ["select", folder, "--exclude", tmp_path / "f.parquet"]
    assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 0
    assert wb.verify_manifest(folder).ok


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terms": []}, "no terms"),
        ({"terms": "sarin"}, "got one text"),
        ({"escalate": 0}, "from 1"),
        ({"recall": 0}, "recall a share"),
        ({"classifier": (["a"] * 20, [True] * 20)}, "ten to exclude"),
        ({"judge": lambda _: []}, "give classifier= too"),
        ({"judge": lambda _: [1, 2], "classifier": labelled()}, "asked about 1 documents"),
    ],
)
def test_bad_input_is_named(change, message):
    corpus = [{"id": "a", "text": f"sarin, sarin, {mixed(5)}"}]
    with pytest.raises(ValueError, match=message):
        wb.funnel(corpus, **({"terms": TERMS, "recall": 1.0} | change))


def test_what_is_no_funnel_is_refused(tmp_path):
    table = lay_down_run(tmp_path / "run")
    with pytest.raises(TypeError, match="takes what funnel"):
        wb.select(table, exclude=table.frame)
    with pytest.raises(ValueError, match="not the file of a funnel"):
        wb.select(table, exclude=tmp_path / "run" / "run.json")
