"""Text from the web made visible: nothing in it can act on a terminal, a page or its direction.

The one place for this. Whoever writes markup escapes the result for that markup besides.
"""

from __future__ import annotations

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
