"""What a scoring run says while it goes and when it ends: progress, and a report that adds up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pandas as pd

from workbench.corpus_notes import kinds_of, note_on_domains, note_on_skipped
from workbench.progress import counted
from workbench.receipts import Receipt

Hear = Callable[[dict[str, Any]], object]
_SUMS = ("documents", "tokens", "loss_base", "loss_ref", "score")


@dataclass(frozen=True)
class Failure:
    """A shard that could not be scored: its pieces (source, first row, end row), how many documents
    it holds, why, and how often it was tried."""

    shard: str
    pieces: Sequence[Sequence[Any]]
    documents: int
    reason: str
    attempts: int


class ScoringFailed(RuntimeError):
    """Some shards could not be scored. All others are done and kept; `report` is the RunReport."""

    def __init__(self, report: RunReport) -> None:
        self.report = report
        first = report.failures[0]
        super().__init__(
            f"{len(report.failures)} shards could not be scored, all others are done and kept. "
            f"First: {first.shard} ({first.documents} documents, tried {first.attempts} times): "
            f"{first.reason}\nThe same call tries these shards again."
        )


@dataclass(frozen=True, repr=False)
class RunReport:
    """What a run did.

    read = scored + skipped + failed: documents; shards: all of this call, of which kept were
    finished by an earlier one; tokens: those that losses are over, in shards scored now; seconds:
    of the scoring; domains: one row a domain with documents, tokens and the means of score,
    loss_base and loss_ref over the documents scored so far; finished: whether all shards of the
    corpus are done, those of other parts too; reasons: skipped documents by kind of reason;
    domain_from: documents that were read by `Document.domain_from`.
    """

    read: int
    scored: int
    skipped: int
    shards: int
    kept: int
    tokens: int
    seconds: float
    domains: pd.DataFrame
    failures: tuple[Failure, ...]
    finished: bool
    reasons: Mapping[str, int] = field(default_factory=dict)
    domain_from: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Documents in shards that could not be scored."""
        return sum(one.documents for one in self.failures)

    @property
    def tokens_per_second(self) -> float:
        """Of the shards scored now; 0 when there were none."""
        return self.tokens / self.seconds if self.tokens else 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Documents read, scored, skipped and failed."""
        return {key: getattr(self, key) for key in ("read", "scored", "skipped", "failed")}

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        return own | {
            "domains": self.domains.to_dict("records"),
            "failures": [asdict(one) for one in self.failures],
            "tokens_per_second": self.tokens_per_second,
        }

    def __repr__(self) -> str:
        now = self.shards - self.kept - len(self.failures)
        return (
            f"{self.read:,} documents read = {self.scored:,} scored + {self.skipped:,} skipped + "
            f"{self.failed:,} failed\n{self.shards:,} shards: {self.kept:,} were done before, "
            f"{now:,} scored now, {len(self.failures):,} failed\n{self.tokens:,} tokens in "
            f"{self.seconds:,.1f} s: {self.tokens_per_second:,.0f} tokens a second"
            + "".join(f"\n{note}" for note in self.notes)
        )

    @property
    def notes(self) -> list[str]:
        """What a reader should know of how the corpus was read, a line each."""
        both = note_on_domains(self.domain_from), note_on_skipped(self.read, self.reasons)
        return [note for note in both if note]


@dataclass
class Told:
    """How far a run is; `step` moves it on and tells who listens."""

    total: int | None
    hear: Hear | None
    show: Callable[[int], object] = lambda documents: None
    began: float | None = None  # when the first worker was ready
    ended: float | None = None
    documents: int = 0
    kept: int = 0
    tokens: int = 0
    failed: int = 0
    _last: float = float("-inf")

    def step(self, documents: int, tokens: int = 0, *, kept: bool = False, failed: int = 0) -> None:
        """So many documents are through, and so many tokens were read for it; `kept`: by an earlier
        call; failed: documents of a shard that was given up."""
        if self.began is None and not kept:
            self.began = time.monotonic()
        self.documents += documents
        self.kept += documents if kept else 0
        self.tokens += tokens
        self.failed += failed
        self.show(documents)
        if self.hear is not None and time.monotonic() - self._last >= 1:
            self._last = time.monotonic()
            self.hear(self.state("progress"))

    @property
    def seconds(self) -> float:
        """Since scoring began."""
        return 0.0 if self.began is None else (self.ended or time.monotonic()) - self.began

    def state(self, event: str) -> dict[str, Any]:
        """The figures as plain JSON values."""
        seconds = self.seconds
        now = self.documents - self.kept
        left = None
        if self.total is not None and now:
            left = round(seconds / now * max(self.total - self.documents, 0), 1)
        return {
            "event": event, "documents": self.documents, "of": self.total, "tokens": self.tokens,
            "tokens_per_second": round(self.tokens / seconds, 1) if seconds else 0.0,
            "seconds": round(seconds, 1), "seconds_left": left, "failed": self.failed,
        }  # fmt: skip

    def note(self) -> str:
        """Behind the bar."""
        seconds = self.seconds
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.tokens / seconds:,.0f} tokens/s{failed}" if seconds else ""


@contextmanager
def told(total: int | None, hear: Hear | None) -> Iterator[Told]:
    """Progress of a run: a bar with rate and time left, or `hear` called about once a second with
    an object (event, documents, of, tokens, tokens_per_second, seconds, seconds_left, failed), the
    first and the last time with event "started" and "ended"."""
    state = Told(total, hear)
    with counted("scoring", "doc", total, bar=hear is None, note=state.note) as show:
        state.show = show
        if hear is not None:
            hear(state.state("started"))
        try:
            yield state
        finally:
            state.ended = time.monotonic()
            if hear is not None:
                hear(state.state("ended"))


def report_of(
    receipts: Sequence[Receipt],
    failures: Sequence[Failure],
    expected: int | None,
    kept: int,
    state: Told,
    domain_from: Mapping[str, int],
) -> RunReport:
    """The report, after the counts were held against each other.

    expected: rows that the shards of this call hold by the corpus; None where nobody counted them.
    Raises RuntimeError if documents were lost or doubled on the way.
    """
    read = sum(one.read for one in receipts)
    scored = sum(one.scored for one in receipts)
    failed = sum(one.documents for one in failures)
    if expected is not None and expected != read + failed:
        raise RuntimeError(
            f"the corpus had {expected:,} rows when it was counted, receipts and failures speak of "
            f"{read + failed:,}: if it was changed meanwhile, start again, and what is done is kept"
        )
    sums: dict[str, dict[str, float]] = {}
    for receipt in receipts:
        for domain, values in receipt.domains.items():
            all_ = sums.setdefault(domain, dict.fromkeys(_SUMS, 0))
            for key in _SUMS:
                all_[key] += values[key]
    domains = pd.DataFrame(
        [{"domain": domain, **sums[domain]} for domain in sorted(sums)],
        columns=["domain", *_SUMS],
    ).astype({"documents": "int64", "tokens": "int64"})
    for column in ("score", "loss_base", "loss_ref"):
        domains[column] = domains[column] / domains["documents"]
    return RunReport(
        read + failed, scored, read - scored, len(receipts) + len(failures), kept, state.tokens,
        state.seconds, domains, tuple(failures), finished=False,
        reasons=kinds_of(one["reason"] for receipt in receipts for one in receipt.skipped),
        domain_from=domain_from,
    )  # fmt: skip
