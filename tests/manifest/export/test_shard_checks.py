"""Materialised shards are held to their manifest: bytes, columns, texts, ranks and scores."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.run_folders import documents, edit_json, lay_down_manifest, ranked_by
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.core.files import sha256_of
from workbench.manifest.export.materialisation import MaterialiseError, materialise
from workbench.manifest.export.text_shards import FORMATS


@pytest.mark.parametrize("format", FORMATS)
def test_what_materialise_wrote_holds(tmp_path, format):
    chosen = ranked_by(tmp_path / "run", "surprise")
    index = materialise(
        tmp_path / "run", documents(), tmp_path / "out", format=format, repeat=2, shard_tokens=60
    )
    found = wb.verify_materialised(tmp_path / "out", tmp_path / "run")
    assert found["documents"] == len(chosen)
    assert found["lines"] == index["lines"] == 2 * len(chosen)
    assert found["columns"] == index["columns"]
    assert found["by_score"]["column"] == "surprise"


def restated(out, change):
    """Change the rows of the first shard, and let the index state what then lies there."""
    index = json.loads((out / "index.json").read_text())
    shard = index["sources"][0]["shards"][0]
    path = out / shard["path"]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shard |= {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    (out / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "says"),
    [(lambda rows: rows[0].update(surprise=0.5), r"line 1 of .* has surprise 0\.5, the manifest"),
     (lambda rows: rows[0].update(score=0.5), r"has score 0\.5, the manifest says"),
     (lambda rows: rows[0].update(rank=77), "has rank 77, the manifest says"),
     (lambda rows: rows[0].update(text="other"), "has another text than was scored"),
     (lambda rows: rows[0].update(row=999), "is no document that was chosen"),
     (lambda rows: rows[0].pop("surprise"), "has the columns .* expected .*'surprise'"),
     (lambda rows: rows.pop(), "1 of .* chosen documents are in no shard, first")],
)  # fmt: skip
def test_a_row_that_the_manifest_does_not_have_is_found(tmp_path, change, says):
    ranked_by(tmp_path / "run", "surprise")
    materialise(tmp_path / "run", documents(), tmp_path / "out")
    restated(tmp_path / "out", change)
    with pytest.raises(MaterialiseError, match=says):
        wb.verify_materialised(tmp_path / "out", tmp_path / "run")


def test_changed_bytes_another_manifest_and_other_columns_are_found(tmp_path):
    ranked_by(tmp_path / "run", "surprise")
    ranked_by(tmp_path / "other", "score")
    out = tmp_path / "out"
    index = materialise(tmp_path / "run", documents(), out)
    with pytest.raises(MaterialiseError, match="from another manifest than the one in 'other'"):
        wb.verify_materialised(out, tmp_path / "other")
    edit_json(out / "index.json", lambda stated: stated["columns"].pop())
    with pytest.raises(MaterialiseError, match="states other columns"):
        wb.verify_materialised(out, tmp_path / "run")
    (out / "index.json").write_text(json.dumps(index))
    path = out / index["sources"][0]["shards"][0]["path"]
    path.write_bytes(path.read_bytes().replace(b"document", b"dokument"))
    with pytest.raises(MaterialiseError, match="was changed since it was written"):
        wb.verify_materialised(out, tmp_path / "run")


@pytest.mark.parametrize("older", [1, 2])
def test_shards_of_older_versions_verify(tmp_path, older):
    """As these wrote them: no statement of columns, and before format 2 neither score nor rank."""
    ranked_by(tmp_path / "run", "surprise")
    out = tmp_path / "out"
    materialise(tmp_path / "run", documents(), out, format="parquet")
    index = json.loads((out / "index.json").read_text())
    lacking = ["surprise"] if older == 2 else ["surprise", "score", "rank"]
    for source in index["sources"]:
        for shard in source["shards"]:
            path = out / shard["path"]
            rows: pa.Table = pq.read_table(path).drop_columns(lacking)
            pq.write_table(rows, path)
            shard |= {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    del index["columns"], index["by_score"]
    (out / "index.json").write_text(json.dumps(index | {"format": older}))
    found = wb.verify_materialised(out, tmp_path / "run")
    assert not set(lacking) & {column["name"] for column in found["columns"]}
    edit_json(out / "index.json", lambda stated: stated.update(format=3 - older))
    with pytest.raises(MaterialiseError, match="has the columns"):
        wb.verify_materialised(out, tmp_path / "run")


def test_the_command(tmp_path):
    run, out = lay_down_manifest(tmp_path / "run"), tmp_path / "out"
    materialise(run, documents(), out)
    words = ["verify", str(run), "--materialised", str(out)]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert "ranked by score" in shown.stdout
    stated = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["materialised"]
    assert [column["name"] for column in stated["columns"]][-2:] == ["score", "rank"]
    restated(out, lambda rows: rows[0].update(rank=77))
    wrong = CliRunner().invoke(app, [*words, "--json"])
    assert wrong.exit_code == 1
    assert "has rank 77" in json.loads(wrong.stdout)["error"]
