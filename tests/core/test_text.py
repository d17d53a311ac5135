"""Text made visible: nothing acts, nothing is lost that could be seen; counts in words."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from workbench.core.text import counted, escape_control_characters
from workbench.figures.heads import shown

UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(st.text(st.characters()))
def test_no_control_format_surrogate_private_or_unassigned_character_remains(text):
    made = escape_control_characters(text)
    assert not {unicodedata.category(c) for c in made} & UNSEEN
    made.encode()  # no lone surrogate
    kept = [c for c in text if unicodedata.category(c) not in UNSEEN]
    rest = iter(made)
    assert all(c in rest for c in kept)  # in this order


@given(st.text(st.characters(exclude_categories=[*UNSEEN])))
def test_what_can_be_seen_stays_as_it_is(text):
    assert escape_control_characters(text) == text


def test_each_kind_is_written_out():
    assert escape_control_characters("a\nb\r\n") == "a↵b\\u000d↵"
    assert escape_control_characters("a\nb", newline="\n") == "a\nb"
    assert escape_control_characters("\x00\x1b[31m\x7f") == "\\u0000\\u001b[31m\\u007f"
    assert (
        escape_control_characters("\u202eabc\u2066\u200b\ufeff")
        == "\\u202eabc\\u2066\\u200b\\ufeff"
    )
    assert escape_control_characters("a\u2028b\u2029") == "a\\u2028b\\u2029"
    assert escape_control_characters("\ud800 \U0010ffff \ue000") == "\\ud800 \\u10ffff \\ue000"
    assert escape_control_characters("naïve 日本 👍 e\u0301") == "naïve 日本 👍 e\u0301"
    assert escape_control_characters("") == ""


def test_figures_escape_their_markup_besides():
    assert shown("<b>&\u202e\n") == "&lt;b&gt;&amp;\\u202e↵"


def test_counts_in_words():
    found = [counted(number, "head") for number in (0, 1, 2, 1024)]
    assert found == ["0 heads", "1 head", "2 heads", "1,024 heads"]
