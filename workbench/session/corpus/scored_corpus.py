"""A scored corpus to look through: cut anywhere, sorted and filtered, each row opened to its text.

Made for tables of 100,000 documents and more: ranks are computed once, the cut moves in a few
milliseconds, and only the rows that are on the screen are handed out. The text of a document is
read from the corpus when it is asked for, and must be the text that was scored.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.analysis.confounding import confounds
from workbench.core.frames import TableLike
from workbench.corpus.boilerplate import SharedNgrams
from workbench.corpus.notes import note_on_domains
from workbench.manifest.writing import write_manifest
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.folder.reading import load_scores
from workbench.scoring.run import score_corpus
from workbench.scoring.score_table import run_of
from workbench.selection.ranking import SCORE, By, Selection, rank
from workbench.session.corpus.columns import (
    BOILERPLATE,
    REPETITION,
    column_meanings,
    with_made_columns,
)
from workbench.session.corpus.document_rows import DocumentRows
from workbench.session.corpus.document_texts import DocumentTexts, passages_read
from workbench.session.corpus.filters import Filters, require_filters_before_ranking
from workbench.session.corpus.placed_cut import Exclude, PlacedCut
from workbench.session.parts import of_part

SAMPLED = 1000  # documents of a domain, on which confounds of a larger one are measured

Extreme = Literal["highest", "lowest", "nearest"]


class ScoredCorpus:
    """A score table with the corpus behind it.

    Attributes:
        corpus: what was scored, or None, which leaves the texts out of reach.
        columns: names of its columns id, text and domain, where they were given.
        folder: where the run lies, if it was kept.
        selection: the one at the present fraction (`cut`).
        among: what documents have to pass to be ranked in it; None: all are ranked.
    """

    def __init__(
        self,
        table: TableLike,
        corpus: Any = None,
        folder: str | Path | None = None,
        **columns: Any,
    ) -> None:
        """Rank the table and cut it at the default fraction.

        Args:
            table: what `score_corpus` returned, or a frame with its columns, which has no run.
            corpus: what it was made of; None: the texts are out of reach.
            folder: where the run lies; None: it was not kept.
            **columns: id, text and domain: names of the columns of the corpus.
        """
        self.corpus, self.columns = corpus, columns
        self.folder = None if folder is None else Path(folder)
        self._run = run_of(table)
        scores = with_made_columns(rank(table))  # whose rows the positions count
        self._rows = DocumentRows(scores)
        self._texts = DocumentTexts(scores, corpus, **columns)
        self._cut = PlacedCut(table, scores)
        self._shared: SharedNgrams | None = None
        self.selection = self.cut()

    @classmethod
    def score(
        cls,
        model: Model,
        heads: HeadSet,
        corpus: Any,
        out: str | Path | None = None,
        **options: Any,
    ) -> ScoredCorpus:
        """Score a corpus under masked heads (`score_corpus`).

        Args:
            model: the model.
            heads: the heads to mask.
            corpus: as in `score_corpus`; what can be read only once is held in memory, since it is
                read again when a document is opened.
            out: the folder of the run; None: it is not kept.
            **options: further options of `score_corpus`.

        Returns:
            The scored corpus.
        """
        if not hasattr(corpus, "__len__") and not isinstance(corpus, str | Path):
            corpus = pa.table(corpus) if hasattr(corpus, "__arrow_c_stream__") else list(corpus)
        table = score_corpus(model, heads, corpus, out, **options)
        columns = {key: options[key] for key in ("id", "text", "domain") if key in options}
        return cls(table, corpus, out, **columns)

    @classmethod
    def load(cls, folder: str | Path, corpus: Any = None, **columns: Any) -> ScoredCorpus:
        """A finished run with the corpus that it scored.

        Args:
            folder: of the run.
            corpus: what it scored; None: the texts are out of reach.
            **columns: id, text and domain: names of the columns of the corpus.

        Returns:
            The scored corpus.
        """
        return cls(load_scores(folder), corpus, folder, **columns)

    def __len__(self) -> int:
        return len(self._rows.scores)

    def __repr__(self) -> str:
        return f"<ScoredCorpus of {len(self):,} documents in {len(self.domains)} domains>"

    def describe(self) -> str:
        """How many documents were scored, by which model and under which heads.

        Returns:
            One sentence.
        """
        summary = f"{len(self):,} documents in {len(self.domains)} domains"
        run = self.selection.run
        if run is None:
            return f"{summary}; nothing says how they were scored"
        source, heads = run["model"]["source"], run["heads"]["heads"]
        read = "" if run["max_tokens"] is None else f", {run['max_tokens']:,} tokens of each"
        note = note_on_domains(run.get("domain_from") or {})
        summary += f", scored by {source} with {heads} masked ({run['mode']}){read}"
        return f"{summary}; {note}" if note else summary

    @property
    def domains(self) -> list[str]:
        """Names of the domains."""
        return list(dict.fromkeys(self._rows.scores["domain"]))  # one may be left out of a cut

    def cut(
        self,
        fraction: float = 0.20,
        by: By = "documents",
        by_score: str = SCORE,
        exclude: Exclude = None,
        among: Filters | None = None,
    ) -> Selection:
        """Move the cut; the columns rank, selected and margin follow.

        Args:
            fraction: share of each domain that is chosen.
            by: "documents" or "tokens": what it is a share of.
            by_score: the column to rank by, as in `select`.
            exclude: a funnel or its file, as in `select`; None: no document is left out.
            among: what documents have to pass to be ranked (`Filters`); None: all are ranked.

        Returns:
            The selection.

        Raises:
            ValueError: the share is out of range, no document can be ranked by the column or passes
                the filters, a filter is of the rank or the margin, it is no file of a funnel, or
                the funnel saw other texts or leaves nothing.
        """
        passing = None
        if among:
            require_filters_before_ranking(among)
            passing = np.sort(self.sort_and_filter(SCORE, **among))
        self.selection, placed = self._cut.cut(fraction, by, by_score, exclude, passing)
        self.among = deepcopy(among) if among else None
        self._rows.place(placed, self.domains)
        return self.selection

    def export(self, folder: str | Path | None = None, **options: Any) -> Path:
        """Write the manifest of the present cut.

        Args:
            folder: where to; None: the folder of the run.
            **options: as in `write_manifest`.

        Returns:
            The path of the manifest.

        Raises:
            ValueError: there is no folder to write to.
        """
        folder = self.folder if folder is None else Path(folder)
        if folder is None:
            raise ValueError("the run was not kept in a folder: say where to, export('run/')")
        return write_manifest(self.selection, folder, **options)

    @cached_property
    def confounds(self) -> pd.DataFrame:
        """What `confounds` says of the score; of a domain above SAMPLED, of as many drawn from it.

        The column documents says of how many; boilerplate is among them once it was measured.
        """
        domains = self._rows.scores.groupby("domain", sort=False)
        drawn = [part.sample(min(len(part), SAMPLED), random_state=0) for _, part in domains]
        return confounds(pd.concat(drawn, ignore_index=True), shared=self._shared, draws=400)

    def measure_boilerplate(self) -> SharedNgrams:
        """Count how much of what was read of each document stands in others (`shared_ngrams`).

        From then on it is a column, BOILERPLATE, and among `confounds`.

        Returns:
            The shares.

        Raises:
            CorpusError: the corpus is not at hand.
            ValueError: a document that was scored is not in it any more.
        """
        self._shared = shared = self._texts.shared_ngrams()
        self._rows.add(BOILERPLATE, shared.of(self._rows.scores)["share"].astype(float))
        self.__dict__.pop("confounds", None)  # what was kept without it
        chosen = self.selection
        self.cut(chosen.fraction, chosen.by, self._cut.by_score, self._cut.exclude, self.among)
        return shared

    # ---- columns ----------------------------------------------------------------------------

    @property
    def column_names(self) -> tuple[str, ...]:
        """COLUMNS, and behind them the further columns in which some document has a value."""
        return self._rows.column_names

    @property
    def numeric_columns(self) -> tuple[str, ...]:
        """Those of `column_names` that hold numbers."""
        return self._rows.numeric_columns

    @property
    def rankings(self) -> tuple[str, ...]:
        """The columns that `cut` can rank by, the paper's score first."""
        others = {REPETITION, BOILERPLATE, "rank", "margin", SCORE}  # made here, or by the cut
        return (SCORE, *(name for name in self.numeric_columns if name not in others))

    @cached_property
    def column_meanings(self) -> dict[str, str]:
        """What columns hold, in words, as far as it is known."""
        return column_meanings(self._run)

    @property
    def exclude(self) -> Exclude:
        """The funnel, or its file, that the present cut leaves documents out by; None: none."""
        return self._cut.exclude

    @property
    def selected(self) -> np.ndarray:
        """Positions of the documents that the cut chooses, ascending."""
        return np.flatnonzero(self._rows.placed["selected"].to_numpy())

    @property
    def domain_of_each(self) -> np.ndarray:
        """The name of the domain of each document, by position."""
        return self._rows.scores["domain"].to_numpy()

    column = of_part("_rows", DocumentRows.column)
    is_count = of_part("_rows", DocumentRows.is_count)
    extent = of_part("_rows", DocumentRows.extent)
    is_wide = of_part("_rows", DocumentRows.is_wide)
    plotted = of_part("_rows", DocumentRows.plotted)
    histogram = of_part("_rows", DocumentRows.histogram)

    # ---- looking through --------------------------------------------------------------------

    sort_and_filter = of_part("_rows", DocumentRows.sort_and_filter)
    rows = of_part("_rows", DocumentRows.rows)
    position = of_part("_rows", DocumentRows.position)

    def extremes(self, kind: Extreme, count: int = 1, domain: str | None = None) -> np.ndarray:
        """The documents of highest or lowest score, or nearest to their cut.

        Args:
            kind: "highest", "lowest" or "nearest".
            count: how many.
            domain: only of this one; None: of all.

        Returns:
            Their positions, the most extreme first.

        Raises:
            ValueError: there is no such kind or domain.
        """
        if kind not in ("highest", "lowest", "nearest"):
            raise ValueError(f"kind must be 'highest', 'lowest' or 'nearest', got {kind!r}")
        by = "margin" if kind == "nearest" else "score"
        return self.sort_and_filter(by, ascending=kind != "highest", domain=domain)[:count]

    @property
    def unique_ids(self) -> frozenset[str]:
        """The ids that belong to one document only."""
        return self._rows.unique_ids

    def status(self, document: int | str) -> str:
        """Score, rank and side of the cut of a document in the run.

        Args:
            document: its position or id.

        Returns:
            One sentence.
        """
        (row,) = self.rows([self.position(document)])
        side = "selected" if row["selected"] else "not selected"
        place = "no rank" if row["rank"] != row["rank"] else f"rank {row['rank']:,.0f}"
        words = f"score {row['score']:.2f} in the run, {place} of its domain, {side}"
        read = passages_read(row.get("read"))
        return f"{words}; read: {read}" if read else words

    # ---- opening ----------------------------------------------------------------------------

    document = of_part("_texts", DocumentTexts.document)
    text_read = of_part("_texts", DocumentTexts.text_read)
    part_read = of_part("_texts", DocumentTexts.part_read)
    beginning = of_part("_texts", DocumentTexts.beginning)
