"""The share of masked heads at half of the retrieval: truths come back, edges are said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from support.planted import planted_model, planted_probes

import workbench as wb
from workbench.detection.retention_fit import retention_at

SIZES = np.array([1, 2, 4, 7, 12, 20, 34, 58])
TOTAL = 1000


def curve(half, steepness=2.0, noise=0.0, seed=0, order="detected", draws=1):
    rng, rows = np.random.default_rng(seed), [(order, 0, 0, 1.0)]
    for draw in range(draws):
        kept = retention_at(SIZES / TOTAL, half, steepness) + noise * rng.normal(size=len(SIZES))
        rows += [(order, draw, int(k), value) for k, value in zip(SIZES, kept, strict=True)]
    return pd.DataFrame(rows, columns=["order", "draw", "heads", "retention"])


def test_a_logistic_comes_back():
    table = pd.concat([curve(0.01, 2.0), curve(0.03, 1.5, order="random", draws=3)])
    fit = wb.fit_retention(table, TOTAL)
    halves = fit.halves.set_index("order")
    assert halves["half"].tolist() == pytest.approx([0.01, 0.03], rel=1e-6)
    assert halves["steepness"].tolist() == pytest.approx([2.0, 1.5], rel=1e-6)
    assert halves["bracketed"].all()
    assert halves["low"].tolist() == pytest.approx([0.01, 0.03], rel=1e-4)
    assert len(fit.points) == 8 + 24
    assert retention_at(0.0, 0.01, 2.0) == 1


def test_the_fit_is_that_of_a_slow_plain_search():
    table = curve(0.01, noise=0.05, seed=1)
    row = wb.fit_retention(table, TOTAL).halves.iloc[0]
    seen = table["retention"].to_numpy()[1:]
    plain = optimize.minimize(
        lambda x: ((1 / (1 + (SIZES / TOTAL / x[0]) ** x[1]) - seen) ** 2).sum(), (0.02, 1.0),
        method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000},
    )  # fmt: skip
    assert row["half"] == pytest.approx(plain.x[0], rel=1e-4)
    assert row["steepness"] == pytest.approx(plain.x[1], rel=1e-4)


@pytest.mark.slow
def test_the_95_percent_interval_holds_the_share_at_half_in_about_95_percent():
    held = 0
    for seed in range(200):
        row = wb.fit_retention(curve(0.012, noise=0.04, seed=seed), TOTAL).halves.iloc[0]
        held += row["low"] <= 0.012 <= row["high"]
    print(held)
    assert 186 <= held <= 194


def test_what_is_not_reached_is_said_with_the_side_on_which_it_lies():
    halves = wb.fit_retention(
        pd.concat([curve(1.0, order="random"), curve(1e-4, order="detected")]), TOTAL
    ).halves.set_index("order")
    above, below = halves.loc["random"], halves.loc["detected"]
    assert above["says"] == "more than half is left at the largest share, 0.058: not bracketed"
    assert (above["low"], above["high"]) == (0.058, np.inf)
    assert below["says"] == "less than half is left at the smallest share, 0.001: not bracketed"
    assert (below["low"], below["high"]) == (0, 0.001)
    assert halves[["half", "steepness"]].isna().all(axis=None)
    assert not halves["bracketed"].any()


def test_a_curve_of_a_real_model_is_fitted_or_said_not_to_be_bracketed():
    model = planted_model()
    probes = planted_probes(model, n=3)
    scores = wb.retrieval_scores(model, probes)
    table = wb.masking_curve(model, scores, probes, sizes=[0, 1, 2, 3, 4], draws=2)
    fit = wb.fit_retention(table, model.head_count)
    assert set(fit.halves["order"]) == {"detected", "random"}
    detected = fit.halves.set_index("order").loc["detected"]
    measured = table[table["order"] == "detected"].set_index("heads")["retention"]
    if detected["bracketed"]:
        assert measured.min() <= 0.5 <= measured[1]
    else:
        assert detected["says"].endswith("not bracketed")


@pytest.mark.parametrize(
    ("change", "total", "message"),
    [
        (
            lambda table: table.drop(columns="retention"),
            TOTAL,
            r"lacks the columns \['retention'\]",
        ),
        (lambda table: table.assign(retention=np.nan), TOTAL, "retention is missing"),
        (lambda table: table.head(4), TOTAL, "'detected' has 3 sizes above 0"),
        (lambda table: table, 12, "the largest set has 58 heads, in a model of 12"),
    ],
)
def test_tables_that_cannot_be_fitted(change, total, message):
    with pytest.raises(ValueError, match=message):
        wb.fit_retention(change(curve(0.01)), total)
