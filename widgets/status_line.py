"""The line that says how work goes: progress with Cancel, errors, what was done, what to do next.

Jupyter swallows errors of callbacks, so each is handed to the line. It has one height whatever it
says, so nothing below it moves, and it stays in view while any of the explorer is. What a control
brought about is said beside the control as well (`Note`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import ipywidgets as w

from widgets.tasks.task_queue import Watcher
from workbench.core.progress import Progress
from workbench.core.text import escaped

QUIET = 0.4  # seconds that work takes without being announced
OFTEN = 0.2  # seconds between two changes of the progress


class Note(w.HTML):
    """A line of one height beside a control: what became of what the control began."""

    def __init__(self) -> None:
        super().__init__()
        self.add_class("aiw-note-line")

    def fail(self, error: BaseException) -> None:
        """Say what went wrong.

        Args:
            error: what happened.
        """
        message = escaped(str(error) or type(error).__name__)
        self.value = f'<div class="aiw-bad" role="alert" title="{message}">{message}</div>'

    def say(self, text: str) -> None:
        """Say what was done.

        Args:
            text: in words; it is shown as text.
        """
        self.value = f'<div role="status" title="{escaped(text)}">{escaped(text)}</div>'

    def clear(self) -> None:
        """Say nothing."""
        self.value = ""


class _Work:
    """What one queue is at."""

    def __init__(self, cancel: Callable[[], object], at_once: bool) -> None:
        self.cancel, self.at_once = cancel, at_once
        self.shown, self.words, self.share = False, "", 0.0
        self._renewed = 0.0

    def follow(self, title: str, progress: Progress | None) -> bool:
        """Take up how far it is; False if nothing of it is to be shown now."""
        if not title:
            self.shown = False
        elif progress is None:
            self.words, self.share, self.shown = f"{title} ...", 0.0, self.at_once
        elif progress.seconds < QUIET:
            return False
        else:
            now = time.monotonic()
            if now - self._renewed < OFTEN and progress.done != progress.total:
                return False
            self._renewed = now
            self.words, self.shown = str(progress), True
            self.share = progress.done / progress.total if progress.total else 0.0
        return True


class StatusLine(w.HBox):
    """Progress of the work that matters most, and the last thing that was said.

    An error of a click goes with the next click; one of long work stays until it is dismissed or
    the same work succeeds (`keep`, `settled`).

    Attributes:
        error: the error that is shown, or None.
        hint: what to do next, shown while nothing else is.
    """

    def __init__(self) -> None:
        self.words = w.HTML()
        self.words.add_class("aiw-status-words")
        self.bar = w.FloatProgress(min=0, max=1, layout={"width": "110px"})
        self.progress = w.HTML()
        self.progress.add_class("aiw-status-progress")
        self.cancel = w.Button(
            description="Cancel", icon="stop", tooltip="Stop this work", layout={"width": "auto"}
        )
        self.cancel.on_click(lambda _: self._running and self._running.cancel())
        self.close_error = w.Button(
            icon="times", tooltip="Dismiss this message", layout={"width": "28px"}
        )
        self.close_error.on_click(lambda _: self.dismiss())
        self.remedy = w.Button(
            layout={"width": "auto"}, button_style="primary", tooltip="What the message asks for"
        )
        self.remedy.on_click(lambda _: self._do_remedy())
        self._act: Callable[[], object] = lambda: None  # of the remedy
        self._remedies: dict[str, tuple[str, Callable[[], object]]] = {}
        super().__init__(
            [self.words, self.remedy, self.bar, self.progress, self.cancel, self.close_error]
        )
        self.add_class("aiw-status")
        self.error: BaseException | None = None
        self.hint = ""
        self._kept: str | None = None  # the work that the error is of
        self._said = ""
        self._works: list[_Work] = []
        self._running: _Work | None = None
        self._notes: dict[str, Note] = {}  # of work, beside the control that began it
        self._lock = threading.Lock()
        self._show_work()
        self._show_words()

    # ---- what is said -----------------------------------------------------------------------

    def __call__(self, error: BaseException) -> None:
        """Show an error of what the reader just did, until the next thing that is done.

        Args:
            error: what went wrong; its kind and message are shown, as text.
        """
        self.error, self._kept = error, None
        self._show_words()

    def keep(self, error: BaseException, work: str) -> None:
        """Show an error of work that ran for itself: nobody may be looking just now.

        Args:
            error: what happened.
            work: the kind of work, whose next success removes the error.
        """
        self.error, self._kept = error, work
        if work in self._notes:
            self._notes[work].fail(error)
        self._show_words()

    def settled(self, work: str) -> None:
        """Work came to its end: an old error of the same work is no longer true.

        Args:
            work: the kind of work.
        """
        if work in self._notes:
            self._notes[work].clear()
        if self._kept == work:
            self.dismiss()

    def say(self, text: str) -> None:
        """Say what was done, in the place of the hint.

        Args:
            text: in words; it is shown as text.
        """
        self._said = text
        self._show_words()

    def suggest(self, hint: str) -> None:
        """Say what to do next, while nothing else is said.

        Args:
            hint: in words.
        """
        if hint != self.hint:
            self.hint = hint
            self._show_words()

    def clear(self) -> None:
        """The reader goes on: an error of the last click is no longer of interest."""
        self._said = ""
        if self._kept is None:
            self.error = None
        self._show_words()

    def dismiss(self) -> None:
        """Take the error away."""
        self.error, self._kept, self._said = None, None, ""
        self._show_words()

    def offer(self, says: str, label: str, act: Callable[[], object]) -> None:
        """Offer a button beside the errors that tell a reader of Python what to do.

        Args:
            says: what such an error has in its message, such as "allow_ties=True"; of the same
                words, the last offer holds.
            label: of the button.
            act: what it does.
        """
        self._remedies[says] = label, act

    def guarded(
        self, callback: Callable[..., Any], note: Note | None = None
    ) -> Callable[..., None]:
        """A callback of something that the reader did, with its errors shown here.

        Args:
            callback: what the reader's action calls.
            note: beside the control, where the errors are shown as well; None: there is none.

        Returns:
            The careful callback.
        """

        @wraps(callback)
        def careful(*args: Any, **kwargs: Any) -> None:
            self.clear()
            if note is not None:
                note.clear()
            try:
                callback(*args, **kwargs)
            except Exception as error:
                self(error)
                if note is not None:
                    note.fail(error)

        return careful

    def _show_words(self) -> None:
        self.close_error.layout.display = "" if self.error else "none"
        self._show_remedy()
        if self.error is None:
            kind = "said" if self._said else "hint"
            self.words.value = f'<div class="aiw-{kind}">{escaped(self._said or self.hint)}</div>'
            return
        kind, message = type(self.error).__name__, str(self.error) or "no message"
        # One line; the whole message opens above what lies below, and moves nothing.
        self.words.value = (
            f'<details class="aiw-bad" role="alert"><summary><b>{escaped(kind)}</b>: '
            f"<bdi>{escaped(message)}</bdi></summary><div><bdi>{escaped(message)}</bdi></div></details>"
        )

    def _do_remedy(self) -> None:
        act = self._act
        self.dismiss()  # the error was heard
        self.guarded(act)()

    def _show_remedy(self) -> None:
        message = "" if self.error is None else str(self.error)
        found = [remedy for says, remedy in self._remedies.items() if says in message]
        self.remedy.layout.display = "" if found else "none"
        if found:
            self.remedy.description, self._act = found[0]
            self.remedy.tooltip = f"What the message asks for: {found[0][0]}"

    # ---- how far work is --------------------------------------------------------------------

    def watcher(self, cancel: Callable[[], object], at_once: bool = False) -> Watcher:
        """A place in the line for a queue; of several at work, the one asked for last is shown.

        Args:
            cancel: is called by the button.
            at_once: shown as soon as work begins, and not only when it turns out to be long.

        Returns:
            The `watch` of a `TaskQueue`.
        """
        work = _Work(cancel, at_once)
        self._works.append(work)

        def watch(title: str, progress: Progress | None) -> None:
            if work.follow(title, progress):
                self._show_work()

        return watch

    def beside(self, work: str, note: Note) -> None:
        """Say what becomes of long work beside the control that begins it, too.

        Args:
            work: the kind of work.
            note: beside the control.
        """
        self._notes[work] = note
        note.clear()

    def _show_work(self) -> None:
        with self._lock:  # queues come on threads of their own
            running = next((work for work in reversed(self._works) if work.shown), None)
            self._running = running
            for part in (self.bar, self.progress, self.cancel):
                part.layout.display = "none" if running is None else ""
            if running is not None:
                self.bar.value, self.progress.value = running.share, escaped(running.words)
