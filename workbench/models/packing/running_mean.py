"""Running means of all texts of a packed row at once, none of which touches another's numbers.

One cumulative sum over the whole row, less what stood before each text, would lose in float32 what
a text behind large values has in small ones. Here texts are cut into blocks, the blocks are summed
side by side, and each block adds what the earlier blocks of its own text came to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from workbench.models.packing.transfer import sent

BLOCK = 64  # tokens whose sums run side by side


class _Level(NamedTuple):
    """How the texts of a row lie in blocks of one size."""

    places: torch.Tensor  # (T,) of each token among the padded blocks
    blocks: int  # how many there are
    first: torch.Tensor  # (blocks,) whether a block is the first of its text


class RunningMeans:
    """Means over each text up to each of its tokens, for rows of texts of these lengths.

    Args:
        lengths: tokens of each text of the row, in order, each at least 1.
        device: where the values are.
        block: tokens whose sums run side by side.
    """

    def __init__(self, lengths: Sequence[int], device: torch.device, block: int = BLOCK) -> None:
        self._block = block
        counts = torch.cat([torch.arange(1, length + 1) for length in lengths])
        self._counts = sent(counts.float()[:, None], device)
        self._levels: list[_Level] = []
        while not self._levels or max(lengths) > 1:  # then every text is one block
            sizes = torch.tensor(list(lengths))
            blocks = (sizes + block - 1) // block
            starts = blocks.cumsum(0) - blocks
            offsets = torch.arange(int(sizes.sum())) - (sizes.cumsum(0) - sizes).repeat_interleave(
                sizes
            )
            first = torch.zeros(int(blocks.sum()), dtype=torch.bool)
            first[starts] = True
            self._levels.append(
                _Level(
                    sent((starts * block).repeat_interleave(sizes) + offsets, device),
                    len(first),
                    sent(first, device),
                )
            )
            lengths = blocks.tolist()

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """The running means of values.

        Args:
            values: (B, T, C) in float32, T the sum of the lengths.

        Returns:
            (B, T, C): at each token the mean over its text up to and with that token.
        """
        return self._sums(values, 0) / self._counts

    def _sums(self, values: torch.Tensor, depth: int) -> torch.Tensor:
        level = self._levels[depth]
        rows, _, width = values.shape
        padded = values.new_zeros(rows, level.blocks * self._block, width)
        padded.index_copy_(1, level.places, values)
        sums = padded.view(rows, level.blocks, self._block, width).cumsum(dim=2)
        if depth + 1 < len(self._levels):
            # What each block comes to, with the earlier blocks of its text.
            through = self._sums(sums[:, :, -1], depth + 1)
            before = torch.nn.functional.pad(through[:, :-1], (0, 0, 1, 0))
            sums += before.masked_fill(level.first[:, None], 0.0)[:, :, None]
        return sums.flatten(1, 2).index_select(1, level.places)
