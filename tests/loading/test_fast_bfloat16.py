"""That bfloat16 is faster is said where it is: on processors with AMX, of models that take time."""

from __future__ import annotations

import json
import re
import subprocess
import warnings

import pytest
from support.models import make_hf, make_tokenizer
from support.paths import ROOT
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.loading import fast_bfloat16

WITH_AMX = "processor\t: 0\nmodel name\t: x\nflags\t\t: fpu amx_bf16 avx512f amx_tile amx_int8\n"
SAID = "AMX and dtype='bfloat16' is faster .* 5.6 s instead of 14.4 s .* within .0054, .* .994"


@pytest.fixture
def folder(tmp_path):
    make_hf("llama").save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text(WITH_AMX)
    monkeypatch.setattr(fast_bfloat16, "CPUINFO", file)
    monkeypatch.setattr(fast_bfloat16, "WORTH_IT", 0)
    return file


def test_it_is_said_once_in_one_line(folder, cpuinfo):
    with pytest.warns(UserWarning, match=SAID) as said:
        wb.load_model(folder, device="cpu")
    assert len(said) == 1
    assert "\n" not in str(said[0].message)
    assert said[0].filename == __file__  # where the model was loaded


@pytest.mark.parametrize("options", [{"dtype": "float32"}, {"dtype": "bfloat16"}])
def test_who_chose_a_dtype_is_told_nothing(folder, cpuinfo, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wb.load_model(folder, device="cpu", **options)


@pytest.mark.parametrize(
    "text", ["", "flags\t: fpu amx_tile\n", "Features\t: fp asimd bf16\n", None]
)
def test_other_processors_and_systems_are_told_nothing(folder, cpuinfo, text):
    cpuinfo.unlink() if text is None else cpuinfo.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wb.load_model(folder, device="cpu")


def test_nothing_is_said_of_a_model_that_takes_no_time(folder, cpuinfo, monkeypatch):
    monkeypatch.setattr(fast_bfloat16, "WORTH_IT", 20_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wb.load_model(folder, device="cpu")


def test_a_plan_says_it(folder, cpuinfo, tmp_path):
    corpus = tmp_path / "c.jsonl"
    corpus.write_text("\n".join(json.dumps({"text": f"number {i} " * 9}) for i in range(4)))
    words = ["plan", str(corpus), "--model", str(folder), "--heads", "L0H1", "--device", "cpu"]
    with pytest.warns(UserWarning, match=SAID):
        assert CliRunner().invoke(app, words).exit_code == 0


def test_the_flags_are_those_of_this_machine():
    said = subprocess.run(
        ["grep", "-m1", "^flags", "/proc/cpuinfo"], capture_output=True, text=True
    )
    assert fast_bfloat16.cpu_flags() == frozenset(said.stdout.partition(":")[2].split())


def test_the_commands_of_the_makefile_are_quiet_about_it(folder, cpuinfo):
    """Outputs of notebooks are compared, and must not depend on the processor."""
    (quiet,) = [
        line.strip().removeprefix("PYTHONWARNINGS=").strip("'")
        for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
        if line.strip().startswith("PYTHONWARNINGS=")
    ]
    action, beginning = quiet.split(":")  # Python takes the second as it stands
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings(action, re.escape(beginning))
        wb.load_model(folder, device="cpu")
