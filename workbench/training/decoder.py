"""Small decoders to train from scratch, and tokenizers of a size that suits them.

The vocabulary of a large model would be most of a small decoder's weights and of its work, so a
tokenizer is trained on the corpus at hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

END = "<|end|>"  # stands between documents


@dataclass(frozen=True)
class Decoder:
    """The shape of a Llama-like decoder: rotary positions, RMS norm, SwiGLU.

    Input and output embeddings are apart: with tied ones, decoders as small as these learn to copy
    many times more slowly (tried on lookup text).

    Attributes:
        layers: number of layers.
        width: size of the hidden states, an even multiple of heads.
        heads: query heads of a layer, a multiple of kv_heads.
        kv_heads: key-value heads of a layer; None: as many as heads.
        context: tokens in one training row, 2 or more.

    Raises:
        ValueError: a size is out of its range, or no multiple of what it has to be one of.
    """

    layers: int = 4
    width: int = 128
    heads: int = 4
    kv_heads: int | None = None
    context: int = 256

    def __post_init__(self) -> None:
        kv_heads = self.kv_heads or self.heads
        if min(self.layers, self.width, self.heads, kv_heads) < 1 or self.context < 2:
            raise ValueError(f"a decoder's sizes are positive, its context 2 or more; got {self}")
        if self.width % (2 * self.heads) or self.heads % kv_heads:
            raise ValueError(
                f"width ({self.width}) must be an even multiple of heads ({self.heads}), and heads "
                f"a multiple of kv_heads ({kv_heads})"
            )

    def build(self, tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> LlamaForCausalLM:
        """A decoder with random weights.

        Args:
            tokenizer: whose vocabulary the decoder gets.
            seed: the same seed gives the same weights.

        Returns:
            The untrained model.
        """
        config = LlamaConfig(
            vocab_size=max(tokenizer.get_vocab().values()) + 1, hidden_size=self.width,
            num_hidden_layers=self.layers,
            intermediate_size=-(-8 * self.width // 3 // 16) * 16, num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads or self.heads, tie_word_embeddings=False,
            max_position_embeddings=self.context, initializer_range=0.02,
            bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return LlamaForCausalLM(config)


def train_tokenizer(texts: Iterable[str], size: int = 2048) -> PreTrainedTokenizerFast:
    """A byte-level BPE, learnt from texts; it can spell every text.

    Args:
        texts: what to learn from.
        size: tokens in the vocabulary.

    Returns:
        The tokenizer, with an end token.

    Raises:
        ValueError: `size` cannot hold every byte and the end of a document.
        TypeError: `texts` is a single text.
    """
    if isinstance(texts, str):
        raise TypeError("train_tokenizer needs a list of texts, got one text: pass [text]")
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if size < len(alphabet) + 1:
        raise ValueError(f"a byte-level vocabulary has {len(alphabet) + 1} tokens or more: {size}")
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size, special_tokens=[END], initial_alphabet=sorted(alphabet),
            show_progress=False,
        ),
    )  # fmt: skip
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END)
