"""Selecting straight from score files writes the files of `select` and `write_manifest`."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.run_folders import (
    DATE,
    HOSTILE,
    describe,
    edit_json,
    failures,
    lay_down_run,
    run_record,
)

from workbench.manifest.selecting_files import select_files
from workbench.manifest.verification.verify import verify_manifest
from workbench.manifest.writing import write_manifest
from workbench.scoring.folder.reading import load_scores
from workbench.scoring.schema import ADDED, SCHEMA
from workbench.selection import duckdb_scores
from workbench.selection.duplicates import CLUSTER_SCHEMA
from workbench.selection.ranking import select
from workbench.selection.schema import SCORE_COLUMNS, schema_of

STORED = pa.schema([field for field in SCHEMA if field.name not in ADDED])  # as of format 1
ODD = ["", "a'b", 'x"); DROP TABLE files; --', "é\U0001f600", "z\0y", HOSTILE, "Z"]
HASHES = ["0" * 64, "9a" * 32, "f" * 64]


def lay_down(folder, table, files=2):
    """A finished run with this score table, cut into so many files."""
    record = run_record(table)
    (folder / "scores").mkdir(parents=True)
    for part, rows in enumerate(np.array_split(np.arange(len(table)), min(files, len(table)))):
        path = folder / f"scores/part-{part}.parquet"
        data = pa.Table.from_pandas(table.iloc[rows], schema=STORED, preserve_index=False)
        pq.write_table(data, path)
        record["score_files"].append(describe(path, folder, len(rows)))
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def stated(folder):
    return json.loads((folder / "manifest.json").read_text())


def chosen_by_hand(table, target, limit, near):
    """The rule read literally, a document at a time: the (source, row) chosen of one domain."""
    texts, clusters, chosen, left = Counter(), Counter(), set(), target
    for row in table.itertuples():
        cluster = near.get((row.source, row.row))
        if left <= 0:
            break
        if texts[row.text_sha256] >= limit or (cluster is not None and clusters[cluster] >= limit):
            continue
        texts[row.text_sha256] += 1
        clusters[cluster] += 1
        chosen.add((row.source, row.row))
        left -= 1
    return chosen


DOCUMENTS = st.lists(
    st.tuples(
        st.sampled_from(ODD),
        st.sampled_from(ODD[:5]),
        st.sampled_from([-0.5, -0.0, 0.0, 0.25, 0.25000001, 3.0]),
        st.integers(1, 50),
        st.sampled_from([*HASHES, None]),
        st.integers(-2, 3),
    ),
    min_size=1,
    max_size=30,
)
POLICIES = st.sampled_from([("report", None), ("keep one", None), ("cap", 1), ("cap", 2)])


def table_of(documents, odd_hash):
    domain, source, score, tokens, text, _ = zip(*documents, strict=True)
    count = len(documents)
    ref = 2.0 + 2.0 * np.array(score)
    return pd.DataFrame(
        {
            "doc_id": [f"d{index}" for index in range(count)],
            "domain": domain,
            "source": source,
            "row": np.arange(count)[::-1],
            "tokens": tokens,
            "predicted": 9,
            "loss_base": 2.0,
            "loss_ref": ref,
            "score": score,
            "compression_ratio": np.where(np.arange(count) % 5 == 0, np.nan, 2.5),
            "text_sha256": [
                digest or (f'{index:062x}"é' if odd_hash else f"{index:064x}")
                for index, digest in enumerate(text)
            ],
        }
    )


def clusters_of(documents, table):
    near = table[["source", "row"]].assign(cluster=[document[-1] for document in documents])
    unscored = pd.DataFrame({"source": ["not scored"], "row": [7], "cluster": [1]})
    return pd.concat([near[near["cluster"] >= 0], unscored], ignore_index=True)


@settings(max_examples=10, deadline=None)
@given(
    documents=DOCUMENTS, percent=st.integers(1, 100), by=st.sampled_from(["documents", "tokens"]),
    policy=POLICIES, clustered=st.booleans(), odd_hash=st.booleans(), files=st.integers(1, 3),
    sizes=st.sampled_from([(1, 1), (3, 7), (10**5, 10**7)]),
)  # fmt: skip
def test_files_give_what_the_table_gives(
    tmp_path_factory, documents, percent, by, policy, clustered, odd_hash, files, sizes
):
    table = table_of(documents, odd_hash)
    folder = lay_down(tmp_path_factory.mktemp("bulk") / "it's [a] *run*?", table, files)
    other = lay_down(tmp_path_factory.mktemp("table"), table, files)
    near = clusters_of(documents, table)
    path = folder.parent / "near.parquet"
    pq.write_table(pa.Table.from_pandas(near, schema=CLUSTER_SCHEMA, preserve_index=False), path)
    asked = {"by": by, "duplicates": policy[0], "cap": policy[1]}
    with pytest.MonkeyPatch.context() as patch:
        # Pieces that end inside a domain and inside a tie, and domains sorted one by one.
        patch.setattr(duckdb_scores, "BATCH_ROWS", sizes[0])
        patch.setattr(duckdb_scores, "SORTED_ROWS", sizes[1])
        made = select_files(
            folder, percent / 100, clusters=path if clustered else None, date=DATE, **asked
        )
    expected = select(table, percent / 100, clusters=near if clustered else None, **asked)
    write_manifest(expected, other, date=DATE)
    pd.testing.assert_frame_equal(made.domains, expected.domains)
    names = ["selection.parquet", *(["selection_clusters.parquet"] if clustered else [])]
    for name in [*names, "manifest.json"]:
        assert (folder / name).read_bytes() == (other / name).read_bytes()
    listed = [entry["name"] for entry in stated(folder)["distribution"]]
    parts = [f"scores/part-{part}.parquet" for part in range(min(files, len(table)))]
    assert listed == [*names, "run.json", *parts]
    report = verify_manifest(folder, strict=False).checks
    wrong = report[(report["ok"] == False) & (report["check"] != "skipped documents")]  # noqa: E712
    assert wrong.empty, wrong.to_string()
    expected = {*names, "run.json", "scores", "manifest.json"}
    assert {path.name for path in folder.iterdir()} == expected


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS, st.integers(1, 100), st.integers(1, 3), st.booleans())
def test_a_policy_is_the_walk_that_it_says_in_words(documents, percent, cap, clustered):
    table = table_of(documents, False)
    near = clusters_of(documents, table)
    given_clusters = near if clustered else None
    selection = select(table, percent / 100, duplicates="cap", cap=cap, clusters=given_clusters)
    known = {(row.source, row.row): row.cluster for row in near.itertuples()} if clustered else {}
    for domain, group in selection.table.groupby("domain"):
        target = -(-percent * len(group) // 100)
        expected = chosen_by_hand(group, target, cap, known)
        chosen = group[group["selected"]]
        assert set(zip(chosen["source"], chosen["row"], strict=True)) == expected
        row = selection.domains.set_index("domain").loc[domain]
        assert row["documents_selected"] == len(expected)
        texts = chosen["text_sha256"].value_counts()
        assert row["exact_duplicates_selected"] == texts[texts > 1].sum()
        last = group["selected"].to_numpy().nonzero()[0][-1] + 1
        walked = last if len(expected) == target else len(group)
        assert row["duplicates_passed_over"] == walked - len(expected)
        if clustered:
            groups = Counter(known.get(key) for key in expected)
            assert row["near_duplicates_selected"] == sum(
                size for cluster, size in groups.items() if cluster is not None and size > 1
            )


def test_a_large_run_is_chosen_in_pieces_and_verifies(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    documents = [
        (ODD[i % 7], "s", float(score), 5, HASHES[0] if i % 11 == 0 else None, i % 140)
        for i, score in enumerate(random.choice([0.1, 0.2, 0.3, 0.4], 3000))
    ]
    table = table_of(documents, False)
    folder = lay_down(tmp_path / "run", table, 5)
    monkeypatch.setattr(duckdb_scores, "BATCH_ROWS", 64)
    clusters_of(documents, table).to_parquet(tmp_path / "near.parquet")
    made = select_files(
        folder, 0.5, "tokens", duplicates="keep one", clusters=tmp_path / "near.parquet", threads=1
    )
    assert (made.domains["duplicates_passed_over"] > 0).all()
    assert (made.domains["exact_duplicates_selected"] == 0).all()
    assert (made.domains["near_duplicates_selected"] == 0).all()
    # 20 clusters in each domain of 428 documents: the half that was asked for is not there.
    assert (made.domains["documents_share"] < 0.5).all()
    assert "keep one" in stated(folder)["aiw:selection"]["duplicates"]
    assert "passed over" in stated(folder)["aiw:selection"]["duplicate_policy"]


def lay_down_clusters(folder):
    table = lay_down_run(folder)
    near = table.frame[["source", "row"]].assign(cluster=np.arange(len(table)) // 6)
    near.to_parquet(folder.parent / "near.parquet")
    return folder.parent / "near.parquet"


def test_verification_finds_other_clusters_and_another_policy(tmp_path):
    folder = tmp_path / "run"
    near = lay_down_clusters(folder)
    select_files(folder, 0.3, duplicates="keep one", clusters=near)
    assert failures(folder) == []
    edit_json(folder / "manifest.json", lambda m: m["aiw:selection"].update(duplicates="report"))
    assert "ranks and thresholds" in failures(folder)
    select_files(folder, 0.3, duplicates="keep one", clusters=near)
    (folder / "selection_clusters.parquet").unlink()
    assert "list of files" in failures(folder) or "file" in " ".join(failures(folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": [0.1, np.nan]}, "not finite"),
        ({"score": [0.1, np.inf]}, "not finite"),
        ({"row": [0, 0]}, "repeat a"),
        (
            {"tokens": [1, 0], "doc_id": ["a", "b"]},
            "one token.*document 'b' with 0.*leave",
        ),
        ({"domain": ["a", None]}, "text in every row; the document of source 's', row 0 has none"),
        ({"source": ["/home/x/a", "b"]}, "absolute"),
    ],
)
def test_refuses_rows_that_cannot_be_ranked(change, message, tmp_path):
    table = table_of([("a", "s", 0.1, 5, None, -1)] * 2, False).assign(**change)
    folder = lay_down(tmp_path / "run", table)
    with pytest.raises(ValueError, match=message):
        select_files(folder)
    assert {path.name for path in folder.iterdir()} == {"run.json", "scores"}


def test_refuses_a_run_that_is_changed_unfinished_or_not_one(tmp_path):
    folder = tmp_path / "run"
    lay_down_run(folder)
    path = folder / "scores/part-1.parquet"
    kept = path.read_bytes()
    path.write_bytes((folder / "scores/part-0.parquet").read_bytes())
    with pytest.raises(ValueError, match="changed since"):
        select_files(folder)
    path.write_bytes(kept)
    for argument, message in (
        ({"memory": "1GB'; --"}, "memory"),
        ({"threads": 0}, "threads"),
        ({"cap": 2}, "cap="),
        ({"by": "bytes"}, "by must be"),
        ({"duplicates": "drop"}, "duplicates must be"),
        ({"fraction": 0}, "fraction"),
        ({"corpus_note": "see /home/x/y"}, "absolute"),
    ):
        with pytest.raises(ValueError, match=message):
            select_files(folder, **argument)
    edit_json(folder / "run.json", lambda run: run.update(documents=None))
    with pytest.raises(ValueError, match="not finished"):
        select_files(folder)
    with pytest.raises(ValueError, match=r"run\.json"):
        select_files(tmp_path)


@pytest.mark.parametrize(
    ("clusters", "message"),
    [
        ({"source": ["s"], "row": [1]}, "cluster"),
        ({"source": ["s"], "row": [1], "cluster": ["x"]}, "cluster"),
        ({"source": ["s", "s"], "row": [1, 1], "cluster": [0, 1]}, "two clusters"),
        ({"source": ["s", None], "row": [1, 0], "cluster": [0, 1]}, "every line"),
    ],
)
def test_refuses_a_table_that_is_none_of_clusters(clusters, message, tmp_path):
    table = table_of([("a", "s", 0.1, 5, None, -1)] * 2, False)
    folder = lay_down(tmp_path / "run", table)
    pd.DataFrame(clusters).to_parquet(tmp_path / "near.parquet")
    with pytest.raises(ValueError, match=message):
        select_files(folder, clusters=tmp_path / "near.parquet")
    with pytest.raises(ValueError, match=message):
        select(table, clusters=tmp_path / "near.parquet")


def test_the_columns_of_the_score_files_are_those_of_a_selection():
    assert {*SCORE_COLUMNS, *ADDED} == set(SCHEMA.names)
    assert set(SCHEMA.names) < set(schema_of().names)


def test_the_command_writes_what_the_functions_write(tmp_path):
    from typer.testing import CliRunner

    from workbench.cli.main import app

    folder = tmp_path / "run"
    near = lay_down_clusters(folder)
    asked = ["select", str(folder), "--duplicates", "cap", "--cap", "2", "--clusters", str(near)]
    shown = CliRunner().invoke(app, asked, env={"COLUMNS": "200"})  # no heading is broken
    assert shown.exit_code == 0
    assert "skipped duplicates" in shown.stdout
    names = ("selection.parquet", "selection_clusters.parquet", "manifest.json")
    written = [(folder / name).read_bytes() for name in names]
    chosen = select(load_scores(folder), duplicates="cap", cap=2, clusters=near)
    write_manifest(chosen, folder)
    assert [(folder / name).read_bytes() for name in names] == written
    assert failures(folder) == []
    first = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert first["domains"] == stated(folder)["aiw:domains"]
    assert first["manifest"] == str(folder / "manifest.json")
    refused = CliRunner().invoke(app, ["select", str(folder), "--duplicates", "cap", "--json"])
    assert refused.exit_code == 1
    assert "cap=" in json.loads(refused.stdout)["error"]
