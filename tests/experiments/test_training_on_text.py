"""The training on real text: what each arm chooses of each domain, and what a run's row holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.models import make_model

import workbench as wb
from experiments import training_on_text
from experiments.training_on_text import chosen_by, mean_losses, run_arms

pytestmark = pytest.mark.slow  # of an experiment, not of the package

TABLE = pd.DataFrame({
    "kind": ["code"] * 10 + ["math"] * 5,
    "raw": [float(i) for i in range(15)],
    "contrast": [None] * 10 + [1.0, None, None, None, 3.0],
})  # fmt: skip


def test_a_fifth_of_each_domain_is_chosen():
    assert not chosen_by("full", TABLE, 0).any()
    assert np.flatnonzero(chosen_by("raw", TABLE, 0)).tolist() == [8, 9, 14]
    assert np.flatnonzero(chosen_by("contrast", TABLE, 0)).tolist() == [14]
    draws = [np.flatnonzero(chosen_by("random", TABLE, seed)).tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert [sum(place < 10 for place in draw) for draw in draws] == [2, 2, 2]
    assert [len(draw) for draw in draws] == [3, 3, 3]


def test_losses_are_those_of_one_document_after_the_other():
    model = make_model()
    documents = [wb.Document(str(i), "abc " * (i + 2), "a", "memory", i) for i in range(3)]
    plain = [wb.token_losses(model, [d.text])[0][0].mean() for d in documents]
    assert mean_losses(model, documents) == pytest.approx(plain, rel=1e-5)


def test_runs_are_stored_and_not_repeated(tmp_path, monkeypatch):
    documents = [wb.Document(str(i), f"text {i} " * 20, "ab"[i % 2], "m", i) for i in range(20)]
    table = pd.DataFrame({"kind": [d.domain for d in documents[:15]], "raw": np.arange(15.0)})
    monkeypatch.setattr(training_on_text, "world", lambda _: (documents[:15], documents[15:]))
    monkeypatch.setattr(training_on_text, "scored", lambda *_: table)
    monkeypatch.setattr(training_on_text, "DECODER", wb.Decoder(1, 16, 2, context=512))
    monkeypatch.setattr(training_on_text, "ITEMS", 2)
    first = run_arms(tmp_path, ["random", "raw"], [0], 20, 2)
    assert first["chosen"].tolist() == [3, 3]  # of eight and of seven documents
    assert first["text"].to_numpy() == pytest.approx(first[["a", "b"]].mean(axis=1))
    assert first["chains"].between(3, 9).all()
    seeds = []
    monkeypatch.setattr(wb, "pretrain", lambda *_, seed, **__: seeds.append(seed) or 1 / 0)
    pd.testing.assert_frame_equal(run_arms(tmp_path, ["random", "raw"], [0], 20, 2), first)
    with pytest.raises(ZeroDivisionError):
        run_arms(tmp_path, ["raw"], [0, 1], 20, 2)
    assert seeds == [1]
