"""A text token by token: its pieces, and its losses in numbers and words."""

from __future__ import annotations

import numpy as np
import pytest
import transformers as tr
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import make_hf, make_model
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

import workbench as wb
from workbench.masking.token_changes import CONTINUED, TokenChanges, pieces_of

LONG = "abc, def! " * 30  # 300 tokens: three windows of the tiny models
HOSTILE = [
    "", "a", " ", "  lead", "trail  ", "\n\n a \t", "naïve é e\u0301", "日本語",
    "👩\u200d👩\u200d👧 👍🏽 x",
    "שלום \u202eabc\u202c", "العربية", "a\x00b\x1b[31m\x7f", "line\u2028par\u2029",
    "\ufeffbom\ufffd",
    "<|im_end|> <s></s>", "<img src=x onerror=alert(1)>", "\r\n\r", "\\u0041 'x' \"y\"", "ﬁ İ ß",
    "\U000e0001\U0010ffff", "x" * 200,
]  # fmt: skip


# ---- pieces -----------------------------------------------------------------------------------


def joined(pieces, text, stops):
    """The pieces without the marks of those that begin inside a character."""
    starts = [0, *stops[:-1]] if stops else []
    return "".join(p for p, a, b in zip(pieces, starts, stops, strict=True) if a < b)


def byte_stops(text):
    """Where each byte's character ends: the tokenizer of the tests has one token a byte."""
    return [i for i, c in enumerate(text, start=1) for _ in c.encode()]


@pytest.mark.parametrize("text", HOSTILE)
def test_each_byte_has_its_character_and_together_they_are_the_text(tiny, text):
    ids = tiny.encode(text)
    pieces = pieces_of(tiny, text, ids)
    assert len(pieces) == len(ids) == len(text.encode())
    expected = [
        c if first else CONTINUED for c in text for first in [1, *[0] * (len(c.encode()) - 1)]
    ]
    assert list(pieces) == expected
    assert joined(pieces, text, byte_stops(text)) == text


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40), st.integers(0, 40))
def test_the_pieces_of_any_beginning_are_the_text_read(text, cut):
    model = BYTES
    ids = model.encode(text)[:cut]
    stops = byte_stops(text)[:cut]
    assert joined(pieces_of(model, text, ids), text, stops) == text[: stops[-1] if stops else 0]


def words_model(normalizer=None):
    """Whole words without their spaces, as the slower kinds of tokenizers cut them."""
    vocabulary = {"<unk>": 0, "two": 1, "words": 2, "here": 3, ",": 4}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if normalizer:
        inner.normalizer = normalizer
    tokenizer = tr.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")
    return wb.from_transformers(make_hf("llama"), tokenizer)


@pytest.mark.parametrize(
    "normalizer", [None, normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()]
)
def test_white_space_and_unknown_words_are_in_the_pieces_too(normalizer):
    model = words_model(normalizer)
    for text in ("  two  WORDS,\n here \t", "ﬁ two ½ words", "e\u0301 here"):
        ids = model.encode(text)
        assert "".join(pieces_of(model, text, ids)).replace(CONTINUED, "") == text
        first = pieces_of(model, text, ids[:2])
        assert text.startswith("".join(first).replace(CONTINUED, ""))
        assert first == pieces_of(model, text, ids)[:2]


def test_a_tokenizer_that_knows_no_places_gives_what_it_decodes():
    """ByT5 is the one slow tokenizer that needs no vocabulary file."""
    tokenizer = tr.ByT5Tokenizer(extra_ids=0)
    assert not tokenizer.is_fast
    model = wb.from_transformers(make_hf("llama"), tokenizer)
    ids = model.encode("two é")
    assert pieces_of(model, "two é", ids)[:4] == ("t", "w", "o", " ")
    changes = wb.Session(model, "two é").changes()
    assert len(changes.pieces) == len(changes.ids) == 6


def test_the_default_tokenizer_splits_characters_and_keeps_the_text(default):
    for text in HOSTILE:
        ids = default.encode(text)
        encoded = default.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        stops = [b for _, b in encoded["offset_mapping"]]
        pieces = pieces_of(default, text, ids)
        assert len(pieces) == len(ids)
        assert joined(pieces, text, stops) == text
    assert pieces_of(default, "a cat", default.encode("a cat")) == ("a", " cat")


BYTES = make_model()


# ---- in numbers -------------------------------------------------------------------------------


def changes(before, after):
    count = len(before)
    return TokenChanges(("x",) * count, (7,) * count, np.float32(before), np.float32(after))


def test_the_rise_is_the_score_of_the_text(tiny):
    session = wb.Session(tiny, LONG, "L0H1 L1H3")
    shown = session.changes()
    table = wb.score_corpus(tiny, session.heads, [{"id": "x", "text": LONG}]).frame
    assert shown.rise == pytest.approx(table["score"].item(), rel=1e-5)
    assert shown.means == pytest.approx((table["loss_base"].item(), table["loss_ref"].item()))
    rows = shown.table()
    assert list(rows.columns) == ["text", "before", "after", "change"]
    assert rows.index.name == "token"
    assert "".join(rows["text"]) == LONG
    np.testing.assert_array_equal(rows["change"], shown.after - shown.before)


def test_means_and_rise_in_words():
    nan = float("nan")
    rises, falls = changes([nan, 2, 4], [nan, 3, 6]), changes([nan, 3, 5], [nan, 2, 4])
    assert rises.describe() == "+50%: 3.00 → 4.50 nats a token"
    assert falls.describe() == "-25%: 4.00 → 3.00 nats a token"
    same = changes([nan, 4.0], [nan, 3.99])
    assert same.describe() == "no change: 4.00 → 3.99 nats a token"
    nothing = changes([nan], [nan])
    assert nothing.describe() == "nothing in this text is predicted"
    assert np.isnan(nothing.rise)
    assert nothing.colour_max == 1
    assert np.isnan(changes([0, 0], [1, 1]).rise)


@given(st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=150))
def test_the_scale_is_the_least_step_that_holds_nearly_all_tokens(values):
    shown = changes([0] * len(values), values)
    inside = [
        np.mean(np.abs(np.float32(values)) <= reach)
        for reach in (shown.colour_max, shown.colour_max / 1.5)
    ]
    assert inside[0] >= 0.99
    assert shown.colour_max == 1 or inside[1] < 0.99
    assert np.log2(shown.colour_max) % 1 == 0 or np.log2(shown.colour_max / 1.5) % 1 == 0
