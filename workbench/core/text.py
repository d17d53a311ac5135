"""Text that is shown: what comes from the web made visible, and counts in words.

Nothing in a text may act on a terminal, a page or its direction, and this is the one place for
that. Whoever writes markup escapes the result for that markup besides.
"""

from __future__ import annotations

import html
import unicodedata

# Control, format (direction), surrogates, private, unassigned; line and paragraph separators.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def escape_control_characters(
    text: str, newline: str = "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"
) -> str:
    r"""A text with everything invisible in it written out.

    Args:
        text: the text.
        newline: what stands for a line end (default: a sign that common fonts have).

    Returns:
        The text with \uXXXX for what has no glyph or turns the direction.
    """
    return "".join(
        newline if c == "\n"
        else f"\\u{ord(c):04x}" if unicodedata.category(c) in _UNSEEN
        else c
        for c in text
    )  # fmt: skip


def escaped(text: str) -> str:
    """Text from anywhere as HTML that shows it and does nothing else.

    Args:
        text: any text.

    Returns:
        HTML without markup of the text's own.
    """
    return html.escape(escape_control_characters(text, newline="\n"), quote=True)


def counted(number: int, noun: str) -> str:
    """A number of things in words.

    Args:
        number: how many there are.
        noun: what one of them is called; its plural ends in s.

    Returns:
        Such as "0 heads", "1 head" and "1,024 heads".
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
