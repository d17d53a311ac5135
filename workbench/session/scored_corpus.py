"""A scored corpus to look through: cut anywhere, sorted and filtered, each row opened to its text.

Made for tables of 100,000 documents and more: ranks are computed once, the cut moves in a few
milliseconds, and only the rows that are on the screen are handed out. The text of a document is
read from the corpus when it is asked for, and must be the text that was scored.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from workbench.core.frames import TableLike
from workbench.corpus.notes import note_on_domains
from workbench.corpus.places import CorpusPlaces
from workbench.corpus.reading import CorpusError, Document, text_sha256
from workbench.manifest.writing import write_manifest
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.run import score_corpus
from workbench.scoring.run_folder import load_scores
from workbench.scoring.score_table import run_of
from workbench.selection.ranking import By, Selection, cut, rank

COLUMNS = (
    "doc_id", "domain", "rank", "score", "selected", "margin", "loss_base", "loss_ref", "tokens",
    "compression_ratio",
)  # fmt: skip

Extreme = Literal["highest", "lowest", "nearest"]


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
        self._ranked, self._run = rank(table), run_of(table)
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
        return len(self._ranked)

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

    def cut(self, fraction: float = 0.20, by: By = "documents") -> Selection:
        """Move the cut; the columns selected and margin follow.

        Args:
            fraction: share of each domain that is chosen.
            by: "documents" or "tokens": what it is a share of.

        Returns:
            The selection.
        """
        self.selection = selection = cut(self._ranked, fraction, by, run=self._run)
        table = selection.table
        threshold = selection.domains.set_index("domain")["threshold"]
        self._rows = table.assign(margin=table["score"] - table["domain"].map(threshold))
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

    # ---- looking through --------------------------------------------------------------------

    def sort_and_filter(
        self,
        by: str = "rank",
        ascending: bool = True,
        domain: str | None = None,
        contains: str = "",
        only_selected: bool = False,
    ) -> np.ndarray:
        """Sort and filter.

        Args:
            by: one of COLUMNS. margin is sorted by the distance from the cut. Equal values keep the
                order of domain and rank.
            ascending: the lowest first.
            domain: only documents of this one; None: of all.
            contains: plain text, upper or lower case, that the id must hold.
            only_selected: only documents that the cut chooses.

        Returns:
            Positions of the documents that pass the filters, in order.

        Raises:
            ValueError: there is no such column or domain.
        """
        if by not in COLUMNS:
            raise ValueError(f"cannot sort by {by!r}: expected one of {', '.join(COLUMNS)}")
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
            One dict of COLUMNS a document.
        """
        part = self._rows.iloc[list(positions)]
        return part.loc[:, list(COLUMNS)].to_dict("records")  # type: ignore[return-value]

    @cached_property
    def unique_ids(self) -> frozenset[str]:
        """The ids that belong to one document only."""
        ids = self._ranked["doc_id"]
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
        return f"score {row['score']:.2f} in the run, rank {row['rank']:,} of its domain, {side}"

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
