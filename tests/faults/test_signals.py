"""The command, stopped by SIGTERM and by Ctrl-C: what it says, its exit code, what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest
from support.models import make_model

from faults.gate import Gate, environment
from faults.runs import HANGS, QUIET, SHARD
from faults.whole import files, stamps

THOROUGH = os.environ.get("FAULTS_ALL") == "1"
SAID = "stopped; what was finished is kept, the same command goes on from there"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    made = make_model()
    made.hf.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return folder


def command(model, corpus, out, tmp, *options, faults=None):
    """The command in a terminal of its own, so to speak."""
    tmp.mkdir(exist_ok=True)
    return subprocess.Popen(
        [
            sys.executable, "-c", "from workbench.cli.main import app; app()", "score", str(corpus),
            "--model", str(model), "--heads", "L0H1 L1H3", "--out", str(out),
            "--shard-size", str(SHARD), *options,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={
            **os.environ, **QUIET, **environment(**(faults or {})), "TMPDIR": str(tmp),
            "COLUMNS": "200",
        },
        # In a shell's background Ctrl-C is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def test_sigterm_and_ctrl_c_keep_what_is_done_and_leave_no_process(runs, job, model, tmp_path):
    """Both kinds with a worker (FAULTS_ALL=1: and without), side by side; then each is taken up to
    its end."""
    cases = [
        ("term", signal.SIGTERM, 143, ("--workers", "1")),
        ("ctrl-c", signal.SIGINT, 130, ("--workers", "1")),
    ]
    if THOROUGH:
        cases += [(f"{name}, alone", kind, code, ()) for name, kind, code, _ in cases]
    gate, going = Gate(tmp_path / "gate", at=2), []
    for name, kind, code, options in cases:
        out, tmp = tmp_path / name, tmp_path / f"tmp-{name}"
        process = command(model, job.corpus, out, tmp, *options, faults=gate.faults)
        going.append((process, out, tmp, kind, code, options))
    # Who scores, the command or its worker, is held at its second shard.
    gate.wait(len(cases), by=[process for process, *_ in going])
    for process, out, tmp, kind, code, options in going:
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) == len(options) / 2
        process.send_signal(kind)
        _, output = process.communicate(timeout=HANGS)
        assert process.returncode == code, output
        assert SAID in output
        assert not psutil.wait_procs(workers, timeout=HANGS)[1]
        assert not list(tmp.glob("workbench-*"))  # no copy of the model is left either
        assert not list(out.rglob("*.tmp"))
        assert sum("receipts/" in name for name in stamps(out)) == 1
    for number, (_, out, tmp, *_) in enumerate(going):
        before = {name: stamp for name, stamp in stamps(out).items() if "receipts/" in name}
        if number:
            report = runs.run(job.corpus, out)
            assert report["kept"] == len(before)
        else:  # the same command
            output, complaints = command(model, job.corpus, out, tmp).communicate(timeout=HANGS)
            assert f"20 shards: {len(before)} were done before" in output, complaints
        now = stamps(out)
        assert all(now[name] == stamp for name, stamp in before.items())
        mine, theirs = files(out), files(job.reference)
        del mine["run.json"], theirs["run.json"]  # it says where the model came from
        assert mine == theirs
