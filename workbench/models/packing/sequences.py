"""Texts that lie end to end in every row of a batch, and which keys each of them may see.

No mask of a whole row is ever made. While a packed pass runs, transformers' request for a mask
(`workbench.models.packing.span_masks`) is answered with a stand-in of one byte, and the mask of a
text is made from its length alone when a layer needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from workbench.models.packing.running_mean import RunningMeans
from workbench.models.packing.transfer import sent

# Tokens of a text -> its mask (B, 1, n, n), bool or to be added to the scores; None: a causal one.
MaskOfLength = Callable[[int], torch.Tensor | None]


class PackedSequences:
    """Texts that lie end to end in every row of a batch: each attends to itself alone.

    One object serves all layers of a pass.

    Attributes:
        slices: the positions of each text in the row.
        keys: the positions that each text may look at, as far as its mask allows.
        length: tokens of the row.
        alike: whether each text is causal in itself and sees nothing else, as far as the masks of
            the model allow, so that one call can compute all of them.

    Args:
        bounds: (start, stop) of each text.
    """

    alike = True

    def __init__(self, bounds: Sequence[tuple[int, int]]) -> None:
        self.slices = [slice(start, stop) for start, stop in bounds]
        self.keys = self.slices
        self.length = max(stop for _, stop in bounds)
        self._made: dict[int, _Made] = {}  # by the address of the stand-in
        self._cut: dict[int, tuple[torch.Tensor, list[torch.Tensor | None]]] = {}
        self._cumulative: dict[tuple[int, torch.device], torch.Tensor] = {}
        self._indices: dict[tuple[tuple[int, ...], torch.device], torch.Tensor] = {}
        self._means: RunningMeans | None = None

    @property
    def lengths(self) -> list[int]:
        """Tokens of each text that a mask is made for."""
        return [text.stop - text.start for text in self.slices]

    def promise(
        self, make: MaskOfLength, local: int | None, device: torch.device | str
    ) -> torch.Tensor:
        """Take down how a kind of layer masks a text, and give what stands for the row's mask.

        Args:
            make: the mask of a text of so many tokens.
            local: how many keys a query of such layers sees at most (a sliding window, a chunk);
                None for all.
            device: where the model computes.

        Returns:
            A bool tensor (1, 1, T, T) of one byte: no more than a name for what `make` makes.
        """
        stand_in = torch.zeros(1, dtype=torch.bool, device=device).expand(
            1, 1, self.length, self.length
        )
        self._made[_address(stand_in)] = _Made(stand_in, make, local)
        return stand_in

    def local(self, whole: torch.Tensor | None) -> int | None:
        """How many keys a query sees at most under a layer's mask.

        Args:
            whole: what the layer got as the mask of the row; None for a causal one.

        Returns:
            The number that came with the stand-in; None for all, and for any other mask.
        """
        made = None if whole is None else self._made.get(_address(whole))
        return None if made is None else made.local

    def masks(self, whole: torch.Tensor | None) -> list[torch.Tensor | None]:
        """The mask of each text under a layer's mask.

        Args:
            whole: what the layer got as the mask of the row: the stand-in of `promise`, a mask
                (B, 1, T, T) that the model made itself, or None for a causal one.

        Returns:
            One mask a text; None where it is causal.
        """
        if whole is None:
            return [None] * len(self.slices)
        made = self._made.get(_address(whole))
        if made is not None:
            return [made.of(length) for length in self.lengths]
        if id(whole) not in self._cut:  # layers of one kind share their mask
            parts = [whole[..., text, text] for text in self.slices]
            self._cut[id(whole)] = whole, [None if _is_causal(part) else part for part in parts]
        return self._cut[id(whole)][1]

    # ---- of all texts at once: what is the same for every layer, sent to the device once -------

    def cumulative(self, rows: int, device: torch.device) -> tuple[torch.Tensor, int]:
        """Where the texts of a batch begin and end if its rows lie end to end.

        Args:
            rows: rows of the batch, all with these texts.
            device: where the model computes.

        Returns:
            The bounds (rows * texts + 1,) in int32, from 0, and the tokens of the longest text.
        """
        lengths = [text.stop - text.start for text in self.slices]
        if (rows, device) not in self._cumulative:
            bounds = torch.tensor([0, *lengths * rows]).cumsum(0).to(torch.int32)
            self._cumulative[rows, device] = sent(bounds, device)
        return self._cumulative[rows, device], max(lengths)

    def index(self, numbers: Sequence[int], device: torch.device) -> torch.Tensor:
        """Numbers, of heads say, as an index tensor on the device.

        Args:
            numbers: the numbers.
            device: where the model computes.
        """
        key = tuple(numbers), device
        if key not in self._indices:
            self._indices[key] = sent(numbers, device)
        return self._indices[key]

    def running_means(self, values: torch.Tensor) -> torch.Tensor:
        """At each token the mean of the values of its text up to there.

        Args:
            values: (B, T, C) in float32.

        Returns:
            The means (B, T, C).
        """
        if self._means is None:
            lengths = [text.stop - text.start for text in self.slices]
            self._means = RunningMeans(lengths, values.device)
        return self._means(values)

    def _first(self, whole: torch.Tensor, length: int) -> torch.Tensor | None:
        """The mask of the first tokens of the row, as one text; None for a causal one."""
        made = self._made.get(_address(whole))
        return whole[..., :length, :length] if made is None else made.of(length)


class _Made:
    """The masks of one kind of layer, by the length of the text."""

    def __init__(self, stand_in: torch.Tensor, make: MaskOfLength, local: int | None) -> None:
        self.stand_in = stand_in  # kept alive: no other tensor may take its address
        self.local = local
        self._make = make
        self._masks: dict[int, torch.Tensor | None] = {}

    def of(self, length: int) -> torch.Tensor | None:
        if length not in self._masks:
            mask = self._make(length)
            self._masks[length] = None if mask is None or self._causal(mask, length) else mask
        return self._masks[length]

    def _causal(self, mask: torch.Tensor, length: int) -> bool:
        if self.local is None:
            return _is_causal(mask)
        # What is local hides nothing from a short text, and something from any other: there is no
        # need to look at the mask, for which a device would be waited for.
        return mask.dtype == torch.bool and length <= self.local


class Branches(PackedSequences):
    """One text with several continuations behind it, each of which sees the text and itself.

    In a row: the text, then its continuations, the longest of them first.

    Args:
        shared: tokens of the text, at least 1.
        lengths: tokens of each continuation.
        device: where the model computes.

    Raises:
        ValueError: there is no text or no continuation, or the longest one is not the first.
    """

    alike = False

    def __init__(self, shared: int, lengths: Sequence[int], device: torch.device) -> None:
        if shared < 1 or not lengths or max(lengths) > lengths[0]:
            raise ValueError(
                "branches need a text of at least one token and the longest continuation first, "
                f"got {shared} and {list(lengths)}"
            )
        total = shared + sum(lengths)
        super().__init__([(0, shared), (shared, total)])
        self.keys = [slice(0, shared), slice(0, total)]
        self._shared, self._lengths, self._device = shared, list(lengths), device
        self._branched: dict[int | None, tuple[object, list[torch.Tensor | None]]] = {}

    @property
    def lengths(self) -> list[int]:
        """Tokens of the text, and of the text with the longest continuation."""
        return [self._shared, self._shared + self._lengths[0]]

    def masks(self, whole: torch.Tensor | None) -> list[torch.Tensor | None]:
        """The mask of the text, and that of all continuations together.

        Args:
            whole: as in `PackedSequences.masks`.

        Returns:
            Two masks: None or (B, 1, shared, shared), and (B, 1, T - shared, T).
        """
        key = None if whole is None else id(whole)
        if key not in self._branched:
            alone, longest = self.lengths
            first = near = None
            if whole is not None:
                first = self._first(whole, alone)
                first = None if first is None or _is_causal(first) else first
                # Seen from its own place, every continuation stands where the first one stands.
                near = self._first(whole, longest)
            if near is None:
                near = torch.ones(longest, longest, dtype=torch.bool).tril()[None, None]
                near = near.to(self._device)
            self._branched[key] = whole, [first, self._branching(near)]
        return self._branched[key][1]

    def _branching(self, near: torch.Tensor) -> torch.Tensor:
        """The mask of all continuations, from the one of the text with the longest of them."""
        shared, total = self._shared, self.keys[1].stop
        hidden = False if near.dtype == torch.bool else torch.finfo(near.dtype).min
        mask = near.new_full((*near.shape[:-2], total - shared, total), hidden)
        start = shared
        for length in self._lengths:
            rows, own = slice(start - shared, start - shared + length), slice(start, start + length)
            mask[..., rows, :shared] = near[..., shared : shared + length, :shared]
            mask[..., rows, own] = near[..., shared : shared + length, shared : shared + length]
            start += length
        return mask


def is_stand_in(mask: torch.Tensor) -> bool:
    """Whether a mask only stands for one (`PackedSequences.promise`), and says nothing itself.

    Args:
        mask: what an attention layer got as its mask.
    """
    return mask.untyped_storage().nbytes() == 1 < mask.numel()


def _address(mask: torch.Tensor) -> int:
    """What a stand-in and every view of it share."""
    return mask.untyped_storage().data_ptr()


def _is_causal(mask: torch.Tensor) -> bool:
    """Whether a bool mask says no more than "nothing after yourself" (SDPA needs no mask then)."""
    if mask.dtype != torch.bool:
        return False
    causal = torch.ones(mask.shape[-2:], dtype=torch.bool, device=mask.device).tril()
    return bool((mask == causal).all())
