"""How the files of a run hang on one digest, in a record that is short for any number of shards."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess

import pytest
from support.corpora import FIFTY
from support.run_folders import edit_json, failures, lay_down_manifest, of_older_format

import workbench as wb
from workbench.core.files import sha256_of
from workbench.scoring.folder import receipts


@pytest.fixture(scope="module")
def whole(tiny, heads, tmp_path_factory):
    """A run of a few shards with a skipped document, and its manifest; no test changes it."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    rows = [*FIFTY[:20], {"id": "x", "text": " "}]
    table = wb.score_corpus(tiny, heads, rows, folder, shard_size=8)
    wb.write_manifest(wb.select(table), folder)
    return folder


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def test_the_list_is_what_sha256sum_checks(run):
    done = subprocess.run(
        ["sha256sum", "-c", "receipts.sha256"], cwd=run, capture_output=True, text=True, check=True
    )
    assert done.stdout.count(": OK") == len(list((run / "receipts").iterdir())) == 3


def test_every_file_of_the_run_is_under_a_digest_of_the_manifest(run):
    """From the manifest down, by hand."""
    manifest = json.loads((run / "manifest.json").read_text())
    listed = {file["contentUrl"]: file["sha256"] for file in manifest["distribution"]}
    for line in (run / "receipts.sha256").read_text().splitlines():
        digest, path = line.split("  ")
        listed[path] = digest
        file = json.loads((run / path).read_text())["score_file"]
        listed[file["path"]] = file["sha256"]
    there = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    assert there - {"manifest.json", ".lock", ".door"} == set(listed)
    assert {name: sha256_of(run / name) for name in listed} == listed


def test_record_and_manifest_do_not_grow_with_the_shards(tiny, heads, tmp_path):
    sizes = {}
    for size in (1, 25):
        folder = tmp_path / str(size)
        table = wb.score_corpus(tiny, heads, FIFTY, folder, shard_size=size)
        assert len(list((folder / "receipts").iterdir())) == 50 / size
        manifest = wb.write_manifest(wb.select(table), folder)
        assert wb.verify_manifest(folder).ok
        assert len(wb.load_scores(folder)) == 50
        sizes[size] = [(folder / "run.json").stat().st_size, manifest.stat().st_size]
    # Numbers of more digits, and nothing else.
    assert all(abs(size - other) < 100 for size, other in zip(*sizes.values(), strict=True))


