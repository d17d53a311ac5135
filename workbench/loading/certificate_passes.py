"""The passes of a model behind its certificate, each made once.

All work on a handful of ordinary tokens, drawn with a fixed seed. What must come out is computed
here once more, the plain way, or taken from the stock model: nothing is held against itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from workbench.detection import retrieval
from workbench.detection.probes import Probe
from workbench.masking.masks import overrides_of
from workbench.masking.packed import packed_passes
from workbench.masking.reference import plain_losses
from workbench.models.attached_hooks import attach_hooks
from workbench.models.attention_hook import AttentionCall, AttentionLayer, QueryKeyOverride
from workbench.models.heads import HeadSet
from workbench.models.install import vocabulary_size
from workbench.models.model import Model

# Tokens of a window, how many of them are edited at its end, and tokens before the probe's value.
WINDOW, EDITED, FILLER = 16, 5, 12
MANY = WINDOW + EDITED  # with so many ordinary tokens none is used twice; a probe takes no more
# Answers in an order in which no token follows or precedes the one that it followed in the value:
# heads that continue a repetition, which most models have, find nothing here.
ORDERS = ((2, 5, 0, 3, 6, 1, 4, 7), (1, 3, 0, 2))


class Layer(NamedTuple):
    """What masking one head of a layer did there.

    Attributes:
        changed: whether the attention module put out anything else.
        others: the largest change of any other head's output, relative to the largest value.
        average: the largest distance of the masked head's output from the running mean of its
            values, relative to the largest value.
    """

    changed: bool
    others: float
    average: float


class CertificatePasses:
    """The passes of one model that several checks read, and the tokens that they are made with.

    A pass is made when a check first asks for it. Use it under the model's lock, in inference mode;
    the model is left as it was after every pass, however it ends.

    Attributes:
        model: the model under test.
        every: one head of each layer: the heads that are masked, and planted as copying heads.

    Args:
        model: the model to test.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        layers = [site.layer for site in model.sites]
        self.every = HeadSet.of([(layer, layer % model.num_heads) for layer in layers], model)
        self._losses: dict[tuple[tuple[int, ...], bool], np.ndarray] = {}

    @cached_property
    def ordinary(self) -> list[int]:
        """All tokens that are not special, in an order drawn with a fixed seed."""
        size = min(vocabulary_size(self.model.hf), len(self.model.tokenizer))
        special = set(self.model.tokenizer.all_special_ids)
        drawn = torch.randperm(size, generator=torch.Generator().manual_seed(0)).tolist()
        return [token for token in drawn if token not in special]

    @cached_property
    def tokens(self) -> list[int]:
        """The tokens of the window, and those that replace its end; the probe's value is at FILLER.

        Distinct where the vocabulary allows it. A model of four bases has to repeat them; only the
        value's tokens must differ from each other, and an edit from what it replaces.

        Raises:
            ValueError: the model has too few ordinary tokens, or reads too few positions.
        """
        model, k = self.model, len(self.order)
        longest = len(model.bos_ids) + FILLER + 2 * k
        limit = getattr(model.hf.config.get_text_config(), "max_position_embeddings", None)
        few = len(self.ordinary)
        if few < k or longest > (limit or model.context):
            raise ValueError(
                f"too small to be tried out: it takes {k} ordinary tokens and {longest} positions, "
                f"the model has {few} and {limit or model.context}"
            )
        if few >= MANY:
            return self.ordinary[:MANY]
        repeats = torch.Generator().manual_seed(0)
        places = torch.randint(few, (WINDOW,), generator=repeats).tolist()
        places[FILLER : FILLER + k] = range(k)
        edits = [(place + 1) % few for place in places[-EDITED:]]
        return [self.ordinary[place] for place in [*places, *edits]]

    @cached_property
    def window(self) -> tuple[int, ...]:
        """The token ids that most checks read: the special prefix and WINDOW ordinary tokens."""
        return (*self.model.bos_ids, *self.tokens[:WINDOW])

    @cached_property
    def edited(self) -> tuple[int, ...]:
        """The window with other tokens at its end."""
        return (*self.window[:-EDITED], *self.tokens[WINDOW : WINDOW + EDITED])

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Which token of the probe's value each token of its answer is."""
        sliding = getattr(self.model.hf.config.get_text_config(), "sliding_window", None)
        short = sliding is not None and sliding <= 12
        return ORDERS[1] if short or len(self.ordinary) < MANY else ORDERS[0]

    def losses(self, window: tuple[int, ...], under_mask: bool = False) -> np.ndarray:
        """Losses of one window alone, by the plain path.

        Args:
            window: token ids with the special prefix.
            under_mask: whether the heads of `every` are masked.

        Returns:
            Nats of each predicted token, (predicted tokens,) float32.
        """
        key = window, under_mask
        if key not in self._losses:
            heads = self.every if under_mask else None
            self._losses[key] = plain_losses(self.model, window, heads)
        return self._losses[key]

    @cached_property
    def stock(self) -> tuple[torch.Tensor, float]:
        """Logits of the window by transformers' own attention function, and the model's own loss.

        The loss is over the tokens that ours is over: those after the special prefix.
        """
        hf, row = self.model.hf, self.row(self.window)
        labels = row.clone()
        labels[:, : len(self.model.bos_ids)] = -100  # what transformers leaves out
        ours = str(hf.config._attn_implementation)
        self.model.kernel_aside = ours
        try:
            hf.set_attn_implementation(ours.removeprefix("workbench_"))
            result = hf(input_ids=row, labels=labels, use_cache=False)
        finally:
            hf.set_attn_implementation(ours)
            self.model.kernel_aside = None
        return result.logits, float(result.loss)

    @cached_property
    def batched(self) -> list[list[np.ndarray]] | None:
        """Losses of the window, of its beginning and of the edited window in one packed batch.

        Returns:
            For each of the three the losses without and with the mask, in nats; None where the
            model's losses cannot be computed in packed batches.
        """
        batches = packed_passes(self.model)
        if batches is None:
            return None
        windows = [self.window, self.window[:-EDITED], self.edited]
        return list(batches.losses(windows, [None, self.every]))

    @cached_property
    def layers(self) -> dict[int, Layer]:
        """What masking one head does in each layer.

        While the window goes through the stock model, every attention module is run once more on
        the same input with one head masked. The shapes are the same, so a mask without effect gives
        the same bits.
        """
        seen: dict[int, AttentionCall] = {}
        layers: dict[int, Layer] = {}

        def look(call: AttentionCall) -> None:
            seen[call.layer] = call

        def again(site: AttentionLayer) -> Callable[..., None]:
            head = site.layer % site.heads
            overrides = overrides_of(HeadSet.of([(site.layer, head)], self.model), "uniform")

            def hook(module: Any, args: Any, kwargs: Any, output: Any) -> None:
                before = seen.pop(site.layer, None)
                with attach_hooks([site], overrides, look):
                    result = module.forward(*args, **kwargs)
                after = seen.pop(site.layer, None)
                if before is not None and after is not None:
                    changed = not torch.equal(_first(output), _first(result))
                    layers[site.layer] = Layer(changed, *_compared(before, after, head))

            return hook

        with ExitStack() as stack:
            for site in self.model.sites:
                handle = site.module.register_forward_hook(again(site), with_kwargs=True)
                stack.callback(handle.remove)
            with attach_hooks(self.model.sites, observer=look):
                self.model.hf(input_ids=self.row(self.window), use_cache=False)
        return layers

    @cached_property
    def copied(self) -> tuple[np.ndarray, np.ndarray]:
        """Retrieval scores on a probe, with a copying head planted in each layer and without.

        Returns:
            The scores with the head of `every` planted in each layer, and those with nothing
            planted, (layers, heads) each.
        """
        model, k = self.model, len(self.order)
        value = self.tokens[FILLER : FILLER + k]
        ids = [*self.tokens[: FILLER + k], *(value[i] for i in self.order)]
        probe = Probe(tuple(ids), (FILLER + k, FILLER + 2 * k), (FILLER, FILLER + k), 1)
        offset = len(model.bos_ids)
        source = torch.arange(offset + len(ids))  # all other rows look at themselves
        source[offset + FILLER + k - 1 : -1] = offset + FILLER + torch.tensor(self.order)
        overrides = {layer: _copying(head, source) for layer, head in self.every}
        with attach_hooks(model.sites, query_key_overrides=overrides):
            with_planted, _ = retrieval._copied(model, probe)
        without, _ = retrieval._copied(model, probe)
        return with_planted, without

    def row(self, ids: Sequence[int]) -> torch.Tensor:
        """Token ids as a batch of one row.

        Args:
            ids: token ids, (T,).

        Returns:
            The ids on the model's device, (1, T).
        """
        return torch.tensor([list(ids)], device=self.model.device)


