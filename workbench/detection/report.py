"""The report on a head set: what was measured, a verdict in words, and its text, HTML and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from workbench.core.text import counted
from workbench.detection.lookup_need import LookupTest
from workbench.models.heads import HeadSet, heads_in

# The thresholds of the verdict. Public score files of larger models show halves that agree at 0.88
# to 0.95 (`workbench/METHOD.md`); below 0.6 a quarter of each half's set is not in the other's.
SURE, UNSURE = 0.95, 0.05  # membership of a head that is in, or out, beyond doubt
AGREE = 0.6  # halves, lengths: mostly the same set


@dataclass(frozen=True)
class HeadReport:
    """What is known about a head set; made by `head_report`.

    Attributes:
        heads: the head set.
        fraction: the share of all heads that it was cut at.
        by: the name of the score.
        probes: how many probes the scores come from.
        draws: bootstrap draws behind each interval.
        table: one row a head in model order: layer, head, score, chosen, membership (probability of
            the top set when probes are drawn anew); with a model also shuffled (score when no key
            leads to the answer), drop (what this takes away from the score, over the same probes)
            with drop_low and drop_high (95 %), locos and locos_share (membership of the second top
            set).
        halves: agreement (Jaccard) of the top sets of two halves of the probes: jaccard (mean), low
            and high (95 % range).
        gap: the scores at the cut (see `stability.gap_at_cut`).
        zeros: heads that score 0: in all (heads) and in the set (in_set), and how many tie at the
            cut (tied_at_cut).
        counts: agreement by number of probes (see `stability.count_series`).
        checked: how many probes the measurements with the model were made on.
        chance: what random looking scores (see `chance_band`).
        lookup: whether lookups need the set (see `LookupTest`).
        shuffled: share of the set's score that survives shuffled keys (survives, with low and high:
            95 %), how many tokens an answer has (answer_tokens, of which the first alone needs the
            key), and the null band: the 95 % and 99 % quantiles (band_95, band_99) of the heads
            outside the set with shuffled keys.
        lengths: agreement by probe length: tokens, pairs, probes, jaccard, spearman.
        locos: agreement with the second detector: jaccard, spearman.
        missing: what was not measured, and why.
    """

    heads: HeadSet
    fraction: float
    by: str
    probes: int
    draws: int
    table: pd.DataFrame
    halves: Mapping[str, float]
    gap: Mapping[str, Any]
    zeros: Mapping[str, int]
    counts: pd.DataFrame
    checked: int = 0
    chance: Mapping[str, float] | None = None
    lookup: LookupTest | None = None
    shuffled: Mapping[str, float] | None = None
    lengths: pd.DataFrame | None = None
    locos: Mapping[str, float] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    # ---- verdict ----------------------------------------------------------------------------

    @property
    def core(self) -> HeadSet:
        """The heads of the set whose membership is at least 95 %."""
        return self._where(self.table["chosen"] & (self.table["membership"] >= SURE))

    @property
    def edge(self) -> HeadSet:
        """The heads, in or out of the set, whose membership lies between 5 % and 95 %."""
        return self._where(self.table["membership"].between(UNSURE, SURE, inclusive="neither"))

    @property
    def within_chance(self) -> HeadSet:
        """The heads of the set that score no more than the best of random lookers (99 %)."""
        limit = -1.0 if self.chance is None else self.chance["best_99"]
        return self._where(self.table["chosen"] & (self.table["score"] <= limit))

    @property
    def verdict(self) -> str:
        """How far the set is determined, and whether lookups need it.

        The set is *not determined* where heads tie at the cut, where two halves of the probes agree
        at a Jaccard index below 0.6, or where fewer than half of its heads are sure members (95 %);
        *stable* where no head's membership lies between 5 % and 95 %; and else has an *uncertain
        edge*. What follows on lookups is the verdict of `LookupTest`, which comes first where the
        model does not retrieve, since the set means nothing then.
        """
        known, why = self._determined
        sure = f"{known}{why}"
        if self.lookup is None:
            return sure
        if self.lookup.retrieves:
            return f"{sure}; {self.lookup.verdict}"
        return f"{self.lookup.verdict}; the set: {sure}"

    @property
    def headline(self) -> str:
        """The verdict in a few words, for a badge: such as "stable; lookups need them".

        First how far the set is determined (not determined; stable; stable core, uncertain edge),
        then the `headline` of the lookup test, if it was made; in this order as in `verdict`.
        """
        known, _ = self._determined
        if self.lookup is None:
            return known
        parts = known, self.lookup.headline
        return "; ".join(parts if self.lookup.retrieves else reversed(parts))

    @property
    def _determined(self) -> tuple[str, str]:
        """How far the set is determined, and what goes with it in the verdict."""
        size, core, edge = len(self.heads), len(self.core), len(self.edge)
        if self.zeros["in_set"] or self.zeros["tied_at_cut"]:
            return "not determined", ": heads at the cut tie"
        if self.halves["jaccard"] < AGREE or core < size / 2:
            return "not determined", ": use more probes"
        if not edge:
            return "stable", ""
        between = f"{counted(edge, 'head')} between 5 % and 95 % membership"
        sure = f" ({core} of {size} heads sure, {between})"
        return "stable core, uncertain edge", sure

    @property
    def reasons(self) -> tuple[str, ...]:
        """What the verdict rests on, and what to do about it; one sentence or two each."""
        gap, zeros, halves = self.gap, self.zeros, self.halves
        reasons = [
            f"Two halves of the {self.probes} probes agree at Jaccard {halves['jaccard']:.2f} "
            f"(95 % range {halves['low']:.2f} to {halves['high']:.2f}); below {AGREE} the set "
            "counts as not determined."
        ]
        if zeros["in_set"]:
            reasons.append(
                f"{zeros['in_set']} heads of the set score 0 and were taken by their order: use a "
                "smaller fraction, or more or longer probes."
            )
        elif zeros["tied_at_cut"]:
            reasons.append(
                f"{zeros['tied_at_cut']} heads tie at the cut (score {gap['at_cut']:.3g}) and were "
                "taken by their order: use more probes or another fraction."
            )
        else:
            reasons.append(
                f"The gap at the cut, {gap['last']} {gap['at_cut']:.3f} over {gap['first']} "
                f"{gap['after_cut']:.3f}, is {_times(gap)} its standard error"
                + (
                    f"; two would take about {gap['probes_needed']} probes."
                    if gap["probes_needed"] > self.probes
                    else "."
                )
            )
        if self.edge:
            reasons.append(
                f"Uncertain: {self.edge}. Show results with and without them, or use more probes."
            )
        if self.within_chance:
            reasons.append(
                f"No better than random looking: {self.within_chance}. Use a smaller fraction."
            )
        if self.lookup is not None:
            reasons += self.lookup.reasons
        if self.shuffled is not None:
            reasons.append(self._shuffled_words())
        if self.lengths is not None:
            columns = (self.lengths[name] for name in ("pairs", "tokens", "jaccard", "spearman"))
            reasons += [
                f"With {pairs:.0f} pairs in {tokens} tokens "
                f"{'mostly the same set' if jaccard >= AGREE else 'another set'} comes out "
                f"(Jaccard {jaccard:.2f}, rank correlation {rank:.2f})."
                for pairs, tokens, jaccard, rank in zip(*columns, strict=True)
            ]
        if self.locos is not None:
            jaccard, size = self.locos["jaccard"], len(self.heads)
            shared = round(2 * size * jaccard / (1 + jaccard))
            reasons.append(
                f"LOCOS, which asks what a head writes, has {shared} of the {size} heads in its "
                f"own top set (Jaccard {jaccard:.2f}, rank correlation "
                f"{self.locos['spearman']:.2f})."
            )
        return (
            *reasons,
            *(f"{name[0].upper()}{name[1:]}: {why}." for name, why in self._missing()),
        )

    def _shuffled_words(self) -> str:
        assert self.shuffled is not None
        share = self.shuffled
        return (
            f"With keys shuffled, so that no key leads to the answer, {share['survives']:.0%} of "
            f"the set's score survives (95 % {share['low']:.0%} to {share['high']:.0%}). The true "
            f"answer is fed while scoring, so of its {share['answer_tokens']:.0f} tokens only the "
            "first needs the key: whatever survives says that the heads go on in a text once begun "
            "(induction), not that they look nothing up."
        )

    def _missing(self) -> list[tuple[str, str]]:
        return [(name, why.rstrip(".")) for name, why in self.missing.items()]

    def _where(self, rows: pd.Series) -> HeadSet:
        return HeadSet.of(heads_in(self.table[rows]), self.heads.geometry)

    # ---- looking and storing ----------------------------------------------------------------

    def __repr__(self) -> str:
        total, size = len(self.table), len(self.heads)
        lines = [
            f"Head set: {size} of {total} heads by {self.by}, {self.probes} probes",
            f"Verdict: {self.verdict}",
            *(f"  - {reason}" for reason in self.reasons),
            f"Heads (membership): {self._named(self.table['chosen'])}",
        ]
        if self.edge:
            outside = self._named(~self.table["chosen"] & (self.table["membership"] > UNSURE))
            lines.append(f"Just outside: {outside or 'none'}")
        lines.append(f"Heads that score 0: {self.zeros['heads']} of {total}")
        if self.shuffled is not None:
            lines.append(
                f"Null band: with shuffled keys 99 % of the heads outside the set score at most "
                f"{self.shuffled['band_99']:.3f}"
            )
        if self.chance is not None:
            lines.append(
                f"Random looking scores {self.chance['expected']:.4f}; the best of {total} heads "
                f"stays below {self.chance['best_99']:.4f} (99 %)"
            )
        return "\n".join(lines)

    def _named(self, rows: pd.Series) -> str:
        part = self.table[rows].sort_values(["membership", "score"], ascending=False)
        return " ".join(
            f"L{row.layer}H{row.head} {row.membership:.2f}" for row in part.itertuples()
        )

    def _repr_html_(self) -> str:
        near = self.table[self.table["chosen"] | (self.table["membership"] > UNSURE)]
        near = near.sort_values(["membership", "score"], ascending=False)
        near.insert(0, "name", list(map(str, heads_in(near))))
        shown = near.drop(columns=["layer", "head"]).round(3)
        items = "".join(f"<li>{escape(reason)}</li>" for reason in self.reasons)
        return (
            f"<div><p><b>{len(self.heads)} of {len(self.table)} heads by {escape(self.by)}: "
            f"{escape(self.verdict)}</b></p><ul>{items}</ul>"
            f"{shown.to_html(index=False, border=0)}</div>"
        )

    def to_json(self) -> dict[str, Any]:
        """Everything in the report as plain JSON values; numbers that do not exist are None."""
        plain = {
            "verdict": self.verdict, "reasons": list(self.reasons), "heads": self.heads.to_json(),
            "fraction": self.fraction, "by": self.by, "probes": self.probes, "draws": self.draws,
            "core": str(self.core), "edge": str(self.edge),
            "within_chance": str(self.within_chance),
            "halves": self.halves, "gap": self.gap, "zeros": self.zeros, "counts": self.counts,
            "checked": self.checked, "chance": self.chance, "shuffled": self.shuffled,
            "lookup": None if self.lookup is None else self.lookup.to_json(),
            "lengths": self.lengths, "locos": self.locos, "missing": self.missing,
            "table": self.table,
        }  # fmt: skip
        return {name: _plain(value) for name, value in plain.items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> HeadReport:
        """The report that `to_json` stored; its verdict and reasons are made anew.

        Args:
            stored: its dict.

        Raises:
            ValueError: `stored` is anything else.
        """
        try:
            parts = {part.name: stored[part.name] for part in fields(cls)}
            parts["heads"] = HeadSet.from_json(parts["heads"])
            for name in ("table", "counts", "lengths"):
                if parts[name] is not None:
                    parts[name] = (
                        pd.DataFrame(parts[name]).replace({None: math.nan}).infer_objects()
                    )
            for name in ("halves", "locos"):
                if parts[name] is not None:
                    parts[name] = {key: _number(value) for key, value in parts[name].items()}
            if parts["lookup"] is not None:
                parts["lookup"] = LookupTest.from_json(parts["lookup"])
            return cls(**parts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"not a stored head report: expected what to_json returns ({error!r:.200})"
            ) from error


def _times(gap: Mapping[str, Any]) -> str:
    error = gap["standard_error"]
    return f"{gap['difference'] / error:.1f} times" if error > 0 else "far above"


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _plain(value: Any) -> Any:
    """`value` in types that JSON knows; NaN and infinity become None."""
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict(orient="records")]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
