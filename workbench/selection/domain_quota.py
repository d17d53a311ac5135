"""The cut through one domain: who is chosen, walking down its ranking, and the figures of that.

One walk for tables in memory and for files of any size, since it takes the ranking in pieces.
"""

from __future__ import annotations

import math
import numbers
from fractions import Fraction
from typing import Any, Literal

import numpy as np

By = Literal["documents", "tokens"]
NO_GROUP = -1  # the code of a document that shares its text or cluster with none


def share_of(fraction: float) -> Fraction:
    """The fraction that the user meant: 0.07 of 100 is 7, though the float is above it.

    Args:
        fraction: in (0, 1].

    Returns:
        The nearest fraction whose denominator is at most 10**9.

    Raises:
        ValueError: for what is no number in (0, 1].
    """
    if not isinstance(fraction, numbers.Real) or not 0 < fraction <= 1:
        raise ValueError(f"fraction must be a number in (0, 1], got {fraction!r}; try 0.2")
    return Fraction(float(fraction)).limit_denominator(10**9)


def check_by(by: By) -> None:
    """Refuse a way to count the share that does not exist.

    Args:
        by: "documents" or "tokens".

    Raises:
        ValueError: for anything else.
    """
    if by not in ("documents", "tokens"):
        raise ValueError(f"by must be 'documents' or 'tokens', got {by!r}")


class DomainQuota:
    """Chooses the top share of one domain, of which at most `limit` of a duplicate group.

    Args:
        domain: name of the domain.
        documents: how many documents the whole domain has.
        tokens: how many tokens the whole domain has.
        share: the share to choose.
        by: whether the share is one of the documents or of the tokens.
        limit: how many chosen documents may have the same text, or be in the same cluster; None for
            any number.
        texts: int32 (groups,), zero before the first `take`, in which the chosen documents with the
            same text are counted; the codes that `take` is given are places in it. Domains may
            share the array, but not the codes.
        clusters: the same for the clusters of near-duplicates; None when nobody looked for them.
    """

    def __init__(
        self,
        domain: str,
        documents: int,
        tokens: int,
        share: Fraction,
        by: By,
        limit: int | None,
        texts: np.ndarray,
        clusters: np.ndarray | None,
    ) -> None:
        self.domain, self._documents, self._tokens = domain, documents, tokens
        self._by, self._limit = by, limit
        # Integers on both sides: a float sum could stop one document early or late. At least one
        # document, since a share below one part in 10**9 was rounded to nothing.
        self._remaining = max(1, math.ceil(share * (documents if by == "documents" else tokens)))
        self._held = (texts, clusters)
        self._not_alone = [0, 0]
        self._chosen = self._chosen_tokens = self._skipped = self._ties = 0
        self._threshold = math.nan
        self._last_score, self._last_count = math.nan, 0

    def take(
        self, score: np.ndarray, tokens: np.ndarray, text: np.ndarray, cluster: np.ndarray | None
    ) -> np.ndarray:
        """Go on down the ranking, by documents in the order of their ranks.

        Args:
            score: float64 (documents,).
            tokens: int64 (documents,).
            text: int64 (documents,), the code of the group of documents with the same text;
                NO_GROUP for a document whose text no other one of its domain has.
            cluster: the same for the clusters of near-duplicates, None without them.

        Returns:
            bool (documents,): which of these documents are chosen.
        """
        codes = (text, cluster)
        chosen = np.zeros(len(score), dtype=bool)
        if self._remaining > 0:
            allowed = self._allowed(codes)
            sizes = allowed.astype("int64") if self._by == "documents" else tokens * allowed
            total = np.cumsum(sizes)
            end = int(np.searchsorted(total, self._remaining, side="left")) + 1
            chosen[:end] = allowed[:end]
            self._remaining -= int(total[min(end, len(total)) - 1])
            self._skipped += int((~allowed[:end]).sum())
            self._chosen += int(chosen.sum())
            self._chosen_tokens += int(tokens[chosen].sum())
            for kind, code in enumerate(codes):
                if code is not None:
                    self._not_alone[kind] += _count_in(self._held[kind], code[chosen])
        self._count_ties(score, chosen)
        return chosen

    def _allowed(self, codes: tuple[np.ndarray, np.ndarray | None]) -> np.ndarray:
        """Which documents no duplicate stands in the way of, if the walk goes on to the end."""
        text, cluster = codes
        allowed = np.ones(len(text), dtype=bool)
        if self._limit is None:
            return allowed
        grouped = (
            text != NO_GROUP if cluster is None else (text != NO_GROUP) | (cluster != NO_GROUP)
        )
        places = np.flatnonzero(grouped)
        kinds: list[tuple[np.ndarray, list[int], dict[int, int]]] = [
            (held, code[places].tolist(), {})
            for held, code in zip(self._held, codes, strict=True)
            if held is not None and code is not None
        ]
        for number, place in enumerate(places.tolist()):
            counts = []
            for held, code, taken in kinds:
                group = code[number]
                if group != NO_GROUP:
                    count = taken.get(group)
                    counts.append((taken, group, int(held[group]) if count is None else count))
            if all(count < self._limit for _, _, count in counts):
                for taken, group, count in counts:
                    taken[group] = count + 1
            else:
                allowed[place] = False
        return allowed

    def _count_ties(self, score: np.ndarray, chosen: np.ndarray) -> None:
        """Documents of equal score stand together, but a piece may end among them."""
        if chosen.any():
            self._threshold = float(score[np.flatnonzero(chosen)[-1]])
            self._ties = self._last_count if self._last_score == self._threshold else 0
        self._ties += int((score == self._threshold).sum())
        before = self._last_count if self._last_score == score[-1] else 0
        self._last_score = float(score[-1])
        self._last_count = before + int((score == self._last_score).sum())

    def row(self) -> dict[str, Any]:
        """The figures of the domain, once all of its ranking was taken.

        Returns:
            A row of `Selection.domains`, by column.
        """
        clustered = self._held[1] is not None
        return {
            "domain": self.domain,
            "threshold": self._threshold,
            "documents_seen": self._documents,
            "documents_selected": self._chosen,
            "tokens_seen": self._tokens,
            "tokens_selected": self._chosen_tokens,
            "documents_share": self._chosen / self._documents,
            "tokens_share": self._chosen_tokens / self._tokens,
            "ties_at_threshold": self._ties,
            "exact_duplicates_selected": self._not_alone[0],
            "near_duplicates_selected": self._not_alone[1] if clustered else None,
            "duplicates_passed_over": self._skipped,
        }


def _count_in(held: np.ndarray | None, codes: np.ndarray) -> int:
    """Count chosen members into their groups; return how many more now share a group."""
    if held is None:
        return 0
    groups, new = np.unique(codes[codes != NO_GROUP], return_counts=True)
    before = held[groups]
    after = before + new
    held[groups] = after
    return int(after[after > 1].sum() - before[before > 1].sum())
