"""Tasks with exact answers, and what masking costs on them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from support.models import make_model
from support.planted import COPYING, planted_model

import workbench as wb
from workbench.evaluation.tasks import COMPLETIONS, KINDS, LABELS, Item, Task, asked, built_in_tasks


@pytest.fixture(scope="module")
def planted():
    return planted_model()


@pytest.fixture(scope="module")
def copying(planted):
    """Strings of different letters, begun again: what the planted heads do."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    rng = np.random.default_rng(0)
    items = []
    for _ in range(6):
        text = "".join(rng.permutation(list(letters)))
        items.append(Item(text + text[3:8], text[8:11]))
    return Task("copying", tuple(items), True)


# ---- tasks ------------------------------------------------------------------------------------


def test_every_answer_is_right():
    """Each prompt is read anew by a plain reader, which must come to the stated answer."""
    tasks = {task.name: task for task in built_in_tasks(20)}
    assert len(tasks) == 7
    for name in ("lookup, 6 pairs", "lookup, 48 pairs"):
        for item in tasks[name].items:
            table, query = item.prompt.split("\n\nAgain:\n")
            known = dict(line.split(": ") for line in table.splitlines())
            assert len(known) == int(re.findall(r"\d+", name)[0])
            assert item.answer == f" {known[query.removesuffix(':')]}"
    for item in tasks["induction"].items:
        words = item.prompt.split(" ")
        again = words[30:]
        assert words[: len(again)] == again
        assert item.answer.split() == words[len(again) : len(again) + 4]
        assert len(set(words[:30])) == 30
    for item in tasks["many-shot labels"].items:
        *shots, query = [line.split(" ->") for line in item.prompt.splitlines()]
        known = {word: label for word, label in shots}
        kind = next(k for k, words in KINDS.items() if query[0] in words)
        assert query[0] not in known
        assert {known[word] for word in KINDS[kind] if word in known} == {item.answer}
        assert item.answer.strip() in LABELS
    for item in tasks["variable tracking"].items:
        for program in (item.prompt + item.answer).split("\n\n"):
            code, stated = program.split("  # prints")
            names, printed = {}, []
            exec(code, {"print": printed.append}, names)
            assert f" {printed[0]}" == stated
    for item in tasks["few-shot arithmetic"].items:
        for line in (item.prompt + item.answer).splitlines():
            left, right = line.split(" = ")
            assert sum(map(int, left.split(" + "))) == int(right)
    control = tasks["common completions"]
    assert set(control.items) <= {Item(*completion) for completion in COMPLETIONS}
    assert [task.name for task in tasks.values() if not task.needs_context] == [
        "few-shot arithmetic", "common completions",
    ]  # fmt: skip


def test_tasks_depend_on_the_seed_alone():
    assert built_in_tasks(4) == built_in_tasks(4)
    assert built_in_tasks(4)[0].items == built_in_tasks(6)[0].items[:4]
    assert built_in_tasks(4, seed=1)[0].items != built_in_tasks(4)[0].items
    assert len(set(built_in_tasks(30)[1].items)) == 30
    with pytest.raises(ValueError, match="two items or more"):
        built_in_tasks(1)


def test_an_item_as_tokens(planted):
    found = asked(planted, Item("abc", "de"))
    assert list(found.ids) == planted.encode("abcde")
    assert found.answer == (3, 5)
    with pytest.raises(ValueError, match="a prompt and an answer"):
        asked(planted, Item("abc", ""))
    with pytest.raises(ValueError, match="longer than the model's context of 1024"):
        asked(planted, Item("abc" * 400, "de"))


# ---- the mirror -------------------------------------------------------------------------------


def test_masking_the_copying_heads_costs_the_copying_task(planted, copying):
    heads = wb.HeadSet.of(COPYING, planted)
    table = wb.mirror(planted, heads, [copying], controls=6)
    assert len(table) == 6 * 8
    found = wb.mirror_summary(table).iloc[0]
    assert (found["nothing"], found["detected"], found["items"]) == (1, 0, 6)
    assert (found["change"], found["change_low"], found["change_high"]) == (-1, -1, -1)
    # Copying also needs the head that looks one back: a draw that holds it costs as much.
    draws = [
        wb.HeadSet.random(planted, exclude=heads, seed=int(draw_seed))
        for draw_seed in np.random.default_rng(0).integers(2**31, size=6)
    ]
    kept = [float(wb.Head(0, 2) not in draw) for draw in draws]
    assert 0 < sum(kept) < 6
    by_draw = table[table["masked"] == "random"].groupby("draw")["exact"].mean()
    assert by_draw.tolist() == kept
    assert (found["random_low"], found["random_high"]) == (0, 1)
    assert found["random"] == pytest.approx(np.mean(kept))
    assert found["excess"] == pytest.approx(-np.mean(kept))
    loss = wb.mirror_summary(table, "loss").iloc[0]
    assert loss["change_low"] > 1


