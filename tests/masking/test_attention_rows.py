"""Where heads look: the eager kernel's own weights, one row of them, with heads masked and not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import test_hybrids as hybrids
from support import oracle
from support.models import EVERY_ARCHITECTURE, make_hf, make_model, make_tokenizer, with_means
from support.planted import COPYING, planted_model

import workbench as wb
from workbench.masking.fast_path import key_of
from workbench.masking.residual_cache import RESUMED, ResidualCache, can_resume
from workbench.models import attention_weights
from workbench.models.attached_hooks import attach_hooks

TEXT = "The heads that look back are few."
LONG = "abc, def! " * 30  # 300 tokens: three windows of the tiny models
MASKED = [(0, 1), (1, 0), (1, 3), (2, 2)]
CHOSEN = "L0H0 L1H2 L1H3 L2H1 L2H2"  # some of them masked, some above and below masked ones


def patterns(hf, ids, masked=()):
    """The attention of every head (layers, H, T, T), by the eager kernel and a loop."""
    with oracle.uniform_heads(hf, list(masked)), torch.no_grad():
        seen = hf(input_ids=torch.tensor([ids]), use_cache=False, output_attentions=True).attentions
    return np.stack([layer[0].numpy() for layer in seen])


@pytest.mark.parametrize("when", ["predicted", "read"])
@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_a_row_is_that_of_the_eager_kernel_masked_and_not(name, when):
    bos = name in ("llama", "gpt2")
    model, plain = make_model(name, bos=bos), make_hf(name, "eager")
    heads = wb.HeadSet.parse(CHOSEN, model)
    ids = [*model.bos_ids, *model.encode(TEXT)]
    at = tuple(np.array(heads.members).T)
    for pairs in ((), MASKED):
        expected = patterns(plain, ids, pairs)[at]
        masked = wb.HeadSet.of(pairs, model)
        for token in (1, 12, len(TEXT) - 1):
            row = wb.attention_row(model, TEXT, heads, token, masked=masked, when=when)
            wanted = expected[:, token + bos - (when == "predicted")]
            np.testing.assert_allclose(row.weights, wanted[:, bos:], atol=2e-6)
            np.testing.assert_allclose(row.bos, wanted[:, :bos].sum(axis=1), atol=2e-6)
            assert row.masked == (masked & heads).members
            assert not row.sink.any()
            assert row.weights.sum(axis=1) + row.bos == pytest.approx(1, abs=1e-5)
    assert np.ptp(expected[0, -1]) > 0.01  # the patterns are far from uniform


@pytest.mark.parametrize("name", ["gpt-oss", "llama4", "lfm2", "qwen3-next", "falcon-h1"])
def test_sinks_chunks_and_layers_without_heads(name):
    model = wb.from_transformers(hybrids.stock(name), make_tokenizer())
    plain = hybrids.stock(name, "eager")
    every = ~wb.HeadSet.of([], model)
    masked = wb.HeadSet.of([(site.layer, 1) for site in model.sites], model)
    for pairs in (wb.HeadSet.of([], model), masked):
        with oracle.uniform_heads(plain, list(pairs)), torch.no_grad():
            seen = plain(
                input_ids=torch.tensor([model.encode(TEXT)]), use_cache=False,
                output_attentions=True,
            ).attentions  # fmt: skip
        kept = [layer[0] for layer in seen if layer is not None]
        assert len(kept) == len(model.sites)
        expected = torch.cat(kept)[:, 19].numpy()
        row = wb.attention_row(model, TEXT, every, 20, masked=pairs)
        np.testing.assert_allclose(row.weights, expected, atol=1e-5)
        np.testing.assert_allclose(row.sink, 1 - expected.sum(axis=1), atol=1e-5)
        assert (row.sink > 0.01).any() == (name == "gpt-oss")


def test_a_copying_head_looks_from_the_place_that_predicts_a_token_at_its_earlier_copy():
    model = planted_model()
    heads = wb.HeadSet.of(COPYING, model)
    text = "qwertyuiopqwertyuiop"
    row = wb.attention_row(model, text, heads, 13)  # the second "r"
    assert [token for token, _ in row.top(1)] == [3]
    assert row.weights[:, 3].min() > 0.9
    assert row.describe(1).startswith("2 heads, on average, look at: 'r' ")
    assert row.describe(1).endswith("(token 3), when token 13 is predicted")
    # From the second "r" itself they look at what came after the first.
    read = wb.attention_row(model, text, heads, 13, when="read")
    assert [token for token, _ in read.top(1)] == [4]
    # Without the head that says what the previous token was, they cannot find it.
    blind = wb.attention_row(model, text, heads, 13, masked=wb.HeadSet.parse("L0H2", model))
    assert blind.weights[:, 3].max() < 0.5


@pytest.mark.parametrize("mode", ["zero", "mean"])
def test_a_head_that_puts_out_no_attention_looks_at_nothing(mode):
    model = with_means(make_model())
    heads = wb.HeadSet.parse("L1H0 L2H1", model)
    masked = wb.HeadSet.parse("L1H0", model)
    row = wb.attention_row(model, TEXT, heads, 9, masked=masked, mode=mode)
    assert not row.weights[0].any()
    assert row.weights[1].sum() == pytest.approx(1)
    assert row.masked == ((1, 0),)
    assert row.describe().endswith("(1 of 2 masked)")
    with wb.masked(model, masked, mode), torch.no_grad():
        ids = torch.tensor([model.encode(TEXT)])
        expected = calls_of(model, ids)[2]
    weights = attention_weights.attention_weights(expected, torch.tensor([8]))[1, 0]
    np.testing.assert_allclose(row.weights[1], weights, atol=1e-6)


def calls_of(model, ids):
    calls = {}
    with attach_hooks(model.sites, observer=lambda call: calls.__setitem__(call.layer, call)):
        model.hidden(ids)
    return calls


@pytest.mark.parametrize("bos", [False, True])
def test_a_token_looks_inside_its_own_window(bos):
    model = make_model(bos=bos)
    heads = wb.HeadSet.parse("L1H0 L2H1", model)
    window = 128 - bos
    row = wb.attention_row(model, LONG, heads, window + 20)
    alone = wb.attention_row(model, LONG[window : 2 * window], heads, 20)
    np.testing.assert_allclose(row.weights[:, window : 2 * window], alone.weights, atol=1e-6)
    np.testing.assert_allclose(row.bos, alone.bos, atol=1e-6)
    assert row.weights.shape == (2, 300)
    assert not row.weights[:, :window].any()
    assert not row.weights[:, window + 20 :].any()  # the token itself is not seen yet
    first = wb.attention_row(model, LONG, heads, window, when="read")
    assert first.weights[:, window] + first.bos == pytest.approx(1)
    if bos:
        np.testing.assert_allclose(wb.attention_row(model, LONG, heads, window).bos, 1)


def test_texts_and_their_ids_give_the_same_row(tiny):
    heads = wb.HeadSet.parse("L1H0 L2H1", tiny)
    row = wb.attention_row(tiny, TEXT, heads, 9)
    same = wb.attention_row(tiny, tiny.encode(TEXT), heads, 9)
    np.testing.assert_array_equal(row.weights, same.weights)
    assert row.pieces == same.pieces == tuple(TEXT)
    table = row.table()
    assert list(table.columns) == ["text", "L1H0", "L2H1"]
    np.testing.assert_array_equal(table[["L1H0", "L2H1"]].to_numpy().mean(axis=1), row.mean)


def test_what_cannot_be_asked_is_refused_in_words(tiny):
    heads = wb.HeadSet.parse("L1H0", tiny)
    for token in (0, -1, len(TEXT)):  # without BOS, nothing stands before the first token
        with pytest.raises(ValueError, match=f"no head looks from token {token} when it is pred"):
            wb.attention_row(tiny, TEXT, heads, token)
    assert wb.attention_row(tiny, TEXT, heads, 0, when="read").top() == [(0, 1.0)]
    with pytest.raises(ValueError, match=rf"give one of 0 to {len(TEXT) - 1}$"):
        wb.attention_row(tiny, TEXT, heads, len(TEXT), when="read")
    with pytest.raises(ValueError, match="when must be one of predicted, read, got 'later'"):
        wb.attention_row(tiny, TEXT, heads, 1, when="later")
    with pytest.raises(ValueError, match="no head is given"):
        wb.attention_row(tiny, TEXT, wb.HeadSet.of([], tiny), 1)
    with pytest.raises(TypeError, match="heads must be a HeadSet"):
        wb.attention_row(tiny, TEXT, "L1H0", 1)
    other = wb.HeadSet((wb.Head(9, 0),), 10, 4)
    with pytest.raises(ValueError, match="belong to a model of"):
        wb.attention_row(tiny, TEXT, other, 1)
    with wb.masked(tiny, heads), pytest.raises(ValueError, match="masked already"):
        wb.attention_row(tiny, TEXT, heads, 1)


def test_weights_that_do_not_give_the_layers_output_are_no_answer(tiny, monkeypatch):
    monkeypatch.setattr(
        "workbench.masking.attention_rows.attention_weights",
        lambda seen, rows: attention_weights.uniform_weights(seen, rows),
    )
    with pytest.raises(ValueError, match="weights of layer 1 cannot be reproduced"):
        wb.attention_row(tiny, TEXT, wb.HeadSet.parse("L1H0", tiny), 20)


@pytest.mark.parametrize(
    ("dtype", "close"), [(torch.float64, 1e-5), (torch.float16, 0.02), (torch.bfloat16, 0.2)]
)
def test_rows_of_other_dtypes_are_as_close_as_their_rounding(tiny, dtype, close):
    model = make_model()
    model.hf.to(dtype)
    for words in ("", "L1H0 L1H1 L2H2"):
        for token in range(1, len(TEXT)):
            rows = [
                wb.attention_row(one, TEXT, ~wb.HeadSet.of([], one), token,
                                 masked=wb.HeadSet.parse(words, one)).weights
                for one in (model, tiny)
            ]  # fmt: skip
            np.testing.assert_allclose(*rows, atol=close)


def layers_run(model):
    """A list that grows by a layer's number whenever its feed-forward network is computed."""
    run = []
    for number, layer in enumerate(model.hf.model.layers):
        layer.mlp.register_forward_hook(lambda *_, number=number: run.append(number))
    return run


@pytest.mark.parametrize("memory", [1 << 30, 0])
def test_a_layer_whose_stream_is_stored_is_computed_alone(memory):
    model = make_model()
    ids, masked = model.encode(TEXT), wb.HeadSet.parse("L1H0", model)
    cache = ResidualCache(model, memory)
    assert can_resume(model)
    cache.hidden(ids, masked)
    run, seen = layers_run(model), []
    cache.watch(ids, (0, 2), lambda call: seen.append(call.layer), masked)
    assert seen == [0, 2]
    # Up to the attention of layer 2; with no layer but the first stored, by way of those below.
    assert run == ([] if memory else [0, 1])


def test_a_model_that_cannot_resume_gives_the_same_rows(tiny):
    model = make_model()
    assert model.cache.kept(key_of(model, RESUMED), lambda: None) is None  # not to be resumed
    for words in ("", "L0H1 L1H0"):
        rows = [
            wb.attention_row(
                one, TEXT, wb.HeadSet.parse(CHOSEN, one), 17, masked=wb.HeadSet.parse(words, one)
            )
            for one in (model, tiny)
        ]
        np.testing.assert_allclose(rows[0].weights, rows[1].weights, atol=1e-6)
