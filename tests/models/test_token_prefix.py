"""The first tokens of a part of a text are the first tokens of the whole; batches are singles."""

from __future__ import annotations

import pytest
import transformers as tr
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import make_model
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

import workbench as wb
from workbench.models import token_prefix
from workbench.models.token_prefix import cuttable, encode_start

TRAINED_ON = [
    "the river and the stone and the lamp it's 2024 they're NaN e\u0301t\u00e9 Stra\u00dfe ",
    "  \n\n\tdef f(x):\n    return x  # aaaa bbbb aaaaaaa 河石灯 12345.678 \u2028",
] * 20
PATTERNS = sorted(token_prefix._PATTERNS)
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


CUTTABLE = {
    "GPT-2": made(byte_level(True)),
    "digits before": made(pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level(True)])),
    "prefixed": made(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    **{
        f"pattern {i}": made(
            pre_tokenizers.Sequence([Split(Regex(pattern), "isolated"), byte_level()]),
            normalizers.NFC(),
        )
        for i, pattern in enumerate(PATTERNS)
    },
    "BERT": made(
        pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(),
        models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer,
    ),
    "NFKC": made(pre_tokenizers.Whitespace(), normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase()])),
    "added": made(byte_level(True), added=[
        AddedToken("stone", lstrip=True, rstrip=True), AddedToken("lamp", single_word=True), "  ",
    ]),
}  # fmt: skip
OTHERS = {
    "no pre-tokenizer": made(byte_level()),
    "unknown pattern": made(
        pre_tokenizers.Sequence([Split(Regex(r"\w+ \w+|\s|."), "isolated"), byte_level()])
    ),
    "behind the bytes": made(
        pre_tokenizers.Sequence([byte_level(), Split(Regex(PATTERNS[0]), "isolated")])
    ),
    "inverted": made(
        pre_tokenizers.Sequence(
            [Split(Regex(PATTERNS[0]), "merged_with_next", invert=True), byte_level()]
        )
    ),
    "strip": made(byte_level(True), normalizers.Strip()),
    "a token of two words": made(byte_level(True), added=["the stone"]),
    "unigram": made(
        pre_tokenizers.Metaspace(), None, models.Unigram(), UnigramTrainer
    ),
    "chance": made(byte_level(True), model=models.BPE(dropout=0.5)),
}  # fmt: skip
PIECES = st.sampled_from(
    ["the", "river", "stone", "it's", " ", "  ", "\n", "\t", " x", "x ", "'", "'s", "12", "é",
     "e\u0301", "\u0301", "ß", "İ", "Σ", "\u03c3", "河", "\u2028", "\xa0", "<s>", ".", "##", "lamp",
     "\U0001f468\u200d\U0001f469", "\x00", "a" * 30, " the stone"]
)  # fmt: skip


def model_of(tokenizer):
    model = make_model()
    model.tokenizer = tokenizer
    return model


@pytest.mark.parametrize("name", CUTTABLE)
def test_a_part_of_the_text_gives_the_tokens_of_the_whole(name):
    """Cut at every place that is taken for safe, in texts that mean harm."""
    model = model_of(CUTTABLE[name])
    assert cuttable(model.tokenizer)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(PIECES | st.text(max_size=3), max_size=25).map("".join))
    def check(text):
        whole = model.encode(text)
        for cut in token_prefix._CUT.finditer(text):
            part = model.encode(text[: cut.end()])
            assert part == whole[: len(part)]
        for most in (0, 1, 5, len(whole), len(whole) + 1):
            assert encode_start(model, text, most) == whole[:most]

    check()


@pytest.mark.parametrize("name", OTHERS)
def test_other_tokenizers_read_the_whole_text(name, monkeypatch):
    model = model_of(OTHERS[name])
    assert not cuttable(model.tokenizer)
    text = "the stone and the lamp " * 60
    read = []
    monkeypatch.setattr(
        type(model), "encode", lambda self, part: read.append(part) or [7] * len(part)
    )
    assert encode_start(model, text, 3) == [7, 7, 7]
    assert read == [text]


def test_a_class_of_another_package_reads_the_whole_text():
    class Own(tr.PreTrainedTokenizerFast):
        pass

    own = Own(tokenizer_object=CUTTABLE["GPT-2"].backend_tokenizer)
    assert not cuttable(own)
    assert cuttable(CUTTABLE["GPT-2"])


def test_a_long_text_is_not_read_to_its_end(monkeypatch):
    model = model_of(CUTTABLE["GPT-2"])
    text = "the stone and the lamp " * 100_000
    expected = model.encode(text)[:64]
    encode, read = type(model).encode, []
    monkeypatch.setattr(
        type(model), "encode", lambda self, part: read.append(part) or encode(self, part)
    )
    assert encode_start(model, text, 64) == expected
    assert sum(map(len, read)) < 2000
    del read[:]
    assert encode_start(model, "x" * 5000, 64) == encode(model, "x" * 5000)[:64]
    assert read == ["x" * 5000]  # there is no place to cut


def test_losses_of_the_beginning_are_those_of_the_text_that_was_cut(tiny):
    text = "the stone and the lamp " * 200
    beginning = tiny.tokenizer.decode(tiny.encode(text)[:40])
    ((cut,),) = wb.token_losses(tiny, [text], max_tokens=40)
    ((plain,),) = wb.token_losses(tiny, [beginning])
    assert cut.tolist() == pytest.approx(plain.tolist())


@pytest.mark.parametrize("name", [*CUTTABLE, *(name for name in OTHERS if name != "chance")])
def test_texts_are_tokenized_together_as_they_are_alone(name, monkeypatch):
    model = model_of({**CUTTABLE, **OTHERS}[name])
    texts = ["", "a", *TRAINED_ON[:2], "x" * 500, "<s> the river", "last"]
    alone = [model.encode(text) for text in texts]
    for most in (1, 300, 1 << 18):
        monkeypatch.setattr("workbench.models.model.BATCH_CHARACTERS", most)
        assert list(model.encode_all(texts)) == alone
    assert list(model.encode_all([])) == []
