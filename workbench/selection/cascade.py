"""The exact selection for a part of the price: score in half precision, again exactly at the cut.

A selection asks only which documents lie above the cut of their domain. Half precision moves a
score far less than documents differ, so all but those near the cut are settled by a bfloat16 pass.
How far it moves scores is measured on a random sample that is scored both ways; then documents are
scored exactly, nearest to the cut first, until the probability that any other one lies on the wrong
side is below what was asked for. What remains is stated, not hidden (`Cascade.risk`).

It pays where bfloat16 is fast (measured: CPUs with AMX) and for some hundred documents or more,
since the sample has a fixed size. Elsewhere, and for a model that is in half precision already,
everything is scored exactly, which is what `score_corpus` does.

Tried and left out: reading only the first quarter of each document (its score has a rank
correlation of 0.58 with that of the whole, 81 documents of code), and torch's dynamic int8 (0.16
on 24 of them: one scale for all of an activation cannot hold its outliers; bfloat16 gave 1.0000).
And passes over a part of the work, for processors without bfloat16: half of each document's tokens,
or layers left out (two of 30, five, seven, eight). Of 20 chosen among 96 documents they choose 10
to 15 (rank correlations within a domain .28 to .89), which settles nothing.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from scipy import stats

from workbench.core.progress import progress_bar
from workbench.corpus.reading import Document, Skipped, read_corpus
from workbench.loading.certificate import certify, require_certified
from workbench.masking.masks import require_fitting
from workbench.masking.reference import require_max_tokens, require_window
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model, from_transformers
from workbench.scoring.influence import scored
from workbench.scoring.schema import SCHEMA
from workbench.scoring.settings import ScoringSettings
from workbench.selection.ranking import By, Selection, select

SAMPLE = 24  # documents scored both ways before anything is trusted
BATCH = 8  # documents scored exactly between two looks at the risk, at most
PAYS = 1.2  # how much faster the cheap pass must be
LEAST = 12  # of the sample that must have a score
TAIL = 4  # degrees of freedom of the errors


@dataclass(frozen=True, eq=False, repr=False)
class Cascade:
    """A selection made mostly in half precision, and what is known about its exactness.

    Attributes:
        selection: as from `select`; its table has a column `exact` (bool). The losses of the other
            rows are the model's in bfloat16, and their scores are moved by the mean difference that
            the sample shows.
        confidence: the least probability that was asked for, that the chosen set is the exact one.
        risk: upper bound on the probability that the chosen set is not that of exact scores; it
            supposes that the errors of the unseen documents are spread as those of the documents
            scored both ways (`wrong_side`).
        error: root mean square of the difference between exact scores and those in bfloat16, in
            log(1 + score).
        seconds: spent on each kind of pass, by "exact" and "bfloat16".
        reason: why all documents were scored exactly, or None.
        skipped: documents without a score.
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
                f"(which moves log(1 + score) by {self.error:.1g})"
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
    domain: str | None = "domain",
    seed: int = 0,
) -> Cascade:
    """Make the selection of `select(score_corpus(...))`, at stated confidence and lower cost.

    The documents are held in memory, and the copy of the model in half precision takes half of its
    float32 memory again. There is no manifest of it: verifying one scores a sample again exactly.
    For a manifest, use `score_corpus`.

    Args:
        model: a loaded model that passed its certificate.
        heads: the heads to mask.
        corpus: as in `score_corpus`.
        fraction: share to choose in every domain, as in `select`.
        by: "documents" or "tokens", what the share is of, as in `select`.
        confidence: the least probability that the chosen set is the exact one, in (0, 1).
        mode: of the mask, as in `score_corpus`.
        window: tokens of a pass; None for the model's context.
        max_tokens: read only so many first tokens of each document; None for all.
        id: name of the corpus's column of identifiers.
        text: name of the corpus's column of texts.
        domain: name of the corpus's column of domains, or None.
        seed: of the draw of the sample that is scored both ways.

    Returns:
        The selection, with the risk that it is not the exact one.

    Raises:
        ValueError: for no heads, an argument out of range, or a corpus without a document that can
            be read and scored.
    """
    if not heads:
        raise ValueError("no heads to mask: every score would be 0. Give at least one head")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, e.g. 0.99, got {confidence}")
    require_fitting(model, heads, mode)
    require_max_tokens(max_tokens)
    require_certified(model)
    settings = (mode, require_window(model, window), max_tokens)
    items = list(read_corpus(corpus, id=id, text=text, domain=domain))
    documents = [item for item in items if isinstance(item, Document)]
    unreadable = [item for item in items if isinstance(item, Skipped)]
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
        both = len(race.exact.keys() & race.cheap.keys())
        if both < LEAST:
            reason = f"only {both} documents of the sample have a score"
        elif ratio < PAYS:
            reason = f"bfloat16 is only {ratio:.2f} times as fast on this device"
    if reason is None and cheap is not None:
        race.run(cheap, others, "the others in bfloat16", race.cheap)
        others = [i for i in others if i not in race.cheap]  # unscorable in bfloat16 at least
    race.run(model, others, "the others exactly", race.exact)
    if not race.exact and not race.cheap:
        raise ValueError(f"no document could be scored; the first: {race.skipped[order[0]].reason}")
    while True:
        table, error = race.table()
        selection = select(table, fraction, by)
        odds = wrong_side(selection.table, by)
        risk = float(odds.sum())
        if risk <= 1 - confidence:
            break
        worst = odds.sort_values(ascending=False, kind="stable")
        needed = int((risk - worst.cumsum() > 1 - confidence).sum()) + 1  # were the cut to stay
        position = selection.table["position"]
        doubtful = [int(position[i]) for i in worst.index[: min(needed, BATCH)]]
        race.run(model, doubtful, "exactly near the cut", race.exact)
    selection.table.drop(columns=["position", "spread"], inplace=True)
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
        """Score the documents at `positions` and put their rows `into` one of the two columns.

        A document that has no score in bfloat16 is left out of its column; one that has no exact
        score is skipped for good.
        """
        if not positions:
            return
        documents = [self.documents[i] for i in positions]
        exactly = into is self.exact
        started = time.perf_counter()
        with progress_bar(title, "doc", len(documents)) as done:
            results = scored(model, ScoringSettings(self.heads, *self.settings), documents)
            for i, result in zip(positions, results, strict=True):
                if isinstance(result, dict):
                    into[i] = result
                elif exactly:
                    self.skipped[i] = result
                done(1)
        self.seconds["exact" if exactly else "bfloat16"] += time.perf_counter() - started

    def table(self) -> tuple[pd.DataFrame, float]:
        """The best known row of each document, with spread, and the error of the sample.

        The differences of log(1 + score) between exact scores and those in bfloat16 give the mean
        by which the latter are moved, their root mean square (the error), and spread, the standard
        deviation for each document: that falls with the square root of the length, but never below
        the error of the sample, since rounded weights move long documents too.
        """
        both = [i for i in self.exact if i in self.cheap]
        shift, a_token, error = 0.0, 0.0, 0.0
        if both:
            exact, cheap = (
                _log([column[i]["score"] for i in both]) for column in (self.exact, self.cheap)
            )
            length = np.array([self.exact[i]["predicted"] for i in both])
            shift = float(np.average(exact - cheap, weights=length))
            squares = (exact - cheap - shift) ** 2
            freedom = max(len(both) - 1, 1)
            error = float(np.sqrt(squares.sum() / freedom))
            a_token = float(np.sqrt((squares * length).sum() / freedom))
        rows = []
        for i in sorted({*self.exact, *self.cheap} - set(self.skipped)):
            exactly = i in self.exact
            row = dict(self.exact[i] if exactly else self.cheap[i])
            if not exactly:
                row["score"] = float(np.expm1(_log(row["score"]) + shift))
            spread = max(a_token / row["predicted"] ** 0.5, error)
            rows.append({**row, "exact": exactly, "spread": spread, "position": i})
        table = pa.Table.from_pylist(rows, schema=SCHEMA).to_pandas()
        added = pd.DataFrame(rows, columns=["exact", "spread", "position"])
        return pd.concat([table, added], axis=1), error


