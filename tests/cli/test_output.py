"""What the command prints: results alone, whatever the encoding and the reader at the other end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.models import make_hf, make_tokenizer
from support.run_folders import lay_down_run
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.cli.output import print_json, print_table, put, results_alone
from workbench.loading.load import load_model

BIN = Path(sys.executable).with_name("workbench")


def started(*words, stdout=subprocess.PIPE, **environment):
    """The installed command, as a shell starts it."""
    return subprocess.run(
        [BIN, *map(str, words)], stdout=stdout, stderr=subprocess.PIPE,
        env=os.environ | environment, check=False,
    )  # fmt: skip


def closed_pipe():
    """The writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run whose domains no small encoding holds."""
    folder = tmp_path_factory.mktemp("output") / "run"
    table = lay_down_run(folder)
    scores = table.frame
    assert "é" not in "".join(scores["domain"])
    names = {name: f"数学 → {name}é" for name in scores["domain"].unique()}
    scores["domain"] = scores["domain"].map(names)
    import pyarrow as pa
    import pyarrow.parquet as pq
    from support.run_folders import describe

    record = table.run
    record["score_files"] = []
    for part in range(2):
        path = folder / f"scores/part-{part}.parquet"
        rows = scores.iloc[part * 12 : (part + 1) * 12]
        pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), path)
        record["score_files"].append(describe(path, folder, 12))
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_an_encoding_lacks_is_replaced(run, encoding):
    done = started("select", run, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode(encoding)
    assert "?? ? code" in shown
    assert "Traceback" not in done.stderr.decode()
    assert (run / "manifest.json").exists()


def test_help_is_shown_whole_in_any_encoding():
    done = started("score", "--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.decode("ascii").split())
    for text in ("--trust-remote-code", "[default: embedded]", "[default: context]",
                 "[default: the model's own]", "[default: none]"):  # fmt: skip
        assert text in shown


def test_the_list_of_commands_has_whole_sentences():
    listed = " ".join(invoked("--help").stdout.split())
    assert "Compare two selections from their manifests: overlap, what moved, and why." in listed
    assert "..." not in listed.split("Commands:")[1]


@pytest.mark.parametrize(
    "words",
    [
        ["select"],
        pytest.param(["select", "--json"], marks=pytest.mark.slow),
        pytest.param(["verify"], marks=pytest.mark.slow),
    ],
)
def test_a_reader_that_is_gone_ends_the_printing_and_not_the_work(run, words):
    command, *options = words
    (run / "manifest.json").unlink(missing_ok=True)
    if command == "verify":
        wb.write_manifest(wb.select(wb.load_scores(run)), run)
    pipe = closed_pipe()
    done = started(command, run, *options, stdout=pipe)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (run / "manifest.json").exists()


@pytest.mark.slow
def test_a_failed_check_fails_without_a_reader_too(run):
    wb.write_manifest(wb.select(wb.load_scores(run)), run)
    (run / "selection.parquet").write_bytes(b"")
    pipe = closed_pipe()
    done = started("verify", run, stdout=pipe)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (1, b"")


def test_results_stand_alone(capfd):
    with results_alone():
        print("a library speaks")
        put("a result")
    assert capfd.readouterr() == ("a result\n", "a library speaks\n")


def test_a_result_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space left"):
            put("a result")
        monkeypatch.undo()
        os.dup2(os.open(tmp_path / "rest", os.O_CREAT | os.O_WRONLY), full.fileno())


def test_json_is_strict(capsys):
    print_json({"a": float("nan"), "b": [float("inf"), 1], "c": "→\ud800"})
    out = capsys.readouterr().out
    parsed = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert parsed == {"a": None, "b": [None, 1], "c": "→\ud800"}
    assert out.isascii()


def test_a_table_cuts_no_text_off(capsys):
    name = "x" * 300
    print_table(("domain", "n"), [(name, 1), ("\x1b[31mred\u202e", 2)])
    out = capsys.readouterr().out
    assert out.count("x") == 300
    assert "…" not in out
    assert "\\u001b[31mred\\u202e" in out


def test_an_error_of_ours_is_json_too_and_shows_where_it_is(run, monkeypatch):
    def broken(*args, **settings):
        raise KeyError("a fault of ours")

    monkeypatch.setattr("workbench.select_files", broken, raising=False)
    done = CliRunner().invoke(app, ["select", str(run), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["kind"] == "KeyError"
    assert isinstance(done.exception, KeyError)


# ---- what the commands that load a model are given -----------------------------------------------


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("models")
    make_hf("llama").save_pretrained(workdir / "model")
    make_tokenizer().save_pretrained(workdir / "model")
    rows = [{"id": f"d{i}", "text": f"number {i} " * 9} for i in range(4)]
    (workdir / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return workdir


def invoked(*words, code=0):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


HEADS = {"heads": "L0H1 L2H3", "layers": 3, "heads_per_layer": 4, "origin": {}}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("name", ["heads.json", "HEADS.JSON", "heads"])
def test_a_file_of_heads_in_any_unicode(workdir, tmp_path, encoding, name):
    from workbench.cli.shared import heads_of

    path = tmp_path / name
    path.write_bytes(json.dumps(HEADS, indent=1).replace("\n", "\r\n").encode(encoding))
    assert str(heads_of(str(path), None)) == HEADS["heads"]


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is not JSON"), (b"\xff\xfe\x00", "is not JSON"), (b"[]", "not a stored head set"),
     (json.dumps(HEADS | {"heads": "L9H9"}).encode(), "L9H9 is not a head of this model"),
     (b'{"heads": "L0H1", "heads": "L0H2"}', "stands twice")],
)  # fmt: skip
def test_a_wrong_file_of_heads_is_named(tmp_path, content, says):
    from workbench.cli.shared import heads_of

    path = tmp_path / "mine.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says) as caught:
        heads_of(str(path), None)
    assert str(caught.value).startswith(f"{path}: ")
    assert "workbench detect" in str(caught.value)


def test_context_and_trust_reach_the_model_and_its_record(workdir, tmp_path, monkeypatch):
    asked = []

    def load(*arguments, **options):
        asked.append(load_model(*arguments, **options))
        return asked[-1]

    monkeypatch.setattr("workbench.load_model", load, raising=False)
    words = ["--model", workdir / "model", "--context", 64, "--trust-remote-code"]
    scoring = [workdir / "c.jsonl", "--heads", "L0H1"]
    invoked("certify", *words)
    invoked("plan", *scoring, *words)
    invoked("score", *scoring, *words, "--out", tmp_path / "run")
    invoked("select", tmp_path / "run")
    invoked("verify", tmp_path / "run", *words, "--corpus", workdir / "c.jsonl")
    invoked("detect", *words, "--texts", workdir / "c.jsonl", "--out", tmp_path / "h.json", code=1)
    assert [model.context for model in asked] == [64] * 5
    for model in asked:
        assert "context=64" in model.loaded_by
        assert "trust_remote_code=True" in model.loaded_by
    assert "--context" in invoked("score", *scoring, "--context", 0, code=2).stderr


# ---- what the command loads ----------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["score", "--help"], ["verify", "--help"]])
def test_help_waits_for_nothing_heavy(words):
    script = (
        "import sys; from workbench.cli.main import app\n"
        f"try: app({words})\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m in ('torch', 'transformers', 'plotly', 'pandas', "
        "'numpy', 'pyarrow', 'sklearn', 'scipy', 'IPython')], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "Usage" in done.stdout
    assert done.stderr.strip() == "[]"
