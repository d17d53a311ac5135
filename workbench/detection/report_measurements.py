"""Is this head set real? Its stability, its controls, and a second detector, in one report.

What follows from the scores alone is always in the report. What needs the model (the lookup test,
shuffled keys, other lengths, LOCOS) is measured when model and probes are given; otherwise the
report says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import poisson, spearmanr

from workbench.core.intervals import bootstrap_weights, percentile_interval
from workbench.detection import stability
from workbench.detection.locos import CannotSplit, locos_scores
from workbench.detection.lookup_need import lookup_test
from workbench.detection.probe_controls import shortened, shuffled_keys
from workbench.detection.probes import Probes
from workbench.detection.report import HeadReport
from workbench.detection.retrieval import retrieval_scores
from workbench.models.geometry import geometry_of
from workbench.models.head_scores import HeadScores, as_head_scores
from workbench.models.heads import HeadSet, heads_in
from workbench.models.model import Model

LEAST_PROBES = 4
HOW = "not measured: give the model and the probes, head_report(scores, model, probes)"


def head_report(
    scores: HeadScores,
    model: Model | None = None,
    probes: Probes | None = None,
    *,
    fraction: float = 0.05,
    draws: int = 1000,
    allow_ties: bool = False,
    limit: int = 16,
    lengths: Sequence[float] = (0.5, 0.25),
    lookup_limit: int = 10,
    questions: int = 3,
    seed: int = 0,
) -> HeadReport:
    """Say how far the top `fraction` of the heads can be trusted, with reasons.

    With a model and probes the model runs over the first `limit` probes again: for the lookup test
    (see `LookupTest`), with shuffled keys, at each share of the probe length in `lengths` that is
    possible, and for LOCOS. The lookup test takes about as long as four passes over each of its
    probes; every other measurement about as long as one.

    Args:
        scores: what `retrieval_scores` returned.
        model: the model that the scores came from; given together with `probes` or not at all.
        probes: the probes that the scores came from.
        fraction: the share of all heads in the set, rounded up to whole heads.
        draws: bootstrap draws, at least 100.
        allow_ties: whether a cut among heads of equal score, or of score 0, is allowed (see
            `HeadSet.top`).
        limit: how many probes the measurements with the model take, at least 4.
        lengths: shares of the probe length to measure at, each between 0 and 1.
        lookup_limit: how many probes the lookup test takes, at least 4.
        questions: how many values of each probe's object it asks for.
        seed: seed of all draws.

    Raises:
        ValueError: scores without their per-probe parts or from fewer than 4 probes; a model or
            probes that the scores do not come from; or a cut among ties or zeros without
            allow_ties.
    """
    scores, per_probe = _checked(scores)
    # Sums in another order differ in the last bits: equal scores must be seen as equal.
    rounded = scores.frame.assign(score=scores.frame["score"].round(stability.DECIMALS))
    heads = HeadSet.top(replace(scores, frame=rounded), fraction, allow_ties=allow_ties)
    if (model is None) != (probes is None):
        raise ValueError(
            "model and probes belong together: give both (head_report(scores, model, probes)) or "
            "neither"
        )
    if not all(0 < share < 1 for share in lengths):
        raise ValueError(
            f"lengths are shares of the probe length, between 0 and 1, got {list(lengths)}"
        )
    if draws < 100 or min(limit, lookup_limit) < LEAST_PROBES:
        raise ValueError(
            f"expected at least 100 draws, and a limit and a lookup_limit of at least "
            f"{LEAST_PROBES} probes, got {draws}, {limit} and {lookup_limit}"
        )
    size = len(heads)
    score = rounded["score"].to_numpy()
    table = rounded[["layer", "head", "score"]].copy()
    every = heads_in(table)
    table["chosen"] = [head in heads for head in every]
    table["membership"] = stability.membership(per_probe, size, draws, seed)
    gap = stability.gap_at_cut(per_probe, size, draws, seed)
    gap |= {"last": str(every[gap["last"]]), "first": str(every[gap["first"]])}
    parts: dict[str, Any] = {}
    if model is not None and probes is not None:
        _require_origin(scores, per_probe, model, probes)
        asked = replace(probes, items=tuple(probes[i] for i in scores.kept[:lookup_limit]))
        table, parts = _measured(
            table, per_probe, model, probes, scores.kept, draws, limit, lengths, seed
        )
        try:
            parts["lookup"] = lookup_test(
                model, asked, heads, questions=questions, draws=draws, seed=seed
            )
        except ValueError as error:
            parts["missing"]["lookup test"] = f"not measured: {error}"
    else:
        parts["missing"] = dict.fromkeys(
            ("lookup test", "shuffled keys", "probe length", "LOCOS"), HOW
        )
    return HeadReport(
        heads=heads,
        fraction=fraction,
        by=scores.by,
        probes=len(per_probe),
        draws=draws,
        table=table,
        halves=stability.halves(per_probe, size, draws, seed),
        gap=gap,
        zeros={
            "heads": int((score == 0).sum()),
            "in_set": int((score[table["chosen"]] == 0).sum()),
            "tied_at_cut": int((score == gap["at_cut"]).sum())
            if gap["at_cut"] == gap["after_cut"]
            else 0,
        },
        counts=stability.count_series(per_probe, size, draws, seed),
        **parts,
    )


# ---- what needs the model -----------------------------------------------------------------------


def _measured(
    table: pd.DataFrame,
    per_probe: np.ndarray,
    model: Model,
    probes: Probes,
    kept: Sequence[int],
    draws: int,
    limit: int,
    lengths: Sequence[float],
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table with the columns of the controls, and the report's parts that need the model."""
    every = replace(probes, items=tuple(probes[i] for i in kept))
    checked = replace(every, items=every.items[:limit])
    before = per_probe[:limit]
    chosen = table["chosen"].to_numpy()
    size = int(chosen.sum())
    missing: dict[str, str] = {}
    parts: dict[str, Any] = {
        "checked": len(checked),
        "chance": chance_band(every, len(model.bos_ids), len(table)),
        "missing": missing,
    }
    try:
        shuffled = shuffled_keys(model, checked, seed)
    except ValueError as error:
        missing["shuffled keys"] = f"not measured: {error}"
    else:
        after = _per_probe(retrieval_scores(model, shuffled))
        drop, low, high = stability.paired_change(before, after, draws, seed)
        table = table.assign(shuffled=after.mean(axis=0), drop=drop, drop_low=low, drop_high=high)
        if before[:, chosen].any():
            answers = [stop - start for start, stop in (probe.answer for probe in checked)]
            parts["shuffled"] = {
                **_survival(before, after, chosen, draws, seed),
                "answer_tokens": float(np.mean(answers)),
            }
        else:
            missing["shuffled keys"] = "without result: the set copies nothing on these probes"
    whole, rows = before.mean(axis=0), []
    for share in sorted(lengths, reverse=True):
        tokens = round(share * probes.max_tokens)
        try:
            short = shortened(model, checked, tokens, seed)
        except ValueError as error:
            missing[f"probes of {tokens} tokens"] = f"not measured: {error}"
            continue
        scores = _per_probe(retrieval_scores(model, short)).mean(axis=0)
        rows.append(
            {
                "tokens": tokens,
                "pairs": float(np.mean([probe.pairs for probe in short])),
                "probes": len(short),
                **_compared(whole, scores, size),
            }
        )
    if rows:
        parts["lengths"] = pd.DataFrame(rows)
    try:
        second = locos_scores(model, checked)
    except CannotSplit as error:
        missing["LOCOS"] = f"not applicable to this model: {error}"
    else:
        locos = second.frame["score"].to_numpy()
        table = table.assign(locos=locos, locos_share=stability.top_shares(locos, size))
        parts["locos"] = _compared(table["score"].to_numpy(), locos, size)
    return table, parts


