"""One shard scored: what every driver runs, in this process, in another, or on another machine."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch

from workbench.corpus.columns import Named
from workbench.corpus.document import CorpusError, Document
from workbench.corpus.sources import sources_of
from workbench.masking.references import ReferenceSet, reference_of, register
from workbench.models.model import Model
from workbench.scoring.columns.own_columns import columns_from_json
from workbench.scoring.drivers.shared_model import open_stored
from workbench.scoring.folder import run_folder
from workbench.scoring.folder.receipts import Receipt, write_scores
from workbench.scoring.influence import scored
from workbench.scoring.schema import columns_in, schema_with
from workbench.scoring.settings import ScoringSettings
from workbench.scoring.shards import Shard, documents_of

# No other shard could be written either.
_NOWHERE_TO_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class ProgressDelta(NamedTuple):
    """What was done since the last one.

    Attributes:
        documents: how many documents are through.
        tokens: over how many predicted tokens.
    """

    documents: int
    tokens: int


@dataclass(frozen=True)
class Job:
    """A run, as whoever scores its shards has to know it.

    Attributes:
        settings: how to score, resolved for the model of the run.
        fingerprint: of the run (`workbench.scoring.folder.run_folder.fingerprint`).
        corpus: paths, as the worker's machine sees them; empty for a corpus in memory.
        columns: names of the columns of id, text and domain.
        folder: of the run, absolute.
        shard_timeout: seconds; see `workbench.scoring.drivers.stuck`.
        model: folder that `workbench.scoring.drivers.shared_model.store` wrote; the driver sets it.
    """

    settings: ScoringSettings
    fingerprint: Mapping[str, Any]
    corpus: Sequence[str]
    columns: Named
    folder: Path
    shard_timeout: float | None = None
    model: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        reference = reference_of(self.settings.mode)
        return own | {
            "reference": None if reference is None else asdict(reference),
            "settings": self.settings.to_json(),
            "require_certificate": self.settings.require_certificate,
            "folder": str(self.folder),
            "model": None if self.model is None else str(self.model),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Job:
        """The job in what `to_json` gave.

        Args:
            stored: that, or what became of it on the way through JSON.

        Returns:
            The job.
        """
        beside = ("require_certificate", "reference")
        own = {key: value for key, value in stored.items() if key not in beside}
        if given := stored["reference"]:  # this process cannot know the texts of a user
            register(ReferenceSet(**given | {"texts": tuple(given["texts"])}))
        settings = ScoringSettings.from_json(
            stored["settings"],
            require_certificate=stored["require_certificate"],
            columns=columns_from_json(stored["settings"]["columns"]),
        )
        model = None if stored["model"] is None else Path(stored["model"])
        return cls(**own | {"settings": settings, "folder": Path(stored["folder"]), "model": model})


class ShardWorker:
    """Holds the model of a run and scores its shards, one at a time.

    Args:
        model: the selector.
        job: the run.
    """

    def __init__(self, model: Model, job: Job) -> None:
        self.model, self.job = model, job
        self.sources = {source.name: source for source in sources_of(job.corpus)}

    @classmethod
    def open(cls, job: Job, device: str = "cpu") -> ShardWorker:
        """The worker of a process of its own, which opens the model that the driver has stored.

        Args:
            job: the run.
            device: to put the model on.

        Returns:
            The worker.

        Raises:
            NotCertified: the model fails a check here, and the job requires a certificate.
            ValueError: scores made here would have another fingerprint than those of the run.
        """
        if device == "cpu":
            # One thread a worker, however many workers there are: sums are then added up in the
            # same order, and the scores do not depend on their number.
            torch.set_num_threads(1)
        assert job.model is not None
        model = open_stored(job.model, device)
        run = run_folder.run_record(model, job.settings, job.settings.certified(model))
        here = json.loads(json.dumps(run_folder.fingerprint(run)))
        there = job.fingerprint
        wrong = [key for key in {**here, **there} if here.get(key) != there.get(key)]
        if wrong:
            raise ValueError(
                f"this worker would score with other settings than the run: {', '.join(wrong)} "
                "differ. Give workers the same versions of the packages, and the run a device of "
                "their kind"
            )
        return cls(model, job)

    def score(
        self, shard: Shard, documents: Sequence[Document] | None = None
    ) -> Iterator[ProgressDelta | Receipt]:
        """Score the documents of a shard and publish its score file and its receipt.

        Args:
            shard: the shard.
            documents: its documents; None: they are read from the corpus of the job.

        Yields:
            A ProgressDelta for each document, one for the rows that give none, and at last the
            receipt.

        Raises:
            CorpusError: the text was changed since the shard index was made.
        """
        if documents is None:
            documents = documents_of(shard, self.sources, self.job.columns)
        results = []
        for result in scored(self.model, self.job.settings, documents):
            results.append(result)
            yield ProgressDelta(1, result["predicted"] if isinstance(result, dict) else 0)
        schema = schema_with(columns_in(self.job.settings.to_json()))
        receipt = write_scores(self.job.folder, shard, self.job.fingerprint, results, schema)
        yield ProgressDelta(len(shard.refused), 0)
        yield receipt


def ends_all(error: Exception) -> bool:
    """Whether no other shard could be scored either, by whomever: the disk is full.

    Args:
        error: that a shard ended with.

    Returns:
        Whether to give up the run.
    """
    return isinstance(error, OSError) and error.errno in _NOWHERE_TO_WRITE


def is_permanent_error(error: Exception) -> bool:
    """Whether every worker would fail on that shard.

    So it is if its text is another one, and not just out of reach for the moment.

    Args:
        error: that the shard ended with.

    Returns:
        Whether to give up the shard.
    """
    return isinstance(error, CorpusError) and not isinstance(error.__cause__, OSError)
