"""Scores read again from the folder of a run."""

from __future__ import annotations

import pytest

import workbench as wb


@pytest.mark.parametrize("record", ["[]", "{}", '{"documents": {}}', "x"])
def test_a_broken_run_record_is_named(tmp_path, record):
    (tmp_path / "run.json").write_text(record)
    with pytest.raises(ValueError, match=r"not the record of a run|run\.json is not JSON"):
        wb.load_scores(tmp_path)
