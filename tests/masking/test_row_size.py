"""Memory of a row: what is stated holds what a pass really has in memory, and not by far."""

from __future__ import annotations

import weakref

import pytest
import torch
import transformers as tr
from support.models import make_model, make_tokenizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import workbench as wb
from workbench.masking.packed import PackedPasses
from workbench.masking.row_size import device_row_tokens, is_out_of_memory, token_bytes


class Live(TorchDispatchMode):
    """Bytes of all tensors that are alive at once, made since it began; the most of them."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self.known = set()

    def gone(self, key, size):
        self.known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {id_of(leaf) for leaf in tree_leaves((args, kwargs)) if is_tensor(leaf)}
        for leaf in filter(is_tensor, tree_leaves(result)):
            key, size = id_of(leaf), leaf.untyped_storage().nbytes()
            if key not in self.known and key not in given:
                self.known.add(key)
                self.now += size
                self.most = max(self.most, self.now)
                weakref.finalize(leaf.untyped_storage(), self.gone, key, size)
        return result


def is_tensor(leaf):
    return isinstance(leaf, torch.Tensor)


def id_of(tensor):
    return tensor.untyped_storage().data_ptr()


@pytest.mark.parametrize(("dtype", "kv_heads"), [(torch.float32, 8), (torch.bfloat16, 2)])
def test_a_row_takes_no_more_than_stated_and_not_much_less(dtype, kv_heads):
    torch.manual_seed(0)
    config = tr.LlamaConfig(
        vocab_size=320, hidden_size=256, intermediate_size=683, num_hidden_layers=3,
        num_attention_heads=8, num_key_value_heads=kv_heads, max_position_embeddings=2048,
    )  # fmt: skip
    hf = tr.AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    model = wb.from_transformers(hf, make_tokenizer())
    heads = wb.HeadSet.of([(0, 1), (1, 5), (2, 3)], model)
    windows = [[64 + (i * n) % 250 for i in range(n)] for n in (270, 100, 200, 198)]
    with Live() as live:
        PackedPasses(model).hidden(windows, [None, heads])
    stated = 768 * token_bytes(config, dtype)
    assert 0.3 * stated < live.most <= stated


def test_rows_fill_half_of_the_free_memory_within_bounds():
    assert device_row_tokens(free=2 * 9000 * 100, token=100, least=1024) == 8192
    assert device_row_tokens(free=2 * 8000 * 100, token=100, least=1024) == 4096
    assert device_row_tokens(free=0, token=100, least=1024) == 1024
    assert device_row_tokens(free=1 << 50, token=100, least=1024) == 32 * 1024


def test_every_head_set_takes_its_part():
    config = make_model().hf.config
    assert token_bytes(config, torch.float32, 3) * 2 == token_bytes(config, torch.float32) * 3
    assert token_bytes(config, torch.bfloat16) * 2 == token_bytes(config, torch.float32)


def test_every_device_may_say_that_memory_does_not_do():
    with pytest.raises(RuntimeError) as cpu:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert not isinstance(cpu.value, torch.OutOfMemoryError)
    assert is_out_of_memory(cpu.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 8.88 GiB)"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shape '[2, 3]' is invalid for input of size 5"))
    assert not is_out_of_memory(ValueError("out of memory"))
