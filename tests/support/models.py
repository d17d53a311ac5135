"""Small real models and tokenizers for the tests: random weights, every architecture."""

from __future__ import annotations

import pytest
import torch
import transformers as tr
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

import workbench as wb
from workbench.models.identity import state_of

TINY = {
    "vocab_size": 320,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
PLAIN = {k: v for k, v in TINY.items() if k not in ("num_key_value_heads", "head_dim")}

# Every architecture with the features that could go wrong: grouped queries, sliding windows,
# query-key norms, soft caps, fused projections, learned positions, logits scaled after the head.
ARCHITECTURES = {
    "llama": lambda: tr.LlamaConfig(**TINY),
    "mistral-sliding": lambda: tr.MistralConfig(**TINY, sliding_window=7),
    "qwen2": lambda: tr.Qwen2Config(**TINY),
    "qwen3": lambda: tr.Qwen3Config(**TINY),
    "gemma2": lambda: tr.Gemma2Config(**TINY, sliding_window=7, query_pre_attn_scalar=12),
    "gemma3": lambda: tr.Gemma3TextConfig(**TINY, sliding_window=7, query_pre_attn_scalar=12),
    "gpt2": lambda: tr.GPT2Config(
        vocab_size=320, n_positions=128, n_embd=48, n_layer=3, n_head=4, bos_token_id=0,
        eos_token_id=1,
    ),
    "gpt-neox": lambda: tr.GPTNeoXConfig(**PLAIN),
    "olmo2": lambda: tr.Olmo2Config(**TINY),
    "phi": lambda: tr.PhiConfig(**PLAIN, num_key_value_heads=2),
    "phi3": lambda: tr.Phi3Config(**PLAIN, num_key_value_heads=2),
    "granite": lambda: tr.GraniteConfig(**TINY, logits_scaling=3.0, attention_multiplier=0.2),
    "cohere": lambda: tr.CohereConfig(**PLAIN, num_key_value_heads=2, logit_scale=0.3),
    "stablelm": lambda: tr.StableLmConfig(
        **PLAIN, num_key_value_heads=2, partial_rotary_factor=0.5
    ),
    "opt": lambda: tr.OPTConfig(
        vocab_size=320, hidden_size=48, ffn_dim=64, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=128, word_embed_proj_dim=48, bos_token_id=0, eos_token_id=1,
        pad_token_id=2,
    ),
}  # fmt: skip

# Of four layers the two in the middle have attention heads.
HYBRIDS = {
    "lfm2": lambda: tr.Lfm2Config(
        **{name: setting for name, setting in TINY.items() if name != "head_dim"}
        | {"num_hidden_layers": 4},
        layer_types=["conv", "full_attention", "full_attention", "conv"],
    ),
}

# Those that `make test` runs: grouped queries; sliding windows, norms and soft caps; learned
# positions and Conv1D; fused projections. The others are for `make test-slow`.
COMMON = ("llama", "gemma2", "gpt2", "phi3")
EVERY_ARCHITECTURE = [
    name if name in COMMON else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES
]


def make_tokenizer(bos: bool = False) -> tr.PreTrainedTokenizerFast:
    """One token a byte (ids 64 to 319), so that every text can be read; BOS in front if asked."""
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0, "</s>": 1, "<pad>": 2}
    vocabulary |= {f"<unused{i}>": i for i in range(3, 64)}
    vocabulary |= {symbol: 64 + i for i, symbol in enumerate(symbols)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    if bos:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    return tr.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def make_hf(name: str, kernel: str | None = None, seed: int = 0) -> tr.PreTrainedModel:
    """A random-weight model in float32 whose attention patterns are far from uniform."""
    torch.manual_seed(seed)
    config = (ARCHITECTURES | HYBRIDS)[name]()
    kind = {"attn_implementation": kernel} if kernel else {}
    hf = tr.AutoModelForCausalLM.from_config(config, dtype=torch.float32, **kind).eval()
    with torch.no_grad():
        for parameter in hf.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.25)
    return hf


def make_model(name: str = "llama", *, bos: bool = False, seed: int = 0) -> wb.Model:
    return wb.from_transformers(make_hf(name, seed=seed), make_tokenizer(bos))


def with_means(model: wb.Model) -> wb.Model:
    """The model, which knows the means of mode "mean" from a text instead of the corpus."""
    means = wb.head_means(model, ["a small reference text"])
    model.cache.kept("default means", lambda: means, state=state_of(model))
    return model
