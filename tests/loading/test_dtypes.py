"""What half precision changes in scores and in the choice: bfloat16 against float32 on a CPU."""

from __future__ import annotations

import json
import time

import numpy as np
import pandas as pd
import pytest
import torch
from benchmarks.settings import HEADS

import workbench as wb
from workbench.loading.certificate_checks import LOSS

DOCUMENTS, TOKENS = 24, 256


def scores(dtype: str) -> tuple[pd.DataFrame, float]:
    model = wb.load_model(dtype=dtype, device="cpu")
    heads = wb.HeadSet.of(HEADS, model)
    documents = list(wb.environment_corpus(max_documents=DOCUMENTS))
    begun = time.perf_counter()
    rows = wb.score_documents(model, heads, documents, max_tokens=TOKENS)
    return pd.DataFrame(rows), time.perf_counter() - begun


@pytest.mark.slow
def test_bfloat16_ranks_and_chooses_nearly_as_float32():
    """The figures of "On a GPU"; run it with -s to see them."""
    (exact, slow), (half, fast) = scores("float32"), scores("bfloat16")
    assert list(exact["doc_id"]) == list(half["doc_id"])
    assert len(exact) == DOCUMENTS
    rank = exact["score"].corr(half["score"], method="spearman")
    both = {}
    for share in (0.2, 0.5):
        count = round(share * DOCUMENTS)
        chosen = [set(frame["score"].nlargest(count).index) for frame in (exact, half)]
        both[share] = len(chosen[0] & chosen[1]), count
    off = (exact["score"] - half["score"]).abs()
    loss = ((exact["loss_base"] - half["loss_base"]).abs() / exact["loss_base"]).max()
    print(
        f"{DOCUMENTS} documents, {TOKENS} tokens at most, {len(HEADS)} heads: rank correlation "
        f"{rank:.4f}, chosen by both {both}, score off by {off.max():.4f} at most (median "
        f"{off.median():.4f}, scores {exact['score'].min():.3f} to {exact['score'].max():.3f}), "
        f"loss by {loss:.1e} of itself; {slow:.0f} s and {fast:.0f} s"
    )
    assert 0 < off.max() < 0.02
    assert loss < LOSS[torch.bfloat16]
    assert rank > 0.98
    assert both[0.5][0] >= both[0.5][1] - 1
    assert both[0.2][0] >= both[0.2][1] - 1


def test_the_manifest_states_the_dtype_and_a_run_keeps_to_it(tiny, tmp_path):
    heads = wb.HeadSet.of([(0, 1), (1, 2)], tiny)
    corpus = [{"id": str(i), "text": f"document number {i}", "domain": "d"} for i in range(8)]
    table = wb.score_corpus(tiny, heads, corpus, out=tmp_path)
    wb.write_manifest(wb.select(table, fraction=0.5), tmp_path)
    assert set(found(json.loads((tmp_path / "manifest.json").read_text()), "dtype")) == {"float32"}
    half = wb.from_transformers(
        type(tiny.hf)(tiny.hf.config).to(torch.bfloat16), tiny.tokenizer, source=tiny.source
    )
    with pytest.raises(ValueError, match="dtype"):
        wb.score_corpus(half, heads, corpus, out=tmp_path)
    assert np.isfinite(table.frame["score"]).all()


def found(value, key):
    """Every value that stands under a key, however deep."""
    if isinstance(value, dict):
        own = [value[key]] if isinstance(value.get(key), str) else []
        return [*own, *(each for inner in value.values() for each in found(inner, key))]
    if isinstance(value, list):
        return [each for inner in value for each in found(inner, key)]
    return []
