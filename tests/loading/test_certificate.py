"""The certificate: every architecture earns it, and every claim in it can fail."""

from __future__ import annotations

import copy
import json
import threading

import pytest
import torch
from support.models import EVERY_ARCHITECTURE, make_hf, make_model, make_tokenizer
from transformers import AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

import workbench as wb
from workbench.core.progress import cancellable
from workbench.detection import retrieval
from workbench.loading import certificate_passes
from workbench.loading.certificate import Certificate
from workbench.loading.certificate_checks import CHECKS
from workbench.masking import masks as masking
from workbench.masking import reference
from workbench.masking.fast_path import key_of
from workbench.masking.packed import PACKED, packed_passes
from workbench.models import attention_hook, attention_override, identity

NAMES = [claim.name for claim in CHECKS]
CORPUS = [{"id": f"d{i}", "text": f"document number {i}", "domain": "d"} for i in range(4)]


def state_of(model):
    """All that a check could leave behind."""
    modules = list(model.hf.modules())
    slots = [attention_hook.SLOT in module.__dict__ for module in modules]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules]
    ids = torch.arange(70, 90)[None]
    with torch.inference_mode():
        logits = model.hf(input_ids=ids).logits
    kernel = model.hf.config._attn_implementation
    random = torch.get_rng_state().tolist()
    return slots, hooks, kernel, model.hf.training, random, logits.tolist()


def test_other_threads_see_the_state_of_the_model_meanwhile():
    model = make_model()
    before, seen = identity.state_of(model), []
    hook = model.hf.register_forward_pre_hook(
        lambda *_: seen.append((identity.state_of(model), model.hf.config._attn_implementation))
    )
    wb.certify(model)
    hook.remove()
    assert {kernel for _, kernel in seen} == {"sdpa", "workbench_sdpa"}  # the stock model is asked
    assert all(state == before for state, _ in seen)
    assert identity.state_of(model) == before


# ---- it is earned -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
@pytest.mark.parametrize("bos", [False, True])
def test_every_architecture_passes_every_check(name, bos):
    model = make_model(name, bos=bos)
    before = state_of(model)
    certificate = wb.certify(model)
    assert certificate.ok, certificate
    assert [check.name for check in certificate.checks] == NAMES
    assert "handed over" in certificate.checks[0].found  # nobody saw its files
    assert all(isinstance(check.measured, float) for check in certificate.checks[1:])
    kernel = "eager" if name == "gemma2" else "sdpa"  # as transformers would have it
    assert (certificate.dtype, certificate.device, certificate.kernel) == ("float32", "cpu", kernel)
    assert certificate.fast_path
    assert state_of(model) == before


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
@pytest.mark.parametrize(("kernel", "dtype"), [("eager", "float32"), (None, "bfloat16")])
def test_the_eager_kernel_and_half_precision_pass_too(name, kernel, dtype):
    hf = make_hf(name, kernel).to(getattr(torch, dtype))
    certificate = wb.certify(wb.from_transformers(hf, make_tokenizer()))
    assert certificate.ok, certificate
    assert certificate.dtype == dtype
    assert certificate.kernel == (kernel or certificate.kernel)


def test_the_default_model_passes_in_float32_and_bfloat16(default):
    assert wb.certify(default).ok, wb.certify(default)
    half = wb.load_model(dtype="bfloat16", certify=False)
    assert wb.certify(half).ok, wb.certify(half)


def test_a_model_without_the_fast_path_passes_and_says_so():
    model = make_model()
    model.cache.kept(key_of(model, PACKED), lambda: None)
    certificate = wb.certify(model)
    assert certificate.ok
    assert not certificate.fast_path
    (batched,) = (check for check in certificate.checks if check.name == "batched as single")
    assert "one window at a time" in batched.found


# ---- every claim can fail -----------------------------------------------------------------------


def leaking_mean(value, kv_heads, visible):
    mean = value[:, kv_heads].mean(dim=2, keepdim=True)
    return mean.expand(-1, -1, value.shape[2], -1)


def a_mean_over_the_future(model, monkeypatch):
    monkeypatch.setattr(attention_override, "uniform_output", leaking_mean)


