"""Score columns: the built-in ones against their formulas, control sets, and columns of a user."""

from __future__ import annotations

import itertools
import json
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.models import make_model
from support.run_folders import edit_json

import workbench as wb
from workbench.scoring import control_sets, score_column
from workbench.scoring.columns.built_in import TokenLosses, contrast
from workbench.scoring.columns.own_columns import _REGISTERED, columns_from_json, columns_named
from workbench.scoring.passages import passages

TEXTS = [
    {"id": f"d{i}", "text": f"text number {i}, text number {i % 3}, and {'ab' * i}", "domain": d}
    for i, d in enumerate("aabbaabb", start=1)
] + [{"id": "short", "text": "abcd", "domain": "a"}]


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def heads(model):
    return wb.HeadSet.parse("L1H0 L2H3", model)


@pytest.fixture(scope="module")
def table(model, heads):
    return wb.score_corpus(model, heads, TEXTS, controls=3)


@pytest.fixture
def hurt():
    @score_column(formula="share of tokens whose loss rises by more than .01 nats")
    def hurt(ids, base, masked, controls):
        assert ids.shape == base.shape == masked.shape == controls.shape[1:]
        return float((masked - base > 0.01).mean()) if len(ids) > 4 else None

    return hurt


def plain_contrast(ids, rise):
    """Token by token, from the definition; `rise` of every token but the first."""
    retrievable, first = [], []
    for i in range(1, len(ids)):
        if ids[i] not in ids[:i]:
            first.append(rise[i - 1])
        elif (ids[i - 1], ids[i]) not in itertools.pairwise(ids[:i]):
            retrievable.append(rise[i - 1])
    return np.mean(retrievable) - np.mean(first) if retrievable and first else None


def test_contrast_is_that_of_the_definition(model, heads, table):
    texts = [document["text"] for document in TEXTS]
    losses = wb.token_losses(model, texts, [None, heads])
    for text, (base, masked), value in zip(texts, losses, table.frame["contrast"], strict=True):
        expected = plain_contrast(model.encode(text), masked.astype(float) - base)
        assert value == pytest.approx(expected) if expected is not None else np.isnan(value)
    assert table.frame["contrast"].isna().tolist() == [False] * 8 + [True]


def test_contrast_needs_tokens_of_both_kinds():
    def of(ids, predicted=None, windows=None):
        predicted = np.arange(len(ids)) > 0 if predicted is None else np.array(predicted)
        base = np.zeros(predicted.sum(), "float32")
        masked = np.arange(1, predicted.sum() + 1, dtype="float32")
        windows = np.array(windows or [0] * len(ids))
        return contrast(
            TokenLosses(np.array(ids), predicted, windows, base, masked, np.zeros((0, 0)))
        )

    assert of([1, 2, 3]) is None  # nothing came before
    assert of([1, 2, 1, 2]) == 2 - 1  # the 1 is retrievable, the last 2 is foretold
    assert of([1, 1, 1]) is None
    # Without a prediction of the 2, no token comes for the first time.
    assert of([1, 2, 1], [False, False, True]) is None
    # The last 1 came before, but in a window that the model does not see any more.
    assert of([1, 2, 1], windows=[0, 0, 1]) is None


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("settings", [{"window": 16}, {"max_tokens": 40, "read": "spread"}])
def test_contrast_is_that_of_what_the_model_sees(bos, settings):
    """A window or passage has nothing before it: the definition is applied to each by itself."""
    model = make_model(bos=bos)
    heads = wb.HeadSet.parse("L1H0 L2H3", model)
    text = " ".join(f"{word} {word[::-1]} text" for word in ("abcde", "bcdef", "cdefg", "abcde"))
    table = wb.score_corpus(model, heads, [{"id": "d", "text": text, "domain": "a"}], **settings)
    ids = model.encode(text)
    if "read" in settings:
        seen = [ids[start:end] for start, end in passages(len(ids), 40, "spread")]
        assert len(seen) > 1
    else:
        stride = 16 - len(model.bos_ids)
        seen = [ids[start : start + stride] for start in range(0, len(ids), stride)]
    retrievable, first = [], []
    texts = [model.tokenizer.decode(part) for part in seen]
    assert [model.encode(part) for part in texts] == seen
    losses = wb.token_losses(model, texts, [None, heads])
    for part, (base, masked) in zip(seen, losses, strict=True):
        rise = masked.astype(float) - base
        offset = len(part) - len(rise)
        for i in range(offset, len(part)):
            if part[i] not in part[:i]:
                first.append(rise[i - offset])
            elif (part[i - 1], part[i]) not in itertools.pairwise(part[:i]):
                retrievable.append(rise[i - offset])
    (value,) = table.frame["contrast"]
    assert value == pytest.approx(np.mean(retrievable) - np.mean(first), abs=1e-6)


