"""The weights of a checkpoint: read from safetensors alone, and every one of them accounted for.

transformers fills what a checkpoint lacks with random numbers and leaves out what a model has no
place for; only its log says so. Here the first is an error that names the tensors, and so is the
second where a layer would be computed without its scale or bias.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import (
    CONFIG_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    cached_file,
    extract_commit_hash,
)

from workbench.core.files import read_json

_SAFETENSORS = re.compile(r"[\w.-]+\.safetensors")
# Scales of the key-value cache of some servers; no layer is computed with them.
_UNUSED = re.compile(r"\.[kv]_scale$")
_NAMED = 5  # tensors that a message names
_QUIET = {
    f"_raise_exceptions_for_{reason}": False
    for reason in ("missing_entries", "connection_errors", "gated_repo")
}


def read_weights(
    source: str | Path, dtype: str | torch.dtype, *, revision: str | None, trust_remote_code: bool
) -> PreTrainedModel:
    """The causal language model in a folder or at a Hugging Face id, on the CPU.

    Whatever else transformers raises for broken files passes through.

    Args:
        source: a folder or Hugging Face id with config.json and safetensors weights.
        dtype: the dtype of the weights, or "auto" for the checkpoint's own.
        revision: the branch, tag or commit of a Hugging Face id; None for its main branch.
        trust_remote_code: whether Python code that comes with the checkpoint may run.

    Raises:
        ValueError: the weights are no safetensors or not all there, or it is no causal language
            model.
    """
    _refuse_pickles(source, revision)
    options: dict[str, Any] = {"revision": revision} if revision else {}
    options["trust_remote_code"] = trust_remote_code
    _require_causal(AutoConfig.from_pretrained(source, **options), trust_remote_code)
    # With peft installed transformers would apply an adapter that lies beside whole weights.
    options["adapter_kwargs"] = {"subfolder": "no-adapter-beside-whole-weights"}
    return whole_model(source, dtype=dtype, use_safetensors=True, **options)


def whole_model(source: str | Path, **options: Any) -> PreTrainedModel:
    """What `AutoModelForCausalLM.from_pretrained` loads, if every weight of it came from a file.

    Args:
        source: a folder or Hugging Face id.
        **options: handed to `from_pretrained`.

    Raises:
        ValueError: the checkpoint is not whole, as `require_whole` says.
    """
    # A tensor of another shape is refused by name below; transformers' own error names none.
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        source, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )
    hf: PreTrainedModel = loaded[0]
    require_whole(hf, loaded[1])
    return hf


def require_whole(hf: PreTrainedModel, report: Mapping[str, Any]) -> None:
    """Require that every weight of a model came from a file and none was left half read.

    Tensors of the checkpoint that no layer would need are only warned of.

    Args:
        hf: the model that transformers loaded.
        report: the report of transformers' from_pretrained with output_loading_info=True: the keys
            that are missing (tied weights are not), of another shape, or unexpected.

    Raises:
        ValueError: a weight is missing or of another shape, a layer would be computed without its
            scale or bias, or a weight is quantised in a way that is not read.
    """
    missing, unexpected = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    problems = []
    if missing:
        problems.append(
            f"{len(missing)} of its {len(hf.state_dict())} weights are in no file and would be "
            f"random numbers: {_some(missing)}"
        )
    if report["mismatched_keys"]:
        shapes = [
            f"{name} has {tuple(stored)}, the model {tuple(wanted)}"
            for name, stored, wanted in sorted(report["mismatched_keys"])
        ]
        problems.append(f"tensors of another shape than config.json gives: {_some(shapes)}")
    halves = [key for key in unexpected if _belongs_to_a_layer(hf, key)]
    if halves:
        problems.append(f"layers would be computed without their {_some(halves)}")
    packed = [
        name for name, weight in hf.named_parameters()
        if weight.dtype.itemsize == 1 or not weight.dtype.is_floating_point
    ]  # fmt: skip
    if packed and getattr(hf, "hf_quantizer", None) is None:
        problems.append(f"quantised without a scale to read them by: {_some(packed)}")
    quantised = getattr(hf.config, "quantization_config", None)
    if quantised is not None and getattr(hf, "hf_quantizer", None) is None:
        method = dict(quantised).get("quant_method") if isinstance(quantised, dict) else quantised
        problems.append(f"it is quantised in a way that transformers does not know: {method!r:.80}")
    if problems:
        if missing and unexpected:
            problems.append(f"what the files hold instead: {_some(unexpected)}")
        raise ValueError("the checkpoint is not whole. " + "; ".join(problems))
    if unexpected:
        warnings.warn(
            f"{len(unexpected)} tensors of the checkpoint have no place in "
            f"{type(hf).__name__} and are not used: {_some(unexpected)}",
            stacklevel=4,
        )


def require_reachable(source: str | Path, revision: str | None) -> None:
    """Require that a Hugging Face id is known to the hub or stands in the local cache.

    Without a network every look-up is tried for half a minute, so one has to do.

    Args:
        source: a folder, which always passes, or a Hugging Face id.
        revision: the branch, tag or commit of a Hugging Face id; None for its main branch.

    Raises:
        OSError: it is neither on the hub nor in the cache, as transformers says.
    """
    if Path(source).exists():
        return
    try:
        cached_file(str(source), CONFIG_NAME, revision=revision)
    except OSError as error:
        seen = (
            error.__cause__
        )  # the hub was reached, and the file is not there: an adapter has none
        absent = isinstance(seen, EntryNotFoundError) and not isinstance(
            seen, LocalEntryNotFoundError
        )
        kept = try_to_load_from_cache(str(source), "adapter_config.json", revision=revision)
        if not absent and not isinstance(kept, str):
            raise


def commit_of(source: str | Path, revision: str | None) -> str | None:
    """The commit that a Hugging Face id was loaded from, told by where its files lie in the cache.

    Args:
        source: a folder or Hugging Face id.
        revision: the branch, tag or commit that was asked for; None for the main branch.

    Returns:
        The commit's hash; `revision` itself for a folder, and where no file of the id is cached.
    """
    if Path(source).exists():
        return revision
    paths = [holds(source, name, revision) for name in (CONFIG_NAME, "adapter_config.json")]
    commits = [extract_commit_hash(str(path), None) for path in paths if path]
    return next(filter(None, commits), revision)


def holds(source: str | Path, name: str, revision: str | None = None) -> Path | None:
    """The local path of a file of a folder or Hugging Face id.

    Args:
        source: a folder or Hugging Face id.
        name: the file's name inside of it.
        revision: the branch, tag or commit of a Hugging Face id; None for its main branch.

    Returns:
        The path, of the cached file for a Hugging Face id; None where there is no such file.
    """
    path = cached_file(str(source), name, revision=revision, **_QUIET)
    return None if path is None else Path(path)


def _belongs_to_a_layer(hf: PreTrainedModel, key: str) -> bool:
    """Whether `key` is a tensor more of a layer whose weight the model has."""
    owner = key.rpartition(".")[0]
    if not owner or _UNUSED.search(key):
        return False
    for prefix in ("", f"{hf.base_model_prefix}."):
        try:
            module = hf.get_submodule(prefix + owner)
        except AttributeError:
            continue
        return any(True for _ in module.parameters(recurse=False))
    return False


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _require_causal(config: PreTrainedConfig, trust_remote_code: bool) -> None:
    """Raise ValueError, in a line, for a kind of model that predicts no next token of a text."""
    known = type(config) in AutoModelForCausalLM._model_mapping
    own_code = trust_remote_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", {}))
    if not known and not own_code:
        classes = ", ".join(getattr(config, "architectures", None) or ["no class named"])
        raise ValueError(
            f"its kind is {config.model_type!r} ({classes}), which transformers has no causal "
            "language model for. If its text part is one, load that part with transformers and "
            "hand it to from_transformers(hf, tokenizer)"
        )


def _refuse_pickles(source: str | Path, revision: str | None) -> None:
    """Raise ValueError if the index of the weights names files that are not plain safetensors.

    transformers asks for safetensors by the name of the index, and then opens what stands in it.
    """
    index = holds(source, SAFE_WEIGHTS_INDEX_NAME, revision)
    if index is None:
        return
    names = set(read_json(index)["weight_map"].values())
    odd = sorted(str(name) for name in names if not _SAFETENSORS.fullmatch(str(name)))
    if odd:
        raise ValueError(f"{SAFE_WEIGHTS_INDEX_NAME} names {odd[:3]!r:.200}, no safetensors files")