@pytest.mark.parametrize("bos", [False, True])
def test_each_number_is_what_a_plain_pass_gives(bos):
    model = make_model(bos=bos)
    heads = wb.HeadSet.parse("L0H1 L2H3", model)
    tasks = [
        Task("one", (Item("some text and", " more"), Item("abc", "d")), True),
        Task("two", (Item("x = 1\nx", " = 2"),), False),
    ]
    table = wb.mirror(model, heads, tasks, controls=2, seed=5)
    draws = [
        wb.HeadSet.random(model, exclude=heads, seed=int(draw_seed))
        for draw_seed in np.random.default_rng(5).integers(2**31, size=2)
    ]
    sets = {("nothing", 0): None, ("detected", 0): heads, ("random", 0): draws[0],
            ("random", 1): draws[1]}  # fmt: skip
    for row in table.itertuples():
        item = next(task for task in tasks if task.name == row.task).items[row.item]
        prompt, answer = model.encode(item.prompt), model.encode(item.answer)
        ids = torch.tensor([[*model.bos_ids, *prompt, *answer]])
        with wb.masked(model, sets[row.masked, row.draw]), torch.no_grad():
            logits = model(input_ids=ids).logits[0, -len(answer) - 1 : -1].log_softmax(-1)
        target = torch.tensor(answer)
        plain = -logits[torch.arange(len(answer)), target].mean()
        assert row.loss == pytest.approx(float(plain), rel=1e-4)
        assert row.exact == float((logits.argmax(-1) == target).all())


def test_intervals_are_paired_over_items():
    """A change that is the same for every item has no width, however the items differ."""
    rows = [
        ("t", True, i, masked, draw, i + cost, 1.0)
        for i in range(8)
        for masked, draw, cost in (
            ("nothing", 0, 0), ("detected", 0, 2), ("random", 0, 0.5), ("random", 1, 1.5),
        )
    ]  # fmt: skip
    columns = ["task", "needs_context", "item", "masked", "draw", "loss", "exact"]
    found = wb.mirror_summary(pd.DataFrame(rows, columns=columns), "loss").iloc[0]
    assert (found["change"], found["change_low"], found["change_high"]) == (2, 2, 2)
    assert (found["excess"], found["excess_low"], found["excess_high"]) == (1, 1, 1)
    assert (found["random_low"], found["random"], found["random_high"]) == (4, 4.5, 5)


def made_up(losses: dict[tuple[str, int], list[float]], names=("a", "b", "c")) -> pd.DataFrame:
    """A mirror's table of one task with these losses."""
    rows = [
        ("t", False, i, names[i], masked, draw, loss, 0.0)
        for (masked, draw), column in losses.items()
        for i, loss in enumerate(column)
    ]
    columns = ["task", "needs_context", "item", "name", "masked", "draw", "loss", "exact"]
    return pd.DataFrame(rows, columns=columns)


def test_a_relative_rise_is_taken_item_by_item():
    table = made_up(
        {("nothing", 0): [1, 2, 4], ("detected", 0): [3, 6, 12], ("random", 0): [1.5, 3, 6],
         ("random", 1): [2.5, 5, 10]}
    )  # fmt: skip
    found = wb.mirror_summary(table, "rise").iloc[0]
    assert (found["nothing"], found["detected"], found["random"]) == (0, 2, 1)
    assert (found["random_low"], found["random_high"]) == (0.5, 1.5)
    assert (found["change_low"], found["change_high"]) == (2, 2)  # the same for all: no width
    assert (found["excess_low"], found["excess_high"]) == (1, 1)
    # Not the rise of the mean: the item of low loss counts as much as the others.
    uneven = made_up(
        {("nothing", 0): [0.1, 2, 4], ("detected", 0): [1.1, 2, 4], ("random", 0): [0.1, 2, 4]}
    )
    found = wb.mirror_summary(uneven, "rise").iloc[0]
    assert found["change"] == pytest.approx(10 / 3)
    assert wb.mirror_summary(uneven, "loss").iloc[0]["change"] == pytest.approx(1 / 3)


