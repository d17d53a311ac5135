"""The shards of a run that are not done yet, and how often each may be tried."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from workbench.scoring.report import Failure
from workbench.scoring.shards import Shard
from workbench.scoring.worker import Job

ATTEMPTS = 3


class OpenShards:
    """Shards to be given to workers, each of them again if its worker fails.

    Attributes:
        waiting: the shards that no worker has, the next one first.
        left: how many are neither done nor given up.
    """

    def __init__(self, job: Job, shards: Sequence[Shard]) -> None:
        """All shards wait.

        Args:
            job: the run.
            shards: its shards.
        """
        self._job = job
        self._tried = Counter[int]()
        self.waiting, self.left = deque(shards), len(shards)

    def done(self) -> None:
        """Take note that a shard is done."""
        self.left -= 1

    def failed(self, shard: Shard, reason: str, final: bool) -> Failure | None:
        """Take note that a worker failed with a shard, which then is the next to be tried again.

        Args:
            shard: the shard.
            reason: why.
            final: whether every worker would fail.

        Returns:
            The failure, if the shard is given up; else None.
        """
        self._tried[shard.number] += 1
        attempts = self._tried[shard.number]
        if not final and attempts < ATTEMPTS:
            self.waiting.appendleft(shard)
            return None
        self.left -= 1
        ranges = [[span.source, span.start, span.stop] for span in shard.row_ranges]
        rows = shard.documents + len(shard.refused)
        return Failure(shard.name(self._job.fingerprint), ranges, rows, reason, attempts)
