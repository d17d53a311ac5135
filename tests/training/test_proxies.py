"""Proxies on mixtures: trained on these shares, paired by seed, taken up again, fitted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.training.data import TokenRows


def documents_from(numbers):
    """Two domains; the documents of one are three times as long as those of the other."""
    return [
        wb.Document(f"{domain}{i}", f"{i} plus {i} is {2 * i}. " * 12 if domain == "sums"
                    else f"the cat {i} and the cat again. " * 4, domain, domain, i)
        for domain in ("sums", "words") for i in numbers
    ]  # fmt: skip


DOCUMENTS, HELD_OUT = documents_from(range(12)), documents_from(range(12, 15))
TOKENIZER = wb.train_tokenizer([document.text for document in DOCUMENTS], 300)
RECIPE = wb.Recipe(wb.Decoder(1, 16, 2, context=64), steps=30, batch=4)
PLAN = pd.DataFrame(
    {"sums": [1.0, 0.8, 0.5, 0.2, 0.0], "words": [0.0, 0.2, 0.5, 0.8, 1.0]}, index=list("abcde")
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("proxies")
    return out, wb.proxy_runs(
        DOCUMENTS, PLAN, RECIPE, tokenizer=TOKENIZER, held_out=HELD_OUT, out=out
    )


def test_each_run_is_the_training_with_these_shares_of_the_tokens(made):
    _, proxies = made
    lengths = {d.doc_id: len(TOKENIZER(d.text)["input_ids"]) + 1 for d in DOCUMENTS}
    total = {
        name: sum(lengths[d.doc_id] for d in DOCUMENTS if d.domain == name)
        for name in ("sums", "words")
    }
    weights = [PLAN.loc["b", d.domain] * sum(total.values()) / total[d.domain] for d in DOCUMENTS]
    rows = TokenRows(DOCUMENTS, TOKENIZER, 64, weights)
    tokens = sum(
        weight * len(ids)
        for weight, ids, d in zip(rows.weights, rows.ids, DOCUMENTS, strict=True)
        if d.domain == "sums"
    )
    assert tokens / rows.tokens == pytest.approx(0.8)
    training = wb.pretrain(
        DOCUMENTS, RECIPE, tokenizer=TOKENIZER, weights=weights, held_out=HELD_OUT, seed=1
    )
    last = training.held_out[training.held_out["step"] == 30].set_index("domain")["loss"]
    table = proxies.by_seed
    ours = table[(table["mixture"] == "b") & (table["seed"] == 1)].set_index("domain")["loss"]
    assert ours.to_dict() == last.to_dict()
    assert proxies.tokens == 30 * 4 * 64


def test_the_table_is_the_mean_over_seeds_and_more_of_a_domain_lowers_its_loss(made):
    _, proxies = made
    assert list(proxies.frame.index) == list(PLAN.index)
    assert list(proxies.frame) == ["sums", "words"]
    means = proxies.by_seed.groupby(["mixture", "domain"])["loss"].mean().unstack()
    pd.testing.assert_frame_equal(proxies.frame, means, check_names=False)
    for domain in PLAN:
        assert proxies.frame[domain].corr(PLAN[domain], method="spearman") < -0.8
    scatter = proxies.scatter.set_index("domain")
    # Two seeds: the noise is half the spread of their differences over the mixtures.
    wide = proxies.by_seed.pivot(index=["domain", "mixture"], columns="seed", values="loss")
    for domain in PLAN:
        difference = (wide[0] - wide[1])[domain]
        assert scatter.loc[domain, "noise"] == pytest.approx(difference.std() / 2)
        assert scatter.loc[domain, "mixtures"] == pytest.approx(proxies.frame[domain].std())
    assert "5 mixtures x 2 seeds, 7,680 tokens each" in repr(proxies)


def test_a_finished_call_is_read_again_and_another_plan_is_refused(made):
    out, proxies = made
    options = {"tokenizer": TOKENIZER, "held_out": HELD_OUT, "out": out}
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = wb.proxy_runs(DOCUMENTS, PLAN, RECIPE, **options)
    pd.testing.assert_frame_equal(again.by_seed, proxies.by_seed)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    with pytest.raises(ValueError, match="holds another training run"):
        wb.proxy_runs(DOCUMENTS, PLAN.iloc[::-1], RECIPE, **options)


def test_a_law_is_fitted_to_the_runs_as_they_are(made):
    _, proxies = made
    fit = wb.fit_mixture(PLAN, proxies)
    assert list(fit.laws) == ["sums", "words"]
    best = fit.best({"sums": 1}, draws=5)
    assert best.shares["sums"] > 0.8
    assert np.isfinite(best.predicted)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (PLAN.rename(columns={"words": "prose"}), r"odd: \['prose', 'words'\]"),
        (PLAN.set_axis(list("aabcd")), "unique"),
        (PLAN * 2, "which sum to 2: divide each row"),
        (PLAN - 0.1, "shares of 0 or more"),
        (PLAN.replace(0.8, np.nan), "shares of 0 or more"),
        (PLAN.head(1), "a comparison needs two arms"),
    ],
)
def test_plans_that_cannot_be_trained_are_refused(plan, said):
    with pytest.raises(ValueError, match=said):
        wb.proxy_runs(DOCUMENTS, plan, RECIPE, tokenizer=TOKENIZER, held_out=HELD_OUT)
