"""Who a model is (digests of weights and tokenizer), and whether it is still as it was."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import torch
from tokenizers import Tokenizer as Pipeline
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer


class WithWeights(Protocol):
    """What the state of a model is read from: `Model` has it, and imports this module."""

    hf: PreTrainedModel
    kernel_aside: str | None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""

    @property
    def device(self) -> torch.device:
        """The device that the model computes on."""


def state_of(model: WithWeights) -> tuple[Any, ...]:
    """What certificates, digests and cached passes of a model hold for; differs after any change.

    Found without reading the weights: every in-place change of a parameter that torch knows of
    counts up its version; only one through `.data` goes unseen.

    Args:
        model: the model.

    Returns:
        A tuple to be compared with `==`: dtype, device, what torch rounds float32 products to,
        attention implementation, training mode, versions of the weights, adapters in use.
    """
    weights = tuple(
        (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        for weight in model.hf.parameters()
    )
    # Read without the lock: what is put aside for a pass is still the model's own.
    implementation = model.kernel_aside or str(model.hf.config._attn_implementation)
    adapters = tuple(adapters_of(model.hf).items())
    rounded = float32_matmul(model.device)
    return model.dtype, model.device, rounded, implementation, model.hf.training, weights, adapters


def float32_matmul(device: torch.device) -> str | None:
    """What torch may round the factors of a float32 matrix product to, on a kind of device.

    A setting of the whole process (`torch.set_float32_matmul_precision`, `allow_tf32`,
    `fp32_precision`), which changes scores and is no part of any model. It matters in half
    precision too, where some products are float32 (rotary embeddings).

    Args:
        device: where the model computes.

    Returns:
        "tf32" or "bf16"; None where they stay float32 ("highest", torch's default). Whether the
        machine then has an instruction for it is not asked.
    """
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    # Not torch.get_float32_matmul_precision(), which raises where one backend alone was set.
    precision = backend.matmul.fp32_precision
    return None if precision in ("none", "ieee") else str(precision)


def set_float32_matmul(rounded: str | None) -> None:
    """Let this process compute float32 matrix products as another one does.

    Args:
        rounded: what `float32_matmul` gave there; None leaves things as they are.
    """
    if rounded is not None:
        torch.set_float32_matmul_precision("high" if rounded == "tf32" else "medium")


def adapters_of(hf: torch.nn.Module) -> dict[str, str]:
    """Which PEFT adapters are in use at the moment.

    Switching adapters on and off changes no weight.

    Args:
        hf: the transformers model.

    Returns:
        A description of the adapters in use for each module that has some, by the module's name.
    """
    return {
        name: f"{module._active_adapter} disabled={module._disable_adapters}"
        for name, module in hf.named_modules()
        if "_disable_adapters" in module.__dict__
    }


def weights_sha256(hf: torch.nn.Module) -> str:
    """Digest of all weights of a model, and of the adapters in use, if there are any.

    Args:
        hf: the transformers model.

    Returns:
        sha256 over (name, dtype, shape, bytes) of every tensor in the state dict, by name.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(hf.state_dict().items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        raw = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        digest.update(memoryview(raw.numpy()))
    for name, adapters in sorted(adapters_of(hf).items()):
        digest.update(f"{name}|{adapters}|".encode())
    return digest.hexdigest()


def tokenizer_sha256(tokenizer: Tokenizer) -> str:
    """Digest of a tokenizer.

    Truncation and padding are left out: they are what the last caller asked for, not who it is.

    Args:
        tokenizer: the transformers tokenizer.

    Returns:
        sha256 over the whole pipeline of a fast tokenizer, or the vocabulary of a slow one.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        text = repr(sorted(tokenizer.get_vocab().items()))
    else:
        if backend.truncation or backend.padding:
            backend = Pipeline.from_str(backend.to_str())  # the tokenizer itself stays as it is
            backend.no_truncation()
            backend.no_padding()
        text = backend.to_str()
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
