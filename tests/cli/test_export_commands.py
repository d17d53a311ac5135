"""The commands from a manifest to trainers' files: near-duplicates, shards, blends."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from support.run_folders import documents, lay_down_manifest, lay_down_run
from typer.testing import CliRunner

import workbench.cli.export_commands  # noqa: F401 (it adds its commands)
from workbench.cli.main import app


@pytest.fixture
def workdir(tmp_path):
    """A manifest in run/ and the corpus that it chose from, a.jsonl."""
    lay_down_manifest(tmp_path / "run")
    rows = [{"key": d.doc_id, "content": d.text, "part": d.domain} for d in documents()]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


COLUMNS = ["--id", "key", "--text", "content", "--domain", "part"]


def run(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def as_json(*words, code=0):
    return json.loads(run(*words, "--json", code=code).stdout)


def test_duplicates(workdir):
    out = workdir / "new" / "duplicates.parquet"
    words = ["duplicates", workdir / "a.jsonl", *COLUMNS, "--out", out]
    # "document number N é": one text a row, and one word of four differs between them.
    result = as_json(*words, "--ngram", 1, "--threshold", 0.3)
    assert [d["largest"] for d in result["domains"]] == [8, 8, 8]
    assert result["settings"]["threshold"] == 0.3
    assert pq.read_table(out).num_rows == 24
    exact = as_json(*words, "--exact")
    assert [d["duplicated"] for d in exact["domains"]] == [0, 0, 0]
    assert "clusters" in run(*words).stdout
    assert "threshold must be" in as_json(*words, "--threshold", 2, code=1)["error"]


def test_materialise_with_blends(workdir):
    out = workdir / "out"
    words = ["materialise", workdir / "run", workdir / "a.jsonl", *COLUMNS, "--out", out]
    made = as_json(*words, "--repeat", "code=3", "--blend", "megatron, datasets")
    assert made["documents"] < made["lines"]
    assert {path.name for path in (out / "blends").iterdir()} == {
        "megatron.txt", "megatron.json", "megatron.sh", "datasets.json",
    }  # fmt: skip
    assert made["sources"][1]["domain"] == "code"
    shown = run(*words, "--repeat", "code=3").stdout  # it is finished already
    assert "code" in shown
    assert "differ in repeat" in as_json(*words, "--repeat", 2, code=1)["error"]


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--blend", "maxtext"], "unknown trainers"), (["--weight", "code=1"], "--blend"),
     (["--blend", "datasets", "--weight", "code"], "DOMAIN=NUMBER"),
     (["--repeat", "code=some"], "DOMAIN=NUMBER"), (["--format", "csv"], "format must be"),
     (["--text", "part"], "another text than was scored")],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_written(workdir, words, says):
    out = workdir / "out"
    paths = [workdir / "run", workdir / "a.jsonl"]
    arguments = ["materialise", *paths, *COLUMNS, "--out", out, *words]
    assert says in as_json(*arguments, code=1)["error"]
    assert not out.exists() or {path.name for path in out.iterdir()} <= {".lock"}


@pytest.mark.parametrize(
    ("words", "says"),
    [(["duplicates", "a.jsonl", *COLUMNS, "--out", "run"], "'run' is a folder; give the name"),
     (["duplicates", "empty.jsonl"], "holds no document (0 rows could not be read"),
     (["materialise", "nowhere", "a.jsonl"], "'nowhere' is not there; give the folder"),
     (["compare", "run", "a.jsonl"], "'a.jsonl' is a file; give the folder that holds"),
     (["compare", "run", "other"], "'other' holds no manifest.json"),
     (["select", "run", "--clusters", "a.jsonl"], "'a.jsonl' cannot be read as Parquet"),
     (["select", "run", "--clusters", "no.parquet"], "the file that `workbench dupl")],
)  # fmt: skip
def test_wrong_input_is_named_with_what_was_expected(workdir, monkeypatch, words, says):
    monkeypatch.chdir(workdir)
    (workdir / "empty.jsonl").touch()
    (workdir / "other").mkdir()
    assert says in as_json(*words, code=1)["error"]


@pytest.mark.parametrize(
    ("words", "says"),
    [(["funnel", "a.jsonl", "--terms", "no.txt"], "--terms: no.txt: No such file or directory. "
      "Expected: a file with a word or phrase a line"),
     (["funnel", "a.jsonl", "--terms", "run"], "--terms: run: Is a directory"),
     (["funnel", "a.jsonl", "--terms", "a.jsonl", "--examples", "no.txt"], "--examples: no.txt: "),
     (["funnel", "a.jsonl", "--terms", "a.jsonl", "--verdicts", "no.csv"], "--verdicts: no.csv: "),
     (["select", "run", "--mixture", "no.json"], "--mixture: no.json: No such file"),
     (["select", "run", "--exclude", "no.parquet"], "'no.parquet' is not the file of a funnel"),
     (["exposures", "run", "--clusters", "no.parquet"], "the file that `workbench dupl")],
)  # fmt: skip
def test_a_file_that_the_system_refuses_is_named_with_its_option(workdir, monkeypatch, words, says):
    monkeypatch.chdir(workdir)
    assert says in as_json(*words, code=1)["error"]
    assert says in " ".join(run(*words, code=1).stderr.split())


def test_skipped_rows_are_counted(workdir):
    with (workdir / "a.jsonl").open("a") as corpus:
        corpus.write('\n{"key": "x", "content": "", "part": "code"}\n')
    shown = run("duplicates", workdir / "a.jsonl", *COLUMNS, "--out", workdir / "d.parquet").stdout
    assert "1 rows were skipped, since they hold no document" in shown


def test_a_run_without_a_scored_document_says_why(tmp_path):
    lay_down_run(tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    record["documents"] = {"read": 4, "scored": 0, "skipped": 4}
    record["score_files"] = []
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert "skipped.jsonl says why" in as_json("select", tmp_path, code=1)["error"]


@pytest.mark.parametrize(
    "line", ["no json", '{"txt": "hello"}', '{"text": "a", "exclude": "yes"}', "[1]"]
)
def test_a_line_that_is_no_example_is_named(workdir, line):
    (workdir / "terms").write_text("license\n")
    (workdir / "examples").write_text(f'{{"text": "a", "exclude": false}}\n{line}\n')
    given = [workdir / "a.jsonl", "--terms", workdir / "terms", *COLUMNS]
    output = run("funnel", *given, "--examples", workdir / "examples", code=1).output
    assert "line 2 of" in output
    assert "is no example" in output


def test_exposures_ask_for_a_manifest(tmp_path):
    assert "holds no selection.parquet" in run("exposures", tmp_path, code=1).output
