"""What the scores of a run depend on, beside the model and the text: one object for all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.loading.certificate import Certificate, certify, require_certified
from workbench.masking.masks import require_fitting, require_heads, require_unmasked
from workbench.masking.reference import require_max_tokens, require_window
from workbench.masking.references import reference_of
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.columns.controls import control_sets
from workbench.scoring.columns.own_columns import Column, Function, columns_named
from workbench.scoring.passages import Read, require_read


@dataclass(frozen=True)
class ScoringSettings:
    """How documents are scored.

    Attributes:
        heads: the heads to mask.
        mode: what a masked head gives out: "uniform", the paper's, the mean of the values at this
            and all earlier positions, as if it attended to each alike; "zero", nothing; "mean" and
            "resample", what it gives on other texts (`workbench.masking.references`).
        window: tokens of one forward pass, special tokens included; None: the model's context.
        max_tokens: read only so many tokens of each document; None: all.
        require_certificate: refuse a model that fails a check of its certificate.
        controls: head sets that are masked in turn, in the same passes, to be compared with
            (`workbench.scoring.columns.controls`).
        controls_share: of which share of the documents, drawn by their text.
        columns: columns of the user's own, computed of each document's losses.
        read: which tokens of a document that has more than max_tokens
            (`workbench.scoring.passages`).
    """

    heads: HeadSet
    mode: Mode = "uniform"
    window: int | None = None
    max_tokens: int | None = None
    require_certificate: bool = True
    controls: tuple[HeadSet, ...] = ()
    controls_share: float = 1.0
    columns: tuple[Column, ...] = ()
    read: Read = "start"

    @classmethod
    def of(
        cls,
        heads: HeadSet,
        *,
        controls: int | Sequence[HeadSet] = 0,
        columns: Iterable[str | Function | Column] = (),
        **others: Any,
    ) -> ScoringSettings:
        """Settings with controls and columns as a user gives them.

        Args:
            heads: the heads to mask.
            controls: how many control sets to draw at random, or the sets themselves.
            columns: columns of the user's own: functions or their names.
            **others: further fields.

        Returns:
            The settings.

        Raises:
            ValueError: the number of controls is below 0, heads are too few to draw from, or there
                is no such column.
            TypeError: the controls are neither, or there is no such field.
        """
        return cls(
            heads, controls=_controls_of(heads, controls), columns=columns_named(columns), **others
        )

    @classmethod
    def given(cls, heads: HeadSet | ScoringSettings, others: Mapping[str, Any]) -> ScoringSettings:
        """Settings as a function gets them: as one object, or heads and further fields.

        Args:
            heads: the heads to mask, or all settings.
            others: further fields as in `of`; none beside all settings.

        Returns:
            The settings.

        Raises:
            ValueError: as `of`.
            TypeError: as `of`, or there are fields beside all settings.
        """
        if not isinstance(heads, ScoringSettings):
            return cls.of(heads, **others)
        if others:
            raise TypeError(
                f"{', '.join(others)} given beside a ScoringSettings, which holds it: change that "
                "object, as dataclasses.replace does"
            )
        return heads

    def resolved(self, model: Model) -> ScoringSettings:
        """These settings with the window that they come to on a model.

        Args:
            model: the selector.

        Returns:
            Equal settings, whose `window` is a number of tokens.

        Raises:
            ValueError: there is nothing to mask, or the heads, the controls, the mode, the window
                or max_tokens cannot be those of a run with this model, or it is masked at the
                moment.
            TypeError: `heads` is no HeadSet.
        """
        require_heads(self.heads)
        require_max_tokens(self.max_tokens)
        require_read(self.read)
        for head_set in (self.heads, *self.controls):
            require_fitting(model, head_set, self.mode)
        if not all(self.controls):
            raise ValueError("a control set holds no heads: its rise would be 0")
        if not 0 < self.controls_share <= 1:
            raise ValueError(
                f"controls_share is a share of the documents, in (0, 1]; got {self.controls_share}"
            )
        require_unmasked(model)
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
            A dict with heads (as `HeadSet.to_json`), mode, reference (as `ReferenceSet.to_json`,
            where the mode takes its output from other texts), window, max_tokens, read, controls (a
            list of the same), controls_share, and columns (as `Column.to_json`).
        """
        reference = reference_of(self.mode)
        return {
            "heads": self.heads.to_json(),
            "mode": self.mode,
            **({} if reference is None else {"reference": reference.to_json()}),
            "window": self.window,
            "max_tokens": self.max_tokens,
            "read": self.read,
            "controls": [head_set.to_json() for head_set in self.controls],
            "controls_share": self.controls_share,
            "columns": [column.to_json() for column in self.columns],
        }

    @classmethod
    def from_json(
        cls,
        stored: Mapping[str, Any],
        *,
        require_certificate: bool = True,
        columns: Sequence[Column] = (),
    ) -> ScoringSettings:
        """The settings in what `to_json` gave, or in the record of a run.

        Args:
            stored: a mapping with at least the keys of `to_json`; records before format 4 have
                neither controls nor columns, and read from the start.
            require_certificate: see the class; no record holds it.
            columns: the columns of `stored` as this process knows them, which a record does not
                hold.

        Returns:
            The settings.
        """
        return cls(
            HeadSet.from_json(stored["heads"]), stored["mode"], stored["window"],
            stored["max_tokens"], require_certificate,
            tuple(HeadSet.from_json(entry) for entry in stored.get("controls", ())),
            stored.get("controls_share", 1.0), tuple(columns), stored.get("read", "start"),
        )  # fmt: skip


def _controls_of(heads: HeadSet, controls: int | Sequence[HeadSet]) -> tuple[HeadSet, ...]:
    """So many control sets drawn at random, or the sets themselves."""
    if isinstance(controls, int):
        if controls < 0:
            raise ValueError(f"controls is a number of head sets from 0, got {controls}")
        return control_sets(heads, controls) if controls else ()
    if isinstance(controls, HeadSet) or not all(isinstance(item, HeadSet) for item in controls):
        raise TypeError(
            "controls is how many head sets to draw, or a list of head sets such as "
            f"control_sets(heads, match='layers') gives; got {type(controls).__name__}"
        )
    return tuple(controls)
