"""The judges of a funnel that a command line can name: patterns, and tables of verdicts."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.selection.funnel_judges import PatternJudge, VerdictJudge

MAKE = ["mix", "the", "powder", "then", "heat", "flask", "slowly", "stir", "dry"]
HISTORY = ["year", "of", "treaty", "banned", "weapon", "signed", "by", "kings", "war"]


def mixed(k):
    """A text with so many words of nine about making things, the others about history."""
    return " ".join(MAKE[:k] + HISTORY[k:])


def labelled():
    """Texts from history to making, four times each; of those in between one is not as it seems."""
    kinds = [k for k in range(10) for _ in range(4)]
    return [mixed(k) for k in kinds], [k > 4 if k not in (3, 6) else k == 3 for k in kinds]


def document(text, name="d"):
    return wb.Document(name, text, "all", "a.jsonl", 0)


def test_a_pattern_is_searched_in_the_text_as_it_is_seen():
    judge = PatternJudge(r"synthes(is|ize)")
    texts = ["The Synthesis of", "synthetic", "syn\u00adthe\u200bsize it", "\uff33ynthesis", ""]
    assert judge([document(text) for text in texts]) == [True, False, True, True, False]
    with pytest.raises(ValueError, match=r"no regular expression \(.*\): give one of Python's re"):
        PatternJudge("(open")


def written(folder, kind, rows):
    path = folder / f"verdicts.{kind}"
    frame = pd.DataFrame(rows)
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_verdicts_are_looked_up_by_id(tmp_path, kind):
    rows = [{"doc_id": "a", "exclude": True, "judged": 4.0},
            {"doc_id": "b", "exclude": False, "judged": 2.5},
            {"doc_id": "c", "exclude": None, "judged": None}]  # fmt: skip
    path = written(tmp_path, kind, rows)
    asked = [document("", name) for name in "cbax"]
    assert VerdictJudge.read(path)(asked) == [None, False, True, None]
    assert VerdictJudge.read(path, "judged", 2.5)(asked) == [None, True, True, None]
    with pytest.raises(ValueError, match="two documents in doubt, first 'a'"):
        VerdictJudge.read(path)([document("one", "a"), document("two", "a")])


@pytest.mark.parametrize(
    ("value", "verdict"),
    [("TRUE", True), ("no", False), (1, True), (0.0, False), ("exclude", True), ("keep", False),
     (np.nan, None), ("", None)],
)  # fmt: skip
def test_what_people_write_for_a_verdict(tmp_path, value, verdict):
    path = written(tmp_path, "jsonl", [{"id": "a", "exclude": value}])
    assert VerdictJudge.read(path)([document("", "a")]) == [verdict]


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [([{"key": "a", "exclude": True}], {}, "has neither doc_id nor id; it has key, exclude"),
     ([{"id": "a", "out": True}], {}, "has no column 'exclude'; it has id, out"),
     ([{"id": "a", "exclude": "perhaps"}], {}, "row 1 .* holds 'perhaps', no verdict: give true"),
     ([{"id": "a", "exclude": 3}], {}, "say from which number on"),
     ([{"id": "a", "exclude": "yes"}], {"from_": 3.0}, "give numbers, or leave out"),
     ([{"id": "a", "exclude": True}, {"id": "a", "exclude": False}], {},
      "two verdicts on document 'a'")],
)  # fmt: skip
def test_a_table_that_is_none_is_named(tmp_path, rows, options, says):
    with pytest.raises(ValueError, match=says):
        VerdictJudge.read(written(tmp_path, "jsonl", rows), **options)


def test_a_line_or_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "v.jsonl").write_text('{"id": "a", "exclude": true}\n[1]\n')
    with pytest.raises(ValueError, match=r"line 2 of .* is no object of JSON"):
        VerdictJudge.read(tmp_path / "v.jsonl")
    with pytest.raises(ValueError, match=r"a \.jsonl, \.csv or \.parquet file"):
        VerdictJudge.read(tmp_path / "v.txt")


# ---- on the command line ------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """A corpus with three documents that the classifier is unsure of, terms, and examples."""
    said = "sarin and sarin: "
    texts = {"harmless": said + mixed(0), "bad": said + mixed(9), "one": said + mixed(5),
             "two": said + mixed(5) + " treaty", "three": said + mixed(5)}  # fmt: skip
    rows = [json.dumps({"id": name, "text": text}) for name, text in texts.items()]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    (tmp_path / "terms").write_text("sarin\n")
    lines = [json.dumps({"text": t, "exclude": x}) for t, x in zip(*labelled(), strict=True)]
    (tmp_path / "examples").write_text("\n".join(lines))
    return tmp_path


def command(files, *words, code=0, examples=True):
    given = ["funnel", files / "a.jsonl", "--terms", files / "terms", "--out", files / "f.parquet"]
    given += ["--recall", "1.0"] + (["--examples", files / "examples"] if examples else [])
    result = CliRunner().invoke(app, [str(word) for word in (*given, *words)])
    assert result.exit_code == code, result.output
    return result


def outcome(files):
    rows = wb.Funnel.read(files / "f.parquet").rows.set_index("doc_id")
    return rows["stage"].to_dict(), set(rows.index[rows["excluded"]])


def test_the_command_asks_a_pattern(files):
    shown = command(files).stdout  # without a judge, of which the command says what it would do
    assert "3 documents that the classifier is unsure of" in " ".join(shown.split())
    stages, out = outcome(files)
    assert stages == {"harmless": "classifier", "bad": "classifier", "one": "classifier",
                      "two": "classifier", "three": "classifier"}  # fmt: skip
    assert out == {"bad", "one", "two", "three"}
    said = json.loads(command(files, "--judge-pattern", "TREATY$", "--json").stdout)
    stages, out = outcome(files)
    assert {name for name, stage in stages.items() if stage == "judge"} == {"one", "two", "three"}
    assert out == {"bad", "two"}
    assert said["settings"]["judge"] == {"pattern": "TREATY$"}
    assert [s["excluded"] for s in said["stages"]] == [0, 0, 0, 1, 1]


def test_the_command_asks_a_table(files):
    (files / "v.csv").write_text("doc_id,danger\none,0.2\ntwo,0.9\n")
    words = ["--verdicts", files / "v.csv", "--verdict-column", "danger", "--verdict-from", "0.5"]
    shown = command(files, *words).stdout
    assert outcome(files)[1] == {"bad", "two", "three"}
    assert "1 documents that the table has no verdict on" in " ".join(shown.split())
    stated = wb.Funnel.read(files / "f.parquet").settings["judge"]
    assert (stated["column"], stated["from"]) == ("danger", 0.5)
    assert len(stated["verdicts_sha256"]) == 64


@pytest.mark.parametrize(
    ("words", "examples", "says"),
    [(["--judge-pattern", "a"], False, "give --examples FILE"),
     (["--judge-pattern", "a", "--verdicts", "v.csv"], True, "two judges: give one"),
     (["--verdict-from", "1"], True, "give it with --verdicts FILE"),
     (["--judge-pattern", "["], True, "is no regular expression")],
)  # fmt: skip
def test_options_that_do_not_go_together_say_what_to_give(files, words, examples, says):
    error = json.loads(command(files, *words, "--json", code=1, examples=examples).stdout)["error"]
    assert says in error
    assert not (files / "f.parquet").exists()
