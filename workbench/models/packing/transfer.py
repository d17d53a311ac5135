"""Small tensors go to the device without a wait for what it is doing."""

from __future__ import annotations

from collections.abc import Sequence

import torch

AHEAD = ("cuda",)  # devices that work off what they are asked while this side goes on


def runs_ahead(device: torch.device) -> bool:
    """Whether the device works on by itself, so that whoever looks at its numbers waits for it.

    Args:
        device: where the model computes.
    """
    return device.type in AHEAD


def sent(
    values: torch.Tensor | Sequence[int], device: torch.device, dtype: torch.dtype = torch.long
) -> torch.Tensor:
    """Numbers of this side as a tensor on the device.

    A plain copy to CUDA waits until the device has done all that came before it; one from
    page-locked memory does not.

    Args:
        values: the numbers, or a tensor on the CPU.
        device: where they shall be.
        dtype: of the tensor, where `values` is none.

    Returns:
        The tensor; on the CPU the one that was given.
    """
    tensor = values if isinstance(values, torch.Tensor) else torch.tensor(values, dtype=dtype)
    if not runs_ahead(device):
        return tensor.to(device)
    return _pinned(tensor, device).to(device, non_blocking=True)


def sent_together(tensors: Sequence[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
    """Tensors of this side on the device, all in one copy.

    Args:
        tensors: tensors of one dtype on the CPU.
        device: where they shall be.

    Returns:
        Tensors of the same shapes, which share one memory.
    """
    if not tensors:
        return []
    parts = sent(torch.cat([tensor.flatten() for tensor in tensors]), device)
    sizes = [tensor.numel() for tensor in tensors]
    return [part.view(like.shape) for part, like in zip(parts.split(sizes), tensors, strict=True)]


def _pinned(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    if not torch.cuda.is_available():
        return tensor
    with torch.cuda.device(device):  # else the first card, too, is taken into use
        return tensor.pin_memory()
