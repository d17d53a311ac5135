"""Disks that are full, or cannot be written: the run ends with a message, and goes on later."""

from __future__ import annotations

import json
import random
import shutil

import pytest

import workbench as wb
from faults.disks import mountable, read_only, resize, small_disk
from faults.whole import account, require_whole, stamps


def nothing_half(folder, before):
    """Assert that no temporary file is left, and no finished shard was touched."""
    assert not list(folder.rglob("*.tmp"))
    now = stamps(folder)
    receipts = {name for name in before if "receipts/" in name}
    assert {name: now.get(name) for name in receipts} == {name: before[name] for name in receipts}
    return now


def test_a_disk_that_is_full_and_grows(runs, job, tmp_path, moments):
    disk = tmp_path / "disk"
    if not mountable(disk):
        pytest.skip("mounting is refused here; the quota below is the full disk of this machine")
    size, full = 24 + 4 * moments.randrange(8), 0
    with small_disk(disk, size):
        folder, before = disk / "run", {}
        while True:
            run = runs.start(job.corpus, folder)
            if run.wait() == 0:
                break
            full += 1
            assert "No space left on device" in run.said["error"], run.said
            before = nothing_half(folder, before)
            size += 24
            resize(disk, size)
        assert full >= 3
        resize(disk, 4096)  # the record of a finished run is written anew by each call
        require_whole(runs, job.corpus, folder, job.reference, job.places)


def test_a_quota_that_ends_a_run_half_way(runs, job, tmp_path):
    corpus = shutil.copytree(job.corpus, tmp_path / "corpus")
    lines = (corpus / "10.jsonl").read_text().splitlines()
    large = random.Random(0).randbytes(12_288).hex()  # long ids make a large score file
    for row in (0, 3, 4, 5):
        lines[row] = json.dumps({**json.loads(lines[row]), "id": large[row * 4096 :][:4096]})
    (corpus / "10.jsonl").write_text("\n".join(lines) + "\n")
    runs.run(corpus, tmp_path / "reference")
    folder = tmp_path / "run"
    run = runs.start(corpus, folder, faults={"file_size": 12_000})
    assert run.wait() == 1
    assert "File too large" in run.said["error"]
    before = nothing_half(folder, {})
    assert sum("receipts/" in name for name in before) == 10
    report = runs.run(corpus, folder)
    assert report["kept"] == 10
    nothing_half(folder, before)
    require_whole(runs, corpus, folder, tmp_path / "reference", job.places)


def test_a_folder_that_cannot_be_written(runs, job, tmp_path):
    new, half, done = (tmp_path / name for name in ("new", "half", "done"))
    new.mkdir()
    shutil.copytree(job.reference, done)
    shutil.copytree(job.reference, half)
    (half / "run.json").unlink()
    for number in range(10):
        (receipt,) = half.glob(f"receipts/part-{number:06}-*")
        receipt.unlink()
    for folder in (new, half, done):
        before = stamps(folder)
        with read_only(folder) as how:
            run = runs.start(job.corpus, folder)
            assert run.wait() == 1, how
            reasons = ("Read-only file system", "Permission denied", "Operation not permitted")
            assert any(reason in run.said["error"] for reason in reasons), run.said
            assert str(folder) in run.said["error"]
            if folder == done:
                assert len(wb.load_scores(done)) == 80
        assert stamps(folder) == before
        runs.run(job.corpus, folder)
        nothing_half(folder, before)
        assert account(folder, job.reference, job.places, runs.tmp).whole
    assert stamps(done) == before
