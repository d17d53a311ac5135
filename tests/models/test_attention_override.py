"""The arithmetic of uniform attention: means over what is visible, in little memory."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.models import attention_override as overrides
from workbench.models.attention_override import uniform_output


def band(length, window, heads=1):
    """A causal sliding window: bool (1, heads, length, length)."""
    steps = torch.arange(length)
    past = steps[:, None] - steps
    return ((past >= 0) & (past < window)).expand(1, heads, -1, -1)


def plainly(value, kv_heads, visible):
    """One query at a time."""
    rows = []
    for head, kv in enumerate(kv_heads):
        shown = visible[:, head if visible.shape[1] > 1 else 0].expand(len(value), -1, -1)
        for vectors, mask in zip(value[:, kv], shown, strict=True):
            rows += [
                vectors[keys].double().mean(dim=0) if keys.any() else torch.zeros(vectors.shape[-1])
                for keys in mask
            ]
    size = value.shape[-1]
    return torch.stack(rows).view(len(kv_heads), len(value), -1, size).transpose(0, 1).float()


@pytest.mark.parametrize("block", [1, 7, 64])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_mean_over_a_window_is_the_same_in_blocks(monkeypatch, block, heads, batch):
    monkeypatch.setattr(overrides, "BLOCK", block)
    torch.manual_seed(0)
    value = torch.randn(batch, 2, 40, 5) + 100  # differences of running sums would lose here
    visible = band(40, 6, heads).clone()
    visible[..., 3, :] = False  # padding: it sees nothing, and nobody sees it
    visible[..., 3] = False
    output = uniform_output(value, [0, 1, 1], visible)
    torch.testing.assert_close(output, plainly(value, [0, 1, 1], visible), rtol=1e-6, atol=1e-5)


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor that is made."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            own = result.untyped_storage()
            inputs = [
                tensor.untyped_storage().data_ptr() for tensor in args if torch.is_tensor(tensor)
            ]
            if own.data_ptr() not in inputs:  # a view takes no memory
                self.bytes = max(self.bytes, own.nbytes())
        return result


def test_a_window_in_a_long_text_takes_memory_in_proportion_to_it(monkeypatch):
    monkeypatch.setattr(overrides, "BLOCK", 128)
    largest = []
    for length in (1024, 2048):
        value, visible = torch.randn(1, 2, length, 8), band(length, 64)
        with Largest() as seen:
            uniform_output(value, [0, 0, 1], visible)
        largest.append(seen.bytes)
    assert largest[0] == pytest.approx(4 * overrides.BLOCK * (overrides.BLOCK + 63), rel=0.1)
    assert largest[1] <= largest[0] * 2.1  # a whole matrix would take four times as much
