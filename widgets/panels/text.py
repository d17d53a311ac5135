"""The text that is looked at: a box to type it in, and its tokens."""

from __future__ import annotations

import ipywidgets as w

from widgets.problem_box import ProblemBox, escaped
from widgets.views.token_view import TokenView
from workbench.session.session import Session

ORDERS = [("in reading order", "text"), ("most hurt first", "hurt")]


class TextPanel(w.VBox):
    """Shows the text of a session; what the tokens lose is shown when it is computed."""

    def __init__(self, session: Session, problem: ProblemBox) -> None:
        """The tokens, and a box to type another text in.

        Args:
            session: whose text is shown.
            problem: shows the errors.
        """
        self.session = session
        self._written = ""  # into the box
        self.tokens = TokenView(problem)
        self.tokens.on_undo = problem.guarded(session.undo)
        self.tokens.on_redo = problem.guarded(session.redo)
        self.source = w.HTML()
        self.source.add_class("aiw-source")
        self.box = w.Textarea(rows=3, layout={"width": "100%"}, continuous_update=False)
        self.read = w.Button(
            description="Read this text", layout={"width": "auto", "align_self": "flex-start"}
        )
        self.read.on_click(problem.guarded(lambda _: session.read(self.box.value)))
        self.order = w.ToggleButtons(
            options=ORDERS, description="Tokens", style={"button_width": "auto"}
        )
        w.link((self.order, "value"), (self.tokens, "order"))
        super().__init__([self.order, self.tokens, self.source, self.box, self.read])

    def follow(self) -> None:
        """Show the text of the session in the box, and which token was asked about."""
        session = self.session
        if session.text != self._written:  # else what is being typed would be lost
            self.box.value = self._written = session.text
        document, position, corpus = session.document, session.position, session.corpus
        label = "" if document is None else f"document <bdi><b>{escaped(document)}</b></bdi>"
        if position is not None and corpus is not None:
            label += f", {escaped(corpus.status(position))}"
        self.source.value = label
        token = session.palette.token
        self.tokens.selected = -1 if token is None else token
