"""The present state of a session as Python that rebuilds it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.corpus.readers.remote import shown
from workbench.session.head_colours import NEED
from workbench.session.text_results import MAX_TOKENS

if TYPE_CHECKING:
    from workbench.session.session import Session

WIDTH = 88  # of the lines that a long text is broken into


def code(session: Session) -> str:
    """Lines that run after `pip install`, but for what only this Python process holds: a model
    that was not loaded by `load_model`, or a corpus in memory. A comment names each of these."""
    return (
        "\n".join(
            ["import workbench as wb", "", *_model(session), *_text(session), *_heads(session)]
        )
        + "\n"
    )


def _model(session: Session) -> list[str]:
    model = session.model
    if model.loaded_by:
        return [f"model = {model.loaded_by}"]
    digest = model.identity["weights_sha256"][:12]
    return [f"# model: the {model.source!a} that you made yourself (weights sha256 {digest}...)"]


def _text(session: Session) -> list[str]:
    length = session.max_tokens
    options = "" if length == MAX_TOKENS else f", max_tokens={length}"
    corpus, lines = session.corpus, [f"session = wb.Session(model{options})"]
    if corpus is not None and corpus.folder is not None:
        columns = "".join(f", {key}={value!a}" for key, value in corpus.columns.items())
        given = corpus.corpus
        place = _place(given)
        if place:
            columns = f", {place}{columns}"
            if place != _place(given, whole=True):
                lines.append("# a URL stands here without its query or password: put them back")
        elif given is not None:
            lines.append("# its corpus lay in memory: give it as the second argument to open rows")
            columns = ""
        lines.append(f"session.load({str(corpus.folder)!a}{columns})")
        selection = corpus.selection
        lines.append(f"session.cut({selection.fraction!r}, {selection.by!r})")
        if session.position is not None and place:
            unique = session.document in corpus.unique_ids
            return [*lines, f"session.open({(session.document if unique else session.position)!a})"]
    elif corpus is not None:
        lines.append("# its scores lay in memory: score(corpus, out='run/') keeps them")
    return [*lines, f"session.read({_literal(session.text)})"]


def _place(corpus: Any, whole: bool = False) -> str:
    """The path or paths that a corpus was read from, as Python; nothing for one in memory.

    whole: with what may be a credential in a URL.
    """
    told = str if whole else shown
    if isinstance(corpus, str | Path):
        return ascii(told(str(corpus)))
    if not isinstance(corpus, list | tuple) or not corpus:
        return ""
    paths = all(isinstance(one, str | Path) for one in corpus)
    return ascii([told(str(one)) for one in corpus]) if paths else ""


def _heads(session: Session) -> list[str]:
    state = session.state
    lines = []
    if session.scores is not None:
        lines.append("# its scores of heads are left out: session.detect() makes some")
    if state.heads:
        lines.append(f"session.mask({_literal(str(state.heads))})")
    if state.mode != "uniform":
        lines.append(f"session.set_mode({state.mode!r})")
    if state.against:
        lines.append(f"session.compare_with({_literal(str(state.against))})")
    if session.palette.chosen == NEED:
        lines.append(f"session.ask({session.palette.token})")
    return lines


def _literal(text: str) -> str:
    """`text` in ASCII, so that nothing in it can turn the direction of the code."""
    if len(text) <= WIDTH - 20:
        return ascii(text)
    parts: list[str] = []
    start = 0
    while start < len(text):
        end = min(start + WIDTH - 8, len(text))
        space = text.rfind(" ", start + 1, end) + 1 if end < len(text) else 0
        parts.append(text[start : space or end])
        start = space or end
    return "(\n" + textwrap.indent("\n".join(map(ascii, parts)), "    ") + "\n)"
