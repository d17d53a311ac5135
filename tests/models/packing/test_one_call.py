"""One call a layer against text by text: same numbers, and the choice between the two."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.models import ARCHITECTURES, COMMON, make_model, with_means
from support.varlen import on_the_cpu, varlen_reference
from torch.nn.functional import scaled_dot_product_attention

import workbench as wb
from workbench.masking.packed import PackedPasses
from workbench.masking.reference import plain_losses
from workbench.models.attached_hooks import attach_hooks
from workbench.models.packing import one_call
from workbench.models.packing.sequences import Branches, PackedSequences

TEXTS = [
    "The first of five texts, longer than one block of sums: a hundred tokens, or so.",
    "xy",
    "A second one, somewhat longer than the window of those that slide.",
    "abcdefg",
    "abcdefgh",
]


def windows_of(model):
    return [[*model.bos_ids, *model.encode(text)] for text in TEXTS]


def sets_of(model):
    pairs = ([(0, 1)], [(1, 0), (1, 1), (2, 3)], [(2, 2)], [(0, 0), (0, 3), (1, 3), (2, 1)])
    return [None, *(wb.HeadSet.of(heads, model) for heads in pairs)]


CASES = [
    pytest.param(name, mode, marks=[] if name in few else [pytest.mark.slow])
    for mode, few in {"uniform": COMMON, "zero": ["llama"], "mean": ["llama"]}.items()
    for name in ARCHITECTURES
]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_one_call_gives_what_text_by_text_and_the_plain_path_give(name, mode, monkeypatch):
    model = with_means(make_model(name, bos=name == "llama"))
    windows, sets = windows_of(model), sets_of(model)
    loop = list(PackedPasses(model).losses(windows, sets, mode))
    calls = on_the_cpu(monkeypatch)
    at_once = list(PackedPasses(model).losses(windows, sets, mode))
    for window, columns, others in zip(windows, at_once, loop, strict=True):
        for heads, losses, other in zip(sets, columns, others, strict=True):
            np.testing.assert_allclose(losses, other, rtol=2e-5, atol=2e-5)
            np.testing.assert_allclose(
                losses, plain_losses(model, window, heads, mode), rtol=2e-5, atol=2e-5
            )
    sliding = {"mistral-sliding": [(6, 0)] * 3, "gemma3": [(6, 0)] * 3}
    # Soft caps need the eager kernel, which has no such call.
    expected = [] if name == "gemma2" else sliding.get(name, [(-1, 0)] * 3)
    assert calls == expected


def test_where_no_text_is_longer_than_the_window_nothing_slides(monkeypatch):
    model = make_model("mistral-sliding")
    calls = on_the_cpu(monkeypatch)
    list(PackedPasses(model).losses([[70, 71, 72], [73, 74, 75, 76, 77, 78]], [None]))
    assert calls == [(-1, 0)] * 3


@pytest.mark.parametrize("name", ["llama", "mistral-sliding"])
def test_observers_are_shown_one_text_at_a_time(name, monkeypatch):
    model = make_model(name)
    windows = windows_of(model)
    passes = PackedPasses(model)

    def shown():
        seen = []
        with attach_hooks(model.sites, observer=seen.append):
            passes.hidden(windows, sets_of(model))
        return seen

    loop = shown()
    assert on_the_cpu(monkeypatch) == []
    at_once = shown()
    assert len(loop) == len(at_once) == len(windows) * len(model.sites)
    for one, other in zip(at_once, loop, strict=True):
        assert one.layer == other.layer
        for field in ("query", "key", "value", "output"):
            torch.testing.assert_close(
                getattr(one, field), getattr(other, field), rtol=1e-4, atol=1e-4
            )
        if isinstance(other.visible, str):
            assert one.visible == other.visible
        else:
            assert torch.equal(one.visible, other.visible)


def test_an_override_in_training_leaves_autograd_its_tensors(monkeypatch):
    """`masked` may be used around a training step: so may packing."""
    model = make_model()
    packed = PackedSequences([(0, 5), (5, 8)])
    heads = wb.HeadSet.of([(0, 1), (1, 2)], model)

    def gradient():
        model.hf.zero_grad()
        ids, positions = torch.arange(70, 78)[None], torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2]])
        with attach_hooks(model.sites, packed=packed), wb.masked(model, heads):
            full = torch.ones_like(ids)
            model.hf(ids, attention_mask=full, position_ids=positions).logits.sum().backward()
        return model.hf.model.layers[0].self_attn.v_proj.weight.grad.clone()

    loop = gradient()
    calls = on_the_cpu(monkeypatch)
    torch.testing.assert_close(gradient(), loop, rtol=1e-4, atol=1e-4 * float(loop.abs().max()))
    assert len(calls) == 3


# ---- the choice ---------------------------------------------------------------------------------


def chosen(*, kernel="sdpa", packed=None, mask=None, size=64, value_size=None, **options):
    packed = PackedSequences([(0, 3), (3, 9)]) if packed is None else packed
    query, value = torch.zeros(1, 4, 9, size), torch.zeros(1, 2, 9, value_size or size)
    call = one_call.one_call(packed, kernel, query, value, mask, options)
    return None if call is None else call.window


def test_what_one_call_can_compute_is_computed_in_one_call(monkeypatch):
    assert chosen() is None  # float32 on the CPU
    monkeypatch.setattr(one_call, "varlen_kernel", lambda query: varlen_reference)
    assert chosen() == (-1, 0)
    assert chosen(scaling=0.2, sliding_window=None, softcap=None) == (-1, 0)
    packed = PackedSequences([(0, 3), (3, 9)])
    slides = packed.promise(lambda length: torch.ones(1, 1, length, length), 4, "cpu")
    assert chosen(packed=packed, mask=slides, sliding_window=4) == (3, 0)
    assert chosen(packed=packed, mask=slides[..., :9], sliding_window=4) == (3, 0)

    # And what it cannot goes text by text.
    assert chosen(packed=packed, mask=slides, sliding_window=5) is None
    assert chosen(packed=packed, mask=slides) is None  # chunks, say
    assert chosen(packed=packed, mask=torch.ones(1, 1, 9, 9, dtype=torch.bool)) is None
    assert chosen(packed=Branches(3, [3, 3], torch.device("cpu"))) is None
    assert chosen(kernel="eager") is None
    assert chosen(softcap=30.0) is None
    assert chosen(s_aux=torch.zeros(4)) is None
    assert chosen(position_bias=torch.zeros(1)) is None
    assert chosen(size=12) is None
    assert chosen(size=264) is None
    assert chosen(value_size=32) is None


def test_the_kernel_of_torch_is_taken_on_cuda_in_half_precision_alone(monkeypatch):
    varlen = pytest.importorskip("torch.nn.attention.varlen").varlen_attn
    card = {"capability": (9, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: card["capability"])

    def kernel(device, dtype):
        return one_call.varlen_kernel(SimpleNamespace(device=torch.device(device), dtype=dtype))

    assert kernel("cuda", torch.bfloat16) is varlen
    assert kernel("cuda:1", torch.float16) is varlen
    assert kernel("cuda", torch.float32) is None
    assert kernel("cpu", torch.bfloat16) is None
    assert kernel("mps", torch.float16) is None
    card["capability"] = (7, 5)
    assert kernel("cuda", torch.float16) is None


# ---- the reference that stands in for the kernel ------------------------------------------------


def sample(dtype=torch.float32, device="cpu", sizes=(40, 1, 97), heads=(6, 2), size=64):
    torch.manual_seed(0)
    counts = (heads[0], heads[1], heads[1])
    states = [torch.randn(sum(sizes), count, size).to(device, dtype) for count in counts]
    bounds = torch.tensor([0, *sizes]).cumsum(0).to(device, torch.int32)
    return *states, bounds, bounds, max(sizes), max(sizes)


@pytest.mark.parametrize("window", [(-1, 0), (6, 0), (-1, -1)])
def test_the_reference_is_attention(window):
    query, key, value, bounds, *_ = given = sample()
    found = varlen_reference(*given, scale=0.3, window_size=window, enable_gqa=True)
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        near = torch.ones(stop - start, stop - start, dtype=torch.bool)
        near = near.tril() if window[1] == 0 else near
        near = near.triu(-window[0]) if window[0] >= 0 else near
        q, k, v = (states[start:stop].transpose(0, 1)[None] for states in (query, key, value))
        expected = scaled_dot_product_attention(q, k, v, near, scale=0.3, enable_gqa=True)
        torch.testing.assert_close(found[start:stop], expected[0].transpose(0, 1))


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("window", [(-1, 0), (6, 0), (63, 0)])
@pytest.mark.parametrize(("heads", "size"), [((9, 3), 64), ((16, 8), 160), ((4, 4), 256)])
def test_the_kernel_of_torch_gives_what_the_reference_gives(dtype, window, heads, size):
    given = sample(dtype, "cuda", sizes=(400, 1, 97, 64, 1023), heads=heads, size=size)
    kernel = one_call.varlen_kernel(given[0])
    options = {"scale": 0.1, "window_size": window, "enable_gqa": heads[0] != heads[1]}
    found = kernel(*given, **options)
    on_cpu = [part.cpu() if isinstance(part, torch.Tensor) else part for part in given]
    expected = varlen_reference(*(part.float() if i < 3 else part for i, part in enumerate(on_cpu)),
                                **options)  # fmt: skip
    tolerance = 2e-2 if dtype == torch.bfloat16 else 3e-3
    torch.testing.assert_close(found.cpu().float(), expected, rtol=tolerance, atol=tolerance)
