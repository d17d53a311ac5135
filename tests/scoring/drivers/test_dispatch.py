"""Who scores the shards: which driver gets them, and which workers are refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from workbench.scoring.drivers import dispatch
from workbench.scoring.drivers.dispatch import drive, require_workers
from workbench.scoring.worker import ProgressDelta


def model_on(device):
    return SimpleNamespace(device=torch.device(device))


@pytest.mark.parametrize("workers", [2, ["cpu"], ["cuda:0", "cpu"], ["mps"]])
def test_devices_of_another_kind_than_the_models_are_refused(workers):
    with pytest.raises(ValueError, match="on cuda, and scores of different devices are not mixed"):
        require_workers(model_on("cuda:0"), workers, "local", None)


@pytest.mark.parametrize("workers", [0, -1, 1.5, [], [0], "cpu", {"cpu"}])
def test_what_are_no_workers_is_refused(workers):
    with pytest.raises(ValueError, match=r"a number from 1 or a list of devices.*got"):
        require_workers(model_on("cpu"), workers, "local", None)


@pytest.mark.parametrize(
    ("device", "workers", "driver", "timeout"),
    [
        ("cpu", None, "local", None),
        ("cpu", 2, "local", 60.0),
        ("cpu", ["cpu", "cpu"], "local", None),
        ("cuda:1", ["cuda:0"], "local", None),
        ("cuda", None, "ray", 60.0),
        ("cuda", 2, "ray", None),  # the cluster has the devices
    ],
)
def test_workers_that_can_score_are_taken(device, workers, driver, timeout):
    require_workers(model_on(device), workers, driver, timeout)


def test_other_drivers_and_a_limit_for_this_process_are_refused():
    with pytest.raises(ValueError, match="driver must be 'local' or 'ray', got 'slurm'"):
        require_workers(model_on("cpu"), 1, "slurm", None)
    with pytest.raises(ValueError, match="give workers=1 or more with it"):
        require_workers(model_on("cpu"), None, "local", 60.0)


@pytest.fixture
def asked(monkeypatch):
    """What each way of scoring was given, in order; the shards themselves are the outcomes."""
    given = []

    class Here:
        def __init__(self, model, job):
            given.append(("here", job))

        def score(self, shard, documents):
            given.append((shard, documents))
            yield shard

    def elsewhere(name):
        def drive(model, job, shards, workers):
            given.append((name, job, shards, workers))
            yield from shards

        return drive

    monkeypatch.setattr(dispatch, "ShardWorker", Here)
    monkeypatch.setattr(dispatch.local, "drive", elsewhere("local"))
    monkeypatch.setattr(dispatch.ray, "drive", elsewhere("ray"))
    return given


def test_this_process_takes_the_shards_one_by_one(asked):
    def work():
        for number in range(3):
            asked.append(("cut", number))
            yield number, (f"d{number}",)

    outcomes = list(drive(None, "job", work(), None, "local"))
    assert [one for one in outcomes if not isinstance(one, ProgressDelta)] == [0, 1, 2]
    assert asked == [
        ("here", "job"), ("cut", 0), (0, ("d0",)), ("cut", 1), (1, ("d1",)),
        ("cut", 2), (2, ("d2",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("workers", "driver", "expected"), [(2, "local", "local"), (["cpu"], "local", "local"),
                                        (None, "ray", "ray"), (2, "ray", "ray")],
)  # fmt: skip
def test_other_workers_get_all_shards_and_no_documents(asked, workers, driver, expected):
    work = [("a", None), ("b", ("unread",))]
    assert list(drive(None, "job", iter(work), workers, driver)) == ["a", "b"]
    assert asked == [(expected, "job", ["a", "b"], workers)]
    asked.clear()
    assert list(drive(None, "job", iter([]), workers, driver)) == []  # nobody is started
    assert asked == []
