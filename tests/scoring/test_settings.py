"""The settings of a run: what they come to on a model, and on the way through a record."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import workbench as wb
from workbench.scoring import ScoringSettings


def test_the_window_is_that_of_the_model_unless_one_is_asked_for(tiny, heads):
    assert ScoringSettings(heads).resolved(tiny) == ScoringSettings(heads, window=tiny.context)
    asked = ScoringSettings(heads, "zero", 40, 9, require_certificate=False)
    assert asked.resolved(tiny) == asked


def test_the_record_of_a_run_gives_its_settings_back(tiny, heads, tmp_path):
    asked = ScoringSettings(heads, "zero", 40, 9)
    documents = [{"id": "a", "text": "a few words"}]
    wb.score_corpus(tiny, heads, documents, tmp_path, mode="zero", window=40, max_tokens=9)
    record = json.loads((tmp_path / "run.json").read_text())
    assert ScoringSettings.from_json(record) == asked
    assert {key: record[key] for key in asked.to_json()} == asked.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "mean:nobody"}, "no reference set"),
        ({"mode": "unifrom"}, "mode must be one of"),
        ({"window": 10_000}, "window must lie between"),
        ({"max_tokens": 1}, "max_tokens must be at least 2"),
    ],
)
def test_settings_that_cannot_be_are_named(tiny, heads, change, message):
    with pytest.raises(ValueError, match=message):
        ScoringSettings(heads, **change).resolved(tiny)


def test_a_run_takes_settings_as_one_object_or_field_by_field(tiny, heads, tmp_path):
    settings = ScoringSettings.of(heads, max_tokens=9, controls=2)
    documents = [{"id": "a", "text": "a few words of a text that is longer than nine tokens"}]
    wb.run_scoring(tiny, settings, documents, tmp_path / "object")
    wb.run_scoring(tiny, heads, documents, tmp_path / "fields", max_tokens=9, controls=2)
    record = json.loads((tmp_path / "object" / "run.json").read_text())
    assert ScoringSettings.from_json(record) == settings.resolved(tiny)
    pd.testing.assert_frame_equal(
        wb.load_scores(tmp_path / "object").frame, wb.load_scores(tmp_path / "fields").frame
    )
    with pytest.raises(TypeError, match="max_tokens given beside a ScoringSettings"):
        wb.run_scoring(tiny, settings, documents, tmp_path / "both", max_tokens=8)
    with pytest.raises(TypeError, match="max_token"):
        wb.run_scoring(tiny, heads, documents, tmp_path / "no such", max_token=8)


def test_heads_of_another_model_and_a_model_that_is_masked_are_refused(tiny, heads):
    with pytest.raises(ValueError, match="belong to a model of"):
        ScoringSettings(wb.HeadSet(((0, 0),), 30, 9)).resolved(tiny)
    with wb.masked(tiny, heads), pytest.raises(ValueError, match="masked already"):
        ScoringSettings(heads).resolved(tiny)
