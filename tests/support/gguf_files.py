"""A GGUF file with the weights of a small Llama, written as llama.cpp's converter writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import gguf
import torch
import transformers as tr

_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "model.layers": "blk",
}  # fmt: skip


def write_gguf(
    path: Path,
    hf: tr.PreTrainedModel,
    tokenizer: tr.PreTrainedTokenizerFast,
    without: Iterable[str] = (),
) -> Path:
    """Write `hf` to `path`, without the tensors whose GGUF name holds one of `without`."""
    config = hf.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    words = tokenizer.get_vocab()
    tokens = sorted(words, key=words.__getitem__)
    # The reader wants a merge, and its result to be a token; the other it would add by itself.
    tokens[62:64] = ["<|endoftext|>", "ab"]
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(words))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, tensor in hf.state_dict().items():
        for hf_name, gguf_name in _NAMES.items():
            name = name.replace(hf_name, gguf_name)
        if any(part in name for part in without):
            continue
        if "attn_q" in name or "attn_k" in name:  # llama.cpp keeps the rotary halves interleaved
            heads = config.num_attention_heads if "_q" in name else config.num_key_value_heads
            halves = tensor.reshape(heads, 2, -1, tensor.shape[-1])
            tensor = halves.swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(name, tensor.to(torch.float32).numpy().copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
