"""Text to tokens: what stands before a text, and that a text is nothing but text."""

from __future__ import annotations

import pytest
import transformers as tr
from support.models import TINY, make_hf, make_model, make_tokenizer
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

import workbench as wb
from workbench.masking.token_changes import pieces_of
from workbench.models.identity import tokenizer_sha256
from workbench.models.tokenization import special_prefix_of

BASES = {"<s>": 0, "</s>": 1, "<pad>": 2, "A": 3, "C": 4, "G": 5, "T": 6}


def wrapped(inner, single="<s> $A", **named):
    inner.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return tr.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>", **named
    )


def of_letters(single="<s> $A"):
    return wrapped(Tokenizer(models.BPE(vocab=BASES, merges=[])), single)


def of_words():
    """Raises for a word that it does not know, since there is no token for one."""
    inner = Tokenizer(models.WordLevel(vocab=BASES))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return wrapped(inner)


def whose_unknown_is_its_bos():
    """As GPT-2 has it: one token for beginning, end and what is not known."""
    inner = Tokenizer(models.BPE(vocab=BASES, merges=[], unk_token="<s>"))
    return wrapped(inner, unk_token="<s>")


@pytest.mark.parametrize("make", [of_letters, of_words, whose_unknown_is_its_bos])
def test_bos_is_found_where_the_tokenizer_knows_no_lower_case_letter(make):
    assert special_prefix_of(make()) == [0]


@pytest.mark.parametrize(
    ("single", "prefix"),
    [("$A", []), ("$A </s>", []), ("<s> $A", [0]), ("<s> $A </s>", [0]), ("<s> <s> $A", [0, 0])],
)
def test_what_is_put_before_counts_and_what_is_put_behind_does_not(single, prefix):
    assert special_prefix_of(of_letters(single)) == prefix
    hf = make_hf("llama")
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    model = wb.from_transformers(hf, tokenizer)
    assert model.bos_ids == prefix
    assert len(wb.token_losses(model, ["abcd"])[0][0]) == (4 if prefix else 3)


def test_a_tokenizer_of_which_it_cannot_be_told_is_an_error():
    inner = Tokenizer(models.BPE(vocab={"<s>": 0, "</s>": 1, "<pad>": 2}, merges=[]))
    with pytest.raises(ValueError, match="3 tokens, 3 of them special, none reads back"):
        special_prefix_of(wrapped(inner))
    assert special_prefix_of(wrapped(Tokenizer(inner.model), "$A")) == []


def test_bases_with_bos_have_a_loss_each():
    hf = make_hf("llama")
    model = wb.from_transformers(hf, of_letters())
    assert len(wb.token_losses(model, ["ACGTACGT"])[0][0]) == 8


def test_stored_truncation_and_padding_change_no_text_and_no_identity(tmp_path):
    tokenizer = make_tokenizer(bos=True)
    plain = tokenizer_sha256(tokenizer)
    tokenizer.backend_tokenizer.enable_truncation(16)
    tokenizer.backend_tokenizer.enable_padding(length=64, pad_id=2, pad_token="<pad>")
    tokenizer.save_pretrained(tmp_path)
    make_hf("llama").save_pretrained(tmp_path)
    model = wb.load_model(tmp_path, certify=False)
    text = "forty letters and more are in this text, truly"
    assert tokenizer_sha256(model.tokenizer) == plain
    assert len(model.encode(text)) == len(text)
    assert 2 not in model.encode(text)
    assert model.bos_ids == [0]
    model.tokenizer(text, truncation=True, max_length=4, padding="max_length")
    assert tokenizer_sha256(model.tokenizer) == plain
    assert len(model.encode(text)) == len(text)


def test_control_tokens_that_a_text_spells_out_are_text():
    model = make_model(bos=True)
    text = "before <s> and </s> after <pad>"
    ids = model.encode(text)
    assert not {0, 1, 2}.intersection(ids)
    assert "".join(pieces_of(model, text, ids)) == text
    model.tokenizer("x <s>")  # another caller in between
    assert model.encode(text) == ids


