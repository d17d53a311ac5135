"""The cut of a ranking, laid out by the positions of another: rank, selected and margin of each."""

from __future__ import annotations

import pandas as pd

from workbench.core.frames import TableLike
from workbench.scoring.score_table import run_of
from workbench.selection.ranking import SCORE, By, Selection, cut, rank
from workbench.session.corpus.columns import MADE_HERE


class PlacedCut:
    """Ranks a score table by one column at a time and cuts it.

    Attributes:
        by_score: the column that it is ranked by now.
    """

    def __init__(self, table: TableLike, scores: pd.DataFrame) -> None:
        """Rank by the paper's score.

        Args:
            table: what was scored.
            scores: its rows, ranked by the paper's score, with the columns that are made here;
                their positions are those that count.
        """
        self._table, self._run, self._scores = table, run_of(table), scores
        self._rank_by(SCORE)

    def cut(self, fraction: float, by: By, by_score: str) -> tuple[Selection, pd.DataFrame]:
        """Cut, and rank first if it is by another column than before.

        Args:
            fraction: share of each domain that is chosen.
            by: "documents" or "tokens": what it is a share of.
            by_score: the column to rank by, as in `select`.

        Returns:
            The selection; and rank, selected and margin of each row by position. Documents without
            a value in the column have neither rank nor margin.

        Raises:
            ValueError: the share is out of range, or no document can be ranked by the column.
        """
        if by_score != self.by_score:
            self._rank_by(by_score)
        selection = cut(
            self._ranked, fraction, by, run=self._run, by_score=by_score,
            without_value=len(self._scores) - len(self._ranked),
        )  # fmt: skip
        table = selection.table
        threshold = selection.domains.set_index("domain")["threshold"]
        margin = table[by_score] - table["domain"].map(threshold)
        placed = pd.DataFrame(
            {"rank": table["rank"], "selected": table["selected"], "margin": margin}
        )
        if by_score != SCORE:
            placed = placed.set_index(self._positions).reindex(self._scores.index)
            placed["selected"] = placed["selected"].eq(True)
        return selection, placed

    def _rank_by(self, by_score: str) -> None:
        if by_score == SCORE:
            # Columns that were added here are none of the run: they stay out of selections.
            self._ranked = self._scores.drop(columns=[*MADE_HERE], errors="ignore")
        else:
            self._ranked = ranked = rank(self._table, by_score)
            places = pd.MultiIndex.from_frame(self._scores[["source", "row"]])
            self._positions = pd.Index(
                places.get_indexer(pd.MultiIndex.from_frame(ranked[["source", "row"]]))
            )
        self.by_score = by_score
