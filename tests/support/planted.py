"""A small Llama whose weights are set by hand, so that it is known which heads copy.

The residual stream has three slots of 64 numbers and a constant: the code of the present token, the
code of the previous token, and the code of the token to say next. Every token's code is 64 random
signs, so two codes hardly overlap.

- L0H2 looks one position back (by rotary position alone) and writes that token's code into slot 2.
- L1H0 and L1H3 look where the *previous* token was the present one, and write the code of what
  stood there into slot 3, which the vocabulary projection reads. They copy.
- All other heads have random queries; the MLPs are zero.

Two query heads share keys and values, so L1H1 and L1H2 are siblings of the copying heads.
"""

from __future__ import annotations

import torch
import transformers as tr

import workbench as wb
from support.models import make_tokenizer
from workbench.detection.probes import Probe, Probes

COPYING = ((1, 0), (1, 3))
SIZE, HEAD, WIDTH, VOCABULARY = 64, 128, 256, 320
THETA = 1e10
NOW, BEFORE, NEXT, ONE = slice(0, 64), slice(64, 128), slice(128, 192), 192


def planted_model() -> wb.Model:
    config = tr.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=HEAD, max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": THETA}, tie_word_embeddings=False,
        bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    hf = tr.LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 2, (VOCABULARY, SIZE), generator=generator) * 2.0 - 1
    slow = torch.cat([torch.arange(32, 64), torch.arange(96, 128)])  # dims that hardly rotate
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)
        hf.model.embed_tokens.weight[:, NOW] = codes
        hf.model.embed_tokens.weight[:, ONE] = 8.0
        hf.lm_head.weight[:, NEXT] = codes

        first, second = (layer.self_attn for layer in hf.model.layers)
        for attention in (first, second):
            attention.q_proj.weight.normal_(std=0.3, generator=generator)
        angle = THETA ** (-torch.arange(64) / 64)
        at = slice(2 * HEAD, 3 * HEAD)
        first.q_proj.weight[at] = 0
        first.q_proj.weight[at, ONE] = 30 * torch.cat([angle.cos(), -angle.sin()])
        first.k_proj.weight[HEAD : HEAD + 64, ONE] = 1.0
        first.v_proj.weight[HEAD : HEAD + SIZE, NOW] = torch.eye(SIZE)
        first.o_proj.weight[BEFORE, 2 * HEAD : 2 * HEAD + SIZE] = torch.eye(SIZE)

        for _, head in COPYING:
            second.q_proj.weight[head * HEAD : (head + 1) * HEAD] = 0
            second.q_proj.weight[head * HEAD + slow, NOW] = 3 * torch.eye(SIZE)
            second.o_proj.weight[NEXT, head * HEAD : head * HEAD + SIZE] = torch.eye(SIZE)
        for group in range(2):
            second.k_proj.weight[group * HEAD + slow, BEFORE] = torch.eye(SIZE)
            second.v_proj.weight[group * HEAD : group * HEAD + SIZE, NOW] = torch.eye(SIZE)
    return wb.from_transformers(hf, make_tokenizer())


def planted_probes(model: wb.Model, n: int = 12, decoy: bool = False) -> Probes:
    """Lookups over distinct tokens: 12 pairs of one key and five value tokens, then key, answer.

    With `decoy` the stated value span is that of another pair that holds the same tokens, so a copy
    from the true place is a copy from outside the span.
    """
    items = []
    for seed in range(n):
        generator = torch.Generator().manual_seed(seed)
        # The first token has nothing before it, so it is none of the pairs'.
        opening, *tokens = (64 + torch.randperm(256, generator=generator)[:73]).tolist()
        asked = seed % 12
        answer = tokens[asked * 6 + 1 : asked * 6 + 6]
        ids = [opening, *tokens, tokens[asked * 6], *answer]
        value = (asked * 6 + 2, asked * 6 + 7)
        if decoy:
            ids = [opening, *reversed(answer), *ids]
            value = (1, 6)
        items.append(Probe(tuple(ids), (len(ids) - 5, len(ids)), value, 12))
    return Probes(tuple(items), 128, 0, model.identity["tokenizer_sha256"])
