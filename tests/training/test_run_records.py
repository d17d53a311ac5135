"""Training runs as a table: what a folder, a result, arms, a file or a frame tells of each."""

from __future__ import annotations

import pandas as pd
import pytest

import workbench as wb
from workbench.training.checkpointing import RESUME


def documents_of(first, last, domain="sums"):
    return [
        wb.Document(f"{domain}{i}", f"{i} and {i} make {2 * i}, and once more {3 * i}. " * 4,
                    domain, "memory", i)
        for i in range(first, last)
    ]  # fmt: skip


DOCUMENTS = documents_of(0, 30)
HELD_OUT = documents_of(40, 43) + documents_of(50, 53, "other")
TOKENIZER = wb.train_tokenizer([document.text for document in DOCUMENTS], 280)
RECIPE = wb.Recipe(wb.Decoder(2, 32, 2, 1, context=32), steps=6, batch=4, learning_rate=2e-3)


def train(out=None, recipe=RECIPE, **more):
    options = {"tokenizer": TOKENIZER, "held_out": HELD_OUT, "evaluate_every": 3, "out": out}
    return wb.pretrain(DOCUMENTS, recipe, **options | more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs side by side, the second of two sizes of decoder and another seed."""
    folder = tmp_path_factory.mktemp("runs")
    train(folder / "small")
    wide = wb.Recipe(wb.Decoder(2, 64, 2, 1, context=32), steps=6, batch=8, learning_rate=1e-3)
    train(folder / "wide", wide, seed=3)
    return folder


def test_a_folder_of_runs_is_a_table(folder):
    table = wb.training_runs(folder)
    assert table["run"].tolist() == ["small", "wide"]
    assert table["batch_tokens"].tolist() == [4 * 32, 8 * 32]
    assert table["tokens"].tolist() == [6 * 4 * 32, 6 * 8 * 32]
    assert table["learning_rate"].tolist() == [2e-3, 1e-3]
    assert table["seed"].tolist() == [0, 3]
    assert table["finished"].all()
    assert table["params"][1] > 2 * table["params"][0]
    assert list(table.columns)[-2:] == ["loss (other)", "loss (sums)"]
    mean = (table["loss (other)"] + table["loss (sums)"]) / 2
    pd.testing.assert_series_equal(table["loss"], mean, check_names=False)
    assert wb.training_runs(str(folder / "wide"))["run"].tolist() == ["wide"]


def test_params_are_counted_without_embeddings(folder):
    model = wb.load_model(folder / "small" / "step-000006")
    every = sum(weight.numel() for weight in model.hf.parameters())
    ends = [model.hf.model.embed_tokens.weight, model.hf.lm_head.weight]
    row = wb.training_runs(folder).iloc[0]
    assert row["params_all"] == every
    assert row["params"] == every - sum(weight.numel() for weight in ends)


def test_a_result_tells_what_its_folder_tells(folder):
    told = wb.training_runs(folder / "small").iloc[0]
    with_folder = wb.training_runs(train(folder / "small")).iloc[0]
    assert with_folder.drop("run").equals(told.drop("run"))
    alone = wb.training_runs({"mine": train()}).iloc[0]
    assert (alone["run"], alone["finished"]) == ("mine", True)
    for name in ("params", "params_all", "tokens", "batch_tokens", "learning_rate"):
        assert alone[name] == told[name], name
    assert alone["loss"] == pytest.approx(told["loss"])
    assert pd.isna(alone["seed"])  # a result does not hold its recipe


def test_a_stopped_run_is_not_finished(tmp_path, monkeypatch):
    from workbench.training import pretraining

    really, done = pretraining._Loop.step, []

    def step(self, rows):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(1)
        return really(self, rows)

    monkeypatch.setattr(pretraining._Loop, "step", step)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", save_every=2)
    row = wb.training_runs(tmp_path).iloc[0]
    assert not row["finished"]
    assert row["tokens"] == 3 * 4 * 32  # where it was last evaluated
    assert row["loss"] > 0


def test_arms_are_runs(tmp_path):
    arms = wb.train_arms(
        DOCUMENTS, {"all": None, "half": [1] * 15 + [0] * 15}, RECIPE, tokenizer=TOKENIZER,
        held_out=HELD_OUT, seeds=(0, 1), out=tmp_path / "arms",
    )  # fmt: skip
    table = wb.training_runs(arms)
    assert table["run"].tolist() == ["all, seed 0", "half, seed 0", "all, seed 1", "half, seed 1"]
    assert table["seed"].tolist() == [0, 0, 1, 1]
    last = arms.course[(arms.course["step"] == 6) & (arms.course["domain"] == "mean of domains")]
    assert table["loss"].tolist() == pytest.approx(last["loss"].tolist())
    assert len(wb.training_runs(tmp_path / "arms")) == 4
    with pytest.raises(ValueError, match="train them with out="):
        wb.training_runs(wb.Arms(arms.course, arms.documents, arms.tasks, {}))


def test_own_tables_and_files(tmp_path, folder):
    own = wb.synthetic_runs(0.002)
    table = wb.training_runs(own)
    assert table["run"].tolist()[:2] == ["run 0", "run 1"]
    assert table["finished"].all()
    assert table["seed"].isna().all()
    own.assign(width=7).to_csv(tmp_path / "runs.csv", index=False)
    assert wb.training_runs(tmp_path / "runs.csv")["width"].tolist() == [7] * 48
    both = wb.training_runs([folder, own])
    assert len(both) == 50
    diverged = wb.training_runs(own.assign(loss=own["loss"].where(own.index > 0)))
    assert diverged["finished"].tolist() == [False] + [True] * 47
    fit = wb.refit("hoffmann", table, resamples=0)
    assert fit.law.constants["E"] == pytest.approx(1.69, abs=0.1)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda own, _: own.drop(columns="tokens"), r"lacks the columns \['tokens'\]"),
        (lambda own, _: own.drop(columns="loss"), r"lacks the columns \['loss'\]"),
        (lambda own, _: own.assign(params="125M"), "write 125M as 125e6"),
        (lambda own, _: own.assign(loss=-1), "not above 0"),
        (lambda own, _: own.head(0), "there is no training run"),
        (lambda own, _: [], "there is no training run"),
        (lambda own, path: path, "holds no resume.safetensors"),
    ],
)
def test_sources_without_runs(tmp_path, source, message):
    with pytest.raises(ValueError, match=message):
        wb.training_runs(source(wb.synthetic_runs(0), tmp_path))


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / RESUME).write_bytes(b"{}")
    with pytest.raises(ValueError, match="is not what a training run wrote"):
        wb.training_runs(tmp_path)
    with pytest.raises(FileNotFoundError):
        wb.training_runs(tmp_path / "nothing.csv")
