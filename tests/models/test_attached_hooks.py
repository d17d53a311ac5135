"""A mask that the model did not see in that very pass is an error; blocks nest, leaving nothing."""

from __future__ import annotations

import copy
import pickle
import types

import numpy as np
import pytest
import torch
from support.models import make_model
from support.planted import planted_probes

import workbench as wb
from workbench.analysis.embeddings import embed
from workbench.evaluation.tasks import Item, Task
from workbench.masking.packed import packed_passes
from workbench.models import attention_hook
from workbench.models.attached_hooks import MaskNotSeen, attach_hooks

TEXT = "hello world, hello world"
PAIRS = [(0, 1), (1, 2)]
TASK = Task("continue", (Item("abcabcabc", "abc"), Item("xyzxyz", "xyz")), True)


def heads_of(model):
    return wb.HeadSet.of(PAIRS, model)


def call(model):
    ids = torch.tensor([model.encode(TEXT)])
    with wb.masked(model, heads_of(model)), torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


USES = {
    "token_losses": lambda m: wb.token_losses(m, [TEXT], [heads_of(m)]),
    "several texts unmasked": lambda m: wb.token_losses(m, [TEXT, TEXT], [None]),  # their bounds
    "masked": call,
    "the bare transformers model": lambda m: _bare(m),
    "Session": lambda m: wb.Session(m, TEXT, heads=heads_of(m)).changes(),
    "mirror": lambda m: wb.mirror(m, heads_of(m), [TASK], controls=1),
    "head_effects": lambda m: wb.head_effects(m, TEXT),
    "gradient": lambda m: wb.head_effects(m, TEXT, method="gradient"),
    "head_means": lambda m: wb.head_means(m, [TEXT]),
    "retrieval_scores": lambda m: wb.retrieval_scores(m, planted_probes(m, n=1)),
    "locos_scores": lambda m: wb.locos_scores(m, planted_probes(m, n=1)),
    "embed": lambda m: embed([TEXT, TEXT], m),
    "generate": lambda m: _generated(m),
}


def _bare(model):
    with wb.masked(model, heads_of(model)), torch.no_grad():
        return model.hf(input_ids=torch.tensor([model.encode(TEXT)]))


def _generated(model):
    ids = torch.tensor([model.encode(TEXT)])
    with wb.masked(model, heads_of(model)):
        return model.generate(ids, max_new_tokens=2, pad_token_id=2)


def another_implementation(model):
    model.hf.set_attn_implementation("eager")


def another_configuration(model):
    model.hf.config._attn_implementation = "sdpa"


def another_module(model):
    layer = model.hf.model.layers[1]
    layer.self_attn = copy.deepcopy(layer.self_attn)


def a_forward_of_its_own(model):
    """As fused kernels are put in: the module is called, the attention interface is not."""

    def forward(self, hidden_states, **_):
        return self.o_proj(hidden_states), None

    inner = model.hf.model.layers[1].self_attn
    inner.forward = types.MethodType(forward, inner)


CHANGES = (another_implementation, another_configuration, another_module, a_forward_of_its_own)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.filterwarnings("ignore:.*the fast path does not fit", "ignore:.*cannot start from")
def test_a_mask_that_the_model_does_not_see_is_an_error(change, use):
    model = make_model()
    change(model)
    if use == "several texts unmasked" and change is another_module:
        return _is_as_alone(model)  # its layers are not found: no packing, so nothing to be seen
    if use == "embed" and change is another_module:
        return None  # the same
    with pytest.raises(MaskNotSeen, match=r"attention implementation|did not use"):
        USES[use](model)
    assert not any(attention_hook.SLOT in site.module.__dict__ for site in model.sites)
    return None


