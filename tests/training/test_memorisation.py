"""The audit of memorisation: told apart by how often they were seen, and by nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import workbench as wb
from workbench.training.lookup_corpus import WORDS
from workbench.training.memorisation import MemorisationAudit, _asked

TOKENIZER = wb.lookup_tokenizer()


def made_up(name, n, length, seed):
    """Documents of words drawn at random, which nothing but memory can predict."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, length)) for _ in range(n)]
    return [wb.Document(f"{name}{i}", text, "made up", name, i) for i, text in enumerate(texts)]


def audit(documents=200, passages=24, length=12, steps=12, **more):
    recipe = wb.Recipe(wb.Decoder(1, 32, 2, context=32), steps=steps, batch=4)
    options = {"copies": (0, 1, 4), "tokenizer": TOKENIZER} | more
    given = options.pop("given", None) or made_up("p", passages, length, 1)
    return wb.memorisation_audit(made_up("c", documents, 24, 2), recipe, passages=given, **options)


@pytest.mark.slow
def test_what_is_seen_often_is_learnt_by_heart_and_less_so_in_a_larger_corpus():
    """Hubble in small: AUC .5 without a copy, rising to 1, lower in four times the text."""
    recipe = wb.Recipe(wb.Decoder(2, 64, 4, context=64), steps=930, batch=16)
    found = wb.memorisation_audit(
        made_up("c", 16_000, 48, 2), recipe, tokenizer=TOKENIZER, each=25, parts=(0.25, 1.0),
        passages=made_up("p", 325, 16, 1),
    )  # fmt: skip
    table = found.by_copies().set_index(["part", "copies"])
    for part in (0.25, 1.0):
        auc = table.loc[part, "auc"]
        assert abs(auc[0] - 0.5) <= 0.1
        assert auc[[0, 1, 4]].mean() < auc[16] < auc[64] <= auc[256]
        assert auc[256] >= 0.95
        assert table.loc[(part, 256), "verbatim"] > 0.7
        assert table.loc[(part, 0), "verbatim"] < 0.1
    dense, diluted = (table.loc[part, "auc"] for part in (0.25, 1.0))
    assert diluted[16] < dense[16]
    assert diluted[[4, 16, 64]].mean() < dense[[4, 16, 64]].mean()
    losses = table["loss"]
    assert losses[1.0, 64] > losses[0.25, 64] + 0.2  # in nats the difference is plain


def test_groups_are_drawn_and_inserted_as_often_as_they_say():
    found = audit()
    counts = found.passages["copies"].value_counts().to_dict()
    assert counts == {1: 6, 4: 6, 0: 6, -1: 6}
    # 200 documents of 25 tokens and 6 + 24 passages of 13; 12 steps of 128 tokens.
    epochs = 12 * 128 / (200 * 25 + 30 * 13)
    seen = found.passages.groupby("copies")["seen"].first()
    assert seen.to_dict() == pytest.approx({-1: 0, 0: 0, 1: epochs, 4: 4 * epochs})
    other = audit(seed=1)
    assert (other.passages["copies"] != found.passages["copies"]).any()
    assert "auc" in repr(found)


@pytest.mark.parametrize("order", ["first half", "second half"])
def test_the_order_decides_which_half_holds_the_passages(order):
    found = audit(order=order)
    epochs = 6 * 128 / (100 * 25 + 30 * 13)
    assert found.passages["seen"].max() == pytest.approx(4 * epochs)


def test_loss_and_verbatim_are_those_of_greedy_decoding():
    passages = made_up("p", 24, 12, 1)
    often = [wb.Document("often", passages[0].text, "made up", "o", 0)]
    recipe = wb.Recipe(wb.Decoder(1, 32, 2, context=32), steps=120, batch=4, learning_rate=1e-2)
    model = wb.pretrain(
        often + passages[1:4], recipe, tokenizer=TOKENIZER, weights=[40, 1, 1, 1]
    ).model
    for passage in (*often, *passages[1:6]):
        ids = np.array(TOKENIZER(passage.text)["input_ids"])
        loss, verbatim = _asked(model, ids, TOKENIZER)
        row = [TOKENIZER.eos_token_id, *ids]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row])).logits[0].double()
        table = torch.log_softmax(logits, dim=-1)
        expected = -np.mean([float(table[t, row[t + 1]]) for t in range(len(ids))])
        assert loss == pytest.approx(expected, rel=1e-5)
        half = len(ids) // 2
        grown = row[: half + 1]
        for _ in range(len(ids) - half):  # one greedy token after the other, without a cache
            with torch.no_grad():
                grown.append(int(model(input_ids=torch.tensor([grown])).logits[0, -1].argmax()))
        wrong = [a != b for a, b in zip(grown[half + 1 :], ids[half:], strict=True)]
        right = wrong.index(True) if True in wrong else len(wrong)
        assert verbatim == pytest.approx(right / len(wrong))
    assert _asked(model, np.array(TOKENIZER(often[0].text)["input_ids"]), TOKENIZER)[1] == 1


def test_the_auc_is_the_share_of_pairs():
    rows = [(1.0, -1, x) for x in (1.0, 2.0, 3.0)] + [(1.0, 0, x) for x in (0.5, 2.5)]
    table = pd.DataFrame(rows, columns=["part", "copies", "loss"])
    table = table.assign(seen=0.0, doc_id="d", verbatim=[0, 0, 0, 1, 0.5])
    (row,) = MemorisationAudit(table, {}).by_copies(draws=50).to_dict("records")
    assert row["auc"] == pytest.approx((3 + 1) / 6)
    assert (row["verbatim"], row["whole"], row["passages"]) == (0.75, 0.5, 2)
    assert 0 <= row["low"] <= row["auc"] <= row["high"] <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"copies": (-1, 2)}, "numbers from 0"),
        ({"order": "last"}, "order is 'mixed'"),
        ({"parts": (0.0,)}, r"in \(0, 1\]"),
        ({"passages": 7}, "7 passages are too few for 1 of each"),
        ({"each": 11}, "24 passages are too few for 11 of each"),
        ({"length": 40}, "from 3 to 31 tokens"),
        ({"given": made_up("c", 24, 24, 2)}, "24 passages stand in the corpus"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        audit(**change)
