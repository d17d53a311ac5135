"""Rows of selection.parquet, found by source and row, and drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.run_folders import HOSTILE, lay_down_manifest

from workbench.manifest.selection_rows import SelectionRows


def test_rows_are_found_with_what_the_file_says_of_them(tmp_path):
    path = lay_down_manifest(tmp_path / "run") / "selection.parquet"
    table = pq.read_table(path).to_pandas()
    everything = SelectionRows(path, ["domain", "tokens", "repeat", "rank", "score"])
    chosen = SelectionRows(path, ["domain", "tokens"], chosen_only=True)
    assert len(everything) == len(table) == 24
    assert 0 < len(chosen) == table["selected"].sum() < 24
    for number, row in enumerate(table.itertuples()):
        place = everything.find(row.source, row.row)
        assert everything.key(place) == (row.source, row.row)
        assert everything.order[place] == number
        assert everything.digests[place].tobytes().hex() == row.text_sha256
        assert everything.domains[everything.columns["domain"][place]] == row.domain
        for name in ("tokens", "repeat", "rank", "score"):
            assert everything.columns[name][place] == getattr(row, name)
        place = chosen.find(row.source, row.row)
        assert (place is not None) == row.selected
        if place is not None:
            assert chosen.digests[place].tobytes().hex() == row.text_sha256
            assert chosen.columns["tokens"][place] == row.tokens
            assert chosen.domains[chosen.columns["domain"][place]] == row.domain
    assert set(chosen.columns) == {"domain", "tokens"}
    assert set(chosen.domains) == {"code", "math", HOSTILE}


def test_draws_are_spread_over_the_sources(tmp_path):
    sizes = {"long": 500, "middle": 90, "short": 9, "single": 1}
    table = pa.table(
        {
            "source": [name for name, size in sizes.items() for _ in range(size)],
            "row": [row for size in sizes.values() for row in range(size)],
            "text_sha256": ["ab" * 32] * 600,
        }
    )
    pq.write_table(table.take(np.random.default_rng(0).permutation(600)), tmp_path / "s.parquet")
    ranked = SelectionRows(tmp_path / "s.parquet")
    assert [source.last - source.first for source in ranked.sources.values()] == [500, 90, 9, 1]
    assert all(ranked.find(*ranked.key(place)) == place for place in range(600))
    assert [ranked.find(*key) for key in [("long", 500), ("none", 0), ("short", -1)]] == [None] * 3
    for count in (1, 2, 4, 60, 599, 600, 900):
        for seed in range(5):
            drawn = ranked.draw(count, seed)
            assert len(set(drawn.tolist())) == len(drawn) == min(count, 600)
            assert (np.diff(drawn) > 0).all()
            if count >= 4:
                assert {ranked.key(place)[0] for place in drawn} == set(sizes)
    shares = pd.Series([ranked.key(place)[0] for place in ranked.draw(60, 0)]).value_counts()
    assert shares["long"] in (48, 49)
    hits = np.zeros(600)
    for seed in range(2000):
        hits[ranked.draw(2, seed)] += 1
    assert hits.max() < 6 * hits.mean()  # no row is drawn much more often than another
    assert hits[:300].sum() == hits[300:].sum() == 2000


@pytest.mark.parametrize("bad", ["AB" * 32, "ab" * 31, "zz" * 32, ""])
def test_what_is_no_text_hash_is_said(tmp_path, bad):
    rows = {"source": ["a", "a"], "row": [0, 1], "text_sha256": ["ab" * 32, bad]}
    pq.write_table(pa.table(rows), tmp_path / "s.parquet")
    with pytest.raises(ValueError, match="64 lower-case"):
        SelectionRows(tmp_path / "s.parquet")
