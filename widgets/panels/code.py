"""The Python that rebuilds what is seen, short enough to be read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import ipywidgets as w

from widgets.status_line import Note, StatusLine
from widgets.views.code_view import CodeView
from workbench.session.session import Session

LONG = 600  # characters of a text that no longer stands in the code


class CodePanel(w.VBox):
    """Shows the code of a session; a long text is read from a file, written with one click."""

    def __init__(self, session: Session, status: StatusLine) -> None:
        """Without code until it is asked to follow.

        Args:
            session: whose code is shown.
            status: shows the errors.
        """
        self.session = session
        self.view = CodeView()
        self.note = Note()
        self.save = w.Button(
            icon="save", layout={"width": "auto"},
            tooltip="Write the text into this file beside the notebook, where the code reads it",
        )  # fmt: skip
        self.save.on_click(status.guarded(lambda _: self._save(), self.note))
        self._file = w.HBox([self.save, self.note])
        super().__init__([self._file, self.view])

    def follow(self) -> None:
        """Show the code of the present state."""
        file = self._text_file()
        self._file.layout.display = "none" if file is None else ""
        self.save.description = f"Write {file}"
        self.view.code = self.session.code(file)

    def _text_file(self) -> str | None:
        text = self.session.text
        if len(text) <= LONG or self.session.document is not None:
            return None  # the text of a document comes from its corpus
        return f"text-{hashlib.sha256(text.encode()).hexdigest()[:8]}.txt"

    def _save(self) -> None:
        file = self._text_file()
        assert file is not None
        Path(file).write_text(self.session.text, encoding="utf-8", newline="")
        self.note.say(f"{file} is written")
