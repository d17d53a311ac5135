"""A corpus that changes between runs, and clocks that jump."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from faults.corpora import lay_down, lay_down_parquet, reword
from faults.gate import Gate
from faults.whole import account, require_whole, stamps


def lay_down_mixed(folder):
    """Three files whose shards straddle them."""
    places = lay_down(folder, files=2, rows=9, words=8)
    return places | lay_down_parquet(folder / "02.parquet", 11)


def appended(folder):
    with (folder / "01.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "text": "a document more", "domain": "a"}) + "\n")
    return {("01.jsonl", 9)}, set()


def edited_in_place(folder):
    """The same size, and the same time of writing."""
    path = folder / "00.jsonl"
    about = path.stat()
    text = path.read_text()
    at = text.rindex("word")
    path.write_text(text[:at] + "lord" + text[at + 4 :])
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size
    return set(), set()


def removed(folder):
    path = folder / "00.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3] + lines[5:]))
    return set(), {("00.jsonl", 7), ("00.jsonl", 8)}


def replaced(folder):
    (folder / "01.jsonl").unlink()
    return lay_down_parquet(folder / "01.parquet", 6, 1), {("01.jsonl", row) for row in range(10)}


def emptied(folder):
    (folder / "02.parquet").unlink()
    return set(), {("02.parquet", row) for row in range(11)}


CHANGES = (appended, edited_in_place, removed, replaced, emptied)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_corpus_that_changes_between_runs(runs, tmp_path, parts):
    """Each change in turn on one folder; by parts, the last one changes what the first has done."""
    corpus, folder = tmp_path / "corpus", tmp_path / "run"
    places = lay_down_mixed(corpus)
    for number, change in enumerate((lambda folder: (set(), set()), *CHANGES)):
        more, fewer = change(corpus)
        places = (places | more) - fewer
        reference = tmp_path / f"reference-{number}"
        runs.run(corpus, reference)
        if parts == 1:
            report = runs.run(corpus, folder)
            assert report["shards"] - report["kept"] > 0 or change is emptied
        for _ in range(3):  # a part that saw nothing of a change is asked again
            if parts > 1:
                reports = [runs.run(corpus, folder, part=(i, parts)) for i in (1, 2)]
                if reports[-1]["finished"] and not reports[0]["tokens"]:
                    break
        if parts > 1 and change is edited_in_place:  # parts compare sizes; a whole run, all bytes
            runs.run(corpus, folder, part=(1, 1))
        made = account(folder, reference, places, runs.tmp)
        assert made.whole, (change, made)
        require_whole(runs, corpus, folder, reference, places)


def test_times_of_writing_mean_nothing_and_a_clock_may_jump(runs, job, tmp_path):
    corpus, folder = shutil.copytree(job.corpus, tmp_path / "corpus"), tmp_path / "run"
    jumping = {"clock": True}
    runs.run(corpus, folder, faults=jumping)
    assert account(folder, job.reference, job.places, runs.tmp).whole
    for seconds in (1, 4_000_000_000):  # 1970 and 2096
        for path in [*corpus.iterdir(), *folder.rglob("part-*"), folder / "run.json"]:
            os.utime(path, (seconds, seconds))
        before = stamps(folder)
        report = runs.run(corpus, folder, faults=jumping)
        assert (report["kept"], report["tokens"]) == (20, 0)
        assert stamps(folder) == before
    require_whole(runs, corpus, folder, job.reference, job.places)


def test_a_damaged_catalogue_is_made_anew(runs, job, moments, tmp_path):
    folder = tmp_path / "run"
    for part in ((1, 2), (2, 2)):
        runs.run(job.corpus, folder, part=part)
    shard_index = folder / "catalogue.jsonl"
    raw = shard_index.read_bytes()
    digit = moments.choice([at for at, byte in enumerate(raw) if chr(byte) in "123456"])
    damages = (b"", raw[: len(raw) // 2], raw[:-80], raw[:digit] + b"7" + raw[digit + 1 :])
    for damage in damages:
        shard_index.write_bytes(damage)
        report = runs.run(job.corpus, folder, part=(2, 2))
        assert (report["kept"], report["tokens"], report["finished"]) == (10, 0, True)
        assert shard_index.read_bytes() == raw
    require_whole(runs, job.corpus, folder, job.reference, job.places)


def test_a_part_that_saw_no_change_leaves_the_new_shards_of_another_alone(runs, job, tmp_path):
    corpus, folder = shutil.copytree(job.corpus, tmp_path / "corpus"), tmp_path / "run"
    runs.run(corpus, folder)
    reword(corpus, range(1, 20, 2))  # all of the second part
    gate = Gate(tmp_path / "gate", at=3)
    second = runs.start(corpus, folder, part=(2, 2), faults=gate.faults)
    gate.wait(by=[second])
    new = stamps(folder)
    assert len(new) == 40 + 2 * 2 + 1  # two new shards, and the score file of a third
    first = runs.run(corpus, folder, part=(1, 2))
    assert (first["kept"], first["tokens"]) == (10, 0)
    assert not first["finished"]
    assert stamps(folder) == new
    gate.open()
    assert second.wait() == 0
    assert second.said["report"]["finished"]
    runs.run(corpus, tmp_path / "reference")
    require_whole(runs, corpus, folder, tmp_path / "reference", job.places)
