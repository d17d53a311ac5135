"""Documents as rows of tokens for training: a mixture, shuffled, without end.

One epoch holds every document as often as its weight says, in an order drawn from the seed; behind
each stands the tokenizer's end token. The stream is cut into rows of one length, so that any two
mixtures give the same number of tokens a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from transformers import PreTrainedTokenizerFast

from workbench.corpus.document import Document

Tokens = TypeVar("Tokens", Sequence[int], np.ndarray)


class TokenRows:
    """An endless, seeded stream of rows of token ids from weighted documents.

    Attributes:
        weights: how often each document comes in an epoch, shape (documents,).
        ids: the token ids of each document, its end token included.
        length: tokens in a row.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerFast,
        length: int,
        weights: Sequence[float] | None = None,
    ) -> None:
        """Encode the documents.

        Args:
            documents: the mixture.
            tokenizer: must have an end token, which stands behind every document.
            length: tokens in a row.
            weights: how often each document comes in an epoch, one number of 0 or more a document;
                None: once. 2.5 is two times, and a third in every other epoch on average.

        Raises:
            ValueError: there is not one finite weight of 0 or more a document, the tokenizer has no
                end token, a text is no valid Unicode, or an epoch holds fewer tokens than a row.
        """
        self.weights = np.ones(len(documents)) if weights is None else np.array(weights, float)
        if self.weights.shape != (len(documents),):
            raise ValueError(
                f"one weight of 0 or more a document: got {len(self.weights)} weights for "
                f"{len(documents)} documents"
            )
        wrong = np.flatnonzero(~(np.isfinite(self.weights) & (self.weights >= 0)))
        if len(wrong):
            raise ValueError(
                f"a weight is 0 or more, and finite: that of document {wrong[0]} is "
                f"{self.weights[wrong[0]]}"
            )
        if not len(documents):
            raise ValueError("no documents to make rows of: a mixture needs one at least")
        end = tokenizer.eos_token_id
        if end is None:
            raise ValueError(
                "the tokenizer has no end token, which stands behind every document: set "
                "tokenizer.eos_token to one of its tokens, or train_tokenizer(texts)"
            )
        texts = [document.text for document in documents]
        for number, text in enumerate(texts):
            if not text.isascii():
                _require_utf8(text, number)
        encoded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        self.ids = [np.array([*tokens, end], dtype=np.int64) for tokens in encoded]
        self.length = length
        if not self.tokens >= length:
            raise ValueError(
                f"{len(documents)} documents give {self.tokens:.0f} tokens an epoch: a row needs "
                f"{length}"
            )

    @property
    def tokens(self) -> float:
        """Tokens in one epoch, the ends of documents included."""
        return float(sum(w * len(ids) for w, ids in zip(self.weights, self.ids, strict=True)))

    @property
    def digest(self) -> str:
        """sha256 over tokens and weights: equal digests give equal rows for equal seeds."""
        digest = hashlib.sha256(self.weights.tobytes())
        for tokens in self.ids:
            digest.update(len(tokens).to_bytes(8, "little") + tokens.tobytes())
        return digest.hexdigest()

    def rows(self, seed: int, start: int = 0) -> Iterator[np.ndarray]:
        """The rows in training order, epoch after epoch.

        Args:
            seed: of the order, and of which documents of broken weight come once more.
            start: number of the first row.

        Yields:
            Token ids, shape (length,), without end.
        """
        rest, skip = np.zeros(0, np.int64), start * self.length
        epoch = 0
        while True:
            rng = np.random.default_rng([seed, epoch])
            whole = self.weights.astype(int)
            times = whole + (rng.random(len(whole)) < self.weights - whole)
            for number in rng.permutation(np.repeat(np.arange(len(times)), times)):
                ids = self.ids[number]
                if skip >= len(ids):
                    skip -= len(ids)
                    continue
                rest, skip = np.concatenate([rest, ids[skip:]]), 0
                while len(rest) >= self.length:
                    yield rest[: self.length]
                    rest = rest[self.length :]
            epoch += 1

    def middles(self, most: int) -> np.ndarray:
        """Rows from the middle of the documents, in order, for held-out text.

        A document gives the rows that fit into its middle half, one at least; documents that are
        shorter than a row are strung together behind the others.

        Args:
            most: rows of one document at most, 1 or more.

        Returns:
            Token ids, shape (rows, length); the tail of short documents that fills no row is
            dropped.
        """
        longer = [ids for ids in self.ids if len(ids) >= self.length]
        shorter = [ids for ids in self.ids if len(ids) < self.length]
        rows = [min(max(len(ids) // 2 // self.length, 1), most) for ids in longer]
        parts = [middle(ids, count * self.length) for ids, count in zip(longer, rows, strict=True)]
        strung = np.concatenate([np.zeros(0, np.int64), *shorter])
        parts.append(strung[: len(strung) // self.length * self.length])
        return np.concatenate(parts).reshape(-1, self.length)


def middle(ids: Tokens, length: int) -> Tokens:
    """The tokens in the middle of a held-out document, where no header or preamble stands.

    Args:
        ids: the tokens of the document, (tokens,).
        length: how many tokens are taken.

    Returns:
        The middle `length` of them; all of a shorter document.
    """
    start = max(len(ids) - length, 0) // 2
    return ids[start : start + length]


def require_held_out(
    documents: Sequence[Document], weights: np.ndarray, held_out: Sequence[Document]
) -> None:
    """Refuse held-out documents whose very text is trained on.

    Args:
        documents: the training corpus.
        weights: how often each of them is trained on, shape (documents,).
        held_out: the documents that are not to be trained on.

    Raises:
        ValueError: a text is in both.
    """
    pairs = zip(documents, weights, strict=True)
    trained = {document.text for document, weight in pairs if weight > 0}
    both = [document.doc_id for document in held_out if document.text in trained]
    if both:
        raise ValueError(
            f"{len(both)} of {len(held_out)} held-out documents are trained on, for example "
            f"{both[0]!r:.200}: held_out_split(documents) makes two parts without each other's "
            "texts and near-duplicates"
        )


def _require_utf8(text: str, number: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"document {number} has a lone surrogate at character {error.start}, which no "
            "tokenizer reads: decode its bytes with errors='replace'"
        ) from error
