"""Files of a finished run, damaged: the shard is scored again, all others stay as they are."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from faults.whole import require_whole, stamps


@pytest.fixture
def finished(job, tmp_path):
    """A finished folder of its own, times of writing included."""
    return shutil.copytree(job.reference, tmp_path / "run")


def shard(folder, number):
    """The score file and the receipt of a shard."""
    (scores,) = folder.glob(f"scores/part-{number:06}-*")
    (receipt,) = folder.glob(f"receipts/part-{number:06}-*")
    return scores, receipt


def mended(runs, job, folder, shards):
    """Assert that a run scores `shards` of the folder again, no other, and then nothing."""
    before = stamps(folder)
    report = runs.run(job.corpus, folder)
    assert report["kept"] == 20 - len(shards)
    now = stamps(folder)
    changed = {name for name in before | now if before.get(name) != now.get(name)}
    assert {int(name.split("part-")[1][:6]) for name in changed} == set(shards)
    require_whole(runs, job.corpus, folder, job.reference, job.places)


def flipped(raw, at, bit=0):
    return raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]


def test_truncated_flipped_empty_and_missing_score_files(runs, job, finished, moments):
    files = [shard(finished, number)[0] for number in range(9)]
    raws = [file.read_bytes() for file in files]
    files[0].write_bytes(b"")
    files[1].write_bytes(raws[1][: moments.randrange(1, len(raws[1]))])
    for number in (2, 3, 4):  # one bit: size and, below, the time of writing stay
        about = files[number].stat()
        at = moments.randrange(len(raws[number]))
        files[number].write_bytes(flipped(raws[number], at, moments.randrange(8)))
        os.utime(files[number], ns=(about.st_atime_ns, about.st_mtime_ns))
    files[5].unlink()
    files[6].write_bytes(raws[7])  # another shard's
    files[7].write_bytes(raws[7] + b"\0")
    files[8].unlink()
    files[8].symlink_to(shard(job.reference, 8)[0])  # whole, but elsewhere
    mended(runs, job, finished, range(9))


def edited(receipt, change):
    stated = json.loads(receipt.read_text())
    change(stated)
    receipt.write_text(json.dumps(stated, indent=1) + "\n")


def less_by_one(stated):
    """One document fewer, consistently: every sum adds up, only the corpus knows better."""
    domain = next(iter(stated["domains"].values()))
    domain["documents"] -= 1
    for of in (stated, stated["score_file"]):
        of["rows" if of is stated["score_file"] else "scored"] -= 1
    stated["read"] -= 1


def one_more_skipped(stated):
    """The same, hidden in the skipped ones."""
    less_by_one(stated)
    stated["read"] += 1
    stated["skipped"].append({**stated["skipped"][0], "row": 5})


CHANGES = {
    "counts that do not add up": lambda stated: stated.update(scored=99),
    "a document fewer": less_by_one,
    "a document fewer, called skipped": one_more_skipped,
    "tokens": lambda stated: stated.update(tokens=stated["tokens"] + 1),
    "a domain without its sums": lambda stated: stated.update(domains={"a": {"documents": 4}}),
    "sums that are text": lambda stated: stated["domains"].update(
        {key: value | {"loss_base": "4"} for key, value in stated["domains"].items()}
    ),
    "other rows": lambda stated: stated["pieces"][0].__setitem__(1, 3),
    "not finite": lambda stated: stated.update(tokens=float("nan")),
    "another format": lambda stated: stated.update(format=99),
    "a key too many": lambda stated: stated.update(more=1),
    "other settings": lambda stated: stated["fingerprint"].update(mode="zero"),
    "a score file outside": lambda stated: stated["score_file"].update(path="../part.parquet"),
    "a list": None,
}


def test_receipts_that_say_something_else(runs, job, finished):
    for number, change in enumerate(CHANGES.values()):
        receipt = shard(finished, number)[1]
        if change is None:
            receipt.write_text("[]")
        else:
            edited(receipt, change)
    mended(runs, job, finished, range(len(CHANGES)))


def test_receipts_that_are_none(runs, job, finished, moments):
    receipts = [shard(finished, number)[1] for number in range(12)]
    raws = [receipt.read_bytes() for receipt in receipts]
    receipts[0].write_bytes(b"")
    receipts[1].write_bytes(raws[1][: moments.randrange(1, len(raws[1]) - 2)])
    receipts[2].write_bytes(raws[3])  # another shard's
    receipts[3].unlink()
    receipts[4].write_bytes(b"[" * 200_000)
    receipts[5].write_bytes(b'{"shard": ' + b"9" * 10_000 + b"}")
    with receipts[6].open("wb") as huge:  # a hole: of the disk it takes nothing
        huge.truncate(1 << 34)
    receipts[7].unlink()
    receipts[7].symlink_to("/dev/zero")  # whoever reads it reads for ever
    receipts[8].unlink()
    os.mkfifo(receipts[8])  # whoever opens it waits for ever
    receipts[9].unlink()
    receipts[9].symlink_to(shard(job.reference, 9)[1])  # a good one, elsewhere
    receipts[10].write_bytes(
        flipped(raws[10], moments.randrange(len(raws[10])), moments.randrange(7))
    )
    receipts[11].write_bytes(bytes(reversed(raws[11])))
    mended(runs, job, finished, range(12))


def test_every_bit_of_a_receipt_counts(runs, job, finished, moments):
    receipts = [shard(finished, number)[1] for number in range(20)]
    for receipt in receipts:
        raw = receipt.read_bytes()
        receipt.write_bytes(flipped(raw, moments.randrange(len(raw)), moments.randrange(7)))
    mended(runs, job, finished, range(20))


def test_a_folder_in_the_place_of_a_receipt_stops_the_run_by_name(runs, job, finished):
    receipt = shard(finished, 7)[1]
    receipt.unlink()
    receipt.mkdir()
    run = runs.start(job.corpus, finished)
    assert run.wait() == 1
    assert receipt.name in run.said["error"]
    assert not list(finished.rglob("*.tmp"))
    receipt.rmdir()
    mended(runs, job, finished, [7])


@pytest.mark.parametrize("record", [None, b"", b'{"model": ', b"[]"])
def test_a_record_that_cannot_be_read_is_named_and_a_missing_one_is_written(
    runs, job, finished, record
):
    (finished / "run.json").unlink()
    if record is not None:
        (finished / "run.json").write_bytes(record)
        run = runs.start(job.corpus, finished)
        assert run.wait() == 1
        assert "run.json cannot be read" in run.said["error"]
        (finished / "run.json").unlink()
    mended(runs, job, finished, [])
