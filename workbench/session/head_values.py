"""What a session knows of each head: its score, the trust in it, and the values that colour it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from workbench.detection.masking_curves import masking_curve
from workbench.detection.probes import Probes, make_probes
from workbench.detection.report import HeadReport
from workbench.detection.report_measurements import head_report
from workbench.detection.retrieval import retrieval_scores
from workbench.detection.shipped import shipped_probes_of, shipped_report_of
from workbench.masking.masks import require_fitting
from workbench.models.head_scores import HeadScores, as_head_scores
from workbench.models.heads import HeadSet
from workbench.session.actions import action
from workbench.session.head_colours import (
    METHODS,
    NEED,
    RETRIEVAL,
    SECOND,
    HeadColours,
    Palette,
    streaming_map,
)
from workbench.session.masked_text import MaskedText
from workbench.session.state import State

PROBE_TOKENS = 768


class HeadValues:
    """The scores of the heads and what else they can be coloured by, for one text.

    Attributes:
        scores: of the heads, or None (`use_scores`).
        probes: that the heads were scored on, by `detect` or in the package; None: not known.
        report: what `check_heads` said of these scores, or None.
        palette: what the heads are coloured by, and the token that was asked about.
        listeners: who hears of each action.
    """

    def __init__(self, text: MaskedText) -> None:
        """Begin without scores.

        Args:
            text: whose tokens are asked about.
        """
        self.scores: HeadScores | None = None
        self.probes: Probes | None = None
        self.report: HeadReport | None = None
        self.palette = Palette(text.model)
        self.listeners = text.listeners
        self._text, self._model = text, text.model
        text.followers.append(self._follow)

    def _follow(self, before: State, now: State) -> None:
        if not now.has_effects_of(before):
            self.palette.text_changed()

    def detect(self, probes: int = 16, max_tokens: int | None = None, seed: int = 0) -> HeadScores:
        """Score all heads on fresh lookup probes (`retrieval_scores`), and use the scores.

        Args:
            probes: how many.
            max_tokens: tokens of a probe, at most; None: 768, or as many as the model reads.
            seed: of the probes.

        Returns:
            What `retrieval_scores` returns.
        """
        most = min(PROBE_TOKENS, self._model.context) if max_tokens is None else max_tokens
        made = make_probes(self._model, n=probes, max_tokens=most, seed=seed)
        scores = retrieval_scores(self._model, made)
        self.use_scores(scores)
        self.probes = made
        return scores

    def check_heads(self) -> HeadReport:
        """Say how far the top 5 % of the heads can be trusted (`head_report`); takes minutes.

        It goes on from `probes`, and is kept as `report` until other scores come.

        Returns:
            The report, with its verdict.

        Raises:
            ValueError: the heads were not scored here, so their probes are not known.
        """
        if self.probes is None or self.scores is None:
            raise ValueError(
                "the check goes on from lookup probes: find the heads here first "
                "(session.detect()), or call wb.head_report(scores, model, probes) with your own"
            )
        scores = self.scores
        report = head_report(scores, self._model, self.probes, allow_ties=True)
        with self.listeners.lock:
            if self.scores is scores:
                self._take(report)
                self.listeners.notify("scores")
        return report

    def _take(self, report: HeadReport | None) -> None:
        """Keep a report; the score of its second detector, if it has one, may colour the heads."""
        self.report = report
        self.palette.columns.pop(SECOND, None)
        if report is not None and "locos" in report.table:
            self.palette.columns[SECOND] = HeadColours.of(
                report.table, self._model, "locos", SECOND
            )

    @action
    def use_scores(self, scores: HeadScores | pd.DataFrame) -> None:
        """Rank and colour heads by their scores.

        With the scores that come with the package comes their report.

        Args:
            scores: of every head of the model, or a frame with layer, head and score.

        Raises:
            ValueError: the heads are not those of the model.
        """
        scores = as_head_scores(scores)
        require_fitting(self._model, HeadSet.top(scores, allow_ties=True), self._text.state.mode)
        self.palette.columns[RETRIEVAL] = HeadColours.of(scores.frame, self._model, name=RETRIEVAL)
        self.scores = scores
        self.probes = shipped_probes_of(scores, self._model)
        self._take(shipped_report_of(scores, self._model))
        self.listeners.notify("scores")
        self.colour_by(RETRIEVAL)

    @action
    def add_columns(self, frame: pd.DataFrame) -> list[str]:
        """Offer the numeric columns of a frame as colours.

        Args:
            frame: layer, head and further columns.

        Returns:
            The names of the new colours.

        Raises:
            ValueError: there is no numeric column, a name is taken, or a head has several rows.
        """
        names = self.palette.add(frame)
        self.listeners.notify("colours")
        return names

    @action
    def colour_by(self, name: str) -> None:
        """Colour heads by another value.

        Args:
            name: one of `palette.names`.

        Raises:
            ValueError: there are no colours of this name.
        """
        self.palette.choose(name)
        self.listeners.notify("colours")

    @action
    def ask(self, token: int) -> None:
        """Ask which heads a token of the text needs; `colours` gives the answer.

        Args:
            token: its number in the text.

        Raises:
            ValueError: the token is not predicted in the first pass through the model.
        """
        self._text.results.require_askable(token)
        self.palette.token = token
        self.colour_by(NEED)

    def colours(
        self,
        on_progress: Callable[[HeadColours], object] | None = None,
        name: str | None = None,
    ) -> HeadColours:
        """The value of every head, computed if need be.

        Args:
            on_progress: is called with an exact map of effects as it grows, from the last layer
                downwards; None: nothing is called.
            name: one of `palette.names`; None: the present colouring.

        Returns:
            One value a head, with its scale.

        Raises:
            ValueError: there are no colours of this name.
        """
        with self.listeners.lock:
            name = name or self.palette.colour_by
            self.palette.require(name)
            columns, state = self.palette.columns, self._text.state
            token = self.palette.token if name == NEED else None
        if name in columns:
            return columns[name]
        on_layer = None if on_progress is None else streaming_map(self._model, name, on_progress)
        return HeadColours.of_effects(
            self._text.results.needs(token, METHODS[name], on_layer, state)
        )

    def known_colours(self) -> dict[str, HeadColours]:
        """The values of heads that are there without computing anything.

        Returns:
            Name, one of `palette.names`, to values: those of the present text and mode.
        """
        with self.listeners.lock:
            palette = self.palette
            known = dict(palette.columns)
            for name, method in METHODS.items():
                token = palette.token if name == NEED else None
                if name in palette.names:
                    effects = self._text.results.known_needs(token, method)
                    if effects is not None:
                        known[name] = HeadColours.of_effects(effects)
        return known

    def curve(
        self,
        texts: Sequence[str] = (),
        *,
        probes: int = 6,
        sizes: Sequence[int] | None = None,
        draws: int = 5,
        state: State | None = None,
        on_points: Callable[[pd.DataFrame], object] | None = None,
    ) -> pd.DataFrame:
        """Loss and retrieval accuracy against the number of masked heads (`masking_curve`).

        Args:
            texts: whose loss is measured; none: the text that is looked at.
            probes: how many fresh ones.
            sizes: how many heads are masked, one point each; None: as in `masking_curve`.
            draws: random orders beside the detected one.
            state: an earlier one than the present, whose text and mode are meant; None: the present
                one.
            on_points: is called with the rows that are measured so far, as in `masking_curve`;
                None: nothing is called.

        Returns:
            What `masking_curve` returns.

        Raises:
            ValueError: no head has a score yet.
        """
        scores = self._scores()
        length = min(560, self._model.context)
        made = make_probes(self._model, n=probes, max_tokens=length, seed=1)
        now = state or self._text.state
        return masking_curve(
            self._model, scores, made, texts or [now.text], sizes=sizes, draws=draws,
            mode=now.mode, max_tokens=self._text.results.max_tokens, on_points=on_points,
        )  # fmt: skip

    def top(self, count: int, *, by: str | None = None, allow_ties: bool = False) -> None:
        """Mask the heads of highest value.

        Args:
            count: how many.
            by: one of `palette.names`, computed if need be; None: the retrieval score.
            allow_ties: as in `HeadSet.top`: what happens if the next head has the same value.

        Raises:
            ValueError: no head has a score yet, `count` is out of range, heads tie at the cut, or
                there are no colours of this name.
        """
        if by in (None, RETRIEVAL):
            scores = self._scores()
        else:
            values = self.colours(name=by).frame()
            scores = HeadScores(values, headless=self._model.headless)
        if not 0 <= count < len(scores):
            raise ValueError(f"count must lie between 0 and {len(scores) - 1}, got {count}")
        self._text.mask(
            HeadSet.top(scores, count / len(scores), allow_ties=allow_ties) if count else ()
        )

    def _scores(self) -> HeadScores:
        if self.scores is None:
            raise ValueError("no head has a score yet: call session.detect(), or use_scores(frame)")
        return self.scores
