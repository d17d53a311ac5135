"""JSON Lines: one value a line, each line alone, and where in the file the lines begin."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from workbench.core.files import LONGEST_LINE, lines_of
from workbench.corpus.document import CorpusError, Skipped
from workbench.corpus.readers.compression import decompressed
from workbench.corpus.readers.formats import check_start
from workbench.corpus.readers.remote import opened
from workbench.corpus.sources import Source

_LINES = re.compile(r"\.(jsonl|ndjson|jsonlines)(\.\w+)?$")  # a name that says what it is


def values(source: Source, start: int, stop: int | None, offset: int) -> Iterator[tuple[int, Any]]:
    """The JSON values of the lines that are not blank.

    Args:
        source: the source.
        start: the first line that is wanted, from 0.
        stop: the line behind the last one that is wanted (None: all).
        offset: the byte at which line `start` begins in an uncompressed file; 0 where that is not
            known.

    Yields:
        The number of a line and its value; a Skipped in its place if the line is no JSON.

    Raises:
        CorpusError: the file is one JSON value over several lines.
    """
    name = source.name
    with opened(source.path) as file:
        stream = decompressed(file, source.compression)
        first, unseen = 0, start == 0 and not _LINES.search(name.lower())
        if offset and file.seekable():
            file.seek(offset)
            first = start
        else:
            check_start(stream.peek(16))  # type: ignore[attr-defined]
        # Bytes first: a line that is not UTF-8 costs one document and not the file.
        for row, line in enumerate(lines_of(stream), first):
            if row < start:
                continue
            if stop is not None and row >= stop:
                return
            if line is None:
                reason = f"a line of more than {LONGEST_LINE >> 20} MiB, too long for one document"
                yield row, Skipped(None, None, name, row, reason)
                continue
            line = line.removeprefix(codecs.BOM_UTF8) if row == 0 else line
            if not line.strip():
                continue
            # Files that were joined with `cat` have such a mark in front of later lines, too.
            line = line.removeprefix(codecs.BOM_UTF8)
            try:
                value = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                value = Skipped(None, None, name, row, f"invalid UTF-8 at byte {error.start}")
            except (ValueError, RecursionError) as error:
                value = Skipped(None, None, name, row, f"not JSON: {error}")
            if unseen:
                _require_lines(line, value, name)
                unseen = False
            yield row, value


def _require_lines(first: bytes, value: Any, name: str) -> None:
    """Refuse a file that is one JSON value, as its first line shows."""
    is_open = isinstance(value, Skipped)
    what = ""
    if first.lstrip().startswith(b"[") and (
        is_open or any(isinstance(item, dict) for item in value)
    ):
        what = "a JSON array"
    elif is_open and first.strip() == b"{":
        what = "one JSON object over several lines"
    if what:
        raise CorpusError(
            f"{name} is {what}; expected JSON Lines, one object a line. Convert it, or read it "
            "with pandas and give the frame."
        )
