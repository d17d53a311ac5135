"""Cases for head sets, run folders and manifests.

Whoever means harm states the right hashes: after the damage they are set right again, or nothing
behind the first check would ever be reached.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from fuzz.corpora import LONGEST_MESSAGE, check_message, damaged_parquet
from fuzz.mutations import TOKENS, as_json, changed, damaged
from workbench.corpus.document import Document, Skipped
from workbench.manifest.verification.verify import verify_manifest
from workbench.manifest.writing import write_manifest
from workbench.models.heads import HeadSet
from workbench.scoring.folder.reading import load_scores
from workbench.scoring.folder.receipts import read_receipt, receipt_path, write_scores
from workbench.scoring.shards import RowRange, Shard
from workbench.selection.ranking import select

_LONGEST_ROW = 1000  # characters of one row of a report

# ---- head sets ----------------------------------------------------------------------------------


def head_text(folder: Path, random: Random) -> Callable[[], str]:
    words = [f"L{random.randrange(12)}H{random.randrange(9)}" for _ in range(random.randrange(9))]
    data = random.choice((" ", ",", ", ", "\n", "\u3000")).join(words).encode()
    if random.random() < 0.9:
        data = damaged(data, random, TOKENS)
    text = data.decode("utf-8", random.choice(("replace", "surrogateescape")))
    shape = SimpleNamespace(
        num_layers=random.choice((1, 12, 99_999)), num_heads=random.choice((1, 9))
    )
    return lambda: _head_set(lambda: HeadSet.parse(text, shape))


def head_json(folder: Path, random: Random) -> Callable[[], str]:
    stored: Any = {
        "heads": "L1H2 L3H0",
        "layers": random.choice((4, 12, 30)),
        "heads_per_layer": random.choice((3, 9)),
        "origin": {"chosen": "top 5 %", "probes": {"seed": 0}},
    }
    if random.random() < 0.9:
        stored = changed(stored, random)
    given: Any = stored
    if random.random() < 0.7:
        given = as_json(stored, random).decode("utf-8", "surrogateescape")
    return lambda: _head_set(lambda: HeadSet.from_json(given))


def _head_set(make: Callable[[], HeadSet]) -> str:
    try:
        found = make()
    except ValueError as error:
        check_message(error, 600)
        return "refused"
    assert all(0 <= head.layer < found.layers for head in found)
    assert all(0 <= head.head < found.heads_per_layer for head in found)
    shape = SimpleNamespace(num_layers=found.layers, num_heads=found.heads_per_layer)
    assert HeadSet.parse(str(found), shape) == found
    assert HeadSet.from_json(found.to_json()) == found
    if found.layers * found.heads_per_layer < 10_000:
        assert len(found) + len(~found) == found.layers * found.heads_per_layer
    return "value"


# ---- run folders and manifests ------------------------------------------------------------------


@functools.cache
def _sound(old: bool, left_out: int = 0) -> dict[str, bytes]:
    """The files of a run folder with its manifest, by relative path.

    The run is of the first format of records, or of the present one, whose manifest states a
    mixture. So many of the scored documents were left out before the ranking.
    """
    from support.run_folders import lay_down_run
    from support.scored_runs import lay_down_present_run

    with tempfile.TemporaryDirectory() as workdir:
        folder = Path(workdir) / "run"
        table = lay_down_run(folder) if old else lay_down_present_run(folder)
        selection = select(table.keep(table.frame["row"] >= left_out), 0.3)
        mixture = None if old else _mixture(selection.domains["domain"].tolist())
        write_manifest(selection, folder, mixture=mixture)
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }


def _mixture(domains: list[str]) -> dict[str, Any]:
    """A term aiw:mixture as `BestMixture.to_json` gives it."""
    return {
        "shares": dict.fromkeys(domains, 1 / len(domains)),
        "seen": {domain: [0.0, 0.9] for domain in domains},
        "form": "exponential", "weights": {"one": 0.25, "two": 0.75}, "runs": 40,
        "runs_sha256": "c" * 64, "validation": 0.9, "predicted": 2.5, "low": 2.4, "high": 2.6,
        "distance": 0.1, "nearest_run": "7", "tool": "workbench 0.1.0",
    }  # fmt: skip


def _spoilt(
    folder: Path, random: Random, names: list[str], *, old: bool, left_out: int = 0
) -> None:
    """Lay down a sound folder in which one or two of the files `names` are damaged or odd.

    About one in eight is left sound: what is sound must not be refused.
    """
    files = dict(_sound(old, left_out))
    for name in random.sample(names, random.choice((0, 1, 1, 1, 1, 1, 1, 2))):
        files[name] = _damage(name, files[name], random)
    if random.random() < 0.8:
        _state_again(files)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    if random.random() < 0.12:
        _make_odd(folder, random.choice(list(files)), random)
    for odd in ("link", "scores/link"):
        if random.random() < 0.05 and not os.path.lexists(folder / odd):
            os.symlink("/etc/passwd", folder / odd)
    if random.random() < 0.05:
        os.mkfifo(folder / "pipe")


def _damage(name: str, data: bytes, random: Random) -> bytes:
    if name.endswith(".parquet"):
        return damaged_parquet(data, random)
    if name.endswith((".jsonl", ".sha256")):
        return damaged(data, random, [*TOKENS, *data.splitlines(keepends=True)])
    with contextlib.suppress(ValueError, RecursionError):  # not JSON any more: damaged before
        if random.random() < 0.8:
            return as_json(changed(json.loads(data), random), random)
    return damaged(data, random, TOKENS)


def _state_again(files: dict[str, bytes]) -> None:
    """Set sizes and hashes right along the whole chain, where it can still be read.

    That of a score file in its receipt, of the receipts in their list, of that in run.json and in
    the manifest.
    """
    receipts = [name for name in files if name.startswith("receipts/")]
    for name in receipts:
        _state_in(files, name, lambda receipt: [receipt["score_file"]])
    for name in receipts:
        stated = re.compile(b"[0-9a-f]{64}(?=  %s\n)" % name.encode())
        digest = hashlib.sha256(files[name]).hexdigest().encode()
        files["receipts.sha256"] = stated.sub(digest, files["receipts.sha256"])
    _state_in(files, "run.json", _files_of_run)
    _state_in(files, "manifest.json", lambda manifest: _files_of_run(manifest["aiw:run"]))
    _state_in(files, "manifest.json", lambda manifest: manifest["distribution"])


def _files_of_run(record: Any) -> list[Any]:
    return [*record.get("score_files", ()), record.get("receipts_file"), record["skipped_file"]]


def _state_in(files: dict[str, bytes], name: str, listed: Callable[[Any], Iterable[Any]]) -> None:
    """Set right what the JSON file `name` states of the files that `listed` finds in it."""
    with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError):
        value = json.loads(files[name])
        for entry in filter(lambda entry: isinstance(entry, dict), listed(value)):
            path = entry.get("path", entry.get("contentUrl"))
            if isinstance(path, str) and path in files:
                size = len(files[path])
                entry["sha256"] = hashlib.sha256(files[path]).hexdigest()
                entry |= {"bytes": size} if "path" in entry else {"contentSize": f"{size} B"}
        files[name] = json.dumps(value).encode()


def _make_odd(folder: Path, name: str, random: Random) -> None:
    """Put something else than a file in the place of one."""
    path = folder / name
    kind = random.randrange(5)
    path.unlink()
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.symlink_to(random.choice(("/dev/zero", "/etc/passwd", "nowhere", name)))
    elif kind == 3:
        with path.open("wb") as file:
            file.truncate(1 << 40)  # a terabyte of nothing
    elif path.parent != folder:
        shutil.rmtree(path.parent)
        path.parent.symlink_to(folder)  # nothing may be written outside of the case


def manifest(folder: Path, random: Random, *, old: bool = False) -> Callable[[], str]:
    names = [*_sound(old), *["manifest.json"] * 3, *["selection.parquet"] * 2]
    _spoilt(folder, random, names, old=old, left_out=random.choice((0, 5)))
    return lambda: _verified(folder)


def old_manifest(folder: Path, random: Random) -> Callable[[], str]:
    return manifest(folder, random, old=True)


def _verified(folder: Path) -> str:
    with mock.patch.object(tempfile, "tempdir", str(folder)):  # nothing is opened outside of it
        report = verify_manifest(folder, strict=False)
    rows = report.checks[["check", "ok", "detail"]]
    for check, ok, detail in rows.itertuples(index=False, name=None):
        assert ok in (True, False, None)
        assert 0 < len(check) < 200, f"a check's name of {len(check)} characters"
        assert 0 < len(detail) < _LONGEST_ROW, f"a detail of {len(detail)} characters"
        (check + detail).encode()
        assert "MemoryError" not in detail, detail
    return "passed" if report.ok else "failed rows"


def run_folder(folder: Path, random: Random, *, old: bool = False) -> Callable[[], str]:
    of_run = [name for name in _sound(old) if name not in ("manifest.json", "selection.parquet")]
    _spoilt(folder, random, of_run, old=old)
    return lambda: _loaded(folder)


def old_run_folder(folder: Path, random: Random) -> Callable[[], str]:
    return run_folder(folder, random, old=True)


def _loaded(folder: Path) -> str:
    try:
        load_scores(folder)
    except (ValueError, OSError) as error:
        check_message(error, LONGEST_MESSAGE)
        return "refused"
    return "value"


# ---- receipts -----------------------------------------------------------------------------------


@functools.cache
def _receipt() -> tuple[str, Any]:
    """The name and the contents of a receipt, as a run writes it."""
    documents = [Document(f"d{i}", f"text {i}", "xy"[i % 2], "a.jsonl", i) for i in range(6)]
    refused = (Skipped(None, None, "a.jsonl", 6, "not JSON"),)
    shard = Shard(0, (RowRange("a.jsonl", 0, 7),), 6, "f" * 64, refused)
    row = {"tokens": 9, "predicted": 8, "loss_base": 2.0, "loss_ref": 3.0, "score": 0.5}
    row |= {"compression_ratio": 1.0, "text_sha256": "a" * 64}
    rows = [
        row | {k: getattr(d, k) for k in ("doc_id", "domain", "source", "row")} for d in documents
    ]
    with tempfile.TemporaryDirectory() as workdir:
        for name in ("scores", "receipts"):
            (Path(workdir) / name).mkdir()
        written = write_scores(Path(workdir), shard, {"mode": "uniform", "heads": "L1H1"}, rows)
        path = receipt_path(Path(workdir), written.shard)
        return path.name, json.loads(path.read_bytes())


def receipt(folder: Path, random: Random) -> Callable[[], str]:
    name, value = _receipt()
    if random.random() < 0.9:
        value = changed(value, random)
    data = as_json(value, random)
    if random.random() < 0.3:
        data = damaged(data, random, TOKENS)
    path = folder / name
    path.write_bytes(data)
    if random.random() < 0.03:
        _make_odd(folder, name, random)
    return lambda: _read_receipt(path)


def _read_receipt(path: Path) -> str:
    try:
        found = read_receipt(path)
    except (ValueError, OSError) as error:
        check_message(error, 1000)
        return "refused"
    assert found.read == found.scored + len(found.skipped)
    assert found.score_file["path"] == f"scores/{found.shard}.parquet"
    return "value"
