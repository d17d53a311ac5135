"""One shard scored: what every driver runs, in this process, in another, or on another machine."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from workbench.corpus.columns import Named
from workbench.corpus.document import CorpusError, Document
from workbench.corpus.sources import sources_of
from workbench.loading.certificate import certify, require_certified
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring import run_folder
from workbench.scoring.drivers.shared_model import open_stored
from workbench.scoring.influence import scored
from workbench.scoring.receipts import Receipt, write_scores
from workbench.scoring.shards import Shard, documents_of

# No other shard could be written either.
_NOWHERE_TO_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class Settings:
    """How documents are scored: masked heads, mode, tokens of one pass, and of a document."""

    heads: HeadSet
    mode: Mode
    window: int
    max_tokens: int | None


class Step(NamedTuple):
    """So many documents are through, over so many predicted tokens."""

    documents: int
    tokens: int


@dataclass(frozen=True)
class Job:
    """All that a worker has to know, as plain JSON values.

    folder: of the run; corpus: paths, as the worker's machine sees them; shard_timeout: see
    `workbench.scoring.drivers.stuck`; model: folder that `model_store.store` wrote, set by the
    driver.
    """

    heads: Mapping[str, Any]
    mode: Mode
    window: int
    max_tokens: int | None
    fingerprint: Mapping[str, Any]
    corpus: Sequence[str]
    columns: Named
    folder: str
    require_certificate: bool
    shard_timeout: float | None = None
    model: str = ""

    @classmethod
    def of(
        cls,
        model: Model,
        settings: Settings,
        fingerprint: Mapping[str, Any],
        corpus: Sequence[str],
        columns: Named,
        folder: Path,
        require_certificate: bool,
        shard_timeout: float | None = None,
    ) -> Job:
        return cls(
            settings.heads.to_json(), settings.mode, settings.window, settings.max_tokens,
            fingerprint, corpus, columns, str(folder.absolute()), require_certificate,
            shard_timeout,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class ShardWorker:
    """Holds the model of a run and scores its shards, one at a time.

    Args:
        model: the selector.
        job: the run.
    """

    def __init__(self, model: Model, job: Job) -> None:
        self.model, self.job = model, job
        self.sources = {source.name: source for source in sources_of(job.corpus)}
        self.settings = Settings(HeadSet.from_json(job.heads), job.mode, job.window, job.max_tokens)

    @classmethod
    def open(cls, job: Job, device: str = "cpu") -> ShardWorker:
        """The worker of a process of its own, which opens the model that the driver has stored.

        Raises:
            NotCertified: the model fails a check here, and the job requires a certificate.
            ValueError: scores made here would have another fingerprint than those of the run.
        """
        if device == "cpu":
            # One thread a worker, however many workers there are: sums are then added up in the
            # same order, and the scores do not depend on their number.
            torch.set_num_threads(1)
        worker = cls(open_stored(Path(job.model), device), job)
        check = require_certified if job.require_certificate else certify
        certificate = check(worker.model)
        run = run_folder.run_record(
            worker.model, worker.settings.heads,
            {"mode": job.mode, "window": job.window, "max_tokens": job.max_tokens}, certificate,
        )  # fmt: skip
        here = json.loads(json.dumps(run_folder.fingerprint(run)))
        wrong = [key for key in here if here[key] != job.fingerprint.get(key)]
        if wrong:
            raise ValueError(
                f"this worker would score with other settings than the run: {', '.join(wrong)} "
                "differ. Give workers the same versions of the packages, and the run a device of "
                "their kind"
            )
        return worker

    def score(
        self, shard: Shard, documents: Sequence[Document] | None = None
    ) -> Iterator[Step | Receipt]:
        """Score the documents of a shard and publish its score file and its receipt.

        Args:
            shard: the shard.
            documents: its documents; None: they are read from the corpus of the job.

        Yields:
            A Step for each document, one for the rows that give none, and at last the receipt.

        Raises:
            CorpusError: the text was changed since the catalogue was made.
        """
        if documents is None:
            documents = documents_of(shard, self.sources, self.job.columns)
        settings, results = self.settings, []
        for result in scored(
            self.model, settings.heads, documents, settings.mode, settings.window,
            settings.max_tokens,
        ):  # fmt: skip
            results.append(result)
            yield Step(1, result["predicted"] if isinstance(result, dict) else 0)
        receipt = write_scores(Path(self.job.folder), shard, self.job.fingerprint, results)
        yield Step(len(shard.refused), 0)
        yield receipt


def ends_all(error: Exception) -> bool:
    """Whether no other shard could be scored either, by whomever: the disk is full."""
    return isinstance(error, OSError) and error.errno in _NOWHERE_TO_WRITE


def is_final(error: Exception) -> bool:
    """Whether every worker would fail on that shard: its text is another one, and not just out of
    reach for the moment."""
    return isinstance(error, CorpusError) and not isinstance(error.__cause__, OSError)
