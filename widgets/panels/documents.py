"""A corpus: scored or loaded, looked through as a table, each row opened in the text panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from widgets.problem_box import escaped
from widgets.status_line import StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.document_table import DocumentTable
from workbench.core.text import escape_control_characters
from workbench.corpus.environment import environment_corpus
from workbench.scoring.corpus_folder import default_folder
from workbench.session.scored_corpus import Extreme
from workbench.session.session import Session

EVERY = ""  # the value of "all domains"
SAMPLE = 96  # documents of the environment corpus
NARROW = {"width": "auto"}
WRAP = {"flex_flow": "wrap"}


class DocumentsPanel(w.VBox):
    """Scores or loads a corpus, and looks through it."""

    def __init__(
        self, session: Session, status: StatusLine, queues: TaskQueues, corpus: Any
    ) -> None:
        """Without a table until there is a scored corpus.

        Args:
            session: that scores and opens.
            status: shows the errors.
            queues: do the work.
            corpus: what to score (anything that `score_corpus` reads); None: named in the panel.
        """
        self.session, self.queues, self.given = session, queues, corpus
        guarded = status.guarded
        hint = "a .jsonl, .parquet, .txt file or folder; empty: text of this Python environment"
        self.path = w.Text(
            description="Corpus", placeholder=hint if corpus is None else "given in Python",
            disabled=corpus is not None, layout={"width": "100%"},
        )  # fmt: skip
        self.folder = w.Text(
            description="Run folder", placeholder=default_folder(corpus), layout={"width": "300px"}
        )
        self.path.observe(guarded(lambda _: self._propose()), "value")
        self.most = w.BoundedIntText(
            description="read at most", value=512, min=2, max=2**31 - 1, layout={"width": "170px"},
            style={"description_width": "initial"},
        )  # fmt: skip
        self.score = w.Button(
            description="Score under the masked heads", icon="play", layout=NARROW,
            tooltip="Two losses of each document; a run that was cancelled goes on where it was",
        )  # fmt: skip
        self.load = w.Button(
            description="Load the run", layout=NARROW, tooltip="Take up a finished run"
        )
        self.score.on_click(guarded(lambda _: self._score()))
        self.load.on_click(guarded(lambda _: self._load()))
        self.domain = w.Dropdown(options=[("all domains", EVERY)], layout={"width": "200px"})
        self.contains = w.Text(placeholder="part of the name", layout={"width": "200px"})
        self.only = w.Checkbox(description="selected only", indent=False, layout=NARROW)
        self.table = DocumentTable(status)
        self.table.on_sort = guarded(self._sort)
        self.table.on_open = guarded(self._open)
        kinds: list[tuple[str, Extreme]] = [
            ("Highest", "highest"), ("Lowest", "lowest"), ("Nearest to the cut", "nearest"),
        ]  # fmt: skip
        self.extremes = {}
        for text, kind in kinds:
            button = w.Button(description=text, tooltip="Open this document", layout=NARROW)
            button.on_click(guarded(lambda _, kind=kind: self._extreme(kind)))
            self.extremes[kind] = button
        for control in (self.domain, self.contains, self.only):
            control.observe(guarded(lambda _: self.arrange()), "value")
        self.origin = w.HTML()
        looking = [self.domain, self.contains, self.only, *self.extremes.values()]
        self._looking = w.VBox(
            [self.origin, w.HBox(looking, layout=WRAP), self.table], layout={"display": "none"}
        )
        running = [self.folder, self.most, w.HTML("tokens of each"), self.score, self.load]
        super().__init__([self.path, w.HBox(running, layout=WRAP), self._looking])
        self._by, self._ascending = "rank", True

    def _propose(self) -> None:
        """Show the folder that the run of the corpus that is named now goes to."""
        self.folder.placeholder = default_folder(self.path.value.strip() or None)

    def _folder(self) -> str:
        return self.folder.value.strip() or self.folder.placeholder

    # ---- scores -----------------------------------------------------------------------------

    def _corpus(self) -> Callable[[], Any]:
        """What the panel names at this moment, to be read later."""
        corpus, path = self.given, self.path.value.strip()
        if corpus is not None:
            return lambda: corpus
        return lambda: path or environment_corpus(max_documents=SAMPLE)

    def _score(self) -> None:
        session, corpus, state = self.session, self._corpus(), self.session.state
        out, most = self._folder(), self.most.value
        self.queues.begin(
            "scoring the corpus",
            lambda: session.score(corpus(), out, state=state, max_tokens=most),
        )

    def _load(self) -> None:
        folder, corpus = self._folder(), self._corpus()
        self.queues.begin("loading the run", lambda: self.session.load(folder, corpus()))

    # ---- looking through --------------------------------------------------------------------

    def renew(self) -> None:
        """Show the corpus of the session, another than before."""
        corpus = self.session.corpus
        if corpus is None:
            return
        self.domain.options = [
            ("all domains", EVERY),
            *((escape_control_characters(d), d) for d in corpus.domains),
        ]
        self.origin.value = escaped(corpus.describe())
        self._by, self._ascending = "rank", True
        self.arrange()
        self._looking.layout.display = ""

    def arrange(self) -> None:
        """Filter and sort anew."""
        corpus = self.session.corpus
        if corpus is not None:
            order = corpus.sort_and_filter(
                self._by, self._ascending, self.domain.value or None, self.contains.value,
                self.only.value,
            )  # fmt: skip
            self.table.show(corpus, order, self._by, self._ascending)

    def _sort(self, by: str) -> None:
        self._ascending = by != self._by or not self._ascending
        self._by = by
        self.arrange()

    def _open(self, position: int) -> None:
        self.table.opened = position
        self.queues.corpus.do("opening", lambda: self.session.open(position), lambda _: None)

    def _extreme(self, kind: Extreme) -> None:
        corpus = self.session.corpus
        if corpus is None:
            raise ValueError("no corpus is scored yet: score one, or load a run")
        self._by = "margin" if kind == "nearest" else "score"
        self._ascending = kind != "highest"
        self.arrange()
        positions = corpus.extremes(kind, domain=self.domain.value or None)
        if len(positions):
            self._open(int(positions[0]))
