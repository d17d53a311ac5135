"""Which part of a long document is read, and where it lies in the text.

A document that is longer than max_tokens is read in part. From its beginning, that is often a
licence header, a menu or a table of contents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

Read = Literal["start", "middle", "spread"]
PASSAGES = 4  # of a spread document
GAP = "\n[...]\n"  # between the passages of a text that was not read whole


def require_read(read: str) -> None:
    """Refuse a way of reading that does not exist.

    Args:
        read: "start", "middle" or "spread".

    Raises:
        ValueError: for anything else.
    """
    if read not in get_args(Read):
        raise ValueError(
            f"read must be 'start', 'middle' or 'spread', which say what is read of a document "
            f"longer than max_tokens; got {read!r:.50}"
        )


def passages(tokens: int, max_tokens: int | None, read: Read) -> list[tuple[int, int]]:
    """Which tokens of a document are read.

    Args:
        tokens: how many tokens the document has.
        max_tokens: how many are read at most; None: all.
        read: "start" reads from the first, "middle" as many before the middle as behind it,
            "spread" PASSAGES passages of equal length, the first at the beginning and the last at
            the end, with equal gaps between them.

    Returns:
        First token and end of each passage, in order; none overlap. A document that is not longer
        is read whole.
    """
    if max_tokens is None or tokens <= max_tokens:
        return [(0, tokens)]
    if read == "start":
        return [(0, max_tokens)]
    if read == "middle":
        start = (tokens - max_tokens) // 2
        return [(start, start + max_tokens)]
    count = min(PASSAGES, max_tokens // 2)  # a passage of one token predicts nothing
    ends = [max_tokens * i // count for i in range(count + 1)]  # of what is read
    gap = tokens - max_tokens
    starts = [ends[i] + (gap * i // (count - 1) if count > 1 else 0) for i in range(count)]
    return [(start, start + ends[i + 1] - ends[i]) for i, start in enumerate(starts)]


def spans_of(
    read: Sequence[tuple[int, int]], characters: Callable[[int], tuple[int, int] | None]
) -> str | None:
    """Where the passages lie in the text, as the column `read` has it.

    Args:
        read: first token and end of each passage.
        characters: of a token, its first character and end in the text; None where the tokenizer
            does not say.

    Returns:
        First character and end of each passage, such as "0:400,812:1203"; None where the tokenizer
        does not say.
    """
    spans = []
    for start, end in read:
        if start == end:
            continue
        first, last = characters(start), characters(end - 1)
        if first is None or last is None:
            return None
        spans.append(f"{first[0]}:{last[1]}")
    return ",".join(spans)


def read_text(text: str, spans: str) -> str:
    """What was read of a text.

    Args:
        text: the document's.
        spans: of `spans_of`.

    Returns:
        The passages, with GAP between them.

    Raises:
        ValueError: the spans are none, or reach beyond the text.
    """
    parts = []
    for span in filter(None, spans.split(",")):
        start, colon, end = span.partition(":")
        if not (colon and start.isdecimal() and end.isdecimal() and int(end) <= len(text)):
            raise ValueError(f"{span!r:.50} is no place in a text of {len(text)} characters")
        parts.append(text[int(start) : int(end)])
    return GAP.join(parts)
