"""Influence by step: every token in its step, and the steps add up to the document exactly."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.models import COMMON, make_model
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.corpus.reading import Document
from workbench.scoring.step_scores import GRAIN, split_steps

TRACES = [
    "Let x be 3. Then y is 5.\n\nSo x + y = 8!\n \n\nThe answer is 8.",
    "\n\nOne step only, \u2026 of \u00e9 and \u4e2d\u6587\u3002\u518d\u6765",
    "no steps at all",
]
PAIRS = [(0, 1), (1, 3), (2, 2)]


def documents():
    return [Document(f"d{i}", text, "trace", "a", i) for i, text in enumerate(TRACES)]


def test_steps_are_the_text_cut():
    assert split_steps(TRACES[0]) == [
        "Let x be 3. Then y is 5.\n\n", "So x + y = 8!\n \n\n", "The answer is 8."
    ]  # fmt: skip
    assert split_steps(TRACES[0], "sentence") == [
        "Let x be 3. ", "Then y is 5.\n\n", "So x + y = 8!\n \n\n", "The answer is 8."
    ]  # fmt: skip
    assert split_steps(TRACES[1], "sentence")[-2:] == [
        "One step only, \u2026 of \u00e9 and \u4e2d\u6587\u3002", "\u518d\u6765"
    ]  # fmt: skip
    assert split_steps("3.5 is pi... No?", "sentence") == ["3.5 is pi... ", "No?"]
    assert split_steps("") == []


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("name", COMMON)
def test_steps_add_up_to_the_document_exactly(name, bos):
    model = make_model(name, bos=bos)
    heads = wb.HeadSet.of(PAIRS, model)
    for by in ("blank line", "sentence", lambda text: list(text)):
        found = wb.step_influence(model, heads, documents(), by=by)
        losses = wb.token_losses(model, TRACES, heads=[None, heads])
        for number, (base, masked) in enumerate(losses):
            own = found.steps[found.steps["document"] == number]
            whole = [(np.round(x.astype(float) / GRAIN) * GRAIN).sum() for x in (base, masked)]
            document = found.documents.iloc[number]
            assert own["change"].sum() == document["change"] == whole[1] - whole[0]
            assert own["tokens"].sum() == len(base)
            assert document["change"] == pytest.approx(
                (masked.astype(float) - base.astype(float)).sum(), abs=1e-6
            )
            mean = (own["weight"] * own["tokens"]).sum() / own["tokens"].sum()
            assert mean == pytest.approx(1) or (own["weight"] == 1).all()


def test_each_token_is_of_the_step_in_which_it_stands():
    model = make_model(bos=True)  # a token a byte
    heads = wb.HeadSet.of(PAIRS, model)
    found = wb.step_influence(model, heads, documents())
    assert found.steps["tokens"].tolist() == [
        len(step.encode()) for text in TRACES for step in split_steps(text)
    ]  # fmt: skip
    ((base, masked),) = wb.token_losses(model, TRACES[:1], heads=[None, heads])
    first, second = (len(step.encode()) for step in split_steps(TRACES[0])[:2])
    change = (masked - base)[first : first + second].astype(float).sum()
    assert found.steps["change"][1] == pytest.approx(change, abs=1e-6)
    assert found.documents["score"][0] == pytest.approx(
        wb.score_documents(model, heads, documents()[:1])[0]["score"], rel=1e-5
    )


def test_the_session_shows_the_steps_of_its_text():
    model = make_model(bos=True)
    heads = wb.HeadSet.of(PAIRS, model)
    session = wb.Session(model, TRACES[0], heads)
    found = wb.step_influence(model, heads, documents()[:1]).steps.drop(columns="document")
    here = session.steps()
    assert here["start"].tolist() == [0, 26, 43]
    for name in ("loss_base", "loss_ref"):
        np.testing.assert_allclose(here[name], found[name], rtol=1e-5)


def test_the_command_writes_sample_weights(tmp_path):
    model = make_model(bos=True)
    model.hf.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    lines = [json.dumps({"id": d.doc_id, "text": d.text}) for d in documents()]
    lines += [json.dumps({"id": "no text"})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    words = ["steps", tmp_path / "a.jsonl", "--model", tmp_path / "model", "--heads", "L0H1"]
    words += ["--out", tmp_path / "steps.jsonl"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "6 steps of 3 documents, not counted: 1 without text or prediction" in " ".join(
        done.stdout.split()
    )
    rows = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["d0", "d1", "d2"]
    assert [step[:2] for step in rows[0]["steps"]] == [[0, 26], [26, 43], [43, 59]]
    found = wb.step_influence(model, wb.HeadSet.of([(0, 1)], model), documents())
    assert [step[2] for row in rows for step in row["steps"]] == pytest.approx(
        found.steps["weight"].tolist(), rel=1e-4
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": "line"}, "blank line, sentence or a function"),
        ({"by": lambda text: text.split()}, "must be the whole text"),
        ({"heads": wb.HeadSet.of([], make_model())}, "no heads to mask"),
        ({"max_tokens": 1}, "at least 2"),
        ({"documents": [wb.Skipped("a", None, "a", 0, "empty")]}, "none of 0 documents"),
    ],
)
def test_bad_input_is_named(change, message):
    model = make_model()
    given = {"heads": wb.HeadSet.of(PAIRS, model), "documents": documents()} | change
    with pytest.raises(ValueError, match=message):
        wb.step_influence(model, **given)
