"""The notebooks run to their end with a model of another geometry, named in the cell of settings.

Its weights are random: what the cells show then means nothing, and none may rest on heads, layers
or numbers of the default model.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import torch
import transformers as tr
from nbclient import NotebookClient
from support.paths import ROOT

import workbench as wb

# Not run here: the curve at the end of the first is of the answers that a model gets right, and
# this one gets none; the second trains twenty models whatever MODEL is.
LEFT_OUT = {"11_scaling_curves", "13_from_shares_to_a_mixture"}
NOTEBOOKS = sorted(
    path
    for path in (ROOT / "notebooks").glob("*.ipynb")
    if re.search(r'"MODEL(, CORPUS)? = None', path.read_text(encoding="utf-8"))
    and path.stem not in LEFT_OUT
)


@pytest.fixture(scope="module")
def another_model(tmp_path_factory) -> Path:
    """5 layers of 6 query heads over 2 KV groups, where the default model has 30 of 9 over 3."""
    tokenizer = wb.load_model().tokenizer
    config = tr.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=96, intermediate_size=192, num_hidden_layers=5,
        num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("another") / "model"
    tr.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_most_notebooks_name_their_model():
    assert len(NOTEBOOKS) >= 9


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_with_another_model(path, another_model, monkeypatch, tmp_path):
    """In a folder of its own: scores that a notebook has kept beside it are not touched."""
    monkeypatch.setenv("WORKBENCH_QUICK", "1")
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    notebook = nbformat.read(path, 4)
    (settings,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    settings.source, times = re.subn(
        r"^MODEL(, CORPUS)? = None(, None)?",
        lambda found: f"MODEL{found[1] or ''} = {str(another_model)!r}{found[2] or ''}",
        settings.source,
        flags=re.M,
    )
    assert times == 1
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
