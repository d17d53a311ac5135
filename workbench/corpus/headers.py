"""Licence headers and banners of generated files: found at the top of Python code, and taken off.

A header says nothing of the file below it, stands word for word in hundreds of others, and was
probably learnt by heart; where documents are read from their first token, it is what is scored.
"""

from __future__ import annotations

import re

# What betrays a notice. Libraries that know licences (scancode, licensee) tell which one it is, at
# the price of a data base; here it only matters that it is one.
_NOTICE = re.compile(
    r"licen[sc]e|copyright|\(c\) \d{4}|spdx-|all rights reserved|permission is hereby granted"
    r"|@generated|\bauto[- ]?generated|automatically generated|(?:file|code) (?:is |was )?generated"
    r"|generated (?:by|from) \W?[\w./-]+\.\w{2,4}\b|^\W*generated (?:by|from|with)\b"
    r"|do not (?:\w+ )?(?:edit|modify)",
    re.IGNORECASE | re.MULTILINE,
)
# One part of what stands before the first statement: a run of comment lines, a docstring, or a
# blank line.
_PART = re.compile(
    r"(?P<comment>(?:[ \t]*#[^\n]*(?:\n|\Z))+)"
    r"|(?P<opening>[rRuU]?(?P<quotes>\"\"\"|'''))(?P<body>.*?)"
    r"(?P<closing>(?P=quotes)[ \t]*(?:#[^\n]*|\r?)(?:\n|\Z))"
    r"|[ \t\r\f]*\n",
    re.DOTALL,
)
_SEPARATOR = re.compile(r"[\s#]*")  # a line without words


def without_headers(code: str) -> str:
    """Python code without the notices that stand before its first statement.

    Of each run of comments, and of the docstring, the paragraphs from the first to the last one
    that speaks of a licence, of copyright, or of having been generated are taken out; what else
    stands there is kept. The code is never parsed, so that it may be of any version.

    Args:
        code: the text of a file.

    Returns:
        The text without its headers, and without blank lines in front where one was taken out.
        Empty, if the file holds nothing else.
    """
    kept, end = [], 0
    while part := _PART.match(code, end):
        end = part.end()
        if part["opening"]:
            body = _without_notices(part["body"])
            kept.append(part["opening"] + body + part["closing"] if body.strip() else "")
        else:
            kept.append(_without_notices(part.group()) if part["comment"] else part.group())
        if end == len(code):
            break
    rest = "".join(kept) + code[end:]
    return rest if len(rest) == len(code) else rest.lstrip("\r\n")


def _without_notices(text: str) -> str:
    """Without its paragraphs from the first notice to the last."""
    lines = text.splitlines(keepends=True)
    paragraph, paragraphs = 0, []
    for line in lines:
        paragraph += _SEPARATOR.fullmatch(line) is not None
        paragraphs.append(paragraph)
    texts = {number: "" for number in paragraphs}
    for number, line in zip(paragraphs, lines, strict=True):
        texts[number] += line
    notices = [number for number, content in texts.items() if _NOTICE.search(content)]
    if not notices:
        return text
    return "".join(
        content for number, content in texts.items() if not notices[0] <= number <= notices[-1]
    )
