"""Real limits of memory: a row that a real allocator refuses is computed in halves."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers as tr
from support.models import TINY, make_tokenizer

import workbench as wb
from workbench.masking.packed import PackedPasses

# A wide feed-forward layer: a row of 1,024 tokens takes about 0.4 GB in it, whatever else there is.
WIDE = {**TINY, "intermediate_size": 1 << 14, "max_position_embeddings": 256}
ROW = 1024


def wide_model():
    torch.manual_seed(0)
    hf = tr.AutoModelForCausalLM.from_config(tr.LlamaConfig(**WIDE), dtype=torch.float32).eval()
    return wb.from_transformers(hf, make_tokenizer())


def windows_of(count=4, length=256):
    return [[64 + (i * i + n) % 250 for i in range(length)] for n in range(count)]


def sets_of(model):
    return [None, wb.HeadSet.of([(0, 1), (2, 3)], model)]


def losses_of(passes, windows, sets):
    return [[column.tolist() for column in columns] for columns in passes.losses(windows, sets)]


def limited(*megabytes):
    """In a process of its own: losses without a limit, and under limits on what it may take more.

    Prints the losses or the error of each, and how long rows were afterwards.
    """
    import resource

    model = wide_model()
    passes, windows, sets = PackedPasses(model), windows_of(), sets_of(model)
    found = [[losses_of(passes, windows, sets), passes.row_tokens]]
    for more in megabytes:
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + (more << 20), resource.RLIM_INFINITY))
        try:
            losses = losses_of(passes, windows, sets)
        except torch.OutOfMemoryError as error:
            losses = str(error)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        found.append([losses, passes.row_tokens])
    print(json.dumps(found))


@pytest.mark.slow
def test_a_row_that_the_allocator_of_the_cpu_refuses_is_computed_in_halves():
    paths = [os.path.dirname(__file__), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", "from test_short_memory import limited; limited(250, 12)"],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    (free, whole), (held, halved), (none, _) = json.loads(done.stdout)
    assert halved < whole == ROW
    for columns, others in zip(held, free, strict=True):
        np.testing.assert_allclose(columns, others, atol=1e-5)
    assert "one window of 256 tokens does not fit the memory of cpu: give a smaller window=" in none


@pytest.mark.cuda
def test_a_row_that_the_allocator_of_a_card_refuses_is_computed_in_halves():
    model = wide_model()
    model.hf.to("cuda")
    windows, sets = windows_of(), sets_of(model)
    passes = PackedPasses(model)
    passes.row_tokens = ROW
    free = losses_of(passes, windows, sets)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties("cuda").total_memory
    most = torch.cuda.memory_reserved() + (250 << 20)
    torch.cuda.set_per_process_memory_fraction(most / total)
    try:
        held = losses_of(passes, windows, sets)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert passes.row_tokens < ROW
    for columns, others in zip(held, free, strict=True):
        np.testing.assert_allclose(columns, others, atol=1e-4)
