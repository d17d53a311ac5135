"""What the commands share: their options, how they report, and how they print.

Progress and messages go to standard error, results to standard output; with --json the output is
one JSON object and nothing else. The exit code is 0 only on success.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find the retrieval heads of a small language model, mask them, and select pretraining "
    "documents by what the model then loses (AttentionInfluence, arXiv 2505.07293).",
)
messages = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="Folder, .gguf file or Hugging Face id [default: embedded]."),
]
Revision = Annotated[str | None, typer.Option(help="Revision of a Hugging Face id.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")]
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


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turn what the user can mend into one readable message and exit code 1."""
    try:
        yield
    except typer.Exit:  # it is a RuntimeError, but no error
        raise
    except KeyboardInterrupt as stop:
        messages.print("stopped; what was finished is kept, the same command goes on from there")
        raise typer.Exit(143 if isinstance(stop, _Terminated) else 130) from None
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if as_json:
            print_json({"error": str(error), "kind": type(error).__name__})
        messages.print(f"workbench: {error}", style="red", markup=False)
        raise typer.Exit(1) from None


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM, as job schedulers send it before they kill, ends the block as Ctrl-C would."""

    def terminate(number: int, frame: object) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def part_of(shards: str | None) -> tuple[int, int]:
    """`i/n` as (i, n); (1, 1) when it is not given."""
    found = re.fullmatch(r"(\d+)/(\d+)", shards or "1/1")
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"--shards must be i/n with i from 1 to n, such as 3/8; got {shards!r}")
    return int(found[1]), int(found[2])


def workers_of(text: str | None) -> int | list[str] | None:
    """A number of processes, or a list of devices."""
    if text is None or not text.isascii() or not text.isdigit():
        return None if text is None else [one.strip() for one in text.split(",") if one.strip()]
    return int(text)


def hearer(progress: str) -> Callable[[dict[str, Any]], object] | None:
    """What hears of a run's progress: None leaves it to a bar.

    With lines of JSON on standard error nothing else is to be there, so all bars are silenced; call
    this before what draws them is imported.
    """
    if progress not in ("bar", "json"):
        raise ValueError(f"--progress must be bar or json, got {progress!r}")
    if progress == "bar":
        return None
    os.environ["TQDM_DISABLE"] = "1"
    return lambda state: print(json.dumps(state), file=sys.stderr, flush=True)


def to_score(
    corpus: list[str] | None, heads: str, environment: int | None, model: str | None, **loading: Any
) -> tuple[Any, Any, Any]:
    """The model, the heads to mask and the corpus of a command that scores."""
    import workbench as wb

    if (environment is None) == (not corpus):
        raise ValueError("give either files to score, or --environment N")
    if not heads:
        raise ValueError("say which heads to mask: --heads heads.json (see `workbench detect`)")
    loaded = wb.load_model(model, **loading)
    documents: Any = corpus
    if environment is not None:
        documents = wb.environment_corpus(max_documents=environment)
    return loaded, heads_of(heads, loaded), documents


def heads_of(text: str, model: Any) -> Any:
    from workbench.heads import HeadSet

    if text.endswith(".json"):
        return HeadSet.from_json(Path(text).read_text(encoding="utf-8"))
    return HeadSet.parse(text, model)


def print_json(value: dict[str, Any]) -> None:
    json.dump(value, sys.stdout, indent=2)
    print()


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(*header)
    for row in rows:
        # Domain names come from the corpus: no markup, no escape sequences for the terminal.
        table.add_row(*("".join(c for c in str(x) if c.isprintable()) for x in row))
    Console(markup=False, highlight=False).print(table)


def print_domains(domains: list[dict[str, Any]]) -> None:
    rows = [
        (d["domain"], f"{d['threshold']:.3f}", f"{d['documents_selected']}/{d['documents_seen']}",
         f"{d['tokens_share']:.0%}")
        for d in domains
    ]  # fmt: skip
    print_table(("domain", "cut at score", "documents chosen", "share of tokens"), rows)
