"""The command: the whole workflow on small settings, JSON for machines, honest exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from detection.test_retrieval import PROSE
from support.models import make_hf, make_tokenizer
from typer.testing import CliRunner

from workbench.cli.main import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model that reads 2,048 tokens, sentences for probes, and a corpus with bad rows."""
    workdir = tmp_path_factory.mktemp("cli")
    hf = make_hf("llama")
    hf.config.max_position_embeddings = 2048
    hf.save_pretrained(workdir / "model")
    make_tokenizer().save_pretrained(workdir / "model")
    rows = [{"key": f"d{i}", "content": f"number {i} " * 9, "part": "ab"[i % 2]} for i in range(10)]
    rows[3]["content"] = ""
    (workdir / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (workdir / "prose.txt").write_text(" ".join(PROSE))
    return workdir


def run(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def as_json(*words, code=0):
    return json.loads(run(*words, "--json", code=code).stdout)


COLUMNS = ["--id", "key", "--text", "content", "--domain", "part"]


def test_the_road_from_a_model_to_a_verified_manifest(folder, tmp_path):
    heads, out = tmp_path / "heads.json", tmp_path / "run"
    model = ["--model", folder / "model"]
    detected = run(
        "detect", *model, "--probes", 4, "--max-tokens", 1200, "--texts", folder / "prose.txt",
        "--fraction", 0.2, "--out", heads, "--scores", tmp_path / "scores.csv", code=1,
    )  # fmt: skip
    # A model with random weights copies nothing: the tie is an error, not a ranking.
    assert "score 0" in detected.stderr
    assert not heads.exists()

    scored = as_json(
        "score", folder / "corpus.jsonl", *model, *COLUMNS, "--heads", "L0H1 L2H3", "--out", out
    )
    assert scored["documents"] == {"read": 10, "scored": 9, "skipped": 1, "failed": 0}
    selected = as_json("select", out, "--fraction", 0.4)
    assert [d["documents_selected"] for d in selected["domains"]] == [2, 2]
    verified = as_json("verify", out, *model, "--corpus", folder / "corpus.jsonl", *COLUMNS)
    assert verified["ok"]
    assert all(check["ok"] for check in verified["checks"])

    for words in (["select", out], ["verify", out]):
        assert run(*words).stdout.strip()
    rows = out / "selection.parquet"
    rows.write_bytes(rows.read_bytes()[:-1] + b"!")
    assert not as_json("verify", out, code=1)["ok"]
    assert "FAILED" in run("verify", out, code=1).stdout


@pytest.mark.slow
def test_detect_writes_heads_that_score_reads(default, folder, tmp_path):
    """With the embedded model, whose heads do copy."""
    heads = tmp_path / "heads.json"
    result = as_json(
        "detect", "--probes", 2, "--max-tokens", 500, "--texts", folder / "prose.txt",
        "--out", heads, "--scores", tmp_path / "scores.csv",
    )  # fmt: skip
    assert json.loads(heads.read_text())["heads"] == result["heads"]
    assert len(result["heads"].split()) == 14
    assert len(result["highest"]) == 15
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 271
    report = run(
        "score", folder / "corpus.jsonl", *COLUMNS, "--heads", heads, "--out", tmp_path / "run"
    )
    assert "10 documents read = 9 scored + 1 skipped + 0 failed" in " ".join(report.stdout.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["score", "nowhere.jsonl", "--heads", "L0H0"], "nowhere.jsonl"),
        (["score", "--heads", "L0H0"], "either files to score, or --environment"),
        (["score", "x.jsonl"], "which heads to mask"),
        (
            ["score", "x.jsonl", "--heads", "no.json"],
            "no.json: No such file or directory. Give a file",
        ),
        (["score", "x.jsonl", "--heads", "L0H0", "--model", "./no-model"], "no model at"),
        (["select", "nowhere"], "holds no run.json"),
        (["detect", "--model", "./no-model"], "no model at"),
    ],
)
def test_what_the_user_can_mend_is_one_message_and_exit_code_1(folder, words, message):
    if words[0] == "score" and "--model" not in words:
        words = [*words, "--model", str(folder / "model")]
    result = run(*words, code=1)
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert message in as_json(*words, code=1)["error"]


def test_a_missing_manifest_is_a_failed_check(tmp_path):
    assert not as_json("verify", tmp_path, code=1)["ok"]


@pytest.mark.parametrize(
    "command", ["demo", "certify", "detect", "score", "select", "verify", "fetch"]
)
def test_every_command_explains_itself(command):
    assert "--json" in run(command, "--help").stdout


def test_a_word_that_is_no_command_fails():
    run("sellect", code=2)


def test_the_installed_command_is_this_one():
    done = subprocess.run(
        [Path(sys.executable).with_name("workbench"), "--help"], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "AttentionInfluence" in done.stdout


def test_a_domain_name_cannot_steer_the_terminal(folder, tmp_path):
    row = {"id": "x", "text": "some words to score", "domain": "[red]\x1b[31mevil"}
    (tmp_path / "c.jsonl").write_text(json.dumps(row))
    result = run(
        "score", tmp_path / "c.jsonl", "--model", folder / "model", "--heads", "L0H0", "--out",
        tmp_path / "run",
    )  # fmt: skip
    assert "\x1b" not in result.stdout
    assert "[red]" in result.stdout
