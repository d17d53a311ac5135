"""Every fault with the full number, by hand: prints the table of tests/FAULTS.md."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from faults.corpora import Place, lay_down, reword
from faults.disks import ext4_disk, small_disk
from faults.kills import Figures, crash_everywhere, kill_parts, kill_runs, kill_workers
from faults.runs import Runs
from faults.whole import account, stamps


@dataclass(frozen=True)
class Bench:
    """Where the sections work: 20 files, a shard each, and an undisturbed run of them."""

    runs: Runs
    corpus: Path
    places: set[Place]
    reference: Path
    rounds: int

    def killed(
        self, how: Callable[..., Figures], room: Path, seed: str, **given: object
    ) -> Figures:
        return how(
            self.runs, self.corpus, self.places, self.reference, room, 20 * self.rounds,
            random.Random(seed), **given,
        )  # fmt: skip


def crashes(bench: Bench, room: Path, seed: str) -> Figures:
    """A crash before each touch of a new folder, and of one whose corpus was changed."""
    corpus, old = room / "new" / "corpus", room / "old" / "corpus"
    places = lay_down(corpus, files=3)
    lay_down(old, files=4)
    reword(old, (0, 2))
    bench.runs.run(old, room / "finished")

    def changed(folder: Path) -> tuple[Path, set[Place]]:
        shutil.copytree(room / "finished", folder)
        return corpus, places

    figures, random_ = Figures(), random.Random(seed)
    for name, prepare in (("fresh", lambda folder: (corpus, places)), ("changed", changed)):
        (room / name).mkdir()
        figures.kills += crash_everywhere(bench.runs, room / name, prepare, random_)
    return figures


def full(bench: Bench, room: Path, kind: str) -> Figures:
    """A disk that is full, made larger by 4 KiB (ext4: 16 KiB freed) until the run is through."""
    figures, disk = Figures(), room / "disk"
    step, most = (4, 512) if kind == "tmpfs" else (16, 1024)
    made = small_disk(disk, most) if kind == "tmpfs" else ext4_disk(disk, most)
    with made:
        ballast = []
        while shutil.disk_usage(disk).free > 16 * 1024:  # in small files, to be removed one by one
            ballast.append(disk / f"ballast-{len(ballast)}")
            ballast[-1].write_bytes(b"\0" * step * 1024)
        while True:
            before = stamps(disk / "run")
            run = bench.runs.start(bench.corpus, disk / "run")
            if run.wait() == 0:
                break
            assert "No space left on device" in run.said["error"], run.said
            assert not list(disk.rglob("*.tmp"))
            now = stamps(disk / "run")
            figures.rewritten += sum(
                now.get(name) != stamp for name, stamp in before.items() if "receipts/" in name
            )
            figures.kills += 1
            ballast.pop().unlink()
        figures.accounts.append(
            account(disk / "run", bench.reference, bench.places, bench.runs.tmp)
        )
    return figures


def together(bench: Bench, room: Path) -> Figures:
    """Two runs started at once."""
    figures = Figures()
    for number in range(20 * bench.rounds):
        folder = room / str(number)
        both = [bench.runs.start(bench.corpus, folder) for _ in range(2)]
        assert sorted(run.wait() for run in both) == [0, 1]
        figures.kills += 1
        figures.accounts.append(account(folder, bench.reference, bench.places, bench.runs.tmp))
    return figures


def damaged(bench: Bench, room: Path, seed: str) -> Figures:
    """A random bit of every score file or receipt flipped, or its end cut off."""
    figures, random_ = Figures(), random.Random(seed)
    folder = shutil.copytree(bench.reference, room / "run")
    for _ in range(20 * bench.rounds):
        paths = sorted(folder.glob(random_.choice(["scores/part-*", "receipts/part-*"])))
        for path in paths:
            raw, at = bytearray(path.read_bytes()), random_.randrange(path.stat().st_size)
            if random_.random() < 0.2:
                del raw[at:]
            else:
                raw[at] ^= 1 << random_.randrange(8)
            path.write_bytes(raw)
        figures.kills += len(paths)
        assert bench.runs.run(bench.corpus, folder)["kept"] == 0
        figures.accounts.append(account(folder, bench.reference, bench.places, bench.runs.tmp))
    return figures


SECTIONS: dict[str, Callable[[Bench, Path, str], Figures]] = {
    "run killed": lambda b, room, seed: b.killed(kill_runs, room, seed),
    "run killed, clock jumping": lambda b, room, seed: b.killed(kill_runs, room, seed, clock=True),
    "parts killed": lambda b, room, seed: b.killed(kill_parts, room, seed),
    "run and its 2 workers killed": lambda b, room, seed: b.killed(
        kill_runs, room, seed, workers=2
    ),
    "single workers of 2 killed": lambda b, room, seed: b.killed(kill_workers, room, seed),
    "killed before each touch": crashes,
    "disk full, tmpfs": lambda b, room, seed: full(b, room, "tmpfs"),
    "disk full, ext4": lambda b, room, seed: full(b, room, "ext4"),
    "two runs at once": lambda b, room, seed: together(b, room),
    "files damaged": damaged,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="of 20 kills, each section")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--only", choices=SECTIONS, nargs="*", default=list(SECTIONS))
    asked = parser.parse_args()
    packages = ("torch", "transformers", "pyarrow", "filelock")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(f"{datetime.date.today()}, {machine}, {versions}, seed {asked.seed}\n")
    print("| what was done | how often | lost | doubled | finished shards redone | "
          "shards redone, at most a killed process | bytes equal | seconds |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    whole = True
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        room = Path(name)
        places, runs = lay_down(room / "corpus"), Runs(room)
        runs.run(room / "corpus", room / "reference")
        bench = Bench(runs, room / "corpus", places, room / "reference", asked.rounds)
        for number, section in enumerate(asked.only):
            (room / str(number)).mkdir()
            began = time.monotonic()
            figures = SECTIONS[section](bench, room / str(number), asked.seed)
            whole &= _row(section, figures, time.monotonic() - began)
        runs.end()
    return not whole


def _row(section: str, figures: Figures, seconds: float) -> bool:
    lost = sum(account.lost for account in figures.accounts)
    doubled = sum(account.doubled for account in figures.accounts)
    redone = f"{figures.most_a_kill:g}" if figures.killed else "-"
    equal = not any(account.different or account.left for account in figures.accounts)
    print(f"| {section} | {figures.kills} | {lost} | {doubled} | {figures.rewritten} | "
          f"{redone} | {'yes' if equal else 'NO'} | {seconds:.0f} |",
          flush=True)  # fmt: skip
    return not lost and not doubled and equal and not figures.rewritten and figures.most_a_kill <= 1


if __name__ == "__main__":
    sys.exit(main())
