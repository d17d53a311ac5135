"""No mask of a whole row: each text gets what transformers' own mask of the row holds for it."""

from __future__ import annotations

import pytest
import torch
import transformers as tr
from support.models import make_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import masking_utils

import workbench as wb
from workbench.masking.packed import PackedPasses
from workbench.models.attached_hooks import attach_hooks
from workbench.models.attention_hook import OURS
from workbench.models.packing.sequences import Branches, PackedSequences, is_stand_in
from workbench.models.packing.span_masks import packed_row

LENGTHS = (1, 5, 6, 7, 19, 2)
KINDS = {
    "causal": masking_utils.create_causal_mask,
    "sliding": masking_utils.create_sliding_window_causal_mask,
    "chunked": masking_utils.create_chunked_causal_mask,
}


class Largest(TorchDispatchMode):
    """The largest tensor in memory, in bytes, that any operation gave."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.bytes = max(self.bytes, leaf.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("name", ["llama", "mistral-sliding", "gemma3"])
def test_a_row_of_4096_tokens_has_no_tensor_of_4096_by_4096(name):
    model = make_model(name)
    lengths = [128, 17, 90] * 17 + [101]
    windows = [[64 + (i * n) % 250 for i in range(n)] for n in lengths]
    assert sum(lengths) == 4096
    heads = wb.HeadSet.of([(0, 1), (2, 2)], model)
    passes = PackedPasses(model)
    with Largest() as seen:
        passes.hidden(windows, [None, heads])
    assert 4096 * 64 * 4 <= seen.bytes < 4096 * 4096 // 4  # the feed-forward layer's is the largest

    # The same row by transformers alone: a mask, as ever.
    ids = torch.tensor([[token for window in windows for token in window]])
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    with Largest() as seen, torch.inference_mode():
        masking_utils.create_causal_mask(
            model.hf.config, model.hf.get_input_embeddings()(ids), None, None, positions
        )
    assert seen.bytes >= 4096 * 4096


def asked(config, kind, lengths, whole_row):
    """A mask of transformers for texts end to end, as it is told of them itself, or by us."""
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    full = None if whole_row else torch.ones_like(positions, dtype=torch.bool)
    embeds = torch.zeros(1, sum(lengths), 8)
    return KINDS[kind](config, embeds, full, None, position_ids=positions)


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_text_gets_its_part_of_the_mask_that_transformers_makes(kind, kernel):
    config = tr.MistralConfig(sliding_window=6)
    config.attention_chunk_size = 6
    config._attn_implementation = kernel
    whole = asked(config, kind, LENGTHS, whole_row=True)
    config._attn_implementation = OURS + kernel
    packed = bounds_of(LENGTHS)
    with packed_row(packed):
        stand_in = asked(config, kind, LENGTHS, whole_row=False)
    assert (stand_in is None) == (kind == "causal" and kernel == "sdpa")
    if stand_in is not None:
        assert is_stand_in(stand_in)
        assert stand_in.shape == whole.shape
        assert packed.local(stand_in) == (None if kind == "causal" else 6)
    found, expected = packed.masks(stand_in), bounds_of(LENGTHS).masks(whole)
    for mask, part, text in zip(found, expected, packed.slices, strict=True):
        assert (mask is None) == (part is None)
        if mask is not None:
            assert mask.dtype == part.dtype
            assert torch.equal(mask, part)
        length = text.stop - text.start
        if kernel == "sdpa":  # no longer than the window: causal, and SDPA needs no mask
            assert (mask is None) == (kind == "causal" or length <= 6)
    # A view of the stand-in, which a model may hand on, says the same.
    if stand_in is not None:
        again = packed.masks(stand_in[:, :, :, : stand_in.shape[-1]])
        assert all(one is other for one, other in zip(again, found, strict=True))


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_branches_get_theirs_too(kind, kernel):
    config = tr.MistralConfig(sliding_window=6)
    config.attention_chunk_size = 6
    shared, lengths = 4, (5, 5, 1)
    config._attn_implementation = OURS + kernel
    branches = Branches(shared, lengths, torch.device("cpu"))
    with packed_row(branches):
        stand_in = KINDS[kind](
            config, torch.zeros(1, 15, 8), torch.ones(1, 15, dtype=torch.bool), None
        )
    first, rest = branches.masks(stand_in)
    config._attn_implementation = kernel
    for start, length in ((4, 5), (9, 5), (14, 1)):  # each as if the text and it were alone
        alone = KINDS[kind](config, torch.zeros(1, shared + length, 8), None, None)
        if alone is None:
            alone = torch.ones(shared + length, shared + length, dtype=torch.bool).tril()[
                None, None
            ]
        rows = rest[:, :, start - shared : start - shared + length]
        own = torch.cat([rows[..., :shared], rows[..., start : start + length]], dim=-1)
        assert torch.equal(own, alone[:, :, shared:])
        others = torch.cat([rows[..., shared:start], rows[..., start + length :]], dim=-1)
        assert (
            others == (False if rest.dtype == torch.bool else torch.finfo(rest.dtype).min)
        ).all()
    assert (first is None) == (kernel == "sdpa")


def test_without_packed_texts_the_mask_is_the_stock_one():
    config = tr.MistralConfig(sliding_window=6)
    for packed in (None, bounds_of((3, 4))):  # the second is of another length than what is asked
        with packed_row(packed):
            for kind in KINDS:
                config.attention_chunk_size = 6
                config._attn_implementation = OURS + "sdpa"
                ours = asked(config, kind, (9,), whole_row=True)
                config._attn_implementation = "sdpa"
                stock = asked(config, kind, (9,), whole_row=True)
                assert (ours is None) == (stock is None)
                assert ours is None or torch.equal(ours, stock)


def test_another_model_inside_a_packed_pass_is_refused():
    """Its mask would be the stand-in of the first, which says nothing."""
    model, other = make_model("mistral-sliding"), make_model("mistral-sliding", seed=1)
    ids = torch.arange(70, 82)[None]

    def nested(_):
        other.hidden(ids)

    with (
        attach_hooks(model.sites, observer=nested),
        pytest.raises(wb.CannotMask, match="packed texts of another model"),
    ):
        PackedPasses(model).hidden([[70, 71, 72, 73], [80, 81, 82, 83, 84, 85, 86, 87]], [None])
    assert other.hidden(ids).isfinite().all()  # afterwards all is as it was


def bounds_of(lengths):
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return PackedSequences([(start, start + n) for start, n in zip(starts, lengths, strict=True)])
