"""A folder is replaced whole: whatever ends the process, the older or the new one can be read."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.models import make_hf, make_tokenizer

import workbench as wb
from workbench.core import folders
from workbench.core.folders import replace_folder, standing_folder
from workbench.models.identity import weights_sha256
from workbench.training.checkpointing import write_model

# The process ends at the n-th change of the file system, as one that is killed does.
DIES = """
import os, pathlib, runpy, sys
place, path, left = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
replace_folder = runpy.run_path(place)["replace_folder"]

def hook(event, args):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
        left -= 1
        if left < 0:
            os._exit(9)

sys.addaudithook(hook)
replace_folder(path.with_name("made"), path)
"""


def lay_down(folder, content):
    (folder / "inner").mkdir(parents=True)
    for name in ("a", "b", "inner/c"):
        (folder / name).write_text(content)


def content_of(folder):
    texts = {path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert len(list(folder.rglob("*"))) == 4  # nothing of it is missing
    (content,) = texts
    return content


@pytest.mark.parametrize("older", [True, False])
def test_whatever_ends_the_process_a_whole_folder_stands(tmp_path, older):
    path, seen, ended = tmp_path / "it", [], 9
    if older:
        lay_down(path, "0")
    while ended == 9:
        made, round_ = tmp_path / "made", len(seen) + 1
        if not made.exists():
            lay_down(made, str(round_))
        command = [sys.executable, "-c", DIES, folders.__file__, path, round_ - 1]
        ended = subprocess.run(list(map(str, command)), check=False).returncode
        stands = standing_folder(path)
        seen.append(content_of(stands) if stands.exists() else None)
    assert ended == 0
    assert len(seen) > (5 if older else 1)
    assert set(seen) > ({"0"} if older else {None})
    assert path.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_a_model_written_over_an_older_one_loads_at_every_moment(tmp_path):
    old, new, path = make_hf("llama"), make_hf("llama", seed=1), tmp_path / "step-000010"
    write_model(path, old, make_tokenizer())
    path.rename(tmp_path / f".{path.name}.old")  # between the two renames of a replacement
    loaded = wb.load_model(path, certify=False)
    assert loaded.identity["weights_sha256"] == weights_sha256(old)
    assert loaded.source == path.name
    write_model(path, new, make_tokenizer())
    assert wb.load_model(path, certify=False).identity["weights_sha256"] == weights_sha256(new)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_never_was_is_not_made_up(tmp_path):
    assert standing_folder(tmp_path / "x") == tmp_path / "x"
    lay_down(tmp_path / "x", "0")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "not-made", tmp_path / "x")
    assert content_of(tmp_path / "x") == "0"
