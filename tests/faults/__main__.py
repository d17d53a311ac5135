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
class Setup:
    """Where the sections work: 20 files, a shard each, and an undisturbed run of them."""

    runs: Runs
    corpus: Path
    places: set[Place]
    reference: Path
    rounds: int

    def killed(
        self, how: Callable[..., Figures], workdir: Path, seed: str, **given: object
    ) -> Figures:
        return how(
            self.runs, self.corpus, self.places, self.reference, workdir, 20 * self.rounds,
            random.Random(seed), **given,
        )  # fmt: skip


def crashes(setup: Setup, workdir: Path, seed: str) -> Figures:
    """A crash before each touch of a new folder, and of one whose corpus was changed."""
    corpus, old = workdir / "new" / "corpus", workdir / "old" / "corpus"
    places = lay_down(corpus, files=3)
    lay_down(old, files=4)
    reword(old, (0, 2))
    setup.runs.run(old, workdir / "finished")

    def changed(folder: Path) -> tuple[Path, set[Place]]:
        shutil.copytree(workdir / "finished", folder)
        return corpus, places

    figures, random_ = Figures(), random.Random(seed)
    for name, prepare in (("fresh", lambda folder: (corpus, places)), ("changed", changed)):
        (workdir / name).mkdir()
        figures.kills += crash_everywhere(setup.runs, workdir / name, prepare, random_)
    return figures


def full(setup: Setup, workdir: Path, kind: str) -> Figures:
    """A disk that is full, made larger by 4 KiB (ext4: 16 KiB freed) until the run is through."""
    figures, disk = Figures(), workdir / "disk"
    step, most = (4, 512) if kind == "tmpfs" else (16, 1024)
    made = small_disk(disk, most) if kind == "tmpfs" else ext4_disk(disk, most)
    with made:
        ballast = []
        while shutil.disk_usage(disk).free > 16 * 1024:  # in small files, to be removed one by one
            ballast.append(disk / f"ballast-{len(ballast)}")
            ballast[-1].write_bytes(b"\0" * step * 1024)
        while True:
            before = stamps(disk / "run")
            run = setup.runs.start(setup.corpus, disk / "run")
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
            account(disk / "run", setup.reference, setup.places, setup.runs.tmp)
        )
    return figures


def together(setup: Setup, workdir: Path) -> Figures:
    """Two runs started at once."""
    figures = Figures()
    for number in range(20 * setup.rounds):
        folder = workdir / str(number)
        both = [setup.runs.start(setup.corpus, folder) for _ in range(2)]
        assert sorted(run.wait() for run in both) == [0, 1]
        figures.kills += 1
        figures.accounts.append(account(folder, setup.reference, setup.places, setup.runs.tmp))
    return figures


def damaged(setup: Setup, workdir: Path, seed: str) -> Figures:
    """A random bit of every score file or receipt flipped, or its end cut off."""
    figures, random_ = Figures(), random.Random(seed)
    folder = shutil.copytree(setup.reference, workdir / "run")
    for _ in range(20 * setup.rounds):
        paths = sorted(folder.glob(random_.choice(["scores/part-*", "receipts/part-*"])))
        for path in paths:
            raw, at = bytearray(path.read_bytes()), random_.randrange(path.stat().st_size)
            if random_.random() < 0.2:
                del raw[at:]
            else:
                raw[at] ^= 1 << random_.randrange(8)
            path.write_bytes(raw)
        figures.kills += len(paths)
        assert setup.runs.run(setup.corpus, folder)["kept"] == 0
        figures.accounts.append(account(folder, setup.reference, setup.places, setup.runs.tmp))
    return figures


SECTIONS: dict[str, Callable[[Setup, Path, str], Figures]] = {
    "run killed": lambda b, workdir, seed: b.killed(kill_runs, workdir, seed),
    "run killed, clock jumping": lambda b, workdir, seed: b.killed(
        kill_runs, workdir, seed, clock=True
    ),
    "parts killed": lambda b, workdir, seed: b.killed(kill_parts, workdir, seed),
    "run and its 2 workers killed": lambda b, workdir, seed: b.killed(
        kill_runs, workdir, seed, workers=2
    ),
    "single workers of 2 killed": lambda b, workdir, seed: b.killed(kill_workers, workdir, seed),
    "killed before each touch": crashes,
    "disk full, tmpfs": lambda b, workdir, seed: full(b, workdir, "tmpfs"),
    "disk full, ext4": lambda b, workdir, seed: full(b, workdir, "ext4"),
    "two runs at once": lambda b, workdir, seed: together(b, workdir),
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
        workdir = Path(name)
        places, runs = lay_down(workdir / "corpus"), Runs(workdir)
        runs.run(workdir / "corpus", workdir / "reference")
        setup = Setup(runs, workdir / "corpus", places, workdir / "reference", asked.rounds)
        for number, section in enumerate(asked.only):
            (workdir / str(number)).mkdir()
            began = time.monotonic()
            figures = SECTIONS[section](setup, workdir / str(number), asked.seed)
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
