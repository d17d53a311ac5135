"""What scores or loads a corpus: which one, how it is read, where the run goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar

import ipywidgets as w

from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from workbench.corpus.columns import Columns
from workbench.corpus.document import MissingColumn
from workbench.corpus.environment import environment_corpus
from workbench.scoring.folder.corpus_folder import default_folder
from workbench.session.corpus.scored_corpus import ScoredCorpus
from workbench.session.session import Session

SAMPLE = 96  # documents of the environment corpus
AUTO = {"width": "auto"}
HALF = {"flex": "1 1 0", "width": "auto", "min_width": "0"}
ASKED = "aiw-asked"  # the class of a field that an error asks for
READ = [("their start", "start"), ("their middle", "middle"), ("passages all over", "spread")]
SCORING, LOADING = "scoring the corpus", "loading the run"

P = ParamSpec("P")
R = TypeVar("R")


class ScoringForm(w.VBox):
    """Fields for a run, and the buttons that score a corpus or load the scores of one."""

    def __init__(
        self, session: Session, status: StatusLine, queues: TaskQueues, corpus: Any
    ) -> None:
        """The fields with their first values.

        Args:
            session: that scores.
            status: shows the errors.
            queues: do the work.
            corpus: what to score (anything that `score_corpus` reads); None: named in the form.
        """
        self.session, self.queues, self.given = session, queues, corpus
        self._status = status
        guarded = status.guarded
        hint = "a .jsonl, .parquet, .txt file or folder; empty: text of this Python environment"
        self.path = w.Text(
            placeholder=hint if corpus is None else "the corpus given in Python",
            disabled=corpus is not None, layout=HALF,
            tooltip="Corpus: a path, a pattern or a URL",
        )  # fmt: skip
        self.folder = w.Text(
            placeholder=default_folder(corpus), layout=HALF,
            tooltip="Run folder: where the scores are kept, or lie already",
        )  # fmt: skip
        self.path.observe(guarded(lambda _: self._propose()), "value")
        self.most = w.BoundedIntText(
            value=512, min=2, max=2**31 - 1,
            layout={"width": "74px", "flex": "none"},
            tooltip="Most tokens of each document that are read",
        )  # fmt: skip
        self.read = w.Dropdown(
            options=READ, layout=HALF, tooltip="Which tokens of longer documents are read"
        )
        self.options = w.ToggleButton(
            description="Options", icon="sliders", layout=AUTO,
            tooltip="Names of columns, control sets, the window, overwriting",
        )  # fmt: skip
        self.score = w.Button(
            description="Score", icon="play", layout=AUTO, button_style="primary",
            tooltip="Under the masked heads: two losses of each document; a run that was cancelled "
            "goes on where it was",
        )  # fmt: skip
        self.load = w.Button(
            description="Load the run",
            layout=AUTO,
            tooltip="Take up the finished run of the folder",
        )
        self.note = Note()
        self.score.on_click(guarded(lambda _: self._score(), self.note))
        self.load.on_click(guarded(lambda _: self._load(), self.note))
        status.offer("overwrite=True", "Overwrite", self._overwrite)
        # A run that stopped goes on: what the message asks for in Python.
        status.offer("call score_corpus again", "Score", self.score.click)
        self._more = self._make_more()
        self.options.observe(self._show_options, "value")
        # What Python calls it, and the field that stands for it.
        self._fields = {
            "id": self.id, "text": self.text, "domain": self.domain, "overwrite": self.overwrite,
            "controls": self.controls, "window": self.window, "out": self.folder,
            "read": self.read, "max_tokens": self.most,
        }  # fmt: skip
        super().__init__(
            [
                w.HBox([w.Label("Corpus"), self.path]),
                w.HBox([w.Label("Run folder"), self.folder]),
                w.HBox([w.Label("Read"), self.most, w.Label("tokens of"), self.read]),
                self._more,
                w.HBox([self.score, self.load, self.options]),
                self.note,
            ]
        )
        self.add_class("aiw-form")

    def _make_more(self) -> w.VBox:
        """The fields that are seldom filled in."""
        names = Columns()
        self.id = _name_field("Column of the id", names.id)
        self.text = _name_field("Column of the text", names.text)
        self.domain = _name_field(
            "Column of the domain; / is the sub-folder, and an empty field one domain for all",
            names.domain or "",
        )  # fmt: skip
        self.overwrite = w.ToggleButton(
            description="Overwrite", layout=AUTO,
            tooltip="Overwrite another run in the folder: scores of other settings or of another "
            "corpus are set aside, in superseded/",
        )  # fmt: skip
        self.controls = w.BoundedIntText(
            value=0, min=0, max=100,
            layout={"width": "58px", "flex": "none"},
            tooltip="Control sets of random heads, for the columns of the excess; on the default "
            "model each takes .7 of the time that scoring takes without any",
        )  # fmt: skip
        self.window = w.Text(
            placeholder=str(self.session.model.context), layout={"width": "74px", "flex": "none"},
            tooltip="Window: tokens of one pass, the rest in further ones; fewer need less memory. "
            "Empty: as many as the model reads",
        )  # fmt: skip
        return w.VBox(
            [
                w.HBox([w.Label("Columns"), self.id, self.text, self.domain]),
                w.HBox(
                    [
                        w.Label("Control sets"), self.controls, w.Label("Window"), self.window,
                        self.overwrite,
                    ]
                ),
            ], layout={"display": "none"},
        )  # fmt: skip

    def _propose(self) -> None:
        """Show the folder that the run of the corpus that is named now goes to."""
        self.folder.placeholder = default_folder(self.path.value.strip() or None)

    def _show_options(self, change: dict[str, bool]) -> None:
        self._more.layout.display = "" if change["new"] else "none"

    # ---- what the fields say at a click, whatever is typed meanwhile -------------------------

    def _folder(self) -> str:
        return self.folder.value.strip() or self.folder.placeholder

    def _corpus(self) -> Callable[[], Any]:
        """What the form names at this moment, to be read later."""
        corpus, path = self.given, self.path.value.strip()
        if corpus is not None:
            return lambda: corpus
        return lambda: path or environment_corpus(max_documents=SAMPLE)

    def _columns(self) -> dict[str, str | None]:
        """Names of columns, where they are not the usual ones."""
        fields = {"id": self.id, "text": self.text, "domain": self.domain}
        named = {role: field.value.strip() or None for role, field in fields.items()}
        for role in ("id", "text"):
            if named[role] is None:
                raise ValueError(f"the column of the {role} has no name: fill in the field")
        usual = Columns().named()
        return {role: name for role, name in named.items() if name != usual[role]}  # type: ignore[literal-required]

    def _window(self) -> int | None:
        words = self.window.value.strip()
        if words and not words.isdecimal():
            raise ValueError(
                f"window= takes a whole number of tokens, or nothing for all "
                f"{self.session.model.context} that the model reads; got {words!r:.40}"
            )
        return int(words) if words else None

    def _score(self) -> None:
        session, corpus, state = self.session, self._corpus(), self.session.state
        options = self._columns() | {
            "max_tokens": self.most.value, "read": self.read.value,
            "overwrite": self.overwrite.value, "controls": self.controls.value,
            "window": self._asking(self._window)(),
        }  # fmt: skip
        out = self._folder()
        score = self._asking(lambda: session.score(corpus(), out, state=state, **options))
        self.queues.begin(SCORING, score, self._done, self.note)

    def _overwrite(self) -> None:
        self.overwrite.value = True
        self.score.click()

    def _load(self) -> None:
        folder, corpus, columns = self._folder(), self._corpus(), self._columns()
        load = self._asking(lambda: self.session.load(folder, corpus(), **columns))
        self.queues.begin(LOADING, load, self._done, self.note)

    def _done(self, scored: ScoredCorpus) -> None:
        self.overwrite.value = False  # it was meant for this run
        # The panel says the same in the place of the form, which is put away by now.
        self._status.say(f"Ready: {scored.describe()}")

    # ---- what an error asks for --------------------------------------------------------------

    def _asking(self, work: Callable[P, R]) -> Callable[P, R]:
        """The same work, after an error of which the fields that its message names stand out."""

        def asking(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                result = work(*args, **kwargs)
            except Exception as error:
                self._ask_for(error)
                raise
            self._mark(())
            return result

        return asking

    def _ask_for(self, error: Exception) -> None:
        if isinstance(error, MissingColumn):
            for field in (self.id, self.text, self.domain):
                field.options = error.present
        named = {*re.findall(rf"\b({'|'.join(self._fields)})=", str(error))}
        self._mark(named)
        if {"id", "text", "domain", "overwrite", "controls", "window"} & named:
            self.options.value = True

    def _mark(self, asked: Collection[str]) -> None:
        for name, field in self._fields.items():
            (field.add_class if name in asked else field.remove_class)(ASKED)


def _name_field(tooltip: str, value: str) -> w.Combobox:
    return w.Combobox(value=value, ensure_option=False, tooltip=tooltip, layout=HALF)
