"""Step weights held to their settings: what was changed is found, and weights come out again."""

from __future__ import annotations

import json

import pytest
from support.models import make_model
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.scoring.step_scores import settings_path

MODEL = make_model(bos=True)
HEADS = wb.HeadSet.of([(0, 1), (1, 3), (2, 2)], MODEL)
TEXTS = [
    "Let x be 3.\n\nThen y is 5.\n\nThe sum is 8.",
    "One step. It goes on.\n\nAnd another, longer one.",
]


def documents():
    return [wb.Document(f"d{i}", text, "trace", "a.jsonl", i) for i, text in enumerate(TEXTS)]


@pytest.fixture
def written(tmp_path):
    made = wb.step_influence(MODEL, HEADS, documents(), max_tokens=200)
    return made.write(tmp_path / "steps.jsonl")


def with_settings(path, change):
    """Write settings that were changed, with the digest of the file as it is."""
    stated = json.loads(settings_path(path).read_text())
    change(stated["settings"])
    settings_path(path).write_text(json.dumps(stated))


def test_as_far_as_what_is_given_allows(written):
    alone = wb.verify_steps(written)
    assert (alone["documents"], alone["steps"], alone["texts"], alone["scored_again"]) == (
        2, 5, 0, 0
    )  # fmt: skip
    assert wb.verify_steps(written, documents=documents())["texts"] == 2
    whole = wb.verify_steps(written, MODEL, documents())
    assert whole["scored_again"] == 2
    settings = whole["settings"]
    assert settings["model"] == MODEL.identity
    assert wb.HeadSet.from_json(settings["heads"]) == HEADS
    assert (settings["mode"], settings["max_tokens"]) == ("uniform", 200)
    assert settings["steps_by"]["name"] == "blank line"
    assert settings["certificate"]["ok"]


def test_steps_of_a_function_are_cut_by_it_again(tmp_path):
    made = wb.step_influence(MODEL, HEADS, documents(), by=by_word)
    path = made.write(tmp_path / "steps.jsonl")
    stated = wb.verify_steps(path)["settings"]["steps_by"]
    assert stated["function"].endswith(":by_word")
    assert len(stated["source_sha256"]) == 64
    assert wb.verify_steps(path, MODEL, documents(), by=by_word)["scored_again"] == 2
    with pytest.raises(ValueError, match=r"cut by the function .*give it as by="):
        wb.verify_steps(path, MODEL, documents())
    with pytest.raises(ValueError, match="has other steps"):
        wb.verify_steps(path, MODEL, documents(), by="sentence")


def by_word(text):
    return [word + " " for word in text.split(" ")[:-1]] + [text.split(" ")[-1]]


def test_a_mode_with_a_reference_set(tmp_path):
    mine = wb.reference_set("step-weights", ["another text, of letters", "and one more of them"])
    path = wb.step_influence(MODEL, HEADS, documents(), mode=mine.resample).write(
        tmp_path / "steps.jsonl"
    )
    assert wb.verify_steps(path, MODEL, documents())["scored_again"] == 2
    with_settings(path, lambda settings: settings["reference"].update(sha256="0" * 64))
    with pytest.raises(ValueError, match="make it with reference_set"):
        wb.verify_steps(path, MODEL, documents())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.update(mode="zero"), "has other weights or score"),
        (lambda s: s["heads"].update(heads="L0H1"), "has other weights or score"),
        (lambda s: s.update(max_tokens=20), "has other weights or score"),
        (lambda s: s["steps_by"].update(name="sentence"), "has other steps"),
        (lambda s: s["model"].update(weights_sha256="0" * 64), "weights_sha256 of the given model"),
        (lambda s: s["model"].update(simulate="nf4"), "loaded with simulate=None"),
    ],
)
def test_other_settings_are_found(written, change, says):
    with_settings(written, change)
    with pytest.raises(ValueError, match=says):
        wb.verify_steps(written, MODEL, documents())


def test_a_changed_file_and_a_changed_text_are_found(written):
    other = [wb.Document(d.doc_id, d.text + "!", d.domain, d.source, d.row) for d in documents()]
    with pytest.raises(ValueError, match="has another text there"):
        wb.verify_steps(written, documents=other)
    with pytest.raises(ValueError, match="is not in the corpus"):
        wb.verify_steps(written, documents=documents()[:1])
    written.write_text(written.read_text().replace("d0", "d7"))
    with pytest.raises(ValueError, match="was changed since it was written"):
        wb.verify_steps(written)


def test_a_weight_that_was_forged_with_its_digest_is_found(written, tmp_path):
    stated = json.loads(settings_path(written).read_text())["settings"]
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    rises = max(range(3), key=lambda step: lines[0]["steps"][step][2])
    lines[0]["steps"][rises][2] *= 1.05
    made = wb.step_influence(MODEL, HEADS, documents(), max_tokens=200)
    steps = made.steps.copy()
    steps.loc[steps["document"] == 0, "weight"] = [step[2] for step in lines[0]["steps"]]
    forged = wb.scoring.StepInfluence(steps, made.documents, stated).write(tmp_path / "f.jsonl")
    with pytest.raises(ValueError, match="'d0' has other weights"):
        wb.verify_steps(forged, MODEL, documents())


def test_missing_files_are_named(tmp_path, written):
    with pytest.raises(ValueError, match=r"nothing.jsonl' is not there"):
        wb.verify_steps(tmp_path / "nothing.jsonl")
    settings_path(written).unlink()
    with pytest.raises(ValueError, match=r"settings.json' is not there; give a file that"):
        wb.verify_steps(written)


def test_the_command(tmp_path):
    MODEL.hf.save_pretrained(tmp_path / "model")
    MODEL.tokenizer.save_pretrained(tmp_path / "model")
    lines = [json.dumps({"id": d.doc_id, "text": d.text}) for d in documents()]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (tmp_path / "others.jsonl").write_text('{"text": "of letters"}\n{"text": "of more"}')
    words = ["steps", tmp_path / "a.jsonl", "--model", tmp_path / "model", "--context", 64]
    words += ["--out", tmp_path / "s.jsonl", "--reference", tmp_path / "others.jsonl"]

    def run(*more):
        return CliRunner().invoke(app, [str(word) for word in (*words, *more)])

    made = run("--heads", "L0H1", "--mode", "resample")
    assert made.exit_code == 0, made.output
    found = run("--verify", "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["scored_again"] == 2
    assert (
        "5 steps of 2 documents are as written; 2 documents scored again" in run("--verify").stdout
    )
    (tmp_path / "a.jsonl").write_text("\n".join(lines).replace("sum", "total"))
    changed = run("--verify")
    assert changed.exit_code == 1
    assert "has another text there" in " ".join(changed.stderr.split())
    # The file alone is looked at before a model is loaded: here there is none.
    (tmp_path / "s.jsonl").write_text("{}\n")
    damaged = run("--verify", "--model", tmp_path / "no model here")
    assert damaged.exit_code == 1
    assert "was changed since it was written" in " ".join(damaged.stderr.split())
