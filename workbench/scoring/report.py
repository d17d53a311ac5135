"""What a scoring run says while it goes and when it ends: progress, and a report that adds up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from typing import Any

import pandas as pd

from workbench.core.progress import Done, Progress, progress_bar
from workbench.corpus.notes import kind_of, note_on_domains, note_on_skipped
from workbench.scoring.folder.receipts import Receipt
from workbench.scoring.folder.superseded import SetAside
from workbench.scoring.schema import DOMAIN_SUMS

OnProgress = Callable[[dict[str, Any]], object]
_MOST_REASONS = 100  # kinds of them that are told apart


@dataclass(frozen=True)
class Failure:
    """A shard that could not be scored.

    Attributes:
        shard: the name of its files.
        pieces: (source, first row, end row) of each range of rows.
        documents: rows that it holds.
        reason: why.
        attempts: how often it was tried.
    """

    shard: str
    pieces: Sequence[Sequence[Any]]
    documents: int
    reason: str
    attempts: int


class ScoringFailed(RuntimeError):
    """Some shards could not be scored. All others are done and kept.

    Args:
        report: the RunReport, with at least one failure.
    """

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

    Attributes:
        read: documents of this call, which are scored + skipped + failed.
        scored: those with a score.
        skipped: those that cannot have one.
        shards: all of this call, which are kept + scored now + failed.
        kept: shards that were finished by an earlier call.
        redone: of those scored now, shards in whose place the folder held another version, of other
            texts or settings, or a damaged one.
        set_aside_shards: shards that were in the folder and are not of this run; they lie in
            `superseded/` now. Counted when the run is complete.
        set_aside_documents: scored documents in these.
        tokens: those that losses are over, in shards scored now.
        seconds: of the scoring.
        domains: one row a domain with documents, tokens and the means of score, loss_base and
            loss_ref over the documents scored so far.
        reasons: how many documents were skipped for each kind of reason.
        failures: the shards that could not be scored.
        notes: what else the reader of the report should know.
        finished: whether all shards of the corpus are done, those of other parts too.
        domain_from: documents of the corpus by `Document.domain_from`.
    """

    read: int
    scored: int
    skipped: int
    shards: int
    kept: int
    redone: int
    set_aside_shards: int
    set_aside_documents: int
    tokens: int
    seconds: float
    domains: pd.DataFrame
    reasons: dict[str, int]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    finished: bool
    domain_from: dict[str, int]

    @property
    def failed(self) -> int:
        """Documents in shards that could not be scored."""
        return sum(failure.documents for failure in self.failures)

    @property
    def tokens_per_second(self) -> float:
        """Of the shards scored now; 0 when there were none."""
        return self.tokens / self.seconds if self.tokens else 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Documents read, scored, skipped and failed."""
        return {key: getattr(self, key) for key in ("read", "scored", "skipped", "failed")}

    def completed(self, aside: SetAside) -> RunReport:
        """The report of a run that is complete now.

        Args:
            aside: what was set aside.

        Returns:
            A copy that says so.
        """
        return replace(
            self, finished=True, set_aside_shards=aside.shards,
            set_aside_documents=aside.documents,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return own | {
            "domains": self.domains.to_dict("records"),
            "failures": [asdict(failure) for failure in self.failures],
            "tokens_per_second": self.tokens_per_second,
        }

    def __repr__(self) -> str:
        now = self.shards - self.kept - len(self.failures)
        again = f" ({self.redone:,} of them anew)" if self.redone else ""
        lines = [
            f"{self.read:,} documents read = {self.scored:,} scored + {self.skipped:,} skipped + "
            f"{self.failed:,} failed",
            f"{self.shards:,} shards: {self.kept:,} were done before, {now:,} scored now{again}, "
            f"{len(self.failures):,} failed",
            f"{self.tokens:,} tokens in {self.seconds:,.1f} s: {self.tokens_per_second:,.0f} "
            "tokens a second",
            *self.notes,
        ]
        if note := note_on_domains(self.domain_from):
            lines.append(note)
        if self.set_aside_shards:
            lines.append(
                f"{self.set_aside_shards:,} shards with {self.set_aside_documents:,} scored "
                "documents are no longer of this run: set aside in superseded/"
            )
        if note := note_on_skipped(self.read, self.reasons):
            lines.append(note)
        return "\n".join(lines)


@dataclass
class Tally:
    """What the shards of a call come to, taken in one at a time.

    Attributes:
        read: rows of the shards that are done.
        scored: documents of them that have a score.
        shards: shards that are done.
        kept: of these, shards that an earlier call had finished.
        redone: of these, shards scored in the place of another version.
        domains: documents, tokens and sums of the losses and the score, of each domain.
        reasons: how many documents were skipped for each kind of reason.
        failures: the shards that could not be scored.
        names: of all shards that passed, in the order of the corpus.
        domain_from: documents of all shards that passed, by `Document.domain_from`.
    """

    read: int = 0
    scored: int = 0
    shards: int = 0
    kept: int = 0
    redone: int = 0
    domains: dict[str, dict[str, Fraction]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    domain_from: Counter[str] = field(default_factory=Counter)

    def add(self, receipt: Receipt, *, kept: bool = False, redone: bool = False) -> None:
        """Take in a shard that is done.

        Args:
            receipt: of the shard.
            kept: whether an earlier call had finished it.
            redone: whether it was scored in the place of another version.
        """
        self.shards += 1
        self.kept += kept
        self.redone += redone
        self.read += receipt.read
        self.scored += receipt.scored
        for domain, values in receipt.domains.items():
            sums = self.domains.setdefault(domain, dict.fromkeys(DOMAIN_SUMS, Fraction()))
            for key in DOMAIN_SUMS:  # exactly, so that it does not count who was done first
                sums[key] += Fraction(values[key])
        for skipped in receipt.skipped:
            kind = kind_of(skipped["reason"])
            known = kind in self.reasons or len(self.reasons) < _MOST_REASONS
            self.reasons[kind if known else "other reasons"] += 1

    def means(self) -> pd.DataFrame:
        """One row a domain, as in `RunReport.domains`."""
        frame = pd.DataFrame(
            [
                {"domain": domain} | {key: float(value) for key, value in sums.items()}
                for domain, sums in sorted(self.domains.items())
            ],
            columns=["domain", *DOMAIN_SUMS],
        ).astype({"documents": "int64", "tokens": "int64"})
        for column in ("score", "loss_base", "loss_ref"):
            frame[column] = frame[column] / frame["documents"]
        return frame


@dataclass
class ProgressState:
    """How far a run is; `step` moves it on and tells who listens.

    Attributes:
        total: rows of the call; None where nobody counted them.
        on_progress: called with `state` about once a second; None: nobody.
        show: moves the bar on.
        began: `time.monotonic()` when the first worker was ready.
        ended: `time.monotonic()` at the end.
        documents: rows that are through.
        kept: of these, rows that an earlier call had finished.
        tokens: predicted tokens of the rows scored now.
        failed: rows of shards that were given up.
    """

    total: int | None
    on_progress: OnProgress | None
    show: Done = lambda units, kept=False: None
    began: float | None = None  # when the first worker was ready
    ended: float | None = None
    documents: int = 0
    kept: int = 0
    tokens: int = 0
    failed: int = 0
    _last: float = float("-inf")

    def step(self, documents: int, tokens: int = 0, *, kept: bool = False, failed: int = 0) -> None:
        """Move on.

        Args:
            documents: so many more rows are through.
            tokens: predicted tokens of these.
            kept: whether an earlier call had finished them.
            failed: rows of a shard that was given up.
        """
        if self.began is None and not kept:
            self.began = time.monotonic()
        self.documents += documents
        self.kept += documents if kept else 0
        self.tokens += tokens
        self.failed += failed
        self.show(documents, kept)
        if self.on_progress is not None and time.monotonic() - self._last >= 1:
            self._last = time.monotonic()
            self.on_progress(self.state("progress"))

    @property
    def seconds(self) -> float:
        """Since scoring began."""
        return 0.0 if self.began is None else (self.ended or time.monotonic()) - self.began

    def state(self, event: str) -> dict[str, Any]:
        """The figures as plain JSON values.

        Args:
            event: "started", "progress" or "ended".

        Returns:
            The dict that `run_progress` describes.
        """
        seconds = self.seconds
        left = Progress("", "", self.documents, self.total, seconds, self.kept).left
        return {
            "event": event, "documents": self.documents, "of": self.total, "tokens": self.tokens,
            "tokens_per_second": round(self.tokens / seconds, 1) if seconds else 0.0,
            "seconds": round(seconds, 1), "seconds_left": None if left is None else round(left, 1),
            "failed": self.failed,
        }  # fmt: skip

    def note(self) -> str:
        """Behind the bar."""
        seconds = self.seconds
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.tokens / seconds:,.0f} tokens/s{failed}" if seconds else ""


@contextmanager
def run_progress(total: int | None, on_progress: OnProgress | None) -> Iterator[ProgressState]:
    """The progress of a run: a bar with rate and time left, or calls of `on_progress`.

    Args:
        total: rows of the call; None where nobody counted them.
        on_progress: called about once a second with a dict (event, documents, of, tokens,
            tokens_per_second, seconds, seconds_left, failed), the first and the last time with
            event "started" and "ended". None: a bar is shown.

    Yields:
        The state, for the block to move on.
    """
    state = ProgressState(total, on_progress)
    with progress_bar("scoring", "doc", total, bar=on_progress is None, note=state.note) as show:
        state.show = show
        if on_progress is not None:
            on_progress(state.state("started"))
        try:
            yield state
        finally:
            state.ended = time.monotonic()
            if on_progress is not None:
                on_progress(state.state("ended"))


def report_of(
    tally: Tally,
    expected: int | None,
    state: ProgressState,
    domain_from: dict[str, int],
    notes: Sequence[str] = (),
) -> RunReport:
    """The report, after the counts were held against each other.

    Args:
        tally: of the shards of this call.
        expected: rows that these shards hold by the corpus; None where nobody counted them.
        state: how far the run came.
        domain_from: documents of the corpus by `Document.domain_from`.
        notes: lines for the report.

    Returns:
        The report of a run that is not complete yet (see `RunReport.completed`).

    Raises:
        RuntimeError: documents were lost or doubled on the way.
    """
    read = tally.read + sum(failure.documents for failure in tally.failures)
    if expected is not None and expected != read:
        raise RuntimeError(
            f"the corpus had {expected:,} rows when it was counted, receipts and failures speak of "
            f"{read:,}: if it was changed meanwhile, start again, and what is done is kept"
        )
    return RunReport(
        read=read, scored=tally.scored, skipped=tally.read - tally.scored,
        shards=tally.shards + len(tally.failures), kept=tally.kept, redone=tally.redone,
        set_aside_shards=0, set_aside_documents=0, tokens=state.tokens, seconds=state.seconds,
        domains=tally.means(), reasons=dict(tally.reasons), failures=tuple(tally.failures),
        notes=tuple(notes), finished=False, domain_from=domain_from,
    )  # fmt: skip
