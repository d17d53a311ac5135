"""Threads of computation: no more than the cores that the process may use."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support.run_folders import score_table

from workbench.core import bounded_duckdb, cpu_count
from workbench.loading.load import keep_torch_within_cores
from workbench.selection.duckdb_scores import ScoreFiles


def test_affinity_counts_and_not_the_machine():
    cpu = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{cpu}}}); "
         "from workbench.core.cpu_count import cores; print(cores())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == 1


@pytest.fixture
def threads():
    """Sets torch's number of threads for the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(("started", "kept"), [(4, 2), (1, 1)])
def test_torch_keeps_within_a_containers_limit(started, kept, threads, monkeypatch):
    monkeypatch.setattr(cpu_count, "cpu_count", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    threads(started)
    keep_torch_within_cores()
    assert torch.get_num_threads() == kept


def test_what_the_user_set_stays(threads, monkeypatch):
    monkeypatch.setattr(cpu_count, "cpu_count", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    threads(4)
    keep_torch_within_cores()
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("allowed", "started"), [(1, 1), (8, 2)])
def test_duckdb_keeps_within_it(allowed, started, tmp_path, monkeypatch):
    path = tmp_path / "part.parquet"
    pq.write_table(pa.Table.from_pandas(score_table(), preserve_index=False), path)
    monkeypatch.setattr(bounded_duckdb, "cores", lambda: allowed)
    with ScoreFiles([path], None, scratch=tmp_path) as scores:
        rows = scores._rows("SELECT current_setting('threads')")
    assert rows == [(started,)]
