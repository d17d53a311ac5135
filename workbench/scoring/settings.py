"""What the scores of a run depend on, beside the model and the text: one object for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from workbench.loading.certificate import Certificate, certify, require_certified
from workbench.masking.masks import require_fitting, require_unmasked
from workbench.masking.reference import require_max_tokens, require_window
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model


@dataclass(frozen=True)
class ScoringSettings:
    """How documents are scored.

    Attributes:
        heads: the heads to mask.
        mode: what a masked head gives out: "uniform", the paper's, the mean of the values at this
            and all earlier positions, as if it attended to each alike; "zero", nothing.
        window: tokens of one forward pass, special tokens included; None: the model's context.
        max_tokens: read only so many tokens of each document, from its beginning; None: all.
        require_certificate: refuse a model that fails a check of its certificate.
    """

    heads: HeadSet
    mode: Mode = "uniform"
    window: int | None = None
    max_tokens: int | None = None
    require_certificate: bool = True

    def resolved(self, model: Model) -> ScoringSettings:
        """These settings with the window that they come to on a model.

        Args:
            model: the selector.

        Returns:
            Equal settings, whose `window` is a number of tokens.

        Raises:
            ValueError: there is nothing to mask, or the heads, the mode, the window or max_tokens
                cannot be those of a run with this model, or it is masked at the moment.
            TypeError: `heads` is no HeadSet.
        """
        if not self.heads:
            raise ValueError("no heads to mask: every score would be 0. Give at least one head")
        require_max_tokens(self.max_tokens)
        require_fitting(model, self.heads, self.mode)
        require_unmasked(model)
        if self.mode == "mean":
            raise ValueError(
                "mode 'mean' depends on a reference set that no manifest names, so scores made "
                "with it could not be verified: score with 'uniform' (the paper's) or 'zero'"
            )
        return replace(self, window=require_window(model, self.window))

    def certified(self, model: Model) -> Certificate:
        """The certificate of a model, made now if it has none.

        Args:
            model: the selector.

        Returns:
            Its certificate. It may be a failed one where `require_certificate` is False.

        Raises:
            NotCertified: a check failed, and `require_certificate` is True.
        """
        return require_certified(model) if self.require_certificate else certify(model)

    def to_json(self) -> dict[str, Any]:
        """What scores depend on, as plain JSON values, as it stands in the record of a run.

        Returns:
            A dict with heads (as `HeadSet.to_json`), mode, window and max_tokens.
        """
        return {
            "heads": self.heads.to_json(),
            "mode": self.mode,
            "window": self.window,
            "max_tokens": self.max_tokens,
        }

    @classmethod
    def from_json(
        cls, stored: Mapping[str, Any], *, require_certificate: bool = True
    ) -> ScoringSettings:
        """The settings in what `to_json` gave, or in the record of a run.

        Args:
            stored: a mapping with at least the keys of `to_json`.
            require_certificate: see the class; no record holds it.

        Returns:
            The settings.
        """
        return cls(
            HeadSet.from_json(stored["heads"]), stored["mode"], stored["window"],
            stored["max_tokens"], require_certificate,
        )  # fmt: skip
