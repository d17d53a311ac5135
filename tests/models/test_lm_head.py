"""Losses from hidden states in tiles, without a look at any number, against float64."""

from __future__ import annotations

import pytest
import torch

from workbench.models.lm_head import LMHead


def sample(level=0.0, dtype=torch.float32, spread=1.0, cap=None):
    torch.manual_seed(0)
    projection = torch.nn.Linear(48, 330)
    with torch.no_grad():
        projection.weight *= spread
        projection.bias.fill_(level)
        head = LMHead(projection.to(dtype), cap=cap)
    return head, torch.randn(70, 48).to(dtype), torch.randint(0, 330, (70,))


def exact(head, states, wanted):
    return torch.nn.functional.cross_entropy(head(states).double(), wanted, reduction="none")


@pytest.mark.parametrize("tiles", [(70, 330), (16, 100), (7, 1), (4096, 16384)])
@pytest.mark.parametrize("level", [0.0, -150.0, 120.0])
def test_streamed_losses_are_exact(tiles, level):
    head, states, wanted = sample(level)
    with torch.inference_mode():
        losses = head.streamed_cross_entropy(states, wanted, *tiles)
        torch.testing.assert_close(
            losses.double(), exact(head, states, wanted), atol=5e-5, rtol=1e-5
        )
    assert losses.dtype == torch.float32


def test_a_loss_of_thousands_of_nats_is_held_too():
    head, states, wanted = sample(spread=1e4)
    with torch.inference_mode():
        losses = head.streamed_cross_entropy(states, wanted, 32, 50)
        expected = exact(head, states, wanted)
    assert expected.max() > 1000
    torch.testing.assert_close(losses.double(), expected, atol=1e-2, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("cap", [None, 5.0])
def test_sums_of_half_precision_are_in_float32(dtype, cap):
    head, states, wanted = sample(dtype=dtype, cap=cap)
    with torch.inference_mode():
        losses = head.streamed_cross_entropy(states, wanted, 32, 100)
        expected = exact(head, states, wanted)
    assert losses.dtype == torch.float32
    # The target's own logit is computed beside the tiles, so that it may be rounded otherwise.
    torch.testing.assert_close(losses.double(), expected, atol=2e-2, rtol=0)


def test_no_states_have_no_losses():
    head, states, wanted = sample()
    with torch.inference_mode():
        assert head.streamed_cross_entropy(states[:0], wanted[:0]).shape == (0,)