def _survival(
    before: np.ndarray, after: np.ndarray, chosen: np.ndarray, draws: int, seed: int
) -> dict[str, float]:
    """The share of the set's score that is left of `before` in `after`, (probes, heads) each."""
    own, left = before[:, chosen].sum(axis=1), after[:, chosen].sum(axis=1)
    weights = bootstrap_weights(len(before), draws, seed)
    weights = weights[weights @ own > 0]  # a draw in which the set copies nothing has no share
    low, high = percentile_interval((weights @ left) / (weights @ own))
    # Of the heads outside the set, most of which copy nothing.
    band = np.quantile(after.mean(axis=0)[~chosen], [0.95, 0.99])
    return {
        "survives": float(left.sum() / own.sum()), "low": float(low), "high": float(high),
        "band_95": float(band[0]), "band_99": float(band[1]),
    }  # fmt: skip


def chance_band(probes: Probes, prefix: int, heads: int) -> dict[str, float]:
    """What a head that looks at one visible key at random would score on these probes.

    Hits are counted as Poisson, being rare.

    Args:
        probes: the probes.
        prefix: how many special tokens stand before each probe.
        heads: how many heads the model has.

    Returns:
        expected: the mean; band_95 and band_99: what one such head stays below or at with that
            probability; best_99: what the best of all `heads` stays below or at with 99 %.
    """
    rates, tokens = [], []
    for probe in probes:
        inside = np.array(probe.ids[slice(*probe.value)])
        answer = np.arange(*probe.answer)
        hits = np.array([(inside == probe.ids[t]).sum() for t in answer])
        rates.append(hits / (prefix + answer))  # the query at t-1 sees t keys, and the prefix
        tokens.append(len(answer))
    expected = float(np.mean([hits.mean() for hits in rates]))
    count, total = expected * sum(tokens), sum(tokens)
    return {
        "expected": expected,
        "band_95": float(poisson.ppf(0.95, count) / total),
        "band_99": float(poisson.ppf(0.99, count) / total),
        "best_99": float(poisson.ppf(0.99 ** (1 / heads), count) / total),
    }


