"""The cut through a scored corpus: how many documents and tokens it takes, and the manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np

from widgets.own_changes import OwnChanges
from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.live_figure import LiveFigure
from workbench.core.text import escape_control_characters, escaped
from workbench.figures.selection import influence_histogram
from workbench.selection.exposure_counts import exposures
from workbench.selection.ranking import By, Selection
from workbench.session.corpus.filters import Filters, describe_filters
from workbench.session.corpus.placed_cut import Exclude
from workbench.session.corpus.scored_corpus import ScoredCorpus
from workbench.session.corpus.selection_pair import PARTS, SelectionPair
from workbench.session.session import Session

HEAD = ("domain", "documents", "tokens", "threshold")
ALL = "all documents"
AUTO = {"width": "auto"}
FLEXIBLE = {"flex": "1 1 0", "width": "auto", "min_width": "0"}
WRITING, CUTTING = "writing the manifest", "cut"
FOLDER = "manifest/"  # for scores that lie in no folder
Narrow = Callable[[np.ndarray | None, str], object]


class SelectionPanel(w.VBox):
    """Moves the cut of a session's corpus, compares two cuts, and exports the manifest."""

    def __init__(
        self,
        session: Session,
        status: StatusLine,
        queues: TaskQueues,
        on_narrow: Narrow = lambda positions, words: None,
    ) -> None:
        """Without controls until there is a scored corpus.

        Args:
            session: whose corpus is cut.
            status: shows the errors.
            queues: do the work.
            on_narrow: is called with the positions of a part of two selections, and what they are,
                to show them in the table; None: all again.
        """
        self.session, self.queues, self._on_narrow = session, queues, on_narrow
        guarded = status.guarded
        self._ours = OwnChanges()  # of the controls, which are set to what the session says
        self.fraction = w.FloatSlider(
            value=0.2, min=0.01, max=1, step=0.01, readout_format=".0%", layout=FLEXIBLE,
            tooltip="The top share of each domain that is chosen",
        )  # fmt: skip
        self.by = w.Dropdown(
            options=["documents", "tokens"], layout={"width": "104px", "flex": "none"},
            tooltip="What it is a share of",
        )  # fmt: skip
        self.by_score = w.Dropdown(
            layout=FLEXIBLE, tooltip="The column that documents are ranked by"
        )
        self.exclude = w.Text(
            placeholder="file of `workbench funnel`", continuous_update=False,
            layout=FLEXIBLE,
            tooltip="Documents to leave out: the file that `workbench funnel` wrote; empty: none",
        )  # fmt: skip
        self._status, self.note = status, Note()
        self._act = guarded(self._cut, self.note)
        for control in (self.fraction, self.by, self.by_score, self.exclude):
            control.observe(self._moved, "value")
        self.among = w.HTML()
        self.among.add_class("aiw-source")  # one line, cut where there is no room
        self.everyone = w.Button(
            description="Rank all", layout=AUTO, disabled=True,
            tooltip="Rank all scored documents again, not only those that pass filters",
        )  # fmt: skip
        self.everyone.on_click(guarded(lambda _: self.rank_among(None, self.note), self.note))
        self.scored_under = w.HTML()
        self.counts = w.HTML()
        self.figure = LiveFigure()
        self.folder = w.Text(
            layout=FLEXIBLE, tooltip="Folder of the manifest; empty: that of the run"
        )
        self.export = w.Button(
            description="Export the manifest", icon="save", layout=AUTO,
            tooltip="Write manifest.json and selection.parquet, which others can verify",
        )  # fmt: skip
        self.export.on_click(guarded(lambda _: self._export(), self.note))
        status.offer("export('run/')", f"Into {FOLDER}", self._export_anywhere)
        self.keep = w.Button(
            description="Keep as A", layout=AUTO,
            tooltip="Keep this selection; what is chosen from now on is B, beside it",
        )  # fmt: skip
        self.keep.on_click(guarded(lambda _: self._keep()))
        self.part = w.Dropdown(
            options=[ALL, *PARTS], layout={"width": "118px", "flex": "none"}, disabled=True,
            tooltip="Which documents the table shows",
        )  # fmt: skip
        self.part.observe(guarded(lambda _: self._narrow()), "value")
        self.pair = w.HTML()
        self.pair.add_class("aiw-source")  # one line, cut where there is no room
        cut = w.HBox(
            [
                w.HBox([w.Label("Top"), self.fraction, w.Label("of the"), self.by]),
                w.HBox([w.Label("ranked by"), self.by_score]),
            ]
        )
        cut.add_class("aiw-wrap")
        self._parts = [
            cut,
            w.HBox([self.everyone, self.among]),
            w.HBox([w.Label("Documents to leave out"), self.exclude]),
            w.HBox([w.Label("in"), self.folder, self.export]),
            self.note,
            self.scored_under,
            self.counts,
            w.HBox([self.keep, self.part, self.pair]),
            self.figure,
        ]
        super().__init__([w.HTML("Score a corpus, or load a run, under <b>Documents</b> first.")])
        self.add_class("aiw-form")
        self._kept: tuple[str, np.ndarray] | None = None  # selection A: what it is, its positions

    def renew(self) -> None:
        """Show the corpus of the session, another than before."""
        corpus = self.session.corpus
        if corpus is None:
            return
        self.folder.value = "" if corpus.folder is None else str(corpus.folder)
        self.note.clear()
        self._kept = None
        with self._ours.made():
            self.by_score.options = corpus.rankings
        self.children = self._parts
        self.follow()

    def follow(self) -> None:
        """Show the present cut."""
        corpus = self.session.corpus
        if corpus is None:
            return
        chosen = corpus.selection
        with self._ours.made():
            self.fraction.value, self.by.value = chosen.fraction, chosen.by
            self.by_score.value = chosen.by_score
            self.exclude.value = str(corpus.exclude) if _is_file(corpus.exclude) else ""
        self.everyone.disabled = not corpus.among
        words = escaped("ranked are " + _ranked(corpus))
        self.among.value = f'<span title="{words}">{words}</span>'
        head = "".join(f"<th>{title}</th>" for title in HEAD)
        rows = "".join(
            f"<tr><td>{escaped(escape_control_characters(str(d.domain)))}</td>"
            f"<td>{_part(d.documents_selected, d.documents_seen, d.documents_share)}</td>"
            f"<td>{_part(d.tokens_selected, d.tokens_seen, d.tokens_share)}</td>"
            f"<td>{d.threshold:.4f}</td></tr>"
            for d in chosen.domains.itertuples()
        )
        said = "; ".join(filter(None, [_without(corpus), _repeated(chosen)]))
        self.counts.value = (
            f'<table class="aiw-counts"><tr>{head}</tr>{rows}</table>{escaped(said)}'
        )
        self.figure.show(influence_histogram(chosen))
        self.follow_heads()
        self._put_beside()

    def follow_heads(self) -> None:
        """Say which heads made the scores, and whether the grid shows others by now."""
        corpus = self.session.corpus
        if corpus is None:
            return
        run, state = corpus.selection.run, self.session.state
        if run is None:
            self.scored_under.value = "nothing says under which heads it was scored"
            return
        heads, mode = str(run["heads"]["heads"]), str(run["mode"])
        count = len(heads.split())
        words = f"scored under {count} {'head' if count == 1 else 'heads'}: {heads} ({mode})"
        line = f'<div class="aiw-said" title="{escaped(words)}">{escaped(words)}</div>'
        if (heads, mode) != (str(state.heads), state.mode):
            line += f'<div class="aiw-bad">the grid now masks another set: {_now(state)}</div>'
        self.scored_under.value = line

    # ---- the cut ----------------------------------------------------------------------------

    def _moved(self, change: Any) -> None:
        if self._ours.under_way:
            return
        controls = {
            "fraction": self.fraction, "by": self.by, "by_score": self.by_score,
            "exclude": self.exclude,
        }  # fmt: skip
        # The control itself may be set to something else by now.
        moved = {
            name: change["new"] if change["owner"] is control else control.value
            for name, control in controls.items()
        }
        self._act(**moved)

    def rank_among(self, filters: Filters | None, note: Note) -> None:
        """Rank and cut other documents than before, by what the controls say.

        Args:
            filters: what documents have to pass to be ranked; None: all are ranked.
            note: the line beside the control that asked for it.
        """

        def ranked(chosen: Selection) -> None:
            note.say("ranked: see Selection")
            words = f"{len(chosen.table):,} documents are ranked, {len(chosen.chosen):,}"
            self._status.say(f"{words} of them chosen: see Selection")

        values = self.fraction.value, self.by.value, self.by_score.value, self.exclude.value
        self._rank(*values, filters, note, ranked)

    def _cut(self, fraction: float, by: By, by_score: str, exclude: str) -> None:
        corpus = self.session.corpus
        assert corpus is not None
        self._rank(fraction, by, by_score, exclude, corpus.among, self.note, lambda _: None)

    def _rank(
        self,
        fraction: float,
        by: By,
        by_score: str,
        exclude: str,
        among: Filters | None,
        note: Note,
        done: Callable[[Selection], object],
    ) -> None:
        share = round(fraction, 4)  # a slider adds up its steps
        funnel = self._funnel(exclude)
        self._status.beside(CUTTING, note)
        self.queues.corpus.do(
            CUTTING, lambda: self.session.cut(share, by, by_score, funnel, among), done
        )

    def _funnel(self, file: str) -> Exclude:
        """What the field names; where it is empty, the funnel that was given in Python."""
        given = None if self.session.corpus is None else self.session.corpus.exclude
        return file.strip() or (None if _is_file(given) else given)

    def _export(self) -> None:
        session, corpus = self.session, self.session.corpus
        folder = self.folder.value.strip() or None
        fraction, by, by_score = round(self.fraction.value, 4), self.by.value, self.by_score.value
        funnel = self._funnel(self.exclude.value)
        among = None if corpus is None else corpus.among

        def export() -> str:  # what the controls say at the click, whatever is done meanwhile
            if session.corpus is not corpus:
                raise ValueError("another corpus was taken up since the click: export it again")
            chosen = session.cut(fraction, by, by_score, funnel, among)
            written = f"{_named(chosen, among)} written: {session.export(folder)}"
            return f"{written}; workbench verify checks it"

        def written(words: str) -> None:
            self.note.say(words)
            self._status.say(words)

        self.queues.begin(WRITING, export, written, self.note)

    def _export_anywhere(self) -> None:
        self.folder.value = FOLDER
        self.export.click()

    # ---- two selections ---------------------------------------------------------------------

    def _keep(self) -> None:
        with self.session.lock:
            corpus = self.session.corpus
            assert corpus is not None
            self._kept = _named(corpus.selection, corpus.among), corpus.selected
            self._put_beside()

    def _put_beside(self) -> None:
        """Say what A and the present selection have in common."""
        corpus, kept = self.session.corpus, self._kept
        self.part.disabled = kept is None
        if corpus is None or kept is None:
            self.pair.value = ""
            with self._ours.made():
                self.part.value = ALL
        else:
            words = SelectionPair(kept[1], corpus.selected).describe()
            title = f"A: {kept[0]}\nB: {_named(corpus.selection, corpus.among)}\n{words}"
            self.pair.value = f'<span title="{escaped(title)}">{escaped(words)}</span>'
        self._narrow()

    def _narrow(self) -> None:
        if self._ours.under_way:
            return
        with self.session.lock:
            corpus, kept, part = self.session.corpus, self._kept, self.part.value
            if corpus is None or kept is None or part == ALL:
                self._on_narrow(None, "")
            else:
                self._on_narrow(SelectionPair(kept[1], corpus.selected).part(part), part)


