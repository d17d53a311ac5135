"""The table of scores: one row a document, with the record of the run that made them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from workbench.core.frames import TableLike
from workbench.core.text import counted, escape_control_characters
from workbench.corpus.alignment import documents_of
from workbench.corpus.columns import Named
from workbench.scoring.passages import read_text

_DOMAINS_SHOWN = 10


@dataclass(frozen=True, eq=False, repr=False)
class ScoreTable:
    """Scores of a corpus: the rows, the run that made them, and what has no score.

    Attributes:
        frame: one row a document that has a score, in the order of the corpus, with the columns of
            `workbench.scoring.schema.SCORE_ROW` (see `score_corpus`).
        run: the record that manifests are made of; its "domain_from" counts whether domains came
            from a column, a sub-folder or neither.
        skipped: the documents that cannot be scored: of each doc_id, domain, source, row and
            reason.
        corpus: what was scored, for `text`; None for a table from files, and where the corpus gave
            its documents only once.
        columns: the names of the corpus's columns of id, text and domain.
    """

    frame: pd.DataFrame
    run: dict[str, Any]
    skipped: list[dict[str, Any]]
    corpus: Any = None
    columns: Named | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def keep(self, mask: pd.Series | np.ndarray | Sequence[bool]) -> ScoreTable:
        """Leave rows out and keep the run, so that a selection can still become a manifest.

        `table.keep(table.frame["compression_ratio"] > 0.4)` leaves repetitive documents out. The
        manifest of a selection then states how many scored documents were left out.

        Args:
            mask: whether each row stays, a bool a row in the order of `frame`.

        Returns:
            The table of the rows that stay, numbered from 0, with the same run and the same
            skipped documents. `frame` of this table is left as it is.

        Raises:
            ValueError: the mask is not one bool for each row, or belongs to another frame.
        """
        stays = pd.Series(mask)
        is_foreign = isinstance(mask, pd.Series) and not mask.index.equals(self.frame.index)
        is_bool = pd.api.types.is_bool_dtype(stays) and not stays.isna().any()
        if is_foreign or not is_bool or len(stays) != len(self):
            raise ValueError(
                f"keep takes True or False for each of the {len(self)} rows of this table's frame, "
                f"as in table.keep(table.frame['tokens'] > 100); got {len(stays)} values of type "
                f"{stays.dtype}" + (" with the index of another frame" if is_foreign else "")
            )
        rows = self.frame[stays.to_numpy(dtype=bool)].reset_index(drop=True)
        return replace(self, frame=rows)

    def text(self, row: int, corpus: Any = None) -> str:
        """The text that a row was scored by, as far as it was read.

        Args:
            row: the number of the row in `frame`.
            corpus: what the table was scored from; None: what it holds itself.

        Returns:
            The passages that were read, "[...]" between them.

        Raises:
            ValueError: there is no corpus, no such row, the document is not in the corpus or has
                another text there, or the tokenizer did not say what was read.
            CorpusError: the corpus cannot be read.
        """
        if corpus is None and self.corpus is None:
            raise ValueError(
                "this table does not hold its corpus, which text() reads from: give "
                "text(row, corpus), what the table was scored from"
            )
        if not 0 <= row < len(self):
            raise ValueError(f"the table has the rows 0 to {len(self) - 1}, got {row}")
        of_row = self.frame.iloc[[row]]
        named = self.columns or Named(id="id", text="text", domain="domain")
        (document,) = documents_of(of_row, self.corpus if corpus is None else corpus, **named)
        spans = of_row["read"].iloc[0] if "read" in of_row else None
        if not isinstance(spans, str):
            raise ValueError(
                f"it is not known which part of document {document.doc_id!r:.100} was read: its "
                "run is of an older version, or the tokenizer does not say"
            )
        return read_text(document.text, spans)

    def _heading(self) -> str:
        domains = self.frame["domain"].nunique()
        return (
            f"ScoreTable: {counted(len(self), 'document')} in {counted(domains, 'domain')}, "
            f"{len(self.skipped):,} skipped (rows: .frame)"
        )

    def _domains(self) -> pd.DataFrame:
        """How many documents each domain has, and their mean score; names written out."""
        domains = self.frame.groupby("domain", as_index=False).agg(
            documents=("score", "size"), mean_score=("score", "mean")
        )
        names = [escape_control_characters(str(name)) for name in domains["domain"]]
        return domains.assign(domain=names)

    def __repr__(self) -> str:
        if not len(self):
            return self._heading()
        with pd.option_context("display.max_colwidth", 50):
            rows = self._domains().to_string(
                index=False, max_rows=_DOMAINS_SHOWN, float_format="{:.4g}".format
            )
        return f"{self._heading()}\n{rows}"

    def _repr_html_(self) -> str:
        heading = f"<p>{self._heading()}</p>"
        if not len(self):
            return heading
        # Domain names are text from the web, so pandas' escaping is asked for by name.
        return heading + self._domains().to_html(
            index=False, escape=True, max_rows=_DOMAINS_SHOWN, float_format="{:.4g}".format
        )


def run_of(table: TableLike) -> dict[str, Any] | None:
    """The record of the run that made a table of scores.

    Args:
        table: a ScoreTable, or a frame with its columns.

    Returns:
        A copy of its record; None for a frame, which has none.
    """
    return copy.deepcopy(table.run) if isinstance(table, ScoreTable) else None
