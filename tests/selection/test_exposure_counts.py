"""How often each chosen document is seen: counted pair by pair here, by groups there."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from support.run_folders import lay_down_manifest
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app


def made(seed, n=60):
    """A table with texts that come again across domains, and clusters inside them."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({
        "source": "a", "row": range(n), "doc_id": [f"d{i}" for i in range(n)],
        "domain": rng.choice(["code", "math"], n), "text_sha256": rng.choice(list("abcdefghij"), n),
        "selected": rng.random(n) < 0.6,
    })  # fmt: skip
    inside = rng.random(n) < 0.7
    clusters = table.loc[inside, ["source", "row"]].assign(cluster=rng.integers(0, 9, inside.sum()))
    return table, clusters


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("repeat", [1, {"code": 3, "math": 2}, {"math": 5}])
def test_counts_are_those_of_comparing_all_pairs(seed, clustered, repeat):
    table, clusters = made(seed)
    found = wb.exposures(table, repeat, clusters if clustered else None).set_index("row")
    chosen = table[table["selected"]]
    assert sorted(found.index) == chosen["row"].tolist()
    near = dict(zip(clusters["row"], clusters["cluster"], strict=True)) if clustered else {}
    often = {"code": repeat, "math": repeat} if isinstance(repeat, int) else repeat
    for one in chosen.itertuples():
        alike = [
            other for other in chosen.itertuples()
            if other.text_sha256 == one.text_sha256
            or (one.row in near and near.get(other.row) == near[one.row])
        ]  # fmt: skip
        assert found.loc[one.row, "duplicates"] == len(alike) - 1
        assert found.loc[one.row, "seen"] == sum(often.get(x.domain, 1) for x in alike)
        assert found.loc[one.row, "repeat"] == often.get(one.domain, 1)
    assert found["seen"].is_monotonic_decreasing


def test_a_selection_and_the_folder_of_its_manifest_and_the_command(tmp_path):
    folder = lay_down_manifest(tmp_path / "run")
    found = wb.exposures(folder, 2)
    assert set(found["seen"]) == {2}
    stated = json.loads((folder / "manifest.json").read_text())
    assert len(found) == stated["aiw:documents"]["selected"]
    words = ["exposures", str(folder), "--repeat", "2", "--out", str(tmp_path / "e.csv"), "--json"]
    done = CliRunner().invoke(app, words)
    assert json.loads(done.stdout) == {"seen": {"2": len(found)}}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "e.csv"), found)


@pytest.mark.parametrize("repeat", [0, 1.5, {"code": 0}, {"prose": 2}])
def test_odd_repetitions_are_refused(repeat):
    with pytest.raises(ValueError, match="whole number from 1"):
        wb.exposures(made(0)[0], repeat)


def test_a_table_that_is_no_selection_is_refused():
    with pytest.raises(ValueError, match="lacks the columns"):
        wb.exposures(made(0)[0].drop(columns="selected"))
