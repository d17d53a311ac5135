"""Hidden states and losses of many windows under many head sets in one pass: the fast path.

Four facts make it fast, and none of them changes what is computed:

- Windows are laid end to end in rows of about a thousand tokens. Positions start anew and attention
  stays inside each window, so nothing is padded.
- Layers below the first masked one are the same for all head sets. They are computed once; a set
  gets a row of the batch to itself where its first masked head comes.
- Uniform attention costs no attention (see `workbench.models.attention_hook`). On a GPU one call a
  layer computes what attention is left, of all windows (`workbench.models.packing.one_call`).
- The vocabulary is worked through in tiles; the logits of a whole window are never held.

`workbench.masking.reference` keeps the plain path, one window and one head set at a time. Every
model is compared with it once before packed batches are used (`packed_passes`); a model whose
losses they get wrong goes the plain way, with a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

from workbench.core.progress import preemptible
from workbench.masking.fast_path import fast_path
from workbench.masking.masks import (
    overrides_of,
    overrides_on,
    replacements,
    require_fitting,
    require_unmasked,
)
from workbench.masking.reference import plain_losses
from workbench.masking.references import kind_of
from workbench.masking.row_size import (
    device_row_tokens,
    is_out_of_memory,
    row_of_sets,
    token_bytes,
)
from workbench.models import attention_hook as attention
from workbench.models.attached_hooks import attach_hooks
from workbench.models.attention_hook import Mode, Override
from workbench.models.heads import HeadSet
from workbench.models.install import decoder_layers, is_recurrent, vocabulary_size
from workbench.models.model import Model
from workbench.models.packing.transfer import runs_ahead, sent

PACKED = "packed passes"  # name of the fast path
ROW_TOKENS = 1024  # windows are packed into rows of about this length (CUDA: of more)

Sets = Sequence[HeadSet | None]


class _RowLosses:
    """The losses of one row (sets, predicted tokens), perhaps still on their way from the device.

    They are the one thing that comes back from the device: what waits for them waits once a row.
    """

    def __init__(self, losses: torch.Tensor, counts: Sequence[int], ready: Any = None) -> None:
        self._losses, self._counts, self._ready = losses, counts, ready

    @classmethod
    def of(cls, losses: torch.Tensor, counts: Sequence[int]) -> _RowLosses:
        """Ask for losses on a device, without waiting for them."""
        if not runs_ahead(losses.device):
            return cls(losses.cpu(), counts)
        copy = losses.to("cpu", non_blocking=True)
        return cls(copy, counts, torch.cuda.current_stream(losses.device).record_event())

    def read(self) -> list[list[np.ndarray]]:
        """Wait for the losses; for each window one array a head set."""
        if self._ready is not None:
            self._ready.synchronize()
        cuts = np.cumsum(self._counts)[:-1]
        columns = (np.split(column, cuts) for column in self._losses.numpy())
        return [list(losses) for losses in zip(*columns, strict=True)]


class PackedPasses:
    """Packed batches of one model; made by `packed_passes`.

    Attributes:
        model: the model.
        blocks: its decoder layers.
        row_tokens: about how many tokens of windows share a row of the batch, for two head sets.
        alone: whether every text needs a row to itself.

    Args:
        model: the model, whose vocabulary projection can be run alone.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.blocks = decoder_layers(model.hf, model.sites)
        # Recurrent layers would carry one text on into the next, and these rotary embeddings depend
        # on the longest text in the batch: no company then.
        rope = str(getattr(model.hf.config.get_text_config(), "rope_parameters", ""))
        self.alone = "longrope" in rope or "dynamic" in rope or is_recurrent(model.hf)
        self.row_tokens = 1 if self.alone else _row_tokens(model)

    def losses(
        self, windows: Sequence[Sequence[int]], sets: Sets, mode: Mode = "uniform"
    ) -> Iterator[list[np.ndarray]]:
        """Losses of windows under head sets, many windows in one pass.

        Args:
            windows: token ids with the special prefix, as `reference.windows` gives them.
            sets: the head sets to mask (None: no head masked).
            mode: what a masked head does instead (see `masked`).

        Yields:
            For each window in order one float32 array a head set: nats of each predicted token.

        Raises:
            torch.OutOfMemoryError: a single window under a single set does not fit the memory.
        """
        waiting: list[_RowLosses] = []
        for packed in self.rows(windows, mode, len(sets)):
            losses = self._row_losses(packed, sets, mode)
            if not runs_ahead(self.model.device):
                waiting, losses = losses, []
            # The device works at this row while the numbers of the one before are read and used.
            for row in waiting:
                yield from row.read()
            waiting = losses
        for row in waiting:
            yield from row.read()

    def _row_losses(
        self, packed: Sequence[Sequence[int]], sets: Sets, mode: Mode
    ) -> list[_RowLosses]:
        """`losses` of windows that share a row; in smaller parts where the memory does not do."""
        try:
            return [self._whole_row_losses(packed, sets, mode)]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(packed) == 1 and len(sets) == 1:
                raise torch.OutOfMemoryError(
                    f"one window of {len(packed[0])} tokens does not fit the memory of "
                    f"{self.model.device}: give a smaller window= (now up to "
                    f"{self.model.context}), or load the model with dtype='bfloat16'"
                ) from None
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(packed) > 1:
            most = max(1, sum(map(len, packed)) // 2)  # of later rows: the same would come
            if runs_ahead(self.model.device):
                most = most * max(len(sets), 2) // 2  # which `rows` divides by
            self.row_tokens = most
            half = len(packed) // 2
            parts = (packed[:half], packed[half:])
            return [row for part in parts for row in self._row_losses(part, sets, mode)]
        columns = []
        for head_set in sets:
            (row,) = self._row_losses(packed, [head_set], mode)
            columns.append(row.read()[0][0])
        return [_RowLosses(torch.from_numpy(np.stack(columns)), [len(columns[0])])]

    def _whole_row_losses(
        self, packed: Sequence[Sequence[int]], sets: Sets, mode: Mode
    ) -> _RowLosses:
        device = self.model.device
        first = max(len(self.model.bos_ids), 1)  # the first token that is predicted
        starts = np.cumsum([0, *map(len, packed)])[:-1]
        counts = [max(len(window) - first, 0) for window in packed]
        at = np.concatenate(
            [start + first - 1 + np.arange(n) for start, n in zip(starts, counts, strict=True)]
        ).astype(np.int64)
        if not len(at):
            return _RowLosses(torch.zeros(len(sets), 0), counts)
        hidden = self.hidden(packed, sets, mode)[:, sent(torch.from_numpy(at), device)]
        ids = np.concatenate([np.asarray(window, np.int64) for window in packed])
        targets = sent(torch.from_numpy(ids[at + 1]), device).repeat(len(sets))
        assert self.model.head is not None  # `packed_passes` makes none without it
        with torch.inference_mode():
            flat = self.model.head.cross_entropy(hidden.flatten(0, 1), targets)
        return _RowLosses.of(flat.view(len(sets), -1), counts)

    @preemptible
    def hidden(
        self, windows: Sequence[Sequence[int]], sets: Sets, mode: Mode = "uniform"
    ) -> torch.Tensor:
        """Final hidden states of windows laid end to end, under each head set.

        Args:
            windows: token ids with the special prefix, as `reference.windows` gives them.
            sets: the head sets to mask (None: no head masked).
            mode: what a masked head does instead (see `masked`).

        Returns:
            The states (len(sets), tokens, width).
        """
        lengths = [len(window) for window in windows]
        stops = np.cumsum(lengths)
        bounds = list(zip((stops - lengths).tolist(), stops.tolist(), strict=True))
        # A window alone goes the same way on a device, which would wait for its mask otherwise.
        packed = len(bounds) > 1 or (runs_ahead(self.model.device) and not self.alone)
        sequences = attention.PackedSequences(bounds) if packed else None
        positions = torch.cat([torch.arange(n) for n in lengths])
        return self._states(windows, positions, sequences, sets, mode)

    @preemptible
    def branched(
        self,
        shared: Sequence[int],
        branches: Sequence[Sequence[int]],
        sets: Sets,
        mode: Mode = "uniform",
    ) -> list[torch.Tensor]:
        """Final hidden states of continuations of one text, which is computed once for all of them.

        Args:
            shared: token ids of the text, with the special prefix; at least one.
            branches: token ids of each continuation.
            sets: the head sets to mask (None: no head masked).
            mode: what a masked head does instead (see `masked`).

        Returns:
            For each continuation in order the states (len(sets), 1 + its tokens, width): the text's
            last one, which predicts the continuation's first token, then its own.
        """
        order = sorted(range(len(branches)), key=lambda i: -len(branches[i]))
        lengths = [len(branches[i]) for i in order]
        sequences = attention.Branches(len(shared), lengths, self.model.device)
        positions = torch.cat(
            [torch.arange(len(shared)), *(len(shared) + torch.arange(n) for n in lengths)]
        )
        row = [shared, *(branches[i] for i in order)]
        states = self._states(row, positions, sequences, sets, mode)
        last, parts = states[:, len(shared) - 1 : len(shared)], states[:, len(shared) :]
        by_branch = dict(zip(order, parts.split(lengths, dim=1), strict=True))
        return [torch.cat([last, by_branch[i]], dim=1) for i in range(len(branches))]

    def _states(
        self,
        texts: Sequence[Sequence[int]],
        positions: torch.Tensor,
        sequences: attention.PackedSequences | None,
        sets: Sets,
        mode: Mode,
    ) -> torch.Tensor:
        """Final hidden states (len(sets), T, width) of texts laid end to end in one row."""
        model = self.model
        if len(texts) > 1 and kind_of(mode) == "resample":
            raise ValueError("under mode 'resample' each text needs a row to itself: give one")
        ids = sent(torch.tensor([[token for text in texts for token in text]]), model.device)
        positions = sent(positions[None], model.device)
        # Else transformers would look for texts in the positions, and wait for the device for it.
        full = None if sequences is None else torch.ones_like(ids, dtype=torch.bool)
        with model.lock, torch.inference_mode():
            for head_set in sets:
                require_fitting(model, head_set, mode)
            require_unmasked(model)
            overrides, copies, row_of = _plan(model, sets, mode, texts[0])
            with attach_hooks(model.sites, overrides, packed=sequences), self._branching(copies):
                states = model.decoder(
                    input_ids=ids, attention_mask=full, position_ids=positions, use_cache=False
                ).last_hidden_state
        return states if row_of == [*range(len(states))] else states[sent(row_of, model.device)]

    def rows(
        self, windows: Sequence[Sequence[int]], mode: Mode = "uniform", sets: int = 2
    ) -> Iterator[list[Sequence[int]]]:
        """Consecutive windows that fit a row together; a longer one has a row to itself.

        Args:
            windows: token ids with the special prefix.
            mode: what a masked head does instead: under "resample" each window is given the
                outputs of another text of its own, and has a row to itself.
            sets: head sets that are computed side by side, no mask among them. On a device, whose
                memory rows are made for, those of more than two are shorter.

        Yields:
            The windows that share a pass.
        """
        if kind_of(mode) == "resample":
            yield from ([window] for window in windows)
            return
        ahead = runs_ahead(self.model.device)
        packed: list[Sequence[int]] = []
        for window in windows:
            # Asked anew: a row that did not fit has made all later ones shorter.
            most = row_of_sets(self.row_tokens, sets) if ahead else self.row_tokens
            if packed and sum(map(len, packed)) + len(window) > most:
                yield packed
                packed = []
            packed.append(window)
        if packed:
            yield packed

    @contextmanager
    def _branching(self, copies: dict[int, int]) -> Iterator[None]:
        """Let the batch grow by so many copies of its first row in front of each given layer."""

        def hook(count: int) -> Any:
            def widen(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                states = args[0] if args else kwargs["hidden_states"]
                wide = torch.cat([states, states[:1].expand(count, -1, -1)])
                if args:
                    return (wide, *args[1:]), kwargs
                return args, {**kwargs, "hidden_states": wide}

            return widen

        with ExitStack() as stack:
            for layer, count in copies.items():
                block = self.blocks[layer]
                handle = block.register_forward_pre_hook(hook(count), with_kwargs=True)
                stack.callback(handle.remove)
            yield


def packed_passes(model: Model) -> PackedPasses | None:
    """The packed batches of a model, where they reproduce the losses of the plain path.

    Compared on two short windows and three head sets, once for each dtype and device that the model
    is moved to.

    Args:
        model: the model.

    Returns:
        The packed batches; None, with one warning, where their losses are not those of the plain
        path.
    """
    return fast_path(
        model,
        PACKED,
        lambda: PackedPasses(model),
        _difference,
        "the fast path does not fit this model ({problem}); losses are computed one window and one "
        "head set at a time",
    )


def _difference(batches: PackedPasses) -> str | None:
    """How packed losses differ from the plain ones on a small sample; None if they do not."""
    model = batches.model
    if model.head is None:
        return "its vocabulary projection cannot be run alone"
    size = vocabulary_size(model.hf)
    windows = [[*model.bos_ids, *(i * 37 % size for i in range(n))] for n in (9, 14)]
    layers = [site.layer for site in model.sites]
    first, middle, last = layers[0], layers[(len(layers) - 1) // 2], layers[-1]
    sets = [HeadSet.of(pairs, model) for pairs in ([(middle, 0), (last, 0)], [(first, 0)])]
    tolerance = 1e-4 if model.dtype == torch.float32 else 0.1
    for window, packed in zip(windows, batches.losses(windows, [None, *sets]), strict=True):
        for head_set, losses in zip([None, *sets], packed, strict=True):
            expected = plain_losses(model, window, head_set)
            worst = float(np.abs(losses - expected).max())
            if not worst <= tolerance * max(1.0, float(expected.max())):
                return f"a loss differs by {worst:.2g} nats"
    return None


def _row_tokens(model: Model) -> int:
    """Tokens in a row: enough to keep the device busy, few enough for its free memory."""
    if model.device.type != "cuda":
        return ROW_TOKENS
    free, _ = torch.cuda.mem_get_info(model.device)
    token = token_bytes(model.hf.config.get_text_config(), model.dtype)
    return device_row_tokens(free, token, ROW_TOKENS)


def _plan(
    model: Model, sets: Sets, mode: Mode, ids: Sequence[int]
) -> tuple[dict[int, list[Override]], dict[int, int], list[int]]:
    """What the layers carry, where the batch grows and by how much, and the row of each set.

    The set whose first masked layer comes last (no mask: never) keeps row 0, which every other
    branches off from.
    """
    means = replacements(model, mode, ids) if any(sets) else None
    first = [min(head_set.by_layer()) if head_set else math.inf for head_set in sets]
    order = sorted(range(len(sets)), key=lambda i: first[i])
    row_of = [0] * len(sets)
    overrides: dict[int, list[Override]] = {}
    copies: dict[int, int] = {}
    for row, i in enumerate(order[:-1], start=1):
        if first[i] == math.inf:  # the same as the last, which has no mask either
            continue
        row_of[i] = row
        copies[int(first[i])] = copies.get(int(first[i]), 0) + 1
    for i, head_set in enumerate(sets):
        rows = slice(row_of[i], row_of[i] + 1)
        for layer, loads in overrides_of(head_set, mode, means, rows).items():
            overrides.setdefault(layer, []).extend(loads)
    return overrides_on(model, overrides), copies, row_of
