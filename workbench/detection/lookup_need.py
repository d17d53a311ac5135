"""Do lookups need a head set? A verdict from answers with true, shuffled and absent keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from workbench.core.frames import as_html
from workbench.core.intervals import bootstrap_weights, percentile_interval
from workbench.detection.lookup_questions import HEADS, KEYS, MEASURES, lookup_answers
from workbench.detection.probes import Probes
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model

A_FEW = 0.25  # right so often: not by accident

Cell = tuple[str, str]  # keys, heads


class Change(NamedTuple):
    """A paired difference over probes.

    Attributes:
        value: the mean difference.
        low: the low end of its 95 % interval.
        high: the high end.
    """

    value: float
    low: float
    high: float

    @property
    def falls(self) -> bool:
        """Whether it surely lies below 0."""
        return self.high < 0

    @property
    def rises(self) -> bool:
        """Whether it surely lies above 0."""
        return self.low > 0

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True)
class LookupTest:
    """Answers to lookups with heads masked and without, and what follows from them.

    While a score is taken, the true answer is fed, so only its first token needs the key. The test
    therefore reads the first token alone, and greedy answers. "Surely" means that the 95 % interval
    of the paired difference (percentile bootstrap over probes) excludes 0. `finding` is the first
    of these that holds:

    - without *retrieval* nothing can be said of heads: the true key does not lower the unmasked
      model's loss of the first token surely, against a shuffled and against an absent key, or it
      does not get more of them right, or a quarter of the lookups or more are right without the
      true key and these are more than half as many as with it. The finding is `"guessed"` where a
      quarter or more are right without the true key (values that begin alike, as licence headers
      do), `"no retrieval"` where fewer than a quarter are right with it, and else `"unsure"`;
    - `"lookup"`: masking the heads takes the first token's accuracy with the true key surely below
      that of the unmasked model, and surely below that with random heads masked; and so it does
      with what the true key is worth: the loss of the first token with a shuffled key less that
      with the true one. (Heads that break every answer take the accuracy without any key, too.)
    - `"copying"`: not so the first token, but so the share of the answer that greedy decoding gets
      right;
    - `"neither"`: neither falls surely more than with random heads.

    A lookup that needs the heads need not be found by them: another head may find the place, and
    these fetch what stands there.

    Attributes:
        answers: what `lookup_answers` returned.
        draws: bootstrap draws behind each interval.
        seed: seed of the draws.
    """

    answers: pd.DataFrame
    draws: int = 1000
    seed: int = 0

    @property
    def probes(self) -> int:
        """How many probes, over which the intervals are."""
        return self.answers["probe"].nunique()

    @property
    def questions(self) -> int:
        """How many values were asked for in all probes together."""
        return len(self.answers[["probe", "question"]].drop_duplicates())

    @cached_property
    def _per_probe(self) -> Mapping[str, np.ndarray]:
        """For each measure the means over a probe's questions, (probes, keys, heads)."""
        means = self.answers.groupby(["probe", "keys", "heads"])[list(MEASURES)].mean()
        index = pd.MultiIndex.from_product([sorted(set(self.answers["probe"])), KEYS, HEADS])
        shape = (self.probes, len(KEYS), len(HEADS))
        return {name: means[name].reindex(index).to_numpy().reshape(shape) for name in MEASURES}

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a kind of key and head set.

        Its columns are keys, heads and each of first_loss (nats), first_accuracy, greedy_exact and
        greedy_share (see `lookup_answers`): the mean over probes, and its 95 % interval with the
        endings _low and _high.
        """
        table = pd.DataFrame([(a, b) for a in KEYS for b in HEADS], columns=["keys", "heads"])
        for name, values in self._per_probe.items():
            flat = values.reshape(self.probes, -1)
            low, high = self._interval(flat)
            table[name], table[f"{name}_low"], table[f"{name}_high"] = flat.mean(axis=0), low, high
        return table

    def change(
        self, measure: str, since: Cell = ("true", "base"), to: Cell = ("true", "masked")
    ) -> Change:
        """The paired difference of a measure between two rows of `table`.

        Args:
            measure: first_loss, first_accuracy, greedy_exact or greedy_share.
            since: keys and heads of the row that is taken off.
            to: keys and heads of the row that it is taken off from.
        """
        values = self._per_probe[measure]
        before, after = (values[:, KEYS.index(a), HEADS.index(b)] for a, b in (since, to))
        return self._mean_change(after - before)

    def key_worth(self, heads: str = "base", less: str | None = None) -> Change:
        """What the true key is worth: the first token's loss with a shuffled key, less with it.

        Args:
            heads: base, masked or random.
            less: another of these, whose worth is taken off, paired by probe; None: nothing is.

        Returns:
            Nats, the mean over probes with its interval.
        """
        losses = self._per_probe["first_loss"]
        worth = losses[:, KEYS.index("shuffled")] - losses[:, KEYS.index("true")]
        of_probes = worth[:, HEADS.index(heads)]
        if less is not None:
            of_probes = of_probes - worth[:, HEADS.index(less)]
        return self._mean_change(of_probes)

    def _mean_change(self, of_probes: np.ndarray) -> Change:
        """The mean of one value a probe, (probes,), with its interval."""
        low, high = self._interval(of_probes[:, None])
        return Change(float(of_probes.mean()), float(low[0]), float(high[0]))

    def _interval(self, values: np.ndarray) -> np.ndarray:
        """95 % interval of the mean over probes, (2, columns); exact where probes do not differ."""
        means = bootstrap_weights(self.probes, self.draws, self.seed) @ values
        # Sums in another order must not make a difference of 0 one of 1e-17.
        return percentile_interval(means.round(9), axis=0)

    # ---- what follows -----------------------------------------------------------------------

    @property
    def finding(self) -> str:
        """The first that holds of those that the class lists."""
        true = self._mean("first_accuracy", ("true", "base"))
        others = [(key, "base") for key in KEYS[1:]]
        without = max(self._mean("first_accuracy", key) for key in others)
        helps = all(self.change("first_loss", key, ("true", "base")).falls for key in others)
        mostly_without_key = without >= A_FEW and without > true / 2
        if not helps or true <= without or mostly_without_key:
            if without >= A_FEW:
                return "guessed"
            return "no retrieval" if true < A_FEW else "unsure"
        worth_falls = all(self.key_worth("masked", less=name).falls for name in ("base", "random"))
        if worth_falls and self._falls("first_accuracy"):
            return "lookup"
        return "copying" if self._falls("greedy_share") else "neither"

    def _falls(self, measure: str) -> bool:
        """Whether masking lowers a measure surely, and surely more than masking random heads."""
        others = [self.change(measure, ("true", name)) for name in ("base", "random")]
        return all(change.falls for change in others)

    @property
    def retrieves(self) -> bool:
        """Whether the unmasked model looks up at all; without that nothing is said of heads."""
        return self.finding not in ("guessed", "no retrieval", "unsure")

    @property
    def verdict(self) -> str:
        """The finding in words, with the figures that it follows from."""
        true, wrong, absent = (self._mean("first_accuracy", (key, "base")) for key in KEYS)
        of_keys = (
            f"the first answer token is right in {true:.2f} of the lookups with the true key, "
            f"{wrong:.2f} with shuffled keys, {absent:.2f} with an absent one"
        )
        return {
            "guessed": "no retrieval shown, the first answer token can be had without the key: "
            f"{of_keys}",
            "no retrieval": f"no retrieval: the model cannot answer the probes by key: {of_keys}",
            "unsure": f"no retrieval shown, use more or shorter probes: {of_keys}",
            "lookup": f"lookups need them: {self._masked('first_accuracy')}",
            "copying": "copying needs them, no evidence that lookups do: "
            f"{self._masked('greedy_share')}; {self._masked('first_accuracy')}",
            "neither": "no evidence that lookups need them more than random heads: "
            f"{self._masked('first_accuracy')}",
        }[self.finding]

    @property
    def headline(self) -> str:
        """The finding in a few words, for a badge; `verdict` says the same with its figures."""
        return {
            "guessed": "no retrieval shown",
            "no retrieval": "no retrieval",
            "unsure": "no retrieval shown",
            "lookup": "lookups need them",
            "copying": "copying needs them",
            "neither": "no evidence that lookups need them",
        }[self.finding]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What was measured, one sentence or two each."""
        against = {
            measure: self.change(measure, ("true", "random"))
            for measure in ("first_accuracy", "greedy_share")
        }
        loss = [self._mean("first_loss", ("true", name)) for name in HEADS]
        exact = [self._mean("greedy_exact", ("true", name)) for name in HEADS]
        keys = " and ".join(
            f"in {self._mean('first_accuracy', (key, 'base')):.2f} {name} (the true key changes "
            f"its loss by {self.change('first_loss', (key, 'base'), ('true', 'base'))} nats)"
            for key, name in zip(
                KEYS[1:], ("with shuffled keys", "with an absent key"), strict=True
            )
        )
        return (
            f"Lookup test: {self.questions} values of {self.probes} probes are asked for, by the "
            "true key, a wrong one and an absent one; the random heads are others for each probe.",
            f"First answer token, for which the key is needed: {self._masked('first_accuracy')} "
            f"(difference {against['first_accuracy']}); loss {loss[0]:.2f} nats, {loss[1]:.2f} "
            f"masked, {loss[2]:.2f} with random heads masked.",
            f"Greedy answers: {self._masked('greedy_share')} (difference "
            f"{against['greedy_share']}); the whole answer is right in {exact[0]:.2f} of the "
            f"lookups, {exact[1]:.2f} masked, {exact[2]:.2f} with random heads masked.",
            f"Without the true key the unmasked model has the first token right {keys}.",
            "Against a shuffled key the true one is worth, in nats of the first token, "
            f"{self.key_worth()}, {self.key_worth('masked')} masked, {self.key_worth('random')} "
            f"with random heads masked (masked less random "
            f"{self.key_worth('masked', less='random')}).",
        )

    def _mean(self, measure: str, cell: Cell) -> float:
        values = self._per_probe[measure][:, KEYS.index(cell[0]), HEADS.index(cell[1])]
        return float(values.mean())

    def _masked(self, measure: str) -> str:
        """What masking makes of a measure with true keys, beside random heads."""
        name = {
            "first_accuracy": "the first answer token's accuracy",
            "greedy_share": "the share of the answer that greedy decoding gets right",
        }[measure]
        base, after, random = (self._mean(measure, ("true", heads)) for heads in HEADS)
        return (
            f"masking takes {name} from {base:.2f} to {after:.2f}, {self.change(measure)}; "
            f"random heads to {random:.2f}"
        )

    def __repr__(self) -> str:
        lines = [f"Lookup test: {self.verdict}", *(f"  - {reason}" for reason in self.reasons)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return as_html(repr(self))

    def to_json(self) -> dict[str, Any]:
        """Finding, verdict, counts, and the rows of `table` and `answers` as plain JSON values."""
        return {
            "finding": self.finding, "verdict": self.verdict, "probes": self.probes,
            "questions": self.questions, "draws": self.draws, "seed": self.seed,
            "table": self.table.to_dict(orient="records"),
            "answers": self.answers.to_dict(orient="records"),
        }  # fmt: skip

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> LookupTest:
        """The test that `to_json` stored; what follows from its answers is computed anew.

        Args:
            stored: its dict.

        Raises:
            ValueError: `stored` is anything else.
        """
        try:
            answers = pd.DataFrame(stored["answers"])
            columns = ["probe", "question", "keys", "heads", *MEASURES]
            return cls(answers[columns], int(stored["draws"]), int(stored["seed"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"not a stored lookup test: expected what to_json returns ({error!r:.200})"
            ) from error


def lookup_test(
    model: Model,
    probes: Probes,
    heads: HeadSet,
    *,
    questions: int = 3,
    mode: Mode = "uniform",
    draws: int = 1000,
    seed: int = 0,
) -> LookupTest:
    """Ask the model for values by their keys, with heads masked and without.

    Args:
        model: the model, with no head masked.
        probes: probes of `make_probes`, unchanged; better others than those that the heads were
            detected on.
        heads: the heads in question.
        questions: how many values of each probe's object are asked for.
        mode: what a masked head does instead (see `masked`).
        draws: bootstrap draws, at least 100.
        seed: seed of questions, random heads and draws.

    Returns:
        The answers, with the verdict that follows from them.

    Raises:
        ValueError: as `lookup_answers`, or fewer than 100 draws, fewer than 4 probes, or no head.
    """
    if draws < 100 or len(probes) < 4 or not heads:
        raise ValueError(
            "a lookup test needs at least 100 draws, 4 probes and one head, got "
            f"{draws}, {len(probes)} and {len(heads)}"
        )
    answers = lookup_answers(model, probes, heads, questions=questions, mode=mode, seed=seed)
    return LookupTest(answers, draws, seed)
