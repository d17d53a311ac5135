"""The certificate of a model: checks, run on the very model, that masking and losses are right.

What can go wrong with a mask is silent: a layer that ignores it, a whole group of heads that goes
with one head, a token that sees the future. So the claims that every score stands on are tried out
on the user's own model, in its dtype and on its device, with a handful of tokens: the claims are in
`workbench.loading.certificate_checks`, the passes behind them in
`workbench.loading.certificate_passes`. Loading a model runs them, scoring refuses a model that
fails one, and the run record and the manifest carry the result.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from workbench.core.progress import counted, gives_way
from workbench.loading.certificate_checks import CHECKS, Claim
from workbench.loading.certificate_passes import Trial
from workbench.masking.masks import require_unmasked
from workbench.models.identity import state_of
from workbench.models.model import Model

Bound = Literal["at most", "at least"]

_QUICK = 20_000_000  # parameters of a model that is tried out in less than a second


class NotCertified(ValueError):
    """A model failed checks that its scores would stand on; `certificate` says which."""

    def __init__(self, certificate: Certificate, source: str) -> None:
        self.certificate = certificate
        super().__init__(f"{source}: {certificate.complaint()}")


@dataclass(frozen=True)
class Check:
    """One claim about a model, tried out.

    measured: the number found, in `unit`, or a text where there is none (what stopped the check, or
    why it does not apply); limit and bound: what the number must keep to; tested: the claim.
    """

    name: str
    passed: bool
    measured: float | str
    limit: float
    bound: Bound
    unit: str
    tested: str

    @property
    def found(self) -> str:
        """What was measured, with its unit, for a table."""
        return self.measured if isinstance(self.measured, str) else self._with_unit(self.measured)

    @property
    def allowed(self) -> str:
        """What it must keep to, for a table."""
        return f"{self.bound} {self._with_unit(self.limit)}"

    def _with_unit(self, value: float) -> str:
        return f"{value:.2g} {self.unit}" if abs(value) < 100 else f"{value:.0f} {self.unit}"


@dataclass(frozen=True, repr=False)
class Certificate:
    """What `certify` found: the checks in order, and the model's state that they hold for.

    dtype, device and kernel (transformers' attention implementation) are those of the model when it
    was checked; fast_path: whether its losses come from the engine. Weights are named by the
    model's identity, beside which a run record and a manifest keep the certificate.
    """

    checks: tuple[Check, ...]
    dtype: str
    device: str
    kernel: str
    fast_path: bool

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return not self.failed

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return [check.name for check in self.checks if not check.passed]

    def complaint(self) -> str:
        """The failed checks with what was measured, and what to do; for errors and warnings."""
        failed = [one for one in self.checks if not one.passed]
        lines = [
            f"{one.name} ({one.tested}): measured {one.found}, expected {one.allowed}"
            for one in failed
        ]
        reasons = {one.measured for one in failed}
        if len(reasons) == 1 < len(failed) and isinstance(failed[0].measured, str):
            lines = [f"{', '.join(self.failed)}: {failed[0].measured}"]  # said once
        return (
            f"{len(failed)} of {len(self.checks)} checks of this model failed, so its scores could "
            "be wrong:\n  " + "\n  ".join(lines) + "\nDo not score with it: try dtype='float32', "
            "another version of transformers, or another model. certify(model) shows all checks"
        )

    def to_json(self) -> dict[str, Any]:
        """As run records and manifests hold it; plain JSON values, all numbers finite."""
        return {"ok": self.ok, **asdict(self), "checks": [asdict(one) for one in self.checks]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Certificate:
        """Read what `to_json` gave.

        Raises ValueError for anything else, and where a result does not follow from its numbers.
        """
        try:
            fields = dict(value)
            ok = fields.pop("ok")
            checks = tuple(Check(**one) for one in fields.pop("checks"))
            found = cls(checks, **fields)
            wrong = [
                one.name
                for one in checks
                if not isinstance(one.measured, str)
                and one.passed is not _keeps(one.measured, one.limit, one.bound)
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a certificate as to_json gives it: {error!r:.200}") from error
        if wrong or ok is not found.ok:
            raise ValueError(f"results do not follow from what was measured: {wrong or 'ok'}")
        return found

    def __repr__(self) -> str:
        marks = {True: "ok", False: "FAILED"}
        rows = [(marks[c.passed], c.name, c.found, c.allowed, c.tested) for c in self.checks]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join([*(row[i].ljust(width) for i, width in enumerate(widths)), row[4]])
            for row in rows
        ]
        return "\n".join([self.heading, *lines])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("", "check", "measured", "limit", "tested"))
        rows = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:left">{html.escape(cell)}</td>'
                for cell in ("ok" if c.passed else "FAILED", c.name, c.found, c.allowed, c.tested)
            )
            + "</tr>"
            for c in self.checks
        )
        return f"<p>{html.escape(self.heading)}</p><table><tr>{head}</tr>{rows}</table>"

    @property
    def heading(self) -> str:
        """The result in one line, with what it holds for."""
        passed = len(self.checks) - len(self.failed)
        return (
            f"Certificate: {'ok' if self.ok else 'FAILED'}, {passed} of {len(self.checks)} checks "
            f"passed ({self.dtype} on {self.device}, kernel {self.kernel}, losses by the "
            f"{'fast' if self.fast_path else 'plain'} path)"
        )


@gives_way  # as a whole: it holds the lock over many passes
def certify(model: Model) -> Certificate:
    """Try out on `model` itself that masking, losses and detection do what they should.

    Takes a dozen short passes, and is kept: a second call returns the same certificate, unless
    weights, dtype, device or attention kernel have changed since. The model is left as it was. A
    check that cannot be run has failed, with the reason as what was measured.

    Raises ValueError only if heads of the model are masked at this moment.
    """
    with model.lock:
        require_unmasked(model)
        state = state_of(model)
        kept = model.__dict__.get("workbench_certificate")
        if kept is None or kept[0] != state:
            kept = state, _certified(model)
            model.__dict__["workbench_certificate"] = kept
        return kept[1]


def require_certified(model: Model) -> Certificate:
    """The certificate of `model`; raises NotCertified where a check failed."""
    certificate = certify(model)
    if not certificate.ok:
        raise NotCertified(certificate, model.source)
    return certificate


def _certified(model: Model) -> Certificate:
    with torch.inference_mode():
        trial = Trial(model)
        size = sum(one.numel() for one in model.hf.parameters())
        checks = []
        title = f"trying out {model.source}"
        with counted(title, "check", len(CHECKS), bar=size > _QUICK) as done:
            for claim in CHECKS:
                checks.append(_tried(claim, trial))
                done(1)
    engines = model.__dict__.get("workbench_engines", {})
    return Certificate(
        tuple(checks),
        dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        kernel=str(model.hf.config._attn_implementation).removeprefix("workbench_"),
        fast_path=engines.get((model.dtype, model.device)) is not None,
    )


def _tried(claim: Claim, trial: Trial) -> Check:
    measured: float | str
    try:
        measured, limit = claim.measure(trial)
        if isinstance(measured, str):  # it does not apply to this model
            passed = True
        else:
            measured, limit = float(measured), float(limit)
            passed = _keeps(measured, limit, claim.bound)
            # JSON has no word for what is not a number.
            measured = measured if math.isfinite(measured) else f"{measured} {claim.unit}"
    except Exception as error:  # whatever stops a check, the claim was not shown to hold
        passed, limit = False, 0.0
        measured = f"{type(error).__name__}: {' '.join(str(error).split())!s:.200}"
    return Check(claim.name, passed, measured, limit, claim.bound, claim.unit, claim.tested)


def _keeps(measured: float, limit: float, bound: Bound) -> bool:
    """Whether a number keeps to its limit; one that is not finite never does."""
    inside = measured <= limit if bound == "at most" else measured >= limit
    return inside and math.isfinite(measured)
