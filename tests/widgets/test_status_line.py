"""The status line: one height, the work that matters most, errors until they are no longer true."""

from __future__ import annotations

import pytest

from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from workbench.core.progress import Progress

PATIENCE = 30


@pytest.fixture
def line():
    return StatusLine()


def shown(line):
    """What is said of work, or nothing; bar and button come and go with the words."""
    (display,) = {part.layout.display for part in (line.bar, line.progress, line.cancel)}
    return line.progress.value if display != "none" else ""


def test_work_is_shown_once_it_takes_long(line):
    stopped: list = []
    watch = line.watcher(lambda: stopped.append(True))
    assert shown(line) == ""
    watch("scoring", None)
    watch("scoring", Progress("scoring", "doc", 1, 10, 0.1))
    assert shown(line) == ""
    watch("scoring", Progress("scoring", "doc", 5, 10, 5.0))
    assert shown(line) == "scoring: 5 of 10 documents, 0:05 left"
    assert line.bar.value == 0.5
    line.cancel.click()
    assert stopped == [True]
    watch("", None)
    assert shown(line) == ""


def test_long_work_is_shown_at_once_and_before_shorter_work(line):
    short, long = line.watcher(lambda: None), line.watcher(lambda: None, at_once=True)
    long("scoring", None)
    assert shown(line) == "scoring ..."
    short("losses", Progress("losses", "pass", 1, 2, 1.0))
    assert shown(line) == "scoring ..."
    long("", None)
    assert shown(line).startswith("losses: 1 of 2")


def test_an_error_is_shown_as_text_and_goes_with_the_next_success(line):
    def act(fail):
        if fail:
            raise KeyError("<b>not</b> bold \u202e")

    note = Note()
    careful = line.guarded(act, note)
    careful(True)
    assert isinstance(line.error, KeyError)
    for words in (line.words.value, note.value):  # in the line and beside the control
        assert 'role="alert"' in words
        assert "&lt;b&gt;not&lt;/b&gt;" in words
        assert "\u202e" not in words
    careful(False)
    assert line.error is None
    assert "alert" not in line.words.value
    assert note.value == ""


def test_an_error_of_long_work_stays_until_the_same_work_succeeds(line):
    queues = TaskQueues(line)
    note = Note()

    def broken():
        raise ValueError("no such thing")

    try:
        queues.begin("scoring", broken, note=note)
        assert queues.wait(PATIENCE)
        assert str(line.error) == "no such thing"
        assert "no such thing" in note.value
        line.guarded(lambda: None)()  # the reader goes on elsewhere
        queues.begin("the curve", lambda: None)
        assert queues.wait(PATIENCE)
        assert str(line.error) == "no such thing"
        queues.begin("scoring", lambda: None, note=note)
        assert queues.wait(PATIENCE)
        assert line.error is None
        assert note.value == ""
        queues.begin("scoring", broken)
        assert queues.wait(PATIENCE)
        line.close_error.click()
        assert line.error is None
    finally:
        queues.close()


def test_what_an_error_asks_of_python_is_a_button_beside_it(line):
    done = []

    def failing(message):
        raise ValueError(message)

    line.offer("allow_ties=True", "Allow ties", lambda: done.append("ties"))
    line.offer("session.detect()", "Find the heads", lambda: failing("not now"))
    assert line.remedy.layout.display == "none"
    line.guarded(failing)("two heads tie: use allow_ties=True")
    assert (line.remedy.layout.display, line.remedy.description) == ("", "Allow ties")
    line.remedy.click()
    assert done == ["ties"]
    assert line.error is None
    assert line.remedy.layout.display == "none"
    line.guarded(failing)("no score yet: call session.detect()")
    line.remedy.click()
    assert str(line.error) == "not now"  # the remedy may fail as well
    assert line.remedy.layout.display == "none"
    line.offer("allow_ties=True", "Other ties", lambda: done.append("other"))
    line.keep(ValueError("allow_ties=True"), "masking")
    line.remedy.click()
    assert done == ["ties", "other"]
    assert line.error is None


def test_the_hint_is_shown_while_nothing_else_is_said(line):
    line.suggest("find the heads")
    assert "find the heads" in line.words.value
    line.say("14 heads <found>")
    assert "14 heads &lt;found&gt;" in line.words.value
    line.suggest("mask them")
    assert "14 heads" in line.words.value
    line.clear()
    assert "mask them" in line.words.value
