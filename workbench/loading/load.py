"""Load a model with its tokenizer.

Four ways in, one result: the embedded default, a Hugging Face id, a local folder, a GGUF file. An
id or a folder may also be that of a LoRA adapter, which is merged into its base model.
"""

from __future__ import annotations

import inspect
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from workbench.core.cpu_count import cores
from workbench.core.folders import standing_folder
from workbench.loading import adapters, default_model
from workbench.loading.certificate import certify as certificate_of
from workbench.loading.fast_bfloat16 import say_if_faster
from workbench.loading.simulation import (
    Simulation,
    require_simulation,
    simulate_quantisation,
)
from workbench.loading.weights import commit_of, holds, read_weights, require_reachable
from workbench.models.model import Model, from_transformers

_MESSAGE_CHARACTERS = 700  # characters of another library's message that ours repeats


def load_model(
    source: str | Path | None = None,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str | torch.dtype = "auto",
    context: int | None = None,
    trust_remote_code: bool = False,
    certify: bool = True,
    simulate: Simulation | None = None,
) -> Model:
    """Load a causal language model and wrap it as a workbench model.

    Only safetensors and GGUF weights are read, never pickles, and no code from the checkpoint runs
    unless `trust_remote_code` is set. A checkpoint that lacks a weight of the model is refused by
    name, since transformers would put random numbers there.

    Args:
        source: None for the embedded default (SmolLM2-135M-Instruct, fetched once into the user's
            cache); a folder or a .gguf file; or a Hugging Face id. A folder or id with a LoRA
            adapter loads its base model too and merges the adapter into it (with the package
            `peft`: pip install 'attention-influence-workbench[lora]').
        revision: the branch, tag or commit of a Hugging Face id (default: its main branch).
        device: a torch device such as "cpu" or "cuda:1"; "auto" takes CUDA, then Apple's MPS, then
            the CPU.
        dtype: "float32", "bfloat16" or "float16", or the torch dtype; "auto" takes the checkpoint's
            own on an accelerator and float32 on a CPU, and a warning says so where the CPU has AMX
            and would be faster in bfloat16.
        context: the largest number of tokens in one pass (default: the model's own limit).
        trust_remote_code: whether Python code that comes with the checkpoint may run.
        certify: whether to check that masks and losses are right on this model (a dozen short
            passes, see `workbench.loading.certificate`), with a warning where they are not.
        simulate: round the matrices of all layers as a quantised model has them, in blocks of 64:
            "nf4" (QLoRA) or "int8" (`workbench.loading.simulation`). It computes as before, neither
            faster nor in less memory; identity, certificate and manifests state it.

    Returns:
        The model with its tokenizer, in eval mode, on the device.

    Raises:
        FileNotFoundError: there is no such folder or file.
        RuntimeError: the default model cannot be had.
        ValueError: anything else that does not load; the message says what to do.
        CannotMask: the architecture cannot be masked head by head.
    """
    call = _call(source, revision=revision, dtype=dtype, context=context,
                 trust_remote_code=trust_remote_code, simulate=simulate)  # fmt: skip
    require_simulation(simulate)
    place, name = place_of(source)
    device = pick_device(device)
    keep_torch_within_cores()
    is_own_choice = dtype != "auto"
    dtype = pick_dtype(dtype, device)
    try:
        if isinstance(place, Path) and place.suffix.lower() == ".gguf":
            place = default_model.convert_gguf(place)
        hf, tokenizer = _read(place, dtype, revision, trust_remote_code)
        hf.to(device)  # type: ignore[arg-type]
        if simulate is not None:
            simulate_quantisation(hf, simulate)
    # Broken files make the readers beneath raise nearly anything; it is always the same message.
    except Exception as error:
        message = (
            str(error)
            if len(str(error)) <= _MESSAGE_CHARACTERS
            else f"{str(error)[:_MESSAGE_CHARACTERS]} [...]"
        )
        raise ValueError(
            f"could not load {name!r} as a causal language model: {message}. Expected a folder or "
            "Hugging Face id with config.json, tokenizer files and safetensors weights, or a .gguf "
            "file. Pickled weights (.bin, .pt, .pth) are not read, since pickles can run any code: "
            "if you trust them, load them with transformers and store them again with "
            "save_pretrained(folder), which writes safetensors"
        ) from error
    revision = commit_of(place, revision)
    model = from_transformers(hf, tokenizer, source=name, revision=revision, context=context)
    model.loaded_by, model.simulate = call, simulate
    if not default_model.of_unknown_wholeness(place):
        model.from_nowhere = ()
    if not is_own_choice:
        say_if_faster(model)
    if certify:
        warn_unless_certified(model)
    return model


def place_of(source: str | Path | None) -> tuple[str | Path, str]:
    """Where to read a model, and the name that it goes by.

    Args:
        source: as in `load_model`.

    Returns:
        A folder, a .gguf file or a Hugging Face id; and the name.

    Raises:
        FileNotFoundError: there is no such folder or file.
        RuntimeError: the default model cannot be had.
    """
    if source is None:
        return default_model.ensure(), default_model.NAME
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


def _call(source: str | Path | None, **options: Any) -> str:
    """The call of load_model that loads the same model.

    Without the device, in which machines differ.
    """
    defaults = inspect.signature(load_model).parameters
    arguments = [] if source is None else [repr(str(source))]
    arguments += [
        f"{name}={str(value).removeprefix('torch.')!r}" if name == "dtype" else f"{name}={value!r}"
        for name, value in options.items()
        if value != defaults[name].default
    ]
    return f"wb.load_model({', '.join(arguments)})"


def warn_unless_certified(model: Model) -> None:
    """Warn where masks or losses are not right on a model.

    Args:
        model: the model.
    """
    certificate = certificate_of(model)
    if not certificate.ok:
        warnings.warn(f"{model.source}: {certificate.failure_message()}", stacklevel=3)


def pick_device(device: str) -> str:
    """The device meant by a name.

    Args:
        device: a torch device such as "cpu" or "cuda:1", or "auto": CUDA, then Apple's MPS, then
            the CPU.

    Returns:
        The name of a device that this torch sees.

    Raises:
        ValueError: the device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next((name for name, present in there.items() if present), "cpu")
    if not there.get(device.partition(":")[0], True):
        raise ValueError(
            f"device {device!r} is not there: this torch ({torch.__version__}) sees "
            f"{', '.join([*(name for name, present in there.items() if present), 'cpu'])}"
        )
    return device


def pick_dtype(dtype: str | torch.dtype, device: str) -> str | torch.dtype:
    """The dtype meant by a name.

    Args:
        dtype: as in `load_model`.
        device: the device that the model will be on.

    Returns:
        The torch dtype, or "auto" for the checkpoint's own.

    Raises:
        ValueError: it is none of those that models are loaded in.
    """
    if dtype == "auto":
        return torch.float32 if device == "cpu" else "auto"
    names = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
    known = {name: getattr(torch, name) for name in names.values()}
    named = known.get(names.get(str(dtype), str(dtype).removeprefix("torch.")))
    if named is None:
        raise ValueError(f"dtype must be auto, {', '.join(known)}, got {dtype!r}")
    return named


def keep_torch_within_cores() -> None:
    """Let torch compute with no more threads than there are `cores`.

    It heeds affinity but not a container's limit on CPU time, and threads beyond that limit only
    wait for each other. A number that the user set by OMP_NUM_THREADS stays, and so does a smaller
    one.
    """
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > cores():
        torch.set_num_threads(cores())
