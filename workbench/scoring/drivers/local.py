"""Workers on this machine: a process each, fed with shards one at a time over pipes.

The processes are started fresh (no fork, no pickle) and speak lines of JSON. A worker whose shard
fails is not used again; the shard is tried in another process, three times in all. A worker that is
stuck (`workbench.scoring.drivers.stuck`) is ended, and its shard has failed once. When this process
goes, however it goes, its workers end at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import IO, Any

import filelock

from workbench.core.progress import check_cancelled
from workbench.loading.load import pick_device
from workbench.models.model import Model
from workbench.scoring.drivers.attempts import ATTEMPTS, OpenShards
from workbench.scoring.drivers.shared_model import store
from workbench.scoring.drivers.stuck import Limit, stuck_for
from workbench.scoring.folder.receipts import Receipt, read_receipt, receipt_path
from workbench.scoring.report import Failure
from workbench.scoring.shards import Shard
from workbench.scoring.worker import Job, ProgressDelta

_MOST_TO_END = 10.0  # seconds
_PREFIX = "workbench-model-"


def drive(
    model: Model, job: Job, shards: Sequence[Shard], workers: int | Sequence[str]
) -> Iterator[Receipt | Failure | ProgressDelta]:
    """Have shards scored by processes of this machine.

    Args:
        model: the selector.
        job: the run.
        shards: the shards, one at least.
        workers: how many processes on the CPU, or the device of each.

    Yields:
        A Receipt or a Failure for each shard as it comes, and ProgressDeltas on the way.

    Raises:
        RuntimeError: workers cannot start.
        OSError: the model cannot be stored, or the disk is full.
    """
    devices = ["cpu"] * workers if isinstance(workers, int) else [pick_device(w) for w in workers]
    with _model_folder() as model_folder:
        store(model, model_folder)
        yield from _Pool(replace(job, model=model_folder), devices[: len(shards)]).run(shards)


@contextlib.contextmanager
def _model_folder() -> Iterator[Path]:
    """A temporary folder. Those that killed runs left are removed: they hold whole models."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*.lock"):
        if left.is_symlink():  # somebody's trick: taking the lock would write there
            continue
        with (
            contextlib.suppress(filelock.Timeout, OSError),  # in use, or somebody else's
            filelock.FileLock(left, timeout=0),
        ):
            shutil.rmtree(left.with_suffix(""), ignore_errors=True)
            left.unlink(missing_ok=True)
    descriptor, lock = tempfile.mkstemp(prefix=_PREFIX, suffix=".lock")
    os.close(descriptor)
    model_folder = Path(lock).with_suffix("")
    # The system lets go of it when this process ends, however it does.
    with filelock.FileLock(lock):
        try:
            model_folder.mkdir(mode=0o700)
            yield model_folder
        finally:
            shutil.rmtree(model_folder, ignore_errors=True)
            Path(lock).unlink(missing_ok=True)


