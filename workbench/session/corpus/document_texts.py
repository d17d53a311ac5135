"""The texts behind scores, read from the corpus when they are asked for."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from workbench.corpus.boilerplate import SharedNgrams, shared_ngrams
from workbench.corpus.places import CorpusPlaces
from workbench.corpus.reading import CorpusError, Document, text_sha256
from workbench.scoring.passages import read_text

BEGINNING = 160  # characters
PASSAGES = re.compile(r"\d{1,15}:\d{1,15}(,\d{1,15}:\d{1,15})*")


class DocumentTexts:
    """The texts of scored documents, which must be those that were scored.

    Attributes:
        corpus: what was scored, or None, which leaves the texts out of reach.
        columns: names of its columns id, text and domain, where they were given.
    """

    def __init__(self, scores: pd.DataFrame, corpus: Any, **columns: Any) -> None:
        """Look nothing up yet.

        Args:
            scores: source, row, text_sha256 and, where the run says, read, by position.
            corpus: what was scored; None: it is not at hand.
            **columns: id, text and domain: names of the columns of the corpus.
        """
        self.corpus, self.columns = corpus, columns
        self._scores = scores
        unknown = pd.Series(None, index=scores.index, dtype=object)
        self._read = scores.get("read", unknown)
        self._places = CorpusPlaces(corpus, **columns)

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
        if not 0 <= position < len(self._scores):
            raise IndexError(
                f"no document at position {position}: expected one of 0 to "
                f"{len(self._scores) - 1}, as sort_and_filter() gives them"
            )
        row = self._scores.iloc[position]
        self._require_corpus("its texts cannot be shown")
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
        return self.part_read(position, self.document(position).text)

    def part_read(self, position: int, text: str) -> str:
        """What was read of a document whose text is at hand.

        Args:
            position: of the document.
            text: its text.

        Returns:
            As `text_read`.
        """
        return _read_of(text, self._read.iloc[position])

    def beginning(self, position: int) -> str:
        """The first words of what was read of a document, for a list of documents.

        Args:
            position: of the document.

        Returns:
            At most BEGINNING characters, with single spaces; empty where the text is not at hand,
            or where what lies before it would have to be read.
        """
        if self.corpus is None:
            return ""
        try:
            if not self._places.is_quick(str(self._scores["source"].iloc[position])):
                return ""
            start = self.text_read(position)[: 4 * BEGINNING]
        except CorpusError:
            return ""
        return " ".join(start.split())[:BEGINNING]

    def shared_ngrams(self) -> SharedNgrams:
        """How much of what was read of each document stands in others.

        Returns:
            The shares.

        Raises:
            CorpusError: the corpus is not at hand.
        """
        self._require_corpus("its n-grams cannot be counted")
        places = zip(self._scores["source"], self._scores["row"], strict=True)
        spans = dict(zip(places, self._read, strict=True))
        return shared_ngrams(
            self.corpus, part=lambda document: _read_of(document.text, spans.get(_place(document))),
            **self.columns,
        )  # fmt: skip

    def _require_corpus(self, without: str) -> None:
        if self.corpus is None:
            raise CorpusError(
                f"the scores are here but the corpus is not, so {without}: load them together, as "
                "in session.load(folder, corpus)"
            )


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