def a_whole_group_masked(model, monkeypatch):
    stock = attention_hook.override_output

    def spread(override, output, weights, value, visible, share):
        group = output.shape[2] // value.shape[1]
        heads = {
            i for h in override.heads for i in range(h // group * group, (h // group + 1) * group)
        }
        override = attention_hook.Override(tuple(heads), override.mode, None, override.rows)
        stock(override, output, weights, value, visible, share)

    monkeypatch.setattr(attention_hook, "override_output", spread)


def kernel_without_its_mask(model, monkeypatch):
    """The function is registered, its mask function is not: the model passes no mask at all."""
    mapping = ALL_MASK_ATTENTION_FUNCTIONS._global_mapping
    monkeypatch.setitem(mapping, "workbench_eager", lambda *_, **__: None)
    assert AttentionMaskInterface()["workbench_eager"]() is None


def losses_of_the_token_before(model, monkeypatch):
    def shifted(logits, targets):
        before = torch.cat([targets[:1], targets[:-1]])
        return torch.nn.functional.cross_entropy(logits.float(), before, reduction="none")

    packed_passes(model)  # it was fine when it was tried out
    monkeypatch.setattr(reference, "_cross_entropy", shifted)


def detection_of_the_row_itself(model, monkeypatch):
    stock = retrieval.answer_rows

    def late(model, probe):
        ids, positions, targets = stock(model, probe)
        return ids, positions + 1, targets

    monkeypatch.setattr(retrieval, "answer_rows", late)


def a_layer_that_was_replaced(model, monkeypatch):
    """As adapters and quantizers do it: the attention that runs is no longer the one we know."""
    layer = model.hf.model.layers[1]
    layer.self_attn = copy.deepcopy(layer.self_attn)


def a_mask_that_leaves_out_a_layer(model, monkeypatch):
    stock = masking.overrides_of

    def without_the_second(*arguments, **named):
        return {layer: value for layer, value in stock(*arguments, **named).items() if layer != 1}

    monkeypatch.setattr(certificate_passes, "overrides_of", without_the_second)


def masks_that_do_nothing(model, monkeypatch):
    monkeypatch.setattr(attention_hook, "override_output", lambda *_: None)


def numbers_a_little_off(model, monkeypatch):
    stock = attention_hook._attend

    def off(*arguments, **named):
        output, weights = stock(*arguments, **named)
        return output * (1 + 2**-22), weights

    monkeypatch.setattr(attention_hook, "_attend", off)


def a_model_that_looks_ahead(model, monkeypatch):
    stock = torch.nn.functional.scaled_dot_product_attention

    def ahead(query, key, value, **named):
        return stock(query, key, value, **{**named, "is_causal": False})

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", ahead)


def windows_that_see_each_other(model, monkeypatch):
    class WholeRow(attention_hook.PackedSequences):
        def __init__(self, bounds):
            super().__init__([(0, bounds[-1][1])])

        def masks(self, whole):
            return [None]

    packed_passes(model)  # it was fine when it was tried out
    monkeypatch.setattr(attention_hook, "PackedSequences", WholeRow)


def detection_that_breaks(model, monkeypatch):
    def broken(*_):
        raise RuntimeError("no such\nrow")

    monkeypatch.setattr(retrieval, "strongest_keys", broken)


def a_weight_that_no_file_held(model, monkeypatch):
    model.from_nowhere = ("lm_head.weight",)


MASKED = {"no look ahead, masked", "masked head averages", "batched as single"}
SABOTAGE = {
    a_weight_that_no_file_held: {"every weight was read"},
    a_mean_over_the_future: MASKED,
    a_whole_group_masked: {"other heads untouched"},
    losses_of_the_token_before: {"the model's own loss", "batched as single"},
    detection_of_the_row_itself: {"planted head found"},
    a_layer_that_was_replaced: {  # no pass that should be masked or watched goes through
        "every layer masks", "mask changes the loss", "no look ahead, masked",
        "other heads untouched", "masked head averages", "planted head found", "siblings not found",
    },
    a_mask_that_leaves_out_a_layer: {"every layer masks", "masked head averages"},
    masks_that_do_nothing: {
        "every layer masks", "mask changes the loss", "masked head averages",
    },
    numbers_a_little_off: {"empty mask"},
    a_model_that_looks_ahead: {"no look ahead", "no look ahead, masked", "batched as single"},
    windows_that_see_each_other: {"batched as single"},
    detection_that_breaks: {"planted head found", "siblings not found"},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*the fast path does not fit")
@pytest.mark.parametrize("sabotage", SABOTAGE, ids=lambda function: function.__name__)
def test_what_is_broken_is_what_fails(sabotage, monkeypatch):
    model = make_model()
    sabotage(model, monkeypatch)
    before = state_of(model)
    certificate = wb.certify(model)
    assert set(certificate.failed) == SABOTAGE[sabotage], certificate
    assert state_of(model) == before
    with pytest.raises(wb.NotCertified, match="checks of this model failed"):
        wb.score_corpus(model, wb.HeadSet.of([(1, 1)], model), CORPUS)


@pytest.mark.filterwarnings("ignore:.*the fast path does not fit")
def test_a_kernel_without_its_mask_fails_what_depends_on_the_past_alone(monkeypatch):
    model = wb.from_transformers(make_hf("llama", "eager"), make_tokenizer())
    kernel_without_its_mask(model, monkeypatch)
    failed = set(wb.certify(model).failed)
    lost = {"empty mask", "no look ahead", "no look ahead, masked", "masked head averages"}
    assert lost | {"the model's own loss"} <= failed


def test_what_stops_a_check_is_told_as_what_was_measured(monkeypatch):
    model = make_model()
    detection_that_breaks(model, monkeypatch)
    certificate = wb.certify(model)
    measured = [check.measured for check in certificate.checks if not check.passed]
    assert measured == ["RuntimeError: no such row"] * 2


@pytest.mark.filterwarnings("ignore:.*the fast path does not fit")
def test_a_loss_that_is_no_number_fails_and_can_be_written_down():
    model = make_model()
    model.hf.model.layers[1].mlp.up_proj.weight.data.fill_(float("nan"))
    certificate = wb.certify(model)
    assert {"empty mask", "no look ahead", "the model's own loss"} <= set(certificate.failed)
    text = json.dumps(certificate.to_json(), allow_nan=False)
    assert Certificate.from_json(json.loads(text)) == certificate


def test_a_model_too_small_to_be_tried_out_fails_with_the_reason():
    hf = make_hf("llama")
    hf.config.max_position_embeddings = 8
    certificate = wb.certify(wb.from_transformers(hf, make_tokenizer()))
    assert certificate.failed == NAMES[1:]
    assert all("too small to be tried out" in check.found for check in certificate.checks[1:])
    assert certificate.failure_message().count("too small to be tried out") == 1


# ---- planting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama", "mistral-sliding", "gemma2", "gpt2"])
def test_one_planted_head_is_the_one_that_is_found(name):
    """Planted in one layer alone, no head of another layer is found with it."""
    model = make_model(name)
    passes = certificate_passes.CertificatePasses(model)
    passes.every = wb.HeadSet.of([(1, 2)], model)
    planted, natural = passes.copied
    assert planted[1, 2] == 1
    assert natural[1, 2] < 1
    planted[1, 2] = 0
    assert planted.max() <= 0.75


# ---- it is kept, and left behind clean ----------------------------------------------------------


def test_it_is_made_once_and_again_after_a_change(tiny, monkeypatch):
    model = make_model()
    first = wb.certify(model)
    assert wb.certify(model) is first
    with torch.no_grad():
        model.hf.model.embed_tokens.weight.mul_(1.5)
    second = wb.certify(model)
    assert second is not first
    model.hf.to(torch.bfloat16)
    assert wb.certify(model).dtype == "bfloat16"


def test_it_tells_how_far_it_is(tiny):
    heard = []
    with cancellable(heard.append, threading.Event()):
        wb.certify(make_model())
    assert heard[-1].title == "trying out llama"
    assert [state.done for state in heard if state.unit == "check"] == list(range(len(NAMES) + 1))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("place", ["plain_losses", "overrides_of", "_compared", "_copying"])
def test_an_interrupt_passes_and_leaves_the_model_clean(place, error, monkeypatch):
    model = make_model()
    before = state_of(model)

    def stop(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(certificate_passes, place, stop)
        with pytest.raises(error):
            wb.certify(model)
    assert state_of(model) == before
    assert model.cache.get("certificate") is None
    assert wb.certify(model).ok


@pytest.mark.parametrize("place", ["plain_losses", "overrides_of", "_compared", "_copying"])
def test_an_error_leaves_the_model_clean(place, monkeypatch):
    model = make_model()
    before = state_of(model)

    def fail(*_, **__):
        raise IndexError("out of range")

    monkeypatch.setattr(certificate_passes, place, fail)
    assert "IndexError: out of range" in {check.measured for check in wb.certify(model).checks}
    assert state_of(model) == before


def test_a_masked_model_is_not_tried_out(tiny):
    with wb.masked(tiny, wb.HeadSet.of([(1, 1)], tiny)), pytest.raises(ValueError, match="masked"):
        wb.certify(tiny)


# ---- it is shown --------------------------------------------------------------------------------


def test_the_table_names_every_check_and_escapes_what_a_model_says(tiny, monkeypatch):
    certificate = wb.certify(tiny)
    lines = repr(certificate).splitlines()
    assert "12 of 12 checks passed" in lines[0]
    assert [name for name, line in zip(NAMES, lines[1:], strict=True) if name not in line] == []
    assert len({line.index("at ") for line in lines[1:]}) == 1  # aligned

    def hostile(*_):
        raise ValueError("<script>alert(1)</script>")

    model = make_model()
    monkeypatch.setattr(retrieval, "strongest_keys", hostile)
    page = wb.certify(model)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    for cell in ("FAILED", "no look ahead"):
        assert f">{cell}</td>" in page


def test_it_is_read_back_as_it_was_and_nothing_else_is_taken_for_it(tiny):
    certificate = wb.certify(tiny)
    stored = json.loads(json.dumps(certificate.to_json()))
    assert Certificate.from_json(stored) == certificate
    for change in (
        lambda c: c.pop("ok"),
        lambda c: c.update(ok=False),
        lambda c: c.update(more=1),
        lambda c: c["checks"][3].update(measured=0.0),  # no change, yet passed
        lambda c: c["checks"][4].update(measured=9.0),
        lambda c: c["checks"][3].pop("limit"),
        lambda c: c.update(checks=7),
    ):
        changed = copy.deepcopy(stored)
        change(changed)
        with pytest.raises(ValueError, match=r"not a certificate|do not follow"):
            Certificate.from_json(changed)