def test_the_excess_is_what_the_controls_leave(model, heads, table):
    sets = control_sets(heads, 3)
    losses = wb.token_losses(model, [d["text"] for d in TEXTS], [None, heads, *sets])
    for (base, masked, *controls), row in zip(losses, table.frame.itertuples(), strict=True):
        rises = [x.mean(dtype=float) - base.mean(dtype=float) for x in controls]
        assert row.rise_controls == pytest.approx(np.mean(rises), abs=1e-6)
        assert row.spread_controls == pytest.approx(np.std(rises, ddof=1), abs=1e-6)
        excess = masked.mean(dtype=float) - base.mean(dtype=float) - np.mean(rises)
        assert row.excess == pytest.approx(excess, abs=1e-6)
        assert row.excess_relative == pytest.approx(excess / base.mean(dtype=float), abs=1e-6)
    assert [entry["heads"] for entry in table.run["controls"]] == [
        head_set.to_json()["heads"] for head_set in sets
    ]


def test_controls_leave_the_other_columns_as_they_are(model, heads, table):
    plain = wb.score_corpus(model, heads, TEXTS).frame
    own = ["rise_controls", "spread_controls", "excess", "excess_relative"]
    assert plain[own].isna().all(axis=None)
    kept = plain.columns.drop(own)
    pd.testing.assert_frame_equal(plain[kept], table.frame[kept], rtol=1e-5, atol=1e-6)


def test_a_share_of_the_documents_has_controls_and_the_text_decides_which(model, heads):
    many = [{"text": f"document {i} of this test {i * i}", "domain": "a"} for i in range(24)]
    part = wb.score_corpus(model, heads, many, controls=1, controls_share=0.5).frame
    drawn = part["rise_controls"].notna()
    assert 4 <= drawn.sum() <= 20
    assert (part.loc[drawn, "spread_controls"].isna()).all()  # one set has none
    shifted = wb.score_corpus(model, heads, many[5:], controls=1, controls_share=0.5).frame
    assert shifted["rise_controls"].notna().tolist() == drawn[5:].tolist()


@pytest.mark.parametrize("match", ["none", "layers", "effects"])
def test_control_sets_have_as_many_heads_and_none_of_them(model, heads, match):
    effects = np.arange(model.num_layers * model.num_heads, dtype=float)
    effects = effects.reshape(model.num_layers, model.num_heads)
    asked = effects if match == "effects" else match
    sets = control_sets(heads, 4, seed=7, match=asked)
    assert sets == control_sets(heads, 4, seed=7, match=asked)
    assert len(set(sets)) > 1
    for drawn in sets:
        assert len(drawn) == len(heads)
        assert not drawn & heads
        if match == "layers":
            assert [head.layer for head in drawn] == [head.layer for head in heads]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "at least one control set"),
        ({"match": "layer"}, "match must be"),
        ({"match": np.zeros((1, 1))}, "array of shape"),
    ],
)
def test_control_sets_that_cannot_be_drawn_are_named(heads, options, message):
    with pytest.raises(ValueError, match=message):
        control_sets(heads, **options)


