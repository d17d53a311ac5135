"""A process that has everything imported and forks runs on demand, since an import takes seconds.

Each run is a process of its own with the real `run_scoring`; it can be killed like any other.
Lines of JSON come in on standard input. {"run": {...}} is answered with {"pid": n}; {"wait": pid},
once that run has ended, with {"status": n}: the exit status, or minus the signal.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from support.models import make_model

import workbench as wb
from faults.gate import environment
from faults.injected import sitecustomize
from workbench.scoring.worker import ShardWorker

HEADS = [(0, 1), (1, 3)]


def main() -> None:
    model = make_model()
    heads = wb.HeadSet.of(HEADS, model)
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            answer = {"status": os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])}
        else:
            pid = os.fork()
            if pid == 0:
                _run(model, heads, **asked["run"])
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _run(
    model: wb.Model, heads: wb.HeadSet, log: str, faults: dict[str, Any], **given: Any
) -> None:
    """The run, in the forked process: prints nothing, leaves its report or its error in `log`."""
    status = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setpgid(0, 0)
        output = os.open(f"{log}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _prepare(faults)
        given["part"] = tuple(given.get("part", (1, 1)))
        try:
            report = wb.run_scoring(model, heads, **given)
            said, status = {"report": report.to_json()}, 0
        except KeyboardInterrupt:
            said, status = {"error": "KeyboardInterrupt"}, 130
        except Exception as error:
            traceback.print_exc()
            said, status = {"error": f"{type(error).__name__}: {error}"}, 1
            if isinstance(error, wb.ScoringFailed):
                said["report"] = error.report.to_json()
        Path(log).write_text(json.dumps(said), encoding="utf-8")
    finally:
        os._exit(status)


def _prepare(faults: dict[str, Any]) -> None:
    if "tmp" in faults:
        os.environ["TMPDIR"] = faults["tmp"]
    if "file_size" in faults:  # a quota: the kernel refuses to write more
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (faults["file_size"],) * 2)
    if "user" in faults:
        os.setgroups([])
        os.setgid(faults["user"])
        os.setuid(faults["user"])
    for_workers = {
        key: faults[key] for key in ("deadly", "clock", "gate", "trace") if key in faults
    }
    if for_workers:
        os.environ.update(environment(**for_workers))
    if "trace" in faults:
        _trace_shards(faults["trace"])
    sitecustomize.begin({key: faults[key] for key in ("clock", "gate") if key in faults})
    if "crash_at" in faults:
        _crash_at(*faults["crash_at"])


def _trace_shards(trace: str) -> None:
    """Add a line to the trace as each shard is begun in this process; workers trace themselves."""
    real = ShardWorker.score

    def traced(worker: ShardWorker, shard: Any, documents: Any = None) -> Any:
        with open(trace, "a", encoding="utf-8") as lines:
            lines.write(f"{os.getpid()} {shard.row_ranges[-1].source}\n")
        return real(worker, shard, documents)

    ShardWorker.score = traced  # type: ignore[method-assign]


def _crash_at(folder: str, number: int) -> None:
    """SIGKILL to this process before its `number`-th (from 0) touch of a path in `folder`."""
    touches = itertools.count()
    touching = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.chmod", "os.link"}

    def hear(event: str, given: tuple[Any, ...]) -> None:
        if event in touching and str(given[0]).startswith(folder) and next(touches) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


if __name__ == "__main__":
    main()
