"""MinHash signatures of texts: short rows of numbers that agree where the texts' n-grams do.

The hashing of n-grams is ours, whole texts at a time; the permutations, and the choice of bands for
a threshold, are those of the library datasketch.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import Literal

import numpy as np

Unit = Literal["words", "characters"]
NGRAM = {"words": 5, "characters": 13}
# A missed pair is lost, a false candidate is refused by its signature: misses weigh 49 times more.
# With 128 permutations and the threshold 0.8 that makes 17 bands of 7, and 98 % of the pairs at
# the threshold are looked at, 99.9 % of those at 0.85.
_WEIGHTS = (0.02, 0.98)
# Chinese, Japanese, Thai, Lao, Burmese and Khmer put no spaces between words: there each character
# is a word, or a whole sentence would be one, and its twin with one other character a stranger.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_RUN = re.compile(r"\w+")
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_SLICE = 1 << 15  # shingles permuted at a time, since each becomes a row of permutations


class Sketch:
    """MinHash signatures by datasketch, and how they are cut into bands.

    Attributes:
        bands: how many bands a signature has.
        rows: numbers of a signature in one band.
        permutations: length of a signature.
        ngram: words or characters of an n-gram.
        unit: "words" or "characters".
        threshold: the least similarity at which two documents are joined.

    Args:
        threshold: the least Jaccard similarity, in (0, 1).
        permutations: length of a signature.
        ngram: words or characters of an n-gram.
        unit: "words" or "characters".
        seed: seed of the permutations.

    Raises:
        ValueError: the threshold lies outside its range.
        ImportError: the package datasketch is missing.
    """

    def __init__(self, threshold: float, permutations: int, ngram: int, unit: Unit, seed: int):
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError as error:
            raise ImportError(
                "near-duplicates need the package `datasketch`, which is not installed; run: "
                "pip install attention-influence-workbench[scale] (threshold=None finds exact "
                "duplicates without it)"
            ) from error
        if isinstance(threshold, bool) or not 0 < threshold < 1:
            raise ValueError(f"threshold must be between 0 and 1, or None, got {threshold!r}")
        # Its dictionaries would take kilobytes a document; only its choice of bands is wanted.
        index = MinHashLSH(threshold=threshold, num_perm=permutations, weights=_WEIGHTS)
        self.bands, self.rows = index.b, index.r
        self.permutations, self.ngram, self.unit = permutations, ngram, unit
        self.threshold = threshold
        self._hash = MinHash(permutations, seed=seed, hashfunc=int)

    def signature(self, text: str) -> np.ndarray | None:
        """The signature of a text.

        Args:
            text: the text.

        Returns:
            uint32 (permutations,), or None for a text without a word.
        """
        shingles = _shingles(text, self.ngram, self.unit)
        if not len(shingles):
            return None
        self._hash.clear()
        for start in range(0, len(shingles), _SLICE):
            self._hash.update_batch(shingles[start : start + _SLICE])
        return self._hash.hashvalues.astype(np.uint32)


def _shingles(text: str, ngram: int, unit: Unit) -> np.ndarray:
    """The hashes (uint32, sorted, distinct) of the n-grams of a text; a shorter text is one."""
    parts = part_hashes(text, unit)
    hashes = ngram_hashes(parts, min(ngram, len(parts)))
    return np.unique((hashes >> np.uint64(32)).astype(np.uint32))


def part_hashes(text: str, unit: Unit = "words") -> np.ndarray:
    """The hash of each word or character of a text, in order.

    Args:
        text: the text. Upper and lower case count as one, punctuation does not count, and a
            character of a script without spaces between words is a word.
        unit: "words" or "characters"; of the latter, a run of anything but letters and digits is
            one space.

    Returns:
        uint64 (parts,).
    """
    text = text.casefold()
    parts = _WORD.findall(text) if unit == "words" else " ".join(_RUN.findall(text))
    return np.fromiter(map(_part_hash, parts), np.uint64, len(parts))


def ngram_hashes(parts: np.ndarray, n: int) -> np.ndarray:
    """The hash of each run of n parts.

    Args:
        parts: what `part_hashes` returned, (parts,).
        n: length of a run, 0 or more.

    Returns:
        uint64 (parts - n + 1,); empty where there are fewer parts, or n is 0.
    """
    mixed = np.zeros(max(len(parts) - n + 1, 0) if n else 0, np.uint64)
    for place in range(n):
        mixed = mix(mixed, parts[place : place + len(mixed)])
    return mixed


@functools.lru_cache(maxsize=1 << 18)
def _part_hash(part: str) -> int:
    # Not hash(): it differs from run to run. A lone surrogate never comes out of a corpus.
    return int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "big")


def mix(state: np.ndarray, value: np.ndarray) -> np.ndarray:
    """One step of a polynomial hash modulo 2**64; the multiplier is odd, so nothing is lost.

    Args:
        state: hashes so far, uint64.
        value: the numbers to mix into them, of the same shape.
    """
    return state * np.uint64(0x9E3779B97F4A7C15) + value.astype(np.uint64) + np.uint64(1)
