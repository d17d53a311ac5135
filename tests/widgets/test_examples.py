"""The example texts of the Explorer show what they are said to show, on the default model."""

from __future__ import annotations

import re

import numpy as np
import pytest

import workbench as wb
from widgets.panels.examples import CHAIN, CODE, LIST, NOVEL
from workbench.masking.losses import token_losses

WORD, NUMBER = r"[A-Za-z]{4,}", r"\d{4}"


def come_again(model, text, pattern):
    """Which predicted tokens belong to a word, or a number, that stood in the text before."""
    spans, seen = [], set()
    for word in re.finditer(pattern, text):
        if word.group().lower() in seen:
            spans.append(word.span())
        seen.add(word.group().lower())
    places = model.tokenizer(text, return_offsets_mapping=True)["offset_mapping"][1:]
    return np.array([any(a < end and b > start for start, end in spans) for a, b in places])


@pytest.fixture(scope="module")
def rises(default):
    """For each text its rises under the detected heads, and under five random sets as large."""
    heads = wb.HeadSet.top(wb.default_scores(default), fraction=0.05)
    sets = [wb.HeadSet.random(default, exclude=heads, seed=seed) for seed in range(5)]
    texts = [LIST, CODE, CHAIN, NOVEL]
    losses = token_losses(default, texts, [None, heads, *sets])
    return {
        text: (under[1] - under[0], [other - under[0] for other in under[2:]])
        for text, under in zip(texts, np.asarray(losses, dtype=object), strict=True)
    }


SHOWN = {"list": (LIST, WORD), "code": (CODE, NUMBER), "chain": (CHAIN, WORD)}


@pytest.mark.parametrize(("text", "pattern"), SHOWN.values(), ids=SHOWN)
def test_what_comes_again_needs_the_detected_heads(default, rises, text, pattern):
    again = come_again(default, text, pattern)
    detected, others = rises[text]
    assert 8 <= again.sum() < len(again)
    assert detected[again].mean() > 1  # nat
    assert detected[again].mean() > 1.5 * max(other[again].mean() for other in others)
    assert detected[again].mean() > 2 * detected[~again].mean()


def test_where_nothing_comes_again_they_are_as_any_heads(default, rises):
    assert not come_again(default, NOVEL, WORD).any()
    detected, others = rises[NOVEL]
    assert detected.mean() < max(other.mean() for other in others)
