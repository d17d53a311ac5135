"""The page "On a GPU" states the limits of the code, and arithmetic that is right."""

from __future__ import annotations

import re

import pytest
import torch
import transformers as tr
from support.paths import ROOT

from workbench.loading.certificate_checks import BATCHED, HALF, LOSS, OUTPUT, SAME_PASS
from workbench.manifest.verification.levels import LEVELS
from workbench.manifest.verification.model_checks import RESCORE_TOLERANCE
from workbench.masking.row_size import token_bytes
from workbench.models.lm_head import DEVICE_POSITIONS, DEVICE_TILE

PAGE = (ROOT / "workbench/loading/GPU.md").read_text(encoding="utf-8")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def cells(beginning: str) -> list[str]:
    (line,) = re.findall(rf"^\| {re.escape(beginning)}.*\|$", PAGE, re.M)
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


@pytest.mark.parametrize(
    ("row", "limits"),
    [
        ("a token's loss in two passes", SAME_PASS),
        ("a masked head's output", OUTPUT),
        ("the mean loss", LOSS),
        ("a token's loss packed", BATCHED),
    ],
)
def test_limits_are_those_of_the_certificate(row, limits):
    assert [float(cell) for cell in cells(row)] == [limits.get(dtype, HALF) for dtype in DTYPES]


def test_limits_of_scores_are_those_of_the_verification():
    names = ["float32", "float16", "bfloat16"]
    assert [float(cell) for cell in cells("a loss scored again")] == [
        RESCORE_TOLERANCE[n] for n in names
    ]
    (level,) = re.findall(r"scored again by `verify --level (\w+)`", PAGE)
    assert level in LEVELS


@pytest.mark.parametrize(
    ("row", "layers", "width", "inner", "heads", "vocabulary"),
    [
        ("135 M", 30, 576, 1536, (9, 3), 49152),
        ("1.3 B", 20, 2560, 5120, (16, 8), 49152),
        ("6.7 B", 32, 4096, 11008, (32, 32), 32000),
    ],
)
def test_the_memory_of_models_is_computed_right(row, layers, width, inner, heads, vocabulary):
    assert f"{row} ({layers} layers, width {width:,}, feed-forward {inner:,})" in PAGE
    config = tr.LlamaConfig(
        num_hidden_layers=layers, hidden_size=width, intermediate_size=inner,
        num_attention_heads=heads[0], num_key_value_heads=heads[1], vocab_size=vocabulary,
        tie_word_embeddings=vocabulary > 40000,
    )  # fmt: skip
    with torch.device("meta"):
        hf = tr.AutoModelForCausalLM.from_config(config)
    weights = 2 * sum(parameter.numel() for parameter in hf.parameters())
    token = token_bytes(config, torch.bfloat16)
    logits = DEVICE_POSITIONS * DEVICE_TILE * (2 + 4)
    assert f"{logits / 1e9:.1f} GB for a tile of logits" in PAGE
    expected = [weights, 4096 * token + logits, 32768 * token + logits]
    assert cells(row) == [f"{size / 1e9:.1f} GB" for size in expected]


def test_nothing_is_said_to_be_measured_on_a_gpu():
    assert "**No number on this page was measured on a GPU.**" in PAGE
    (part,) = re.findall(r"^## What to expect\n\n(.*?)\n", PAGE, re.M)
    assert part == "Not measured. What is done for it:"
