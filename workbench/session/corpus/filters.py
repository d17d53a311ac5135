"""Which documents of a scored corpus are looked at, or ranked, as it is said in code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from workbench.core.text import escape_control_characters

# These columns follow from the ranking, and so cannot come before it.
OF_THE_CUT = ("rank", "margin")


class Lasso(TypedDict):
    """A shape that was drawn around points.

    Attributes:
        across: the column of the horizontal axis.
        up: that of the vertical one.
        corners: of the shape in order, across and up, in the units of the axes: decimal logarithms
            where `DocumentRows.is_wide`.
    """

    across: str
    up: str
    corners: Sequence[tuple[float, float]]


class Filters(TypedDict, total=False):
    """What a document has to pass; what is not stated is not asked for.

    Attributes:
        domain: the name of its domain.
        contains: plain text, upper or lower case, that its id must hold.
        ranges: by name of a column the lowest and the highest value, both of them included;
            documents without a value do not pass.
        lasso: the shape that it must lie in.
    """

    domain: str
    contains: str
    ranges: Mapping[str, tuple[float, float]]
    lasso: Lasso


def describe_filters(filters: Filters) -> list[str]:
    """What documents have to pass, in words.

    Args:
        filters: what is asked of them.

    Returns:
        A few words for each filter.
    """
    words = []
    if filters.get("domain"):
        words.append(f"domain {escape_control_characters(filters['domain'])}")
    if filters.get("contains"):
        words.append(f"{escape_control_characters(filters['contains'])!r} in the name")
    for name, (low, high) in filters.get("ranges", {}).items():
        words.append(f"{name} {low:.4g} to {high:.4g}")
    if "lasso" in filters:
        shape = filters["lasso"]
        words.append(f"inside a shape drawn over {shape['up']} and {shape['across']}")
    return words


def require_filters_before_ranking(filters: Filters) -> None:
    """Refuse what is no filter, and filters that follow from the ranking that they come before.

    Args:
        filters: of the documents that are to be ranked.

    Raises:
        ValueError: there is no such filter, or a range is of the rank or of the margin.
    """
    unknown = [str(name) for name in filters if name not in Filters.__annotations__]
    if unknown:
        raise ValueError(
            f"no filter {', '.join(unknown):.100}: expected some of "
            f"{', '.join(Filters.__annotations__)}, such as {{'ranges': {{'loss_base': (2, 3)}}}}"
        )
    circular = [name for name in filters.get("ranges", {}) if name in OF_THE_CUT]
    if circular:
        raise ValueError(
            f"{' and '.join(circular)} follow from the ranking, so they cannot say which documents "
            "are ranked: take this range away, and filter by another column"
        )