def wrong_side(ranked: pd.DataFrame, by: By = "documents") -> pd.Series:
    """For each document, the probability that its exact score lies across the cut of its domain.

    If no document is across, the set is the exact one, so the sum bounds the probability that it is
    not. By documents the cut lies half-way between the last chosen score and the best of those
    left. By tokens it is the last chosen score, which must be exact: which document is the last one
    decides how many tokens are enough. Errors follow Student's t with 4 degrees of freedom, whose
    tails are heavier than the normal's.

    Args:
        ranked: the table of a `Selection` with columns exact (bool) and spread (standard deviation
            of log(1 + score) of the others).
        by: "documents" or "tokens", as it was selected.

    Returns:
        Probabilities, float (documents,), with the index of `ranked`; 0 for exact scores and in
        domains that are chosen whole.
    """
    value = _log(ranked["score"])
    cut = pd.Series(np.nan, ranked.index)
    odds = pd.Series(0.0, ranked.index)
    for _, group in ranked.groupby("domain", sort=False):
        chosen, left = group.index[group["selected"]], group.index[~group["selected"]]
        if len(left):
            lowest, best = value[chosen].min(), value[left].max()
            cut[group.index] = lowest if by == "tokens" else (lowest + best) / 2
    distance = (value - cut).abs() / (ranked["spread"] + 1e-12)
    odds[:] = stats.t.sf(distance, TAIL)
    if by == "tokens":
        odds[(value == cut) & ranked["selected"]] = 1.0
    return odds.where(~ranked["exact"] & cut.notna(), 0.0)


def _log(score: Any) -> Any:
    """log(1 + score), the log of masked over base loss; finite for a masked loss of 0 too."""
    return np.log1p(np.maximum(score, -1 + 1e-9))


def _half_precision(model: Model) -> tuple[Model | None, str | None]:
    """A copy of the model with its weights in bfloat16, or why there is none.

    As when it is loaded in bfloat16, only parameters are rounded: rotary frequencies are buffers,
    and would lose the place of distant tokens.
    """
    if model.dtype != torch.float32:
        kind = str(model.dtype).removeprefix("torch.")
        return None, f"the model is in {kind} already"
    try:
        with model.lock:
            rounded = {
                id(parameter): torch.nn.Parameter(
                    parameter.detach().to(torch.bfloat16), requires_grad=False
                )
                for parameter in model.hf.parameters()
            }
            hf = copy.deepcopy(model.hf, rounded)  # deepcopy takes these for the copies
        cheap = from_transformers(hf, model.tokenizer, source=model.source, context=model.context)
        certificate = certify(cheap)
    except torch.OutOfMemoryError:
        return None, f"a copy in bfloat16 does not fit the memory of {model.device}"
    return (
        (cheap, None) if certificate.ok else (None, f"in bfloat16, {certificate.failure_message()}")
    )
