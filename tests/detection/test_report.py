"""The head report: scores whose truth is known, and real models."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import distributions

import numpy as np
import pandas as pd
import pytest
from detection.test_retrieval import PROSE, text_model
from support.planted import COPYING, planted_model, planted_probes

import workbench as wb
from workbench.detection.probe_controls import read_back
from workbench.detection.report_measurements import chance_band


def made_up(per_probe, layers=1):
    """Scores as retrieval_scores gives them, of made-up numbers (probes, heads)."""
    per_probe = np.asarray(per_probe, dtype=float)
    layer, head = np.divmod(np.arange(per_probe.shape[1]), per_probe.shape[1] // layers)
    mean = per_probe.mean(axis=0)
    return wb.HeadScores(
        pd.DataFrame({"layer": layer, "head": head, "score": mean, "low": mean, "high": mean}),
        by="retrieval score",
        per_probe=per_probe,
        kept=range(len(per_probe)),
        origin={"probes": len(per_probe), "probes_sha256": "0" * 64},
    )


# ---- reports whose truth is known ---------------------------------------------------------------


def test_two_heads_of_equal_true_score_share_the_last_place():
    rng = np.random.default_rng(3)
    clear = rng.normal(0.8, 0.05, (400, 5))
    pair = rng.normal(0.4, 0.05, (400, 2))
    pair += (0.4 - pair.mean(axis=0)) + [1e-6, 0]  # equal but for a trifle
    rest = rng.normal(0.1, 0.02, (400, 7))
    report = wb.head_report(made_up(np.hstack([clear, pair, rest])), fraction=6 / 14)
    share = report.table["membership"]
    assert share[:5].min() == 1
    assert share[5] == pytest.approx(0.5, abs=0.06)
    assert share[5] + share[6] == pytest.approx(1)
    assert share[7:].max() == 0
    assert str(report.core) == "L0H0 L0H1 L0H2 L0H3 L0H4"
    assert str(report.edge) == "L0H5 L0H6"
    assert report.verdict.startswith("stable core, uncertain edge (5 of 6 heads sure, 2 heads")
    assert report.headline == "stable core, uncertain edge"


def test_a_clear_set_is_stable_and_noise_is_not_determined():
    rng = np.random.default_rng(0)
    clear = rng.normal(0, 0.01, (16, 20)).clip(0) + np.r_[[0.9, 0.8], np.zeros(18)]
    assert wb.head_report(made_up(clear), fraction=0.1).verdict == "stable"
    noise = wb.head_report(made_up(rng.random((16, 40))), fraction=0.1)
    assert noise.verdict == "not determined: use more probes"
    assert noise.halves["jaccard"] < 0.3
    assert noise.table["membership"].sum() == pytest.approx(4)


def test_ties_and_zeros_at_the_cut_are_refused_unless_asked_for():
    zeros = made_up([[0.5, 0.4, 0, 0, 0]] * 6)
    with pytest.raises(ValueError, match="heads that score 0"):
        wb.head_report(zeros, fraction=0.6)
    report = wb.head_report(zeros, fraction=0.6, allow_ties=True)
    assert dict(report.zeros) == {"heads": 3, "in_set": 1, "tied_at_cut": 3}
    assert report.verdict == "not determined: heads at the cut tie"
    assert report.headline == "not determined"
    np.testing.assert_allclose(report.table["membership"], [1, 1, 1 / 3, 1 / 3, 1 / 3])
    # 0.1 + 0.2 + 0.3 in another order differs in the last bit, and is a tie all the same.
    tied = made_up([[0.9, 0.1, 0.3], [0.9, 0.2, 0.2], [0.9, 0.3, 0.1], [0.9, 0, 0]])
    with pytest.raises(ValueError, match="2 heads tie at the cut"):
        wb.head_report(tied, fraction=0.6)
    assert wb.head_report(tied, fraction=0.6, allow_ties=True).zeros["tied_at_cut"] == 2


def test_misuse_is_refused_with_what_to_do(tiny):
    good = made_up(np.random.default_rng(0).random((8, 12)), layers=3)
    with pytest.raises(ValueError, match="at least 4 probes, these scores come from 3"):
        wb.head_report(made_up(np.random.default_rng(0).random((3, 12))))
    with pytest.raises(ValueError, match="do not say how each probe scored"):
        wb.head_report(good.frame)
    changed = good.frame.assign(score=good.frame["score"] + 0.1)
    for other in (changed, good.frame.sort_values("score")):
        with pytest.raises(ValueError, match="not the mean of per_probe"):
            wb.head_report(replace(good, frame=other))
    with pytest.raises(ValueError, match="do not come from these probes"):
        wb.head_report(replace(good, origin={}), tiny, planted_probes(tiny))
    with pytest.raises(ValueError, match="got 'LOCOS score'"):
        wb.head_report(replace(good, by="LOCOS score"), tiny, planted_probes(tiny))
    with pytest.raises(ValueError, match="belong together"):
        wb.head_report(good, tiny)
    with pytest.raises(ValueError, match="do not come from these probes"):
        wb.head_report(good, tiny, planted_probes(tiny))
    with pytest.raises(ValueError, match="not of this model"):
        wb.head_report(
            made_up(np.random.default_rng(0).random((8, 12))), tiny, planted_probes(tiny)
        )
    with pytest.raises(ValueError, match="at least 100 draws"):
        wb.head_report(good, draws=10)
    with pytest.raises(ValueError, match="got 1000, 16 and 3"):
        wb.head_report(good, lookup_limit=3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        wb.head_report(good, fraction=2)


def test_the_order_of_the_rows_does_not_matter():
    scores = made_up(np.random.default_rng(0).random((8, 12)), layers=3)
    order = np.argsort(scores.frame["score"].to_numpy())
    turned = replace(scores, frame=scores.frame.iloc[order], per_probe=scores.per_probe[:, order])
    assert wb.head_report(turned).to_json() == wb.head_report(scores).to_json()


def test_without_a_model_the_report_says_what_was_not_measured():
    report = wb.head_report(made_up(np.random.default_rng(0).random((8, 12))))
    assert set(report.missing) == {"lookup test", "shuffled keys", "probe length", "LOCOS"}
    assert repr(report).count("head_report(scores, model, probes)") == 4
    assert report.lookup is report.shuffled is report.lengths is report.locos is None
    assert report.chance is None


# ---- reports on models --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    return planted_model()


def test_planted_heads_are_members_beyond_doubt_and_locos_agrees(planted):
    probes = planted_probes(planted)
    scores = wb.retrieval_scores(planted, probes)
    report = wb.head_report(scores, planted, probes, fraction=2 / 8)
    inside = report.table["chosen"]
    assert tuple(report.heads) == tuple(report.core) == COPYING
    assert (report.table["membership"][inside] == 1).all()
    assert (report.table["membership"][~inside] == 0).all()
    assert report.verdict == "stable"
    assert report.locos["jaccard"] == 1
    assert len(report.within_chance) == 0
    # These probes are tokens without text, so no control can be made of them, and it says so.
    assert "cannot be read back" in report.missing["shuffled keys"]
    assert "Shuffled keys: not measured" in repr(report)
    assert "Lookup test: not measured" in repr(report)
    assert report.verdict == "stable"


def test_induction_on_the_fed_answer_survives_shuffled_keys(planted):
    """Four of five answer tokens follow the one fed before; only the first hangs on the key."""
    items = []
    for probe in planted_probes(planted):
        ids = list(probe.ids)
        keys = [ids[i] for i in range(1, 73, 6)]
        ids[1:73:6] = keys[1:] + keys[:1]
        items.append(wb.Probe(tuple(ids), probe.answer, probe.value, probe.pairs))
    plain = planted_probes(planted)
    dealt = wb.Probes(tuple(items), 128, 0, plain.tokenizer_sha256, "keys shuffled")
    table = wb.retrieval_scores(planted, dealt).frame.set_index(["layer", "head"])["score"]
    assert all(table[head] == pytest.approx(0.8) for head in COPYING)


@pytest.mark.slow
def test_the_report_of_a_model_with_text_probes_is_whole_and_survives_json(planted):
    """In text the planted heads find many earlier copies of a letter, so they score, but little."""
    model = planted
    probes = wb.make_probes(model, n=5, max_tokens=1000, seed=3, texts=PROSE)
    scores = wb.retrieval_scores(model, probes)
    report = wb.head_report(
        scores, model, probes, fraction=2 / 8, draws=200, limit=4, lengths=(0.75, 0.5, 0.25),
        lookup_limit=5, questions=1, allow_ties=True,
    )  # fmt: skip
    assert report.checked == 4
    assert report.lengths["tokens"].tolist() == [750]
    assert list(report.missing) == ["probes of 500 tokens", "probes of 250 tokens"]
    assert {"shuffled", "drop", "drop_low", "drop_high", "locos"} <= set(report.table)
    kept = scores.per_probe[:4].mean(axis=0)
    np.testing.assert_allclose(report.table["shuffled"] + report.table["drop"], kept)
    stored = report.to_json()
    stored = json.loads(json.dumps(stored, allow_nan=False))
    assert len(stored["table"]) == 8
    back = wb.HeadReport.from_json(stored)
    assert back.to_json() == stored == report.to_json()
    assert repr(back) == repr(report)
    for name in ("table", "counts", "lengths"):
        pd.testing.assert_frame_equal(getattr(back, name), getattr(report, name))
    pd.testing.assert_frame_equal(back.lookup.answers, report.lookup.answers)
    # All these values begin with the same token, and it stands after each key.
    assert stored["lookup"]["finding"] == "guessed"
    assert report.verdict.startswith("no retrieval shown, the first answer token can be had with")
    assert stored["verdict"] == report.verdict
    for shown in (repr(report), report._repr_html_()):
        assert "<table" in shown or shown.startswith("Head set")
        assert report.verdict in shown
        assert "Lookup test: 5 values of 5 probes" in shown
        assert "not that they look nothing up" in shown
    again = wb.lookup_test(model, probes, report.heads, questions=1, draws=200)
    pd.testing.assert_frame_equal(again.table, report.lookup.table)


def test_probes_that_were_left_out_are_left_out_of_the_controls(planted):
    good = planted_probes(planted)
    wrong = [
        wb.Probe((*probe.ids[:-5], *probe.ids[:-6:-1]), probe.answer, probe.value, 12)
        for probe in good.items[:4]
    ]
    mixed = wb.Probes((*wrong, *good.items), 128, 0, good.tokenizer_sha256)
    scores = wb.retrieval_scores(planted, mixed, only_solved=True)
    assert scores.kept == tuple(range(4, 16))
    report = wb.head_report(scores, planted, mixed, fraction=2 / 8, limit=8)
    alone = wb.locos_scores(planted, wb.Probes(good.items[:8], 128, 0, good.tokenizer_sha256))
    np.testing.assert_allclose(report.table["locos"], alone.frame["score"])


def test_the_chance_band_counts_equal_tokens_in_the_value(tiny):
    probe = wb.Probe((1, 7, 7, 8, 9, 7, 8), (5, 7), (1, 4), 1)
    probes = wb.Probes((probe,) * 50, 8, 0, tiny.identity["tokenizer_sha256"])
    band = chance_band(probes, prefix=1, heads=20)
    # Token 7 stands twice among 6 visible keys (one is the prefix), token 8 once among 7.
    assert band["expected"] == pytest.approx((2 / 6 + 1 / 7) / 2)
    rng = np.random.default_rng(0)
    drawn = (rng.random((20000, 50, 2)) < [2 / 6, 1 / 7]).mean(axis=(1, 2))
    assert np.quantile(drawn, 0.99) <= band["band_99"] <= band["best_99"]
    assert band["band_99"] == pytest.approx(np.quantile(drawn, 0.99), rel=0.15)


def test_random_weights_are_called_what_they_are():
    """Heads of a model that learnt nothing differ in their scores by chance, and can be cut."""
    model = text_model()
    probes = wb.make_probes(model, n=4, max_tokens=900, seed=0, texts=PROSE)
    scores = wb.retrieval_scores(model, probes)
    report = wb.head_report(
        scores, model, probes, fraction=2 / 12, lengths=(), questions=1, allow_ties=True
    )
    assert report.verdict.startswith("no retrieval: the model cannot answer the probes by key")
    assert report.headline.startswith("no retrieval; ")
    assert "need them" not in report.verdict


@pytest.fixture(scope="module")
def texts():
    return [document.text for document in wb.environment_corpus(max_documents=120)]


def licence_texts():
    """What the licences of the installed packages begin with."""
    files = (file for package in distributions() for file in package.files or [])
    named = [file for file in files if "LICEN" in file.name.upper() and "dist-info" in str(file)]
    return [file.read_text(encoding="utf-8")[:1500] for file in named if file.locate().is_file()]


@pytest.mark.slow
def test_probes_of_licence_headers_are_called_what_they_are(default):
    """Most values begin with "Copyright", whichever key is asked for."""
    probes = wb.make_probes(default, n=8, max_tokens=560, seed=0, texts=licence_texts())
    scores = wb.retrieval_scores(default, probes)
    report = wb.head_report(scores, default, probes, lengths=(), allow_ties=True)
    assert report.lookup.finding == "guessed"
    assert report.verdict.startswith(
        "no retrieval shown, the first answer token can be had without the key"
    )
    assert "need them" not in report.verdict


@pytest.mark.slow
def test_lookups_of_the_default_model_need_its_heads(default, texts):
    """Its score is there without the key; that it looks up shows in the first token alone."""
    probes = wb.make_probes(default, n=8, max_tokens=560, seed=0, texts=texts)
    scores = wb.retrieval_scores(default, probes)
    report = wb.head_report(scores, default, probes, lengths=(), questions=3, allow_ties=True)
    assert report.shuffled["survives"] > 0.5
    test = report.lookup
    objects = [read_back(default, probes, number) for number in range(8)]
    askable = [1 + len(pairs) - len(set(chosen)) for pairs, chosen in objects]
    assert (test.probes, test.questions) == (8, sum(min(3, count) for count in askable))
    assert test.finding == "lookup"
    assert "lookups need them: masking takes" in report.verdict
    first = test.table.set_index(["keys", "heads"])["first_accuracy"]
    assert first["true", "base"] > 0.25
    assert first["true", "masked"] < 0.2 * first["true", "base"]
    assert test.change("first_loss", ("true", "base"), ("shuffled", "base")).value > 1
    assert abs(test.change("first_loss", ("true", "masked"), ("shuffled", "masked")).value) < 1
    assert report.locos["jaccard"] > 0.2  # two of 270 random sets of 14 would give 0.03
    assert report.locos["spearman"] > 0
    assert len(report.within_chance) <= 2
