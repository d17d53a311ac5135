"""LoRA adapters: a folder with the changes to a base model, merged into it when it is loaded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from workbench.core.files import read_json
from workbench.loading.weights import holds, read_weights, require_reachable

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_WHOLE = ("model.safetensors", "model.safetensors.index.json")


def adapter_at(source: str | Path, revision: str | None) -> Path | None:
    """The adapter's config file of a folder or Hugging Face id, if it holds a LoRA adapter.

    An adapter beside whole weights is left alone, with a warning: the weights are a model already.

    Args:
        source: a folder or Hugging Face id.
        revision: the branch, tag or commit of a Hugging Face id; None for its main branch.

    Returns:
        The local path of adapter_config.json; None where there is no adapter to merge.
    """
    config = holds(source, CONFIG, revision)
    if config is None or not any(holds(source, name, revision) for name in _WHOLE):
        return config
    warnings.warn(
        f"{source} holds whole weights and a LoRA adapter beside them: the adapter is not applied. "
        f"If it should be, move {CONFIG} and {WEIGHTS} to a folder of their own and load that",
        stacklevel=3,
    )
    return None


def base_of(config: Path) -> tuple[str | Path, str | None]:
    """The base model that an adapter's config names, and its revision.

    Args:
        config: the adapter's adapter_config.json, from `adapter_at`.

    Returns:
        A folder or Hugging Face id, and the revision that the config states (None: none). A
        relative path that does not exist from here is taken from the adapter's folder.

    Raises:
        ValueError: the config names no base model.
    """
    stated = read_json(config)
    name = stated.get("base_model_name_or_path") if isinstance(stated, dict) else None
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"{CONFIG} is that of a LoRA adapter, and names no base model: put "
            '"base_model_name_or_path": "a folder or Hugging Face id" in it'
        )
    beside = config.parent / name
    base: str | Path = name
    if not Path(name).expanduser().exists() and beside.exists():
        base = beside
    return base, stated.get("revision")


def read_merged(
    source: str | Path,
    config: Path,
    dtype: str | torch.dtype,
    *,
    revision: str | None,
    trust_remote_code: bool,
) -> PreTrainedModel:
    """The base model of the adapter at `source`, with the adapter merged into its weights.

    Args:
        source: the adapter's folder or Hugging Face id.
        config: its adapter_config.json, from `adapter_at`.
        dtype: the dtype of the weights, or "auto" for the base checkpoint's own.
        revision: the revision of the adapter; that of the base stands in `config`.
        trust_remote_code: whether code in the base's repository may run.

    Returns:
        The merged transformers model, on the CPU.

    Raises:
        ValueError: with the reason: the package peft is missing, the base cannot be had, or the
            adapter is no safetensors file, does not fit the base, lacks tensors, or is of a kind
            that cannot be merged.
    """
    base, base_revision = base_of(config)
    about = f"it is a LoRA adapter of the base model {str(base)!r}"
    try:
        import peft
    except ImportError as error:
        raise ValueError(
            f"{about}, and merging it takes the package peft: pip install "
            "'attention-influence-workbench[lora]'"
        ) from error
    if holds(source, WEIGHTS, revision) is None:
        raise ValueError(f"{about} without {WEIGHTS}; pickled adapters (.bin) are not read")
    stated = peft.PeftConfig.from_pretrained(str(config.parent))
    if stated.is_prompt_learning or getattr(stated, "alora_invocation_tokens", None):
        raise ValueError(f"{about}, and of a kind ({stated.peft_type}) that no weights can hold")
    try:
        require_reachable(base, base_revision)
        hf = read_weights(base, dtype, revision=base_revision, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise ValueError(f"{about}, which could not be loaded: {error}") from error
    stated.base_model_name_or_path = hf.name_or_path  # where it was found; peft warns of another
    wrapped = peft.get_peft_model(hf, stated)
    try:
        report: Any = wrapped.load_adapter(str(config.parent), "default")
        lacking = [*report.missing_keys, *report.unexpected_keys]
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{about}, and does not fit it: {error}") from error
    if lacking:
        raise ValueError(
            f"{about}, and does not fit it: tensors missing or without a place: "
            f"{', '.join(map(str, lacking[:5]))} ({len(lacking)} in all)"
        )
    merge = getattr(wrapped, "merge_and_unload", None)
    if merge is None:
        raise ValueError(f"{about}, and of a kind ({stated.peft_type}) that cannot be merged")
    merged: PreTrainedModel = merge(safe_merge=True)
    return merged
