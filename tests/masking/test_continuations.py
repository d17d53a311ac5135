"""Continuations of one text in one pass: against a pass for each of them and each head set."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from support.models import (
    COMMON,
    EVERY_ARCHITECTURE,
    make_hf,
    make_model,
    make_tokenizer,
    with_means,
)

import workbench as wb
from workbench.masking import continuations, packed
from workbench.masking.continuations import continuation_logits, plain_continuation_logits
from workbench.masking.packed import PackedPasses
from workbench.models.attached_hooks import MaskNotSeen
from workbench.models.attention_hook import Branches


def sample(model, lengths=(4, 9, 1, 9), shared=20):
    """A text, its continuations, how many tokens of each are predicted, and head sets."""
    rng = np.random.default_rng(0)
    text = [*model.bos_ids, *rng.integers(3, 320, shared).tolist()]
    branches = [rng.integers(3, 320, n).tolist() for n in lengths]
    sets = [None, wb.HeadSet.of([(1, 0), (2, 3)], model), wb.HeadSet.of([(0, 1), (1, 2)], model)]
    return text, branches, [(n + 1) // 2 for n in lengths], sets


def require_equal(logits, expected, atol=2e-4):
    logits, expected = list(logits), list(expected)
    assert [row[:2] for row in logits] == [row[:2] for row in expected]
    for (*_, one), (*_, other) in zip(logits, expected, strict=True):
        torch.testing.assert_close(one, other, atol=atol, rtol=1e-4)


@pytest.mark.parametrize("kernel", [None, "eager"])
@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_one_pass_gives_what_a_pass_each_gives(name, kernel, recwarn):
    for bos in (False, True):
        model = wb.from_transformers(make_hf(name, kernel), make_tokenizer(bos))
        text, branches, predicted, sets = sample(model)
        logits = list(continuation_logits(model, text, branches, predicted, sets))
        require_equal(logits, plain_continuation_logits(model, text, branches, predicted, sets))
        assert continuations._branching_passes(model) is not None
        # The numbers differ between head sets and between branches: equality says something.
        first = {row[:2]: row[2][0] for row in logits}
        assert (first[0, 0] - first[1, 0]).abs().max() > 1e-3
        assert (first[0, 0] - first[0, 1]).abs().max() > 1e-3
    assert not [w for w in recwarn if "continuations" in str(w.message)]


@pytest.mark.parametrize("mode", ["zero", "mean"])
def test_other_modes_too(mode):
    model = with_means(make_model())
    args = sample(model)
    require_equal(
        continuation_logits(model, *args, mode), plain_continuation_logits(model, *args, mode)
    )


def test_a_continuation_does_not_see_the_others():
    model = make_model("gemma2")
    text, branches, predicted, sets = sample(model)
    alone = continuation_logits(model, text, branches[1:2], predicted[1:2], sets)
    together = continuation_logits(model, text, branches, predicted, sets)
    expected = {column: logits for column, _, logits in alone}
    for column, number, logits in together:
        if number == 1:
            torch.testing.assert_close(logits, expected[column], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", COMMON)
def test_a_model_on_which_branches_differ_goes_the_plain_way_with_a_warning(name, monkeypatch):
    model = make_model(name)
    true = PackedPasses.branched

    def wrong(self, *args):
        return [states + 0.01 for states in true(self, *args)]

    monkeypatch.setattr(PackedPasses, "branched", wrong)
    args = sample(model)
    with pytest.warns(UserWarning, match="each is computed by itself"):
        logits = list(continuation_logits(model, *args))
    require_equal(logits, plain_continuation_logits(model, *args), atol=0)


def test_where_texts_must_stand_alone_nothing_branches(monkeypatch):
    model = make_model()
    monkeypatch.setattr(packed.PackedPasses, "branched", lambda *_: pytest.fail("branched"))
    packed.packed_passes(model).alone = True
    args = sample(model)
    require_equal(continuation_logits(model, *args), plain_continuation_logits(model, *args), 0)


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_short_memory_takes_one_head_set_at_a_time_and_then_the_plain_way(device, monkeypatch):
    model = make_model()
    args = sample(model)
    expected = list(plain_continuation_logits(model, *args))
    list(continuation_logits(model, *args))  # the check of the model, with memory for all
    true, asked, failed = PackedPasses.branched, [], []
    for most in (1, 0):

        def short(self, shared, branches, sets, mode, most=most):
            asked.append(len(sets))
            assert not any(states() is not None for states in failed)  # else it would fail again
            if len(sets) > most:
                states = torch.zeros(8)
                failed.append(weakref.ref(states))
                if device == "cpu":
                    torch.empty(1 << 60, dtype=torch.uint8)
                raise torch.OutOfMemoryError("planted")
            return true(self, shared, branches, sets, mode)

        monkeypatch.setattr(PackedPasses, "branched", short)
        require_equal(continuation_logits(model, *args), expected)
    assert asked == [3, 1, 1, 1] * 2


def test_a_mask_that_the_pass_does_not_see_is_an_error():
    model = make_model()
    args = sample(model)
    list(continuation_logits(model, *args))
    model.hf.set_attn_implementation("sdpa")
    with pytest.raises(MaskNotSeen):
        list(continuation_logits(model, *args))


def test_bad_input_is_refused(tiny):
    with pytest.raises(ValueError, match="at least one token"):
        continuation_logits(tiny, [], [[5, 6]], [1])
    with pytest.raises(ValueError, match="no more predicted tokens"):
        continuation_logits(tiny, [5], [[5, 6]], [3])
    for shared, lengths in ((0, [2]), (3, []), (3, [2, 4])):
        with pytest.raises(ValueError, match="the longest continuation first"):
            Branches(shared, lengths, tiny.device)
