"""The residual: against a plain fit, and the same in memory, from files and in a verification."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from support.run_folders import DATE, documents, edit_json, failures, lay_down_run

import workbench as wb
from workbench.core.bounded_duckdb import connect
from workbench.corpus.reading import text_sha256
from workbench.manifest.export.materialisation import materialise
from workbench.manifest.export.shard_checks import verify_materialised
from workbench.selection.residual import CONTROLLED, LEAST, MEANING, make_residuals, residual

DOMAINS = ("code", 'a\'b "c"', "z\0y", "few")


def scores(count=240, seed=0, ties=9):
    """Four domains, one of fewer than LEAST documents; the score goes along with its controls."""
    rng = np.random.default_rng(seed)
    repetition = rng.integers(0, ties, count) / ties
    base = np.round(2.5 - repetition + 0.2 * rng.normal(size=count), 2)
    score = np.round(0.5 * repetition + 0.1 * rng.random(count), 3)
    domain = np.array(DOMAINS)[np.r_[np.arange(count - LEAST + 1) % 3, np.full(LEAST - 1, 3)]]
    return pd.DataFrame(
        {
            "doc_id": [f"d{i}" for i in range(count)], "domain": domain, "source": "c.jsonl",
            "row": np.arange(count),
            "text_sha256": [f"{i * 7919 % count:064d}" for i in range(count)],
            "tokens": rng.integers(50, 90, count), "predicted": 49, "loss_base": base,
            "loss_ref": base * (1 + score), "score": score,
            "compression_ratio": np.where(np.arange(count) % 17 == 3, np.nan, 0.5 - repetition),
        }
    )  # fmt: skip


def plain(table):
    """By numpy's least squares on scipy's ranks, a domain at a time."""
    left = pd.Series(np.nan, index=table.index)
    known = table[["score", *CONTROLLED]].notna().all(axis=1)
    for _, part in table[known].groupby("domain"):
        if len(part) >= LEAST:
            ranks = [stats.rankdata(part[name]) for name in CONTROLLED]
            design = np.stack([np.ones(len(part)), *ranks], axis=1)
            score = stats.rankdata(part["score"])
            left[part.index] = score - design @ np.linalg.lstsq(design, score, rcond=None)[0]
    return left


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_a_plain_fit_leaves(seed):
    table = scores(seed=seed).sample(frac=1, random_state=seed)
    found = residual(table)
    np.testing.assert_allclose(found, plain(table), atol=1e-9)
    assert found.index.equals(table.index)
    assert found[table["domain"] == "few"].isna().all()
    assert found.isna().sum() == table["compression_ratio"].isna().sum() + LEAST - 1


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.assign(tokens=64),
        lambda table: table.assign(loss_base=table["tokens"] / 10.0),
        lambda table: table.assign(tokens=64, loss_base=2.0, compression_ratio=0.5),
        lambda table: table.assign(score=0.25),
    ],
)
def test_a_control_that_does_not_vary_or_repeats_another_is_no_trouble(change):
    table = change(scores())
    np.testing.assert_allclose(residual(table), plain(table), atol=1e-9)


def test_the_order_of_the_rows_changes_no_bit():
    table = scores()
    mixed = residual(table.sample(frac=1, random_state=3)).sort_index()
    assert mixed.equals(residual(table))


def test_it_ranks_the_same_in_memory_and_from_files_and_verifies(tmp_path):
    folder = tmp_path / "run"
    chosen = wb.select(lay_down_run(folder, scores()), 0.3, by_score="residual")
    assert chosen.without_value == residual(scores()).isna().sum()
    for _, part in chosen.table.groupby("domain"):
        assert part["residual"].is_monotonic_decreasing
    wb.write_manifest(chosen, folder, date=DATE)
    in_memory = [(folder / name).read_bytes() for name in ("selection.parquet", "manifest.json")]
    assert wb.verify_manifest(folder).ok
    files = wb.select_files(folder, 0.3, by_score="residual", date=DATE)
    assert files.without_value == chosen.without_value
    pd.testing.assert_frame_equal(files.domains, chosen.domains)
    made = [(folder / name).read_bytes() for name in ("selection.parquet", "manifest.json")]
    assert made == in_memory
    stated = json.loads(made[1])["aiw:selection"]["by_score"]
    assert stated == {"column": "residual", "formula": MEANING}
    assert "residual" not in pq.read_schema(folder / "selection.parquet").names


def test_a_domain_that_memory_does_not_hold_is_fitted_on_disk(tmp_path):
    """Its columns are ranked one at a time: all of them at once would be more than it may take."""
    rows = scores(400_000, ties=997).assign(domain="one").drop(columns="text_sha256")
    with connect(tmp_path, memory="40MB", threads=2) as connection:
        connection.register("rows", pa.Table.from_pandas(rows, preserve_index=False))
        make_residuals(connection, "rows", ["source", "row"])
        found = connection.sql("SELECT row, residual FROM residuals").df().set_index("row")
    expected = plain(rows).dropna()
    np.testing.assert_allclose(found["residual"].loc[expected.index], expected, atol=1e-5)
    assert len(found) == len(expected)


def test_documents_that_are_left_out_are_in_no_fit(tmp_path):
    folder = tmp_path / "run"
    table = lay_down_run(folder, scores())
    kept = table.keep(table.frame["row"] % 5 != 0)
    chosen = wb.select(kept, 0.3, by_score="residual")
    everything = wb.select(table, 0.3, by_score="residual").table.set_index("row")["residual"]
    own = chosen.table.set_index("row")["residual"]
    assert not np.allclose(own, everything[own.index])
    wb.write_manifest(chosen, folder, date=DATE)
    assert wb.verify_manifest(folder).ok


def test_another_ranking_than_that_of_the_residual_is_found_out(tmp_path):
    folder = tmp_path / "run"
    wb.write_manifest(wb.select(lay_down_run(folder, scores()), 0.3), folder, date=DATE)

    def claim(manifest):
        manifest["aiw:selection"]["by_score"] = {"column": "residual", "formula": MEANING}

    edit_json(folder / "manifest.json", claim)
    assert failures(folder)


def test_the_texts_of_a_selection_by_it_are_written_with_rank_and_score(tmp_path):
    corpus = documents()
    table = scores(len(corpus))
    for column, value in {
        "doc_id": [document.doc_id for document in corpus],
        "domain": "one", "source": [document.source for document in corpus],
        "row": [document.row for document in corpus],
        "text_sha256": [text_sha256(document.text) for document in corpus],
    }.items():  # fmt: skip
        table[column] = value
    folder = tmp_path / "run"
    chosen = wb.select(lay_down_run(folder, table), 0.3, by_score="residual")
    wb.write_manifest(chosen, folder, date=DATE)
    index = materialise(folder, corpus, tmp_path / "out", format="parquet")
    assert index["by_score"] == {"column": "residual", "formula": MEANING}
    shards = [shard["path"] for source in index["sources"] for shard in source["shards"]]
    rows = pd.concat([pd.read_parquet(tmp_path / "out" / shard) for shard in shards])
    assert "residual" not in rows
    expected = chosen.chosen.set_index("row")
    assert dict(zip(rows["row"], rows["rank"], strict=True)) == expected["rank"].to_dict()
    assert verify_materialised(tmp_path / "out", folder)["by_score"] == index["by_score"]


def test_without_its_columns_or_documents_enough_there_is_none(tmp_path):
    with pytest.raises(ValueError, match=r"needs the columns \['tokens'\]"):
        residual(scores().drop(columns="tokens"))
    few = scores().query("domain == 'few'")
    with pytest.raises(ValueError, match="no document has a value of 'residual': no domain has 8"):
        wb.select(few, by_score="residual")
    lay_down_run(tmp_path / "run", few)
    with pytest.raises(ValueError, match="with a value of 'residual': no domain has 8 documents"):
        wb.select_files(tmp_path / "run", by_score="residual")
    assert residual(few[:0]).empty
