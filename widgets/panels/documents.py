"""A corpus: scored or loaded, looked through as a table, each row opened in the text panel."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w
import numpy as np

from widgets.own_changes import OwnChanges
from widgets.panels.changes import ChangesPanel
from widgets.panels.scatter_panel import ScatterPanel
from widgets.panels.scoring_form import ScoringForm
from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.document_table import BEGINNING, DocumentTable
from workbench.core.text import escape_control_characters, escaped
from workbench.session.corpus.filters import (
    Filters,
    Lasso,
    describe_filters,
    require_filters_before_ranking,
)
from workbench.session.corpus.scored_corpus import Extreme, ScoredCorpus
from workbench.session.session import Session

EVERY = ""  # the value of "all domains"
AUTO = {"width": "auto"}
HALF = {"flex": "1 1 0", "width": "auto", "min_width": "0"}
LOWEST_FIRST = ("doc_id", "domain", "rank", "margin", "read")  # at the first click on the heading
OPENING = "opening"
AT_ONCE = 0.1  # seconds that first words are read before other work has its turn


class DocumentsPanel(w.VBox):
    """Scores or loads a corpus, and looks through it."""

    def __init__(
        self,
        session: Session,
        status: StatusLine,
        queues: TaskQueues,
        corpus: Any,
        on_rank: Callable[[Filters, Note], object] = lambda filters, note: None,
    ) -> None:
        """Without a table until there is a scored corpus.

        Args:
            session: that scores and opens.
            status: shows the errors.
            queues: do the work.
            corpus: what to score (anything that `score_corpus` reads); None: named in the panel.
            on_rank: is called with the filters that documents are to pass to be ranked, and the
                line that says what became of it.
        """
        self.session, self.queues, self._status = session, queues, status
        self._on_rank = on_rank
        guarded = status.guarded
        self._ours = OwnChanges()  # of the filters, which are taken back for another corpus
        self.form = ScoringForm(session, status, queues, corpus)
        self.note = Note()  # of no width while it says nothing
        self.table = DocumentTable(status)
        self.table.on_sort = guarded(self._sort)
        self.table.on_open = guarded(self._open, self.note)
        self.table.on_range = guarded(self._set_bins)
        self.table.on_shown = self._read_beginnings
        self.table.add_class("aiw-fill")
        self.scatter = ScatterPanel(session, status, queues, self._choose, self._open)
        self.changes = ChangesPanel(session, status, queues)
        self.origin, self.passing = w.HTML(), w.HTML()
        for line in (self.origin, self.passing):
            line.add_class("aiw-source")  # one line, cut where there is no room
        self._bar = self._make_bar(status)
        self._make_filters(status)
        self._looking = w.VBox(
            [
                self.origin,
                w.HBox([self.domain, self.contains, self.only]),
                w.HBox([self.note, self.passing, self.rank, self.clear]),
                self._range,
                self.scatter,
                self.changes,
                self.table,
            ], layout={"display": "none"},
        )  # fmt: skip
        self._looking.add_class("aiw-looking")
        super().__init__([self._bar, self.form, self._looking])
        self.add_class("aiw-documents")
        self._by, self._ascending = "rank", True
        self._ranges: dict[str, tuple[float, float]] = {}
        self._bins: dict[str, tuple[int, int]] = {}  # those of the ranges that were dragged
        self._lasso: Lasso | None = None  # in the plot
        self._narrowed: tuple[np.ndarray, str] | None = None  # a part of two selections
        self._wanted: list[int] = []  # positions whose first words are on the screen soon

    def _make_bar(self, status: StatusLine) -> w.HBox:
        """What is shown, and the documents of note, one click away."""
        self.another = w.ToggleButton(
            description="Corpus", layout=AUTO,
            tooltip="Show the fields that score a corpus or load a run",
        )  # fmt: skip
        self.another.observe(self._show_form, "value")
        self.plot = w.ToggleButton(
            description="Plot", layout=AUTO,
            tooltip="Show the documents as points: the score against what it may go along with",
        )  # fmt: skip
        self.plot.observe(status.guarded(lambda change: self._show_plot(change["new"])), "value")
        self.change = w.ToggleButton(
            description="Counterfactuals", layout=AUTO,
            tooltip="What do the scores listen to? Texts are changed on purpose and scored again",
        )  # fmt: skip
        self.change.observe(lambda change: self._show_changes(change["new"]), "value")
        kinds: list[tuple[str, Extreme, str]] = [
            ("Highest", "highest", "Open the document of highest score"),
            ("Lowest", "lowest", "Open the document of lowest score"),
            ("Nearest", "nearest", "Open the document nearest to the cut"),
        ]
        self.extremes = {}
        for text, kind, tooltip in kinds:
            button = w.Button(description=text, tooltip=tooltip, layout=AUTO)
            button.on_click(status.guarded(lambda _, kind=kind: self._extreme(kind), self.note))
            self.extremes[kind] = button
        bar = w.HBox(
            [self.another, self.plot, self.change, *self.extremes.values()],
            layout={"display": "none"},
        )
        bar.add_class("aiw-wrap")
        return bar

    def _make_filters(self, status: StatusLine) -> None:
        """What says which documents the table shows."""
        guarded = status.guarded
        self.domain = w.Dropdown(
            options=[("all domains", EVERY)], layout=HALF, tooltip="Only documents of one domain"
        )
        self.contains = w.Text(
            placeholder="part of the name", layout=HALF, tooltip="Only ids with this in them"
        )
        self.only = w.ToggleButton(
            description="selected", layout=AUTO, tooltip="Only documents that the cut chooses"
        )
        self.column = w.Dropdown(layout=HALF, tooltip="Only documents with values in a range of it")
        self.low, self.high = (
            w.Text(placeholder=end, continuous_update=False, layout=HALF, tooltip=tooltip)
            for end, tooltip in (("from", "The lowest value"), ("to", "The highest value"))
        )
        for control in (self.domain, self.contains, self.only):
            control.observe(guarded(lambda _: self._filter()), "value")
        self.column.observe(lambda _: self._show_range(), "value")
        for control in (self.low, self.high):
            control.observe(guarded(lambda _: self._set_range(), self.note), "value")
        self.clear = w.Button(
            description="All", layout=AUTO, tooltip="Take all filters away: show all documents"
        )
        self.clear.on_click(guarded(lambda _: self._clear()))
        self.rank = w.Button(
            description="Rank these", layout=AUTO,
            tooltip="Rank and cut only the documents that pass these filters (see Selection)",
        )  # fmt: skip
        self.rank.on_click(guarded(lambda _: self._rank_these(), self.note))
        self._range = w.HBox(
            [w.Label("Only"), self.column, self.low, self.high], layout={"display": "none"}
        )

    def _show_form(self, change: dict[str, bool]) -> None:
        self.form.layout.display = "" if change["new"] else "none"

    def _show_plot(self, on: bool) -> None:
        if on:
            self.change.value = False
        self.scatter.show(on)
        self._range.layout.display = "" if on else "none"
        if not on:
            self._choose(None)
        self.scatter.keep(self.table.order)

    def _show_changes(self, on: bool) -> None:
        if on:
            self.plot.value = False
        self.changes.show(on)
        self.table.layout.display = "none" if on else ""  # both would stand below the fold

    # ---- looking through --------------------------------------------------------------------

    def renew(self) -> None:
        """Show the corpus of the session, another than before."""
        corpus = self.session.corpus
        if corpus is None:
            return
        domains = [(escape_control_characters(name), name) for name in corpus.domains]
        with self._ours.made():
            self.domain.options = [("all domains", EVERY), *domains]
            self.column.options = corpus.numeric_columns
            self.column.value = "score"
        self.origin.value = _one_line(corpus.describe())
        self._by, self._ascending = "rank", True
        self._ranges, self._bins, self._lasso, self._narrowed = {}, {}, None, None
        self._wanted = []
        self.scatter.renew()
        self.changes.renew()
        self._show_range()
        self.arrange()
        self._looking.layout.display = self._bar.layout.display = ""
        self.another.value = False
        self.form.layout.display = "none"

    def follow_columns(self) -> None:
        """Show the columns that the corpus has by now."""
        corpus = self.session.corpus
        if corpus is None:
            return
        with self._ours.made():
            before = self.column.value
            self.column.options, self.column.value = corpus.numeric_columns, before
        self.scatter.follow_columns()
        self.arrange()

    def arrange(self) -> None:
        """Filter and sort anew."""
        with self.session.lock:  # what was read first is shown first
            corpus = self.session.corpus
            if corpus is None:
                return
            filters = self._filters()
            narrowed = None if self._narrowed is None else self._narrowed[0]
            order = corpus.sort_and_filter(
                self._by, self._ascending, only_selected=self.only.value, among=narrowed, **filters
            )
            self.table.show(corpus, order, self._by, self._ascending)
            self.table.show_histograms(corpus, self._ranges, self._bins)
            self.scatter.keep(order)
            self.changes.draw_from(order)
            self._say_what_passes(corpus, len(order), filters)

    def narrow(self, positions: np.ndarray | None, words: str) -> None:
        """Show a part of the documents only.

        Args:
            positions: of these; None: all again.
            words: what they are.
        """
        if positions is None and self._narrowed is None:
            return
        self._narrowed = None if positions is None else (positions, words)
        self.arrange()

    def _filters(self) -> Filters:
        """What says which documents pass, but for what follows from the selection."""
        filters: Filters = {}
        if self.domain.value:
            filters["domain"] = self.domain.value
        if self.contains.value:
            filters["contains"] = self.contains.value
        if self._ranges:
            filters["ranges"] = {
                name: (float(low), float(high)) for name, (low, high) in self._ranges.items()
            }
        if self._lasso is not None:
            filters["lasso"] = self._lasso
        return filters

    def _say_what_passes(self, corpus: ScoredCorpus, count: int, filters: Filters) -> None:
        said = describe_filters(filters)
        if self._narrowed is not None:
            said.append(f"selections: {self._narrowed[1]}")
        of = f" of {len(corpus):,}" if count < len(corpus) else ""
        selected = len(np.intersect1d(self.table.order, corpus.selected))
        words = f"{_documents(count)}{of}, {selected:,} selected"
        self.passing.value = _one_line("; ".join([words, *said]))
        self.clear.disabled = count == len(corpus) and not said
        self.rank.disabled = not filters

    def _rank_these(self) -> None:
        if self.only.value or self._narrowed is not None:
            raise ValueError(
                "which documents are selected follows from the ranking, so it cannot say which are "
                "ranked: take `selected` and the part of two selections away first"
            )
        filters = self._filters()
        require_filters_before_ranking(filters)
        self._on_rank(filters, self.note)

    def _filter(self) -> None:
        if not self._ours.under_way:
            self.arrange()

    def _clear(self) -> None:
        with self._ours.made():
            self.domain.value, self.contains.value, self.only.value = EVERY, "", False
        self._ranges, self._bins, self._lasso, self._narrowed = {}, {}, None, None
        self._show_range()
        self.arrange()

    def _choose(self, shape: Lasso | None) -> None:
        if shape is None and self._lasso is None:
            return
        self._lasso = shape
        self.arrange()

    def _set_bins(self, key: str, bins: tuple[int, int] | None) -> None:
        corpus = self._corpus()
        self._ranges.pop(key, None)
        self._bins.pop(key, None)
        if bins is not None:
            self._bins[key], self._ranges[key] = bins, corpus.histogram(key).span(*bins)
        self._show_range()
        self.arrange()

    def _set_range(self) -> None:
        if self._ours.under_way:
            return
        key, (lowest, highest) = self.column.value, self._corpus().extent(self.column.value)
        low, high = (
            _number(field.value, end)
            for field, end in ((self.low, lowest), (self.high, highest))
        )  # fmt: skip
        self._ranges.pop(key, None)
        self._bins.pop(key, None)
        if self.low.value.strip() or self.high.value.strip():
            self._ranges[key] = low, high
        self.arrange()

    def _show_range(self) -> None:
        """In the fields, the range of the column that is chosen beside them."""
        ends = self._ranges.get(self.column.value)
        with self._ours.made():
            for field, end in zip((self.low, self.high), ends or (None, None), strict=True):
                field.value = "" if end is None else f"{end:.6g}"

    def _sort(self, by: str) -> None:
        if by == BEGINNING:
            raise ValueError("first words are read for the rows on the screen only: sort by others")
        self._ascending = not self._ascending if by == self._by else by in LOWEST_FIRST
        self._by = by
        self.arrange()

    # ---- opening ----------------------------------------------------------------------------

    def step(self, by: int, note: Note | None = None) -> None:
        """Open the document above or below the opened one, in the present order.

        Args:
            by: how many rows down; negative: up.
            note: beside the control, where an error of the opening is shown as well; None: in
                the panel.

        Raises:
            ValueError: none is opened, it does not pass the filters, or there is none that way.
        """
        position = self.session.position
        if position is None:
            raise ValueError("no document is opened: click one in the table of Documents")
        found = np.flatnonzero(self.table.order == position)
        if not len(found):
            raise ValueError("the opened document does not pass the filters: open another one")
        place = int(found[0]) + by
        if not 0 <= place < len(self.table.order):
            end = "first" if by < 0 else "last"
            raise ValueError(f"this is the {end} document of the table")
        self._open(int(self.table.order[place]), note=note)

    def show(self, whole: bool, note: Note | None = None) -> None:
        """Show what was read of the opened document, or all of it.

        Args:
            whole: all of it.
            note: beside the control, where an error of the opening is shown as well; None: in
                the panel.
        """
        if self.session.position is not None:
            self._open(self.session.position, whole, note)

    def _open(self, position: int, whole: bool = False, note: Note | None = None) -> None:
        self.table.reveal(position)
        self.scatter.points.opened = position
        self._status.beside(OPENING, note or self.note)
        self.queues.corpus.do(OPENING, lambda: self.session.open(position, whole), lambda _: None)

    def _extreme(self, kind: Extreme) -> None:
        corpus = self._corpus()
        self._by = "margin" if kind == "nearest" else "score"
        self._ascending = kind != "highest"
        self.arrange()
        positions = corpus.extremes(kind, domain=self.domain.value or None)
        if len(positions):
            self._open(int(positions[0]))

    def _corpus(self) -> ScoredCorpus:
        if self.session.corpus is None:
            raise ValueError("no corpus is scored yet: score one, or load a run")
        return self.session.corpus

    # ---- first words ------------------------------------------------------------------------

    def _read_beginnings(self, positions: Sequence[int]) -> None:
        """Read the first words of rows that came to the screen, behind all that is asked for."""
        known = self.table.beginnings
        self._wanted = [position for position in positions if position not in known]
        self._read_on()

    def _read_on(self) -> None:
        corpus, wanted = self.session.corpus, self._wanted
        if corpus is None or not wanted:
            return

        def read() -> dict[int, str]:
            found: dict[int, str] = {}
            end = time.monotonic() + AT_ONCE
            for position in wanted:
                found[position] = corpus.beginning(position)
                if time.monotonic() > end:
                    break
            return found

        def show(found: dict[int, str]) -> None:
            if corpus is self.session.corpus:
                self.table.begin(found)
                self._wanted = [position for position in self._wanted if position not in found]
                self._read_on()

        self.queues.corpus.do("first words", read, show)


def _documents(count: int) -> str:
    return f"{count:,} document" if count == 1 else f"{count:,} documents"


def _number(text: str, otherwise: float) -> float:
    try:
        return float(text) if text.strip() else otherwise
    except ValueError:
        raise ValueError(f"expected a number as the end of the range, got {text!r:.40}") from None


def _one_line(text: str) -> str:
    return f'<span title="{escaped(text)}">{escaped(text)}</span>'
