"""What the commands share: how they report, read what their options say, and print.

Progress and messages go to standard error, results to standard output; with --json the output is
one JSON object and nothing else. The exit code is 0 only on success.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from workbench.cli.output import (
    Command,
    Commands,
    messages,
    print_json,
    print_table,
    put,
    results_alone,
)

if TYPE_CHECKING:
    from workbench.models.heads import HeadSet

__all__ = ["messages", "print_json", "print_table", "put"]

app = Command(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Rich would take "[default: embedded]" for markup and drop it, and cut long names of options.
    rich_markup_mode=None,
    help="Find the retrieval heads of a small language model, mask them, and select pretraining "
    "documents by what the model then loses (AttentionInfluence, arXiv 2505.07293).",
)


def referenced(mode: str, path: str | None, **columns: Any) -> str:
    """A mode with the reference set of a corpus, which is registered under the name of its file.

    Args:
        mode: as it was given.
        path: of the corpus; None: the mode stays as it is.
        **columns: id, text and domain, as `read_corpus` takes them.

    Returns:
        The mode, such as "mean:notes".
    """
    if path is None:
        return mode
    from pathlib import Path

    import workbench as wb

    made = wb.reference_set(Path(path).stem, wb.read_corpus(path, **columns))
    return f"{mode}:{made.name}"


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turn what the user can mend into one readable message and exit code 1.

    Any other error is a fault of ours: its traceback is shown, and machines get JSON all the same.

    Args:
        as_json: print errors as JSON, too.

    Yields:
        Nothing.

    Raises:
        typer.Exit: with the code of the command, once the message is printed.
    """
    with results_alone():
        try:
            yield
        except typer.Exit:  # it is a RuntimeError, but no error
            raise
        except KeyboardInterrupt as stop:
            messages.print(
                "stopped; what was finished is kept, the same command goes on from there"
            )
            raise typer.Exit(143 if isinstance(stop, _Terminated) else 130) from None
        except Exception as error:
            if as_json:
                print_json({"error": str(error), "kind": type(error).__name__})
            if not isinstance(error, ValueError | OSError | RuntimeError | ImportError):
                raise
            messages.print(f"workbench: {error}", style="red", markup=False)
            raise typer.Exit(1) from None


@contextmanager
def given_as(option: str, expected: str) -> Iterator[None]:
    """Inside the block, a file that the system refuses is named with the option that gave it.

    Args:
        option: such as "--terms".
        expected: what it should hold.

    Yields:
        Nothing.

    Raises:
        ValueError: a file could not be opened or read.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{option}: {error.filename}: {error.strerror}. Expected: {expected}"
        ) from None


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
    """Which shards `--shards` asks for.

    Args:
        shards: "i/n"; None: all.

    Returns:
        (i, n); (1, 1) when it is not given.

    Raises:
        ValueError: it is no i/n with i from 1 to n.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", shards or "1/1")
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"--shards must be i/n with i from 1 to n, such as 3/8; got {shards!r}")
    return int(match[1]), int(match[2])


def workers_of(text: str | None) -> int | list[str] | None:
    """What `--workers` asks for.

    Args:
        text: a number, or devices with commas between.

    Returns:
        A number of processes, or a list of devices; None when it is not given.
    """
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        return [device.strip() for device in text.split(",") if device.strip()]
    return int(text)


def progress_printer(progress: str) -> Callable[[dict[str, Any]], object] | None:
    """What is called with the progress of a run.

    With lines of JSON on standard error nothing else is to be there, so all bars are silenced; call
    this before what draws them is imported.

    Args:
        progress: "bar" or "json".

    Returns:
        A function that prints a state of progress as a line of JSON; None leaves it to a bar.

    Raises:
        ValueError: it is neither.
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
    """The model, the heads to mask and the corpus of a command that scores.

    Args:
        corpus: files, folders or a data set.
        heads: as in `heads_of`.
        environment: take as many documents of the Python environment instead of a corpus.
        model: folder, file or id; None: the default model.
        **loading: further options of `load_model`.

    Returns:
        The model, the head set and the corpus.

    Raises:
        ValueError: there is not exactly one of corpus and environment, or no heads.
    """
    if (environment is None) == (not corpus):
        raise ValueError("give either files to score, or --environment N")
    if not heads:
        raise ValueError("say which heads to mask: --heads heads.json (see `workbench detect`)")
    import workbench as wb

    loaded = wb.load_model(model, **loading)
    documents: Any = corpus
    if environment is not None:
        documents = wb.environment_corpus(max_documents=environment)
    return loaded, heads_of(heads, loaded), documents


def heads_of(text: str, model: Any) -> HeadSet:
    """The heads that `--heads` gives.

    Args:
        text: the name of a file that `detect` wrote, or names of heads.
        model: the model that they belong to.

    Returns:
        The head set.

    Raises:
        ValueError: the file holds no head set, or a name is no head of the model.
    """
    from workbench.core.files import read_json
    from workbench.models.heads import HeadSet

    if not text.lower().endswith(".json") and not os.path.isfile(text):
        return HeadSet.parse(text, model)
    try:
        return HeadSet.from_json(read_json(text, any_unicode=True))
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(
            f"{text}: {reason}. Give a file that `workbench detect --out` wrote, or names "
            "such as 'L17H3 L18H6'"
        ) from None


def print_domains(domains: list[dict[str, Any]]) -> None:
    """Print what a selection took of each domain.

    Args:
        domains: one dict a domain, as in `Selection.domains`.
    """
    rows = [
        (d["domain"], f"{d['threshold']:.3f}", f"{d['documents_selected']}/{d['documents_seen']}",
         f"{d['tokens_share']:.0%}")
        for d in domains
    ]  # fmt: skip
    print_table(("domain", "cut at score", "documents chosen", "share of tokens"), rows)
