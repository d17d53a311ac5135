"""A desk for planning a training run: published laws, one's own runs, and a mixture.

What the scaling panel shows is worked out here, without a browser, and `code` gives the Python that
does it again.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures.scaling import law_curves
from workbench.scaling.law_comparison import compare_laws, compare_optima, require_one_unit
from workbench.scaling.law_fit import LawFit, refit
from workbench.scaling.laws.book import LAWS
from workbench.scaling.laws.law import Law
from workbench.scaling.mixtures import BestMixture, MixtureFit
from workbench.scaling.run_tables import IsoFlop, isoflop, rate_sensitivity
from workbench.session.actions import Listeners
from workbench.session.scaling_code import desk_code, desk_page
from workbench.session.session import Session

LINKED = ("params", "tokens", "compute")  # compute = 6 params tokens
ROW = 4096  # tokens of a row, as the power scheduler counts its batches
RESAMPLES = 200  # of a fit, where nothing else is said
FIRST = {"params": 1e9, "tokens": 2e10, "batch_tokens": 524288.0}


class ScalingDesk:
    """Laws at one size of run, beside one's own runs; every change is a method.

    Attributes:
        runs: one row a run (`training_runs`), or None.
        brought: where the runs came from if `bring` put them here, or None.
        mixtures: a fit of mixtures, or None.
        session: whose corpus is exported with the mixture, or None.
        laws: keys of the laws that are looked at; their outputs have one unit.
        inputs: params, tokens, compute (FLOP, 6 params tokens) and batch_tokens of the run.
        locked: which of params, tokens and compute stays when another one changes.
        held_out: numbers of the rows of `runs` that are kept from the fit.
        fit: the law that was fitted to the other runs, or None.
        resamples: bootstrap draws behind the intervals of `fit`.
        best: the mixture that was found, or None.
        shares: of the mixture that is looked at, by domain; None: `best`, or none yet.
        weights: of the losses in what is predicted for it; None: all count the same.
    """

    def __init__(
        self,
        runs: pd.DataFrame | None = None,
        *,
        mixtures: MixtureFit | None = None,
        session: Session | None = None,
        laws: Sequence[str] = ("besiroglu", "hoffmann"),
    ) -> None:
        """Begin with some laws at a run of a billion parameters, or at the largest of the runs.

        Args:
            runs: one row a run: params, tokens, loss, and what else is known of it; None: none.
            mixtures: what `fit_mixture` returned; None: none.
            session: whose corpus is exported with the mixture; None: there is none.
            laws: keys of `LAWS`, all of one unit.

        Raises:
            KeyError: the book has no such law.
            TypeError: the runs are no frame.
            ValueError: the laws have different units, or the runs lack params or tokens.
        """
        self.brought: str | None = None
        self.runs = None if runs is None else _checked(runs)
        self.mixtures, self.session = mixtures, session
        self.held_out: frozenset[int] = frozenset()
        self.fit: LawFit | None = None
        self.resamples = RESAMPLES
        self.best: BestMixture | None = None
        self.shares: pd.Series | None = None
        self.weights: Mapping[str, float] | None = None
        self.locked = "tokens"
        self._listeners = Listeners()
        self.laws: tuple[str, ...] = ()
        self.choose(laws)
        first = dict(FIRST)
        if self.runs is not None and len(self.runs):
            largest = self.runs.iloc[int((self.runs["params"] * self.runs["tokens"]).argmax())]
            first |= {name: float(largest[name]) for name in first if name in largest}
        self.inputs = {**first, "compute": 6 * first["params"] * first["tokens"]}

    def on_change(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """Call a function after each change.

        Args:
            listener: is called with what changed: "laws", "inputs", "runs" (those held out, or
                the fit), "mixture" (the best one) or "shares" (of the one looked at).

        Returns:
            What ends that, when it is called.
        """
        return self._listeners.add(listener)

    # ---- laws -------------------------------------------------------------------------------

    def choose(self, laws: Sequence[str]) -> None:
        """Look at these laws.

        Args:
            laws: keys of `LAWS`, all of one unit.

        Raises:
            KeyError: the book has no such law.
            ValueError: the laws have different units, or there is none.
        """
        require_one_unit([LAWS[key] for key in laws])
        self.laws = tuple(laws)
        self._listeners.notify("laws")

    def change(self, name: str, value: float) -> None:
        """Set one input; of params, tokens and compute the one that is not locked follows.

        Args:
            name: "params", "tokens", "compute" or "batch_tokens".
            value: above 0.

        Raises:
            ValueError: there is no such input, or the value is not above 0.
        """
        if name not in self.inputs or not 0 < value < np.inf:
            raise ValueError(
                f"an input is one of {', '.join(self.inputs)}, above 0; got {name!r:.50} {value!r}"
            )
        self.inputs[name] = float(value)
        if name in LINKED:
            self._link(name)
        self._listeners.notify("inputs")

    def _link(self, name: str) -> None:
        """Keep compute = 6 params tokens after one of the three was set."""
        kept = self.locked if self.locked != name else ("tokens" if name != "tokens" else "params")
        (follows,) = set(LINKED) - {name, kept}
        params, tokens, compute = (self.inputs[one] for one in LINKED)
        worked_out = {
            "params": compute / (6 * tokens), "tokens": compute / (6 * params),
            "compute": 6 * params * tokens,
        }  # fmt: skip
        self.inputs[follows] = worked_out[follows]

    def inputs_of(self, law: Law) -> dict[str, float] | None:
        """What a law is asked at.

        Args:
            law: the law.

        Returns:
            Its inputs; None if it takes one that the desk has not.
        """
        known = self._known()
        names = [quantity.name for quantity in law.inputs]
        return {name: known[name] for name in names} if set(names) <= set(known) else None

    def _known(self) -> dict[str, float]:
        batch = self.inputs["batch_tokens"]
        return {**self.inputs, "steps": self.inputs["tokens"] / batch, "batch_rows": batch / ROW}

    def axes(self) -> list[str]:
        """The inputs that curves of the present laws can be drawn across.

        Returns:
            Names of inputs; those of the first law that all its inputs are known of.
        """
        for key in self.laws:
            if self.inputs_of(LAWS[key]) is not None:
                return [quantity.name for quantity in LAWS[key].inputs]
        return []

    def drawn(
        self, across: str
    ) -> tuple[list[str | LawFit], dict[str, float], pd.DataFrame | None]:
        """What `figures.law_curves` draws across one input.

        Args:
            across: the name of the input.

        Returns:
            The laws that take it, the law fitted to the runs among them; all inputs; and the runs
            that the fit does not bring: those held out, or all; by their numbers.

        Raises:
            ValueError: none of the laws takes the input.
        """
        laws: list[str | LawFit] = [
            key
            for key in self.laws
            if self.inputs_of(LAWS[key]) is not None
            and across in {quantity.name for quantity in LAWS[key].inputs}
        ]
        if not laws:
            raise ValueError(
                f"none of {', '.join(self.laws)} can be drawn: they take inputs that the desk has "
                "not; wb.LAWS[key] can be called with all of them"
            )
        unit = LAWS[self.laws[0]].output
        if self.fit is not None and self.fit.law.output.unit == unit.unit:
            laws.append(self.fit)
        runs = self.runs
        if runs is not None:
            rest = runs.loc[sorted(self.held_out)] if laws[-1] is self.fit else runs
            known = {across, unit.name} <= set(runs)
            rest = rest.dropna(subset=[across, unit.name]) if known else rest
            runs = rest if known and len(rest) else None
        return laws, self._known(), runs

    def laws_of_size(self) -> list[str | LawFit]:
        """The present laws of params and tokens that give a loss, the fitted one among them."""
        laws: list[str | LawFit] = [key for key in self.laws if _of_size(LAWS[key])]
        return laws if self.fit is None or not _of_size(self.fit.law) else [*laws, self.fit]

    def rates(self) -> dict[str, float]:
        """The learning rate that each law in standard parameterisation says for the run."""
        rates = {}
        for key, law in LAWS.items():
            inputs = self.inputs_of(law)
            if law.output == LAWS["step law"].output and inputs is not None:
                rates[key] = float(law.evaluate(**inputs))
        return rates

    def says(self) -> pd.DataFrame:
        """What each law says of the run.

        Returns:
            One row a law: law, value, unit, times_least, outside (its range, in words), status. A
            law that takes what the desk has not is missing.
        """
        able = [key for key in self.laws if self.inputs_of(LAWS[key]) is not None]
        every: dict[str, float] = {}
        for key in able:
            every |= self.inputs_of(LAWS[key]) or {}
        if not able:
            columns = ["law", "value", "unit", "times_least", "outside", "status"]
            return pd.DataFrame(columns=columns)
        return compare_laws(able, **every)

    def optima(self) -> pd.DataFrame:
        """Where the laws of params and tokens put the best model of the present compute.

        Returns:
            One row a law, as `compare_optima`; the law fitted to the runs is among them.
        """
        return compare_optima(self.laws_of_size(), self.inputs["compute"])

    # ---- one's own runs ---------------------------------------------------------------------

    def bring(self, runs: pd.DataFrame, origin: str = "pasted cells") -> None:
        """Put other runs on the desk; none of them is held out, and nothing is fitted to them yet.

        Args:
            runs: one row a run, as `training_runs` and `runs_from_text` make it.
            origin: where they come from, such as the name of a file; `code` writes them out.

        Raises:
            TypeError: the runs are no frame.
            ValueError: the runs lack params or tokens.
        """
        self.runs, self.brought = _checked(runs), origin
        self.held_out, self.fit = frozenset(), None
        self._listeners.notify("runs")

    def hold_out(self, rows: Collection[int]) -> None:
        """Keep runs from the fit, to see whether it predicts them; the fit is made anew by `refit`.

        Args:
            rows: their numbers in `runs`.

        Raises:
            ValueError: there is no such run.
        """
        count = len(self._runs())
        wrong = [row for row in rows if not 0 <= row < count]
        if wrong:
            raise ValueError(f"there are {count} runs, counted from 0, and no run {wrong[0]}")
        self.held_out, self.fit = frozenset(rows), None
        self._listeners.notify("runs")

    def refit(self, law: str = "besiroglu", resamples: int = RESAMPLES) -> LawFit:
        """Fit a law to the runs that are not held out.

        Args:
            law: a key of `LAWS`.
            resamples: bootstrap draws of runs.

        Returns:
            The fit.

        Raises:
            ValueError: there are no runs, or too few.
        """
        runs, held = self._runs(), self.held_out
        fit = refit(law, runs.drop(index=list(held)), resamples=resamples)
        if runs is self.runs and held == self.held_out:  # else it is of runs that are gone
            self.fit, self.resamples = fit, resamples
            self._listeners.notify("runs")
        return fit

    def held(self) -> pd.DataFrame:
        """The runs that are held out, and whether the fit predicts them.

        Returns:
            One row a run: its columns, predicted, low, high, run_low, run_high, inside (the loss
            lies between run_low and run_high).

        Raises:
            ValueError: nothing was fitted yet.
        """
        if self.fit is None:
            raise ValueError("no law is fitted to the runs yet: call refit()")
        runs = self._runs().loc[sorted(self.held_out)].reset_index(drop=True)
        if runs.empty:
            return runs.assign(inside=False)
        found = pd.concat([runs, self.fit.predict(runs)], axis=1)
        inside = found[self.fit.output].between(found["run_low"], found["run_high"])
        return found.assign(inside=inside)

    def isoflop(self) -> IsoFlop:
        """The best size at each compute of the runs (`isoflop`).

        Returns:
            The table with its exponent.

        Raises:
            ValueError: there are no runs, or no compute has three sizes.
        """
        return isoflop(self._runs())

    def sensitivity(self, initial: float) -> pd.DataFrame:
        """The best learning rate of each size (`rate_sensitivity`).

        Args:
            initial: the loss of an untrained model, in nats.

        Returns:
            One row a size.

        Raises:
            ValueError: there are no runs, or they have no learning rates.
        """
        return rate_sensitivity(self._runs(), initial)

    def _runs(self) -> pd.DataFrame:
        if self.runs is None:
            raise ValueError(
                "no runs are on the desk: ScalingDesk(wb.training_runs('arms/')) puts yours there"
            )
        return self.runs

    # ---- the mixture ------------------------------------------------------------------------

    def find_mixture(self, weights: Mapping[str, float] | None = None) -> BestMixture:
        """The mixture of lowest predicted loss inside the shares that were run.

        Args:
            weights: of the losses, by name; None: all count the same.

        Returns:
            The mixture.

        Raises:
            ValueError: no mixtures were fitted, or a weight is of no loss.
        """
        self.best, self.shares, self.weights = self._mixtures().best(weights), None, None
        self._listeners.notify("mixture")
        return self.best

    def mix(
        self,
        shares: Mapping[str, float] | pd.Series,
        weights: Mapping[str, float] | None = None,
    ) -> str:
        """Look at a mixture of one's own.

        Args:
            shares: by domain, summing to 1.
            weights: of the losses, by name; None: all count the same.

        Returns:
            What is predicted for it, as `predicted` says it.

        Raises:
            ValueError: as `predicted`.
        """
        domains = list(self._mixtures().runs)
        given = pd.Series(shares, dtype=float)
        if set(given.index) != set(domains):
            raise ValueError(
                f"a mixture has a share of each of {domains!r:.200}; got {list(given.index)!r:.200}"
            )
        given = given.reindex(domains)
        said = self.predicted(given, weights)
        self.shares, self.weights = given, None if weights is None else dict(weights)
        self._listeners.notify("shares")
        return said

    def predicted(self, shares: pd.Series, weights: Mapping[str, float] | None = None) -> str:
        """What is predicted for a mixture, and whether any run was near it.

        Args:
            shares: of the domains, summing to 1.
            weights: of the losses, by name; None: all count the same.

        Returns:
            A sentence.

        Raises:
            ValueError: no mixtures were fitted, or the shares are no mixture of their domains.
        """
        fit = self._mixtures()
        loss = float(fit.predict(shares.to_frame().T, weights).iloc[0])
        inside = shares.between(fit.runs.min(), fit.runs.max())
        beyond = [str(name) for name in shares.index[~inside]]
        where = f"; outside the shares that were run: {', '.join(beyond)}" if beyond else ""
        return f"predicted {loss:.3f} nats{where}"

    def export(self) -> Path:
        """Write the manifest of the session's selection with the best mixture in it.

        Returns:
            The path of the manifest.

        Raises:
            ValueError: no best mixture was found, there is no session, or it has no corpus.
        """
        if self.best is None:
            raise ValueError("no mixture was searched for yet: call find_mixture()")
        if self.session is None:
            raise ValueError(
                "a mixture goes into the manifest of a selection: ScalingDesk(session=session), "
                "with a corpus that was scored"
            )
        return self.session.export(mixture=self.best)

    def _mixtures(self) -> MixtureFit:
        if self.mixtures is None:
            raise ValueError(
                "no mixtures are on the desk: ScalingDesk(mixtures=wb.fit_mixture(plan, losses))"
            )
        return self.mixtures

    # ---- the way back -----------------------------------------------------------------------

    def code(self) -> str:
        """Python that works out again what is on the desk.

        Returns:
            The lines; a comment names what only this process holds.
        """
        return desk_code(self)

    def write_html(
        self,
        path: str | Path,
        figure: go.Figure | None = None,
        *,
        title: str = "",
        tables: Mapping[str, pd.DataFrame] | None = None,
        laws: Sequence[str] | None = None,
    ) -> Path:
        """Keep a figure with its data, the laws' formulas and sources, and the code, in one file.

        The file holds all that it shows: it opens without a network.

        Args:
            path: of the HTML file, which is written anew.
            figure: any figure; None: the laws and runs across the first input, as `axes` names it.
            title: of the page; empty: that of the figure.
            tables: heading to a table under the figure; None: what each law says. The runs follow
                in any case.
            laws: keys of `LAWS` whose entries stand under the figure; None: those looked at.

        Returns:
            The path.

        Raises:
            ValueError: there is no figure, and none of the laws can be drawn.
        """
        if figure is None:
            across = next(iter(self.axes()), "params")
            chosen, inputs, runs = self.drawn(across)
            figure = law_curves(chosen, across, inputs, runs)
        shown = {"What each law says": self.says()} if tables is None else dict(tables)
        if self.runs is not None:
            known = self.runs.dropna(axis="columns", how="all")
            shown["Runs"] = known.assign(
                held_out=["held out" if row in self.held_out else "" for row in known.index]
            )
        words = title or html.unescape(figure.layout.title.text or "Scaling laws")
        entries = [LAWS[key] for key in (self.laws if laws is None else laws)]
        path = Path(path)
        path.write_text(desk_page(self, figure, words, shown, entries), encoding="utf-8")
        return path


def _checked(runs: pd.DataFrame) -> pd.DataFrame:
    """A table of runs with rows counted from 0, if it is one."""
    if not isinstance(runs, pd.DataFrame):
        raise TypeError(
            f"runs are a table with one row a run, got {type(runs).__name__}: "
            "wb.training_runs makes one of folders, results or a CSV file"
        )
    lacking = [name for name in ("params", "tokens") if name not in runs]
    if lacking:
        raise ValueError(
            f"the table of runs lacks {', '.join(lacking)}: it has "
            f"{', '.join(map(str, runs)) or 'no columns'}"
        )
    return runs.reset_index(drop=True)


def _of_size(law: Law) -> bool:
    """Whether a law takes exactly params and tokens, and gives a loss."""
    return {quantity.name for quantity in law.inputs} == {"params", "tokens"} and (
        law.output.name == "loss"
    )
