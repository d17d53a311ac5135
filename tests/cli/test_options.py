"""Options of several commands: one definition each, so that they say the same everywhere."""

from __future__ import annotations

from collections import defaultdict
from typing import get_type_hints

import pytest
from typer.models import ParameterInfo

from workbench.cli import app, options

# One name, and another thing in each command.
OF_EACH = {"by", "corpus", "environment", "folder", "fraction", "max_tokens", "out", "repeat",
           "sample", "seed", "texts"}  # fmt: skip


def definitions():
    """By parameter, then by command: what typer was told of it."""
    found = defaultdict(dict)
    for command in app.registered_commands:
        hints = get_type_hints(command.callback, include_extras=True)
        for name, kind in hints.items():
            for told in getattr(kind, "__metadata__", ()):
                if isinstance(told, ParameterInfo):
                    found[name][command.name or command.callback.__name__] = told
    return found


@pytest.mark.parametrize("name", sorted(definitions().keys() - OF_EACH))
def test_an_option_of_several_commands_is_defined_once(name):
    told = definitions()[name]
    assert len({id(one) for one in told.values()}) == 1, sorted(told)


def test_no_help_text_is_written_twice():
    by_text = defaultdict(set)
    for told in definitions().values():
        for one in told.values():
            by_text[one.help].add(id(one))
    assert [text for text, ids in by_text.items() if len(ids) > 1] == []


def test_what_stands_among_the_shared_options_is_shared():
    uses = defaultdict(int)
    for told in definitions().values():
        for one in told.values():
            uses[id(one)] += 1
    aliases = {name: kind for name, kind in vars(options).items() if hasattr(kind, "__metadata__")}
    assert len(aliases) > 15
    assert [name for name, kind in aliases.items() if uses[id(kind.__metadata__[0])] < 2] == []
