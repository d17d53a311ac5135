"""Load a model with its tokenizer, geometry, device, dtype and identity.

Four ways in, one result: the embedded default, a Hugging Face id, a local folder, a GGUF file. An
id or a folder may also be that of a LoRA adapter, which is merged into its base model.
Every model that comes out has its attention routed through `workbench.attention`, so that heads can
be masked and watched; with nothing masked it computes what the stock model computes.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from workbench import adapters, embedded
from workbench.attention import OURS, Site
from workbench.carrying import is_overridden
from workbench.cores import keep_torch_within_cores
from workbench.folders import standing_folder
from workbench.identity import state_of, tokenizer_sha256, weights_sha256
from workbench.install import inside_adapters, install, layer_count, uninstall, vocabulary_size
from workbench.tokenization import special_prefix_of, text_options
from workbench.vocabulary import VocabularyHead, head_of
from workbench.weights import commit_of, holds, read_weights, require_reachable

BATCH_CHARACTERS = 1 << 18  # of texts that are tokenized together
_TOLD = 700  # characters of another library's message that ours repeats


@dataclass(eq=False)
class Model:
    """A causal language model on the bench.

    hf and tokenizer are the plain transformers objects; sites are the attention layers; context is
    the largest number of tokens in one forward pass; source and revision say where the weights came
    from; from_nowhere names the weights that no file held (load_model refuses such a checkpoint, so
    none), None where that is not known. Calling the model, or `generate`, calls `hf`. One thread
    computes at a time: whoever uses the model holds `lock`.
    """

    hf: PreTrainedModel
    tokenizer: Tokenizer
    sites: tuple[Site, ...]
    context: int
    source: str
    revision: str | None = None
    head: VocabularyHead | None = None
    loaded_by: str | None = None  # the call of load_model, as Python
    from_nowhere: tuple[str, ...] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _identity: tuple[tuple[Any, ...], dict[str, Any]] | None = field(default=None, repr=False)

    @property
    def layers(self) -> int:
        """Number of decoder layers, those without attention included (see `headless`)."""
        return layer_count(self.hf)

    @property
    def headless(self) -> tuple[int, ...]:
        """The layers that have no attention heads (recurrent or convolutional ones of hybrids)."""
        return tuple(sorted({*range(self.layers)} - {site.layer for site in self.sites}))

    @property
    def decoder(self) -> torch.nn.Module:
        """The part of `hf` that turns token ids into final hidden states."""
        return self.sites[0].decoder

    @property
    def heads(self) -> int:
        """Number of query heads in each layer that has any."""
        return self.sites[0].heads

    @property
    def head_count(self) -> int:
        """Number of query heads of the whole model."""
        return len(self.sites) * self.heads

    @property
    def kv_heads(self) -> int:
        """Number of key-value heads in each layer; `heads / kv_heads` query heads share one."""
        return self.sites[0].kv_heads

    @property
    def device(self) -> torch.device:
        return self.hf.device

    @property
    def dtype(self) -> torch.dtype:
        return self.hf.dtype

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return self.hf(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return self.hf.generate(*args, **kwargs)  # type: ignore[operator]

    # ---- leaving the bench ------------------------------------------------------------------

    def restore(self) -> PreTrainedModel:
        """Give the transformers model back as it came: its attention implementation, and training
        mode where it was in it. Its weights are never changed.

        Masks and observers need `from_transformers` anew afterwards (they say so). A `with` block,
        `with from_transformers(hf, tokenizer) as model:`, restores at its end. Raises ValueError
        inside a `masked` block.
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
        kept = {name: one for name, one in self.__dict__.items() if not name.startswith(OURS)}
        del kept["lock"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.RLock())

    def _require_free(self, what: str) -> None:
        if is_overridden(self.sites):
            raise ValueError(
                f"a model cannot be {what} while heads of it are masked: leave the "
                "`with masked(...)` block first"
            )

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.hf.parameters())
        without = f", {len(self.headless)} layers without attention" if self.headless else ""
        return (
            f"<Model {self.source}: {self.layers} layers x {self.heads} query heads "
            f"({self.kv_heads} KV heads){without}, {size / 1e6:.0f} M parameters, "
            f"context {self.context}, "
            f"{str(self.dtype).removeprefix('torch.')} on {self.device}>"
        )

    # ---- text to tokens ---------------------------------------------------------------------

    @cached_property
    def special_prefix(self) -> list[int]:
        """The ids that the tokenizer puts before a text by itself (BOS, or nothing).

        They go before every window. What a tokenizer would append is left out, since the loss is
        that of the document's own tokens.
        """
        return special_prefix_of(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text` alone, no special token added.

        A text that spells out a control token ("<|im_end|>") is text: it is split like any other.
        """
        return list(self.tokenizer(text, **text_options(self.tokenizer)).input_ids)

    def encode_all(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """`encode` of each text, some of them at a time, which fast tokenizers do in parallel."""
        some: list[str] = []
        for text in texts:
            some.append(text)
            if sum(map(len, some)) >= BATCH_CHARACTERS:
                yield from self._encoded(some)
                some = []
        if some:
            yield from self._encoded(some)

    def _encoded(self, texts: list[str]) -> list[list[int]]:
        encoded = self.tokenizer(texts, **text_options(self.tokenizer))
        return [list(ids) for ids in encoded.input_ids]

    # ---- tokens to numbers ------------------------------------------------------------------

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """Final hidden states (B, T, width) of `ids` (B, T), before the vocabulary projection."""
        return self.decoder(input_ids=ids, use_cache=False).last_hidden_state

    def logits(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits (len(positions), vocabulary) of one row of `ids` (1, T) at some positions."""
        if self.head is None:
            return self.hf(input_ids=ids, use_cache=False).logits[0, positions]
        return self.head(self.hidden(ids)[0, positions])

    # ---- identity ---------------------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Any]:
        """Who this model is, for fingerprints and manifests (JSON-able).

        weights_sha256 covers names, shapes, dtypes and values of all parameters and buffers as they
        are in memory, so it does not depend on the file format; tokenizer_sha256 covers the
        vocabulary and, for fast tokenizers, the whole pipeline. Computed anew when weights changed.
        """
        state = state_of(self)
        if self._identity is None or self._identity[0] != state:
            self._identity = state, self._identified()
        return self._identity[1]

    def _identified(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "revision": self.revision,
            "weights_sha256": weights_sha256(self.hf),
            "tokenizer_sha256": tokenizer_sha256(self.tokenizer),
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "layers": self.layers,
            "heads": self.heads,
            "special_tokens_prepended": self.special_prefix,
        }


def load_model(
    source: str | Path | None = None,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str | torch.dtype = "auto",
    context: int | None = None,
    trust_remote_code: bool = False,
    certify: bool = True,
) -> Model:
    """Load a causal language model and put it on the bench.

    source: None for the embedded default (SmolLM2-135M-Instruct, fetched once into the user's
    cache); a folder or a .gguf file; or a Hugging Face id, with `revision`. A folder or id with a
    LoRA adapter loads its base model too and merges the adapter into it (with the package `peft`:
    pip install 'attention-influence-workbench[lora]'). device "auto" takes
    CUDA, then Apple's MPS, then the CPU; dtype "auto" takes the checkpoint's own on an accelerator
    and float32 on a CPU. context limits the tokens of one pass (default: the model's own). certify
    tries out that masks and losses are right on this model (a dozen short passes, see
    `workbench.certificate`) and warns where they are not.

    Only safetensors and GGUF weights are read, never pickles, and no code from the checkpoint runs
    unless `trust_remote_code` is set. A checkpoint that lacks a weight of the model is refused by
    name, since transformers would put random numbers there.

    Raises FileNotFoundError if there is no such folder or file, RuntimeError if the default model
    cannot be had, ValueError with what to do for everything else that does not load, and
    `CannotMask` if the architecture cannot be masked head by head.
    """
    call = _call(source, revision=revision, dtype=dtype, context=context,
                 trust_remote_code=trust_remote_code)  # fmt: skip
    place, name = _place_of(source)
    device = pick_device(device)
    keep_torch_within_cores()
    dtype = _pick_dtype(dtype, device)
    try:
        if isinstance(place, Path) and place.suffix.lower() == ".gguf":
            place = embedded.convert_gguf(place)
        hf, tokenizer = _read(place, dtype, revision, trust_remote_code)
        hf.to(device)  # type: ignore[arg-type]
    # Broken files make the readers beneath raise nearly anything; it is always the same message.
    except Exception as error:
        told = str(error) if len(str(error)) <= _TOLD else f"{str(error)[:_TOLD]} [...]"
        raise ValueError(
            f"could not load {name!r} as a causal language model: {told}. Expected a folder or "
            "Hugging Face id with config.json, tokenizer files and safetensors weights, or a .gguf "
            "file. Pickled weights (.bin, .pt, .pth) are not read, since pickles can run any code: "
            "if you trust them, load them with transformers and store them again with "
            "save_pretrained(folder), which writes safetensors"
        ) from error
    revision = commit_of(place, revision)
    model = from_transformers(hf, tokenizer, source=name, revision=revision, context=context)
    model.loaded_by = call
    if not embedded.of_unknown_wholeness(place):
        model.from_nowhere = ()
    if certify:
        _warn_unless_certified(model)
    return model


def _place_of(source: str | Path | None) -> tuple[str | Path, str]:
    """Where to read `source`, and the name that it goes by."""
    if source is None:
        return embedded.ensure(), embedded.NAME
    name, path = str(source), standing_folder(Path(source).expanduser())
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise FileNotFoundError(f"no GGUF file at {path}")
        return path, path.name
    if path.exists():
        return path, Path(source).expanduser().resolve().name  # where it lies is the user's affair
    if isinstance(source, Path) or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise FileNotFoundError(
            f"no model at {name}: expected a folder with config.json and safetensors weights, "
            "a .gguf file, or a Hugging Face id such as 'HuggingFaceTB/SmolLM2-135M'"
        )
    return name, name


def _read(
    place: str | Path, dtype: str | torch.dtype, revision: str | None, trust_remote_code: bool
) -> tuple[PreTrainedModel, Tokenizer]:
    """Weights and tokenizer, with an adapter merged; the base's tokenizer if it brings none."""
    options: dict[str, Any] = {"revision": revision} if revision else {}
    options["trust_remote_code"] = trust_remote_code
    require_reachable(place, revision)
    adapter = adapters.adapter_at(place, revision)
    if adapter is None:
        # The tokenizer first: it is quickly found to be broken.
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        return read_weights(place, dtype, revision=revision,
                            trust_remote_code=trust_remote_code), tokenizer  # fmt: skip
    hf = adapters.read_merged(
        place, adapter, dtype, revision=revision, trust_remote_code=trust_remote_code
    )
    if holds(place, "tokenizer_config.json", revision) is None:
        place, revision = adapters.base_of(adapter)
        options = {"trust_remote_code": trust_remote_code}
        options |= {"revision": revision} if revision else {}
    return hf, AutoTokenizer.from_pretrained(place, **options)


def from_transformers(
    hf: PreTrainedModel,
    tokenizer: Tokenizer,
    *,
    source: str | None = None,
    revision: str | None = None,
    context: int | None = None,
) -> Model:
    """Put a transformers model that you already hold on the bench.

    hf: a causal language model in which every attention layer goes through transformers' attention
    interface; layers without attention are left alone. A PEFT model is taken with its adapters as
    they are: the transformers model inside is put on the bench. tokenizer: the one it was trained
    with. source, revision: where it came from, for records. context: the largest number of tokens
    in one pass (default: the model's own limit).

    The model is switched to eval mode and its attention to this package's function, which computes
    what its own does until heads are masked. `Model.restore()`, or the end of a
    `with from_transformers(...) as model:` block, puts both back.

    Raises CannotMask for attention that cannot be masked head by head, TypeError for what is no
    transformers model, ValueError for a context or tokenizer that does not fit. The model is then
    as it was.
    """
    hf = inside_adapters(hf)
    sites = install(hf)
    try:
        return _on_the_bench(hf, tokenizer, sites, source, revision, context)
    except BaseException:
        uninstall(hf)
        raise


def _on_the_bench(
    hf: PreTrainedModel,
    tokenizer: Tokenizer,
    sites: tuple[Site, ...],
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


def _call(source: str | Path | None, **options: Any) -> str:
    """The call of load_model that loads the same model, without the device, which machines differ
    in."""
    usual = inspect.signature(load_model).parameters
    given = [] if source is None else [repr(str(source))]
    given += [
        f"{name}={str(value).removeprefix('torch.')!r}" if name == "dtype" else f"{name}={value!r}"
        for name, value in options.items()
        if value != usual[name].default
    ]
    return f"wb.load_model({', '.join(given)})"


def _warn_unless_certified(model: Model) -> None:
    from workbench import certificate  # it stands on masking and losses, which stand on this file

    found = certificate.certify(model)
    if not found.ok:
        warnings.warn(f"{model.source}: {found.complaint()}", stacklevel=3)


def pick_device(device: str) -> str:
    """The device meant by a name, "auto" included; ValueError if it is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next((name for name, present in there.items() if present), "cpu")
    if not there.get(device.partition(":")[0], True):
        raise ValueError(
            f"device {device!r} is not there: this torch ({torch.__version__}) sees "
            f"{', '.join([*(name for name, present in there.items() if present), 'cpu'])}"
        )
    return device


def _pick_dtype(dtype: str | torch.dtype, device: str) -> str | torch.dtype:
    if dtype == "auto":
        return torch.float32 if device == "cpu" else "auto"
    names = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
    known = {name: getattr(torch, name) for name in names.values()}
    found = known.get(names.get(str(dtype), str(dtype).removeprefix("torch.")))
    if found is None:
        raise ValueError(f"dtype must be auto, {', '.join(known)}, got {dtype!r}")
    return found
