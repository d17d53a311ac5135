"""One process that starts runs, one corpus and one undisturbed run of it for all fault tests."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.corpora import Place, lay_down
from faults.runs import Runs

# Another number gives other moments, and the same number the same ones as far as a machine's speed
# lets them be; it stands in the name of a failed test's folder.
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)


@dataclass(frozen=True)
class Job:
    """20 files of 6 rows, 4 documents among them; a file is a shard. reference: the folder of an
    undisturbed run in one process."""

    corpus: Path
    places: set[Place]
    reference: Path


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    made = Runs(tmp_path_factory.mktemp("faults"))
    yield made
    made.end()


@pytest.fixture(scope="session")
def job(runs, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("job")
    made = Job(workdir / "corpus", lay_down(workdir / "corpus"), workdir / "reference")
    report = runs.run(made.corpus, made.reference)
    assert (report["read"], report["scored"], report["shards"]) == (120, 80, 20)
    return made


@pytest.fixture
def moments():
    print(f"FAULTS_SEED={SEED}")  # pytest shows it when the test fails
    return random.Random(SEED)
