"""The options that several commands take: each is defined and explained here, once.

An option of a single command stands in its signature.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_CORPUS = typer.Argument(help="Files or folders, or one hf:// data set.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="Folder, .gguf file or Hugging Face id [default: embedded]."),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run Python code that comes with the checkpoint."),
]
Context = Annotated[
    int | None, typer.Option(min=1, help="Most tokens of a pass [default: the model's own].")
]
Revision = Annotated[str | None, typer.Option(help="Revision of a Hugging Face id.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")]
Simulate = Annotated[
    str | None, typer.Option(help="Round the weights as a quantised model has them: nf4 or int8.")
]
Reference = Annotated[
    str | None,
    typer.Option(
        help="A corpus whose texts modes mean and resample take outputs from, named as its file "
        "[default: the Python environment]."
    ),
]
IdColumn = Annotated[
    str, typer.Option(help="Column with the document id; a dot looks into nested ones.")
]
TextColumn = Annotated[str, typer.Option("--text", help="Column with the text.")]
DomainColumn = Annotated[
    str | None,
    typer.Option(
        "--domain",
        callback=lambda name: name or None,
        help="Column with the domain; 'domain' is the sub-folder where there is no such column, "
        "/ always the sub-folder, and an empty name one domain for all.",
    ),
]
Corpus = Annotated[list[str], _CORPUS]
CorpusIfAny = Annotated[list[str] | None, _CORPUS]
Environment = Annotated[
    int | None, typer.Option(help="Take this many documents of the Python environment.")
]
HeadNames = Annotated[str, typer.Option(help="heads.json, or names such as 'L17H3 L18H6'.")]
ModeName = Annotated[str, typer.Option(help="uniform, zero, mean or resample.")]
Window = Annotated[int | None, typer.Option(help="Tokens of a pass [default: context].")]
MaxTokens = Annotated[int | None, typer.Option(help="Read only so many tokens of each document.")]
Read = Annotated[
    str, typer.Option(help="Which tokens of longer documents: start, middle or spread.")
]
Controls = Annotated[
    int, typer.Option(min=0, help="Mask so many random head sets too, to compare with.")
]
ControlsShare = Annotated[
    float, typer.Option(help="Of which share of the documents, drawn by their text.")
]
OwnColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", help="A score column of your own, as module:function; may be repeated."
    ),
]
Overwrite = Annotated[
    bool, typer.Option(help="Move scores of other settings or another corpus aside.")
]
ManifestFolder = Annotated[Path, typer.Argument(help="Folder with manifest.json.")]
Clusters = Annotated[
    Path | None, typer.Option(help="Near-duplicates, written by `workbench duplicates`.")
]
