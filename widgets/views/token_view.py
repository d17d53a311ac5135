"""A text token by token, coloured by what a mask does to the loss of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import traitlets
from ipywidgets.widgets.trait_types import CByteMemoryView

from widgets.error_report import Report, raises
from widgets.views.browser_files import module, stylesheet
from widgets.views.view import View
from workbench.core.text import escape_control_characters
from workbench.masking.attention_rows import AttentionRow
from workbench.masking.token_changes import TokenChanges, TokenPrediction
from workbench.scoring.step_scores import Steps
from workbench.session.step_bands import bands_of, in_words

NOTHING = np.zeros(0, np.float32).tobytes()


class TokenView(View):
    """The tokens of a `TokenChanges`, with details of the one that is pointed at.

    The owner sets on_predict(token), which answers later with `show_predictions`; on_look(token),
    which answers with `show_looks`; on_ask(token), a click, which `show_needs` may answer;
    on_step(by), to the document before or behind; on_undo and on_redo. Tokens are looked from only
    while `chosen` names heads.

    Attributes:
        tokens: the text, piece by piece.
        before: loss of each token under the set compared with, float32 nats; NaN: not predicted.
        after: the same under the masked heads.
        color_max: nats at which the colour is strongest.
        locked: whether color_max stays as it is when other losses are shown.
        summary: the losses in words.
        note: what is not shown, in words.
        labels: names of the two head sets.
        order: "text" or "hurt" (the most hurt first).
        selected: the token that was asked about, or -1.
        step_by: how the text is cut into steps that stand as bands: "blank line" or "sentence"; "":
            there are none.
        steps: the bands, each as number of its first token, of the one behind its last, and words.
        chosen: the heads whose attention is shown, in words such as "L17H3"; "": none.
        when: whether that is from the place where the token is "predicted" or "read".
        revision: counts the texts and masks; messages about another one are out of date.
        stale: another text or mask is being computed.
        theme: of the page, as the browser says: "light", "dark", or "" without a browser.
    """

    _esm = module("token_view")
    _css = stylesheet("token_view")

    tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    before = CByteMemoryView(NOTHING).tag(sync=True)  # (n,) float32 nats
    after = CByteMemoryView(NOTHING).tag(sync=True)
    color_max = traitlets.Float(1.0).tag(sync=True)
    locked = traitlets.Bool(False).tag(sync=True)
    summary = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    labels = traitlets.List(traitlets.Unicode(), ["before", "after"]).tag(sync=True)
    order = traitlets.Enum(["text", "hurt"], "text").tag(sync=True)
    selected = traitlets.Int(-1).tag(sync=True)
    step_by = traitlets.Enum(["", "blank line", "sentence"], "").tag(sync=True)
    steps: traitlets.List[Any] = traitlets.List().tag(sync=True)
    chosen = traitlets.Unicode("").tag(sync=True)
    when = traitlets.Enum(["predicted", "read"], "predicted").tag(sync=True)
    revision = traitlets.Int(0).tag(sync=True)
    stale = traitlets.Bool(False).tag(sync=True)  # another text or mask is being computed
    theme = traitlets.Enum(["", "light", "dark"], "").tag(sync=True)  # set by the browser, if any

    def __init__(self, report: Report = raises, **traits: Any) -> None:
        """Without a text.

        Args:
            report: is called with errors in handling what the browser sent.
            **traits: first values of the attributes.
        """
        super().__init__(**traits)
        self.report = report
        self.on_predict: Callable[[int], object] = lambda token: None
        self.on_look: Callable[[int], object] = lambda token: None
        self.on_ask: Callable[[int], object] = lambda token: None
        self.on_step: Callable[[int], object] = lambda by: None
        self.on_undo: Callable[[], object] = lambda: None
        self.on_redo: Callable[[], object] = lambda: None
        self._changes: TokenChanges | None = None  # that are shown
        self._fitting = self.color_max  # the scale that the losses shown would have
        self.observe(self._lock_changed, "locked")
        self.observe(lambda _: self._cut_steps(), "step_by")
        self.on_msg(self.handle)

    def show(
        self, changes: TokenChanges, before: str, after: str, reach: float | None = None
    ) -> None:
        """Show losses.

        Args:
            changes: the tokens with their losses.
            before: name of the head set compared with.
            after: name of the masked head set.
            reach: nats at which the colour is strongest; None: what fits these losses.
        """
        left_out = f"{changes.left_out:,} more tokens of this text lie in other windows"
        with self.hold_sync():
            self.tokens = [escape_control_characters(piece) for piece in changes.pieces]
            self.before = changes.before.astype(np.float32).tobytes()
            self.after = changes.after.astype(np.float32).tobytes()
            self._fitting = changes.colour_max if reach is None else reach
            if not self.locked:
                self.color_max = self._fitting
            self.summary = changes.describe()
            self.note = left_out if changes.left_out else ""
            self.labels = [before, after]
            self._changes = changes
            self._cut_steps()
            self.stale = False
            self.revision += 1

    def show_predictions(
        self,
        token: int,
        revision: int,
        before: Sequence[TokenPrediction],
        after: Sequence[TokenPrediction],
    ) -> None:
        """Show the predictions in the place of a token.

        Args:
            token: its number.
            revision: of the question.
            before: the most probable tokens under the set compared with.
            after: the most probable tokens under the masked heads.
        """
        sides = {"before": before, "after": after}
        rows = {
            key: [
                [escape_control_characters(prediction.text), prediction.probability]
                for prediction in side
            ]
            for key, side in sides.items()
        }
        self.send({"kind": "predictions", "token": token, "revision": revision, **rows})

    def show_looks(
        self, token: int, revision: int, chosen: str, before: AttentionRow, after: AttentionRow
    ) -> None:
        """Mark where heads look from a token, the mean of several.

        Args:
            token: its number.
            revision: of the question.
            chosen: what `chosen` was when the question came: an answer for others is not shown.
            before: the row under the set compared with.
            after: the row under the masked heads.
        """
        sides = {"before": _side(before), "after": _side(after)}
        masked, count = len(after.masked), len(after.heads)
        note = "" if not masked else "masked" if count == 1 else f"{masked} of {count} masked"
        self.send(
            {"kind": "looks", "token": token, "revision": revision, "chosen": chosen,
             "when": after.when, "note": note, **sides}
        )  # fmt: skip

    def show_needs(
        self, token: int, revision: int, heads: Sequence[tuple[str, float]], against: str
    ) -> None:
        """Show the heads that a token needs.

        Args:
            token: its number.
            revision: of the question.
            heads: the names of heads with the loss rise in nats when each is masked alone, the
                largest first.
            against: what the rise is over, in words such as "no mask".
        """
        rises = [[name, float(rise)] for name, rise in heads]
        self.send(
            {"kind": "needs", "token": token, "revision": revision, "heads": rises,
             "against": against}
        )  # fmt: skip

    def _cut_steps(self) -> None:
        """Show the steps of the text that is shown, as `step_by` says."""
        by = cast(Steps, self.step_by)
        bands = bands_of(self._changes, by) if self._changes and by else []
        count = max((band.step + 1 for band in bands), default=0)
        self.steps = [[band.first, band.last, in_words(band, count)] for band in bands]

    def _lock_changed(self, change: Any) -> None:
        if not change["new"]:
            self.color_max = self._fitting

    def handle(self, _: Any, message: dict[str, Any], buffers: Any = None) -> None:
        """Answer what the browser says; of another text than the one shown, it is out of date.

        Args:
            _: the widget.
            message: action, for "step" also by, and for "predict", "look" and "ask" also token and
                revision.
            buffers: none.
        """
        try:
            action = message["action"]
            if action in ("undo", "redo"):
                (self.on_undo if action == "undo" else self.on_redo)()
            elif action == "step":
                self.on_step(int(message["by"]))
            elif message["revision"] == self.revision:
                act = {"predict": self.on_predict, "look": self.on_look, "ask": self.on_ask}[action]
                act(int(message["token"]))
        except Exception as error:
            self.report(error)


def _side(row: AttentionRow) -> dict[str, Any]:
    """One row as the browser gets it: mean weights, rounded, since no mark shows more.

    "masked" says that all its heads are: then they look at everything alike.
    """
    return {
        "weights": [round(float(weight), 4) for weight in row.mean],
        "bos": round(float(row.bos.mean()), 4),
        "sink": round(float(row.sink.mean()), 4),
        "masked": len(row.masked) == len(row.heads),
    }