def test_a_layer_without_other_heads_is_named(model):
    every = wb.HeadSet.of([(1, head) for head in range(model.num_heads)], model)
    with pytest.raises(ValueError, match="layer 1 has no other head left"):
        control_sets(every, match="layers")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"controls": -1}, ValueError, "from 0, got -1"),
        ({"controls": "five"}, TypeError, "how many head sets"),
        ({"controls": 1, "controls_share": 0}, ValueError, r"in \(0, 1\]"),
        ({"columns": ["unknown"]}, ValueError, "no score column 'unknown'.*contrast"),
        ({"columns": "hurt"}, ValueError, "a list of names"),
        ({"columns": [len]}, ValueError, "is no score column: put @score_column"),
    ],
)
def test_what_cannot_be_asked_for_is_named(model, heads, options, error, message):
    with pytest.raises(error, match=message):
        wb.score_corpus(model, heads, TEXTS[:2], **options)


@pytest.mark.parametrize(
    ("name", "formula", "message"),
    [
        ("score", "x", "a column of every score table"),
        ("Hurt", "x", "small letters"),
        ("a b", "x", "small letters"),
        ("fine", " ", "needs a formula"),
    ],
)
def test_names_that_no_column_can_have(name, formula, message):
    with pytest.raises(ValueError, match=message):
        score_column(formula=formula, name=name)(lambda *_: 0.0)
    assert name not in _REGISTERED


@pytest.mark.parametrize("value", ["text", True, float("inf"), [1.0]])
def test_a_column_that_gives_no_number_is_named_with_the_document(model, heads, hurt, value):
    score_column(formula="broken", name="hurt")(lambda *_: value)
    with pytest.raises(ValueError, match=r"column 'hurt' gave .* for document 'd1'"):
        wb.score_corpus(model, heads, TEXTS[:1], columns=["hurt"])


def test_a_column_that_fails_is_named_with_the_document_and_what_it_was_given(model, heads, hurt):
    score_column(formula="broken", name="hurt")(lambda ids, *_: ids[1000])
    with pytest.raises(ValueError, match="column 'hurt' failed for document 'd1', of which") as one:
        wb.score_corpus(model, heads, TEXTS[:1], columns=["hurt"])
    assert "with 0 control sets: IndexError: " in str(one.value)
    assert isinstance(one.value.__cause__, IndexError)


def test_a_column_of_ones_own_goes_from_the_losses_to_a_verified_manifest(
    model, heads, hurt, tmp_path
):
    table = wb.score_corpus(model, heads, TEXTS, tmp_path, columns=[hurt])
    (base, masked), *_ = wb.token_losses(model, [TEXTS[0]["text"]], [None, heads])
    assert table.frame["hurt"][0] == (masked - base > 0.01).mean()
    assert table.frame["hurt"].isna().tolist() == [False] * 8 + [True]
    pd.testing.assert_frame_equal(wb.load_scores(tmp_path).frame, table.frame)
    selection = wb.select(table, 0.5, by_score="hurt")
    assert (selection.without_value, "ranked by hurt; 1 without" in repr(selection)) == (1, True)
    for _, part in selection.table.groupby("domain"):
        assert part["hurt"].is_monotonic_decreasing
    wb.write_manifest(selection, tmp_path)
    in_memory = (tmp_path / "selection.parquet").read_bytes()
    stated = json.loads((tmp_path / "manifest.json").read_text())["aiw:selection"]
    assert stated["by_score"] == {"column": "hurt", "formula": table.run["columns"][0]["formula"]}
    assert wb.verify_manifest(tmp_path, corpus=TEXTS, model=model, level="scores").ok
    files = wb.select_files(tmp_path, 0.5, by_score="hurt")
    assert (tmp_path / "selection.parquet").read_bytes() == in_memory
    assert files.without_value == 1
    # Another process knows nothing of the function: it must neither guess nor say that all is well.
    del _REGISTERED["hurt"]
    report = wb.verify_manifest(tmp_path, corpus=TEXTS, model=model, strict=False)
    assert report.ok
    assert not wb.verify_manifest(
        tmp_path, corpus=TEXTS, model=model, level="scores", strict=False
    ).ok


