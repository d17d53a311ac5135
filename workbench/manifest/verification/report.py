"""What a verification found: each check and its outcome, the level that was reached, the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd

from workbench.core.frames import as_html
from workbench.core.progress import check_cancelled
from workbench.manifest.verification.levels import LEVELS, reached

_FILES_SHOWN = 12  # more files than this that are as stated share one line


class Failed(Exception):
    """A statement does not hold; the message says which, and what was found."""


class NotChecked(Exception):
    """A statement could not be looked at; the message says why."""


def require(holds: bool, otherwise: str) -> None:
    """Raise Failed unless a statement holds.

    Args:
        holds: whether it does.
        otherwise: the message, which says what does not hold and what was found.

    Raises:
        Failed: when it does not hold.
    """
    if not holds:
        raise Failed(otherwise)


@dataclass(frozen=True, eq=False, repr=False)
class Verification:
    """What was checked.

    Attributes:
        checks: one row a check: check (str), ok (True, False, None), detail (str), level (str).
            `ok` of None means that the check was not made; the detail then says why.
        levels: one row a level that was looked at: level, seconds (that it took), ok (None: nothing
            in it could be checked).
        asked: the level that was asked for, None for as far as what was given allowed.
        folder: the folder that was checked.
    """

    checks: pd.DataFrame
    levels: pd.DataFrame
    asked: str | None = None
    folder: str = ""

    @property
    def ok(self) -> bool:
        """True when no check failed and the level that was asked for was reached.

        Where none was asked for, checks that were not made do not count against it: see `level`.
        """
        return not self.failed and not self._fell_short

    @property
    def level(self) -> str | None:
        """The level that was reached, None for not even the first.

        Up to it every check was made and passed, except that "sources" may be left out by a later
        one.
        """
        rows = self.checks[["check", "ok", "level"]].itertuples(index=False, name=None)
        return reached(rows)

    @property
    def _fell_short(self) -> bool:
        levels = [None, *LEVELS]
        return self.asked is not None and levels.index(self.level) < levels.index(self.asked)

    @property
    def outcome(self) -> str:
        """In one sentence: the level that was reached, and what was not checked below the end."""
        if self.failed:
            return f"level reached: {self.level or 'none'}; {len(self.failed)} checks failed"
        end = LEVELS.index(self.asked) if self.asked else len(LEVELS) - 1
        wanted = self.checks[self.checks["level"].isin(LEVELS[: end + 1])]
        open_ = wanted.loc[wanted["ok"].isna(), "check"].tolist()
        asked = f" (asked for: {self.asked})" if self._fell_short else ""
        left = f"; not checked: {', '.join(open_)}" if open_ else ""
        return f"level reached: {self.level or 'none'}{asked}{left}"

    @property
    def failed(self) -> list[str]:
        """The failed checks, each as "check: detail"."""
        return [f"{check}: {detail}" for check, ok, detail in self._rows() if ok is False]

    def _rows(self) -> list[tuple[str, bool | None, str]]:
        return list(self.checks[["check", "ok", "detail"]].itertuples(index=False, name=None))

    def __repr__(self) -> str:
        lines = [f"{mark:<7} {check}: {detail}" for mark, check, detail in self._shown()]
        return "\n".join([self._heading(), *lines, *self._ending()])

    def _repr_html_(self) -> str:
        rows = pd.DataFrame(self._shown(), columns=["", "check", "detail"])
        return as_html("\n".join([self._heading(), *self._ending()]), rows)

    def _shown(self) -> list[tuple[str, str, str]]:
        """The checks with their marks; files that are as stated are one row if they are many."""
        marks = {True: "ok", False: "FAILED", None: "-"}
        rows = [(marks[ok], check, detail) for check, ok, detail in self._rows()]
        good = [row for row in rows if row[0] == marks[True] and row[1].startswith("file ")]
        if len(good) <= _FILES_SHOWN:  # a run has a score file a shard
            return rows
        merged = (marks[True], f"{len(good)} files", "size and sha256 as stated")
        gone, first = set(good), rows.index(good[0])
        return [row for row in [*rows[:first], merged, *rows[first:]] if row not in gone]

    def _heading(self) -> str:
        return f"Verification: {'ok' if self.ok else 'FAILED'}"

    def _ending(self) -> tuple[str, str]:
        times = [
            f"{level} {seconds:.2f} s"
            for level, seconds in zip(self.levels["level"], self.levels["seconds"], strict=True)
        ]
        return "Levels: " + ", ".join(times), self.outcome[0].upper() + self.outcome[1:]


class VerificationError(ValueError):
    """A manifest does not agree with its files, or could not be checked as far as was asked for.

    Attributes:
        report: the Verification.
    """

    def __init__(self, report: Verification) -> None:
        self.report = report
        if report.failed:
            super().__init__(
                f"{len(report.failed)} checks of the manifest in {report.folder!r:.300} failed:\n  "
                + "\n  ".join(report.failed)
                + "\nDo not use this selection: fetch the folder again, or select and write it "
                "again."
            )
        else:
            super().__init__(
                f"the manifest in {report.folder!r:.300}: {report.outcome}. Give what these checks "
                "take (the report says it of each), or ask for a lower level."
            )


class Steps:
    """Runs one check after the other; whatever a check meets becomes a row, never a crash.

    Attributes:
        rows: check, outcome (None: not made), detail and level of each check so far.
        seconds: that each level took, by its name.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[str, bool | None, str, str]] = []
        self.seconds: dict[str, float] = {}
        self._level = LEVELS[0]

    @contextmanager
    def level(self, name: str) -> Iterator[None]:
        """Inside the block, checks belong to a level, and their time is taken.

        Args:
            name: of the level.
        """
        self._level, began = name, time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - began

    def run(self, check: str, function: Callable[..., tuple[Any, str]], *arguments: Any) -> Any:
        """Make a check and keep its outcome as a row.

        Args:
            check: its name.
            function: called with `arguments`; returns a value and a detail, or raises: Failed when
                a statement does not hold, NotChecked when there is nothing to hold it against.
                Any other exception is a failure too, since garbage may provoke anything.
            *arguments: what it needs; the check is not made where one of these is None.

        Returns:
            The value, or None when the check failed or was not made.

        Raises:
            Cancelled: the verification was cancelled; nothing else gets out.
        """
        check_cancelled()
        value: Any = None
        ok: bool | None = False
        try:
            if any(item is None for item in arguments):
                raise NotChecked("what it is about failed an earlier check, or is not there")
            value, detail = function(*arguments)
            ok = True
        except NotChecked as reason:
            ok, detail = None, f"not checked: {reason}"
        except Failed as failure:
            detail = str(failure)
        except Exception as error:  # garbage must end as a failed row, whatever it provokes
            detail = f"the check could not be finished ({type(error).__name__}: {error!s:.300})"
        self.rows.append((check, ok, detail, self._level))
        return value

    def skip(self, check: str, why: str, level: str | None = None) -> None:
        """Note a check that was not made.

        Args:
            check: its name.
            why: the reason.
            level: that it belongs to; None for the one of the block.
        """
        self.rows.append((check, None, f"not checked: {why}", level or self._level))

    def frame(self) -> pd.DataFrame:
        """The checks so far.

        Returns:
            One row a check: check, ok (object: True, False or None), detail, level.
        """
        columns = [list(column) for column in zip(*self.rows, strict=True)]
        frame = pd.DataFrame(dict(zip(("check", "ok", "detail", "level"), columns, strict=True)))
        # object, or pandas would turn None into something that is neither
        return frame.assign(ok=pd.Series(columns[1], dtype=object))

    def levels(self) -> pd.DataFrame:
        """The levels that were run.

        Returns:
            One row a level: level, seconds, ok (None: nothing in it could be checked).
        """
        rows = []
        for level, seconds in self.seconds.items():
            results = [ok for _, ok, _, of in self.rows if of == level]
            made = [ok for ok in results if ok is not None]
            rows.append((level, seconds, all(made) if made else None))
        frame = pd.DataFrame(rows, columns=["level", "seconds", "ok"])
        return frame.assign(ok=pd.Series([row[2] for row in rows], dtype=object))
