"""Influence by step: how much each step of a worked solution loses when heads are masked.

After AIR (arXiv 2512.13279), which weights the steps of reasoning traces and picks traces by what
masked heads cost. Every token belongs to one step, so the changes of the steps add up to that of
the document.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from workbench.core.files import write_atomically
from workbench.core.progress import progress_bar
from workbench.corpus.document import Document, Skipped
from workbench.corpus.reading import text_sha256
from workbench.masking.losses import losses_of_ids
from workbench.masking.token_changes import CONTINUED, aligned, pieces_of
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.columns.own_columns import source_sha256
from workbench.scoring.folder.run_folder import run_record
from workbench.scoring.settings import ScoringSettings

Steps = Literal["blank line", "sentence"] | Callable[[str], Sequence[str]]
_ENDS = {
    "blank line": re.compile(r"\n[^\S\n]*\n\s*"),
    "sentence": re.compile(
        "(?<![.!?])[.!?]+[\"')\\]]*\\s+|[\u3002\uff01\uff1f]+\\s*|\\n[^\\S\\n]*\\n\\s*"
    ),
}
# Losses are taken to multiples of this many nats, so that their sums are exact in any order.
GRAIN = 2.0**-30
COLUMNS = ("step", "start", "end", "tokens", "loss_base", "loss_ref", "change", "rise", "weight")


@dataclass(frozen=True, eq=False, repr=False)
class StepInfluence:
    """What masking costs each step of some documents.

    Attributes:
        steps: one row a step: document (number of its row in `documents`), step, start and end (in
            characters of the text), tokens (predicted), loss_base, loss_ref and change (sums of
            nats), rise (change / loss_base; NaN for a step without a loss), and weight (the change
            a token, 0 where it falls, over its mean over the document's tokens, so that weights
            average to 1; 1 everywhere where no step rises).
        documents: one row a document: doc_id, domain, source, row, text_sha256, steps, tokens,
            loss_base, loss_ref, change, and score (change / loss_base: equation 5 of
            arXiv 2505.07293, by which to pick documents).
        settings: what the weights depend on, as the record of a scoring run has it (model,
            certificate, heads, mode, reference, max_tokens, software), and steps_by: name, or
            function and the source_sha256 of its text.
        left_out: how many rows given have no steps here: those that `read_corpus` skipped,
            and documents without a token that is predicted.
    """

    steps: pd.DataFrame
    documents: pd.DataFrame
    settings: Mapping[str, Any]
    left_out: int = 0

    def write(self, path: str | Path) -> Path:
        """Write sample weights for a trainer, a JSON object a line, and the settings beside them.

        Args:
            path: of the file.

        Returns:
            The path. A line has id, source, row, text_sha256, score, and steps: a list of [start,
            end, weight], the characters that a step covers and what to multiply its tokens' loss
            by. Texts are not in it. The settings, with the SHA-256 of the file, stand in
            `settings_path(path)`; `verify_steps` holds the file to them.
        """
        lines = []
        by_document = {n: part for n, part in self.steps.groupby("document")}
        for number, row in enumerate(self.documents.to_dict("records")):
            part = by_document[number]
            spans = zip(part["start"], part["end"], part["weight"], strict=True)
            keys = {key: row[key] for key in ("source", "row", "text_sha256", "score")}
            steps = [[int(start), int(end), float(weight)] for start, end, weight in spans]
            lines.append(json.dumps({"id": row["doc_id"], **keys, "steps": steps}) + "\n")
        data = "".join(lines).encode()
        written = write_atomically(Path(path), data)
        beside = {"sha256": hashlib.sha256(data).hexdigest(), "settings": dict(self.settings)}
        write_atomically(settings_path(path), json.dumps(beside, indent=2).encode())
        return written

    def __repr__(self) -> str:
        counts = f"{len(self.steps):,} steps of {len(self.documents):,} documents"
        if self.left_out:
            counts += f", not counted: {self.left_out:,} without text or prediction"
        return f"StepInfluence: {counts}"


def settings_path(path: str | Path) -> Path:
    """Where the settings of a file of step weights stand.

    Args:
        path: of the file.

    Returns:
        The path beside it: "steps.jsonl.settings.json" for "steps.jsonl".
    """
    return Path(f"{path}.settings.json")


def split_steps(text: str, by: Steps = "blank line") -> list[str]:
    """Cut a text into steps that together are the text.

    Args:
        text: the text.
        by: "blank line"; "sentence", which ends at . ! ? before white space or at a blank line; or
            a function from the text to its pieces in order.

    Returns:
        The steps, none of them empty.

    Raises:
        ValueError: there is no such way, or the pieces of the function are not the whole text.
    """
    if callable(by):
        pieces = [str(piece) for piece in by(text)]
        if "".join(pieces) != text:
            raise ValueError(
                "the steps must be the whole text, cut: joined they are "
                f"{''.join(pieces)!r:.80}, the text is {text!r:.80}"
            )
        return [piece for piece in pieces if piece]
    if by not in _ENDS:
        raise ValueError(f"steps are cut by {', '.join(_ENDS)} or a function, got {by!r:.80}")
    cuts = [0, *(match.end() for match in _ENDS[by].finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if a < b]


def step_of_tokens(pieces: Sequence[str], steps: Sequence[str]) -> np.ndarray:
    """The step in which each token ends.

    Args:
        pieces: the text of each token, which together begin the text (`pieces_of`).
        steps: the steps of the text (`split_steps`), at least one.

    Returns:
        Int (tokens,), numbers of steps from 0, which never fall.
    """
    ends = np.cumsum([len(step) for step in steps])
    text, places, at = "".join(steps), [], 0
    for piece in pieces:
        if piece != CONTINUED or text[at : at + 1] == CONTINUED:
            at += len(piece)
        places.append(min(int(np.searchsorted(ends, max(at, 1))), len(ends) - 1))
    return np.asarray(places, dtype=int)


def steps_of(
    pieces: Sequence[str], before: np.ndarray, after: np.ndarray, steps: Sequence[str]
) -> pd.DataFrame:
    """The losses of tokens, added up by step. A token is of the step in which it ends.

    Args:
        pieces: the text of each token, which together begin the text (`pieces_of`).
        before: nats of each token under no mask, NaN without a prediction, (tokens,).
        after: nats under the mask, likewise.
        steps: the steps of the text (`split_steps`).

    Returns:
        One row a step, with the columns of `StepInfluence.steps` but document.
    """
    ends = np.cumsum([len(step) for step in steps])
    known = np.isfinite(before) & np.isfinite(after)
    where = step_of_tokens(pieces, steps)[known]
    grains = [np.round(x[known].astype(float) / GRAIN) * GRAIN for x in (before, after)]
    base, ref = (np.bincount(where, x, len(steps)) for x in grains)
    tokens = np.bincount(where, minlength=len(steps))
    change = ref - base
    gain = np.maximum(change / np.maximum(tokens, 1), 0)
    mean = (gain * tokens).sum() / max(tokens.sum(), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = np.where(base > 0, change / base, np.nan)
    weight = gain / mean if mean > 0 else np.ones(len(steps))
    values = (range(len(steps)), [0, *ends[:-1]], ends, tokens, base, ref, change, rise, weight)
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def step_influence(
    model: Model,
    heads: HeadSet,
    documents: Iterable[Document | Skipped],
    *,
    by: Steps = "blank line",
    mode: Mode = "uniform",
    max_tokens: int | None = None,
) -> StepInfluence:
    """What masking heads costs each step of each document.

    Args:
        model: the selector, with no head masked.
        heads: the heads to mask.
        documents: such as `read_corpus` and `reasoning_chains` give; skipped rows are left out.
        by: how a text is cut into steps (see `split_steps`).
        mode: what a masked head does instead (see `masked`).
        max_tokens: read only so many tokens of each document; later steps have no tokens then.

    Returns:
        The steps with their weights, and the documents with their scores. The changes of a
        document's steps add up to its change exactly. Documents without a prediction are left out
        and counted.

    Raises:
        ValueError: nothing is masked, a setting does not fit the model, or there is no document
            with a prediction.
        NotCertified: the model fails a check of its certificate.
        TypeError: `heads` is no HeadSet.
    """
    settings = ScoringSettings(heads, mode, max_tokens=max_tokens).resolved(model)
    record = run_record(model, settings, settings.certified(model))
    counts = ("documents", "receipts_file", "skipped_file")
    stated = {key: value for key, value in record.items() if key not in counts}
    read = list(documents)
    given = [document for document in read if isinstance(document, Document)]
    cut = [split_steps(document.text, by) for document in given]
    ids = [model.encode(document.text)[:max_tokens] for document in given]
    tables: list[pd.DataFrame] = []
    rows: list[dict[str, Any]] = []
    with progress_bar("scoring steps", "doc", len(given)) as done:
        losses = losses_of_ids(model, ids, [None, heads], mode=mode)
        for document, own, steps, pair in zip(given, ids, cut, losses, strict=True):
            done(1)
            before, after = (aligned(model, own, column) for column in pair)
            if not steps or not np.isfinite(before).any():
                continue
            table = steps_of(pieces_of(model, document.text, own), before, after, steps)
            tables.append(table.assign(document=len(rows)))
            sums = {name: float(table[name].sum()) for name in ("loss_base", "loss_ref", "change")}
            rows.append({
                "doc_id": document.doc_id, "domain": document.domain, "source": document.source,
                "row": document.row, "text_sha256": text_sha256(document.text),
                "steps": len(steps), "tokens": int(table["tokens"].sum()), **sums,
                "score": sums["change"] / sums["loss_base"] if sums["loss_base"] else np.nan,
            })  # fmt: skip
    if not rows:
        raise ValueError(f"none of {len(given)} documents has a token that is predicted")
    return StepInfluence(
        pd.concat(tables, ignore_index=True), pd.DataFrame(rows),
        stated | {"steps_by": _stated(by)}, left_out=len(read) - len(rows),
    )  # fmt: skip


def _stated(by: Steps) -> dict[str, str | None]:
    """How steps were cut, as the settings state it."""
    if isinstance(by, str):
        return {"name": by, "function": None, "source_sha256": None}
    named = f"{by.__module__}:{getattr(by, '__qualname__', type(by).__name__)}"
    return {"name": None, "function": named, "source_sha256": source_sha256(by)}
