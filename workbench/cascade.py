"""The exact selection for a part of the price: score in half precision, again exactly at the cut.

A selection asks only which documents lie above the cut of their domain. Half precision moves a
score far less than documents differ, so all but those near the cut are settled by a bfloat16 pass.
How far it moves scores is measured on a random sample that is scored both ways; then documents are
scored exactly, nearest to the cut first, until the probability that any other one lies on the wrong
side is below what was asked for. What remains is stated, not hidden (`Cascade.risk`).

It pays where bfloat16 is fast (GPUs; CPUs with AVX512-BF16 or AMX). Elsewhere, and for a model that
is in half precision already, everything is scored exactly, which is what `score_corpus` does.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from workbench.attention import Mode
from workbench.certificate import certify, require_certified
from workbench.corpus import Document, Skipped, read_corpus
from workbench.heads import HeadSet
from workbench.influence import scored
from workbench.losses import require_window
from workbench.masking import require_fitting
from workbench.models import Model, from_transformers
from workbench.progress import counted
from workbench.selection import By, Selection, select

SAMPLE = 24  # documents scored both ways before anything is trusted
BATCH = 32  # documents scored exactly between two looks at the risk
PAYS = 1.2  # how much faster the cheap pass must be
TAIL = 4  # degrees of freedom of the errors


@dataclass(frozen=True, eq=False, repr=False)
class Cascade:
    """A selection made mostly in half precision, and what is known about its exactness.

    selection: as from `select`; its table has a column `exact` (bool). Scores of the other rows are
    the model's in bfloat16. risk: upper bound on the probability that the chosen set is not that of
    exact scores; it supposes that the errors of the unseen documents are spread as those of the
    documents scored both ways (`wrong_side`). error: standard deviation of a score's change in
    bfloat16, in log(1 + score), for a document of one token. seconds: spent on either kind of pass.
    reason: why all documents were scored exactly, or None. skipped: documents without a score.
    """

    selection: Selection
    confidence: float
    risk: float
    error: float
    seconds: dict[str, float]
    reason: str | None
    skipped: tuple[Skipped, ...]

    @property
    def rescored(self) -> int:
        """How many documents have exact scores."""
        return int(self.selection.table["exact"].sum())

    def __repr__(self) -> str:
        total = len(self.selection.table)
        if self.reason:
            how = f"all {total} documents scored exactly: {self.reason}"
        else:
            how = (
                f"{self.rescored} of {total} documents scored exactly, the others in bfloat16 "
                f"(which moves log(1 + score) of 500 tokens by {self.error / 500**0.5:.1g})"
            )
        return (
            f"{self.selection!r}\n{how}\n"
            f"risk that the chosen set is not the exact one: {self.risk:.2g} (asked for: at most "
            f"{1 - self.confidence:.2g})"
        )


def select_cascade(
    model: Model,
    heads: HeadSet,
    corpus: Any,
    *,
    fraction: float = 0.20,
    by: By = "documents",
    confidence: float = 0.99,
    mode: Mode = "uniform",
    window: int | None = None,
    max_tokens: int | None = None,
    id: str = "id",
    text: str = "text",
    domain: str = "domain",
    seed: int = 0,
) -> Cascade:
    """The selection that `select(score_corpus(...))` makes, at stated confidence and lower cost.

    corpus and the column names as in `score_corpus`; fraction and by as in `select`. confidence:
    the least probability that the chosen set is the exact one. The documents are held in memory,
    and the copy of the model in half precision takes half of its float32 memory again.

    There is no manifest of it: verifying one scores a sample again exactly. For a manifest, use
    `score_corpus`.
    """
    if not heads:
        raise ValueError("no heads to mask: every score would be 0. Give at least one head")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, e.g. 0.99, got {confidence}")
    if mode == "mean":
        raise ValueError("mode 'mean' is not scored: use 'uniform' (the paper's) or 'zero'")
    require_fitting(model, heads, mode)
    require_certified(model)
    settings = (mode, require_window(model, window), max_tokens)
    items = list(read_corpus(corpus, id=id, text=text, domain=domain))
    documents = [one for one in items if isinstance(one, Document)]
    unreadable = [one for one in items if isinstance(one, Skipped)]
    if not documents:
        raise ValueError(f"the corpus holds no document that can be read ({len(items)} rows)")
    race = _Race(heads, documents, settings)
    order = [int(i) for i in np.random.default_rng(seed).permutation(len(documents))]
    sample, others = order[:SAMPLE], order[SAMPLE:]

    race.run(model, sample, "a sample exactly", race.exact)
    cheap, reason = _half_precision(model)
    if cheap is not None:
        race.run(cheap, sample, "it in bfloat16", race.cheap)
        ratio = race.seconds["exact"] / max(race.seconds["bfloat16"], 1e-9)
        if ratio < PAYS:
            reason = f"bfloat16 is only {ratio:.2f} times as fast on this device"
    if reason is not None:
        race.run(model, others, "the others exactly", race.exact)
    else:
        assert cheap is not None
        race.run(cheap, others, "the others in bfloat16", race.cheap)
    while True:
        table, error = race.table()
        selection = select(table, fraction, by)
        ranked = selection.table
        odds = wrong_side(ranked, error)
        position = ranked.pop("position")
        risk = float(odds.sum())
        if risk <= 1 - confidence:
            break
        worst = odds.sort_values(ascending=False, kind="stable").index[:BATCH]
        doubtful = [int(position[i]) for i in worst if odds[i] > 0]
        race.run(model, doubtful, "exactly near the cut", race.exact)
    skipped = (*unreadable, *race.skipped.values())
    return Cascade(selection, confidence, risk, error, race.seconds, reason, skipped)


class _Race:
    """Which documents have been scored how, by their position in the corpus."""

    def __init__(self, heads: HeadSet, documents: Sequence[Document], settings: Any) -> None:
        self.heads, self.documents, self.settings = heads, documents, settings
        self.exact: dict[int, dict[str, Any]] = {}
        self.cheap: dict[int, dict[str, Any]] = {}
        self.skipped: dict[int, Skipped] = {}
        self.seconds = {"exact": 0.0, "bfloat16": 0.0}

    def run(
        self, model: Model, positions: Sequence[int], title: str, into: dict[int, dict[str, Any]]
    ) -> None:
        """Score the documents at `positions` and put their rows `into` one of the two columns."""
        some = [self.documents[i] for i in positions]
        started = time.perf_counter()
        with counted(title, "doc", len(some)) as done:
            results = scored(model, self.heads, some, *self.settings)
            for i, one in zip(positions, results, strict=True):
                if isinstance(one, Skipped):
                    self.skipped[i] = one
                else:
                    into[i] = one
                done(1)
        kind = "exact" if into is self.exact else "bfloat16"
        self.seconds[kind] += time.perf_counter() - started

    def table(self) -> tuple[pd.DataFrame, float]:
        """The best known row of each document, and the error of a score in bfloat16.

        The error is the standard deviation of the difference of log(1 + score) for a document of
        one token; it falls with the square root of the length. Scores in bfloat16 are moved by the
        mean difference.
        """
        both = [i for i in self.exact if i in self.cheap]
        shift, error = 0.0, 0.0
        if both:
            change = [
                np.log1p(self.exact[i]["score"]) - np.log1p(self.cheap[i]["score"]) for i in both
            ]
            length = np.array([self.exact[i]["predicted"] for i in both])
            shift = float(np.average(change, weights=length))
            squares = (np.array(change) - shift) ** 2 * length
            error = float(np.sqrt(squares.sum() / max(len(both) - 1, 1)))
        rows = []
        for i in sorted({*self.exact, *self.cheap} - set(self.skipped)):
            row = self.exact.get(i) or dict(self.cheap[i])
            if i not in self.exact:
                row["score"] = float(np.expm1(np.log1p(row["score"]) + shift))
            rows.append({**row, "exact": i in self.exact, "position": i})
        return pd.DataFrame(rows), error


def wrong_side(ranked: pd.DataFrame, error: float) -> pd.Series:
    """For each document, the probability that its exact score lies across the cut of its domain.

    ranked: the table of a `Selection` with columns exact and predicted; error as in `_Race.table`.
    A chosen document is wrong below the best document that was left, another one above the last
    chosen. Errors follow Student's t with 4 degrees of freedom, whose tails are heavier than any
    that were measured. The sum over documents bounds the probability that the set is not the exact
    one.
    """
    value = np.log1p(ranked["score"])
    across = pd.Series(np.nan, ranked.index)
    for _, group in ranked.groupby("domain", sort=False):
        chosen, left = group.index[group["selected"]], group.index[~group["selected"]]
        if len(left):
            across[chosen] = value[left].max()
            across[left] = value[chosen].min()
    spread = error / np.sqrt(ranked["predicted"]) + 1e-12
    odds = stats.t.sf((value - across).abs() / spread, TAIL)
    return pd.Series(odds, ranked.index).where(~ranked["exact"] & across.notna(), 0.0)


def _half_precision(model: Model) -> tuple[Model | None, str | None]:
    """A copy of the model in bfloat16, or why there is none."""
    if model.dtype != torch.float32:
        kind = str(model.dtype).removeprefix("torch.")
        return None, f"the model is in {kind} already"
    hf = copy.deepcopy(model.hf).to(torch.bfloat16)  # type: ignore[arg-type]
    cheap = from_transformers(hf, model.tokenizer, source=model.source, context=model.context)
    found = certify(cheap)
    return (cheap, None) if found.ok else (None, f"in bfloat16, {found.complaint()}")
