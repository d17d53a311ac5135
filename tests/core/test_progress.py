"""Cancellable work: it tells how far it is, stops when asked, and steps aside for urgent work."""

from __future__ import annotations

import contextlib
import threading
from functools import cache

import numpy as np
import pandas as pd
import pytest
from support.models import make_model, with_means
from support.planted import planted_model, planted_probes

import workbench as wb
from workbench.core import progress
from workbench.core.progress import (
    Cancelled,
    Progress,
    cancellable,
    preemptible,
    progress_bar,
    track,
)
from workbench.masking.reference import plain_losses
from workbench.models import attention_hook
from workbench.models.attached_hooks import is_overridden

TEXT = "Which head does this need?"
CORPUS = [{"id": f"d{i}", "text": f"document {i}: " + "word " * (i % 7)} for i in range(9)]
SECONDS = 30  # after which a thread is taken to hang


class Work(threading.Thread):
    """`compute` as cancellable work in a thread, with what it told and how it ended."""

    def __init__(self, compute, high_priority=False, on_progress=lambda state: None):
        super().__init__(daemon=True)
        self.compute, self.high_priority, self.on_progress = compute, high_priority, on_progress
        self.stop, self.states, self.result, self.error = threading.Event(), [], None, None

    def run(self):
        def keep(state):
            self.states.append(state)
            self.on_progress(state)

        try:
            with cancellable(keep, self.stop, high_priority=self.high_priority):
                self.result = self.compute()
        except BaseException as error:
            self.error = error

    def finish(self):
        self.join(SECONDS)
        assert not self.is_alive(), "this thread hangs"
        return self


@contextlib.contextmanager
def on_pass(model, number, do):
    """Call `do` at the second layer of the pass of this number."""
    passes = 0

    def hook(*_):
        nonlocal passes
        passes += 1
        if passes == number:
            do()

    handle = model.hf.base_model.layers[1].register_forward_pre_hook(hook)
    try:
        yield lambda: passes
    finally:
        handle.remove()


def trace(model):
    """Losses of the plain way, and all that a pass could leave behind on the model."""
    layers = model.hf.base_model.layers
    left = [
        is_overridden(model.sites),
        *(attention_hook.SLOT in site.module.__dict__ for site in model.sites),
        *("forward" in layer.__dict__ or bool(layer._forward_pre_hooks) for layer in layers),
        any(parameter.grad is not None for parameter in model.hf.parameters()),
    ]
    assert not any(left)
    free = threading.Thread(target=lambda: model.lock.acquire() and model.lock.release())
    free.daemon = True
    free.start()
    free.join(SECONDS)
    assert not free.is_alive(), "somebody still holds the model"
    return plain_losses(model, [*range(70, 110)])


def scores_of(model):
    layer, head = np.divmod(np.arange(model.num_layers * model.num_heads), model.num_heads)
    return pd.DataFrame({"layer": layer, "head": head, "score": np.arange(len(layer)) / 10 + 0.1})


HEADS = "L0H1 L1H3"
OWN = 1 << 29  # bytes: sessions that shared their streams would compute nothing the second time
WORK = {
    "map": lambda m: wb.head_effects(m, TEXT).per_token,
    "map, mean": lambda m: wb.head_effects(m, TEXT, mode="mean").per_token,
    "estimate": lambda m: wb.head_effects(m, TEXT, method="gradient").effect,
    "losses": lambda m: wb.token_losses(m, [TEXT] * 3, [None, wb.HeadSet.parse(HEADS, m)])[2][1],
    "means": lambda m: wb.head_means(m, [TEXT] * 4).numpy(),
    "plain": lambda m: plain_losses(m, m.encode(TEXT), wb.HeadSet.parse(HEADS, m), "mean"),
    "session": lambda m: wb.Session(m, TEXT, HEADS, memory=OWN).changes().after,
    "predictions": lambda m: np.array(
        [token.probability for token in wb.Session(m, TEXT, HEADS, memory=OWN).predictions(7)[1]]
    ),
    "detect": lambda m: wb.retrieval_scores(m, planted_probes(m, n=3)).frame["score"].to_numpy(),
    "curve": lambda m: wb.masking_curve(
        m, scores_of(m), planted_probes(m, n=2), [TEXT], draws=2
    )["lookup_loss"].to_numpy(),
    "score": lambda m: (
        wb.score_corpus(m, wb.HeadSet.parse(HEADS, m), CORPUS).frame["score"].to_numpy()
    ),
}  # fmt: skip


def fresh(name):
    """A model that nobody has tried out yet: the trials are passes like others."""
    model = planted_model() if name in ("detect", "curve") else make_model()
    with_means(model)
    return model


