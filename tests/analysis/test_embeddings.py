"""Embeddings of texts: the mean last hidden state."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from support.models import make_model

import workbench as wb
from workbench.analysis.embeddings import embed
from workbench.masking.fast_path import key_of
from workbench.masking.packed import PACKED

TEXTS = ["some text", "another, longer text of more than a few words", "x" * 40, "short", "a"]


def plainly(model, text, limit=None):
    """One text at a time through the stock model, whose layers report their outputs."""
    prefix = model.bos_ids
    ids = [*prefix, *model.encode(text)[:limit]]
    with torch.no_grad():
        out = model.hf(torch.tensor([ids]), output_hidden_states=True)
    return out.hidden_states[-1][0, len(prefix) :].mean(0).numpy()


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_an_embedding_is_the_mean_hidden_state_of_the_text_alone(name, bos):
    model = make_model(name, bos=bos)
    found = embed(TEXTS, model)
    assert found.shape == (5, 48)
    assert found.dtype == np.float32
    for row, text in zip(found, TEXTS, strict=True):
        np.testing.assert_allclose(row, plainly(model, text), rtol=1e-3, atol=1e-4)


def test_company_and_order_change_nothing():
    model = make_model()
    many = embed(TEXTS * 9, model)  # several rows of the engine
    alone = np.concatenate([embed([text], model) for text in TEXTS])
    np.testing.assert_allclose(many[:5], alone, atol=1e-4)
    np.testing.assert_allclose(many[-5:], alone, atol=1e-4)


def test_a_model_without_an_engine_goes_the_plain_way():
    model = make_model()
    fast = embed(TEXTS, model)
    model.cache.kept(key_of(model, PACKED), lambda: None)
    np.testing.assert_allclose(embed(TEXTS, model), fast, atol=1e-4)


def test_only_the_beginning_is_read():
    model = make_model(bos=True)
    found = embed(["abcdefgh" * 50], model, max_tokens=7)[0]
    np.testing.assert_allclose(found, plainly(model, "abcdefgh" * 50, 7), atol=1e-4)
    whole = embed(["abcdefgh" * 50], model)[0]
    np.testing.assert_allclose(whole, plainly(model, "abcdefgh" * 50, 127), atol=1e-4)


def test_what_cannot_be_embedded_is_refused():
    model = make_model()
    for nothing in ([], "a text"):
        with pytest.raises(ValueError, match="list of one text or more"):
            embed(nothing, model)
    with pytest.raises(ValueError, match=r"texts\[1\] has no token"):
        embed(["a", ""], model)
    with pytest.raises(ValueError, match="max_tokens must be at least 1"):
        embed(["a"], model, max_tokens=0)
    heads = wb.HeadSet.parse("L1H0", model)
    with wb.masked(model, heads), pytest.raises(ValueError, match="masked already"):
        embed(["a"], model)


def test_sentence_transformers_are_asked_for_by_name():
    if importlib.util.find_spec("sentence_transformers") is None:
        with pytest.raises(ImportError, match="pip install sentence-transformers"):
            embed(["a"], "all-MiniLM-L6-v2")
    else:
        with pytest.raises((OSError, ValueError)):
            embed(["a"], "./no-such-model")
