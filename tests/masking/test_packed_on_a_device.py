"""The path of a GPU on a pretended one: it never waits inside a row, and asks little of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers as tr
from support.models import TINY, make_model, make_tokenizer, with_means
from support.pretend import pretend_device
from support.varlen import on_the_cpu

import workbench as wb
from workbench.masking import masks, packed
from workbench.masking.packed import PackedPasses
from workbench.models.packing import transfer

LENGTHS = [40, 7, 64, 90, 3] * 8


def model_of_head_size_64(kind=tr.LlamaConfig, **more):
    torch.manual_seed(0)
    shape = {**TINY, "hidden_size": 256, "head_dim": 64, "num_hidden_layers": 4, **more}
    hf = tr.AutoModelForCausalLM.from_config(kind(**shape), dtype=torch.float32)
    return wb.from_transformers(hf, make_tokenizer())


def sets_of(model):
    return [None, wb.HeadSet.of([(1, 0), (2, 3)], model), wb.HeadSet.of([(0, 1)], model)]


def windows_of(lengths=LENGTHS):
    return [[64 + (i * i + n) % 250 for i in range(n)] for n in lengths]


@pytest.mark.parametrize("mode", ["uniform", "zero", "mean"])
def test_a_row_is_computed_without_a_wait_and_its_losses_come_back_in_one_copy(mode, monkeypatch):
    model = model_of_head_size_64()
    means = torch.randn(model.num_layers, model.num_heads, 64)
    monkeypatch.setattr(packed, "replacements", lambda *_: means if mode == "mean" else None)
    sets = [None, wb.HeadSet.of([(1, 0), (1, 2), (3, 3)], model), wb.HeadSet.of([(0, 1)], model)]
    passes = PackedPasses(model)
    with pretend_device(model, monkeypatch) as seen:
        row = passes._whole_row_losses(windows_of(), sets, mode)
    assert row._losses.shape == (3, sum(LENGTHS) - len(LENGTHS))
    assert (row._losses.device.type, row._losses.dtype) == ("cpu", torch.float32)
    assert seen.waits == []
    assert seen.back == 1
    assert seen.launches["_varlen_attn"] == 4  # one a layer
    # A row of 5 texts asks as much of the device as one of 40 with as many tokens.
    with pretend_device(model, monkeypatch) as fewer:
        passes._whole_row_losses(windows_of([320, 56, 512, 720, 24]), sets, mode)
    assert fewer.launches == seen.launches
    with pretend_device(model, monkeypatch) as alone:
        passes._whole_row_losses(windows_of([1632]), sets, mode)
    assert (alone.waits, alone.back, alone.launches["_varlen_attn"]) == ([], 1, 4)


@pytest.mark.parametrize("mode", ["uniform", "zero"])
def test_a_sliding_window_needs_no_wait_either(mode, monkeypatch):
    model = model_of_head_size_64(tr.MistralConfig, sliding_window=32)
    sets = sets_of(model)
    passes = PackedPasses(model)
    with pretend_device(model, monkeypatch) as seen:
        passes._whole_row_losses(windows_of([40, 32, 7, 90]), sets, mode)
    assert seen.launches["_varlen_attn"] == 4
    assert seen.back == 1
    # Masked heads go text by text where one is longer than the window, and wait for their indices.
    assert bool(seen.waits) == (mode == "uniform")
    assert all(wait.startswith("index") for wait in seen.waits)


def test_what_looks_at_a_number_is_caught(monkeypatch):
    model = model_of_head_size_64()
    with pretend_device(model, monkeypatch) as seen:
        states = torch.zeros(3, 4, device="meta")
        with pytest.raises(RuntimeError, match="meta tensors"):
            bool((states > 0).all())
        assert (seen.waits, seen.back) == ([], 0)
        states[:, torch.tensor([1, 2])]
        states[:, [1, 2]]
        states[:, [1, 2]] = 0
        states.cpu()
        assert (len(seen.waits), seen.back) == (4, 1)
        # From memory that is not page-locked, or into another dtype, no copy runs ahead.
        torch.ones(3).to("meta", non_blocking=True)
        transfer.sent(torch.ones(3), torch.device("meta"))
        locked = transfer._pinned(torch.ones(3), torch.device("meta"))
        locked.to("meta", torch.bfloat16, non_blocking=True)
        assert len(seen.waits) == 6
        # transformers looks for packed texts in the positions: one wait a pass.
        with pytest.raises(RuntimeError, match="meta tensors"):
            model.hidden(torch.zeros(1, 8, dtype=torch.long, device="meta"))


def test_the_next_row_is_begun_before_the_last_one_is_read(monkeypatch):
    """A device works at one row while the CPU uses the numbers of another."""
    model = make_model()
    passes = PackedPasses(model)
    order = []

    class Row:
        def __init__(self, number):
            self.number = number

        def read(self):
            order.append(f"read {self.number}")
            return [[self.number]]

    def begin(self, texts, sets, mode):
        order.append(f"begin {texts[0][0]}")
        return [Row(texts[0][0])]

    monkeypatch.setattr(PackedPasses, "_row_losses", begin)
    monkeypatch.setattr(passes, "row_tokens", 1)
    windows = [[7, 7], [8, 8], [9, 9]]
    assert list(passes.losses(windows, [None])) == [[7], [8], [9]]
    assert order == ["begin 7", "read 7", "begin 8", "read 8", "begin 9", "read 9"]
    order.clear()
    monkeypatch.setattr(transfer, "AHEAD", ("cpu",))
    assert list(passes.losses(windows, [None])) == [[7], [8], [9]]
    assert order == ["begin 7", "begin 8", "read 7", "begin 9", "read 8", "read 9"]


def test_more_head_sets_than_two_share_the_memory_of_a_row(monkeypatch):
    """As with controls: base, masked and ten others in a sixth of the tokens."""
    passes = PackedPasses(make_model())
    passes.row_tokens = 600
    windows = windows_of([50] * 24)

    def longest(sets):
        return max(sum(map(len, row)) for row in passes.rows(windows, sets=sets))

    assert [longest(n) for n in (1, 2, 3, 12)] == [600] * 4  # on a CPU
    monkeypatch.setattr(transfer, "AHEAD", ("cpu",))
    assert [longest(n) for n in (1, 2, 3, 12)] == [600, 600, 400, 100]


def test_with_many_head_sets_a_row_that_does_not_fit_halves_the_later_ones_once(monkeypatch):
    model = make_model()
    passes, sets = PackedPasses(model), [None, *[wb.HeadSet.of([(1, h)], model) for h in range(4)]]
    windows = windows_of([40] * 20)
    monkeypatch.setattr(transfer, "AHEAD", ("cpu",))
    tried = []

    def whole(self, packed, sets, mode):
        tried.append(sum(map(len, packed)))
        if tried[-1] > 200:
            torch.empty(1 << 60, dtype=torch.uint8)  # the allocator of the CPU refuses it
        return SimpleNamespace(read=lambda: [[None] * len(sets) for _ in packed])

    monkeypatch.setattr(PackedPasses, "_whole_row_losses", whole)
    passes.row_tokens = 1000
    list(passes.losses(windows, sets))
    assert tried == [400, 200, 200, 200, 200]
    assert list(map(len, passes.rows(windows, sets=len(sets)))) == [5] * 4


@pytest.mark.parametrize("mode", ["mean", "resample:on_a_device"])
def test_what_is_put_in_goes_there_once_a_row_and_is_what_it_was(mode, monkeypatch):
    model = with_means(make_model())
    wb.reference_set("on_a_device", ["another text", "and one more of them"])
    windows, sets = windows_of([40, 7, 30]), sets_of(model)
    expected = list(PackedPasses(model).losses(windows, sets, mode))
    on_the_cpu(monkeypatch)
    monkeypatch.setattr(transfer, "AHEAD", ("cpu",))
    event = SimpleNamespace(synchronize=lambda: None)
    stream = SimpleNamespace(record_event=lambda: event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    copies, true = [], masks.sent_together

    def counted(tensors, device):
        copies.append(len(tensors))
        return true(tensors, device)

    monkeypatch.setattr(masks, "sent_together", counted)
    found = list(PackedPasses(model).losses(windows, sets, mode))
    # Three layers of the two sets; under "resample" every text has a row to itself.
    assert copies == [3] * (1 if mode == "mean" else len(windows))
    for columns, others in zip(found, expected, strict=True):
        for one, other in zip(columns, others, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("limit", [200, 100, 30])
def test_a_device_whose_memory_holds_so_many_tokens_goes_on_in_halves(limit, monkeypatch):
    """All that is done for a device, with numbers: one call a layer, a row ahead, little memory."""
    model = make_model()
    windows, sets = windows_of([40, 7, 64, 90, 3]), sets_of(model)
    expected = list(PackedPasses(model).losses(windows, sets))
    calls = on_the_cpu(monkeypatch)
    monkeypatch.setattr(transfer, "AHEAD", ("cpu",))
    event = SimpleNamespace(synchronize=lambda: None)
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: SimpleNamespace(record_event=lambda: event)
    )
    largest = 0

    def full(_, args):
        nonlocal largest
        tokens = args[0].shape[0] * args[0].shape[1]
        if tokens > limit:
            raise torch.OutOfMemoryError(f"no memory for {tokens} tokens")
        largest = max(largest, tokens)

    passes = PackedPasses(model)
    hook = model.hf.model.layers[1].mlp.register_forward_pre_hook(full)
    try:
        if limit < max(map(len, windows)):
            with pytest.raises(torch.OutOfMemoryError, match="40 tokens does not fit"):
                list(passes.losses(windows, sets))
            return
        found = list(passes.losses(windows, sets))
    finally:
        hook.remove()
    assert 0 < largest <= limit
    assert passes.row_tokens < packed.ROW_TOKENS
    for columns, others in zip(found, expected, strict=True):
        for one, other in zip(columns, others, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
    assert calls  # some rows held more than one text


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_losses_on_the_device_are_those_of_the_cpu(dtype):
    model = model_of_head_size_64()
    sets = [None, wb.HeadSet.of([(1, 0), (1, 2), (3, 3)], model)]
    expected = list(PackedPasses(model).losses(windows_of(), sets))
    model.hf.to("cuda", dtype)
    assert packed.packed_passes(model) is not None
    found = list(PackedPasses(model).losses(windows_of(), sets))
    atol = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}[dtype]
    for columns, others in zip(found, expected, strict=True):
        for one, other in zip(columns, others, strict=True):
            torch.testing.assert_close(
                torch.from_numpy(one), torch.from_numpy(other), rtol=1e-2, atol=atol
            )


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_certificate_is_earned_on_the_device(dtype):
    model = model_of_head_size_64()
    model.hf.to("cuda", dtype)
    certificate = wb.certify(model)
    assert certificate.ok, certificate
    assert (certificate.device, certificate.fast_path) == ("cuda", True)
