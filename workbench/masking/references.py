"""Reference sets: the named texts whose head outputs the modes "mean" and "resample" put in.

A mode that puts in what a head gives on other texts depends on these texts, so they have a name and
a digest. "mean" and "resample" alone take a sample of the environment corpus; "mean:mine" and
"resample:mine" the set that `reference_set` has registered as "mine". Records of runs state name,
digest and seed; the texts themselves stay where they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from workbench.corpus.document import Document, Skipped
from workbench.models.attention_override import Mode

ENVIRONMENT = "environment"  # the set of the modes without a name
BEGINNING = 32  # tokens of a text that decide which other text stands in for it
CHARACTERS = 8  # of a text, for each token that may be read of it


@dataclass(frozen=True)
class ReferenceSet:
    """Texts that a masked head's output is taken from; made by `reference_set`.

    Attributes:
        name: what modes and records call it.
        texts: their beginnings, as far as they can be read.
        seed: of the draw of the texts, and of which of them stands in for a text under "resample".
        max_tokens: how many tokens of each are read, BOS included.
    """

    name: str
    texts: tuple[str, ...]
    seed: int
    max_tokens: int

    @property
    def mean(self) -> Mode:
        """The mode that puts out each head's average output over this set."""
        return cast(Mode, f"mean:{self.name}")

    @property
    def resample(self) -> Mode:
        """The mode that puts out what each head gives on another text, drawn from this set."""
        return cast(Mode, f"resample:{self.name}")

    def to_json(self) -> dict[str, Any]:
        """What a record states: name, seed, max_tokens, number of texts, and a digest of all."""
        digest = hashlib.sha256(f"{self.seed} {self.max_tokens}".encode())
        for text in self.texts:
            digest.update(hashlib.sha256(text.encode()).digest())
        return {
            "name": self.name, "seed": self.seed, "max_tokens": self.max_tokens,
            "texts": len(self.texts), "sha256": digest.hexdigest(),
        }  # fmt: skip


_known: dict[str, ReferenceSet] = {}


def reference_set(
    name: str,
    texts: Iterable[str | Document | Skipped],
    *,
    documents: int = 32,
    seed: int = 0,
    max_tokens: int = 256,
) -> ReferenceSet:
    """Name the texts that masked heads take their output from.

    Registered for this process: modes find it by its name, and so does `verify_manifest`. Workers
    of `score_corpus` are given it.

    Args:
        name: letters, digits, "_", "-" and ".".
        texts: texts or documents, such as `read_corpus` gives; skipped rows are left out.
        documents: how many of them to draw.
        seed: of that draw, and of which text stands in for which under "resample".
        max_tokens: how many tokens of each are read, BOS included; at least 2.

    Returns:
        The set, whose `mean` and `resample` are modes.

    Raises:
        ValueError: the name cannot be, or is that of other texts already; a number is too small;
            or there are fewer than two different texts.
    """
    if not re.fullmatch(r"[\w.-]+", name) or name == ENVIRONMENT:
        raise ValueError(
            f"a reference set needs a name of letters, digits, '_', '-' and '.', other than "
            f"{ENVIRONMENT!r}; got {name!r:.80}"
        )
    if documents < 2 or max_tokens < 2:
        raise ValueError(
            f"documents and max_tokens must be at least 2, got {documents} and {max_tokens}"
        )
    given = [x if isinstance(x, str) else x.text for x in texts if not isinstance(x, Skipped)]
    if len({text[: CHARACTERS * max_tokens] for text in given}) < 2:
        raise ValueError(
            f"a reference set needs at least two different texts, got {len(given)}: a text must "
            "find another one than itself"
        )
    order = np.random.default_rng(seed).permutation(len(given))[:documents]
    drawn = tuple(given[i][: CHARACTERS * max_tokens] for i in sorted(order))
    return register(ReferenceSet(name, drawn, seed, max_tokens))


def register(made: ReferenceSet) -> ReferenceSet:
    """Let modes find a reference set by its name.

    Args:
        made: the set.

    Returns:
        The set.

    Raises:
        ValueError: the name is that of other texts already.
    """
    if _known.setdefault(made.name, made) != made:
        raise ValueError(
            f"the reference set {made.name!r} holds other texts or another seed already: take "
            "another name, since scores made with it are known by its name"
        )
    return made


def kind_of(mode: str) -> Mode:
    """What a masked head does under a mode, without the name of the reference set.

    Args:
        mode: such as "uniform" or "mean:mine".

    Returns:
        "uniform", "zero", "mean" or "resample", or whatever stands there.
    """
    return cast(Mode, mode.partition(":")[0])


def reference_of(mode: str) -> ReferenceSet | None:
    """The reference set of a mode.

    Args:
        mode: such as "uniform" or "mean:mine".

    Returns:
        The set; None where the mode needs none.

    Raises:
        ValueError: no set of that name is known, or the mode takes none.
    """
    kind, colon, name = mode.partition(":")
    if kind not in ("mean", "resample"):
        if colon:
            raise ValueError(f"mode {kind!r} takes no reference set, got {mode!r:.80}")
        return None
    name = name if colon else ENVIRONMENT
    if name not in _known and name == ENVIRONMENT:
        from workbench.corpus.environment import environment_corpus

        texts = [document.text for document in environment_corpus(max_documents=32, seed=0)]
        _known[name] = ReferenceSet(name, tuple(t[: CHARACTERS * 256] for t in texts), 0, 256)
    if name not in _known:
        raise ValueError(
            f"no reference set {name!r} is known here: make it with reference_set({name!r}, texts)"
        )
    return _known[name]


def is_known(stated: Mapping[str, Any]) -> bool:
    """Whether a set that a record states is that of this process.

    Args:
        stated: what `ReferenceSet.to_json` gave.

    Returns:
        Whether there is a set of that name with the same texts and seed.
    """
    try:
        found = reference_of(f"mean:{stated['name']}")
    except ValueError:
        return False
    return found is not None and found.to_json() == dict(stated)


def donor(of: ReferenceSet, ids: Sequence[int], rows: Sequence[Sequence[int]]) -> int:
    """Which text of a set stands in for a text under "resample".

    The seed and the text's beginning alone decide, so a document gets the same one in any run and
    order. A text of the set that begins as the given one does is passed over.

    Args:
        of: the set.
        ids: token ids of the text, with the special prefix; none: the seed alone decides.
        rows: token ids of the texts of the set, likewise.

    Returns:
        The number of the row.

    Raises:
        ValueError: every text of the set begins as this one does.
    """
    key = f"{of.seed} {' '.join(map(str, ids[:BEGINNING]))}".encode()
    start = int(hashlib.sha256(key).hexdigest()[:8], 16)
    for step in range(len(rows)):
        row = rows[(start + step) % len(rows)]
        same = bool(ids) and list(row[: len(ids)]) == list(ids[: len(row)])
        if len(row) > 1 and not same:
            return (start + step) % len(rows)
    raise ValueError(
        f"no other text in the reference set {of.name!r}: every one begins as the given text does"
    )
