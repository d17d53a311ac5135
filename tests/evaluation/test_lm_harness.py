"""lm-eval on the masked model: its numbers are ours, and it leaves no trace."""

from __future__ import annotations

import copy
import logging
import random
import socket
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from support.models import make_tokenizer
from support.planted import COPYING, planted_model

import workbench as wb
from workbench.core.progress import Cancelled, cancellable
from workbench.evaluation.lm_harness import FOLDER, documents, graded
from workbench.evaluation.mirror_effect import mirror_sets
from workbench.evaluation.tasks import Item, Task, asked, built_in_tasks
from workbench.models.model_cache import ModelCache

LETTERS = list("abcdefghijklmnopqrstuvwxyz")


@pytest.fixture(scope="module")
def planted():
    return planted_model()


@pytest.fixture(scope="module")
def heads(planted):
    return wb.HeadSet.of(COPYING, planted)


@pytest.fixture(scope="module")
def copying():
    """Strings of letters begun again, and two that do not go on as before: the model fails them."""
    rng = np.random.default_rng(0)
    items = []
    for number in range(6):
        text = "".join(rng.permutation(LETTERS))
        items.append(Item(text + text[3:8], text[8:11] if number < 4 else text[12:15]))
    return Task("copying", tuple(items), True)


@pytest.fixture
def offline(monkeypatch):
    """Whoever opens a connection fails."""

    def refuse(*args, **kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def as_lm_eval(task: Task, **more) -> dict:
    """The configuration of an lm-eval task with these items."""
    from datasets import Dataset

    rows = [{"prompt": item.prompt, "answer": item.answer} for item in task.items]
    return {
        "task": task.name, "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)},
        "test_split": "test", "output_type": "loglikelihood", "doc_to_text": "prompt",
        "doc_to_target": "answer", "target_delimiter": "", "process_results": graded,
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True}
                        for name in ("acc", "nats")],
        **more,
    }  # fmt: skip


def assert_same(model, table, ours: pd.DataFrame, tasks: dict[str, Task]) -> None:
    """Every item under every mask: accuracy is the same, nats are loss times tokens."""
    theirs = wb.evaluation_items(table, "nats").merge(wb.evaluation_items(table, "acc"))
    ours = ours.set_index(["task", "item", "masked", "draw"])
    assert len(theirs) == len(ours)
    for row in theirs.itertuples():
        task = tasks[row.task]
        start, stop = asked(model, task.items[row.item]).answer
        mine = ours.loc[(task.name, row.item, row.masked, row.draw)]
        assert row.acc == mine["exact"]
        assert row.nats == pytest.approx(mine["loss"] * (stop - start), rel=1e-5)


# ---- the oracle -------------------------------------------------------------------------------


@pytest.mark.parametrize("bos", [False, True])
def test_items_have_the_numbers_of_the_mirror(planted, heads, copying, bos, offline):
    model = wb.from_transformers(planted.hf, make_tokenizer(bos))
    table = wb.evaluate(model, heads, [as_lm_eval(copying)], controls=3, seed=4)
    ours = wb.mirror(model, heads, [copying], controls=3, seed=4)
    assert_same(model, table, ours, {"copying": copying})
    acc = table.frame[table.frame["metric"] == "acc"].set_index(["masked", "draw"])
    assert set(acc.index) == set(mirror_sets(model, heads, 3))
    assert acc.loc[("nothing", 0), "value"] == pytest.approx(4 / 6)
    assert acc.loc[("detected", 0), "value"] == 0
    assert (acc["items"] == 6).all()
    by_set = ours.groupby(["masked", "draw"])["exact"].agg(["mean", "sem"])
    assert acc["value"].to_dict() == pytest.approx(by_set["mean"].to_dict())
    assert acc["stderr"].to_dict() == pytest.approx(by_set["sem"].to_dict())


