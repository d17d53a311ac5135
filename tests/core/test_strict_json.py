"""Strict JSON of anything that results hold."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import pathlib

import numpy as np
import pandas as pd
import pytest

from workbench.core.strict_json import strict
from workbench.corpus.document import Document


@pytest.mark.parametrize(
    ("value", "plain"),
    [(math.nan, None), (math.inf, None), (np.float64("nan"), None), (pd.NA, None), (pd.NaT, None),
     (np.int64(3), 3), (np.float32(0.5), 0.5), (np.bool_(True), True), (0.1 + 0.2, 0.1 + 0.2),
     (np.array([[1.0, np.inf]]), [[1.0, None]]), ((1, "é"), [1, "é"]), ({1: {"a": math.nan}},
     {"1": {"a": None}}), (pathlib.PurePosixPath("a/b"), "a/b"), (decimal.Decimal("1.10"), "1.10"),
     (datetime.date(2026, 1, 2), "2026-01-02"), (Document("i", "t", "d", "s", 1),
     {"doc_id": "i", "text": "t", "domain": "d", "source": "s", "row": 1,
      "domain_from": "column", "carried": {}}),
     (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}])],
)  # fmt: skip
def test_values_become_plain(value, plain):
    result = strict(value)
    assert result == plain
    assert json.loads(json.dumps(result, allow_nan=False)) == plain


@pytest.mark.parametrize("value", [b"bytes", object(), {"deep": [{1, 2}]}])
def test_what_json_does_not_hold_is_refused_by_its_type(value):
    with pytest.raises(ValueError, match=r"no form for a value of type (bytes|object|set)"):
        strict(value)
