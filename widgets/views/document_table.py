"""The table of a scored corpus: sorted, scrolled and opened, however many documents there are.

Only the rows on the screen cross to the browser. What sorting and opening mean is for the owner of
the table to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import numpy as np
import traitlets

from widgets.problem_box import Report, raises
from widgets.views.browser_files import module, stylesheet
from workbench.core.text import escape_control_characters
from workbench.session.scored_corpus import ScoredCorpus

MOST = 1000  # rows in one answer; a screen holds fewer


def _column(key: str, label: str, width: str, digits: int | None = None) -> dict[str, Any]:
    return {"key": key, "label": label, "digits": digits, "width": width}


COLUMNS = [
    _column("doc_id", "document", "minmax(11em, 3fr)"),
    _column("domain", "domain", "minmax(7em, 1fr)"),
    _column("rank", "rank", "5.5em", 0),
    _column("score", "score", "5.5em", 4),
    _column("selected", "selected", "6.5em"),
    _column("margin", "margin", "5.5em", 4),
    _column("loss_base", "base loss", "7em", 3),
    _column("loss_ref", "masked loss", "8em", 3),
    _column("tokens", "tokens", "5.5em", 0),
    _column("compression_ratio", "compression", "8.5em", 2),
]


class DocumentTable(anywidget.AnyWidget):
    """A table without documents until `show`.

    The owner sets on_sort(key of a column), called when a heading was clicked, and
    on_open(position), called when a row was opened; `opened` is that position by then.

    Attributes:
        total: number of documents.
        columns: key, label, digits and width of each column.
        by: key of the column that the documents are sorted by.
        ascending: the lowest first.
        revision: counts the arrangements; answers to another one are out of date.
        opened: position of the opened document, or -1.
    """

    _esm = module("document_table")
    _css = stylesheet("document_table")

    total = traitlets.Int(0).tag(sync=True)
    columns = traitlets.List(traitlets.Dict(), COLUMNS).tag(sync=True)
    by = traitlets.Unicode("rank").tag(sync=True)
    ascending = traitlets.Bool(True).tag(sync=True)
    revision = traitlets.Int(0).tag(sync=True)
    opened = traitlets.Int(-1).tag(sync=True)

    def __init__(self, report: Report = raises) -> None:
        """An empty table.

        Args:
            report: is called with errors in handling what the browser sent.
        """
        super().__init__()
        self.report = report
        self.on_sort: Callable[[str], object] = lambda by: None
        self.on_open: Callable[[int], object] = lambda position: None
        self._corpus: ScoredCorpus | None = None
        self._order = np.empty(0, dtype=int)
        self.on_msg(self._heard)

    def show(self, corpus: ScoredCorpus, order: np.ndarray, by: str, ascending: bool) -> None:
        """Show documents.

        Call it again after `corpus.cut`: the rows on the screen are asked for anew.

        Args:
            corpus: the scored corpus.
            order: positions of the documents, which `corpus.sort_and_filter` gave.
            by: key of the column that they are sorted by.
            ascending: the lowest first.
        """
        with self.hold_sync():
            if corpus is not self._corpus:
                self.opened = -1  # a position belongs to its corpus
            self._corpus, self._order = corpus, order  # before the revision that they belong to
            self.total, self.by, self.ascending = len(order), by, ascending
            self.revision += 1

    # ---- messages from the browser ----------------------------------------------------------

    def _heard(self, _: object, message: dict[str, Any], buffers: object) -> None:
        try:
            self._handle(message)
        except Exception as error:
            self.report(error)

    def _handle(self, message: dict[str, Any]) -> None:
        match message:
            case {
                "action": "rows",
                "first": int(first),
                "count": int(count),
                "revision": int(revision),
            }:
                if (
                    revision == self.revision
                ):  # else the browser asks again, for the new arrangement
                    self._answer(revision, first, min(count, MOST))
            case {"action": "sort", "by": str(by)}:
                self.on_sort(by)
            case {"action": "open", "position": int(position)}:
                self.opened = position
                self.on_open(position)
            case _:
                raise ValueError(f"the document table does not know the message {message!r}")

    def _answer(self, revision: int, first: int, count: int) -> None:
        if self._corpus is None or first < 0:
            raise ValueError(f"no rows from {first} on: the table has {self.total} rows")
        columns = self.columns
        positions = self._order[first : first + count].tolist()
        rows = [
            {"position": position, "cells": [_shown(row[c["key"]], c["digits"]) for c in columns]}
            for position, row in zip(positions, self._corpus.rows(positions), strict=True)
        ]
        # The revision of the question: another thread may have called `show` meanwhile.
        self.send({"kind": "rows", "revision": revision, "first": first, "rows": rows})


def _shown(value: Any, digits: int | None) -> str:
    if digits is None:
        return (
            escape_control_characters(str(value))
            if not isinstance(value, bool)
            else "yes"
            if value
            else ""
        )
    return "\N{EN DASH}" if value != value else f"{value:,.{digits}f}"  # NaN: no value
