"""What stands above grid and text: the model with its badges, and everything that chooses heads."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w

from widgets.own_changes import OwnChanges
from widgets.panels.help import HelpButton
from widgets.status_line import StatusLine
from widgets.tasks.task_queues import TaskQueues
from workbench.core.text import escaped
from workbench.loading.certificate import Certificate, certify
from workbench.models.heads import cut_size
from workbench.session.head_colours import RETRIEVAL
from workbench.session.session import Session

MODES = (
    ("uniform attention", "uniform"), ("zero output", "zero"), ("mean output", "mean"),
    ("another text's output", "resample"),
)  # fmt: skip
FINDING, MASKING = "finding the heads", "masking the top heads"
CERTIFYING = "the certificate"


class Toolbar(w.VBox):
    """Presets, the masked set as text, what masked heads put out, undo; in two rows."""

    def __init__(self, session: Session, status: StatusLine, queues: TaskQueues) -> None:
        """The controls.

        Args:
            session: whose heads are masked.
            status: shows the errors.
            queues: do the work.
        """
        self.session, self._status, self._queues = session, status, queues
        self._ours = OwnChanges()  # of the controls, which are set to what the session says
        self._certificate: Certificate | None = None
        every = session.model.head_count
        self.title = w.HTML()
        self.title.add_class("aiw-title")
        self.detect = self._button(
            "Find the heads", "Score every head on lookup probes: about a minute on a laptop",
            self.find_heads, icon="search",
        )  # fmt: skip
        self.top = self._button(
            "Mask top", "Mask the heads of highest value in the present colours", self._mask_top
        )
        self.count = w.BoundedIntText(
            value=cut_size(0.05, every), min=1,
            max=max(every - 1, 1), layout={"width": "58px"},
            tooltip="How many heads 'Mask top' masks; 5 % of all at first",
        )  # fmt: skip
        self._chosen(self.count, lambda _: self._mask_top())
        self.ties = w.ToggleButton(
            description="ties", layout={"width": "auto"},
            tooltip="Where heads of equal value tie at the cut, let the lower layer and head win",
        )  # fmt: skip
        self.random = self._button(
            "Random", "A control: mask as many heads, drawn at random from the others",
            lambda: session.random(self.seed.value), icon="random",
        )  # fmt: skip
        self.seed = w.BoundedIntText(
            min=0, max=2**31 - 1,
            layout={"width": "52px"}, tooltip="Seed of the random control",
        )  # fmt: skip
        self._chosen(
            self.seed, lambda seed: session.random(seed) if session.state.control_of else None
        )
        self.undo = self._button(
            "", "Undo: take the last change back (Ctrl+Z in grid and text)", session.undo, "undo"
        )
        self.redo = self._button(
            "", "Redo: do it again (Ctrl+Shift+Z in grid and text)", session.redo, "repeat"
        )
        self.help = HelpButton()
        self.names = w.Text(
            placeholder="L17H3 L18H6", continuous_update=False,
            layout={"flex": "1 1 120px"}, tooltip="The masked heads, to read, type or paste",
        )  # fmt: skip
        self._chosen(self.names, session.mask)
        self.mode = w.Dropdown(
            options=MODES, layout={"width": "142px"},
            tooltip="What masked heads put out",
        )  # fmt: skip
        self._chosen(self.mode, session.set_mode)
        self.compare = w.ToggleButton(
            description="Compare", layout={"width": "auto"},
            tooltip="On: show changes from the losses under the heads that are masked now, not "
            "from those of the model as it is",
        )  # fmt: skip
        self._chosen(self.compare, lambda on: session.compare_with(session.heads if on else None))
        self.invert = self._button("Invert", "Mask what is not masked", session.invert)
        self.clear = self._button("Clear", "Unmask all heads", session.clear)
        presets = [
            self.detect, self.top, self.count, self.ties, self.random, self.seed, self.undo,
            self.redo, self.help,
        ]  # fmt: skip
        masked = [self.names, self.mode, self.compare, self.invert, self.clear]
        super().__init__([self.title, w.HBox(presets), w.HBox(masked)])
        self.add_class("aiw-toolbar")
        for says in ("session.detect()", "detect again"):
            status.offer(says, "Find the heads", self.find_heads)

    def check_model(self) -> None:
        """Certify the model in the background, once the colours that are asked for are there."""
        # The checks hold the model over many passes. So they wait here for their turn, and are made
        # where no other colours wait for them.
        self._queues.colours.do(CERTIFYING, lambda: None, lambda _: self._certify())

    def _certify(self) -> None:
        self._queues.checks.do(CERTIFYING, lambda: certify(self.session.model), self._certified)

    def find_heads(self) -> None:
        """Score every head on probes, in the background."""
        self._queues.begin(FINDING, self.session.detect, self._found)

    def _found(self, scores: object) -> None:
        note = self.session.palette.columns[RETRIEVAL].note
        self._status.say(f"Every head is scored: {note}")

    def _mask_top(self) -> None:
        session, count, ties = self.session, self.count.value, self.ties.value
        by = session.palette.colour_by
        self._status.offer("allow_ties=True", "Allow ties", self._allow_ties)
        # Values that are not there yet are computed first.
        self._queues.colours.do(
            MASKING, lambda: session.top(count, by=by, allow_ties=ties), lambda _: None
        )  # fmt: skip

    def _allow_ties(self) -> None:
        self.ties.value = True
        self._mask_top()

    def _certified(self, certificate: Certificate) -> None:
        self._certificate = certificate
        self.follow()

    def _button(
        self, text: str, tooltip: str, click: Callable[[], object], icon: str = ""
    ) -> w.Button:
        width = "auto" if text else "30px"
        made = w.Button(description=text, tooltip=tooltip, icon=icon, layout={"width": width})
        made.on_click(self._status.guarded(lambda _: click()))
        return made

    def _chosen(self, control: w.Widget, act: Callable[..., object]) -> None:
        careful = self._status.guarded(act)

        def changed(change: dict[str, object]) -> None:
            if not self._ours.under_way:
                careful(change["new"])

        control.observe(changed, "value")

    def follow(self) -> None:
        """Set every control to what the session says."""
        session, state = self.session, self.session.state
        count = len(state.heads)
        with self._ours.made():
            self.names.value = str(state.heads)
            if state.mode not in dict(self.mode.options).values():  # of a named reference set
                self.mode.options = (*self.mode.options, (state.mode, state.mode))
            self.mode.value = state.mode
            self.undo.disabled = not session.history.can_undo
            self.redo.disabled = not session.history.can_redo
            self.random.disabled = not (state.heads or state.control_of)
            self.clear.disabled = not state.heads
            against = len(state.against)
            self.compare.value = bool(against)
            self.compare.description = f"Compared with {against}" if against else "Compare"
            self.compare.disabled = not (state.heads or against)
        model = session.model
        dtype = str(model.dtype).removeprefix("torch.")
        rounded = f" rounded as {escaped(model.simulate)}" if model.simulate else ""
        self.title.value = (
            f"<b>{escaped(model.source)}</b> &middot; {model.num_layers} layers &times; "
            f"{model.num_heads} heads &middot; {dtype}{rounded} on {model.device} "
            f"&middot; {count} masked {self._badges()}"
        )
        self._status.suggest(self._next())

    def _badges(self) -> str:
        badges = []
        if self._certificate is not None:
            ok = self._certificate.ok
            words = "certified" if ok else "not certified"
            why = (
                f"{len(self._certificate.checks)} checks of masking and losses passed on this model"
                if ok else self._certificate.failure_message()
            )  # fmt: skip
            badges.append(_badge(words, ok, why))
        # What is most worth knowing comes first: a narrow line cuts the rest.
        report = self.session.report
        if report is not None:
            real = report.lookup is None or report.lookup.retrieves
            why = "\n".join([report.verdict, *report.reasons])
            badges.append(_badge(f"checked: {report.headline}", real, why))
        retrieval = self.session.palette.columns.get(RETRIEVAL)
        if retrieval is not None and retrieval.note:
            why = "retrieval score, on lookup probes"
            badges.append(_badge(retrieval.note, not retrieval.warns, why))
        return " ".join(badges)

    def _next(self) -> str:
        """What somebody new does next."""
        if self.session.scores is None and not self.session.heads:
            return "1 Find the heads   2 mask the top 5 %   3 point at a word of the text"
        if not self.session.heads:
            return "Next: Mask top, or click cells of the grid; then point at a word of the text"
        return "Point at a word to see what is predicted; click it to ask which heads it needs"


def _badge(words: str, good: bool, why: str) -> str:
    kind = "aiw-badge" if good else "aiw-badge aiw-badge-bad"
    return f'<span class="{kind}" title="{escaped(why)}">{escaped(words)}</span>'
