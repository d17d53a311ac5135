"""A model on the workbench: transformers model, tokenizer, geometry, device, dtype and identity.

Every model has its attention routed through `workbench.models.attention_hook`, so that heads can be
masked and watched; with nothing masked it computes what the stock model computes.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from workbench.models.attached_hooks import is_overridden
from workbench.models.attention_hook import AttentionLayer
from workbench.models.identity import (
    float32_matmul,
    state_of,
    tokenizer_sha256,
    weights_sha256,
)
from workbench.models.install import (
    inside_adapters,
    install,
    layer_count,
    require_one_device,
    uninstall,
    vocabulary_size,
)
from workbench.models.lm_head import LMHead, head_of
from workbench.models.model_cache import ModelCache
from workbench.models.tokenization import special_prefix_of, text_options

# Of the number of a token, its first character and end in the text.
TokenPlace = Callable[[int], tuple[int, int] | None]
BATCH_CHARACTERS = 1 << 18  # of texts that are tokenized together


@dataclass(eq=False)
class Model:
    """A causal language model whose heads can be masked and watched.

    Calling the model, or `generate`, calls `hf`. One thread computes at a time: whoever uses the
    model holds `lock`.

    Attributes:
        hf: the plain transformers model.
        tokenizer: the plain transformers tokenizer.
        sites: the attention layers.
        context: the largest number of tokens in one forward pass.
        source: where the weights came from: the name of a folder or file, or a Hugging Face id.
        revision: the commit or revision of a Hugging Face id.
        head: the LM head; None where it cannot be run alone.
        loaded_by: the call of load_model that loads the same model, as Python; None for a model
            that was handed over.
        from_nowhere: the weights that no file held (load_model refuses such a checkpoint, so none);
            None where that is not known.
        simulate: the quantisation that the weights were rounded by (`load_model`); None: none.
        lock: held by the thread that computes with the model.
        kernel_aside: the attention implementation that is put aside while the lock is held, for a
            pass of the stock model; None: none is.
        cache: what was computed of the model and holds for it.
    """

    hf: PreTrainedModel
    tokenizer: Tokenizer
    sites: tuple[AttentionLayer, ...]
    context: int
    source: str
    revision: str | None = None
    head: LMHead | None = None
    loaded_by: str | None = None  # the call of load_model, as Python
    from_nowhere: tuple[str, ...] | None = None
    simulate: str | None = None  # "nf4" or "int8"
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    kernel_aside: str | None = field(default=None, repr=False)
    cache: ModelCache = field(default_factory=ModelCache, repr=False)

    @property
    def num_layers(self) -> int:
        """Number of decoder layers, those without attention included (see `headless`)."""
        return layer_count(self.hf)

    @property
    def headless(self) -> tuple[int, ...]:
        """The layers that have no attention heads (recurrent or convolutional ones of hybrids)."""
        return tuple(sorted({*range(self.num_layers)} - {site.layer for site in self.sites}))

    @property
    def decoder(self) -> torch.nn.Module:
        """The part of `hf` that turns token ids into final hidden states."""
        return self.sites[0].decoder

    @property
    def num_heads(self) -> int:
        """Number of query heads in each layer that has any."""
        return self.sites[0].heads

    @property
    def head_count(self) -> int:
        """Number of query heads of the whole model."""
        return len(self.sites) * self.num_heads

    @property
    def kv_heads(self) -> int:
        """Number of key-value heads in each layer; `num_heads / kv_heads` query heads share one."""
        return self.sites[0].kv_heads

    @property
    def device(self) -> torch.device:
        """The device that the model computes on."""
        return self.hf.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model's weights."""
        return self.hf.dtype

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call `hf` under the lock.

        Args:
            *args: handed to `hf`.
            **kwargs: handed to `hf`.
        """
        with self.lock:
            return self.hf(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Call `hf.generate` under the lock.

        Args:
            *args: handed to `hf.generate`.
            **kwargs: handed to `hf.generate`.
        """
        with self.lock:
            return self.hf.generate(*args, **kwargs)  # type: ignore[operator]

    # ---- giving it back ---------------------------------------------------------------------

    def restore(self) -> PreTrainedModel:
        """Give the transformers model back as it came.

        Its attention implementation is put back, and training mode where it was in it. Its weights
        are never changed. Masks and observers need `from_transformers` anew afterwards (they say
        so). A `with` block, `with from_transformers(hf, tokenizer) as model:`, restores at its end.

        Returns:
            The transformers model.

        Raises:
            ValueError: the call stands inside a `masked` block.
        """
        with self.lock:
            self._require_free("restored")
            uninstall(self.hf)
        return self.hf

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def __getstate__(self) -> dict[str, Any]:
        """For copies and other processes: all but the lock and what was computed on the way."""
        self._require_free("copied")
        return {k: v for k, v in self.__dict__.items() if k not in ("lock", "cache")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.RLock(), cache=ModelCache())

    def _require_free(self, what: str) -> None:
        if is_overridden(self.sites):
            raise ValueError(
                f"a model cannot be {what} while heads of it are masked: leave the "
                "`with masked(...)` block first"
            )

    def __repr__(self) -> str:
        millions = sum(p.numel() for p in self.hf.parameters()) / 1e6
        digits = 1 if millions < 10 else 0
        without = f", {len(self.headless)} layers without attention" if self.headless else ""
        return (
            f"<Model {self.source}: {self.num_layers} layers x {self.num_heads} query heads "
            f"({self.kv_heads} KV heads){without}, {millions:.{digits}f} M parameters, "
            f"context {self.context}, "
            f"{str(self.dtype).removeprefix('torch.')}"
            f"{f', rounded as {self.simulate}' if self.simulate else ''} on {self.device}>"
        )

    # ---- text to tokens ---------------------------------------------------------------------

    @cached_property
    def bos_ids(self) -> list[int]:
        """The ids that the tokenizer puts before a text by itself (BOS, or nothing).

        They go before every window. What a tokenizer would append is left out, since the loss is
        that of the document's own tokens.
        """
        return special_prefix_of(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text alone, no special token added.

        A text that spells out a control token ("<|im_end|>") is text: it is split like any other.

        Args:
            text: the text.
        """
        return list(self.tokenizer(text, **text_options(self.tokenizer)).input_ids)

    def encode_all(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """`encode` of each text, a batch at a time, which fast tokenizers do in parallel.

        Args:
            texts: the texts.

        Yields:
            The token ids of one text after the other.
        """
        return (ids for ids, _ in self.encode_with_places(texts))

    def encode_with_places(self, texts: Sequence[str]) -> Iterator[tuple[list[int], TokenPlace]]:
        """`encode_all` that also says where tokens lie in their text.

        Args:
            texts: the texts.

        Yields:
            The token ids of one text after the other, and a function that gives, of the number of a
            token, its first character and end in the text; None where the tokenizer does not say.
        """
        batch: list[str] = []
        for text in texts:
            batch.append(text)
            if sum(map(len, batch)) >= BATCH_CHARACTERS:
                yield from self._encoded(batch)
                batch = []
        if batch:
            yield from self._encoded(batch)

    def _encoded(self, texts: list[str]) -> Iterator[tuple[list[int], TokenPlace]]:
        encoded = self.tokenizer(texts, **text_options(self.tokenizer))
        says = bool(getattr(encoded, "is_fast", False))

        def place(number: int, token: int) -> tuple[int, int] | None:
            span = encoded.token_to_chars(number, token) if says else None
            return None if span is None else (span.start, span.end)

        for number, ids in enumerate(encoded.input_ids):
            yield list(ids), functools.partial(place, number)

    # ---- tokens to numbers ------------------------------------------------------------------

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """Final hidden states, before the vocabulary projection.

        Args:
            ids: token ids (B, T) on the model's device.

        Returns:
            The states (B, T, width).
        """
        return self.decoder(input_ids=ids, use_cache=False).last_hidden_state

    def logits(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits of one row at some positions.

        Args:
            ids: token ids (1, T) on the model's device.
            positions: the positions (P,) whose logits are wanted.

        Returns:
            Logits (P, vocabulary).
        """
        if self.head is None:
            return self.hf(input_ids=ids, use_cache=False).logits[0, positions]
        return self.head(self.hidden(ids)[0, positions])

    # ---- identity ---------------------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Any]:
        """Who this model is, for fingerprints and manifests (JSON-able).

        weights_sha256 covers names, shapes, dtypes and values of all parameters and buffers as they
        are in memory, so it does not depend on the file format; tokenizer_sha256 covers the
        vocabulary and, for fast tokenizers, the whole pipeline. float32_matmul is there where torch
        was told to round float32 products. Computed anew when weights or that changed.
        """
        return self.cache.kept("identity", self._identified, state=state_of(self))

    def _identified(self) -> dict[str, Any]:
        rounded = float32_matmul(self.device)
        return {
            "source": self.source,
            "revision": self.revision,
            "weights_sha256": weights_sha256(self.hf),
            "tokenizer_sha256": tokenizer_sha256(self.tokenizer),
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "layers": self.num_layers,
            "heads": self.num_heads,
            "special_tokens_prepended": self.bos_ids,
            **({} if self.simulate is None else {"simulate": self.simulate}),
            **({} if rounded is None else {"float32_matmul": rounded}),
        }


def from_transformers(
    hf: PreTrainedModel,
    tokenizer: Tokenizer,
    *,
    source: str | None = None,
    revision: str | None = None,
    context: int | None = None,
) -> Model:
    """Wrap a transformers model that you already hold as a workbench model.

    The model is switched to eval mode and its attention to this package's function, which computes
    what its own does until heads are masked. `Model.restore()`, or the end of a `with
    from_transformers(...) as model:` block, puts both back.

    Args:
        hf: a causal language model in which every attention layer goes through transformers'
            attention interface; layers without attention are left alone. A PEFT model is taken with
            its adapters as they are: the transformers model inside is wrapped.
        tokenizer: the tokenizer that the model was trained with.
        source: where the model came from, for records (default: the kind of model that its
            configuration states).
        revision: the commit or revision of `source`, for records.
        context: the largest number of tokens in one pass (default: the model's own limit).

    Raises:
        CannotMask: attention that cannot be masked head by head.
        TypeError: `hf` is no transformers model.
        ValueError: the context or the tokenizer does not fit, or the model does not lie on one
            device. On any error the model is as it was.
    """
    hf = inside_adapters(hf)
    require_one_device(hf)
    sites = install(hf)
    try:
        return _wrapped(hf, tokenizer, sites, source, revision, context)
    except BaseException:
        uninstall(hf)
        raise


def _wrapped(
    hf: PreTrainedModel,
    tokenizer: Tokenizer,
    sites: tuple[AttentionLayer, ...],
    source: str | None,
    revision: str | None,
    context: int | None,
) -> Model:
    config = hf.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    context = context or limit
    if context is None:
        raise ValueError(
            f"{type(hf).__name__} does not say how many tokens it can read: pass context="
        )
    if context < 2 or (limit is not None and context > limit):
        raise ValueError(f"context must lie between 2 and the model's {limit}, got {context}")
    embedded_tokens = vocabulary_size(hf)
    if len(tokenizer) > embedded_tokens:
        raise ValueError(
            f"the tokenizer knows {len(tokenizer)} tokens, the model embeds only "
            f"{embedded_tokens}: they do not belong together"
        )
    return Model(
        hf,
        tokenizer,
        sites,
        context,
        source or config.model_type,
        revision,
        head_of(hf, sites[0].decoder),
    )
