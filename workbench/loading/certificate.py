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

from workbench.core.progress import preemptible, progress_bar
from workbench.loading.certificate_checks import CHECKS, CheckSpec
from workbench.loading.certificate_passes import CertificatePasses
from workbench.masking.fast_path import key_of
from workbench.masking.masks import require_unmasked
from workbench.masking.packed import PACKED
from workbench.models.identity import float32_matmul, state_of
from workbench.models.model import Model

Bound = Literal["at most", "at least"]

_QUICK = 20_000_000  # parameters of a model that is tried out in less than a second


class NotCertified(ValueError):
    """A model failed checks that its scores would stand on.

    Attributes:
        certificate: the certificate, which says which checks failed.

    Args:
        certificate: the certificate with its failed checks.
        source: the model's name, for the message.
    """

    def __init__(self, certificate: Certificate, source: str) -> None:
        self.certificate = certificate
        super().__init__(f"{source}: {certificate.failure_message()}")


@dataclass(frozen=True)
class Check:
    """The result of one check of a certificate.

    Attributes:
        name: the check's short name.
        passed: whether `measured` keeps to `limit`; True, too, where the check does not apply.
        measured: the number measured, in `unit`, or a text where there is none (what stopped the
            check, or why it does not apply).
        limit: the number that `measured` is held against, in `unit`.
        bound: "at most" or "at least": on which side of `limit` the number must lie.
        unit: the unit of `measured` and `limit`.
        tested: the claim about the model that was tested, in words.
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
    """The checks of a model and their results, from `certify`, with the state that they hold for.

    The weights are named by the model's identity, beside which a run record and a manifest keep the
    certificate.

    Attributes:
        checks: the results, in the order of `workbench.loading.certificate_checks.CHECKS`.
        dtype: dtype of the model's weights when it was checked, such as "float32".
        device: kind of the device that it was on, such as "cpu".
        kernel: transformers' attention implementation, such as "sdpa".
        fast_path: whether its token losses come from packed batches (`workbench.masking.packed`),
            or from one window and one head set at a time.
        simulate: the quantisation that its weights were rounded by; None: none.
        float32_matmul: what torch was told to round float32 products to; None: nothing.
    """

    checks: tuple[Check, ...]
    dtype: str
    device: str
    kernel: str
    fast_path: bool
    simulate: str | None = None
    float32_matmul: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return not self.failed

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return [check.name for check in self.checks if not check.passed]

    def failure_message(self) -> str:
        """The failed checks with what was measured, and what to do; for errors and warnings."""
        failed = [check for check in self.checks if not check.passed]
        lines = [
            f"{check.name} ({check.tested}): measured {check.found}, expected {check.allowed}"
            for check in failed
        ]
        reasons = {check.measured for check in failed}
        if len(reasons) == 1 < len(failed) and isinstance(failed[0].measured, str):
            lines = [f"{', '.join(self.failed)}: {failed[0].measured}"]  # the same for all
        precisely = (
            "torch.set_float32_matmul_precision('highest') (float32 products are computed in "
            f"{self.float32_matmul} now), "
            if self.float32_matmul
            else ""
        )
        return (
            f"{len(failed)} of {len(self.checks)} checks of this model failed, so its scores could "
            "be wrong:\n  " + "\n  ".join(lines) + "\nDo not score with it: try "
            f"{precisely}dtype='float32', another version of transformers, or another model. "
            "certify(model) shows all checks"
        )

    def to_json(self) -> dict[str, Any]:
        """The certificate as run records and manifests hold it.

        Returns:
            The fields and `ok` as plain JSON values; all numbers are finite.
        """
        fields = {"ok": self.ok, **asdict(self), "checks": [asdict(check) for check in self.checks]}
        for name in ("simulate", "float32_matmul"):
            if fields[name] is None:  # as ever
                del fields[name]
        return fields

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Certificate:
        """Read what `to_json` gave.

        Args:
            value: the mapping that `to_json` returned, perhaps after a way through a JSON file.

        Returns:
            The same certificate.

        Raises:
            ValueError: `value` is anything else, or a result in it does not follow from its
                numbers.
        """
        try:
            fields = dict(value)
            ok = fields.pop("ok")
            checks = tuple(Check(**check) for check in fields.pop("checks"))
            certificate = cls(checks, **fields)
            wrong = [
                check.name
                for check in checks
                if not isinstance(check.measured, str)
                and check.passed is not _keeps(check.measured, check.limit, check.bound)
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a certificate as to_json gives it: {error!r:.200}") from error
        if wrong or ok is not certificate.ok:
            raise ValueError(f"results do not follow from what was measured: {wrong or 'ok'}")
        return certificate

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
            f"passed ({self.dtype}{f' rounded as {self.simulate}' if self.simulate else ''}"
            f"{f', products in {self.float32_matmul},' if self.float32_matmul else ''} on "
            f"{self.device}, kernel {self.kernel}, losses by the "
            f"{'fast' if self.fast_path else 'plain'} path)"
        )


@preemptible  # as a whole: it holds the lock over many passes
def certify(model: Model) -> Certificate:
    """Check on `model` itself that masking, losses and detection do what they should.

    Takes a dozen short passes, and the result is kept: a second call returns the same certificate,
    unless weights, dtype, device, attention kernel or the precision of float32 products have
    changed since. The model is left as it was. A check that cannot be run has failed, with the
    reason as what was measured.

    Args:
        model: the model, from `load_model` or `from_transformers`.

    Returns:
        The certificate, whether all checks passed (`ok`) or not.

    Raises:
        ValueError: heads of the model are masked at this moment.
    """
    with model.lock:
        require_unmasked(model)
        return model.cache.kept("certificate", lambda: _certified(model), state=state_of(model))


def require_certified(model: Model) -> Certificate:
    """The certificate of `model`, which must have passed all checks.

    Args:
        model: the model, from `load_model` or `from_transformers`.

    Returns:
        The certificate, as `certify` gives it.

    Raises:
        NotCertified: a check failed.
    """
    certificate = certify(model)
    if not certificate.ok:
        raise NotCertified(certificate, model.source)
    return certificate


def _certified(model: Model) -> Certificate:
    with torch.inference_mode():
        passes = CertificatePasses(model)
        size = sum(weight.numel() for weight in model.hf.parameters())
        checks = []
        title = f"trying out {model.source}"
        with progress_bar(title, "check", len(CHECKS), bar=size > _QUICK) as done:
            for spec in CHECKS:
                checks.append(_run_check(spec, passes))
                done(1)
    return Certificate(
        tuple(checks),
        dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        kernel=str(model.hf.config._attn_implementation).removeprefix("workbench_"),
        fast_path=model.cache.get(key_of(model, PACKED)) is not None,
        simulate=model.simulate,
        float32_matmul=float32_matmul(model.device),
    )


def _run_check(spec: CheckSpec, passes: CertificatePasses) -> Check:
    measured: float | str
    try:
        measured, limit = spec.measure(passes)
        if isinstance(measured, str):  # it does not apply to this model
            passed = True
        else:
            measured, limit = float(measured), float(limit)
            passed = _keeps(measured, limit, spec.bound)
            # JSON has no word for what is not a number.
            measured = measured if math.isfinite(measured) else f"{measured} {spec.unit}"
    except Exception as error:  # whatever stops a check, the claim was not shown to hold
        passed, limit = False, 0.0
        measured = f"{type(error).__name__}: {' '.join(str(error).split())!s:.200}"
    return Check(spec.name, passed, measured, limit, spec.bound, spec.unit, spec.tested)


def _keeps(measured: float, limit: float, bound: Bound) -> bool:
    """Whether a number keeps to its limit; one that is not finite never does."""
    inside = measured <= limit if bound == "at most" else measured >= limit
    return inside and math.isfinite(measured)