def test_a_byte_tokenizer_without_a_fast_backend_scores_and_probes_say_why_not():
    hf = tr.AutoModelForCausalLM.from_config(tr.LlamaConfig(**TINY | {"vocab_size": 400}))
    model = wb.from_transformers(hf.eval(), tr.ByT5Tokenizer())
    assert model.bos_ids == []
    assert 0 not in model.encode("a <pad> b")
    heads = wb.HeadSet.of([(1, 1)], model)
    table = wb.score_corpus(model, heads, [{"id": "a", "text": "zwölf Boxkämpfer 日本 <pad> 🙂"}])
    assert len(table) == 1
    with pytest.raises(ValueError, match="fast tokenizer"):
        wb.make_probes(model, 2, 128)


def test_a_model_of_four_bases_is_tried_out_and_scored():
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "<s>": 2, "</s>": 3, "a": 4, "c": 5, "g": 6, "t": 7}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    tokenizer = tr.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="[PAD]",
        unk_token="[UNK]",
    )  # fmt: skip
    hf = make_hf("llama")
    hf.resize_token_embeddings(8)
    model = wb.from_transformers(hf, tokenizer)
    assert model.bos_ids == [2]
    certificate = wb.certify(model)
    assert certificate.ok, certificate
    assert all(isinstance(check.measured, float) for check in certificate.checks[1:])
    rows = [{"id": str(i), "text": ("acgt" * 9)[i:]} for i in range(4)]
    assert len(wb.score_corpus(model, wb.HeadSet.of([(1, 1)], model), rows)) == 4


# ---- many texts in one call, with tokenizers of many kinds -------------------------------------

TRAINED_ON = [
    "the river and the stone and the lamp it's 2024 they're NaN e\u0301t\u00e9 Stra\u00dfe ",
    "  \n\n\tdef f(x):\n    return x  # aaaa bbbb aaaaaaa 河石灯 12345.678 \u2028",
] * 20
PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+"
Split = pre_tokenizers.Split


class UnigramTrainer:
    """One that has a token for what it does not know."""

    def __new__(cls, **options):
        return trainers.UnigramTrainer(unk_token="[UNK]", **options)


def byte_level(regex=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)


def made(pre, normalizer=None, model=None, trainer=trainers.BpeTrainer, added=()):
    inner = Tokenizer(model or models.BPE())
    inner.pre_tokenizer, inner.decoder = pre, decoders.ByteLevel()
    if normalizer is not None:
        inner.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options = {"initial_alphabet": alphabet} if trainer is trainers.BpeTrainer else {}
    inner.train_from_iterator(
        TRAINED_ON, trainer(vocab_size=500, special_tokens=["<s>", "[UNK]"], **options)
    )
    inner.add_tokens(list(added))
    return tr.PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", unk_token="[UNK]")


KINDS = {
    "GPT-2": made(byte_level(True)),
    "digits before": made(pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level(True)])),
    "prefixed": made(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "pattern": made(
        pre_tokenizers.Sequence([Split(Regex(PATTERN), "isolated"), byte_level()]),
        normalizers.NFC(),
    ),
    "BERT": made(
        pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(),
        models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer,
    ),
    "NFKC": made(pre_tokenizers.Whitespace(), normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase()])),
    "added": made(byte_level(True), added=[
        AddedToken("stone", lstrip=True, rstrip=True), AddedToken("lamp", single_word=True), "  ",
    ]),
    "no pre-tokenizer": made(byte_level()),
    "unknown pattern": made(
        pre_tokenizers.Sequence([Split(Regex(r"\w+ \w+|\s|."), "isolated"), byte_level()])
    ),
    "behind the bytes": made(
        pre_tokenizers.Sequence([byte_level(), Split(Regex(PATTERN), "isolated")])
    ),
    "inverted": made(
        pre_tokenizers.Sequence(
            [Split(Regex(PATTERN), "merged_with_next", invert=True), byte_level()]
        )
    ),
    "strip": made(byte_level(True), normalizers.Strip()),
    "a token of two words": made(byte_level(True), added=["the stone"]),
    "unigram": made(
        pre_tokenizers.Metaspace(), None, models.Unigram(), UnigramTrainer
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_texts_are_tokenized_together_as_they_are_alone(name, monkeypatch):
    model = make_model()
    model.tokenizer = KINDS[name]
    texts = ["", "a", *TRAINED_ON[:2], "x" * 500, "<s> the river", "last"]
    alone = [model.encode(text) for text in texts]
    for most in (1, 300, 1 << 18):
        monkeypatch.setattr("workbench.models.model.BATCH_CHARACTERS", most)
        assert list(model.encode_all(texts)) == alone
    assert list(model.encode_all([])) == []