def _is_as_alone(model):
    ids = torch.tensor([model.encode(TEXT)])
    with torch.no_grad():
        logits = model.hf(input_ids=ids).logits[0, :-1]
    expected = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    for (losses,) in wb.token_losses(model, [TEXT, TEXT], [None]):
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_the_error_says_how_to_go_on_and_that_is_right():
    model = make_model()
    expected = wb.token_losses(model, [TEXT, TEXT], [None, heads_of(model)])
    fresh = make_model()
    fresh.hf.set_attn_implementation("eager")
    with pytest.raises(MaskNotSeen, match=r"set_attn_implementation\('workbench_eager'\)"):
        USES["token_losses"](fresh)
    fresh.hf.set_attn_implementation("workbench_eager")
    losses = wb.token_losses(fresh, [TEXT, TEXT], [None, heads_of(fresh)])
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert packed_passes(fresh) is not None  # the error said nothing about the fast path


def test_a_change_inside_the_block_is_seen_in_the_next_pass():
    model = make_model()
    ids = torch.tensor([model.encode(TEXT)])
    with torch.no_grad(), wb.masked(model, heads_of(model)):
        model(input_ids=ids)
        model.hf.set_attn_implementation("eager")
        with pytest.raises(MaskNotSeen, match="2 of 2 layers"):
            model(input_ids=ids)


def test_compiled_code_runs_as_plain_python_inside_a_block(tiny):
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    plus = torch.compile(lambda x: x + 1, backend=backend)
    with attach_hooks(tiny.sites), attach_hooks(make_model().sites):
        assert plus(torch.ones(1)) == 2
    assert not compiled
    assert plus(torch.ones(1)) == 2
    assert compiled  # compiling is not left switched off


@pytest.mark.slow
def test_a_compiled_model_is_masked_and_compiled_again_afterwards():
    model, plain = make_model(), make_model()
    ids = torch.tensor([model.encode(TEXT)])
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    model.hf.compile(backend=backend)
    with torch.no_grad():
        before = model(input_ids=ids, use_cache=False).logits  # compiled without a mask
        assert compiled
        count = len(compiled)
        torch.testing.assert_close(call(model), call(plain))
        assert len(compiled) == count
        after = model(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(after, before)
    assert wb.certify(model).ok


def test_an_outer_observer_sees_what_happens_in_and_after_an_inner_block(tiny):
    ids = torch.tensor([tiny.encode(TEXT)])
    outer, inner = [], []
    with torch.no_grad(), attach_hooks(tiny.sites, observer=outer.append):
        tiny(input_ids=ids)
        with (
            wb.masked(tiny, heads_of(tiny)),
            attach_hooks(tiny.sites[1:], observer=inner.append),
        ):
            tiny(input_ids=ids)
        tiny(input_ids=ids)
    assert [call.layer for call in outer] == [0, 1, 2] * 3
    assert [call.layer for call in inner] == [1, 2]
    first, masked, last = (outer[i + 1].output for i in (0, 3, 6))
    assert torch.equal(first, last)
    assert torch.equal(masked, inner[0].output)
    assert not torch.equal(masked, first)
    assert not any(attention_hook.SLOT in site.module.__dict__ for site in tiny.sites)


def test_what_the_package_computes_inside_is_shown_to_an_outer_observer(tiny):
    seen = []
    with attach_hooks(tiny.sites, observer=lambda call: seen.append(call.layer)):
        expected = wb.head_means(tiny, [TEXT])
        wb.token_losses(tiny, [TEXT], [None, heads_of(tiny)])
        tiny(input_ids=torch.tensor([tiny.encode(TEXT)]))
    assert seen[:3] == seen[-3:] == [0, 1, 2]
    torch.testing.assert_close(wb.head_means(tiny, [TEXT]), expected)


@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_a_copy_of_a_model_masks_for_itself(how):
    model = make_model()
    expected = wb.token_losses(model, [TEXT], [None, heads_of(model)])  # engines and all are there
    wb.Session(model, TEXT, heads=heads_of(model)).changes()
    other = how(model)
    np.testing.assert_array_equal(wb.token_losses(other, [TEXT], [None, heads_of(other)]), expected)
    ids = torch.tensor([model.encode(TEXT)])
    with torch.no_grad():
        plain = model(input_ids=ids).logits
        with wb.masked(other, heads_of(other)):
            assert torch.equal(model(input_ids=ids).logits, plain)
    with wb.masked(model, heads_of(model)), pytest.raises(ValueError, match="cannot be copied"):
        how(model)