def _compared(scores: np.ndarray, others: np.ndarray, size: int) -> dict[str, float]:
    """Agreement of the top sets and rank correlation of two scores (heads,)."""
    tops = stability.top_shares(scores, size), stability.top_shares(others, size)
    constant = np.ptp(scores) == 0 or np.ptp(others) == 0
    rank = float("nan") if constant else float(spearmanr(scores, others).statistic)
    return {"jaccard": float(stability.agreement(*tops)), "spearman": rank}


# ---- the scores --------------------------------------------------------------------------------


def _checked(scores: HeadScores) -> tuple[HeadScores, np.ndarray]:
    """The scores in model order, and their per-probe parts (probes, heads) in the same order."""
    scores = as_head_scores(scores)
    per_probe = _per_probe(scores)
    if len(per_probe) < LEAST_PROBES:
        raise ValueError(
            f"a report needs at least {LEAST_PROBES} probes, these scores come from "
            f"{len(per_probe)}: detect again with make_probes(model, n=16) or more"
        )
    frame = scores.frame
    if not np.allclose(frame["score"], per_probe.mean(axis=0), rtol=0, atol=1e-9):
        raise ValueError(
            "the column 'score' is not the mean of per_probe: the scores were changed, or their "
            "rows sorted, after detection. Give what retrieval_scores returned as it is"
        )
    order = np.lexsort([frame["head"], frame["layer"]])
    per_probe = per_probe[:, order]
    frame = frame.iloc[order].reset_index(drop=True)
    return replace(scores, frame=frame, per_probe=per_probe), per_probe


def _require_origin(
    scores: HeadScores, per_probe: np.ndarray, model: Model, probes: Probes
) -> None:
    if scores.by != "retrieval score":
        raise ValueError(
            "with a model the report compares retrieval scores with their controls, got "
            f"{scores.by!r}: give what retrieval_scores returned"
        )
    if scores.geometry != geometry_of(model):
        raise ValueError(
            f"these scores are not of this model: it has {geometry_of(model)}, they have "
            f"{scores.geometry}"
        )
    same = scores.origin.get("probes_sha256") == probes.digest
    if not same or len(scores.kept) != len(per_probe):
        raise ValueError(
            "these scores do not come from these probes (their digests differ): give the probes "
            "that retrieval_scores was given"
        )


def _per_probe(scores: HeadScores) -> np.ndarray:
    if scores.per_probe is None:
        raise ValueError(
            "these scores do not say how each probe scored (per_probe): expected what "
            "retrieval_scores returned, not its frame alone"
        )
    return scores.per_probe
