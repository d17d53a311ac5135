"""The table of a scored corpus, however many documents there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from widgets.error_report import Report, raises
from widgets.views.row_table import RowTable, column
from workbench.session.corpus.document_texts import passages_read
from workbench.session.corpus.histogram import Histogram
from workbench.session.corpus.scored_corpus import ScoredCorpus

KEPT = 5000  # beginnings
BEGINNING = "beginning"  # key of the first words, which the owner hands over later
# The most important first: where there is no room, the last are left out.
COLUMNS = (
    column("doc_id", "document", 130, share=2, middle=True, title="Identifier of the document"),
    column("score", "score", 62, 4),
    column(BEGINNING, "first words", 140, share=3, title="How the text begins"),
    column("selected", "selected", 62, title="Whether the cut chooses it"),
    column("domain", "domain", 80, share=1, title="Domain inside which it is ranked"),
    column("loss_base", "base loss", 66, 3),
    column("rank", "rank", 52, 0, title="Place in its domain, 1 for the highest"),
    column("margin", "margin", 62, 4, title="Distance from the cut; sorted by its size"),
    column("loss_ref", "masked loss", 80, 3),
    column("tokens", "tokens", 60, 0),
    column("compression_ratio", "compression", 84, 2),
    column("score_novel", "novel score", 80, 4),
    column("rise", "rise", 62, 4),
    column("contrast", "contrast", 66, 4),
    column("excess", "excess", 62, 4),
    column("excess_relative", "relative excess", 100, 4),
    column("residual", "residual", 66, 1),
    column("shared_ngrams", "boilerplate", 80, 2),
    column("read", "read", 90, share=1),
)


class DocumentTable(RowTable):
    """A table without documents until `show`.

    Attributes:
        beginnings: first words of documents by position, as far as they were handed over (`begin`).
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
        self.beginnings: dict[int, str] = {}
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
                self._corpus, self.beginnings = corpus, {}
                self.opened = -1  # a position belongs to its corpus
                self.nothing = "no document passes the filters"
            self.columns = columns_of(corpus)
            self.arrange(order, by, ascending)

    def values(self, positions: Sequence[int]) -> Sequence[Mapping[str, Any]]:
        """The documents at these positions.

        Args:
            positions: of the documents.

        Returns:
            The values of each by the keys of the columns.

        Raises:
            ValueError: no documents are shown.
        """
        if self._corpus is None:
            raise ValueError("no documents are shown: there is no scored corpus yet")
        rows = self._corpus.rows(positions)
        for position, row in zip(positions, rows, strict=True):
            row[BEGINNING] = self.beginnings.get(position)
            row["read"] = passages_read(row.get("read"))
        return rows

    def begin(self, beginnings: Mapping[int, str]) -> None:
        """Show the first words of documents, which were read after their rows.

        Args:
            beginnings: by position of the document.
        """
        if len(self.beginnings) > KEPT:
            self.beginnings.clear()
        self.beginnings.update(beginnings)
        self.complete(BEGINNING, beginnings)

    def show_histograms(
        self,
        corpus: ScoredCorpus,
        ranges: Mapping[str, tuple[float, float]],
        bins: Mapping[str, tuple[int, int]],
    ) -> None:
        """Show in the headings how the values are spread, over all rows and over those shown.

        Args:
            corpus: the scored corpus that is shown.
            ranges: by key of a column the ends of the range that it is filtered by.
            bins: by key, the first and last bin of those ranges that were chosen by bins.
        """
        made = {}
        for described in self.columns:
            key, digits = described["key"], described["digits"]
            if digits is None or key == "rank":  # every rank is there once
                continue
            histogram = corpus.histogram(key, self.order)
            ends = [*corpus.extent(key), *ranges.get(key, ())]
            made[key] = {
                "all": histogram.counts.tolist(), "kept": histogram.kept.tolist(),
                "range": bins.get(key, _bins(histogram, ranges[key]) if key in ranges else None),
                "ends": [f"{end:,.{digits}f}" for end in ends],
            }  # fmt: skip
        self.histograms = made


def _bins(histogram: Histogram, ends: tuple[float, float]) -> tuple[int, int]:
    """The bins that a range reaches into."""
    first, last = (int(place) - 1 for place in np.searchsorted(histogram.edges, ends, "right"))
    top = len(histogram.counts) - 1
    return min(max(first, 0), top), min(max(last, 0), top)


def columns_of(corpus: ScoredCorpus) -> list[dict[str, Any]]:
    """What the table of a corpus shows.

    Args:
        corpus: the scored corpus.

    Returns:
        The columns of COLUMNS that it has, and those of its user behind them. The one that the cut
        ranks by comes right after the name, with a bar behind its values.
    """
    meanings = corpus.column_meanings
    known = [
        described | {"title": meanings.get(described["key"]) or described["title"]}
        for described in COLUMNS
        if described["key"] in corpus.column_names or described["key"] == BEGINNING
    ]
    keys = {described["key"] for described in known}
    known += [
        column(key, key, 80, 0 if corpus.is_count(key) else 4, title=meanings.get(key, ""))
        for key in corpus.numeric_columns
        if key not in keys
    ]
    ranked_by = corpus.selection.by_score
    known.sort(key=lambda described: described["key"] not in ("doc_id", ranked_by))
    return [
        described | {"bar": corpus.extent(ranked_by)}
        if described["key"] == ranked_by
        else described
        for described in known
    ]
