"""The score over tokens that the document has not spelled out before."""

from __future__ import annotations

import numpy as np
import pytest
from support.models import make_model

import workbench as wb
from workbench.scoring.novelty import novel_tokens
from workbench.selection.ranking import SCORE_COLUMNS


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
    documents = [one for one in wb.read_corpus([{"text": text, "domain": "a"} for text in texts])]
    found = wb.novel_scores(model, heads, documents, context=2, window=window)
    plain = wb.score_documents(model, heads, documents, window=window)
    np.testing.assert_allclose(found["score"], [one["score"] for one in plain], rtol=1e-5)
    for column in SCORE_COLUMNS:  # a score table like any other, which can be ranked and cut
        if column not in ("loss_base", "loss_ref", "score"):
            assert found[column].tolist() == [one[column] for one in plain]
    assert len(wb.select(found).chosen) == 1
    losses = wb.token_losses(model, texts, [None, heads], window=window)
    for row, text, (base, ref) in zip(found.itertuples(), texts, losses, strict=True):
        ids = model.encode(text)
        novel, room = plainly_novel(ids, 2), (window or model.context) - len(model.bos_ids)
        place, before, after = 0, [], []
        for i in range(len(ids)):
            if i % room == 0 and not bos:
                continue
            if novel[i]:
                before.append(base[place])
                after.append(ref[place])
            place += 1
        assert place == len(base) == row.predicted
        assert row.predicted_novel == len(before)
        assert row.loss_base_novel == pytest.approx(np.mean(before), rel=1e-5)
        assert row.novel == pytest.approx(np.mean(after) / np.mean(before) - 1, rel=1e-3, abs=1e-6)


def test_context_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 token"):
        novel_tokens([1, 2], 0)
