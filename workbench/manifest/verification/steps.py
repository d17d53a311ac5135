"""Runs the checks of a verification and keeps what they said, and how long each level took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from workbench.core.progress import stop_if_asked
from workbench.manifest.verification import checks
from workbench.manifest.verification.levels import LEVELS


class Steps:
    """Runs one check after the other; whatever a check meets becomes a row, never a crash."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, bool | None, str, str]] = []
        self.seconds: dict[str, float] = {}
        self._level = LEVELS[0]

    @contextmanager
    def level(self, name: str) -> Iterator[None]:
        """Inside the block, checks belong to the level, and their time is taken."""
        self._level, began = name, time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - began

    def run(self, check: str, function: Callable[..., tuple[Any, str]], *given: Any) -> Any:
        """Call `function(*given) -> (value, detail)`; return the value, or None when it failed."""
        stop_if_asked()
        value: Any = None
        ok: bool | None = False
        try:
            if any(item is None for item in given):
                raise checks.NotChecked("what it is about failed an earlier check, or is not there")
            value, detail = function(*given)
            ok = True
        except checks.NotChecked as reason:
            ok, detail = None, f"not checked: {reason}"
        except checks.Failed as failure:
            detail = str(failure)
        except Exception as error:  # garbage must end as a failed row, whatever it provokes
            detail = f"{type(error).__name__}: {error!s:.300}"
        self.rows.append((check, ok, detail, self._level))
        return value

    def skip(self, check: str, why: str, level: str | None = None) -> None:
        """Note a check that was not made."""
        self.rows.append((check, None, f"not checked: {why}", level or self._level))

    def frame(self) -> pd.DataFrame:
        """One row a check: check, ok (object: True, False or None), detail, level."""
        columns = [list(column) for column in zip(*self.rows, strict=True)]
        frame = pd.DataFrame(dict(zip(("check", "ok", "detail", "level"), columns, strict=True)))
        # object, or pandas would turn None into something that is neither
        return frame.assign(ok=pd.Series(columns[1], dtype=object))

    def levels(self) -> pd.DataFrame:
        """One row a level that was run: level, seconds, ok (None: nothing could be checked)."""
        rows = []
        for level, seconds in self.seconds.items():
            results = [ok for _, ok, _, of in self.rows if of == level]
            made = [ok for ok in results if ok is not None]
            rows.append((level, seconds, all(made) if made else None))
        frame = pd.DataFrame(rows, columns=["level", "seconds", "ok"])
        return frame.assign(ok=pd.Series([row[2] for row in rows], dtype=object))
