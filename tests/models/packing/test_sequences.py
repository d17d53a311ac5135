"""Bounds of packed texts, and what is sent to the device of them once."""

from __future__ import annotations

import torch

from workbench.models.packing.sequences import PackedSequences

CPU = torch.device("cpu")


def test_bounds_of_all_rows_lie_end_to_end():
    packed = PackedSequences([(0, 3), (3, 4), (4, 9)])
    bounds, longest = packed.cumulative(2, CPU)
    assert bounds.tolist() == [0, 3, 4, 9, 12, 13, 18]
    assert (bounds.dtype, longest, packed.length) == (torch.int32, 5, 9)
    assert packed.cumulative(2, CPU)[0] is bounds  # made once for all layers
    assert packed.cumulative(1, CPU)[0].tolist() == [0, 3, 4, 9]


def test_indices_are_made_once():
    packed = PackedSequences([(0, 3)])
    first = packed.index([2, 0], CPU)
    assert first.tolist() == [2, 0]
    assert packed.index((2, 0), CPU) is first
    assert packed.index((0, 2), CPU).tolist() == [0, 2]


def test_a_mask_of_a_length_is_made_once_and_layers_of_two_kinds_keep_theirs_apart():
    packed = PackedSequences([(0, 3), (3, 6), (6, 7)])
    made = []

    def full(length):
        made.append(length)
        return torch.ones(1, 1, length, length, dtype=torch.bool)

    whole = packed.promise(full, None, "cpu")
    causal = packed.promise(lambda n: full(n).tril(), 3, "cpu")
    assert (packed.local(whole), packed.local(causal), packed.local(None)) == (None, 3, None)
    for _ in range(2):
        first, second, third = packed.masks(whole)
        assert first is second
        assert first.all()
        assert third is None  # one token: as causal as can be
        assert packed.masks(causal) == [None, None, None]
    assert made == [3, 1, 3, 1]


def test_a_mask_that_a_model_made_itself_is_cut():
    packed = PackedSequences([(0, 2), (2, 5)])
    own = torch.arange(25.0).view(1, 1, 5, 5)
    first, second = packed.masks(own)
    assert torch.equal(first, own[..., :2, :2])
    assert torch.equal(second, own[..., 2:, 2:])
    assert packed.local(own) is None
