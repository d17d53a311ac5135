"""The levels of a verification, in order of cost: what each shows and what it leaves open.

A level includes those before it. The help of the command shows this, so nothing is imported here.
"""

from __future__ import annotations

from collections.abc import Iterable

LEVELS = ("files", "sources", "ranks", "texts", "scores")
# These are about files that a manifest may be published without, and no level's statement hangs on
# them; that the ranked rows are those of the score files is a check of its own.
NOT_NEEDED = ("run.json", "receipts", "score files", "skipped documents")

# level: (what a pass shows, what it does not)
MEANING = {
    "files": (
        "every listed file is there with the stated size and SHA-256, the list is complete, "
        "manifest, run record and run.json say the same, and the model passed all checks of its "
        "certificate when it scored",
        "that the files are right: whoever writes a manifest can state the hashes of any files",
    ),
    "sources": (
        "each source that is named is a file of the given corpus and reaches to its last ranked "
        "row",
        "that the rows still hold the same texts",
    ),
    "ranks": (
        "scores, ranks, thresholds, counts, shares and the duplicate policy follow from the "
        "losses, and the ranked rows are those of the score files",
        "that the losses are those of the texts, or of the model",
    ),
    "texts": (
        "the text of every ranked row has the stated SHA-256; of a sample, that of the drawn "
        "rows, which bounds the share of changed texts but hardly ever finds a single one",
        "that the losses are those of these texts",
    ),
    "scores": (
        "the model is the stated one, passes its checks here and now, and gives the stated losses "
        "for a few ranked documents",
        "the losses of the documents that were not drawn, nor that the corpus was scored whole",
    ),
}


def spoken_levels() -> str:
    """What each level shows and what not.

    Returns:
        A paragraph a level.
    """
    return "\n\n".join(
        f"{level}: {shows}. Not shown: {open_}." for level, (shows, open_) in MEANING.items()
    )


def reached(checks: Iterable[tuple[str, bool | None, str]]) -> str | None:
    """The last level up to which every check was made and passed.

    Sources may be left unchecked by later levels: ranks follow from the files alone, and texts show
    more of the sources than their names.

    Args:
        checks: name, outcome (None: not made) and level of each check.

    Returns:
        The name of the level, None if not even the first was reached.
    """
    outcomes: dict[str, list[bool | None]] = {level: [] for level in LEVELS}
    for name, ok, level in checks:
        if ok is not None or name not in NOT_NEEDED:
            outcomes[level].append(ok)
    last = None
    for level in LEVELS:
        if outcomes[level] and all(outcomes[level]):
            last = level
        elif level != "sources" or False in outcomes[level]:
            break
    return last


def levels_to(level: str | None) -> tuple[str, ...]:
    """The levels up to one of them.

    Args:
        level: the last one; None for all.

    Returns:
        Their names, in order of cost.

    Raises:
        ValueError: if there is no such level.
    """
    if level is None:
        return LEVELS
    if level not in LEVELS:
        raise ValueError(f"level must be one of {list(LEVELS)}, got {level!r:.50}")
    return LEVELS[: LEVELS.index(level) + 1]
