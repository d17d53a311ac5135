"""Weights as a quantised model has them, computed with in full precision.

What a selector in 4 or 8 bits would choose can be seen this way on any device. Nothing gets faster
or smaller.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import torch
from scipy import stats

Simulation = Literal["nf4", "int8"]
BLOCK = 64  # weights that share a scale


@cache
def nf4_levels() -> torch.Tensor:
    """The 16 levels of NormalFloat 4: quantiles of a normal distribution, from -1 to 1.

    As QLoRA makes them (arXiv 2305.14314, equation 4): evenly spaced quantiles on either side of an
    exact 0, one more on the positive side.

    Returns:
        The levels in ascending order, float32.
    """
    outermost = (1 - 1 / 32 + 1 - 1 / 30) / 2  # whose quantile becomes 1
    above = stats.norm.ppf(torch.linspace(outermost, 0.5, 9, dtype=torch.float64)[:-1])
    below = -stats.norm.ppf(torch.linspace(outermost, 0.5, 8, dtype=torch.float64)[:-1])
    levels = sorted([*above, 0.0, *below])
    return (torch.tensor(levels, dtype=torch.float64) / max(levels)).float()


def quantised(weight: torch.Tensor, simulate: Simulation) -> torch.Tensor:
    """A weight rounded to the levels of a block-wise quantisation.

    Args:
        weight: any shape; its values are taken in blocks of 64 in the order of memory, each scaled
            by its largest absolute value.
        simulate: "nf4", or "int8": whole numbers from -127 to 127.

    Returns:
        The rounded weight, of the same shape and dtype.
    """
    flat = weight.detach().float().flatten()
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scale = padded.abs().amax(dim=1, keepdim=True)
    share = padded / scale.clamp(min=torch.finfo(torch.float32).tiny)
    if simulate == "int8":
        rounded = (share * 127).round() / 127
    else:
        levels = nf4_levels().to(weight.device)
        rounded = levels[torch.bucketize(share, (levels[1:] + levels[:-1]) / 2)]
    return (rounded * scale).flatten()[: len(flat)].view(weight.shape).to(weight.dtype)


def simulate_quantisation(hf: torch.nn.Module, simulate: Simulation) -> None:
    """Round the matrices of a model in place: all but embeddings and the output layer.

    Args:
        hf: the transformers model.
        simulate: "nf4" or "int8".

    Raises:
        ValueError: there is no such quantisation.
    """
    require_simulation(simulate)
    kept = [m.weight for m in hf.modules() if isinstance(m, torch.nn.Embedding)]
    output = hf.get_output_embeddings()  # type: ignore[operator]
    kept += [] if output is None else [output.weight]
    left = {id(weight) for weight in kept}
    with torch.no_grad():
        for weight in hf.parameters():
            if weight.dim() > 1 and id(weight) not in left:
                weight.copy_(quantised(weight, simulate))


def require_simulation(simulate: str | None) -> None:
    """Require a quantisation that can be simulated, or none.

    Args:
        simulate: as it was given.

    Raises:
        ValueError: there is no such quantisation.
    """
    if simulate is not None and simulate not in get_args(Simulation):
        raise ValueError(
            f"simulate must be one of {', '.join(get_args(Simulation))}, or None for the weights "
            f"as they are; got {simulate!r:.50}"
        )
