"""The command, stopped by SIGTERM and by Ctrl-C: what it says, its exit code, what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest
from conftest import make_model

from faults.runs import QUIET, SHARD, wait_until
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


def command(model, corpus, out, tmp, *options):
    """The command in a terminal of its own, so to speak."""
    tmp.mkdir(exist_ok=True)
    return subprocess.Popen(
        [
            sys.executable, "-c", "from workbench.cli import app; app()", "score", str(corpus),
            "--model", str(model), "--heads", "L0H1 L1H3", "--out", str(out),
            "--shard-size", str(SHARD), *options,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**psutil.Process().environ(), **QUIET, "TMPDIR": str(tmp), "COLUMNS": "200"},
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
    going = []
    for name, kind, code, options in cases:
        out, tmp = tmp_path / name, tmp_path / f"tmp-{name}"
        process = command(model, job.corpus, out, tmp, *options)
        going.append((process, out, tmp, kind, code, options))
    waiting = list(going)
    while waiting:  # each is held at its second shard, so that none is through before its turn
        wait_until(lambda: any(len(stamps(out)) >= 3 for _, out, *_ in waiting))
        for one in [one for one in waiting if len(stamps(one[1])) >= 3]:
            one[0].send_signal(signal.SIGSTOP)
            waiting.remove(one)
    for process, out, tmp, kind, code, options in going:
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) == len(options) / 2
        process.send_signal(kind)
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == code, said
        assert SAID in said
        assert not psutil.wait_procs(workers, timeout=2)[1]
        assert not list(tmp.glob("workbench-*"))  # no copy of the model is left either
        assert not list(out.rglob("*.tmp"))
        assert len(stamps(out)) < 40
    for number, (_, out, tmp, *_) in enumerate(going):
        before = {name: stamp for name, stamp in stamps(out).items() if "receipts/" in name}
        if number:
            report = runs.run(job.corpus, out)
            assert report["kept"] == len(before)
        else:  # the same command
            said, complaints = command(model, job.corpus, out, tmp).communicate(timeout=240)
            assert f"20 shards: {len(before)} were done before" in said, complaints
        now = stamps(out)
        assert all(now[name] == stamp for name, stamp in before.items())
        mine, theirs = files(out), files(job.reference)
        del mine["run.json"], theirs["run.json"]  # it says where the model came from
        assert mine == theirs
