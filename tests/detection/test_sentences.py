"""Sentences for probes: English as before, and every other script by the rules of Unicode."""

# ruff: noqa: RUF001 (what looks like an ASCII letter or sign is none, and that is the matter here)
from __future__ import annotations

import hashlib
import itertools
import json

import pytest
from detection.test_retrieval import PROSE, parsed, text_model

import workbench as wb
from workbench.detection.probe_controls import shortened, shuffled_keys
from workbench.detection.sentences import english, rules, sentences, unicode

# Text, and the sentences in it: too short ones, quotations, and what has a decimal point (which
# ends no sentence, and is no sign of plain prose) are left out.
LANGUAGES = {
    "Chinese": (
        "春天来了，公园里的花都开了。孩子们在草地上奔跑！你今天吃过早饭没有？"
        "一斤苹果是3.14元钱。好。",
        ["春天来了，公园里的花都开了", "孩子们在草地上奔跑", "你今天吃过早饭没有"],
    ),
    "Japanese": (
        "昨日は友達と映画を見に行きました。駅前の喫茶店でコーヒーを飲んだ。はい。",
        ["昨日は友達と映画を見に行きました", "駅前の喫茶店でコーヒーを飲んだ"],
    ),
    "Thai": (
        "เมื่อวานนี้ฉันไปตลาดกับแม่\nเราซื้อผลไม้และผักสดหลายอย่าง\n\nอากาศร้อนมากในเดือนเมษายน",
        ["เมื่อวานนี้ฉันไปตลาดกับแม่", "เราซื้อผลไม้และผักสดหลายอย่าง", "อากาศร้อนมากในเดือนเมษายน"],
    ),
    "Arabic": (
        "ذهبت إلى السوق مع أمي أمس. هل تعرف أين تقع المكتبة الجديدة؟ نعم.",
        ["ذهبت إلى السوق مع أمي أمس", "هل تعرف أين تقع المكتبة الجديدة"],
    ),
    "Urdu": (
        "میں کل اپنے دوست کے گھر گیا۔ وہ بہت خوش ہوا اور ہم نے چائے پی۔",
        ["میں کل اپنے دوست کے گھر گیا", "وہ بہت خوش ہوا اور ہم نے چائے پی"],
    ),
    "Hindi": (
        "कल मैं अपने दोस्त के घर गया था। वहाँ हमने साथ में खाना खाया। आओ।",
        ["कल मैं अपने दोस्त के घर गया था", "वहाँ हमने साथ में खाना खाया"],
    ),
    "Khmer": (
        "ខ្ញុំបានទៅផ្សារជាមួយម្តាយ។ យើងបានទិញផ្លែឈើ។",
        ["ខ្ញុំបានទៅផ្សារជាមួយម្តាយ", "យើងបានទិញផ្លែឈើ"],
    ),
    "Amharic": ("ትናንት ከጓደኛዬ ጋር ወደ ገበያ ሄድኩ። አዎ።", ["ትናንት ከጓደኛዬ ጋር ወደ ገበያ ሄድኩ"]),
    "Korean": (
        "어제 친구와 함께 영화를 보러 갔습니다. 네.",
        ["어제 친구와 함께 영화를 보러 갔습니다"],
    ),
    "Russian, wrapped": (
        "Там было\nочень много людей и детей. Билет стоил всем 3.5 рубля сегодня.",
        ["Там было очень много людей и детей"],
    ),
    "Greek": ("Χθες πήγαμε μαζί στο μεγάλο πάρκο. Πώς;", ["Χθες πήγαμε μαζί στο μεγάλο πάρκο"]),
    "French": (
        "L'été dernier, nous sommes allés à la mer. « Élise a dit \"oui\" à tous ses amis. »",
        ["L'été dernier, nous sommes allés à la mer"],
    ),
}  # fmt: skip

WHO = ["小明", "老师", "妈妈", "弟弟", "朋友"]
WHAT = ["昨天买了", "今天吃了", "明天要卖", "喜欢看那"]
CHINESE = [f"{a}{b}{c}。" for a in WHO for b in WHAT for c in ("苹果树", "红灯笼", "旧书包")]
ENGLISH_AMONG = "".join(CHINESE * 2) + " ".join(PROSE[:3])


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_end_where_unicode_says(language):
    text, expected = LANGUAGES[language]
    read = sentences([text], unicode, lambda sentence: True)
    assert read == expected
    assert sentences([text], english, lambda sentence: True) == []


