"""What the modes "mean" and "resample" add to a run: the passes over the texts of their reference.

"mean" reads every text of the set once. "resample" reads a text when the first window draws it, and
again only where the outputs of all texts do not fit the memory that is kept for them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.masking import masks
from workbench.masking.masks import head_outputs, output_bytes, reference_rows
from workbench.masking.references import donor, kind_of, reference_of
from workbench.models.attention_hook import Mode
from workbench.models.model import Model

MEASURED = 3  # texts of the set that are read to measure


@dataclass(frozen=True)
class ReferenceCost:
    """What reading a reference set takes in one process; each worker of a run reads it again.

    Attributes:
        name: of the set.
        texts: how many it has.
        passes: forward passes over its texts; an expected number where not every window is known.
        tokens: that these passes read, special tokens included.
        seconds: of these passes, at the rate of the few that were measured.
    """

    name: str
    texts: int
    passes: float
    tokens: float
    seconds: float


def reference_cost(
    model: Model, mode: Mode, windows: float, known: Sequence[Sequence[int]]
) -> ReferenceCost | None:
    """What the reference set of a mode adds to the scoring of so many windows.

    Args:
        model: the selector, with no head masked.
        mode: such as "resample:mine".
        windows: how many windows the run reads.
        known: token ids, with the special prefix, of windows of the run: where they are all of
            them and every text's outputs can be kept, the count is exact.

    Returns:
        The cost; None where the mode takes nothing from other texts.

    Raises:
        ValueError: the reference set is unknown here, or every text of it begins as a window does.
    """
    reference = reference_of(mode)
    if reference is None:
        return None
    rows = reference_rows(model, reference)
    lengths = np.array([len(row) for row in rows], float)
    read = np.flatnonzero(lengths)  # a text without tokens costs no pass
    passes, tokens = float(len(read)), float(lengths.sum())
    if kind_of(mode) == "resample":
        drawn = {donor(reference, window, rows) for window in known}
        sizes = [output_bytes(model, len(row)) for row in rows]
        all_kept = sum(sizes) <= masks.DONORS
        if all_kept and windows == len(known):
            read = np.array(sorted(drawn), int)
            passes, tokens = float(len(read)), float(lengths[read].sum())
        else:
            count = int((lengths > 1).sum())  # of the texts that can be drawn, each as likely
            first = count * (1 - (1 - 1 / count) ** windows)
            kept = count if all_kept else max(int(masks.DONORS // np.mean(sizes)), 1)
            passes = first + max(windows - first, 0) * max(1 - kept / count, 0)
            tokens = passes * float(lengths[lengths > 1].mean())
    longest = sorted(read.tolist(), key=lambda i: -lengths[i])[:MEASURED]
    begin = time.perf_counter()
    for i in longest:
        head_outputs(model, rows[i])
    seconds = time.perf_counter() - begin
    measured = float(lengths[longest].sum())
    return ReferenceCost(
        reference.name, len(rows), passes, tokens, tokens * seconds / max(measured, 1.0)
    )


def prepared(model: Model, mode: Mode, windows: Sequence[Sequence[int]]) -> None:
    """Have what other texts give at hand for these windows, so that a measurement leaves it out.

    Args:
        model: the selector, with no head masked.
        mode: such as "resample:mine".
        windows: token ids with the special prefix.
    """
    if kind_of(mode) == "resample":
        for window in windows:
            masks.replacements(model, mode, window)
