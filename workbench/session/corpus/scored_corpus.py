"""A scored corpus to look through: cut anywhere, sorted and filtered, each row opened to its text.

Made for tables of 100,000 documents and more: ranks are computed once, the cut moves in a few
milliseconds, and only the rows that are on the screen are handed out. The text of a document is
read from the corpus when it is asked for, and must be the text that was scored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.analysis.confounding import confound_values, confounds
from workbench.core.frames import TableLike
from workbench.corpus.boilerplate import SharedNgrams, shared_ngrams
from workbench.corpus.notes import note_on_domains
from workbench.corpus.places import CorpusPlaces
from workbench.corpus.reading import CorpusError, Document, text_sha256
from workbench.manifest.writing import write_manifest
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.passages import read_text
from workbench.scoring.run import score_corpus
from workbench.scoring.run_folder import load_scores
from workbench.scoring.schema import SCHEMA, SCORE_ROW, columns_in
from workbench.scoring.score_table import run_of
from workbench.selection.alternative_scores import residual
from workbench.selection.ranking import SCORE, By, Selection, cut, rank

# What every scored corpus has; `column_names` says what one has beside them.
COLUMNS = (
    "doc_id", "domain", "rank", "score", "selected", "margin", "loss_base", "loss_ref", "tokens",
    "compression_ratio",
)  # fmt: skip

REPETITION = "repetition"  # share of the predicted tokens that are not novel
BOILERPLATE = "shared_ngrams"  # share of the n-grams that stand in other documents, once measured
RESIDUAL = "residual"  # of the score, once base loss, repetition and length are taken out
MADE_HERE = (REPETITION, BOILERPLATE, RESIDUAL)  # and in no run
BINS = 24  # of a histogram
WIDE = 100  # counts that span a larger factor are shown on a logarithmic scale
BEGINNING = 160  # characters
SAMPLED = 1000  # documents of a domain, on which confounds of a larger one are measured
PASSAGES = re.compile(r"\d{1,15}:\d{1,15}(,\d{1,15}:\d{1,15})*")

Extreme = Literal["highest", "lowest", "nearest"]


@dataclass(frozen=True, eq=False)
class Histogram:
    """How the values of a column are spread.

    Attributes:
        edges: of the bins, ascending, one more than there are bins; a value at an edge is in the
            bin above it, but for the last.
        counts: documents in each bin.
        kept: those of them that pass the filters.
    """

    edges: np.ndarray
    counts: np.ndarray
    kept: np.ndarray

    def span(self, first: int, last: int) -> tuple[float, float]:
        """The lowest and the highest value that lie in some bins.

        Args:
            first: number of the first bin.
            last: number of the last one.

        Returns:
            Both ends, which belong to it.
        """
        high = self.edges[last + 1]
        if last + 1 < len(self.edges) - 1:
            high = np.nextafter(high, -np.inf)  # the edge itself is in the next bin
        return float(self.edges[first]), float(high)


class ScoredCorpus:
    """A score table with the corpus behind it.

    Attributes:
        corpus: what was scored, or None, which leaves the texts out of reach.
        columns: names of its columns id, text and domain, where they were given.
        folder: where the run lies, if it was kept.
        selection: the one at the present fraction (`cut`).
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
        self._places = CorpusPlaces(corpus, **columns)
        self.folder = None if folder is None else Path(folder)
        self._table, self._run = table, run_of(table)
        self._base = rank(table)  # whose rows the positions count
        self._shared: SharedNgrams | None = None
        repetition = confound_values(self._base)[REPETITION]
        if repetition.notna().any():
            self._base[REPETITION] = repetition
        if RESIDUAL not in self._base:
            self._base[RESIDUAL] = residual(self._base)
        self._rank_by(SCORE)
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
        return len(self._base)

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
        return list(self.selection.domains["domain"])

    def cut(self, fraction: float = 0.20, by: By = "documents", by_score: str = SCORE) -> Selection:
        """Move the cut; the columns rank, selected and margin follow.

        Args:
            fraction: share of each domain that is chosen.
            by: "documents" or "tokens": what it is a share of.
            by_score: the column to rank by, as in `select`.

        Returns:
            The selection.

        Raises:
            ValueError: the share is out of range, or no document can be ranked by the column.
        """
        if by_score != self._by_score:
            self._rank_by(by_score)
        self.selection = selection = cut(
            self._ranked, fraction, by, run=self._run, by_score=by_score,
            without_value=len(self) - len(self._ranked),
        )  # fmt: skip
        table = selection.table
        threshold = selection.domains.set_index("domain")["threshold"]
        margin = table[by_score] - table["domain"].map(threshold)
        if by_score == SCORE:
            self._rows = self._base.assign(selected=table["selected"], margin=margin)
        else:
            # Documents without a value have neither rank nor margin.
            placed = pd.DataFrame(
                {"rank": table["rank"], "selected": table["selected"], "margin": margin}
            ).set_index(self._positions).reindex(self._base.index)  # fmt: skip
            placed["selected"] = placed["selected"].eq(True)
            self._rows = self._base.assign(**placed)
        self._histograms: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        return selection

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
        domains = self._base.groupby("domain", sort=False)
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
        if self.corpus is None:
            raise CorpusError(
                "the scores are here but the corpus is not, so its n-grams cannot be counted: load "
                "them together, as in session.load(folder, corpus)"
            )
        read = "read" in self._base
        spans = dict(
            zip(
                zip(self._base["source"], self._base["row"], strict=True),
                self._base["read"] if read else [None] * len(self),
                strict=True,
            )
        )
        self._shared = shared = shared_ngrams(
            self.corpus, part=lambda document: _read_of(document.text, spans.get(_place(document))),
            **self.columns,
        )  # fmt: skip
        self._base[BOILERPLATE] = shared.of(self._base)["share"].astype(float)
        for name in ("column_names", "numeric_columns", "rankings", "confounds"):
            self.__dict__.pop(name, None)  # what was kept without it
        self.cut(self.selection.fraction, self.selection.by, self._by_score)
        return shared

    def _rank_by(self, by_score: str) -> None:
        if by_score == SCORE:
            # Columns that were added here are none of the run: they stay out of selections.
            self._ranked = self._base.drop(columns=[*MADE_HERE], errors="ignore")
            self._positions = self._base.index
        else:
            self._ranked = ranked = rank(self._table, by_score)
            places = pd.MultiIndex.from_frame(self._base[["source", "row"]])
            self._positions = pd.Index(
                places.get_indexer(pd.MultiIndex.from_frame(ranked[["source", "row"]]))
            )
        self._by_score = by_score

    # ---- columns ----------------------------------------------------------------------------

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """COLUMNS, and behind them the further columns in which some document has a value."""
        known = {*COLUMNS, "row"}
        further = [
            str(name)
            for name in [*SCHEMA.names, *self._base.columns]
            if name in self._base
            and name not in known
            and (name == "read" or pd.api.types.is_numeric_dtype(self._base[name]))
            and self._base[name].notna().any()
        ]
        return (*COLUMNS, *dict.fromkeys(further))

    @cached_property
    def numeric_columns(self) -> tuple[str, ...]:
        """Those of `column_names` that hold numbers."""
        return tuple(
            name
            for name in self.column_names
            if name not in ("doc_id", "domain", "selected", "read")
        )

    @cached_property
    def rankings(self) -> tuple[str, ...]:
        """The columns that `cut` can rank by, the paper's score first."""
        own = {*MADE_HERE, "rank", "margin", SCORE}  # made here, or by the cut itself
        return (SCORE, *(name for name in self.numeric_columns if name not in own))

    @cached_property
    def column_meanings(self) -> dict[str, str]:
        """What columns hold, in words, as far as it is known."""
        own = columns_in(self._run) if self._run is not None else []
        meanings = {column.name: column.meaning for column in (*SCORE_ROW, *own)}
        return meanings | {
            REPETITION: "Share of the predicted tokens that are no novel ones",
            RESIDUAL: "What is left of the rank of the score in its domain after a fit on those "
            "of base loss, compression and length; to choose by it, wb.scorers makes it a column",
            BOILERPLATE: "Boilerplate: share of its runs of 13 words that stand in two or more "
            "other documents of the corpus",
        }

    @property
    def selected(self) -> np.ndarray:
        """Positions of the documents that the cut chooses, ascending."""
        return np.flatnonzero(self._rows["selected"].to_numpy())

    @property
    def domain_of_each(self) -> np.ndarray:
        """The name of the domain of each document, by position."""
        return self._base["domain"].to_numpy()

    def column(self, name: str) -> np.ndarray:
        """The values of a column, by position.

        Args:
            name: one of `numeric_columns`.

        Returns:
            Shape (documents,), float64; NaN where there is none.

        Raises:
            ValueError: there is no such column.
        """
        if name not in self.numeric_columns:
            raise ValueError(
                f"no column of numbers {name!r}: expected one of {', '.join(self.numeric_columns)}"
            )
        return self._rows[name].to_numpy("float64", na_value=np.nan)

    def is_count(self, name: str) -> bool:
        """Whether a column holds whole numbers.

        Args:
            name: one of `numeric_columns`.

        Returns:
            True for integers; False for floats, even if they are whole.
        """
        return pd.api.types.is_integer_dtype(self._rows[name])

    def extent(self, name: str) -> tuple[float, float]:
        """The lowest and the highest value of a column.

        Args:
            name: one of `numeric_columns`.

        Returns:
            Both ends; 0 and 0 where no document has a finite value.
        """
        values = self.column(name)
        values = values[np.isfinite(values)]
        return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)

    def is_wide(self, name: str) -> bool:
        """Whether a column is shown on a logarithmic scale, as lengths are.

        Args:
            name: one of `numeric_columns`.

        Returns:
            True for counts above 0 that span a factor above WIDE.
        """
        low, high = self.extent(name)
        return self.is_count(name) and low > 0 and high > WIDE * low

    def histogram(self, name: str, kept: np.ndarray | None = None) -> Histogram:
        """How the values of a column are spread over all documents, and over some of them.

        Args:
            name: one of `numeric_columns`.
            kept: positions of those that pass the filters; None: all.

        Returns:
            The counts in BINS bins between the ends of the column: of equal width, or of equal
            ratio for a column that is wide.
        """
        if name not in self._histograms:
            values, (low, high) = self.column(name), self.extent(name)
            if self.is_wide(name):
                edges = np.geomspace(low, high, BINS + 1)
                edges[[0, -1]] = low, high  # which rounding moves
            else:
                edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
            bins = np.searchsorted(edges, values, side="right") - 1
            bins[values == edges[-1]] = BINS - 1
            bins[~np.isfinite(values)] = BINS  # a bin of its own, which is not shown
            self._histograms[name] = edges, bins
        edges, bins = self._histograms[name]
        counts, part = (
            np.bincount(some, minlength=BINS + 1)[:BINS]
            for some in (bins, bins if kept is None else bins[kept])
        )
        return Histogram(edges, counts, part)

    # ---- looking through --------------------------------------------------------------------

    def sort_and_filter(
        self,
        by: str = "rank",
        ascending: bool = True,
        domain: str | None = None,
        contains: str = "",
        only_selected: bool = False,
        *,
        ranges: Mapping[str, tuple[float, float]] | None = None,
        among: np.ndarray | None = None,
    ) -> np.ndarray:
        """Sort and filter.

        Args:
            by: one of `column_names`. margin is sorted by the distance from the cut. Equal values
                keep the order of domain and rank.
            ascending: the lowest first.
            domain: only documents of this one; None: of all.
            contains: plain text, upper or lower case, that the id must hold.
            only_selected: only documents that the cut chooses.
            ranges: by name of a column the lowest and the highest value, both of them included;
                documents without a value do not pass. None: no such filter.
            among: only documents at these positions; None: all.

        Returns:
            Positions of the documents that pass the filters, in order.

        Raises:
            ValueError: there is no such column or domain.
        """
        if by not in self.column_names:
            raise ValueError(
                f"cannot sort by {by!r}: expected one of {', '.join(self.column_names)}"
            )
        if domain is not None and domain not in self.domains:
            raise ValueError(f"no domain {domain!r}: expected one of {', '.join(self.domains)}")
        rows = self._rows
        keep = np.ones(len(rows), dtype=bool)
        if domain is not None:
            keep &= (rows["domain"] == domain).to_numpy()
        if only_selected:
            keep &= rows["selected"].to_numpy()
        if contains:
            keep &= rows["doc_id"].str.contains(contains, case=False, regex=False).to_numpy()
        for name, (low, high) in (ranges or {}).items():
            values = self.column(name)
            keep &= (values >= low) & (values <= high)
        if among is not None:
            inside = np.zeros(len(rows), dtype=bool)
            inside[among] = True
            keep &= inside
        key = rows[by].abs() if by == "margin" else rows[by]
        order = key[keep].sort_values(ascending=ascending, kind="stable")
        return order.index.to_numpy()

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

    def rows(self, positions: Iterable[int]) -> list[dict[str, Any]]:
        """Documents as plain Python values.

        Args:
            positions: of the documents.

        Returns:
            One dict of `column_names` a document.
        """
        part = self._rows.iloc[list(positions)]
        return part.loc[:, list(self.column_names)].to_dict("records")  # type: ignore[return-value]

    @cached_property
    def unique_ids(self) -> frozenset[str]:
        """The ids that belong to one document only."""
        ids = self._base["doc_id"]
        return frozenset(ids[~ids.duplicated(keep=False)])

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

    def position(self, document: int | str) -> int:
        """The position of a document.

        Args:
            document: its id, or its position, which is handed back.

        Returns:
            Its position.

        Raises:
            KeyError: there is none.
            ValueError: there are several.
        """
        if not isinstance(document, str):
            return document
        positions = np.flatnonzero((self._rows["doc_id"] == document).to_numpy())
        if not len(positions):
            raise KeyError(f"no scored document has the id {document!r}")
        if len(positions) > 1:
            raise ValueError(
                f"{len(positions)} documents have the id {document!r:.100}: give the position of "
                f"one, as sort_and_filter(contains=...) finds them, such as {positions[0]}"
            )
        return int(positions[0])

    # ---- opening ----------------------------------------------------------------------------

    def document(self, position: int) -> Document:
        """A document, its text read from the corpus.

        Args:
            position: of the document.

        Returns:
            The document, with the text that was scored.

        Raises:
            IndexError: there is no such position.
            CorpusError: the corpus is not at hand or holds another text there by now.
        """
        if not 0 <= position < len(self):
            raise IndexError(
                f"no document at position {position}: expected one of 0 to {len(self) - 1}, as "
                "sort_and_filter() gives them"
            )
        row = self._rows.iloc[position]
        if self.corpus is None:
            raise CorpusError(
                "the scores are here but the corpus is not, so its texts cannot be shown: load "
                "them together, as in session.load(folder, corpus)"
            )
        place = (str(row["source"]), int(row["row"]))
        document = self._places.find(*place)
        if document is None:
            raise CorpusError(f"the corpus has no row {place[1]} in {place[0]!r} any more")
        if not isinstance(document, Document) or text_sha256(document.text) != row["text_sha256"]:
            raise CorpusError(
                f"row {place[1]} of {place[0]!r} holds another text than the one that was scored: "
                "score the corpus again"
            )
        return document

    def text_read(self, position: int) -> str:
        """What was read of a document, read from the corpus.

        Args:
            position: of the document.

        Returns:
            The passages that were read; the whole text where the run does not say.

        Raises:
            IndexError: there is no such position.
            CorpusError: the corpus is not at hand or holds another text there by now.
        """
        text = self.document(position).text
        return _read_of(text, self._base["read"].iloc[position] if "read" in self._base else None)

    def beginning(self, position: int) -> str:
        """The first words of a document, for a list of documents.

        Args:
            position: of the document.

        Returns:
            At most BEGINNING characters, with single spaces; empty where the text is not at hand,
            or where what lies before it would have to be read.
        """
        if self.corpus is None:
            return ""
        try:
            if not self._places.is_quick(str(self._base["source"].iloc[position])):
                return ""
            start = self.document(position).text[: 4 * BEGINNING]
        except CorpusError:
            return ""
        return " ".join(start.split())[:BEGINNING]


def _place(document: Document) -> tuple[str, int]:
    return document.source, document.row


def _read_of(text: str, read: Any) -> str:
    return read_text(text, read) if isinstance(read, str) else text


def passages_read(read: Any) -> str:
    """Which characters of a document were read, in words.

    Args:
        read: a value of the column `read`, such as "0:400,812:1203".

    Returns:
        Such as "characters 0 to 400, 812 to 1,203"; empty where nothing is known.
    """
    if not isinstance(read, str) or not PASSAGES.fullmatch(read):
        return ""
    passages = [passage.split(":") for passage in read.split(",")]
    return "characters " + ", ".join(f"{int(start):,} to {int(end):,}" for start, end in passages)