def test_a_sentence_that_is_too_long_gives_its_clauses():
    text = "春天来了我们都很高兴，公园里的花都开了，真好。"
    assert sentences([text], unicode, lambda sentence: len(sentence) < 12) == [
        "春天来了我们都很高兴", "公园里的花都开了",
    ]  # fmt: skip
    spaced = "เมื่อวานนี้ฉันไปตลาดกับแม่ เราซื้อผลไม้และผักสดหลายอย่าง"
    assert sentences([spaced], unicode, lambda sentence: len(sentence) < 40) == spaced.split()


def test_what_json_would_escape_and_controls_never_come_out():
    hostile = (
        '他说"我们明天早上去北京"。C:\\目录里有很多很多文件。'
        "控制\x00字符藏在句子的中间。{他们在花括号里面说话}。"
    )
    read = sentences([hostile], unicode, lambda sentence: True)
    assert not set("".join(read)) & set('"\\\0{}')
    assert read == [
        sentence for sentence in read if json.dumps(sentence, ensure_ascii=False)[1:-1] == sentence
    ]


@pytest.mark.parametrize("filler", [".", '."', " ", "\n ", "。", "-", "（", "字、", "x\n", "a."])
def test_long_runs_of_anything_are_read_in_one_go(filler):
    """200,000 characters; a rule that looks at a run from each of its places never comes back."""
    text = filler * (200_000 // len(filler)) + "x"
    assert all(len(sentence) < 200_002 for choices in unicode(text) for sentence in choices)


def test_mostly_english_text_keeps_its_rule_and_other_text_does_not():
    assert rules(["Plain prose, café."])[0] is english
    assert rules([ENGLISH_AMONG]) == [unicode]
    assert rules([""])[0] is english


# ---- probes -----------------------------------------------------------------------------------


def test_probes_from_english_are_what_they_were():
    """The digest of the token ids that these texts gave before there was a second rule."""
    probes = wb.make_probes(text_model(), n=4, max_tokens=1500, seed=3, texts=PROSE)
    digest = hashlib.sha256(json.dumps([probe.ids for probe in probes]).encode()).hexdigest()
    assert digest == "19fcea09caa4999f35fd64983efde3c39d3ed0442e5649049cbbdb054afe73de"
    # Text in other scripts beside it does not change them while most of it is English.
    beside = wb.make_probes(
        text_model(), n=4, max_tokens=1500, seed=3, texts=[*PROSE, *CHINESE[:20]]
    )
    assert beside == probes


@pytest.mark.parametrize("texts", [CHINESE, ["".join(CHINESE)], [ENGLISH_AMONG]])
def test_probes_from_chinese_can_be_read_back(texts):
    model = text_model()
    probes = wb.make_probes(model, n=2, max_tokens=1500, seed=0, texts=texts)
    for probe in probes:
        lookup, shots, (key, answer) = parsed(model, probe)
        assert lookup[key] == answer
        assert all(lookup[name] == value for name, value in shots)
        known = {sentence.rstrip("。.") for sentence in itertools.chain(CHINESE, PROSE)}
        assert set(lookup.values()) <= known
        assert any(sentence[0] > "\u4e00" for sentence in lookup.values())
        spans = [probe.ids[slice(*span)] for span in (probe.value, probe.answer)]
        assert [model.tokenizer.decode(span) for span in spans] == [answer, answer]
    assert len(shuffled_keys(model, probes, seed=1)) == 2
    assert len(shortened(model, probes, 900)) == 2


def test_few_english_sentences_are_filled_up_from_the_others():
    """Mostly French: the narrower rule finds too little, which was an error."""
    french = [sentence.replace("The", "Là").replace("saw a", "à vu") for sentence in PROSE]
    probes = wb.make_probes(
        text_model(), n=1, max_tokens=1500, seed=0, texts=[*PROSE[:11], *french]
    )
    values = parsed(text_model(), probes[0])[0].values()
    assert any(sentence.startswith("Là") for sentence in values)
    with pytest.raises(ValueError, match="8 letters where words do not stand apart"):
        wb.make_probes(text_model(), n=1, max_tokens=1500, texts=["好。不好。"])


def test_probes_do_not_read_the_weights(monkeypatch):
    model = text_model()
    monkeypatch.setattr(
        type(model), "identity", property(lambda self: pytest.fail("the weights were hashed"))
    )
    probes = wb.make_probes(model, n=1, max_tokens=1000, texts=PROSE)
    assert wb.retrieval_scores(model, probes, bootstrap=2).frame["score"].notna().all()
    words = wb.from_transformers(model.hf, wb.lookup_tokenizer())
    assert len(wb.lookup_probes(words, 2)) == 2
    other = wb.from_transformers(model.hf, wb.train_tokenizer(PROSE, 300))
    other.context = 4096
    with pytest.raises(ValueError, match="another tokenizer"):
        wb.retrieval_scores(other, probes)