def test_every_row_begins_with_one_bos_and_batches_agree(planted, heads, copying):
    """A BOS that is put by the tokenizer and again by lm-eval changes every number in silence."""
    model = wb.from_transformers(planted.hf, make_tokenizer(bos=True))
    bos, rows = model.tokenizer.bos_token_id, []

    def look(module, args, kwargs):
        rows.extend(kwargs.get("input_ids", args[0] if args else None).tolist())

    found = {}
    for batch_size in (1, 4):
        with model.hf.register_forward_pre_hook(look, with_kwargs=True):
            table = wb.evaluate(
                model, heads, [as_lm_eval(copying)], controls=1, batch_size=batch_size
            )
        found[batch_size] = wb.evaluation_items(table, "nats")["nats"].to_numpy()
    text = [[token for token in row if token >= 64] for row in rows]  # without special tokens
    assert len(rows) >= 2 * 3 * 6 // 4
    assert all(row[0] == bos for row in rows)
    # Rows are filled up on the right with the same id: one before the text, none inside it.
    assert all(row[1 : 1 + len(some)] == some for row, some in zip(rows, text, strict=True))
    np.testing.assert_allclose(found[1], found[4], atol=1e-3)
    assert np.ptp(found[1]) > 0.1


def test_our_folder_holds_the_built_in_tasks(planted, heads, offline):
    tasks = {
        f"workbench_{task.name.replace(',', '').replace('-', '_').replace(' ', '_')}": task
        for task in built_in_tasks()
    }
    table = wb.evaluate(planted, heads, ["workbench"], controls=1, limit=2)
    assert set(table.frame["task"]) == set(tasks)
    assert len(list(FOLDER.glob("[!_]*.yaml"))) == len(tasks)
    few = [Task(task.name, task.items[:2], task.needs_context) for task in tasks.values()]
    assert_same(planted, table, wb.mirror(planted, heads, few, controls=1), tasks)
    stored = documents("induction", items=3, seed=5)["test"]
    assert [Item(**fields) for fields in stored] == list(built_in_tasks(3, 5)[2].items)


