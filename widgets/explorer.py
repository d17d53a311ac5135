"""The explorer: heads, text, documents, cut and curves of one session, side by side."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import ipywidgets as w
import pandas as pd
from IPython.display import HTML, DisplayHandle, display

from widgets.default_model import load_default
from widgets.grid_picture import grid_png
from widgets.inside import inside
from widgets.panels.code import CodePanel
from widgets.panels.curves import CurvesPanel
from widgets.panels.documents import DocumentsPanel
from widgets.panels.head_list import HeadListPanel
from widgets.panels.heads import HeadsPanel
from widgets.panels.selection import SelectionPanel
from widgets.panels.text import TextPanel
from widgets.panels.toolbar import Toolbar
from widgets.static_view import snapshot
from widgets.status_line import StatusLine
from widgets.tasks.interrupt import on_interrupt
from widgets.tasks.task_queues import TaskQueues
from widgets.views.browser_files import stylesheet
from widgets.views.control_names import ControlNames
from workbench.core.progress import Cancelled
from workbench.core.text import counted
from workbench.masking.attention_rows import When
from workbench.masking.masks import require_unmasked
from workbench.masking.token_changes import TokenChanges
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.session.head_colours import HeadColours
from workbench.session.session import Session
from workbench.session.state import State

NEEDED = 6  # heads that are named beside the token that needs them
PAUSE = 0.7  # seconds without a change, after which the picture in the notebook is renewed
NO_MASK = "no mask"
LOSSES = "losses"  # of the tokens
CANCELLED = "the losses of the tokens are those of before"
TABS = ("Text", "Heads", "Documents", "Selection", "Curves", "Code")


class Explorer(w.VBox):
    """Toggle heads and see what the text loses.

    Whatever is clicked can be called on `session`, and the other way round.

    Attributes:
        session: the state behind it all.
    """

    _leave: tuple[Callable[[], object], ...] = ()  # what ends listening; none if making it failed

    def __init__(
        self,
        model: Model | Session | None = None,
        *,
        columns: pd.DataFrame | None = None,
        corpus: Any = None,
        **options: Any,
    ) -> None:
        """Show a model.

        Args:
            model: a Model, or a Session to go on with; None: the default model is loaded, with the
                scores of its heads that come with the package.
            columns: a frame with layer and head whose numeric columns may colour the grid.
            corpus: what the Documents tab scores; None: named there.
            **options: of `Session`: text, heads, scores, mode, ...

        Raises:
            TypeError: a session comes with options, which it has already.
        """
        if isinstance(model, Session) and options:
            raise TypeError(f"a session has its {', '.join(options)} already: change it there")
        if model is None:
            model, scores = load_default()
            options.setdefault("scores", scores)
        self.session = session = model if isinstance(model, Session) else Session(model, **options)
        self.status = StatusLine()
        self.queues = TaskQueues(self.status)
        self.toolbar = Toolbar(session, self.status, self.queues)
        self.heads = HeadsPanel(session, self.status)
        self.text = TextPanel(session, self.status)
        self.head_list = HeadListPanel(session, self.status, self.queues, self.heads.grid)
        self.documents = DocumentsPanel(
            session, self.status, self.queues, corpus,
            on_rank=lambda filters, note: self.selection.rank_among(filters, note),
        )  # fmt: skip
        self.selection = SelectionPanel(
            session, self.status, self.queues, self.documents.narrow
        )  # fmt: skip
        self.curves = CurvesPanel(session, self.status, self.queues)
        self.code = CodePanel(session, self.status)
        self.text.tokens.on_ask = self.status.guarded(self._ask)
        self.text.tokens.on_predict = self._predict
        self.text.tokens.on_look = self._look
        self.text.sides.observe(lambda _: self._sides_changed(), "value")
        note = self.text.step_note
        self.text.on_step = self.status.guarded(lambda by: self.documents.step(by, note), note)
        self.text.on_whole = self.status.guarded(
            lambda whole: self.documents.show(whole, note), note
        )
        self.heads.grid.observe(lambda _: self._name_chosen(), "chosen")
        for says in ("session.score(", "session.load("):
            self.status.offer(says, "Score or load a corpus", self._name_corpus)
        self.queues.losses.on_cancel = self._cancelled
        self.status.offer(CANCELLED, "Compute the losses", self._compute_losses)
        self.tabs = w.Tab(
            [
                self.text, self.head_list, self.documents, self.selection, self.curves, self.code,
            ], titles=TABS,
        )  # fmt: skip
        self.tabs.add_class("aiw-tabs")
        self.tabs.observe(lambda _: self._code_changed(), "selected_index")
        self.tabs.observe(
            lambda change: self.head_list.show(change["new"] == TABS.index("Heads")),
            "selected_index",
        )
        body = w.HBox([self.heads, self.tabs])
        body.add_class("aiw-body")
        style = w.HTML(f"<style>{stylesheet('explorer').read_text('utf-8')}</style>")
        style.layout.display = "none"
        super().__init__([style, ControlNames(), self.toolbar, self.status, body])
        self.add_class("aiw-explorer")
        self._static: DisplayHandle | None = None
        self._png: DisplayHandle | None = None
        self._later = threading.Timer(0, lambda: None)  # that renews the picture
        self._colours = HeadColours.none(session.model)
        self._shown: tuple[State, TokenChanges] | None = None  # of the tokens on the screen
        if columns is not None:
            session.add_columns(columns)
        self._leave = (session.on_change(self._changed), on_interrupt(self.queues.cancel))
        for what in ("state", "colours", *(["corpus"] if session.corpus is not None else [])):
            self._changed(what)
        self.toolbar.check_model()  # behind the first colours

    def __repr__(self) -> str:
        return f"<Explorer of {self.session!r}>"

    # ---- the session speaks -----------------------------------------------------------------

    def _changed(self, what: str) -> None:
        act: Mapping[str, Any] = {
            "state": self._state_changed,
            "document": self._document_changed,
            "scores": self._scores_changed,
            "colours": self._colours_changed,
            "corpus": self._corpus_changed,
            "cut": self._cut_changed,
            "columns": self.documents.follow_columns,
        }
        act[what]()

    def _state_changed(self) -> None:
        # First of all, since the reader waits for it; the controls follow meanwhile.
        self._compute_losses()
        self.heads.follow()
        self._name_chosen()
        self.toolbar.follow()
        self.text.follow()
        self.head_list.follow()
        self.selection.follow_heads()
        self._code_changed()

    def _scores_changed(self) -> None:
        self.toolbar.follow()
        self.heads.follow()
        self.curves.follow()
        self.head_list.follow()

    def _document_changed(self) -> None:
        self.text.step_note.clear()  # an old error, such as that there is no further document
        self.text.follow()
        if self.session.document is not None:  # it was opened to be looked at
            self.tabs.selected_index = TABS.index("Text")

    def _name_corpus(self) -> None:
        self.tabs.selected_index = TABS.index("Documents")
        self.documents.another.value = True

    def _sides_changed(self) -> None:
        self.text.follow_sides()
        self._compute_losses()

    def _compute_losses(self) -> None:
        self.text.tokens.stale = True
        self.queues.losses.do(LOSSES, self._losses, self._show_losses)

    def _cancelled(self, work: str) -> None:
        if work == LOSSES:  # else they would stay faded, and nothing would say why
            error = Cancelled(f"{CANCELLED}, those of now were not computed")
            self.status.keep(error, LOSSES)

    def _name_chosen(self) -> None:
        self.text.tokens.chosen = self.heads.chosen_words()

    def _losses(self) -> list[tuple[State, TokenChanges]]:
        """Of the present state; before it, side by side, of the set that it is compared with."""
        state = self.session.state
        if self.text.two:
            none = state.heads - state.heads
            sides = [
                replace(state, heads=heads, against=none) for heads in (state.against, state.heads)
            ]
        else:
            sides = [state]
        return [(side, self.session.changes(side)) for side in sides]

    def _show_losses(self, result: list[tuple[State, TokenChanges]]) -> None:
        self._shown = result[-1]
        reach = max(changes.colour_max for _, changes in result)  # colours of both mean the same
        views = (self.text.other, self.text.tokens)[-len(result) :]
        if len(result) == 2:
            (compared, _), (present, _) = result
            labels = [(NO_MASK, words) for words in _in_words(compared.heads, present.heads)]
        else:
            labels = [_in_words(self._shown[0].against, self._shown[0].heads)]
        for view, (_, changes), (before, after) in zip(views, result, labels, strict=True):
            view.show(changes, before, after, reach)
        self._renew_static()

    def _colours_changed(self) -> None:
        self.heads.follow()
        self.text.follow()
        self.queues.colours.do(
            "colours", lambda: self.session.colours(self.heads.show), self._show_colours
        )

    def _show_colours(self, colours: HeadColours) -> None:
        self._colours = colours
        self.heads.show(colours)
        every = self.session.model.head_count  # a map that grows has only some of them
        if colours.token is not None and len(colours.frame()) == every:
            needed = [(str(head), value) for head, value in colours.highest(NEEDED) if value > 0]
            tokens = self.text.tokens
            tokens.show_needs(colours.token, tokens.revision, needed, NO_MASK)
        self.head_list.follow()
        self._renew_static()

    def _corpus_changed(self) -> None:
        self.documents.renew()
        self.selection.renew()
        self._code_changed()

    def _cut_changed(self) -> None:
        self.documents.arrange()
        self.selection.follow()
        self._code_changed()

    def _code_changed(self) -> None:
        if self.tabs.selected_index != TABS.index("Code"):
            return  # a long text makes long code, which nobody sees just now
        self.code.follow()

    # ---- the browser speaks -----------------------------------------------------------------

    def _ask(self, token: int) -> None:
        if self._shown is None:
            return
        shown, state = self._shown[0], self.session.state
        if (shown.text, shown.window) == (state.text, state.window):
            self.session.ask(token)  # else the click was meant for a text that is on its way out

    def _predict(self, token: int) -> None:
        if self._shown is None:
            return
        revision, state = self.text.tokens.revision, self._shown[0]
        self.queues.losses.do(
            "predictions",
            lambda: self.session.predictions(token, state=state),
            lambda result: self.text.tokens.show_predictions(token, revision, *result),
        )

    def _look(self, token: int) -> None:
        if self._shown is None:
            return
        tokens, state = self.text.tokens, self._shown[0]
        revision, chosen, heads = tokens.revision, tokens.chosen, self.heads.chosen()
        when: When = "read" if tokens.when == "read" else "predicted"
        if not heads:
            return
        self.queues.looks.do(
            "where heads look",
            lambda: self.session.looks(token, heads, state, when),
            lambda rows: tokens.show_looks(token, revision, chosen, *rows),
        )

    # ---- without a browser ------------------------------------------------------------------

    def cancel(self) -> None:
        """Stop all work; the model is left unmasked and the session as it was."""
        self.queues.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is computed any more.

        Args:
            timeout: seconds; None: for ever.

        Returns:
            False if that took longer.
        """
        return self.queues.wait(timeout)

    def snapshot(self) -> HTML:
        """Grid and text as a picture in plain HTML, as they are now.

        Returns:
            What IPython displays.
        """
        state = self.session.state
        return HTML(snapshot(self.session.model, state, self._colours, self.session.changes(state)))

    def _grid_png(self) -> dict[str, str]:
        """The grid for sites that strip colours from HTML, as IPython displays it."""
        model, state = self.session.model, self.session.state
        content = grid_png(model, state.heads, self._colours)
        words = f"{len(state.heads)} of {model.head_count} heads masked, as a picture"
        return {"image/png": base64.b64encode(content).decode(), "text/plain": words}

    def close(self) -> None:
        """Stop all work for good, and forget the session."""
        leave, self._leave = self._leave, ()
        for end in leave:
            end()
        if leave:
            self._later.cancel()
            self.queues.close()
        for widget in inside(self):
            widget.close()
        super().close()

    def _ipython_display_(self) -> None:
        # The picture stands beside the widget, which hides it: where no kernel runs it is all there
        # is. Widget state is not saved into notebooks.
        require_unmasked(self.session.model)  # else this thread would wait for itself
        shown = super()._repr_mimebundle_()
        shown.pop("text/plain", None)  # beside the picture, the repr would say it again, and worse
        display(shown, raw=True)
        self.queues.losses.wait()
        self.queues.colours.wait()
        self._static = display(self.snapshot(), display_id=True)
        self._png = display(self._grid_png(), raw=True, display_id=True)

    def _renew_static(self) -> None:
        """Bring the picture in the notebook up to date, once the reader pauses.

        JupyterLab takes longer to lay it out than to recolour the tokens.
        """
        if self._static is None or self._shown is None or not self.text.tokens.theme:
            return
        self._later.cancel()
        self._later = threading.Timer(PAUSE, self._update_static)
        self._later.daemon = True
        self._later.start()

    def _update_static(self) -> None:
        try:
            assert self._static is not None
            assert self._shown is not None
            model, (state, changes) = self.session.model, self._shown
            self._static.update(HTML(snapshot(model, state, self._colours, changes)))
            if self._png is not None:
                self._png.update(self._grid_png(), raw=True)
        except Exception as error:
            self.status(error)


def _in_words(against: HeadSet, heads: HeadSet) -> tuple[str, str]:
    """The set compared with and the present one, told apart where they are of one size."""
    before, after = (
        f"{counted(len(one), 'head')} masked" if one else NO_MASK for one in (against, heads)
    )
    if before == after and against != heads:
        return f"{before} (compared with)", f"{after} (now)"
    return before, after