def _first(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output


def _compared(before: AttentionCall, after: AttentionCall, head: int) -> tuple[float, float]:
    """Change of the other heads, and distance of `head` from the mean, computed row by row."""
    value = after.value[0, head // (after.query.shape[1] // after.value.shape[1])].cpu().double()
    scale = float(after.value.abs().max())
    # On the CPU, since Apple's GPUs know no float64.
    now, stock = after.output[0].cpu().double(), before.output[0].cpu().double()
    change = (now - stock).abs().amax(dim=(0, 2))
    change[head] = 0
    rows = now[:, head]
    worst = torch.zeros(())
    for i, row in enumerate(rows):
        shown = value[: i + 1]
        if isinstance(after.visible, torch.Tensor):  # a sliding window hides some of the past
            visible = after.visible[0, head if after.visible.shape[1] > 1 else 0, i, : i + 1]
            shown = shown[visible.cpu()]
        mean = shown.mean(dim=0)
        if after.share is not None:  # an attention sink keeps the rest
            mean = mean * after.share[0, head, i].cpu().double()
        worst = torch.maximum(worst, (row - mean).abs().max())
    return float(change.max()) / scale, float(worst) / scale


def _copying(head: int, source: torch.Tensor) -> QueryKeyOverride:
    """Attention in which query head `head` looks from every row t at row source[t] above all.

    Its keys are codes of the positions, of one length, so that none is nearer to a code than
    itself. Its siblings get these keys too, and keep their own queries.
    """

    def plant(query: torch.Tensor, key: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        size = key.shape[-1]
        codes = torch.randn(len(source), size, generator=torch.Generator().manual_seed(0))
        codes = (torch.nn.functional.normalize(codes) * size**0.5).to(key)
        query, key = query.clone(), key.clone()
        key[:, head // (query.shape[1] // key.shape[1])] = codes
        query[:, head] = codes[source.to(codes.device)]
        return query, key

    return plant
