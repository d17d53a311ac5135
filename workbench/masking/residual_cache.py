"""The residual stream of a text, stored layer by layer, and passes that start from it.

A head in layer l changes nothing below layer l. So whoever toggles heads on one text again and
again (a session, a map of all heads) keeps what entered each layer and computes only from the
lowest layer whose heads changed. Same kernels on the same numbers: the losses are those of a whole
pass.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from workbench.core.progress import preemptible, progress_bar
from workbench.masking.fast_path import fast_path
from workbench.masking.masks import (
    masked,
    overrides_of,
    replacements,
    require_fitting,
    require_unmasked,
)
from workbench.masking.reference import plain_losses, windows
from workbench.models.attached_hooks import attach_hooks
from workbench.models.attention_hook import AttentionCall, Mode, Observer, Override
from workbench.models.heads import HeadSet
from workbench.models.identity import state_of
from workbench.models.install import decoder_layers, sample_ids
from workbench.models.model import Model

RESUMED = "resumed passes"  # name of the fast path
SHARED = 1 << 29  # bytes for the streams of all sessions with a model


class _Seen(Exception):
    """A pass has come to the last layer that was to be seen, and ends there."""


@dataclass(frozen=True, eq=False)
class Stream:
    """What one pass over one window left behind.

    Attributes:
        heads: the heads that were masked.
        mode: what they did instead.
        entering: {layer: (1, T, width)}, the residual stream in front of the stored layers.
        final: (1, T, width), after the last layer and the final norm.
    """

    heads: HeadSet
    mode: Mode
    entering: Mapping[int, torch.Tensor]
    final: torch.Tensor

    def tensors(self) -> list[torch.Tensor]:
        """All tensors of the stream."""
        return [*self.entering.values(), self.final]


@preemptible
def run_from(
    model: Model,
    ids: Sequence[int],
    start: tuple[int, torch.Tensor] | None = None,
    overrides: Mapping[int, Sequence[Override]] | None = None,
    keep: Sequence[int] = (),
    reached: Callable[[int], object] = lambda layers: None,
) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
    """Run a window from a layer on, and keep what enters some layers.

    Runs under the lock; the caller sees to it that the model is unmasked.

    Args:
        model: the model.
        ids: token ids of the window, with the special prefix.
        start: a layer and the residual stream (B, T, width) that enters it; layers below are not
            computed. None: a whole pass over one row.
        overrides: the overrides by layer, as `overrides_of` gives them; those below the start are
            left out.
        keep: the layers whose input is kept.
        reached: called with 1 at each layer in `keep`.

    Returns:
        The final hidden states (B, T, width), and what entered the layers in `keep`, by layer.
    """
    layers = decoder_layers(model.hf, model.sites) if keep or start is not None else []
    kept: dict[int, torch.Tensor] = {}

    def recorder(layer: int) -> Any:
        def record(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            kept[layer] = args[0] if args else kwargs["hidden_states"]
            reached(1)

        return record

    with ExitStack() as stack:
        stack.enter_context(model.lock)
        if start is not None:
            stack.enter_context(_starting_at(layers, *start))
        for layer in keep:  # after the replacement, so that it is the replaced stream that is kept
            hook = layers[layer].register_forward_pre_hook(recorder(layer), with_kwargs=True)
            stack.callback(hook.remove)
        first = 0 if start is None else start[0]
        run = {layer: loads for layer, loads in (overrides or {}).items() if layer >= first}
        stack.enter_context(attach_hooks(model.sites, run))
        with torch.inference_mode():
            final = model.hidden(torch.tensor([list(ids)], device=model.device))
    return final, kept


@contextmanager
def _starting_at(
    layers: Sequence[torch.nn.Module], start: int, states: torch.Tensor
) -> Iterator[None]:
    """Let the layers below `start` pass their input on, and `states` enter layer `start`."""

    def skip(hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return hidden_states

    def replace(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (states, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": states}

    # A layer may carry a forward of its own already (accelerate's offloading): put it back after.
    before = [layer.__dict__.get("forward") for layer in layers[:start]]
    hook = layers[start].register_forward_pre_hook(replace, with_kwargs=True)
    try:
        for layer in layers[:start]:
            layer.__dict__["forward"] = skip
        yield
    finally:
        hook.remove()
        for layer, forward in zip(layers, before, strict=False):
            layer.__dict__.pop("forward", None)
            if forward is not None:
                layer.__dict__["forward"] = forward


def can_resume(model: Model) -> bool:
    """Whether passes of a model can start from a stored stream; else there is one warning.

    Compared once for each dtype and device that the model is moved to. Layers that hand more than
    the residual stream to each other (shared keys and values, say) would show here.

    Args:
        model: the model, with no head masked.
    """
    usable = fast_path(
        model,
        RESUMED,
        lambda: True,
        lambda _: _resumed_difference(model),
        "passes cannot start from a stored residual stream ({problem}); every head set is computed "
        "from the first layer",
    )
    return usable is not None


def _resumed_difference(model: Model) -> str | None:
    """How passes from stored streams differ from a whole one; None if they do not."""
    ids = sample_ids(model.hf)[0].tolist()
    whole, entering = run_from(model, ids, keep=range(model.num_layers))
    for layer in (0, model.num_layers // 2, model.num_layers - 1):
        resumed, _ = run_from(model, ids, (layer, entering[layer]))
        if not torch.equal(resumed, whole):
            worst = float((resumed - whole).abs().max())
            return f"a pass from layer {layer} differs by {worst:.2g}"
    return None


class ResidualCache:
    """Losses of texts under changing head sets, each computed from its lowest changed layer.

    The least recently used streams go first. A stream that alone would take more than half of the
    memory is stored at every second, third, ... layer only, and a pass then starts at the nearest
    stored layer below the change.

    Attributes:
        model: the model.
        memory: bytes that stored residual streams may take.
        computed_layers: layers computed over all passes so far: what a session has really cost.

    Args:
        model: the model whose streams are stored.
        memory: bytes that stored residual streams may take.

    Raises:
        ValueError: `memory` is less than 0.
    """

    def __init__(self, model: Model, memory: int = 1 << 30) -> None:
        if memory < 0:
            raise ValueError(f"memory is a number of bytes, got {memory}")
        self.model = model
        self.memory = memory
        self.computed_layers = 0  # over all passes so far: what a session has really cost
        self._streams: OrderedDict[tuple[Any, ...], Stream] = OrderedDict()
        self._state: tuple[Any, ...] = ()

    @property
    def used(self) -> int:
        """Bytes of the stored streams; what two streams share counts once."""
        unique = {id(t): t for stream in self._streams.values() for t in stream.tensors()}
        return sum(t.numel() * t.element_size() for t in unique.values())

    def clear(self) -> None:
        """Forget all streams."""
        self._streams.clear()

    def _forget_other_weights(self) -> None:
        """Streams belong to the weights, dtype, device and kernel that they were computed with."""
        state = state_of(self.model)
        if state != self._state:
            self.clear()
            self._state = state

    def losses(
        self,
        text: str | Sequence[int],
        heads: HeadSet | None = None,
        mode: Mode = "uniform",
    ) -> np.ndarray:
        """Losses of a text under a head set, as in `token_losses`.

        Args:
            text: the text, or its token ids without special tokens.
            heads: the head set to mask (None: no head masked).
            mode: what a masked head does instead (see `masked`).

        Returns:
            Nats of each predicted token, float32.
        """
        model = self.model
        require_fitting(model, heads, mode)
        ids = model.encode(text) if isinstance(text, str) else list(text)
        parts = [self._window_losses(window, heads, mode) for window in windows(model, ids)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _window_losses(self, ids: list[int], heads: HeadSet | None, mode: Mode) -> np.ndarray:
        model = self.model
        if model.head is None or not can_resume(model):
            return plain_losses(model, ids, heads, mode)
        first = max(len(model.bos_ids), 1)
        if len(ids) <= first:
            return np.zeros(0, np.float32)
        states = self.hidden(ids, heads, mode)[first - 1 : -1]
        with torch.inference_mode():
            targets = torch.tensor(ids[first:], device=model.device)
            return model.head.cross_entropy(states, targets).cpu().numpy()

    @preemptible
    def hidden(
        self, ids: Sequence[int], heads: HeadSet | None = None, mode: Mode = "uniform"
    ) -> torch.Tensor:
        """Final hidden states of one window under a head set.

        Args:
            ids: token ids of the window, with the special prefix.
            heads: the head set to mask (None: no head masked).
            mode: what a masked head does instead (see `masked`).

        Returns:
            The states (T, width).
        """
        model = self.model
        require_fitting(model, heads, mode)
        heads = heads if heads is not None else HeadSet.of([], model)
        with model.lock:
            require_unmasked(model)
            self._forget_other_weights()
            key = _key(ids, heads, mode)
            if key not in self._streams:
                self._streams[key] = self._pass(key[0], heads, mode)
            self._streams.move_to_end(key)
            final = self._streams[key].final[0]
            while len(self._streams) > 1 and self.used > self.memory:
                self._streams.popitem(last=False)
        return final

    @preemptible
    def watch(
        self,
        ids: Sequence[int],
        layers: Collection[int],
        observer: Observer,
        heads: HeadSet | None = None,
        mode: Mode = "uniform",
    ) -> None:
        """Show an observer what the attention of some layers sees in one window under a head set.

        A layer whose stored stream is at hand is computed alone, and only up to its attention.

        Args:
            ids: token ids of the window, with the special prefix.
            layers: the layers, which have attention heads.
            observer: called once for each of them, from the first layer upwards; called anew for
                all where the pass gave way to work of higher priority.
            heads: the head set to mask (None: no head masked).
            mode: what a masked head does instead (see `masked`).
        """
        model = self.model
        with model.lock:
            means = replacements(model, mode, ids) if heads else None
            if not can_resume(model):
                sites = [site for site in model.sites if site.layer in layers]
                row = torch.tensor([list(ids)], device=model.device)
                with (
                    masked(model, heads, mode, means=means),
                    attach_hooks(sites, observer=observer),
                    torch.inference_mode(),
                ):
                    model.hidden(row)
                return
            heads = heads if heads is not None else HeadSet.of([], model)
            self.hidden(ids, heads, mode)
            stream = self._streams[_key(ids, heads, mode)]
            for start, wanted in _by_stored_layer(stream, layers).items():
                sites = [site for site in model.sites if site.layer in wanted]

                def show(call: AttentionCall, last: int = max(wanted)) -> None:
                    observer(call)
                    if call.layer == last:
                        raise _Seen

                with suppress(_Seen), attach_hooks(sites, observer=show):
                    run_from(
                        model,
                        ids,
                        (start, stream.entering[start]),
                        overrides_of(heads, mode, means),
                    )

    def _pass(self, ids: tuple[int, ...], heads: HeadSet, mode: Mode) -> Stream:
        model = self.model
        start, parent = 0, None
        for key in [key for key in self._streams if key[0] == ids]:
            stream = self._streams[key]
            shared = _first_difference(stream, heads, mode, model.num_layers)
            stored = max(layer for layer in stream.entering if layer <= shared)
            if stored >= start:
                start, parent = stored, stream
                self._streams.move_to_end(key)  # what others start from is worth keeping
        stride = self._stride(len(ids))
        means = replacements(model, mode, ids) if heads else None
        keep = [layer for layer in range(start, model.num_layers) if layer % stride == 0]
        with progress_bar("reading the text", "layer", len(keep), bar=False) as done:
            final, entering = run_from(
                model,
                ids,
                None if parent is None else (start, parent.entering[start]),
                overrides_of(heads, mode, means),
                keep=keep,
                reached=done,
            )
        self.computed_layers += model.num_layers - start
        below = {} if parent is None else parent.entering
        shared_part = {layer: t for layer, t in below.items() if layer <= start}
        return Stream(heads, mode, {**entering, **shared_part}, final)

    def _stride(self, tokens: int) -> int:
        """Store every how many-th layer, so that two streams of this window fit the memory."""
        width = self.model.hf.config.get_text_config().hidden_size
        one_layer = tokens * width * torch.finfo(self.model.dtype).bits // 8
        budget = max(self.memory // 2, 1)
        return max(1, math.ceil(one_layer * (self.model.num_layers + 1) / budget))


def streams_of(model: Model) -> ResidualCache:
    """The cache that sessions with a model share: a session made anew costs no memory anew.

    Args:
        model: the model.
    """
    return model.cache.kept("streams of sessions", lambda: ResidualCache(model, SHARED))


def _first_difference(stream: Stream, heads: HeadSet, mode: Mode, layers: int) -> int:
    """The lowest layer whose heads a pass must compute anew; the last one if nothing differs."""
    # Under another mode a head that stays masked puts out something else, too.
    changed = stream.heads ^ heads if stream.mode == mode else stream.heads | heads
    return min((head.layer for head in changed), default=layers - 1)


def _key(ids: Sequence[int], heads: HeadSet, mode: Mode) -> tuple[tuple[int, ...], Any, str]:
    """What a stream is stored under."""
    return tuple(ids), heads.members, mode if heads else ""


def _by_stored_layer(stream: Stream, layers: Collection[int]) -> dict[int, list[int]]:
    """The layers, each under the nearest stored layer that a pass to it can start from."""
    groups: dict[int, list[int]] = {}
    for layer in sorted(layers):
        start = max(stored for stored in stream.entering if stored <= layer)
        groups.setdefault(start, []).append(layer)
    return groups
