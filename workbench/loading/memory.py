"""How much memory a model will take, from its configuration alone: before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from workbench.loading import adapters, default_model
from workbench.loading.load import pick_device, pick_dtype, place_of
from workbench.masking.packed import ROW_TOKENS
from workbench.masking.row_size import device_row_tokens, row_of_sets, token_bytes
from workbench.models.lm_head import DEVICE_POSITIONS, DEVICE_TILE, POSITIONS, TILE


@dataclass(frozen=True)
class MemoryNeed:
    """What scoring with a model takes of its device's memory: an estimate from above.

    Kernels that hold whole attention matrices ("eager": soft caps, attention sinks) take more.

    Attributes:
        parameters: how many weights the model has.
        dtype: their dtype.
        device: where they will be.
        weights: bytes of the weights. On their way to a GPU they pass through the memory of the
            CPU, which must hold them too.
        row_tokens: tokens of the longest row of texts.
        row: bytes more while such a row is scored without a mask, with it, and under the controls.
        free: bytes that nothing takes on the device now; None where torch does not say.
    """

    parameters: int
    dtype: str
    device: str
    weights: int
    row_tokens: int
    row: int
    free: int | None

    @property
    def peak(self) -> int:
        """Bytes of weights and row together."""
        return self.weights + self.row

    @property
    def fits(self) -> bool | None:
        """Whether the peak is free on the device; None where that is not known."""
        return None if self.free is None else self.peak <= self.free

    def __str__(self) -> str:
        known = "" if self.free is None else f" of {_gigabytes(self.free)} that are free"
        short = "" if self.fits in (None, True) else ": it does not fit"
        return (
            f"memory of {self.device}: {_gigabytes(self.peak)}{known}{short} "
            f"({self.parameters / 1e6:,.0f} M weights in {self.dtype} {_gigabytes(self.weights)}, "
            f"a row of {self.row_tokens:,} tokens {_gigabytes(self.row)})"
        )


def memory_needed(
    source: str | Path | None = None,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str | torch.dtype = "auto",
    context: int | None = None,
    window: int | None = None,
    controls: int = 0,
    trust_remote_code: bool = False,
) -> MemoryNeed:
    """What scoring with a model would take of memory; only its configuration is read.

    Args:
        source: as in `load_model`. A .gguf file is converted first, as `load_model` does.
        revision: as in `load_model`.
        device: as in `load_model`.
        dtype: as in `load_model`.
        context: as in `load_model`.
        window: as in `score_corpus`; a text of so many tokens has a row to itself.
        controls: as in `score_corpus`: how many head sets are masked beside the one.
        trust_remote_code: as in `load_model`.

    Returns:
        The memory.

    Raises:
        FileNotFoundError: as in `load_model`.
        RuntimeError: as in `load_model`.
        ValueError: the device or the dtype is not there, the configuration cannot be read, or the
            number of controls is below 0.
    """
    if controls < 0:
        raise ValueError(f"controls is a whole number from 0, got {controls}")
    place, name = place_of(source)
    device = pick_device(device)
    wanted = pick_dtype(dtype, device)
    if isinstance(place, Path) and place.suffix.lower() == ".gguf":
        place = default_model.convert_gguf(place)
    adapter = adapters.adapter_at(place, revision)
    if adapter is not None:
        place, revision = adapters.base_of(adapter)
    options = {"revision": revision} if revision else {}
    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code, **options)
        with torch.device("meta"):  # shapes without numbers
            hf = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the size of {name!r} cannot be told from its configuration: {str(error)[:300]}. "
            "Expected a folder or Hugging Face id with the config.json of a causal language model"
        ) from error
    text = config.get_text_config()
    own = text.dtype if isinstance(text.dtype, torch.dtype) else torch.float32
    numbers = wanted if isinstance(wanted, torch.dtype) else own
    count = sum(parameter.numel() for parameter in hf.parameters())
    weights = count * torch.finfo(numbers).bits // 8
    sets = 2 + controls
    token = token_bytes(text, numbers, sets)
    free, tokens = None, ROW_TOKENS
    positions, tile = POSITIONS, TILE
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        pair = token_bytes(text, numbers)
        tokens = row_of_sets(device_row_tokens(max(free - weights, 0), pair, ROW_TOKENS), sets)
        positions, tile = DEVICE_POSITIONS, DEVICE_TILE
    longest = window or context or getattr(text, "max_position_embeddings", None) or tokens
    tokens = max(tokens, longest)
    # A tile of logits lies there in the model's dtype and in float32.
    logits = positions * min(tile, text.vocab_size) * (4 + torch.finfo(numbers).bits // 8)
    return MemoryNeed(
        count, str(numbers).removeprefix("torch."), device, weights, tokens,
        token * tokens + logits, free,
    )  # fmt: skip


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"
