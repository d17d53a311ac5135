"""aiw:mixture: the shares in which the domains of a selection are to be trained on, and why."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias, get_args

from workbench.core.files import mentions_absolute

MIXTURE = "aiw:mixture"
_SUM = 1e-9  # how far sums of shares and of weights may be from 1
_KEYS = {
    "shares", "seen", "form", "weights", "runs", "runs_sha256", "validation", "predicted", "low",
    "high", "distance", "nearest_run", "tool",
}  # fmt: skip


class StatesMixture(Protocol):
    """A best mixture, which can state itself: `workbench.scaling.mixtures.BestMixture`.

    Named by what it can do, since its own module loads scikit-learn.
    """

    def to_json(self) -> dict[str, Any]:
        """The mixture as a manifest states it.

        Returns:
            A JSON object.
        """
        ...


Mixture: TypeAlias = StatesMixture | Mapping[str, Any]  # the latter of `BestMixture.to_json`


def mixture_term(mixture: Mixture | None, domains: Iterable[str]) -> dict[str, Any] | None:
    """The term as a manifest of a selection states it.

    Args:
        mixture: of `MixtureFit.best`, or what its `to_json` gave; None: no mixture.
        domains: of the selection.

    Returns:
        The term, a JSON object; None without a mixture.

    Raises:
        ValueError: as in `check_mixture`.
    """
    if mixture is None:
        return None
    term = mixture if isinstance(mixture, Mapping) else mixture.to_json()
    check_mixture(term, domains)
    return dict(term)


def check_mixture(term: Any, domains: Iterable[str]) -> None:
    """Refuse a term that contradicts itself or the selection.

    The runs that it was fitted to are not there, so their number and digest are only looked at for
    their form; whoever has them finds the digest again as `MixtureFit.runs_sha256`.

    Args:
        term: as it was parsed; it may be anybody's.
        domains: of the selection.

    Raises:
        ValueError: it says what is wrong.
    """
    # Fitting takes scikit-learn, which whoever verifies a manifest without a mixture does not load.
    from workbench.scaling.surrogates import Form

    if not isinstance(term, Mapping) or set(term) != _KEYS:
        held = sorted(term, key=str) if isinstance(term, Mapping) else type(term).__name__
        raise ValueError(
            f"a mixture is a JSON object with {', '.join(sorted(_KEYS))}, as best.to_json() gives "
            f"it; got {held!r:.300}"
        )
    shares, seen, weights = term["shares"], term["seen"], term["weights"]
    wanted = set(domains)
    if not isinstance(shares, Mapping) or set(shares) != wanted:
        odd = sorted(wanted ^ set(shares if isinstance(shares, Mapping) else ()), key=str)
        raise ValueError(
            f"the mixture must have a share for each domain of the selection, and for no other: "
            f"odd is {odd!r:.300}"
        )
    for name, table in (("shares", shares), ("weights", weights)):
        if not isinstance(table, Mapping) or not all(_number(v) and v >= 0 for v in table.values()):
            raise ValueError(f"{name} of the mixture must be finite numbers of 0 or more")
        if not abs(math.fsum(table.values()) - 1) <= _SUM:
            raise ValueError(
                f"{name} of the mixture sum to {math.fsum(table.values()):.10g}, not to 1"
            )
    if not isinstance(seen, Mapping) or set(seen) != wanted:
        raise ValueError("seen must give the shares that were run of each domain, and of no other")
    for domain, ends in seen.items():
        if not isinstance(ends, list) or len(ends) != 2 or not all(map(_number, ends)):
            raise ValueError(f"seen of {domain!r:.100} must be two numbers, the lowest and highest")
        if not 0 <= ends[0] <= shares[domain] <= ends[1] <= 1:
            raise ValueError(
                f"the share of {domain!r:.100}, {shares[domain]!r}, is not inside those that were "
                f"run, {ends!r}"
            )
    if term["form"] not in get_args(Form):
        raise ValueError(f"form must be one of {get_args(Form)}, got {term['form']!r:.50}")
    if type(term["runs"]) is not int or term["runs"] < 2:
        raise ValueError(f"runs must be a whole number from 2, got {term['runs']!r:.50}")
    if not re.fullmatch("[0-9a-f]{64}", str(term["runs_sha256"])):
        raise ValueError("runs_sha256 must be 64 lower-case hexadecimal digits")
    for name, low, high in (("validation", -1, 1), ("distance", 0, 1)):
        if term[name] is not None and not (_number(term[name]) and low <= term[name] <= high):
            raise ValueError(f"{name} must be a number from {low} to {high}, or null")
    ends = [term["low"], term["high"]]
    if not _number(term["predicted"]) or not (ends == [None, None] or all(map(_number, ends))):
        raise ValueError("predicted, low and high must be finite numbers (the latter two or null)")
    if ends[0] is not None and ends[0] > ends[1]:
        raise ValueError(f"the interval of the predicted loss ends before it begins: {ends!r}")
    texts = [term["nearest_run"], term["tool"], *weights]
    if not all(isinstance(text, str) and not mentions_absolute(text) for text in texts):
        raise ValueError("nearest_run, tool and the names of losses must be texts without a path")


def _number(value: Any) -> bool:
    """Whether it is a finite number; JSON also holds integers that no float can be."""
    return type(value) in (int, float) and abs(value) < 1e300
