"""A loaded model, laid down in a folder so that other processes can open the very same one.

Weights are stored as they are in memory, not as they once were loaded. On a CPU the opened
parameters lie in the mapped file: processes of one machine share one copy of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from workbench.models.identity import float32_matmul, set_float32_matmul
from workbench.models.model import Model, from_transformers


def store(model: Model, folder: Path) -> None:
    """Write what `open_stored` needs into a folder.

    Args:
        model: the model.
        folder: where to; it is made.

    Raises:
        ValueError: the model's code is not that of transformers, so other processes could only have
            it by running code from a checkpoint.
        OSError: it cannot be written.
    """
    if not type(model.hf).__module__.startswith("transformers."):
        raise ValueError(
            f"{type(model.hf).__name__} is not a model of transformers, so other processes cannot "
            "open it: score it in one process"
        )
    try:
        _store(model, folder)
    except (OSError, ValueError):
        raise
    except Exception as error:  # of the libraries in Rust, which have kinds of their own
        raise OSError(
            f"the model cannot be laid down for the workers in {folder}: {error!s:.300}. Make room "
            "there, or set TMPDIR to a folder with room for it"
        ) from error


def _store(model: Model, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.tokenizer.save_pretrained(folder)
    model.hf.config.save_pretrained(folder)
    unique: dict[str, torch.Tensor] = {}
    seen: dict[tuple[Any, ...], str] = {}
    tied = {}
    for name, tensor in model.hf.state_dict().items():
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())
        if place in seen:
            tied[name] = seen[place]
        else:
            seen[place] = name
            unique[name] = tensor.detach().cpu().contiguous()
    save_file(unique, folder / "weights.safetensors")
    kernel = str(model.hf.config._attn_implementation).removeprefix("workbench_")
    about = {
        "source": model.source, "revision": model.revision, "context": model.context,
        "kernel": kernel, "dtype": str(model.dtype), "tied": tied,
        "from_nowhere": model.from_nowhere, "simulate": model.simulate,
        "float32_matmul": float32_matmul(model.device),
    }  # fmt: skip
    (folder / "workbench.json").write_text(json.dumps(about), encoding="utf-8")


def open_stored(folder: Path, device: str = "cpu") -> Model:
    """Open the model that `store` laid down, and compute as the process that did.

    Args:
        folder: where it lies.
        device: to put it on.

    Returns:
        The model. It is not certified yet.
    """
    about = json.loads((folder / "workbench.json").read_text(encoding="utf-8"))
    dtype = getattr(torch, about["dtype"].removeprefix("torch."))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with init_empty_weights(include_buffers=False):
        hf = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=about["kernel"]
        )
    weights = load_file(folder / "weights.safetensors")
    weights |= {name: weights[of] for name, of in about["tied"].items()}
    hf.load_state_dict(weights, strict=True, assign=True)
    if about["tied"]:  # else the model has two, whatever its config says
        hf.tie_weights()
    for parameter in hf.parameters():
        parameter.requires_grad_(False)
    hf.to(device)
    model = from_transformers(
        hf,
        AutoTokenizer.from_pretrained(folder, trust_remote_code=False),
        source=about["source"],
        revision=about["revision"],
        context=about["context"],
    )
    model.simulate = about["simulate"]
    set_float32_matmul(about["float32_matmul"])
    given = about["from_nowhere"]
    model.from_nowhere = None if given is None else tuple(given)
    return model