class _Pool:
    def __init__(self, job: Job, devices: Sequence[str]) -> None:
        self.job, self.devices = job, devices
        self.events: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        self.workers: set[_Worker] = set()
        self.limit, self.looked = Limit(job.shard_timeout), monotonic()

    def run(self, shards: Sequence[Shard]) -> Iterator[Receipt | Failure | ProgressDelta]:
        """The outcomes of the shards, as workers on the devices give them.

        Raises:
            RuntimeError: a worker cannot start.
            OSError: the system refuses what every shard would need, such as room on the disk.
            Cancelled: the work was cancelled.
        """
        open_shards = OpenShards(self.job, shards)
        starts = 0  # of workers killed before they were ready, no shard done in between
        try:
            for device in self.devices:
                self.workers.add(_Worker(self.job, device, self.events))
            while open_shards.left:
                stuck = self._stuck()
                try:
                    worker, event = stuck or self.events.get(timeout=0.2)
                except queue.Empty:
                    check_cancelled()
                    continue
                if worker not in self.workers:  # the end of one that was ended
                    continue
                if stuck is None:
                    self.limit.heard(worker.silent)
                    worker.silent = 0.0
                if event is None or "failed" in event:
                    reason = worker.why(event)
                    final = event is not None and event["final"]
                    if not final:
                        self.workers.discard(worker)
                        self._end(worker)
                    if event is not None and event["stop"]:
                        raise OSError(f"{reason}. What was finished is kept")
                    code = worker.process.returncode
                    killed = stuck is not None or (event is None and code is not None and code < 0)
                    starts += 1 if killed and not worker.ready else 0
                    if not worker.ready and (not killed or starts == ATTEMPTS):
                        raise RuntimeError(f"a worker on {worker.device} could not start: {reason}")
                    shard, worker.shard = worker.shard, None
                    if shard is not None:
                        yield ProgressDelta(-worker.through[0], -worker.through[1])
                        if failure := open_shards.failed(shard, reason, final):
                            yield failure
                    if worker not in self.workers and open_shards.left:
                        self.workers.add(_Worker(self.job, worker.device, self.events))
                elif "step" in event:
                    yield ProgressDelta(*event["step"])
                elif "done" in event:
                    open_shards.done()
                    worker.shard, starts = None, 0
                    yield read_receipt(receipt_path(self.job.folder, event["done"]))
                elif "ready" in event:
                    worker.ready, starts = True, 0
                    yield ProgressDelta(0, 0)
                idle = worker in self.workers and worker.ready and worker.shard is None
                if idle and open_shards.waiting:
                    worker.give(open_shards.waiting.popleft())
        finally:
            for worker in self.workers:
                self._end(worker)

    def _stuck(self) -> tuple[_Worker, dict[str, Any]] | None:
        """A worker that is stuck, and that as an event; None if there is none.

        No gap between two looks counts for more than a tenth of the limit, so that workers are not
        blamed where the machine slept or a scheduler held the whole run.
        """
        now = monotonic()
        passed, self.looked = now - self.looked, now
        for worker in self.workers:
            if worker.ready and worker.shard is None:
                worker.silent = 0.0
                continue
            limit = self.limit.seconds if worker.ready else self.limit.at_start
            worker.silent += min(passed, limit / 10)
            if worker.silent > limit:
                return worker, {"failed": stuck_for(limit), "final": False, "stop": False}
        return None

    def _end(self, worker: _Worker) -> None:
        """End its process, and remove what it had not finished writing."""
        worker.end()
        if worker.shard is not None:
            name = worker.shard.name(self.job.fingerprint)
            for left in self.job.folder.glob(f"*/.{name}.*.tmp"):
                left.unlink(missing_ok=True)


class _Worker:
    """A process, and the thread that hears it."""

    def __init__(self, job: Job, device: str, events: queue.Queue[Any]) -> None:
        self.device, self.ready, self.through = device, False, ProgressDelta(0, 0)
        self.silent = 0.0  # seconds
        self.shard: Shard | None = None
        self.stderr_file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)
        # -P: no module is taken from the folder that the user stands in, a corpus perhaps.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.scoring.drivers.local_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr_file,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the workers
            env=os.environ | ({"OMP_NUM_THREADS": "1"} if device == "cpu" else {}),
        )
        self._send({"job": job.to_json(), "device": device})
        assert self.process.stdout is not None
        self.thread = threading.Thread(
            target=self._listen, args=(self.process.stdout, events), daemon=True
        )
        self.thread.start()

    def give(self, shard: Shard) -> None:
        self.shard, self.through, self.silent = shard, ProgressDelta(0, 0), 0.0
        self._send({"shard": shard.to_json()})

    def why(self, event: dict[str, Any] | None) -> str:
        """Why its shard was not scored."""
        if event is not None:
            return event["failed"]
        code = self.process.wait()
        self.stderr_file.seek(0)
        last = self.stderr_file.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        ended = f"signal {-code}" if code < 0 else f"exit status {code}"
        return f"the worker ended by {ended}" + (f": {last[0][:300]}" if last else "")

    def end(self) -> None:
        """End the process, whatever it is doing; its files are whole or not there."""
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # one that waits for a dead disk
            self.process.wait(_MOST_TO_END)
        self.thread.join(_MOST_TO_END)
        for stream in (self.process.stdin, self.process.stdout, self.stderr_file):
            if self.thread.is_alive() and stream is self.process.stdout:
                continue  # it is being read
            # What was still to be sent is lost with the process.
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the thread hears that it is gone
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def _listen(self, stream: IO[bytes], events: queue.Queue[Any]) -> None:
        for line in stream:
            try:
                event = json.loads(line)
            except ValueError:  # cut off by its end
                break
            if "step" in event:
                before, more = self.through, event["step"]
                self.through = ProgressDelta(before.documents + more[0], before.tokens + more[1])
            events.put((self, event))
        events.put((self, None))
