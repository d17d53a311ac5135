"""Masking on many architectures: nothing when empty, the oracle's numbers when not."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
import transformers as tr
from support import oracle
from support.models import EVERY_ARCHITECTURE, make_hf, make_model, make_tokenizer

import workbench as wb
from workbench.masking.masks import default_means
from workbench.models.attached_hooks import attach_hooks

TEXT = "The heads that look back are few, and we find them."
HEADS = [(0, 1), (1, 0), (1, 3), (2, 2)]


def heads_of(model, pairs=HEADS):
    return wb.HeadSet.of(pairs, model)


def seen_under(model, heads, text=TEXT, **how):
    """What each layer's attention saw and put out, by layer, with `heads` masked."""
    calls = {}

    def keep(call):
        calls[call.layer] = call

    with (
        torch.no_grad(),
        wb.masked(model, heads, **how),
        attach_hooks(model.sites, observer=keep),
    ):
        model(input_ids=torch.tensor([model.encode(text)]))
    return calls


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_an_empty_mask_is_the_stock_model_bit_for_bit(name, kernel):
    if name == "gemma2" and kernel == "sdpa":
        kernel = None  # its soft cap needs the kernel that the model itself chooses
    stock = make_hf(name, kernel)
    model = wb.from_transformers(make_hf(name, kernel), make_tokenizer())
    ids = torch.tensor([model.encode(TEXT)])
    with torch.no_grad():
        expected = stock(input_ids=ids).logits
        assert torch.equal(model(input_ids=ids).logits, expected)
        with wb.masked(model, heads_of(model, [])), wb.masked(model, None):
            assert torch.equal(model(input_ids=ids).logits, expected)


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_masked_losses_equal_the_oracle(name):
    model, plain = make_model(name), make_hf(name, "eager")
    ids = model.encode(TEXT)
    with oracle.uniform_heads(plain, HEADS):
        expected = oracle.losses(plain, ids)
    ours = wb.token_losses(model, [TEXT], [None, heads_of(model)])[0]
    np.testing.assert_allclose(ours[1], expected, rtol=1e-5)
    np.testing.assert_allclose(ours[0], oracle.losses(plain, ids), rtol=1e-5)
    assert np.abs(ours[1] - ours[0]).max() > 0.01  # the mask did something


@pytest.mark.parametrize("name", ["llama", "mistral-sliding", "gemma3", "gpt2"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_not_visible_to_a_uniform_head(name, side):
    model, plain = make_model(name), make_hf(name, "eager")
    rows = [model.encode(TEXT), model.encode(TEXT[:23])]
    width = max(map(len, rows))
    filler = [[2] * (width - len(row)) for row in rows]
    pads = [[0] * len(row) for row in filler]
    real = [[1] * len(row) for row in rows]
    if side == "left":
        ids = [f + r for f, r in zip(filler, rows, strict=True)]
        mask = [p + r for p, r in zip(pads, real, strict=True)]
    else:
        ids = [r + f for f, r in zip(filler, rows, strict=True)]
        mask = [r + p for p, r in zip(pads, real, strict=True)]
    attention_mask = torch.tensor(mask)
    position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)
    call = {"attention_mask": attention_mask, "position_ids": position_ids}
    with torch.no_grad():
        with wb.masked(model, heads_of(model)):
            batched = model(input_ids=torch.tensor(ids), **call).logits
        with oracle.uniform_heads(plain, HEADS):
            expected = plain(input_ids=torch.tensor(ids), **call).logits
        for i, row in enumerate(rows):
            with wb.masked(model, heads_of(model)):
                alone = model(input_ids=torch.tensor([row])).logits[0]
            at = slice(width - len(row), None) if side == "left" else slice(0, len(row))
            torch.testing.assert_close(batched[i, at], expected[i, at], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(batched[i, at], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "mistral-sliding", "gemma2", "gemma3", "gpt-neox"])
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_generate_with_a_cache_equals_recomputing_every_step(name, cache):
    model = make_model(name)
    ids = torch.tensor([model.encode("Once upon a time")])
    with wb.masked(model, heads_of(model)), torch.no_grad():
        settings = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 2}
        generated = model.generate(
            ids, attention_mask=torch.ones_like(ids), cache_implementation=cache, **settings
        )
        for at in range(ids.shape[1], generated.shape[1]):
            step = model(input_ids=generated[:, :at], use_cache=False).logits[0, -1]
            assert int(step.argmax()) == int(generated[0, at])


def test_a_uniform_head_puts_out_the_running_mean_of_its_values(tiny):
    seen = seen_under(tiny, heads_of(tiny, [(1, 3)]))[1]
    value, output = seen.value[0, 1], seen.output[0, :, 3]  # head 3 belongs to KV head 1
    for i in range(len(output)):
        torch.testing.assert_close(output[i], value[: i + 1].mean(dim=0))


def test_sibling_query_heads_of_the_group_are_untouched(tiny):
    before = seen_under(tiny, None)[1].output[0]
    after = seen_under(tiny, heads_of(tiny, [(1, 2)]))[1].output[0]
    assert torch.equal(before[:, [0, 1, 3]], after[:, [0, 1, 3]])
    assert not torch.allclose(before[:, 2], after[:, 2])


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_no_token_sees_the_future_with_heads_masked(name):
    model = make_model(name)
    ids = torch.tensor([model.encode(TEXT)])
    changed = ids.clone()
    changed[0, -1] = 70
    with torch.no_grad(), wb.masked(model, heads_of(model)):
        first, second = model(input_ids=ids).logits, model(input_ids=changed).logits
    assert torch.equal(first[:, :-1], second[:, :-1])
    assert not torch.equal(first[:, -1], second[:, -1])


