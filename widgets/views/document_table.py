"""The table of a scored corpus, however many documents there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from widgets.problem_box import Report, raises
from widgets.views.row_table import RowTable, column
from workbench.session.scored_corpus import ScoredCorpus

BEGINNING = "beginning"  # key of the first words, which the owner hands over later
# The most important first: where there is no room, the last are left out.
COLUMNS = (
    column("doc_id", "document", 90, share=2, middle=True, title="Identifier of the document"),
    column("score", "score", 62, 4),
    column(BEGINNING, "first words", 90, share=3, title="How the text begins"),
    column("selected", "selected", 62, title="Whether the cut chooses it"),
    column("domain", "domain", 80, share=1, title="Domain inside which it is ranked"),
    column("rank", "rank", 52, 0, title="Place in its domain, 1 for the highest"),
    column("margin", "margin", 62, 4, title="Distance from the cut; sorted by its size"),
    column("loss_base", "base loss", 66, 3),
    column("loss_ref", "masked loss", 80, 3),
    column("tokens", "tokens", 60, 0),
    column("compression_ratio", "compression", 84, 2),
    column("score_novel", "novel score", 80, 4),
    column("rise", "rise", 62, 4),
    column("contrast", "contrast", 66, 4),
    column("excess", "excess", 62, 4),
    column("excess_relative", "relative excess", 100, 4),
    column("read", "read", 90, share=1),
)


class DocumentTable(RowTable):
    """A table without documents until `show`.

    The owner sets on_shown(positions), called when rows came to the screen, beside the functions of
    a `RowTable`.
    """

    def __init__(self, report: Report = raises) -> None:
        """An empty table.

        Args:
            report: is called with errors in handling what the browser sent.
        """
        super().__init__(
            report, label="scored documents", by="rank", nothing="no scored corpus yet",
            columns=list(COLUMNS),
        )  # fmt: skip
        self.on_shown: Callable[[Sequence[int]], object] = lambda positions: None
        self._corpus: ScoredCorpus | None = None

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
                self._corpus = corpus
                self.opened = -1  # a position belongs to its corpus
                self.columns = columns_of(corpus)
                self.nothing = "no document passes the filters"
            self.arrange(order, by, ascending)

    def values(self, positions: Sequence[int]) -> Sequence[Mapping[str, Any]]:
        """The documents at these positions.

        Args:
            positions: of the documents.

        Returns:
            The values of each by the keys of the columns.
        """
        if self._corpus is None:
            raise ValueError("no documents are shown: there is no scored corpus yet")
        self.on_shown(positions)
        return self._corpus.rows(positions)


def columns_of(corpus: ScoredCorpus) -> list[dict[str, Any]]:
    """What the table of a corpus shows.

    Args:
        corpus: the scored corpus.

    Returns:
        The columns of COLUMNS that it has, and those of its user behind them; a bar behind the
        values of the score.
    """
    meanings = corpus.column_meanings
    known = [
        one | {"title": meanings.get(one["key"]) or one["title"]}
        for one in COLUMNS
        if one["key"] in corpus.column_names or one["key"] == BEGINNING
    ]
    keys = {one["key"] for one in known}
    known += [
        column(key, key, 80, 0 if corpus.is_count(key) else 4, title=meanings.get(key, ""))
        for key in corpus.numeric_columns
        if key not in keys
    ]
    return [
        one | {"bar": corpus.extent("score")} if one["key"] == "score" else one for one in known
    ]