@cache
def undisturbed(name):
    """The result, the model, and how many passes it takes the first time and later."""
    model, counts = fresh(name), []
    for _ in range(2):
        with on_pass(model, 0, None) as passes:
            result = WORK[name](model)
        counts.append(passes())
    return result, model, counts


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", WORK)
def test_stopped_in_the_middle_of_a_pass_it_leaves_the_stock_model(name, again):
    expected, model, counts = undisturbed(name)
    before = trace(model)
    model, middle = model if again else fresh(name), (counts[again] + 1) // 2
    work = Work(lambda: WORK[name](model))
    with on_pass(model, middle, work.stop.set) as passes:
        work.start()
        work.finish()
        assert passes() == middle  # it went no further than that pass
    assert isinstance(work.error, Cancelled)
    np.testing.assert_array_equal(trace(model), before)
    np.testing.assert_array_equal(WORK[name](model), expected)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", WORK)
def test_urgent_work_goes_first_and_changes_no_number(name, again):
    """Also while the model is tried out: who waits for pressing work must hold no lock."""
    expected, model, counts = undisturbed(name)
    model = model if again else fresh(name)
    waits = threading.Event()
    pressing = Work(
        lambda: waits.set() or plain_losses(model, [*range(70, 110)]), high_priority=True
    )
    work = Work(lambda: WORK[name](model))

    def come():
        pressing.start()
        assert waits.wait(SECONDS)

    with on_pass(model, (counts[again] + 1) // 2, come) as passes:
        work.start()
        assert waits.wait(SECONDS)
        pressing.finish()
        work.finish()
        assert passes() > counts[again] + 1  # the pass that was left was begun again
    assert (pressing.error, work.error) == (None, None)
    np.testing.assert_array_equal(pressing.result, trace(model))
    np.testing.assert_array_equal(work.result, expected)
    assert progress._high_priority == 0


def test_a_kept_stream_is_begun_again_whole():
    """`ResidualCache.hidden` holds the lock around `run_from`: the outer one gives way."""
    model = make_model()
    cache = wb.ResidualCache(model)
    heads = wb.HeadSet.parse(HEADS, model)
    cache.losses(TEXT)
    waits = threading.Event()
    pressing = Work(lambda: waits.set() or cache.losses("another text"), high_priority=True)

    def come():
        pressing.start()
        assert waits.wait(SECONDS)

    work = Work(lambda: cache.losses(TEXT, heads))
    with on_pass(model, 1, come) as passes:
        work.start()
        assert waits.wait(SECONDS)
        pressing.finish()
        work.finish()
        assert passes() == 3  # the one that was left, the pressing one, the repeated one
    np.testing.assert_array_equal(work.result, wb.ResidualCache(model).losses(TEXT, heads))
    assert [state.done for state in work.states] == [0, 1, 2, 0, 1, 2, 3]  # layers, anew
    assert cache.computed_layers == 9


def test_what_waits_for_urgent_work_can_be_stopped():
    model = make_model()
    entered, leave = threading.Event(), threading.Event()
    pressing = Work(lambda: entered.set() or leave.wait(SECONDS), high_priority=True)
    work = Work(lambda: wb.head_effects(model, TEXT))
    with on_pass(model, 3, lambda: pressing.start() or entered.wait(SECONDS)):
        work.start()
        assert entered.wait(SECONDS)
        work.join(0.3)
    assert work.is_alive()
    trace(model)  # it waits, and holds nothing
    work.stop.set()
    work.finish()
    assert pressing.is_alive()
    assert isinstance(work.error, Cancelled)
    leave.set()
    pressing.finish()


def test_two_pieces_of_urgent_work_do_not_wait_for_each_other(tiny):
    both = [Work(lambda: wb.head_effects(tiny, TEXT).effect, high_priority=True) for _ in range(2)]
    for task in both:
        task.start()
    for task in both:
        task.finish()
    np.testing.assert_array_equal(both[0].result, both[1].result)


def test_a_stopped_run_is_taken_up_where_it_was(tiny, tmp_path):
    heads = wb.HeadSet.parse(HEADS, tiny)
    whole = wb.score_corpus(tiny, heads, CORPUS)
    work = Work(lambda: wb.score_corpus(tiny, heads, CORPUS, tmp_path, shard_size=2))
    work.on_progress = lambda state: (
        state.title == "scoring" and state.done == 5 and work.stop.set()
    )
    work.start()
    work.finish()
    assert isinstance(work.error, Cancelled)
    assert len(list(tmp_path.rglob("part-*.parquet"))) == 2
    table = wb.score_corpus(tiny, heads, CORPUS, tmp_path, shard_size=2)
    pd.testing.assert_frame_equal(table.frame, whole.frame, rtol=1e-5)


def test_a_session_that_was_stopped_goes_on(tiny):
    session = wb.Session(tiny, TEXT, HEADS)
    state = session.state
    work = Work(session.colours)
    with on_pass(tiny, 1, work.stop.set):
        work.start()
        work.finish()
    assert isinstance(work.error, Cancelled)
    assert session.state == state
    np.testing.assert_array_equal(session.colours().values, wb.Session(tiny, TEXT).colours().values)


# ---- what is told -----------------------------------------------------------------------------


def test_time_left_is_that_of_the_mean_rate():
    half = Progress("scoring", "doc", 25, 100, 10.0)
    assert half.left == 30.0
    assert str(half) == "scoring: 25 of 100 documents, 0:30 left"
    assert Progress("x", "y", 0, 100, 3.0).left is None
    assert Progress("x", "y", 5, None, 3.0).left is None
    assert str(Progress("reading", "doc", 1234, None, 3.0)) == "reading: 1,234 documents"
    assert Progress("x", "y", 120, 100, 3.0).left == 0
    assert Progress("x", "y", 90, 100, 10.0, kept=80).left == 10  # ten were done in ten seconds
    assert Progress("x", "y", 80, 100, 10.0, kept=80).left is None
    assert "1:01:01 left" in str(Progress("x", "y", 1, 2, 3661.0))
    assert "1:00 left" in str(Progress("x", "y", 1, 2, 59.7))


@pytest.mark.parametrize(
    ("unit", "total", "words"),
    [
        ("probe", 16, "3 of 16 probes"), ("head set", 4, "3 of 4 head sets"),
        ("doc", 96, "3 of 96 documents"), ("passes", 5, "3 of 5 passes"), ("MB", 7, "3 of 7 MB"),
    ],
)  # fmt: skip
def test_units_are_named_as_so_many_of_them_are_called(unit, total, words):
    assert str(Progress("x", unit, 3, total, 0.0, kept=3)) == f"x: {words}"
    assert str(Progress("x", "doc", 1, 1, 0.0, kept=1)) == "x: 1 of 1 document"


def test_a_bar_without_a_total_parts_the_number_from_its_unit(capfd, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with progress_bar("n-grams", "documents", None) as done:
        done(3)
    assert "n-grams: 3 documents" in capfd.readouterr().err


def test_who_watches_hears_every_unit_and_nobody_else_does(capfd, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    states = []
    with cancellable(states.append, threading.Event()):
        assert list(track("abc", "letters", "letter")) == ["a", "b", "c"]
        with progress_bar("more", "bit", None, bar=False) as done:
            done(4)
    assert [(state.title, state.unit, state.done, state.total) for state in states] == [
        *[("letters", "letter", i, 3) for i in range(4)], ("more", "bit", 0, None),
        ("more", "bit", 4, None),
    ]  # fmt: skip
    assert all(state.seconds >= 0 for state in states)
    assert capfd.readouterr().err == ""  # no bar besides
    assert list(track("ab", "letters", "letter")) == ["a", "b"]
    with progress_bar("short", "bit", 2, bar=False) as done:
        done(2)
    assert len(states) == 6
    shown = capfd.readouterr().err
    assert "letters" in shown
    assert "short" not in shown


def test_what_was_kept_counts_as_done_and_not_for_the_rate(capfd, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    states = []
    with cancellable(states.append, threading.Event()), progress_bar("more", "bit", 100) as done:
        done(80, kept=True)
        done(10)
    assert [(state.done, state.kept) for state in states] == [(0, 0), (80, 80), (90, 80)]
    assert states[-1].left == pytest.approx(states[-1].seconds)
    with progress_bar("resumed", "bit", 100) as done:
        done(100, kept=True)
    assert "100/100" in capfd.readouterr().err


def test_a_stop_ends_a_loop_at_its_next_unit_and_is_no_error():
    assert not issubclass(Cancelled, Exception)
    stop, seen = threading.Event(), []

    def loop():
        for item in track(range(9), "counting", "one"):
            seen.append(item)
            if item == 3:
                stop.set()

    with cancellable(lambda state: None, stop), pytest.raises(Cancelled):
        loop()
    assert seen == [0, 1, 2, 3]
    assert list(track(range(3), "counting", "one")) == [0, 1, 2]  # nobody watches any more


def test_only_the_watched_pass_is_patient(monkeypatch):
    calls = []

    @preemptible
    def inner(value):
        calls.append(value)
        progress.check_cancelled()
        return value

    monkeypatch.setattr(progress, "_high_priority", 1)  # pressing work of another thread
    assert inner(1) == 1  # a cell of the user: it does not wait
    with cancellable(lambda state: None, threading.Event(), high_priority=True):
        assert inner(2) == 2
    with cancellable(lambda state: None, threading.Event()):
        progress.check_cancelled()  # outside of a pass nothing can be begun again

        def urgent_ends():
            monkeypatch.setattr(progress, "_high_priority", 0)
            with progress._NONE_WAITING:
                progress._NONE_WAITING.notify_all()

        threading.Timer(0.2, urgent_ends).start()
        assert inner(3) == 3
    assert calls == [1, 2, 3, 3]