def test_another_version_of_a_column_is_not_mixed_in(model, heads, hurt, tmp_path):
    wb.score_corpus(model, heads, TEXTS, tmp_path, columns=["hurt"])

    @score_column(formula="share of tokens whose loss rises by more than .01 nats", name="hurt")
    def changed(ids, base, masked, controls):
        return 0.5

    with pytest.raises(ValueError, match=r"columns: .*not mixed"):
        wb.score_corpus(model, heads, TEXTS, tmp_path, columns=["hurt"])


def test_workers_import_a_column_or_say_that_they_cannot(model, heads, tmp_path, monkeypatch):
    (tmp_path / "own_columns.py").write_text(
        "from workbench.scoring import score_column\n"
        "@score_column(formula='mean masked loss')\n"
        "def masked_loss(ids, base, masked, controls):\n"
        "    return float(masked.mean())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (column,) = columns_named(["own_columns:masked_loss"])
    with pytest.raises(ValueError, match="no score column 'json:masked_loss'"):
        columns_named(["json:masked_loss"])  # that of another module
    assert columns_from_json([column.to_json()]) == (column,)
    with pytest.raises(ValueError, match="another version"):
        columns_from_json([column.to_json() | {"source_sha256": "0" * 64}])
    with pytest.raises(ValueError, match="not into a notebook"):
        columns_from_json([column.to_json() | {"function": "no_such_module:masked_loss"}])
    del sys.modules["own_columns"]


@pytest.mark.parametrize("column", ["contrast", "excess", "rise", "score_novel", "tokens"])
def test_built_in_columns_rank_the_same_in_memory_and_from_files(model, heads, tmp_path, column):
    table = wb.score_corpus(model, heads, TEXTS, tmp_path, controls=1)
    wb.write_manifest(wb.select(table, 0.4, by_score=column), tmp_path)
    in_memory = (tmp_path / "selection.parquet").read_bytes()
    assert wb.verify_manifest(tmp_path, corpus=TEXTS, model=model).ok
    files = wb.select_files(tmp_path, 0.4, by_score=column)
    assert (tmp_path / "selection.parquet").read_bytes() == in_memory
    assert files.without_value == (1 if column == "contrast" else 0)
    ranked = pq.read_table(tmp_path / "selection.parquet").to_pandas()
    for _, part in ranked.groupby("domain"):
        assert part[column].is_monotonic_decreasing
    # Whoever states another column than the ranking follows is found out.
    other = "score" if column != "score" else "rise"

    def edit(manifest):
        manifest["aiw:selection"]["by_score"] = {"column": other, "formula": "x"}

    edit_json(tmp_path / "manifest.json", edit)
    assert "ranks and thresholds" in str(wb.verify_manifest(tmp_path, strict=False).failed)


def test_a_ranking_by_what_no_score_file_holds_becomes_no_manifest(table, tmp_path):
    scored = wb.scorers(table)
    selection = wb.select(scored, by_score="length")
    with pytest.raises(ValueError, match="no run record"):
        wb.write_manifest(selection, tmp_path)
    kept = wb.scoring.ScoreTable(scored, table.run, table.skipped)
    with pytest.raises(ValueError, match="ranked by 'length', no column of the score files"):
        wb.write_manifest(wb.select(kept, by_score="length"), tmp_path)


@pytest.mark.parametrize(
    ("by_score", "message"),
    [
        ("doc_id", "no column of numbers"),
        ("nothing", "no column of numbers"),
        ("excess", "no document has a value of 'excess': no control sets were masked"),
    ],
)
def test_what_cannot_be_ranked_by_is_named(model, heads, by_score, message):
    plain = wb.score_corpus(model, heads, TEXTS)
    with pytest.raises(ValueError, match=message):
        wb.select(plain, by_score=by_score)
