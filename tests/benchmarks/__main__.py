"""The command: `make bench`, or in tests/ `python -m benchmarks --only scoring --rounds 7`.

With `--device cuda` it measures one GPU and nothing else, and needs no model and no network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from benchmarks import (
    clicks,
    detection,
    device,
    growth,
    memory,
    report,
    scoring,
    selection,
    sessions,
    sliders,
)
from benchmarks.settings import NAMES, Settings, circumstances

SECTIONS = {
    module.NAME: module
    for module in (scoring, sessions, clicks, sliders, memory, growth, detection, selection, device)
}
ON_CPU = [name for name in SECTIONS if name != device.NAME]


def main() -> int:
    asked = _arguments()
    on_device = asked.device is not None
    if not on_device:
        from workbench.loading import default_model

    quick = {"rounds": 1, "documents": 6, "longest": 256, "rows": 20_000} if asked.quick else {}
    given = {
        "rounds": asked.rounds, "documents": asked.documents, "longest": asked.longest,
        "rows": asked.rows,
    }  # fmt: skip
    chosen = {key: value for key, value in given.items() if value is not None}
    settings = Settings(
        model=None if on_device else default_model.ensure(),
        device=asked.device or "cpu",
        price=asked.price,
        quick=asked.quick,
        contestants=tuple(asked.contestants),
        **{**quick, **chosen},
    )
    where = circumstances(settings)

    def save(name: str, measured: dict[str, Any]) -> None:
        report.keep(settings.out, name, measured, where)
        report.write(settings.out, SECTIONS.values())

    try:
        for name in [] if asked.render else [device.NAME] if on_device else asked.only:
            print(f"== {SECTIONS[name].TITLE}", flush=True)
            saving: Callable[[dict[str, Any]], None] = partial(save, name)
            SECTIONS[name].run(settings, saving)
    except KeyboardInterrupt:
        print("stopped; what was measured is kept", file=sys.stderr)
        return 130
    finally:
        print(report.write(settings.out, SECTIONS.values()))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help="of the scoring section (default 7)")
    parser.add_argument("--documents", type=int, help="of the scoring section (default 56)")
    parser.add_argument("--longest", type=int, help="tokens of its longest (default 1,024)")
    parser.add_argument("--rows", type=int, help="of the selection section (default 2,000,000)")
    parser.add_argument("--only", type=_listed(ON_CPU), default=ON_CPU, help=", ".join(ON_CPU))
    parser.add_argument(
        "--contestants", type=_listed(NAMES), default=list(NAMES), help=", ".join(NAMES)
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes, results in .bench/quick only"
    )
    parser.add_argument(
        "--device", help="cuda, cuda:1: measure this device alone, with random weights"
    )
    parser.add_argument(
        "--price", type=float, help="with --device, of an hour of it: what 241 B tokens would cost"
    )
    parser.add_argument(
        "--render", action="store_true", help="measure nothing, write RESULTS.md from results.json"
    )
    asked = parser.parse_args()
    if asked.price is not None and not (asked.device and 0 < asked.price < float("inf")):
        parser.error("--price is a number above 0, of an hour of the --device that is measured")
    return asked


def _listed(known: Iterable[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return names

    return read


if __name__ == "__main__":
    sys.exit(main())