def test_zero_and_mean_modes_put_out_what_they_say(tiny):
    means = wb.head_means(tiny, ["some reference text", "and another one"])
    for mode, expected in (("zero", torch.zeros(12)), ("mean", means[1, 3])):
        seen = seen_under(tiny, heads_of(tiny, [(1, 3)]), mode=mode, means=means)[1]
        torch.testing.assert_close(seen.output[0, :, 3], expected.expand(seen.output.shape[1], -1))


def test_head_means_are_the_average_output_over_all_positions(tiny):
    texts = ["first text", "a second, longer text"]
    outputs = [seen_under(tiny, None, text)[2].output[0] for text in texts]
    means = wb.head_means(tiny, texts)
    assert means.shape == (3, 4, 12)
    torch.testing.assert_close(means[2], torch.cat(outputs).mean(dim=0))


def test_mean_mode_finds_its_own_reference_set(tiny):
    with wb.masked(tiny, heads_of(tiny), mode="mean"), torch.no_grad():
        assert torch.isfinite(tiny(input_ids=torch.tensor([[70, 71, 72]])).logits).all()


def test_the_reference_set_is_read_anew_when_weights_change():
    model = wb.from_transformers(make_hf("llama"), make_tokenizer())
    before = default_means(model)
    assert default_means(model) is before
    with torch.no_grad():
        model.hf.model.layers[0].self_attn.v_proj.weight.mul_(2)
    torch.testing.assert_close(default_means(model)[0], 2 * before[0])


def test_asked_for_attentions_show_the_uniform_pattern():
    model = wb.from_transformers(make_hf("llama", "eager"), make_tokenizer())
    ids = torch.tensor([model.encode("abcde")])
    with torch.no_grad(), wb.masked(model, heads_of(model, [(1, 2)])):
        pattern = model(input_ids=ids, output_attentions=True).attentions[1][0, 2]
    expected = torch.ones(5, 5).tril() / torch.arange(1, 6)[:, None]
    torch.testing.assert_close(pattern, expected)


def test_gradients_flow_through_a_masked_model(tiny):
    ids = torch.tensor([tiny.encode(TEXT)])
    with wb.masked(tiny, heads_of(tiny)):
        tiny(input_ids=ids, labels=ids).loss.backward()
    value = tiny.hf.model.layers[1].self_attn.v_proj.weight.grad
    assert torch.isfinite(value).all()
    assert value.abs().sum() > 0
    tiny.hf.zero_grad()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_model_is_stock_again_however_the_block_is_left(tiny, error):
    ids = torch.tensor([tiny.encode(TEXT)])
    with torch.no_grad():
        before = tiny(input_ids=ids).logits
        with pytest.raises(error), wb.masked(tiny, heads_of(tiny)):
            raise error
        assert torch.equal(tiny(input_ids=ids).logits, before)
        with wb.masked(tiny, heads_of(tiny)):  # and the lock was given back
            pass


def test_masks_do_not_nest_in_silence(tiny):
    with (
        wb.masked(tiny, heads_of(tiny)),
        pytest.raises(ValueError, match="masked already"),
        wb.masked(tiny, heads_of(tiny, [(0, 0)])),
    ):
        pass


def test_another_thread_waits_until_the_mask_is_gone(tiny):
    ids = torch.tensor([tiny.encode(TEXT)])
    with torch.no_grad():
        stock = tiny(input_ids=ids).logits
        seen = []

        def call():
            with torch.no_grad():
                seen.append(tiny(input_ids=ids).logits)

        thread = threading.Thread(target=call)
        with wb.masked(tiny, heads_of(tiny)):
            thread.start()
            thread.join(timeout=0.3)
            assert not seen
        thread.join()
    assert torch.equal(seen[0], stock)


def test_bad_requests_say_what_was_expected(tiny):
    for slip in ("L1H1", [(1, 1)], {"heads": "L1H1"}):
        with pytest.raises(TypeError, match="must be a HeadSet"), wb.masked(tiny, slip):
            pass
    with pytest.raises(ValueError, match="uniform, zero, mean"), wb.masked(tiny, None, "half"):
        pass
    foreign = wb.HeadSet(((0, 0),), 30, 9)
    with pytest.raises(ValueError, match="30 layers x 9 heads"), wb.masked(tiny, foreign):
        pass


REFUSED = {
    "ALiBi-bloom": lambda: tr.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4),
    "ALiBi-mpt": lambda: tr.MptConfig(
        d_model=32, n_heads=4, n_layers=2, max_seq_len=64, vocab_size=64
    ),
    "recurrent-mamba": lambda: tr.MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_masked_rightly_is_refused(name):
    hf = tr.AutoModelForCausalLM.from_config(REFUSED[name]()).eval()
    before = hf.config._attn_implementation
    with pytest.raises(wb.CannotMask, match="cannot be masked"):
        wb.from_transformers(hf, make_tokenizer(), context=64)
    assert hf.config._attn_implementation == before


def test_an_attention_mask_with_a_bias_is_refused():
    model = wb.from_transformers(make_hf("llama", "eager"), make_tokenizer())
    bias = torch.linspace(-1, 0, 5).expand(1, 1, 5, 5).clone()
    with (
        torch.no_grad(),
        wb.masked(model, heads_of(model)),
        pytest.raises(wb.CannotMask, match="bias"),
    ):
        model(input_ids=torch.tensor([[70, 71, 72, 73, 74]]), attention_mask=bias)
