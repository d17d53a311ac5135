"""Before a run: how much there is to score, what would be skipped, and how long it will take here.

The corpus is streamed once and counted; of each domain a few documents, drawn at random, are
tokenized and scored for real, and their rate is carried over to the rest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from workbench.core.frames import as_html
from workbench.core.intervals import percentile_interval
from workbench.core.progress import check_cancelled, progress_bar
from workbench.corpus.document import Document, Skipped
from workbench.corpus.notes import kind_of, note_on_domains, note_on_skipped
from workbench.corpus.reading import read_corpus
from workbench.masking.losses import passes_over
from workbench.masking.reference import windows
from workbench.masking.reference_cost import ReferenceCost, prepared, reference_cost
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.influence import scored
from workbench.scoring.passages import passages
from workbench.scoring.settings import ScoringSettings


@dataclass(frozen=True)
class Plan:
    """What `plan_scoring` found.

    Attributes:
        domains: one row a domain with documents, bytes (UTF-8), sampled (documents scored to
            measure), tokens (that a run would read; an estimate from the sample with its 95 %
            bootstrap interval tokens_low to tokens_high), windows (with a predicted token, that
            these are read in; each has the special tokens besides), seconds, seconds_low,
            seconds_high (those tokens at the measured rate) and unscorable (share of the sample
            that cannot be scored).
        skipped: one row a reason with documents, of what the reader cannot give out.
        rate: tokens a second on `device`.
        device: of the model.
        domain_from: documents by `Document.domain_from`.
        passes: forward passes of the model in one process, those over the reference set among them.
            Under "resample" one a window, which are packed into shared rows otherwise: their number
            is carried over from the sample.
        reference: what the texts cost that modes "mean" and "resample" take outputs from; None
            where the mode takes none.
    """

    domains: pd.DataFrame
    skipped: pd.DataFrame
    rate: float
    device: str
    domain_from: Mapping[str, int]
    passes: float
    reference: ReferenceCost | None

    @property
    def hours(self) -> tuple[float, float, float]:
        """Estimate, low and high in hours for all domains together, and the reference set.

        The ends of the intervals are added up, which is wider than the interval of the sum.
        """
        once = self.reference.seconds if self.reference else 0.0
        total = (self.domains[["seconds", "seconds_low", "seconds_high"]].sum() + once) / 3600
        return float(total.iloc[0]), float(total.iloc[1]), float(total.iloc[2])

    def cost(self, price: float) -> tuple[float, float, float]:
        """What a run costs.

        Args:
            price: of an hour of the device, in any currency.

        Returns:
            Estimate, low and high in that currency.
        """
        hours = self.hours
        return hours[0] * price, hours[1] * price, hours[2] * price

    @property
    def notes(self) -> list[str]:
        """What a reader should know of how the corpus was read, a line each."""
        reasons = Counter[str]()
        for reason, count in zip(self.skipped["reason"], self.skipped["documents"], strict=True):
            reasons[kind_of(reason)] += count
        read = int(self.domains["documents"].sum()) + reasons.total()
        both = note_on_domains(self.domain_from), note_on_skipped(read, reasons)
        return [note for note in (self._on_reference(), *both) if note]

    def _on_reference(self) -> str | None:
        if self.reference is None:
            return None
        of = self.reference
        return (
            f"about {self.passes:,.0f} passes, {of.passes:,.0f} of them over {of.tokens:,.0f} "
            f"tokens of the reference set {of.name!r:.80} ({_spoken(of.seconds / 3600)} a process)"
        )

    def __repr__(self) -> str:
        tokens = self.domains["tokens"].sum()
        estimate, low, high = map(_spoken, self.hours)
        interval = f" ({low} to {high})" if low != high else ""
        return (
            f"{self.domains['documents'].sum():,} documents, about {tokens:,.0f} tokens to read; "
            f"{self.skipped['documents'].sum():,} skipped\n"
            f"{self.rate:,.0f} tokens a second on {self.device}: {estimate}{interval}"
            + "".join(f"\n{note}" for note in self.notes)
        )

    def _repr_html_(self) -> str:
        return as_html(repr(self), self.domains)


def plan_scoring(
    model: Model,
    heads: HeadSet | ScoringSettings,
    corpus: Any,
    *,
    id: str = "id",
    text: str = "text",
    domain: str | None = "domain",
    sample: int = 6,
    seed: int = 0,
    **settings: Any,
) -> Plan:
    """Count a corpus and measure on a small sample what `score_corpus` with these settings takes.

    The estimate supposes that the device stays as busy as it is now.

    Args:
        model: the selector.
        heads: the heads to mask, or all settings as one object.
        corpus: as in `score_corpus`; it is read once.
        id: column of the id.
        text: column of the text.
        domain: column of the domain, "/" for the sub-folder, None for one domain.
        sample: documents of each domain that are scored to measure, at least 2; more make the
            intervals narrower.
        seed: of the drawing of the sample and of the bootstrap.
        **settings: mode, window, max_tokens, read, controls, controls_share, columns and
            require_certificate, as in `score_corpus`, where `heads` is no `ScoringSettings`. The
            cost of a reference set is counted once. With controls for a share of the documents, the
            sample is measured without them and with them, and the plan lies between in that share.

    Returns:
        The plan.

    Raises:
        ValueError: where `score_corpus` would, a sample below 2, or no document to score.
        NotCertified: the model fails a check of its certificate.
        CorpusError: the corpus cannot be read.
        TypeError: there is no such setting, or it is given beside a `ScoringSettings`.
    """
    if sample < 2:
        raise ValueError(f"a plan measures two documents of a domain or more, got sample={sample}")
    how = ScoringSettings.given(heads, settings).resolved(model)
    how.certified(model)
    rng = np.random.default_rng(seed)
    census = _count(read_corpus(corpus, id=id, text=text, domain=domain), sample, rng)
    chosen = [document for drawn in census.drawn.values() for document in drawn]
    read = {
        name: [_passages(model, document, how) for document in drawn]
        for name, drawn in census.drawn.items()
    }
    cut = {
        name: [w for parts in passages for ids in parts for w in windows(model, ids, how.window)]
        for name, passages in read.items()
    }
    least = max(len(model.bos_ids), 1)  # tokens of a window in which nothing is predicted
    known = [window for of_domain in cut.values() for window in of_domain if len(window) > least]
    list(scored(model, how, chosen[:1]))  # what is done only once
    prepared(model, how.mode, known)
    variants = _variants(how)
    measured = [_measure(model, variant, chosen) for _, variant in variants]
    seconds = sum(share * took for (share, _), (took, _) in zip(variants, measured, strict=True))
    results = measured[0][1]
    lengths = {
        name: np.array([sum(map(len, parts)) for parts in passages], float)
        for name, passages in read.items()
    }
    rate = sum(tokens.sum() for tokens in lengths.values()) / seconds
    pairs = zip(chosen, results, strict=True)
    lost = Counter(document.domain for document, result in pairs if isinstance(result, Skipped))
    rows, passes = [], 0.0
    for name in sorted(census.documents):
        count, of_each = census.documents[name], lengths[name]
        sampled = len(of_each)
        low = high = of_each.mean()
        if count > sampled:  # else all were read
            means = rng.choice(of_each, size=(2000, sampled)).mean(axis=1)
            low, high = percentile_interval(means)
        tokens = count * np.array([of_each.mean(), low, high])
        with_loss = sum(len(window) > least for window in cut[name])
        passes += (
            count
            / sampled
            * sum(
                share * passes_over(model, cut[name], [None, v.heads, *v.controls], v.mode)
                for share, v in variants
            )
        )
        rows.append(
            (name, count, census.size[name], sampled, *tokens, count / sampled * with_loss,
             *tokens / rate, lost[name] / sampled)
        )  # fmt: skip
    columns = [
        "domain", "documents", "bytes", "sampled", "tokens", "tokens_low", "tokens_high", "windows",
        "seconds", "seconds_low", "seconds_high", "unscorable",
    ]  # fmt: skip
    skipped = pd.DataFrame(census.skipped.most_common(), columns=["reason", "documents"])
    domains = pd.DataFrame(rows, columns=columns)
    reference = reference_cost(model, how.mode, float(domains["windows"].sum()), known)
    return Plan(
        domains, skipped, float(rate), str(model.device), dict(census.domain_from),
        passes + (reference.passes if reference else 0), reference,
    )  # fmt: skip


def _passages(model: Model, document: Document, how: ScoringSettings) -> list[list[int]]:
    """The token ids that are read of a document, a list a passage."""
    ids = model.encode(document.text)
    return [ids[start:end] for start, end in passages(len(ids), how.max_tokens, how.read)]


def _variants(how: ScoringSettings) -> list[tuple[float, ScoringSettings]]:
    """What all documents are scored with, each with the share of them."""
    share = how.controls_share
    if not how.controls or share == 1:
        return [(1.0, how)]
    return [(1 - share, replace(how, controls=())), (share, replace(how, controls_share=1.0))]


@dataclass
class _Census:
    """What a stream holds.

    That is documents and bytes of each domain, reasons of skipped rows, and some documents of each
    domain, drawn so that each is as likely.
    """

    documents: Counter[str] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    domain_from: Counter[str] = field(default_factory=Counter)
    drawn: dict[str, list[Document]] = field(default_factory=dict)


def _count(stream: Iterable[Document | Skipped], sample: int, rng: np.random.Generator) -> _Census:
    census = _Census()
    for row in stream:
        check_cancelled()
        if isinstance(row, Skipped):
            census.skipped[row.reason] += 1
            continue
        census.documents[row.domain] += 1
        census.domain_from[row.domain_from] += 1
        census.size[row.domain] += len(row.text.encode("utf-8"))
        drawn = census.drawn.setdefault(row.domain, [])
        if len(drawn) < sample:
            drawn.append(row)
        elif (place := int(rng.integers(census.documents[row.domain]))) < sample:
            drawn[place] = row
    if not census.documents:
        raise ValueError(f"no document to score: {census.skipped.total()} rows, all skipped")
    return census


def _measure(
    model: Model, settings: ScoringSettings, documents: Sequence[Document]
) -> tuple[float, list[dict[str, Any] | Skipped]]:
    """Seconds that scoring the documents takes, and what came out."""
    _wait(model)
    begin, results = time.perf_counter(), []
    with progress_bar("measuring", "doc", len(documents)) as done:
        for result in scored(model, settings, documents):
            results.append(result)
            done(1)
    _wait(model)
    return time.perf_counter() - begin, results


def _wait(model: Model) -> None:
    if model.device.type == "cuda":  # whose work goes on after the call
        torch.cuda.synchronize(model.device)


def _spoken(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 1 else f"{hours:,.1f} h"
