"""The score over tokens that the document has not spelled out before."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np
import pandas as pd
import pytest
from support.models import make_model

import workbench as wb
from workbench.scoring.columns.built_in import TokenLosses
from workbench.scoring.columns.novelty import novel_tokens
from workbench.scoring.influence import DocumentLosses, score_row
from workbench.scoring.schema import SCHEMA


def plainly_novel(ids, context):
    """The definition, looked for anew at each token."""
    found = []
    for i in range(len(ids)):
        before = ids[max(i - context, 0) : i]
        earlier = any(
            list(ids[j - context : j + 1]) == [*before, ids[i]] for j in range(context, i)
        )
        found.append(len(before) < context or not earlier)
    return found


@pytest.mark.parametrize("context", [1, 2, 3])
def test_novel_tokens_are_those_of_the_definition(context):
    rng = np.random.default_rng(0)
    for length in (0, 1, 2, 3, 40, 200):
        ids = rng.integers(0, 5, length).tolist()
        assert novel_tokens(ids, context).tolist() == plainly_novel(ids, context)
    assert novel_tokens([1, 2, 3, 1, 2, 3], 1).tolist() == [True] * 4 + [False] * 2
    assert novel_tokens([1, 2, 3, 1, 2, 3], 2).tolist() == [True] * 5 + [False]


@pytest.mark.parametrize(("bos", "window"), [(False, None), (True, None), (False, 16), (True, 16)])
def test_scores_are_the_means_over_novel_tokens(bos, window):
    model = make_model(bos=bos)
    heads = wb.HeadSet.parse("L1H0 L2H3", model)
    texts = ["some text, some text, and some more text", "abcdefgh", "aaaaaaaaaaaa" * 4]
    documents = [
        document for document in wb.read_corpus([{"text": text, "domain": "a"} for text in texts])
    ]
    found = wb.novel_scores(model, heads, documents, context=2, window=window)
    plain = wb.score_documents(model, heads, documents, window=window)
    np.testing.assert_allclose(found["score"], [row["score"] for row in plain], rtol=1e-5)
    assert list(found) == SCHEMA.names  # a score table like any other, which can be ranked and cut
    for column in SCHEMA.names:
        if not column.startswith(("loss_", "score", "rise", "predicted_novel", "contrast")):
            expected = pd.Series([row[column] for row in plain], dtype=found[column].dtype)
            pd.testing.assert_series_equal(found[column], expected, check_names=False)
    assert len(wb.select(found).chosen) == 1
    losses = wb.token_losses(model, texts, [None, heads], window=window)
    for row, text, (base, ref) in zip(found.itertuples(), texts, losses, strict=True):
        ids = model.encode(text)
        novel, stride = plainly_novel(ids, 2), (window or model.context) - len(model.bos_ids)
        place, before, after = 0, [], []
        for i in range(len(ids)):
            if i % stride == 0 and not bos:
                continue
            if novel[i]:
                before.append(base[place])
                after.append(ref[place])
            place += 1
        assert place == len(base) == row.predicted
        assert row.predicted_novel == len(before)
        assert row.loss_base_novel == pytest.approx(np.mean(before), rel=1e-5)
        assert row.score_novel == pytest.approx(
            np.mean(after) / np.mean(before) - 1, rel=1e-3, abs=1e-6
        )


@pytest.mark.parametrize(("bos", "window"), [(False, None), (True, 16), (False, 16)])
def test_a_row_holds_what_the_plain_formulas_give_bit_for_bit(bos, window):
    model = make_model(bos=bos)
    heads = wb.HeadSet.parse("L1H0 L2H3", model)
    texts = ["some text, some text, and some more text", "abcdefgh", "aaaaaaaaaaaa" * 4, "xy"]
    documents = list(wb.read_corpus([{"text": text, "domain": "a"} for text in texts]))
    table = wb.score_corpus(model, heads, documents, window=window).frame
    losses = wb.token_losses(model, texts, [None, heads], window=window)
    assert len(table) == len(texts)
    for row, text, (base, ref) in zip(table.itertuples(), texts, losses, strict=True):
        before, after = float(base.mean(dtype="float64")), float(ref.mean(dtype="float64"))
        assert (row.predicted, row.loss_base, row.loss_ref) == (len(base), before, after)
        assert (row.score, row.rise) == ((after - before) / before, after - before)
        assert row.tokens == len(model.encode(text))
        assert row.text_sha256 == hashlib.sha256(text.encode()).hexdigest()
        assert row.compression_ratio == len(zlib.compress(text.encode())) / len(text.encode())
        stride = (window or model.context) - len(model.bos_ids)
        novel = plainly_novel(model.encode(text), 1)
        novel = np.array([is_novel for i, is_novel in enumerate(novel) if bos or i % stride])
        before, after = (float(x[novel].mean(dtype="float64")) for x in (base, ref))
        assert row.predicted_novel == novel.sum() > 0
        assert (row.loss_base_novel, row.loss_ref_novel) == (before, after)
        assert row.score_novel == (after - before) / before


def losses_of(document, ids, base, masked, novel):
    """Of a document whose first token has no prediction."""
    predicted, controls = np.arange(len(ids)) > 0, np.zeros((0, len(base)), "float32")
    windows = np.zeros(len(ids), int)
    losses = TokenLosses(np.array(ids), predicted, windows, base, masked, controls)
    return DocumentLosses(document, len(ids), "0:4", losses, np.array(novel))


def test_without_a_novel_token_or_with_none_to_predict_there_is_no_novel_score():
    document = wb.Document("d", "text", "a", "a.jsonl", 0)
    base, ref = np.array([1.0, 2.0], "float32"), np.array([2.0, 4.0], "float32")
    row = score_row(losses_of(document, [1, 1, 1], base, ref, [False, False]))
    assert (row["score"], row["rise"], row["predicted_novel"]) == (1.0, 1.5, 0)
    assert [row[f"{name}_novel"] for name in ("loss_base", "loss_ref", "score")] == [None] * 3
    base = np.array([0.0, 2.0], "float32")
    row = score_row(losses_of(document, [1, 2, 1], base, ref, [True, False]))
    assert (row["predicted_novel"], row["loss_base_novel"], row["loss_ref_novel"]) == (1, 0, 2)
    assert row["score_novel"] is None
    base, ref = np.array([3.0, 2.0], "float32"), np.array([0.0, 4.0], "float32")
    row = score_row(losses_of(document, [1, 2, 1], base, ref, [True, False]))
    assert row["score_novel"] == -1


def test_context_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 token"):
        novel_tokens([1, 2], 0)