def test_a_group_has_a_value_of_its_own(planted, tmp_path):
    members = ["workbench_few_shot_arithmetic", "workbench_common_completions"]
    (tmp_path / "both.yaml").write_text(
        f"group: both\ntask: [{', '.join(members)}]\n"
        "aggregate_metric_list: [{metric: nats, aggregation: mean, weight_by_size: true}]\n"
    )
    table = wb.evaluate(planted, None, ["both"], limit=3, include_path=tmp_path)
    nats = table.frame[table.frame["metric"] == "nats"].set_index("task")
    assert set(nats.index) == {"both", *members}
    assert nats.loc["both", "value"] == pytest.approx(nats.loc[members, "value"].mean())
    assert nats.loc["both", "items"] == 6
    assert set(wb.evaluation_items(table, "nats")["task"]) == set(members)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_generation_gives_the_answer_where_every_token_is_first_choice(
    planted, heads, copying, batch_size
):
    """Prompts of one length and of several: those of a batch are padded on the left."""
    items = tuple(Item(item.prompt[i:], item.answer) for i, item in enumerate(copying.items))
    task = Task("written", items, True)
    config = as_lm_eval(task, output_type="generate_until")
    del config["process_results"]
    config["metric_list"] = [
        {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
    ]
    config["generation_kwargs"] = {"until": ["\n"], "max_gen_toks": 3, "do_sample": False}
    table = wb.evaluate(planted, heads, [config], controls=2, batch_size=batch_size)
    found = wb.evaluation_items(table, "exact_match").set_index(["item", "masked", "draw"])
    ours = wb.mirror(planted, heads, [task], controls=2).set_index(["item", "masked", "draw"])
    assert found["exact_match"].to_dict() == ours["exact"].to_dict()
    assert 0 < ours["exact"].mean() < 1


# ---- no trace ---------------------------------------------------------------------------------


def test_the_model_is_the_stock_model_afterwards(copying):
    model = planted_model()
    model.tokenizer.pad_token = None  # lm-eval sets one
    ids = torch.tensor([model.encode("abcabc")])
    before = model(input_ids=ids).logits
    weights, attributes = model.identity, copy.deepcopy(vars(model.hf.config))
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    level = logging.getLogger("lm_eval").level
    wb.evaluate(model, wb.HeadSet.of(COPYING, model), [as_lm_eval(copying)], controls=1)
    model.cache = ModelCache()  # its identity is computed anew
    assert torch.equal(model(input_ids=ids).logits, before)
    assert model.identity == weights
    assert vars(model.hf.config) == attributes
    assert model.tokenizer.pad_token is None
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert logging.getLogger("lm_eval").level == level
    with wb.masked(model, wb.HeadSet.of(COPYING, model)):  # refused if it were masked still
        pass


def test_an_error_inside_leaves_the_model_unmasked(planted, heads, copying):
    config = as_lm_eval(copying, process_results=lambda document, results: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        wb.evaluate(planted, heads, [config], controls=1)
    with wb.masked(planted, heads):
        pass


def test_it_can_be_cancelled_between_and_inside_head_sets(planted, heads, copying):
    stop, heard = threading.Event(), []

    def hear(progress):
        heard.append((progress.done, progress.total))
        if progress.done:
            stop.set()

    with pytest.raises(Cancelled), cancellable(hear, stop):
        wb.evaluate(planted, heads, [as_lm_eval(copying)], controls=2)
    assert heard == [(0, 4), (1, 4)]

    def cut_short(document, results):
        stop.set()  # the next attention layer sees it
        return graded(document, results)

    stop.clear()
    heard.clear()
    config = as_lm_eval(copying, process_results=cut_short)
    with pytest.raises(Cancelled), cancellable(lambda progress: heard.append(progress.done), stop):
        wb.evaluate(planted, heads, [config], controls=2)
    assert heard[-1] <= 1
    with wb.masked(planted, heads):
        pass


# ---- tables and errors ------------------------------------------------------------------------


def test_without_heads_nothing_is_masked(planted, copying):
    table = wb.evaluate(planted, None, [as_lm_eval(copying)], limit=2)
    assert table.frame["masked"].tolist() == ["nothing", "nothing"]
    assert table.frame["items"].tolist() == [2, 2]
    assert repr(table).startswith("Evaluation: 1 tasks, 1 head sets, 2 answers in all\n")
    assert "<td>nothing</td>" in table._repr_html_()
    assert list(table.frame) == ["task", "metric", "value", "stderr", "items", "masked", "draw"]


def test_the_mirror_sums_up_and_draws_an_evaluation(planted, heads, copying):
    from workbench.figures.tasks import mirror_bars

    table = wb.evaluate(planted, heads, [as_lm_eval(copying)], controls=2)
    ours = wb.mirror_summary(wb.mirror(planted, heads, [copying], controls=2), "exact")
    found = wb.mirror_summary(wb.evaluation_items(table, "acc"), "acc")
    pd.testing.assert_frame_equal(found, ours.drop(columns="needs_context"))
    bars = {trace.name: trace for trace in mirror_bars(found).data}
    assert bars["no mask"].x == ("copying<br>",)
    assert bars["no mask"].y == pytest.approx(ours["nothing"], abs=1e-4)


def test_what_cannot_be_evaluated(planted, heads, copying, monkeypatch):
    for given in ({"tasks": []}, {"tasks": "workbench"}, {"tasks": ["workbench"], "controls": 0}):
        with pytest.raises(ValueError, match="needs a list of tasks, and a control"):
            wb.evaluate(planted, heads, **given)
    table = wb.evaluate(planted, None, [as_lm_eval(copying)], limit=1)
    with pytest.raises(ValueError, match=r"no item has the metric 'f1'.*have acc, nats"):
        wb.evaluation_items(table, "f1")
    with pytest.raises(TypeError, match="got a DataFrame: pass that, not its frame"):
        wb.evaluation_items(table.frame, "acc")
    monkeypatch.setitem(sys.modules, "lm_eval", None)  # what Python takes for "not installed"
    with pytest.raises(ImportError, match=r"pip install '.\[eval\]'"):
        wb.evaluate(planted, heads)


@pytest.mark.slow
def test_a_task_that_nobody_knows(planted):
    """lm-eval's own thousands of task files are read before this is said."""
    with pytest.raises(ValueError, match=r"no task nonsense\. Ours are workbench, work"):
        wb.evaluate(planted, None, ["nonsense", "workbench", "gsm8k"])
