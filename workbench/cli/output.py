"""What the commands print: results alone on standard output, whatever stands at its other end.

Inside `results_alone` everything else that prints (libraries, code of a checkpoint) goes to
standard error. What a terminal's encoding cannot show is replaced, and a reader that closes early
ends the printing, not the work: the exit code stays that of the command.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

import typer
import typer.core
from rich.console import Console
from rich.table import Table

from workbench.core.strict_json import strict
from workbench.core.text import escape_control_characters

messages = Console(stderr=True, highlight=False, soft_wrap=True)

_results: TextIO | None = None  # standard output while it is turned away from everybody else


class Command(typer.Typer):
    """The command, whose output has `?` in place of what the encoding of its reader lacks."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command.

        Args:
            *args: as typer takes them.
            **kwargs: as typer takes them.
        """
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        return super().__call__(*args, **kwargs)


class Commands(typer.core.TyperGroup):
    """The list of commands, each with its whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, each with its whole first sentence.

        Args:
            ctx: of the command.
            formatter: that the help is written to.
        """
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, command.get_short_help_str(10_000))
                    for name, command in commands.items()
                    if command
                ]
            )


@contextmanager
def results_alone() -> Iterator[None]:
    """Inside the block only `put` writes to standard output; other prints go to standard error."""
    global _results
    before, _results = _results, sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _results = before


def put(text: object = "") -> None:
    """Print a result on standard output.

    Args:
        text: is followed by a line break.

    Raises:
        OSError: it cannot be printed; that the reader is gone is no error.
    """
    stream = _results or sys.stdout
    if stream is None:  # the command was started without one
        return
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        _discard(stream)


def _discard(stream: TextIO) -> None:
    """Let a stream whose reader is gone, and what it still holds, lead nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one object of strict JSON: null for what is not finite, no frame, no number of numpy.

    Args:
        value: frames, dataclasses and numpy numbers may be inside.
    """
    put(json.dumps(strict(value), indent=2, allow_nan=False))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table whose cells are folded where it is too narrow for them: no text is cut off.

    Args:
        header: names of the columns.
        rows: as many cells each.
    """
    table = Table()
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        # Domain names come from the corpus: no markup, no escape sequences for the terminal.
        table.add_row(*(escape_control_characters(str(cell)) for cell in row))
    target = _results or sys.stdout
    console = Console(file=target, markup=False, highlight=False)
    with console.capture() as shown:
        console.print(table)
    put(shown.get().rstrip("\n"))
