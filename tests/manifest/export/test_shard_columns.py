"""The columns of shards: the score that ranked stands in every row, and says what it is."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.run_folders import (
    OWN,
    documents,
    lay_down_manifest,
    of_older_format,
    ranked_by,
)

import workbench as wb
from workbench.manifest.export.materialisation import FORMAT, materialise, read_index
from workbench.manifest.export.shard_columns import COLUMNS, shard_columns
from workbench.manifest.export.text_shards import FORMATS
from workbench.scoring.schema import FORMULA


def rows_of(out, index):
    for source in index["sources"]:
        for shard in source["shards"]:
            if shard["path"].endswith("parquet"):
                yield from pq.read_table(out / shard["path"]).to_pylist()
            else:
                stream = pa.input_stream(out / shard["path"], compression="detect")
                yield from map(json.loads, stream.read().decode().splitlines())


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("column", ["score", "rise", "predicted", "surprise"])
def test_every_row_has_the_score_that_ranked_it(tmp_path, column, format):
    chosen = ranked_by(tmp_path / "run", column).set_index("row")
    index = materialise(tmp_path / "run", documents(), tmp_path / "out", format=format)
    rows = list(rows_of(tmp_path / "out", index))
    assert len(rows) == len(chosen)
    for row in rows:
        stated = chosen.loc[row["row"]]
        assert row[column] == stated[column]
        assert (row["score"], row["rank"]) == (stated["score"], stated["rank"])
        assert list(row) == [c["name"] for c in index["columns"]]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert index["by_score"] == manifest["aiw:selection"]["by_score"]
    meanings = {c["name"]: c["meaning"] for c in index["columns"]}
    assert meanings["score"] == FORMULA
    if column != "score":
        assert meanings[column] == index["by_score"]["formula"]


def test_the_paper_score_adds_no_column(tmp_path):
    ranked_by(tmp_path / "run", "score")
    index = materialise(tmp_path / "run", documents(), tmp_path / "out")
    assert [c["name"] for c in index["columns"]] == [c.name for c in COLUMNS]


def test_a_croissant_reader_reads_the_rows(tmp_path):
    croissant = pytest.importorskip("mlcroissant")
    chosen = ranked_by(tmp_path / "run", "surprise").set_index("row")
    out = tmp_path / "out"
    index = materialise(tmp_path / "run", documents(), out, shard_tokens=40)
    dataset = croissant.Dataset(jsonld=out / "croissant.json")
    fields = {field.name: field.description for field in dataset.metadata.record_sets[0].fields}
    assert fields["surprise"] == OWN["formula"]
    assert "ranked by the column surprise" in str(dataset.metadata.description)
    rows = list(dataset.records("texts"))
    assert len(rows) == len(chosen)
    texts = {document.row: document.text for document in documents()}
    for row in rows:
        place = int(row["texts/row"])
        # The reader parses JSON with pandas, which is a digit short of the number.
        assert row["texts/surprise"] == pytest.approx(chosen.loc[place]["surprise"], rel=1e-12)
        assert row["texts/text"].decode() == texts[place]
    digests = {file.id: file.sha256 for file in dataset.metadata.file_objects}
    assert digests == {
        shard["path"]: shard["sha256"] for source in index["sources"] for shard in source["shards"]
    }


@pytest.mark.parametrize("older", [1, 2])
def test_a_folder_of_an_older_version_is_read_and_returned(tmp_path, older):
    """Whoever materialised before keeps the folder: same settings, no statement of columns."""
    lay_down_manifest(tmp_path / "run")
    out = tmp_path / "out"
    made = materialise(tmp_path / "run", documents(), out)
    index = {k: v for k, v in made.items() if k not in ("columns", "by_score")} | {"format": older}
    (out / "index.json").write_text(json.dumps(index))
    (out / "croissant.json").unlink()
    assert materialise(tmp_path / "run", [], out) == read_index(out) == index
    assert wb.write_blends(out, ["datasets"])
    shard = out / index["sources"][0]["shards"][0]["path"]
    shard.write_bytes(shard.read_bytes() + b"\n")
    with pytest.raises(ValueError, match="was changed since"):
        materialise(tmp_path / "run", [], out)
    assert made["format"] == FORMAT == 3


def test_a_manifest_without_a_column_to_rank_by_is_by_the_paper_score(tmp_path):
    of_older_format(lay_down_manifest(tmp_path / "run"), 3)
    index = materialise(tmp_path / "run", documents(), tmp_path / "out")
    assert index["by_score"] == {"column": "score", "formula": FORMULA}


@pytest.mark.parametrize("name", ["id", "metadata"])
def test_a_column_with_the_name_of_another_is_refused(name):
    with pytest.raises(ValueError, match=f"'{name}'.*give the scorer another name"):
        shard_columns({"column": name, "formula": "mine"}, False)
