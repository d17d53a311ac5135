"""Task queues: the newest request of a kind wins, work can be cancelled, nothing is swallowed."""

from __future__ import annotations

import threading

import pytest
from support.models import make_model

import workbench as wb
from widgets.status_line import StatusLine
from widgets.tasks.task_queue import TaskQueue
from widgets.tasks.task_queues import TaskQueues
from workbench.core.progress import check_cancelled, progress_bar

PATIENCE = 30


class Heard:
    """What a queue says."""

    def __init__(self):
        self.errors, self.results, self.watched = [], [], []

    def watch(self, title, progress):
        self.watched.append((title, progress))

    def report(self, error, key):
        self.errors.append(error)


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def queue(heard):
    queue = TaskQueue(heard.report, heard.watch)
    yield queue
    queue.close()


def busy(started, go):
    """Work that can be stopped, and goes on until `go`."""

    def work():
        started.set()
        while not go.wait(0.005):
            check_cancelled()
        return "finished"

    return work


def test_a_newer_job_of_the_same_kind_replaces_the_running_and_the_waiting_one(queue, heard):
    started, go = threading.Event(), threading.Event()
    queue.do("losses", busy(started, go), heard.results.append)
    assert started.wait(PATIENCE)
    queue.do("losses", lambda: "old", heard.results.append)
    queue.do("losses", lambda: "new", heard.results.append)
    assert queue.wait(PATIENCE)
    assert heard.results == ["new"]
    assert heard.errors == []


def test_jobs_of_other_kinds_follow_in_order(queue, heard):
    started, go = threading.Event(), threading.Event()
    queue.do("a", busy(started, go), heard.results.append)
    assert started.wait(PATIENCE)
    for name in "bcd":
        queue.do(name, lambda name=name: name, heard.results.append)
    assert queue.keys == set("abcd")
    go.set()
    assert queue.wait(PATIENCE)
    assert heard.results == ["finished", "b", "c", "d"]
    assert not queue.busy


def test_cancel_stops_what_runs_and_drops_what_waits(queue, heard):
    started = threading.Event()
    queue.do("a", busy(started, threading.Event()), heard.results.append)
    assert started.wait(PATIENCE)
    queue.do("b", lambda: "b", heard.results.append)
    queue.cancel()
    assert queue.wait(PATIENCE)
    assert heard.results == []
    queue.do("c", lambda: "c", heard.results.append)
    assert queue.wait(PATIENCE)
    assert heard.results == ["c"]


def test_who_owns_a_queue_hears_of_what_was_cancelled_and_of_nothing_else(queue, heard):
    told: list = []
    queue.on_cancel = told.append
    for end, expected in (
        (lambda: queue.do("a", lambda: "newer", heard.results.append), []),
        (queue.cancel, ["b", "a"]),
        (queue.close, []),
    ):
        told.clear()
        started, go = threading.Event(), threading.Event()
        queue.do("a", busy(started, go), heard.results.append)
        assert started.wait(PATIENCE)
        queue.do("b", lambda: "b", heard.results.append)
        end()
        assert queue.wait(PATIENCE)
        assert told == expected
    assert heard.results == ["b", "newer"]


def test_a_result_that_came_too_late_is_not_told(queue, heard):
    started, go = threading.Event(), threading.Event()

    def deaf():
        started.set()
        go.wait(PATIENCE)
        return "late"

    queue.do("a", deaf, heard.results.append)
    assert started.wait(PATIENCE)
    queue.cancel()
    go.set()
    assert queue.wait(PATIENCE)
    assert heard.results == []


def test_errors_of_work_and_of_listeners_are_reported_and_the_lane_goes_on(queue, heard):
    def broken(_=None):
        raise ValueError("no such thing")

    queue.do("a", broken, heard.results.append)
    queue.do("b", lambda: 1, broken)
    queue.do("c", lambda: 2, heard.results.append)
    assert queue.wait(PATIENCE)
    assert [str(error) for error in heard.errors] == ["no such thing"] * 2
    assert heard.results == [2]


def test_progress_reaches_the_watcher_and_ends(queue, heard):
    def work():
        with progress_bar("counting", "unit", 3) as done:
            for _ in range(3):
                done(1)

    queue.do("a", work, heard.results.append)
    assert queue.wait(PATIENCE)
    assert heard.watched[0] == ("a", None)
    assert heard.watched[-1] == ("", None)
    assert [p.done for _, p in heard.watched if p is not None] == [0, 1, 2, 3]


def test_a_closed_lane_says_so(queue, heard):
    queue.close()
    with pytest.raises(RuntimeError, match="make a new one"):
        queue.do("a", lambda: 1, heard.results.append)


def test_the_same_long_work_is_not_begun_twice():
    queues = TaskQueues(StatusLine())
    started, go = threading.Event(), threading.Event()
    try:
        queues.begin("scoring", busy(started, go))
        with pytest.raises(ValueError, match="under way already"):
            queues.begin("scoring", lambda: None)
        go.set()
        assert queues.wait(PATIENCE)
        queues.begin("scoring", lambda: None)
        assert queues.wait(PATIENCE)
    finally:
        queues.close()


def test_long_work_may_be_begun_anew_and_then_the_old_answer_is_dropped():
    queues = TaskQueues(StatusLine())
    started, go = threading.Event(), threading.Event()
    results: list = []
    try:
        queues.begin("fitting", busy(started, go), lambda _: results.append("old"))
        assert started.wait(PATIENCE)
        queues.begin("fitting", lambda: "new", results.append, anew=True)
        go.set()
        assert queues.wait(PATIENCE)
        assert results == ["new"]
    finally:
        queues.close()


def test_urgent_work_comes_between_the_passes_of_a_map():
    """The map is left in the middle of a pass, and is the same in the end."""
    model = make_model()
    text = "abc abd abe " * 8
    alone = wb.head_effects(model, text).effect
    queues = TaskQueues(StatusLine())
    results: list = []
    between: list = []
    try:
        reached = threading.Event()
        queues.colours.do(
            "map",
            lambda: wb.head_effects(model, text, on_layer=lambda *_: reached.set()),
            results.append,
        )
        assert reached.wait(PATIENCE)
        for seed in range(5):
            heads = wb.HeadSet.random(model, size=2, seed=seed)
            queues.losses.do(
                f"losses {seed}", lambda heads=heads: wb.token_losses(model, [text], [heads]),
                between.append,
            )  # fmt: skip
        assert queues.wait(PATIENCE)
    finally:
        queues.close()
    assert len(between) == 5
    (effects,) = results
    assert (effects.effect == alone).all()