def test_intervals_of_rises_hold_the_truth():
    """40 tasks of 30 items whose mean rise is known: 95 % intervals hold it in most of them."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(40):
        base = rng.uniform(0.5, 2, size=30)
        rise = rng.normal(1, 0.5, size=30)
        sets = {("nothing", 0): base, ("detected", 0): base * (1 + rise), ("random", 0): base}
        found = wb.mirror_summary(made_up(sets, names=[""] * 30), "rise", draws=400).iloc[0]
        held += found["change_low"] <= 1 <= found["change_high"]
    assert 34 <= held <= 40


@pytest.mark.parametrize("measure", ["rise", "loss", "exact"])
def test_items_are_what_a_plain_loop_finds(copying, measure):
    named = Task("few", (Item("abcd", "efg", "first"), Item("xyz", "zy", "second")), False)
    model = make_model()
    table = wb.mirror(model, wb.HeadSet.parse("L0H1 L2H3", model), [named, copying], controls=3)
    found = wb.mirror_items(table, measure)
    assert len(found) == 8
    for row in found.itertuples():
        part = table[(table["task"] == row.task) & (table["item"] == row.item)]
        task = named if row.task == "few" else copying
        assert row.name == task.items[row.item].name
        assert row.needs_context == task.needs_context
        base = part[part["masked"] == "nothing"]["loss"].item()
        assert row.base_loss == base
        values = {}
        for effect in part.itertuples():
            value = effect.exact if measure == "exact" else effect.loss
            values[effect.masked, effect.draw] = value / base - 1 if measure == "rise" else value
        random = [values["random", draw] for draw in range(3)]
        assert row.nothing == pytest.approx(values["nothing", 0])
        assert row.detected == pytest.approx(values["detected", 0])
        assert row.random == pytest.approx(sum(random) / 3)
        assert (row.random_low, row.random_high) == pytest.approx((min(random), max(random)))
    cost = (found["detected"] - found["nothing"]).abs()
    assert cost.is_monotonic_decreasing


def test_what_makes_no_mirror(planted, copying):
    heads = wb.HeadSet.of(COPYING, planted)
    nothing = wb.HeadSet.of([], planted)
    for given in ((nothing, [copying]), (heads, []), (heads, [copying, copying])):
        with pytest.raises(ValueError, match="a mirror needs heads, tasks"):
            wb.mirror(planted, *given)
    with pytest.raises(ValueError, match="0 controls"):
        wb.mirror(planted, heads, [copying], controls=0)
    with pytest.raises(ValueError, match="one of loss, exact, rise, got 'accuracy'"):
        wb.mirror_summary(wb.mirror(planted, heads, [copying], controls=1), "accuracy")
    perfect = made_up({("nothing", 0): [0, 1, 2], ("detected", 0): [1, 1, 1]})
    with pytest.raises(ValueError, match="1 items of 't' have a loss of 0"):
        wb.mirror_items(perfect)


def test_the_figure_draws_the_summary(planted, copying):
    from workbench.figures.tasks import mirror_bars

    control = Task("<b>control</b>", (Item("abc", "d"), Item("xyz", "a")), False)
    table = wb.mirror(planted, wb.HeadSet.of(COPYING, planted), [control, copying], controls=2)
    figure = mirror_bars(wb.mirror_summary(table))
    bars = {trace.name: trace for trace in figure.data}
    assert list(bars) == ["no mask", "random heads masked", "detected heads masked"]
    names = bars["no mask"].x
    assert names[0].startswith("copying<br>(needs context)")
    assert names[1].startswith("&lt;b&gt;control&lt;/b&gt;<br>(needs no context)")
    assert (bars["no mask"].y[0], bars["detected heads masked"].y[0]) == (1, 0)
    assert (bars["no mask"].text[0], bars["detected heads masked"].text[0]) == ("", "0")


def test_the_figure_of_items_draws_the_most_and_the_least_hurt():
    from workbench.figures.tasks import mirror_dots

    table = made_up(
        {("nothing", 0): [1, 1, 1], ("detected", 0): [2, 4, 3], ("random", 0): [1.1, 1.2, 1.3],
         ("random", 1): [1.3, 1.4, 1.5]},
        names=["<i>a</i>", "", "c"],
    )  # fmt: skip
    items = wb.mirror_items(table)
    random, detected = mirror_dots(items).data
    assert detected.y == ("&lt;i&gt;a&lt;/i&gt;, t", "c, t", "1, t")  # the most hurt on top
    assert list(detected.x) == [1, 2, 3]
    assert list(random.x) == pytest.approx([0.2, 0.4, 0.3])
    assert list(random.error_x.array) == pytest.approx([0.1, 0.1, 0.1])
    assert list(random.error_x.arrayminus) == pytest.approx([0.1, 0.1, 0.1])
    assert list(mirror_dots(items, top=1).data[1].x) == [1, 3]
