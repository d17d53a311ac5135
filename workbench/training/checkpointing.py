"""Checkpoints of a training run: models for reading, and the one file from which it goes on.

Everything is safetensors and JSON; no pickle is written or read.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from workbench.core.files import write_atomically
from workbench.core.folders import replace_folder

RESUME = "resume.safetensors"


def write_model(folder: Path, hf: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write a folder that `load_model` reads, in the place of an older one.

    Whatever ends the process, `load_model` finds the whole older model or the whole new one.

    Args:
        folder: where to; what lies there is replaced.
        hf: the model.
        tokenizer: its tokenizer.
    """
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # one bar, of the training, is enough
    half = folder.with_name(f".{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    try:
        hf.save_pretrained(half)
        tokenizer.save_pretrained(half)
    finally:
        if bars:
            logging.enable_progress_bar()
    replace_folder(half, folder)


def stored_run(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """What a run wrote of itself, without reading its weights.

    Args:
        path: the file of a `Resume`.

    Returns:
        The record (identity, step, notes) and the shape of each weight by name.

    Raises:
        ValueError: the file is not what a run wrote.
        OSError: it cannot be read.
    """
    try:
        with safe_open(path, "pt") as stored:
            record = json.loads((stored.metadata() or {})["run"])
            names = [name for name in stored.keys() if name.startswith("weight.")]  # noqa: SIM118
            shapes = {
                name.removeprefix("weight."): tuple(stored.get_slice(name).get_shape())
                for name in names
            }
        return {key: record[key] for key in ("identity", "step", "notes")}, shapes
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not what a training run wrote ({error!r}): remove it to begin anew"
        ) from error


class Resume:
    """The file that holds weights, moments of the optimizer and notes of a run of one identity.

    Attributes:
        path: the file.
        identity: what settles a run: recipe, data, seed.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """Make the folder; nothing is read or written yet.

        Args:
            folder: of the run.
            identity: values that JSON holds; a file of another identity is refused.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.identity = folder / RESUME, identity

    def save(
        self, step: int, hf: PreTrainedModel, optimizer: torch.optim.Optimizer, notes: dict
    ) -> None:
        """Write what is needed to go on after a step.

        Args:
            step: steps that are done.
            hf: the model, without wrappers.
            optimizer: its optimizer.
            notes: whatever else the run needs to go on; values that JSON holds.
        """
        names = {id(parameter): name for name, parameter in hf.named_parameters()}
        tensors = {f"weight.{name}": p.detach() for name, p in hf.named_parameters()}
        for parameter, moments in optimizer.state.items():
            for key, value in moments.items():
                tensors[f"{key}.{names[id(parameter)]}"] = value
        plain = {key: value.cpu().contiguous() for key, value in tensors.items()}
        record = json.dumps({"identity": self.identity, "step": step, "notes": notes})
        write_atomically(self.path, safetensors.torch.save(plain, {"run": record}))

    def load(
        self, hf: PreTrainedModel, optimizer: torch.optim.Optimizer
    ) -> tuple[int, dict[str, Any]]:
        """Put what was saved back.

        Args:
            hf: the model that gets the weights.
            optimizer: gets the moments.

        Returns:
            The step and the notes; (0, {}) for a new folder.

        Raises:
            ValueError: the folder holds a run of another identity (what differs is named), or the
                file is not what a run wrote.
        """
        if not self.path.exists():
            return 0, {}
        try:
            with safe_open(self.path, "pt") as stored:
                record = json.loads((stored.metadata() or {})["run"])
                self._require_same(record["identity"])
                if not record["step"]:
                    return 0, {}
                with torch.no_grad():
                    for name, parameter in hf.named_parameters():
                        parameter.copy_(stored.get_tensor(f"weight.{name}"))
                        optimizer.state[parameter] = {
                            key: stored.get_tensor(f"{key}.{name}").to(
                                "cpu" if key == "step" else parameter.device
                            )
                            for key in ("step", "exp_avg", "exp_avg_sq")
                        }
            step = int(record["step"])
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{self.path} is not what a training run wrote ({error!r}): remove it to begin anew"
            ) from error
        return step, record["notes"]

    def _require_same(self, stored: dict[str, Any]) -> None:
        wanted = json.loads(json.dumps(self.identity))
        differing = [
            f"{key} was {stored.get(key)!r}, is {wanted.get(key)!r}"
            for key in sorted(stored.keys() | wanted.keys())
            if stored.get(key) != wanted.get(key)
        ]
        if differing:
            raise ValueError(
                f"{self.path.parent} holds another training run: {'; '.join(differing)}. Take "
                "another folder, or remove that one"
            )
