"""Scores of heads: what a detector returns, and what head sets, figures and sessions take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.models.geometry import Geometry

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 8  # heads in the HTML form; three of them in the text form


@dataclass(frozen=True, eq=False)
class HeadScores:
    """A score for each query head of a model, and where the scores come from.

    `retrieval_scores` and `locos_scores` return one, `head_effects(...).scores` is one, and
    `HeadScores(frame)` makes one of a frame of your own.

    Attributes:
        frame: one row a head: layer, head, score, and further columns that the detector describes.
            Neither copied nor sorted.
        by: the name of the score.
        per_probe: the scores behind the means, (probes, heads), heads in the order of the rows of
            `frame`; None if the scores do not come from probes.
        kept: the indices of the probes behind the rows of `per_probe`.
        origin: which probes the scores come from; a head set chosen by them keeps it, and it
            travels into manifests.
        headless: the layers without attention heads, which have no rows.

    Raises:
        ValueError: a column is missing, there is no row, or `per_probe` has not one column a row.
        TypeError: `frame` is no frame.
    """

    frame: pd.DataFrame
    by: str = "score"
    per_probe: np.ndarray | None = None
    kept: Sequence[int] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    headless: Sequence[int] = ()

    def __post_init__(self) -> None:
        frame = self.frame
        if not hasattr(frame, "columns"):
            raise TypeError(
                "expected scores of heads: a HeadScores (retrieval_scores returns one), or a frame "
                f"with the columns layer, head and score; got {type(frame).__name__}"
            )
        missing = {"layer", "head", "score"} - set(frame.columns)
        if missing:
            raise ValueError(
                f"a score frame needs the columns layer, head and score; {sorted(missing)} missing "
                f"from {list(frame.columns)}"
            )
        if frame.empty:
            raise ValueError("the score frame has no rows: expected one for each head of the model")
        object.__setattr__(self, "kept", tuple(self.kept))
        object.__setattr__(self, "headless", tuple(sorted(self.headless)))
        if self.per_probe is None:
            return
        per_probe = np.asarray(self.per_probe, dtype=float)
        if per_probe.ndim != 2 or per_probe.shape[1] != len(frame):
            raise ValueError(
                f"per_probe must hold one row a probe with {len(frame)} scores, one for each row "
                f"of the frame; got an array of shape {per_probe.shape}"
            )
        object.__setattr__(self, "per_probe", per_probe)

    @property
    def geometry(self) -> Geometry:
        """The layers and heads of the model that the scores belong to.

        Raises:
            ValueError: there is not exactly one row for each head.
        """
        frame, headless = self.frame, tuple(self.headless)
        layers = max(int(frame["layer"].max()), *headless, 0) + 1
        geometry = Geometry(layers, int(frame["head"].max()) + 1, headless)
        misplaced = frame["layer"].isin(headless) | frame.duplicated(["layer", "head"])
        if len(frame) != geometry.total or misplaced.any():
            raise ValueError(
                f"expected one row for each head of {geometry}, got {len(frame)} rows (layers that "
                "have no heads are named by HeadScores(frame, headless=[...]))"
            )
        return geometry

    def ranked(self) -> pd.DataFrame:
        """The frame from the highest score down; of equal scores the lower layer and head first.

        Returns:
            The rows of `frame` with their index, those without a score (NaN) last.
        """
        return self.frame.sort_values(
            ["score", "layer", "head"], ascending=[False, True, True], kind="stable"
        )

    def __len__(self) -> int:
        """How many heads have a row."""
        return len(self.frame)

    def __repr__(self) -> str:
        best = self.ranked().dropna(subset="score").head(3)
        highest = ", ".join(f"L{row.layer}H{row.head} {row.score:.3g}" for row in best.itertuples())
        return f"<HeadScores of {self._summary()}; highest: {highest or 'none'}>"

    def _repr_html_(self) -> str:
        best = self.ranked().dropna(subset="score").head(SHOWN)
        names = [f"L{layer}H{head}" for layer, head in best[["layer", "head"]].to_numpy()]
        shown = best.drop(columns=["layer", "head"]).round(3)
        shown.insert(0, "name", names, allow_duplicates=True)
        return (
            f"<div><p><b>{escape(self._summary())}</b>; the highest:</p>"
            f"{shown.to_html(index=False, border=0)}</div>"
        )

    def _summary(self) -> str:
        probes = "" if self.per_probe is None else f", from {len(self.per_probe)} probes"
        return f"{len(self)} heads by {self.by}{probes}"


def as_head_scores(scores: HeadScores | pd.DataFrame) -> HeadScores:
    """Scores of heads, of what a caller gave as such.

    Args:
        scores: scores, which are returned as they are, or a frame with layer, head and score.

    Raises:
        ValueError: a column is missing, or there is no row.
        TypeError: `scores` is neither.
    """
    return scores if isinstance(scores, HeadScores) else HeadScores(scores)
