"""Several GPUs: which worker gets which. The cards are not there; who asks for them is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import workbench as wb
from workbench.cli.shared import workers_of
from workbench.scoring.drivers import dispatch, local, ray


@pytest.fixture
def on_cuda(tiny, monkeypatch):
    """A model that says it is on a card, and a machine that has two."""
    monkeypatch.setattr(wb.Model, "device", torch.device("cuda:0"))
    monkeypatch.setattr(local, "pick_device", lambda device: device)
    monkeypatch.setattr(local, "store", lambda model, folder: None)
    return tiny


def test_the_option_of_the_command_names_devices():
    assert workers_of("cuda:0, cuda:1") == ["cuda:0", "cuda:1"]
    assert workers_of("cuda:0,cuda:0,") == ["cuda:0", "cuda:0"]
    assert workers_of("2") == 2


@pytest.mark.parametrize(
    ("workers", "shards", "expected"),
    [
        (["cuda:0", "cuda:1"], 9, ["cuda:0", "cuda:1"]),
        (["cuda:1"], 9, ["cuda:1"]),
        (["cuda:0", "cuda:0", "cuda:1"], 2, ["cuda:0", "cuda:0"]),  # no worker without a shard
    ],
)
def test_each_named_device_has_a_process(on_cuda, monkeypatch, workers, shards, expected):
    begun = []

    class Pool:
        def __init__(self, job, devices):
            begun.extend(devices)

        def run(self, given):
            return iter(given)

    monkeypatch.setattr(local, "_Pool", Pool)
    monkeypatch.setattr(local, "replace", lambda job, model: job)
    dispatch.require_workers(on_cuda, workers, "local", None)
    assert len(list(local.drive(on_cuda, SimpleNamespace(), [None] * shards, workers))) == shards
    assert begun == expected


@pytest.mark.parametrize(("device", "gpus"), [("cuda", 1), ("cpu", 0)])
def test_an_actor_of_ray_asks_for_one_gpu_where_the_model_is_on_one(device, gpus):
    asked = []
    module = SimpleNamespace(
        remote=lambda **options: asked.append(options) or (lambda actor: actor)
    )
    ray._Pool(module, SimpleNamespace(), device)
    assert asked == [{"num_cpus": 1, "num_gpus": gpus}]
