"""What the grid of heads is coloured by: one value a head, and the scale that it is shown on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from workbench.core.text import counted
from workbench.masking.effects import HeadEffects, Method
from workbench.models.geometry import HasGeometry
from workbench.models.heads import Head, HeadSet, heads_in

RETRIEVAL = "retrieval score"
ESTIMATE, EXACT = "influence on the text (estimate)", "influence on the text (exact)"
NEED = "need of the token"
SECOND = "what a head writes (LOCOS)"  # the score of the second detector
METHODS: dict[str, Method] = {ESTIMATE: "gradient", EXACT: "exact", NEED: "exact"}
# Heads of a score above it are called retrieval heads by Wu et al. (arXiv 2404.15574).
RETRIEVES = 0.1
ALONE = "nats, each head alone, against no mask"


@dataclass(frozen=True, eq=False)
class HeadColours:
    """One value a head, and the scale that it is shown on.

    Values beyond the scale have the colour of its end.

    Attributes:
        name: what the values are.
        values: shape (layers, heads), float32; NaN where there is none (yet).
        low: the low end of the scale.
        high: the high end of the scale.
        diverging: the scale goes from -high over 0 to high.
        note: what a reader must know of the values, in a few words; empty: nothing.
        warns: the note is a warning.
        token: number of the token whose loss the values are of, or None.
        quantity: what is measured, whatever text or token it is measured on; values of one
            quantity may share a scale. Empty: it becomes the name.
    """

    name: str
    values: np.ndarray
    low: float
    high: float
    diverging: bool = False
    note: str = ""
    token: int | None = None
    warns: bool = False
    quantity: str = ""

    def __post_init__(self) -> None:
        if not self.quantity:
            object.__setattr__(self, "quantity", self.name)

    @property
    def digits(self) -> int:
        """Decimals that tell values apart on this scale."""
        return int(np.clip(1 - np.floor(np.log10(max(self.high, 1e-9))), 2, 5))

    @classmethod
    def none(cls, model: HasGeometry) -> HeadColours:
        """No values yet.

        Args:
            model: whose heads are meant.

        Returns:
            NaN for every head.
        """
        return cls("", np.full((model.num_layers, model.num_heads), np.nan, np.float32), 0.0, 1.0)

    @classmethod
    def of(
        cls, frame: pd.DataFrame, model: HasGeometry, column: str = "score", name: str | None = None
    ) -> HeadColours:
        """A numeric column of a frame with layer and head.

        Args:
            frame: at most one row a head; heads without a row have no value.
            model: whose heads are meant.
            column: which column.
            name: what the values are called; None: as the column.

        Returns:
            The values; the scale diverges if one is below 0.

        Raises:
            ValueError: a column is missing or not numeric, a head is not one of the model, or has
                several rows.
            TypeError: `frame` is no frame.
        """
        _require_frame(frame)
        missing = {"layer", "head", column} - set(frame.columns)
        if missing:
            raise ValueError(
                f"colours need the columns layer, head and {column!r}; {sorted(missing)} missing "
                f"from {list(frame.columns)}"
            )
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise ValueError(f"column {column!r} holds {frame[column].dtype}, expected numbers")
        places = heads_in(frame)
        if len(HeadSet.of(places, model)) != len(places):  # the set refuses heads of other models
            raise ValueError("some heads have several rows: expected at most one row a head")
        values = np.full((model.num_layers, model.num_heads), np.nan, np.float32)
        for place, value in zip(places, frame[column].to_numpy(dtype=float), strict=True):
            values[place] = value
        if name == RETRIEVAL and (values[np.isfinite(values)] >= 0).all():
            return _retrieval(values)
        return _scaled(name or column, values, diverging=bool((values < 0).any()))

    @classmethod
    def of_effects(cls, effects: HeadEffects) -> HeadColours:
        """The loss rise when each head is masked alone, red where it rises.

        Args:
            effects: what `head_effects` returned.

        Returns:
            The effects in nats, on a diverging scale.
        """
        colours = _scaled(effects.scores.by, effects.effect, diverging=True, note=ALONE)
        whole = ESTIMATE if effects.method == "gradient" else EXACT
        quantity = whole if effects.token is None else NEED
        return replace(colours, token=effects.token, quantity=quantity)

    def on_scale_of(self, other: HeadColours) -> HeadColours:
        """The same values on the scale of others, so that the two compare.

        Args:
            other: values of the same quantity, whose scale is taken over.

        Returns:
            The values; those beyond the scale have the colour of its end.
        """
        return replace(self, low=other.low, high=other.high, diverging=other.diverging)

    def frame(self) -> pd.DataFrame:
        """One row a head that has a value.

        Returns:
            Columns layer, head and score.
        """
        layer, head = np.nonzero(np.isfinite(self.values))
        return pd.DataFrame({"layer": layer, "head": head, "score": self.values[layer, head]})

    def highest(self, count: int) -> list[tuple[Head, float]]:
        """The heads of highest value.

        Args:
            count: how many, at most.

        Returns:
            Heads with their values, the highest first.
        """
        top = self.frame().nlargest(count, "score")
        heads = [Head(*place) for place in heads_in(top)]
        return list(zip(heads, top["score"].tolist(), strict=True))

    def describe(self, layer: int, head: int) -> str:
        """The value of one head in words.

        Args:
            layer: of the head.
            head: its number in the layer.

        Returns:
            Name and value.
        """
        value = float(self.values[layer, head])
        return "no value" if np.isnan(value) else f"{self.name} {value:.{self.digits}f}"


class Palette:
    """What the heads of a session can be coloured by, and what they are.

    Attributes:
        model: whose heads are coloured.
        columns: name to values that are known.
        colour_by: one of `names`.
        token: the token of the text that was asked about, or None.
    """

    def __init__(self, model: HasGeometry) -> None:
        """Begin with an estimate of the influence on the text.

        Args:
            model: whose heads are coloured.
        """
        self.model = model
        self.columns: dict[str, HeadColours] = {}
        self.colour_by = ESTIMATE
        self.token: int | None = None

    @property
    def names(self) -> list[str]:
        """What can be chosen."""
        asked = [NEED] if self.token is not None else []
        return [*self.columns, ESTIMATE, EXACT, *asked]

    def choose(self, name: str) -> None:
        """Choose what colours the heads.

        Args:
            name: one of `names`.

        Raises:
            ValueError: it is none of them.
        """
        self.require(name)
        self.colour_by = name

    def require(self, name: str) -> None:
        """Refuse a name that nothing can be coloured by.

        Args:
            name: one of `names`.

        Raises:
            ValueError: it is none of them.
        """
        if name not in self.names:
            raise ValueError(f"no colours {name!r}: expected one of {', '.join(self.names)}")

    def add(self, frame: pd.DataFrame) -> list[str]:
        """Offer the numeric columns of a frame.

        Args:
            frame: layer, head and further columns.

        Returns:
            The names of these columns.

        Raises:
            ValueError: there is no numeric column, or a name is taken.
            TypeError: `frame` is no frame.
        """
        _require_frame(frame)
        names = [
            str(column)
            for column in frame.columns
            if column not in ("layer", "head") and pd.api.types.is_numeric_dtype(frame[column])
        ]
        taken = sorted({*names} & {RETRIEVAL, SECOND, *METHODS})
        if taken:
            raise ValueError(f"columns {taken} have names of the session's own: rename them")
        if not names:
            raise ValueError(f"no numeric column beside layer and head in {list(frame.columns)}")
        self.columns |= {name: HeadColours.of(frame, self.model, name) for name in names}
        return names

    def text_changed(self) -> None:
        """Forget what belongs to the old text. Exact maps are dear: no new one comes unasked."""
        self.token = None
        if METHODS.get(self.colour_by) == "exact":
            self.colour_by = RETRIEVAL if RETRIEVAL in self.columns else ESTIMATE


def streaming_map(
    model: HasGeometry, name: str, on_progress: Callable[[HeadColours], object]
) -> Callable[[int, np.ndarray], None]:
    """An `on_layer` for `head_effects` that hands on the map as far as it is known.

    Args:
        model: whose heads are meant.
        name: what the values are called.
        on_progress: is handed the map after each layer.

    Returns:
        The function to pass as `on_layer`.
    """
    values = np.full((model.num_layers, model.num_heads), np.nan, np.float32)

    def on_layer(layer: int, effects: np.ndarray) -> None:
        values[layer] = effects
        on_progress(_scaled(name, values.copy(), diverging=True, note=ALONE))

    return on_layer


def _require_frame(frame: pd.DataFrame) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(
            "expected a frame with layer, head and numeric columns (of scores: scores.frame), got "
            f"{type(frame).__name__}"
        )


def _retrieval(values: np.ndarray) -> HeadColours:
    """Shares of a probe on a scale from 0 to 1, so that a model that copies nothing looks it."""
    high = float(np.nanmax(values, initial=0))
    count = int((values >= RETRIEVES).sum())
    note = f"{counted(count, 'head')} at {RETRIEVES} or above"
    warns = high < RETRIEVES
    if warns:
        note = f"highest {high:.2f}: no head copies"
    return HeadColours(RETRIEVAL, values, 0.0, max(high, 1.0), note=note, warns=warns)


def _scaled(name: str, values: np.ndarray, diverging: bool, note: str = "") -> HeadColours:
    known = values[np.isfinite(values)]
    if not diverging:
        return HeadColours(name, values, min(0.0, float(known.min(initial=0))),
                           float(known.max(initial=0)) or 1.0)  # fmt: skip
    # One head of the first layer often outweighs all others; with it as the end nothing is seen.
    high = (float(np.quantile(np.abs(known), 0.99)) if len(known) else 0.0) or 1.0
    return HeadColours(name, values, -high, high, diverging=True, note=note)
