"""The cut of a ranking, laid out by the positions of another: rank, selected and margin of each."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.core.frames import TableLike, frame_of
from workbench.scoring.score_table import run_of
from workbench.selection.filter_funnel import Funnel, excluded_rows, without_excluded
from workbench.selection.ranking import SCORE, By, Selection, cut, rank
from workbench.session.corpus.columns import MADE_HERE

Exclude = Funnel | str | Path | None


class PlacedCut:
    """Ranks a score table by one column at a time and cuts it.

    Attributes:
        by_score: the column that it is ranked by now.
        exclude: the funnel, or its file, whose documents are left out now, as it was given; None:
            none.
    """

    def __init__(self, table: TableLike, scores: pd.DataFrame) -> None:
        """Rank by the paper's score.

        Args:
            table: what was scored.
            scores: its rows, ranked by the paper's score, with the columns that are made here;
                their positions are those that count.
        """
        self._table, self._run, self._scores = table, run_of(table), scores
        self._rank(SCORE, None, None)

    def cut(
        self,
        fraction: float,
        by: By,
        by_score: str,
        exclude: Exclude = None,
        among: np.ndarray | None = None,
    ) -> tuple[Selection, pd.DataFrame]:
        """Cut, and rank first if it is by another column than before, or of other documents.

        Args:
            fraction: share of each domain that is chosen.
            by: "documents" or "tokens": what it is a share of.
            by_score: the column to rank by, as in `select`.
            exclude: a funnel or its file, as in `select`; None: no document is left out.
            among: positions of the documents that are ranked; None: of all.

        Returns:
            The selection; and rank, selected and margin of each row by position. Documents without
            a value in the column, and those left out, have neither rank nor margin.

        Raises:
            ValueError: the share is out of range, no document can be ranked by the column, it is no
                file of a funnel, or the funnel saw other texts or leaves nothing.
        """
        if _state_of(by_score, exclude, among) != self._ranked_for:
            self._rank(by_score, exclude, among)
        selection = cut(
            self._ranked, fraction, by, run=self._run, by_score=by_score,
            without_value=self._kept - len(self._ranked),
        )  # fmt: skip
        selection = replace(selection, exclude=self._funnel)
        table = selection.table
        threshold = selection.domains.set_index("domain")["threshold"]
        margin = table[by_score] - table["domain"].map(threshold)
        placed = pd.DataFrame(
            {"rank": table["rank"], "selected": table["selected"], "margin": margin}
        )
        if self._positions is not None:
            placed = placed.set_index(self._positions).reindex(self._scores.index)
            placed["selected"] = placed["selected"].eq(True)
        return selection, placed

    def _rank(self, by_score: str, exclude: Exclude, among: np.ndarray | None) -> None:
        state = _state_of(by_score, exclude, among)
        funnel, positions, kept = None, None, len(self._scores)
        if by_score == SCORE and exclude is None and among is None:
            # Columns that were added here are none of the run: they stay out of selections.
            ranked = self._scores.drop(columns=[*MADE_HERE], errors="ignore")
        else:
            frame = frame_of(self._table)
            if exclude is not None:
                funnel, excluded = excluded_rows(exclude)
                frame = without_excluded(frame, excluded)
            if among is not None:
                frame = frame[np.isin(self._positions_of(frame), among)]
                if frame.empty:
                    raise ValueError(
                        "no document passes the filters, so there is nothing to rank: take one away"
                    )
            kept = len(frame)
            ranked = rank(frame, by_score)
            positions = pd.Index(self._positions_of(ranked))
        self._ranked, self._positions, self._funnel, self._kept = ranked, positions, funnel, kept
        self.by_score, self.exclude, self._ranked_for = by_score, exclude, state

    def _positions_of(self, rows: pd.DataFrame) -> np.ndarray:
        places = pd.MultiIndex.from_frame(self._scores[["source", "row"]])
        return places.get_indexer(pd.MultiIndex.from_frame(rows[["source", "row"]]))


def _state_of(by_score: str, exclude: Exclude, among: np.ndarray | None) -> Any:
    """What tells a ranking from another, a file of a funnel from what it held before."""
    positions = None if among is None else among.tobytes()
    if not isinstance(exclude, str | Path):
        return by_score, exclude, positions
    try:
        state = os.stat(exclude)
    except OSError:  # said by who reads it
        return by_score, str(exclude), positions
    return by_score, str(exclude), state.st_mtime_ns, state.st_size, positions
