"""Paired training runs: same tokens, same first weights, differences inside a seed."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import workbench as wb
from workbench.figures.training import gain_bars, mirror_scatter, training_curve
from workbench.training import arms as arms_module
from workbench.training.arms import MEAN, t_interval
from workbench.training.data import middle

DOMAINS = ("sums", "words")


def documents_from(numbers):
    return [
        wb.Document(f"{domain}{i}", f"{i} plus {i} is {2 * i}. " * 4 if domain == "sums"
                    else f"the cat {i} and the cat again. " * 4, domain, domain, i)
        for domain in DOMAINS for i in numbers
    ]  # fmt: skip


DOCUMENTS, HELD_OUT = documents_from(range(12)), documents_from(range(12, 15))
TOKENIZER = wb.train_tokenizer([document.text for document in DOCUMENTS], 300)
RECIPE = wb.Recipe(wb.Decoder(1, 16, 2, context=64), steps=6, batch=2)
TASKS = [
    wb.Task("sums", (wb.Item("2 plus 2 is", " 4"), wb.Item("3 plus 3 is", " 6")), True),
    wb.Task("cats", (wb.Item("the cat 1 and the", " cat"), wb.Item("the", " cat")), False),
]
ARMS = {
    "all": None,
    "sums twice": [2.0 if document.domain == "sums" else 1.0 for document in DOCUMENTS],
}


@pytest.fixture(scope="module")
def arms(tmp_path_factory):
    return wb.train_arms(
        DOCUMENTS, ARMS, RECIPE, tokenizer=TOKENIZER, held_out=HELD_OUT, tasks=TASKS,
        seeds=(0, 1, 2), out=tmp_path_factory.mktemp("arms"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def models(arms):
    """The trained models, as a reader gets them back."""
    return {who: wb.load_model(folder, certify=False) for who, folder in arms.checkpoints.items()}


@pytest.mark.slow
def test_one_model_is_in_memory_at_a_time(monkeypatch):
    alive, most = weakref.WeakSet(), []
    train = arms_module.pretrain

    def counting(*args, **kwargs):
        gc.collect()
        most.append(len(alive))
        run = train(*args, **kwargs)
        alive.add(run.model.hf)
        return run

    monkeypatch.setattr(arms_module, "pretrain", counting)
    short = dataclasses.replace(RECIPE, steps=1)
    result = wb.train_arms(
        DOCUMENTS, ARMS, short, tokenizer=TOKENIZER, held_out=HELD_OUT, seeds=(0, 1)
    )
    gc.collect()
    assert (most, len(alive)) == ([0, 0, 0, 0], 0)
    assert result.checkpoints == {}  # without a folder only what was measured is left
    assert len(result.course) == 4 * 3


def test_checkpoints_name_every_run(arms):
    assert set(arms.checkpoints) == {(arm, seed) for arm in ARMS for seed in (0, 1, 2)}
    assert len(set(arms.checkpoints.values())) == 6


def test_each_run_is_a_training_of_its_own(arms, models):
    training = wb.pretrain(
        DOCUMENTS, RECIPE, tokenizer=TOKENIZER, weights=ARMS["sums twice"], seed=1,
        held_out=HELD_OUT,
    )  # fmt: skip
    pairs = zip(
        training.model.hf.parameters(), models["sums twice", 1].hf.parameters(), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)
    course = arms.course.query("arm == 'sums twice' and seed == 1 and domain != @MEAN")
    assert course["loss"].tolist() == training.held_out["loss"].tolist()
    last = arms.course.query("arm == 'sums twice' and seed == 1 and step == 6").set_index("domain")
    assert last["loss"][MEAN] == pytest.approx(last["loss"][list(DOMAINS)].mean())


def test_arms_differ_in_the_mixture_only(arms):
    assert arms.course.groupby(["arm", "seed"])["tokens"].max().unique().tolist() == [6 * 128]
    assert arms.course["loss"].nunique() > 40  # but they do differ


def test_documents_and_tasks_are_read_plainly(arms, models):
    for (arm, seed), model in models.items():  # noqa: B007 (read by the query)
        row = arms.documents.query("arm == @arm and seed == @seed").set_index("doc_id")
        for document in HELD_OUT:
            ids = torch.tensor([middle(model.encode(document.text), 64)])
            with torch.inference_mode():
                loss = model.hf(ids, labels=ids).loss.item()
            assert row["loss"][document.doc_id] == pytest.approx(loss, rel=1e-4)
    item = TASKS[1].items[0]
    model = models["all", 0]
    prompt, answer = model.encode(item.prompt), model.encode(item.answer)
    ids = torch.tensor([[*prompt, *answer]])
    with torch.inference_mode():
        rows = model.hf(ids).logits[0].log_softmax(-1)[len(prompt) - 1 : -1]
    loss = -rows.gather(1, torch.tensor(answer)[:, None]).mean().item()
    item_rows = arms.tasks.query("arm == 'all' and seed == 0 and task == 'cats' and item == 0")
    assert item_rows["loss"].tolist() == [pytest.approx(loss, rel=1e-4)]


def test_gain_is_paired_by_seed(arms):
    table = wb.gain(arms.course, "all").set_index("domain")
    assert set(table["arm"]) == {"sums twice"}
    last = arms.course[arms.course["step"] == 6]
    for domain in (*DOMAINS, MEAN):
        part = last[last["domain"] == domain].pivot(index="seed", columns="arm", values="loss")
        difference = part["all"] - part["sums twice"]
        known = stats.ttest_rel(part["all"], part["sums twice"]).confidence_interval(0.95)
        row = table.loc[domain]
        assert row["gain"] == pytest.approx(difference.mean())
        assert (row["low"], row["high"]) == pytest.approx((known.low, known.high))
    by_task = wb.gain(arms.tasks, "all", over="task")
    mean = arms.tasks.groupby(["arm", "task"])["loss"].mean()
    assert by_task.set_index("task")["gain"]["sums"] == pytest.approx(
        mean["all", "sums"] - mean["sums twice", "sums"]
    )


def test_t_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        low, high = t_interval(rng.normal(1.0, 2.0, size=3))
        inside += low <= 1.0 <= high
    assert 0.935 < inside / 2000 < 0.965
    assert np.isnan(t_interval(np.array([1.0]))).all()


def test_repeat_weights_follow_the_selection():
    rows = [
        (d.doc_id, d.domain, d.source, d.row, str(i), 50, 49, 2.0, 3.0, i / 9, 0.5)
        for i, d in enumerate(DOCUMENTS)
    ]
    columns = ["doc_id", "domain", "source", "row", "text_sha256", "tokens", "predicted",
               "loss_base", "loss_ref", "score", "compression_ratio"]  # fmt: skip
    chosen = wb.select(pd.DataFrame(rows, columns=columns), fraction=0.25)
    weights = wb.repeat_weights(DOCUMENTS, chosen, repeat=2)
    picked = set(chosen.table.loc[chosen.table["selected"], "doc_id"])
    assert len(picked) == 6
    assert weights == [3 if document.doc_id in picked else 1 for document in DOCUMENTS]
    assert weights == wb.repeat_weights(DOCUMENTS, chosen.table, repeat=2)
    with pytest.raises(ValueError, match="not in the selection"):
        wb.repeat_weights([*DOCUMENTS, wb.Document("n", "t", "x", "m", 0)], chosen)


@pytest.mark.parametrize("domain", [False, True])
def test_mirror_correlation_is_spearman_inside_domains(domain):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"cost": rng.normal(size=60), "gain": rng.normal(size=60)})
    table["gain"] += table["cost"]
    if domain:
        table["domain"] = ["a", "b"] * 30
    correlations = wb.mirror_correlation(table)
    parts = table.groupby("domain") if domain else [("all", table)]
    for (name, part), row in zip(parts, correlations.itertuples(), strict=True):
        assert (row.domain, row.n) == (name, len(part))
        assert row.spearman == pytest.approx(stats.spearmanr(part["cost"], part["gain"])[0])
        assert 0 < row.low < row.spearman < row.high < 1
        known = stats.bootstrap(
            (part["cost"], part["gain"]), lambda a, b: stats.spearmanr(a, b)[0], paired=True,
            vectorized=False, n_resamples=500, method="percentile", rng=0,
        ).confidence_interval  # fmt: skip
        assert (row.low, row.high) == pytest.approx((known.low, known.high), abs=0.08)
    assert np.isnan(wb.mirror_correlation(table.head(3))["spearman"]).all()


def test_figures_show_the_tables(arms):
    curve = training_curve(arms.course)
    assert [trace.name for trace in curve.data] == list(ARMS)
    last = arms.course.query("step == 6 and domain == @MEAN").groupby("arm")["loss"].mean()
    assert [trace.y[-1] for trace in curve.data] == last.round(4).tolist()
    table = wb.gain(arms.course, "all")
    (bars,) = gain_bars(table).data
    assert list(bars.y) == table["gain"].round(4).tolist()
    table = table.assign(cost=[0.1, 0.2, 0.3], task=["a", "<b>", "c"]).drop(columns="domain")
    dots = mirror_scatter(table, "task").data
    assert sorted(dot.x[0] for dot in dots) == [0.1, 0.2, 0.3]
    assert [dot.text[0] for dot in dots] == ["&lt;b&gt;", "a", "c"]
    assert [dot.error_y.array[0] for dot in dots] == pytest.approx(
        (table["high"] - table["gain"]).iloc[[1, 0, 2]].tolist(), abs=1e-4
    )
    table["domain"] = ["x", "y", "x"]
    assert [list(trace.x) for trace in mirror_scatter(table, "task").data] == [[0.1, 0.3], [0.2]]


@pytest.mark.parametrize(
    "wrong",
    [{"arms": {"all": None}}, {"seeds": [0]}, {"seeds": [1, 1]}, {"held_out": []}],
)
def test_comparisons_that_compare_nothing(wrong):
    options = {"arms": ARMS, "held_out": HELD_OUT} | wrong
    with pytest.raises(ValueError, match="two arms, two seeds"):
        wb.train_arms(DOCUMENTS, options.pop("arms"), RECIPE, tokenizer=TOKENIZER, **options)


def test_a_task_that_does_not_fit_is_said_before_the_training(monkeypatch):
    monkeypatch.setattr("workbench.training.arms.pretrain", lambda *_, **__: pytest.fail("trained"))
    long = wb.Task("long", (wb.Item("word " * 200, "end"), wb.Item("a", "b")), True)
    with pytest.raises(ValueError, match="longer than the model's context"):
        wb.train_arms(DOCUMENTS, ARMS, RECIPE, tokenizer=TOKENIZER, held_out=HELD_OUT, tasks=[long])


def test_a_seed_that_one_arm_lacks_does_not_count(arms):
    course = arms.course.query("not (arm == 'sums twice' and seed == 2)")
    gains = wb.gain(course, "all")
    assert set(gains["seeds"]) == {2}
    assert gains.notna().all(axis=None)


def test_an_unknown_baseline_is_named(arms):
    with pytest.raises(ValueError, match="no arm is called 'half'"):
        wb.gain(arms.course, "half")
