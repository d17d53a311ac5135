"""The fixtures that tests of several packages share.

What loads torch is imported where it is used: the process that only hands the tests out to others
(`--numprocesses`) would load it for nothing, and they would wait for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import workbench as wb


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests of real kernels are collected everywhere, and run where there is a device."""
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("not run: it needs a CUDA device")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many kernels were not tried out: a green run must not look like a proof of them."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum("cuda" in getattr(report, "keywords", {}) for report in skipped)
    if count:
        terminalreporter.write_line(
            f"NOT RUN: {count} tests marked cuda, for want of a CUDA device. What they hold to the "
            "oracle was not tried out here.",
            yellow=True,
        )


@pytest.fixture(autouse=True)
def registered_for_one_test() -> Iterator[None]:
    """What a test registers by name in the process is not known to the next one."""
    from workbench.masking import references
    from workbench.scoring.columns import own_columns

    registries: list[dict[str, Any]] = [references._known, own_columns._REGISTERED]
    before = [dict(registry) for registry in registries]
    yield
    for registry, known in zip(registries, before, strict=True):
        registry.clear()
        registry.update(known)


@pytest.fixture
def nothing_scored(monkeypatch: pytest.MonkeyPatch) -> Callable[[wb.Model, wb.HeadSet], None]:
    """From its call on, to score a document fails the test; it shows first that it would."""
    from workbench.scoring import worker

    def refuse(model: wb.Model, heads: wb.HeadSet) -> None:
        monkeypatch.setattr(worker, "scored", lambda *_: pytest.fail("scored again"))
        with pytest.raises(pytest.fail.Exception, match="scored again"):
            wb.score_corpus(model, heads, [{"id": "new", "text": "one two"}])

    return refuse


@pytest.fixture(scope="session")
def tiny() -> wb.Model:
    from support.models import make_model

    return make_model()


@pytest.fixture(scope="session")
def default() -> wb.Model:
    """The embedded default model (fetched and converted on first use)."""
    return wb.load_model()
