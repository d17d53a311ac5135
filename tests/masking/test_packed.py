"""The engine against the plain path: same numbers on every architecture, else the plain way."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from support.models import EVERY_ARCHITECTURE, make_model, with_means

import workbench as wb
from workbench.masking import packed as engine
from workbench.masking.packed import packed_passes
from workbench.masking.reference import plain_losses
from workbench.models import attention_hook
from workbench.models import lm_head as vocabulary

TEXTS = [
    "The first of three texts.",
    "x",
    "",
    "A second one, somewhat longer than the first.",
    "ab",
]


def sets_of(model):
    pairs = ([(0, 1)], [(1, 0), (2, 3)], [(2, 2)], [(0, 0), (1, 3), (2, 1)])
    return [None, *(wb.HeadSet.of(heads, model) for heads in pairs), wb.HeadSet.of([], model)]


@pytest.mark.parametrize("mode", ["uniform", "zero", "mean"])
@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_losses_equal_the_plain_path(name, mode):
    model = make_model(name, bos=name in ("llama", "gpt2"))
    with_means(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no fallback
        assert packed_passes(model) is not None
        packed = wb.token_losses(model, TEXTS, sets_of(model), mode=mode, window=30)
    for text, columns in zip(TEXTS, packed, strict=True):
        ids = model.encode(text)
        for heads, losses in zip(sets_of(model), columns, strict=True):
            size = 30 - len(model.bos_ids)
            cut = [model.bos_ids + ids[i : i + size] for i in range(0, len(ids), size)]
            plain = [plain_losses(model, ids_of_window, heads, mode) for ids_of_window in cut]
            expected = np.concatenate([np.zeros(0), *plain])
            np.testing.assert_allclose(losses, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 1, 1], [2]])
def test_the_order_of_the_head_sets_does_not_matter(tiny, order):
    base = [None, *(wb.HeadSet.of(heads, tiny) for heads in ([(0, 1)], [(2, 2)]))]
    for i, losses in zip(order, wb.token_losses(tiny, TEXTS[:1], [base[i] for i in order])[0],
                         strict=True):  # fmt: skip
        expected = plain_losses(tiny, tiny.encode(TEXTS[0]), base[i])
        np.testing.assert_allclose(losses, expected, rtol=2e-5)


def test_many_windows_fill_several_rows(monkeypatch, tiny):
    monkeypatch.setattr(engine, "ROW_TOKENS", 64)
    model = make_model()
    texts = [f"text number {i} " * (1 + i % 3) for i in range(20)]
    packed = wb.token_losses(model, texts, sets_of(model)[:3])
    for text, columns in zip(texts, packed, strict=True):
        for heads, losses in zip(sets_of(model)[:3], columns, strict=True):
            expected = plain_losses(model, model.encode(text), heads)
            np.testing.assert_allclose(losses, expected, rtol=2e-5, atol=1e-6)


def test_a_document_does_not_see_its_neighbours(tiny):
    first, _ = wb.token_losses(tiny, [TEXTS[0], TEXTS[3]])
    second, _ = wb.token_losses(tiny, [TEXTS[0], "another neighbour altogether, and a longer one"])
    assert np.abs(first[0] - second[0]).max() < 1e-5


def test_exponentials_that_overflow_go_the_careful_way():
    model = make_model()
    with torch.no_grad():
        model.hf.lm_head.weight *= 400
    ids = model.encode(TEXTS[3])
    expected = plain_losses(model, ids)
    assert expected.max() > 100
    losses = wb.token_losses(model, [TEXTS[3]])[0][0]
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-3)


def test_a_model_that_the_engine_gets_wrong_goes_the_plain_way_with_a_warning():
    model = make_model("gpt2")
    stock = model.hf.transformer.forward
    # A model with learned positions that takes no notice of them would mix up packed texts.
    model.hf.transformer.forward = lambda *a, position_ids=None, **k: stock(*a, **k)
    with pytest.warns(UserWarning, match="fast path does not fit"):
        losses = wb.token_losses(model, TEXTS[:1], [None])[0][0]
    np.testing.assert_allclose(losses, plain_losses(model, model.encode(TEXTS[0])), rtol=1e-6)


def test_a_model_that_is_moved_to_another_dtype_is_tried_out_anew():
    model = make_model("gpt2")
    model.hf.to(torch.float64)
    first = packed_passes(model)
    assert first is not None
    stock = model.hf.transformer.forward
    model.hf.to(torch.float32)
    model.hf.transformer.forward = lambda *a, position_ids=None, **k: stock(*a, **k)
    with pytest.warns(UserWarning, match="fast path does not fit"):
        assert packed_passes(model) is None
    model.hf.to(torch.float64)
    assert packed_passes(model) is first


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_in_the_middle_leaves_a_stock_model(tiny, error):
    heads = sets_of(tiny)[2]
    before = plain_losses(tiny, tiny.encode(TEXTS[0]))

    def broken(*_):
        raise error

    handle = tiny.hf.model.layers[2].register_forward_hook(broken)
    try:
        with pytest.raises(error):
            wb.token_losses(tiny, TEXTS[:1], [None, heads])
    finally:
        handle.remove()
    assert np.array_equal(plain_losses(tiny, tiny.encode(TEXTS[0])), before)
    assert not any(attention_hook.SLOT in site.module.__dict__ for site in tiny.sites)
    assert not any(block._forward_pre_hooks for block in tiny.hf.model.layers)


@pytest.mark.slow
def test_scores_of_the_default_model_agree_to_2e_5(default):
    texts = [document.text for document in wb.environment_corpus(max_documents=8)]
    heads = wb.HeadSet.parse("L17H3 L18H6 L20H6 L23H2 L24H2", default)
    packed = wb.token_losses(default, texts, [None, heads], max_tokens=160)
    for text, (base, ref) in zip(texts, packed, strict=True):
        ids = default.encode(text)[:160]
        plain = [
            plain_losses(default, ids, head_set).mean(dtype=float) for head_set in (None, heads)
        ]
        score = (ref.mean(dtype=float) - base.mean(dtype=float)) / base.mean(dtype=float)
        assert abs(score - (plain[1] - plain[0]) / plain[0]) < 2e-5


@pytest.mark.parametrize(
    ("limit", "device"), [(90, "cuda"), (40, "cuda"), (40, "cpu"), (20, "cpu")]
)
def test_a_row_that_does_not_fit_the_memory_is_computed_in_parts(limit, device):
    """A layer that runs out of memory above `limit` tokens in its batch, as a small GPU would."""
    model = make_model()
    fast = engine.PackedPasses(model)
    windows = [model.encode(text) or [64] for text in TEXTS]
    expected = list(fast.losses(windows, sets_of(model)))

    def full(_, args):
        if args[0].shape[0] * args[0].shape[1] > limit:
            if device == "cpu":
                torch.empty(1 << 60, dtype=torch.uint8)
            raise torch.OutOfMemoryError("out of memory")

    hook = model.hf.model.layers[2].mlp.register_forward_pre_hook(full)
    if limit < max(map(len, windows)):
        with pytest.raises(torch.OutOfMemoryError, match=r"tokens does not fit .* smaller window="):
            list(fast.losses(windows, sets_of(model)))
    else:
        in_parts = list(fast.losses(windows, sets_of(model)))
        for columns, whole_columns in zip(in_parts, expected, strict=True):
            for a, b in zip(columns, whole_columns, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-5)
        assert fast.row_tokens < engine.ROW_TOKENS
    hook.remove()
    assert not any(attention_hook.SLOT in site.module.__dict__ for site in model.sites)


@pytest.mark.parametrize("level", [-95.0, -150.0, 60.0, 120.0])
def test_logits_far_from_zero_lose_nothing(level):
    """GPT-2's logits lie about -100: plain exponentials of float32 would lose all but the first."""
    model = make_model()
    head = model.head
    torch.manual_seed(0)
    states = torch.randn(70, 48)
    wanted = torch.randint(0, 320, (70,))
    shifted = torch.nn.Linear(48, 320)
    with torch.no_grad():
        shifted.weight.copy_(head.projection.weight)
        shifted.bias.fill_(level)
        exact = torch.nn.functional.cross_entropy(
            shifted.double()(states.double()), wanted, reduction="none"
        )
        losses = type(head)(shifted.float()).cross_entropy(states, wanted)
    np.testing.assert_allclose(losses, exact, atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("cap", [None, 5.0])
def test_tiles_in_half_precision_are_summed_in_float32(dtype, cap):
    """Three tiles, the last of another width: nothing of one may be left in the next."""
    torch.manual_seed(0)
    head = vocabulary.LMHead(
        torch.nn.Linear(64, 2 * vocabulary.TILE + 100, bias=False).to(dtype), cap=cap
    )
    states, wanted = torch.randn(90, 64).to(dtype), torch.randint(0, head.size, (90,))
    with torch.inference_mode():
        losses = head.cross_entropy(states, wanted)
        exact = torch.nn.functional.cross_entropy(head(states).double(), wanted, reduction="none")
    assert losses.dtype == torch.float32
    np.testing.assert_allclose(losses, exact, atol=1e-4)