def other_reason(path):
    """A receipt that gives another reason for what was skipped, with a checksum that fits."""
    value = json.loads(path.read_text())
    value["skipped"][0]["reason"] = "it was boring"
    value["checksum"] = ""
    text = json.dumps(value, indent=1) + "\n"
    value["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(value, indent=1) + "\n")


def last_receipt(run):
    return max((run / "receipts").iterdir())


def stray(run, name):
    path = next((run / name).iterdir())
    shutil.copy(path, path.with_stem(path.stem[:-1] + "g"))


DAMAGES = {
    "another reason": (lambda run: other_reason(last_receipt(run)), "receipts"),
    "a receipt is gone": (lambda run: last_receipt(run).unlink(), "receipts"),
    "a receipt more": (lambda run: stray(run, "receipts"), "receipts"),
    "a score file more": (lambda run: stray(run, "scores"), "score files"),
    "a score file is gone": (lambda run: max((run / "scores").iterdir()).unlink(), "score files"),
    "a score file of others": (
        lambda run: shutil.copy(*sorted((run / "scores").iterdir())[:2]),
        "score files",
    ),
    "a list of others": (
        lambda run: (run / "receipts.sha256").write_bytes(b""),
        "file 'receipts.sha256'",
    ),
}


@pytest.mark.parametrize(("damage", "check"), DAMAGES.values(), ids=DAMAGES)
def test_what_lies_below_the_list_cannot_be_changed_unseen(run, damage, check):
    damage(run)
    assert check in failures(run)
    table = wb.verify_manifest(run, strict=False).checks.set_index("check")
    assert table.loc["rows are the scored rows", "ok"] is None  # not held against damaged files


@pytest.mark.parametrize("term", ["sha256", "rows", "path"])
def test_a_record_that_speaks_of_another_list_is_refused(run, term):
    """Whoever changes the record too has to change the manifest, whose digests are then others."""

    def change(record):
        stated = record["receipts_file"]
        stated[term] = {"sha256": "0" * 64, "rows": 9, "path": "../receipts.sha256"}[term]

    edit_json(run / "manifest.json", lambda manifest: change(manifest["aiw:run"]))
    assert failures(run)
    edit_json(run / "run.json", change)
    if term != "rows":
        with pytest.raises(ValueError, match=r"receipts\.sha256"):
            wb.load_scores(run)


@pytest.mark.parametrize(
    "damage",
    [lambda run: other_reason(last_receipt(run)), lambda run: last_receipt(run).unlink(),
     lambda run: (run / "receipts.sha256").write_text("x\n"),
     lambda run: shutil.rmtree(run / "receipts"), lambda run: shutil.rmtree(run / "scores")],
    ids=["another reason", "gone", "no list", "no receipts", "no scores"],
)  # fmt: skip
def test_scores_are_not_loaded_past_a_damage_and_the_same_call_mends_it(tiny, heads, run, damage):
    before = wb.load_scores(run)
    damage(run)
    with pytest.raises(ValueError, match=r"changed since|cannot be read"):
        wb.load_scores(run)
    rows = [*FIFTY[:20], {"id": "x", "text": " "}]
    wb.score_corpus(tiny, heads, rows, run, shard_size=8)
    again = wb.load_scores(run)
    assert again.frame.equals(before.frame)
    assert again.skipped == before.skipped


@pytest.fixture
def nothing_large_hashed(monkeypatch):
    """To hash a large file fails the test: for a terabyte it takes an hour."""

    def hashed(path):
        assert path.stat().st_size < 1 << 28
        return sha256_of(path)

    monkeypatch.setattr(receipts, "sha256_of", hashed)


@pytest.mark.parametrize("size", [(1 << 28) + 1, 1 << 40])
def test_a_receipt_of_any_size_is_refused_unread(tiny, heads, run, size, nothing_large_hashed):
    with last_receipt(run).open("r+b") as file:
        file.truncate(size)
    with pytest.raises(ValueError, match="was changed since the run ended"):
        wb.load_scores(run)
    assert "receipts" in failures(run)
    rows = [*FIFTY[:20], {"id": "x", "text": " "}]
    assert wb.run_scoring(tiny, heads, rows, run, shard_size=8).redone == 1


def test_a_score_file_of_any_size_is_scored_again(tiny, heads, run, nothing_large_hashed):
    with max((run / "scores").iterdir()).open("r+b") as file:
        file.truncate(1 << 40)
    rows = [*FIFTY[:20], {"id": "x", "text": " "}]
    assert wb.run_scoring(tiny, heads, rows, run, shard_size=8).redone == 1


def test_a_manifest_may_be_published_without_the_run(run):
    for name in ("scores", "receipts"):
        shutil.rmtree(run / name)
    for name in ("receipts.sha256", "skipped.jsonl", "run.json"):
        (run / name).unlink()

    def alone(manifest):
        manifest["distribution"] = manifest["distribution"][:1]

    edit_json(run / "manifest.json", alone)
    report = wb.verify_manifest(run)
    table = report.checks.set_index("check")
    assert table.loc["receipts", "ok"] is None
    assert table.loc["rows are the scored rows", "ok"] is None
    assert table.loc["ranks and thresholds", "ok"] is True


def test_manifests_and_runs_of_the_format_before_still_hold(tmp_path):
    """Their records list the score files, and nothing of receipts."""
    folder = lay_down_manifest(tmp_path / "run")
    of_older_format(folder, 2)
    assert wb.verify_manifest(folder).ok
    assert len(wb.load_scores(folder)) == 24
    wb.select_files(folder)
    assert wb.verify_manifest(folder).ok