def _named(chosen: Selection, among: Filters | None) -> str:
    funnel = "" if chosen.exclude is None else ", some left out by a funnel"
    passing = f", of those that pass {'; '.join(describe_filters(among))}" if among else ""
    return f"top {chosen.fraction:.0%} of the {chosen.by} by {chosen.by_score}{funnel}{passing}"


def _ranked(corpus: ScoredCorpus) -> str:
    words = describe_filters(corpus.among) if corpus.among else []
    return f"the documents that pass: {'; '.join(words)}" if words else "all scored documents"


def _is_file(exclude: Exclude) -> bool:
    return isinstance(exclude, str | Path)


def _part(count: Any, total: Any, share: Any) -> str:
    return f"<span>{count:,} of {total:,}</span> <small>{share:.1%}</small>"


def _without(corpus: ScoredCorpus) -> str:
    """Which of the scored documents are not ranked, and why."""
    chosen, said = corpus.selection, []
    count = chosen.without_value
    if count:
        documents = "document has" if count == 1 else "documents have"
        said.append(f"{count:,} {documents} no value of {chosen.by_score} and cannot be ranked")
    reasons = ["the funnel"] * (chosen.exclude is not None) + ["the filters"] * bool(corpus.among)
    if reasons:
        left = len(corpus) - count - len(chosen.table)
        documents = "document is" if left == 1 else "documents are"
        said.append(f"{left:,} {documents} left out by {' and '.join(reasons)}")
    return "; ".join(said)


def _repeated(chosen: Selection) -> str:
    """How many of the chosen documents a training would see again, in their copies."""
    seen = exposures(chosen)["seen"]
    again = int((seen > 1).sum())
    if not again:
        return ""
    return (
        f"{again:,} of the chosen documents have copies among them: an epoch shows the most "
        f"frequent {seen.max():,} times"
    )


def _now(state: Any) -> str:
    count = len(state.heads)
    heads = "no head" if not count else f"{count} head" if count == 1 else f"{count} heads"
    return escaped(f"{heads} ({state.mode})" if count else heads)
