"""Run the fuzzer and print what came of it; exit status 1 if anything was found."""

from __future__ import annotations

import argparse
import collections
import datetime
import platform
import sys
import time
from importlib.metadata import version

from fuzz.parent import run
from fuzz.targets import TARGETS, shares


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="in all, over every target")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--target", choices=TARGETS, help="one target only")
    parser.add_argument("--only", type=int, help="one case of that target, by its number")
    given = parser.parse_args()
    counts = {given.target: given.cases} if given.target else shares(given.cases)
    plan = [(name, 0, count) for name, count in counts.items() if count]
    if given.only is not None:
        plan = [(given.target, given.only, given.only + 1)]
    began = time.monotonic()
    results = run(plan, given.seed)
    packages = ", ".join(f"{name} {version(name)}" for name in ("pyarrow", "pandas", "numpy"))
    print(f"{datetime.date.today()}, seed {given.seed}, Python {platform.python_version()}, "
          f"{packages}, {time.monotonic() - began:.0f} s\n")  # fmt: skip
    print(f"{'target':16} {'cases':>8} {'findings':>8}  outcomes")
    for name, result in results.items():
        outcomes = ", ".join(f"{outcome} {n:,}" for outcome, n in sorted(result.outcomes.items()))
        print(f"{name:16} {result.cases:8} {len(result.findings):8}  {outcomes}")
    total = sum(result.cases for result in results.values())
    found = [(name, at, what) for name, r in results.items() for at, what in r.findings.items()]
    print(f"{'all':16} {total:8} {len(found):8}\n")
    kinds = collections.defaultdict(list)
    for name, at, what in found:
        kinds[name, what[-60:]].append((at, what))
    for (name, _), group in sorted(kinds.items(), key=lambda item: -len(item[1])):
        print(f"{len(group):6} x {name}, first case {group[0][0]}: {group[0][1]}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
