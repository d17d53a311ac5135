"""Values of Python, numpy and pandas as strict JSON: no NaN, no Infinity, all digits kept."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import math
import uuid
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def strict(value: Any) -> Any:
    """The value in dicts, lists, text, numbers, true, false and null.

    Null stands for what is not finite or missing; text for dates, decimals, identifiers and paths;
    a list of rows for a frame; an object for a dataclass. Numbers keep all their digits.

    Args:
        value: a value of Python, numpy or pandas.

    Raises:
        ValueError: JSON has no form for the value, such as bytes.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if type(value).__name__ in ("NAType", "NaTType"):  # those of pandas; NaT is a date to Python
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta | uuid.UUID | PurePath):
        return str(value)
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return strict(value.to_dict("records"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: strict(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if hasattr(value, "tolist"):  # an array or a number of numpy
        return strict(value.tolist())
    raise ValueError(f"JSON has no form for a value of type {type(value).__name__}")
