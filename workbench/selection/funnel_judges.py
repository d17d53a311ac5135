"""Judges of a funnel that can be said in a line: a pattern in the text, or verdicts in a table.

Any function from documents to verdicts is a judge (`workbench.selection.filter_funnel`). These two
need no Python of the user's, so the command line offers them, and the manifest says what they were.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.core.files import sha256_of
from workbench.core.parquet import read_table
from workbench.corpus.document import Document
from workbench.selection.filter_funnel import visible_text

IDS = ("doc_id", "id")  # the columns that a table of verdicts may name documents by
_WORDS = {
    "true": True, "yes": True, "1": True, "exclude": True,
    "false": False, "no": False, "0": False, "keep": False, "": None,
}  # fmt: skip


@dataclass(frozen=True)
class PatternJudge:
    """Excludes a document in whose text a regular expression is found, and keeps the others.

    The text is searched as it is seen: in normal form, without hidden joiners and soft hyphens.

    Attributes:
        pattern: the regular expression; it is searched anywhere, in any case.
    """

    pattern: str

    def __post_init__(self) -> None:
        """Refuse what is no regular expression.

        Raises:
            ValueError: it is none, and why.
        """
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(
                f"the judge's pattern {self.pattern!r:.200} is no regular expression ({error}): "
                r"give one of Python's re, such as 'synthes(is|ize)', and write \( for a bracket"
            ) from None

    def __call__(self, documents: Sequence[Document]) -> list[bool]:
        """Judge documents.

        Args:
            documents: the documents in doubt.

        Returns:
            For each whether to exclude it.
        """
        wanted = re.compile(self.pattern, re.IGNORECASE)
        return [wanted.search(visible_text(document.text)) is not None for document in documents]

    def to_json(self) -> dict[str, Any]:
        """What a manifest states of it: the pattern."""
        return {"pattern": self.pattern}


@dataclass(frozen=True, eq=False, repr=False)
class VerdictJudge:
    """Looks verdicts up by the id of the document; who is not in the table has none.

    Attributes:
        verdicts: by document id whether to exclude it; None: no verdict.
        stated: what a manifest states of the table.
    """

    verdicts: Mapping[str, bool | None]
    stated: Mapping[str, Any]

    @classmethod
    def read(
        cls, path: str | Path, column: str = "exclude", from_: float | None = None
    ) -> VerdictJudge:
        """The judge that a table of verdicts is.

        Args:
            path: a .jsonl, .csv or .parquet file with a row a document: its id in doc_id or id, and
                the verdict. What `wb.judge` gives, written to a file, is such a table.
            column: with the verdict: true (exclude) or false; empty where there is none. Also yes
                and no, 1 and 0, exclude and keep. With `from_` a number.
            from_: the number from which a document is excluded; None: the column holds no numbers
                but 0 and 1.

        Returns:
            The judge.

        Raises:
            ValueError: the file is no such table, lacks a column, holds a value that is no verdict,
                or two verdicts on one document.
        """
        path = Path(path)
        table = _table(path)
        key = next((name for name in IDS if name in table.columns), None)
        if key is None or column not in table.columns:
            lacking = f"no column {column!r:.80}" if key else f"neither {' nor '.join(IDS)}"
            raise ValueError(
                f"the table of verdicts {str(path)!r:.200} has {lacking}; it has "
                f"{', '.join(map(str, table.columns))[:200]}. Give a row a document, with its id "
                "in doc_id or id, and name the column with the verdict"
            )
        verdicts: dict[str, bool | None] = {}
        for number, (name, value) in enumerate(zip(table[key], table[column], strict=True), 1):
            verdict = _verdict(value, from_, f"row {number} of {str(path)!r:.200}, {column!r:.80}")
            if verdicts.setdefault(str(name), verdict) != verdict:
                raise ValueError(
                    f"{str(path)!r:.200} holds two verdicts on document {name!r:.100}: leave one, "
                    "or give documents ids that occur once"
                )
        stated = {"verdicts_sha256": sha256_of(path), "column": column, "from": from_}
        return cls(verdicts, stated)

    def __call__(self, documents: Sequence[Document]) -> list[bool | None]:
        """Judge documents.

        Args:
            documents: the documents in doubt.

        Returns:
            For each whether to exclude it; None where the table does not say.

        Raises:
            ValueError: two of the documents have one id, so a verdict on one would be on both.
        """
        twice = [x for x, n in Counter(d.doc_id for d in documents).items() if n > 1]
        if twice:
            raise ValueError(
                f"{len(twice)} ids are those of two documents in doubt, first {twice[0]!r:.100}: "
                "verdicts are by document id, so give a column of ids that occur once"
            )
        return [self.verdicts.get(document.doc_id) for document in documents]

    def to_json(self) -> dict[str, Any]:
        """What a manifest states of it: digest of the file, column, and the least number."""
        return dict(self.stated)

    def __repr__(self) -> str:
        return f"VerdictJudge: verdicts on {len(self.verdicts):,} documents"


def _table(path: Path) -> pd.DataFrame:
    """The rows of a table of verdicts, its values as they stand there."""
    if path.suffix == ".parquet":
        return read_table(path).to_pandas()
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    if path.suffix != ".jsonl":
        raise ValueError(f"verdicts are a .jsonl, .csv or .parquet file, got {str(path)!r:.200}")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(
                f"line {number} of {str(path)!r:.200} is no object of JSON, such as "
                f'{{"id": "a", "exclude": true}}; got {line!r:.100}'
            )
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)


def _verdict(value: Any, from_: float | None, where: str) -> bool | None:
    """Whether to exclude, from one value of the column; None: it says nothing."""
    if value is None or value is pd.NA or value != value or str(value).strip() == "":
        return None
    if from_ is None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        word = f"{value:g}" if number else str(value).strip().lower()
        if word in _WORDS:
            return _WORDS[word]
        advice = "give true or false, or say from which number on a document is excluded"
    else:
        try:
            return float(value) >= from_
        except (TypeError, ValueError):
            advice = "give numbers, or leave out the number from which documents are excluded"
    raise ValueError(f"{where}, holds {value!r:.80}, no verdict: {advice}")
