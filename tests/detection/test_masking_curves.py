"""The curve of more and more masked heads: its sets, its numbers one set at a time, its picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from support.models import make_model
from support.planted import COPYING, planted_model, planted_probes

import workbench as wb
from workbench.detection import masking_curves
from workbench.detection.masking_curves import default_sizes, masking_curve
from workbench.masking.reference import plain_losses

TEXTS = ["what is lost?", "x", "as more and more heads are masked " * 4]


@pytest.fixture(scope="module")
def model():
    return planted_model()


@pytest.fixture(scope="module")
def probes(model):
    return planted_probes(model, n=3)


@pytest.fixture(scope="module")
def scores(model, probes):
    return wb.retrieval_scores(model, probes)


@pytest.fixture
def asked(monkeypatch):
    """The head sets of every pass over a probe, in order."""
    sets, really = [], masking_curves.answered

    def answered(model, probe, heads, mode):
        sets.append((probe, list(heads)))
        return really(model, probe, heads, mode)

    monkeypatch.setattr(masking_curves, "answered", answered)
    return sets


def alone(model, probes, heads, mode, max_tokens):
    """Answer loss, accuracy and text loss of one set: plain passes, whole logits."""
    losses, first, prefix = [], [], model.bos_ids
    for probe in probes:
        start, stop = probe.answer
        with wb.masked(model, heads, mode), torch.no_grad():
            logits = model.hf(input_ids=torch.tensor([[*prefix, *probe.ids]])).logits[0]
        table = logits[len(prefix) + start - 1 : len(prefix) + stop - 1].double().log_softmax(-1)
        answer = torch.tensor(probe.ids[start:stop])
        losses.append(-float(table[range(stop - start), answer].mean()))
        first.append(float((table.argmax(-1) == answer).double().mean()))
    ids = [[*prefix, *model.encode(text)[:max_tokens]] for text in TEXTS]
    lost = [plain_losses(model, window, heads, mode) for window in ids]
    return np.mean(losses), np.mean(first), np.concatenate(lost).mean()


@pytest.mark.parametrize(("bos", "mode"), [(False, "uniform"), (True, "zero")])
def test_every_row_is_what_its_set_gives_alone(bos, mode, asked):
    """Random weights: here no two sets do the same."""
    model = make_model(bos=bos)
    probes = planted_probes(model, n=3)
    layer, head = np.divmod(np.random.default_rng(0).permutation(12), 4)
    scores = pd.DataFrame({"layer": layer, "head": head, "score": np.arange(12) / 12})
    sizes = [6, 0, 1, 3, 3]
    table = wb.masking_curve(
        model, scores, probes, TEXTS, sizes=sizes, draws=3, mode=mode, max_tokens=60
    )
    assert list(table.columns) == [
        "order", "draw", "heads", "lookup_loss", "accuracy", "text_loss", "retention",
    ]  # fmt: skip
    keys = [("detected", 0), ("random", 0), ("random", 1), ("random", 2)]
    assert list(table[["order", "draw", "heads"]].itertuples(index=False, name=None)) == [
        (*key, k) for key in keys for k in (0, 1, 3, 6)
    ]
    sets = [head_set for probe, group in asked if probe == probes[0] for head_set in group]
    assert len(set(sets)) == len(sets)  # each set once, "none" too
    expected = {head_set: alone(model, probes, head_set, mode, 60) for head_set in sets}
    ranked = scores.sort_values("score", ascending=False)[["layer", "head"]].to_numpy().tolist()
    used = set()
    for (order, draw), rows in table.groupby(["order", "draw"], sort=False):
        smaller = wb.HeadSet.of([], model)
        for row in rows.itertuples():
            numbers = (row.lookup_loss, row.accuracy, row.text_loss)
            (head_set,) = [
                known for known in sets
                if len(known) == row.heads and np.allclose(expected[known], numbers, atol=1e-4)
            ]  # fmt: skip
            used.add(head_set)
            assert not smaller - head_set, (order, draw)  # the first k heads of one order
            if order == "detected":
                assert head_set == wb.HeadSet.of(ranked[: row.heads], model)
            else:
                assert not head_set & wb.HeadSet.of(ranked[:6], model)
            smaller = head_set
    assert used == set(sets)


def test_rows_are_handed_on_as_they_are_measured(model, probes, scores):
    grown = []
    options = {"sizes": [0, 1, 2, 3], "draws": 5}
    table = masking_curve(model, scores, probes, on_points=grown.append, **options)
    pd.testing.assert_frame_equal(table, masking_curve(model, scores, probes, **options))
    pd.testing.assert_frame_equal(grown[-1], table)
    assert len(grown) > 2
    assert (np.diff([len(part) for part in grown]) > 0).all()
    for part in grown:  # what is there is final
        pd.testing.assert_frame_equal(part, table.merge(part[["order", "draw", "heads"]]))
    assert grown[0]["order"].eq("detected").sum() == 4  # the detected order first
    assert len(wb.figures.masking_curve(grown[0]).data) > 0


def test_the_planted_heads_are_what_lookups_hang_on(model, probes, scores):
    table = wb.masking_curve(model, scores, probes, sizes=[0, 1, 2], draws=4)
    detected = table[table["order"] == "detected"].set_index("heads")
    assert detected["accuracy"].tolist()[:2] == [1.0, 1.0]  # one of the two copying heads suffices
    assert detected["accuracy"][2] < 0.1
    assert detected["lookup_loss"][2] > detected["lookup_loss"][0] + 1
    assert table["text_loss"].isna().all()
    assert COPYING == ((1, 0), (1, 3))


def test_another_order_stands_beside_the_detected_one(model, probes, scores):
    backwards = scores.frame.assign(score=-scores.frame["score"])
    table = masking_curve(model, scores, probes, influence=backwards, sizes=[0, 2], draws=1)
    assert table["order"].tolist() == ["detected"] * 2 + ["influence"] * 2 + ["random"] * 2
    last = table[table["heads"] == 2].set_index("order")
    assert last["accuracy"]["detected"] < 0.1
    assert last["accuracy"]["influence"] == 1  # the heads of lowest score
    np.testing.assert_allclose(last["retention"], last["accuracy"])  # unmasked, all is right
    names = [trace.name for trace in wb.figures.masking_curve(table).data]
    assert "influence order" in names
    without = masking_curve(model, scores, probes, sizes=[1, 2], draws=1)
    assert without["retention"].isna().all()


def test_draws_depend_on_the_seed_alone(model, probes, scores):
    curve, same, other = (
        masking_curve(model, scores, probes, sizes=[1, 3], draws=3, seed=seed) for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(curve, same)
    random = curve[(curve["order"] == "random") & (curve["heads"] == 3)]
    assert random["lookup_loss"].round(4).nunique() > 1
    assert not curve["lookup_loss"].equals(other["lookup_loss"])
    more = masking_curve(model, scores, probes, sizes=[1, 3], draws=5)
    # more draws are added at the end
    pd.testing.assert_frame_equal(more.iloc[: len(curve)], curve, atol=1e-4)


def test_rows_that_are_equal_are_ranked_by_layer_and_head(model, probes, asked):
    tied = pd.DataFrame({"layer": [1, 0] * 4, "head": np.repeat(range(4), 2), "score": 0.5})
    masking_curve(model, tied, probes, sizes=[3], draws=1)
    assert str(asked[0][1][0]) == "L0H0 L0H1 L0H2"


def test_sizes_go_in_steps_to_a_fifth_of_the_heads():
    assert default_sizes(8) == [0, 1]
    assert default_sizes(1) == [0, 1]
    assert default_sizes(270) == [0, 1, 2, 3, 6, 10, 17, 31, 54]
    for total in range(5, 3000, 7):
        sizes = default_sizes(total)
        assert sizes == sorted(set(sizes))
        assert (sizes[0], sizes[1], sizes[-1]) == (0, 1, max(1, total // 5))
        assert len(sizes) <= 9


def test_bad_input_is_refused(model, probes, scores):
    def curve(scores=scores, texts=(), **options):
        return masking_curve(model, scores, probes, texts, **options)

    for act, error, message in (
        (lambda: curve(sizes=[5]), ValueError, r"between 0 and 4 .*8 heads\), got \[5\]"),
        (lambda: curve(sizes=[-1, 2]), ValueError, "between 0 and 4"),
        (lambda: curve(sizes=[]), ValueError, r"between 0 and 4 .*got \[\]"),
        (lambda: curve(draws=0), ValueError, "draws must be at least 1, got 0"),
        (lambda: curve(mode="half"), ValueError, "mode must be one of"),
        (lambda: curve(texts="one text"), TypeError, "a single string: pass"),
        (lambda: curve(scores.frame.iloc[1:]), ValueError, "one row for each head of 2 layers x 4"),
        (lambda: curve(scores.frame.query("head < 2")), ValueError, "this one has 2 layers x 4"),
        (lambda: curve(scores.frame.assign(score=np.nan)), ValueError, "not finite"),
        (lambda: curve(scores.frame.drop(columns="score")), ValueError, r"\['score'\] missing"),
    ):
        with pytest.raises(error, match=message):
            act()
    with pytest.raises(ValueError, match="made with another tokenizer"):
        masking_curve(make_model(bos=True), scores, probes)


def test_the_picture_shows_the_line_and_the_band(model, probes, scores):
    table = masking_curve(model, scores, probes, TEXTS[:1], sizes=[0, 1, 3], draws=3)
    figure = wb.figures.masking_curve(table)
    titles = [title.text for title in figure.layout.annotations]
    assert titles == [
        "answer accuracy", "answer loss (nats a token)", "text loss (nats a token)"
    ]  # fmt: skip
    band, mean, line = figure.data[3:6]  # of the answer loss
    detected = table[table["order"] == "detected"]
    random = table[table["order"] == "random"].groupby("heads")["lookup_loss"]
    assert list(line.x) == list(mean.x) == [0, 1, 3]
    np.testing.assert_allclose(line.y, detected["lookup_loss"], atol=1e-4)
    np.testing.assert_allclose(mean.y, random.mean(), atol=1e-4)
    np.testing.assert_allclose(band.y, [*random.min(), *random.max()[::-1]], atol=1e-4)
    assert list(band.x) == [0, 1, 3, 3, 1, 0]
    assert [trace.name for trace in figure.data if trace.showlegend] == [
        "range of 3 random draws", "mean of the draws", "detected order"
    ]  # fmt: skip
    without = wb.figures.masking_curve(table.assign(text_loss=np.nan))
    assert len(without.data) == 6
    dark = wb.figures.themed(without, "dark")
    assert dark.layout.paper_bgcolor == "rgba(0,0,0,0)"
