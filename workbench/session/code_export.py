"""The present state of a session as Python that rebuilds it."""

from __future__ import annotations

import pprint
import textwrap
from pathlib import Path
from typing import Any

from workbench.corpus.readers.remote import shown
from workbench.models.model import Model
from workbench.selection.ranking import SCORE
from workbench.session.corpus.columns import BOILERPLATE
from workbench.session.corpus.scored_corpus import ScoredCorpus
from workbench.session.state import State
from workbench.session.text_results import MAX_TOKENS

WIDTH = 88  # of the lines that a long text is broken into


def session_code(
    model: Model,
    state: State,
    *,
    corpus: ScoredCorpus | None,
    document: str | None,
    position: int | None,
    whole: bool = False,
    max_tokens: int,
    scored_heads: bool,
    asked_token: int | None,
    text_file: str | None = None,
) -> str:
    """Python that rebuilds a session.

    The lines run after `pip install`, but for what only this Python process holds: a model that was
    not loaded by `load_model`, or a corpus in memory. A comment names each of these.

    Args:
        model: of the session.
        state: text, masked heads, mode and comparison.
        corpus: the scored corpus; None: there is none.
        document: id of the opened document, or None.
        position: its position in the corpus, or None.
        whole: whether all of it is shown, of which only a part was read.
        max_tokens: how much of a text the session reads.
        scored_heads: whether the session has scores of heads, which are left out.
        asked_token: the token whose need colours the heads, or None.
        text_file: a file that the code reads the text from; None: the text stands in the code.

    Returns:
        Lines of Python, all in ASCII.
    """
    lines = ["import workbench as wb", "", *_model(model), *_session(max_tokens)]
    opened: list[str] = []
    if corpus is not None:
        lines += _corpus(corpus, model.context)
        opened = _opened(corpus, document, position, whole)
    if text_file is not None:
        read = f"open({text_file!a}, encoding='utf-8', newline='').read()"
        opened = opened or [f"session.read({read})"]
    lines += opened or [f"session.read({_literal(state.text)})"]
    if state.window:
        lines.append(f"session.read_window({state.window})")
    if scored_heads:
        lines.append("# its scores of heads are left out: session.detect() makes some")
    lines += _masks(state)
    if asked_token is not None:
        lines.append(f"session.ask({asked_token})")
    return "\n".join(lines) + "\n"


def _model(model: Model) -> list[str]:
    if model.loaded_by:
        return [f"model = {model.loaded_by}"]
    digest = model.identity["weights_sha256"][:12]
    return [f"# model: the {model.source!a} that you made yourself (weights sha256 {digest}...)"]


def _session(max_tokens: int) -> list[str]:
    options = "" if max_tokens == MAX_TOKENS else f", max_tokens={max_tokens}"
    return [f"session = wb.Session(model{options})"]


def _corpus(corpus: ScoredCorpus, context: int) -> list[str]:
    """Load the run with the corpus that it scored, and cut it.

    context: how many tokens the model reads, which is the window of a run unless another was given.
    """
    window = (corpus.selection.run or {}).get("window") or context
    smaller = "" if window == context else f"window={window}"
    if corpus.folder is None:
        more = f", {smaller}" if smaller else ""
        return [f"# its scores lay in memory: score(corpus, out='run/'{more}) keeps them"]
    lines = [f"# scored with {smaller}"] if smaller else []
    options = "".join(f", {key}={value!a}" for key, value in corpus.columns.items())
    place = _place(corpus.corpus)
    if place:
        options = f", {place}{options}"
        if place != _place(corpus.corpus, whole=True):
            lines.append("# a URL stands here without its query or password: put them back")
    elif corpus.corpus is not None:
        options = ""
        lines.append("# its corpus lay in memory: give it as the second argument to open rows")
    selection = corpus.selection
    ranked = "" if selection.by_score == SCORE else f", {selection.by_score!a}"
    if isinstance(corpus.exclude, str | Path):
        ranked += f", exclude={str(corpus.exclude)!a}"
    elif corpus.exclude is not None:
        lines.append("# its funnel lay in memory: write it, and give the file to cut(exclude=)")
    cut = [f"session.cut({selection.fraction!r}, {selection.by!r}{ranked})"]
    if corpus.among:
        ranking = textwrap.indent(_plain(corpus.among), " " * len("ranked = ")).lstrip()
        cut = [f"ranked = {ranking}", f"{cut[0][:-1]}, among=ranked)"]
        if BOILERPLATE in str(corpus.among):  # a column that is not kept with the run
            cut.insert(0, "session.measure_boilerplate()")
    return [
        *lines,
        f"session.load({str(corpus.folder)!a}{options})",
        *cut,
    ]


def _opened(
    corpus: ScoredCorpus, document: str | None, position: int | None, whole: bool
) -> list[str]:
    """Open the document again, where the run and its corpus can be read again."""
    if position is None or corpus.folder is None or not _place(corpus.corpus):
        return []
    named = document if document in corpus.unique_ids else position
    return [f"session.open({named!a}{', whole=True' * whole})"]


def _place(corpus: Any, whole: bool = False) -> str:
    """The path or paths that a corpus was read from, as Python; nothing for one in memory.

    whole: with what may be a credential in a URL.
    """
    written = str if whole else shown
    if isinstance(corpus, str | Path):
        return ascii(written(str(corpus)))
    if not isinstance(corpus, list | tuple) or not corpus:
        return ""
    paths = all(isinstance(path, str | Path) for path in corpus)
    return ascii([written(str(path)) for path in corpus]) if paths else ""


def _masks(state: State) -> list[str]:
    lines = []
    if state.heads:
        lines.append(f"session.mask({_literal(str(state.heads))})")
    if ":" in state.mode:
        name = state.mode.partition(":")[2]
        lines.append(f"# reference set {name!a}: wb.reference_set({name!a}, ...) with your texts")
    if state.mode != "uniform":
        lines.append(f"session.set_mode({state.mode!a})")
    if state.against:
        lines.append(f"session.compare_with({_literal(str(state.against))})")
    return lines


def _plain(value: Any) -> str:
    """Nested containers of plain values in ASCII, on lines of some WIDTH characters."""
    written = pprint.pformat(value, width=WIDTH, compact=True, sort_dicts=False)
    return written.encode("ascii", "backslashreplace").decode()


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
