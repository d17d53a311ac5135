"""Lookup probes, scores and head report that come with the package, for the default model alone.

A lesson, a test or an Explorer can begin with the heads of the default model, and with what is
known of them, without minutes of detection, and all of them with the same heads. The sentences of
the probes are those of this package's own pages and docstrings;
`tests/experiments/default_scores.py` made the files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from workbench.detection.probes import Probes
from workbench.detection.report import HeadReport
from workbench.detection.retrieval import require_tokenizer, summarised
from workbench.models.head_scores import HeadScores
from workbench.models.model import Model

FOLDER = Path(__file__).with_name("default_model")
PROBES, SCORES = FOLDER / "probes.json", FOLDER / "scores.json"
REPORT = FOLDER / "report.json"


def default_probes(model: Model) -> Probes:
    """The 16 lookup probes of about 1,000 tokens that the default model was scored on.

    Args:
        model: the default model, or another with its tokenizer.

    Returns:
        The probes.

    Raises:
        ValueError: the model has another tokenizer.
    """
    probes = Probes.load(PROBES)
    require_tokenizer(model, probes)
    return probes


def default_scores(model: Model) -> HeadScores:
    """The retrieval scores of the default model's heads, as measured on `default_probes`.

    They belong to its weights, so that they cannot be taken for those of another model.

    Args:
        model: the default model (`load_model()`), in any dtype.

    Returns:
        What `retrieval_scores(model, default_probes(model))` returns.

    Raises:
        ValueError: it is another model, or its weights were changed.
    """
    stored = _stored_scores(model)
    per_probe = np.reshape(stored["per_probe"], (-1, model.num_layers, model.num_heads))
    probes, draws = default_probes(model), stored["bootstrap"]
    return summarised(model, per_probe, "retrieval score", probes, draws)


def default_report(model: Model) -> HeadReport:
    """How far the heads of the default model can be trusted, as measured on `default_probes`.

    Args:
        model: the default model (`load_model()`), in any dtype.

    Returns:
        What `head_report(default_scores(model), model, default_probes(model), lookup_limit=16)`
        returns in float32: all probes are asked for values by their keys.

    Raises:
        ValueError: it is another model, or its weights were changed.
    """
    _stored_scores(model)
    return HeadReport.from_json(json.loads(REPORT.read_text(encoding="utf-8")))


def shipped_report_of(scores: HeadScores, model: Model) -> HeadReport | None:
    """The report that comes with the package, if it is one on these scores.

    Args:
        scores: of the heads of a model.
        model: the model.

    Returns:
        What `default_report` returns; None for other scores than those of `default_scores`.
    """
    if shipped_probes_of(scores, model) is None or scores.per_probe is None:
        return None
    try:
        stored = _stored_scores(model)
    except ValueError:  # of other weights
        return None
    shipped = np.reshape(stored["per_probe"], (-1, model.head_count))
    return default_report(model) if np.array_equal(scores.per_probe, shipped) else None


def shipped_probes_of(scores: HeadScores, model: Model) -> Probes | None:
    """The probes that come with the package, if some scores come from them.

    Args:
        scores: of the heads of a model.
        model: the model.

    Returns:
        What `default_probes` returns; None for scores of other probes.
    """
    digest = scores.origin.get("probes_sha256")
    if digest is None:
        return None
    try:
        probes = default_probes(model)
    except ValueError:  # of another tokenizer
        return None
    return probes if probes.digest == digest else None


def _stored_scores(model: Model) -> dict[str, Any]:
    """The file of the scores, which says whose they are.

    Raises:
        ValueError: not this model's.
    """
    stored: dict[str, Any] = json.loads(SCORES.read_text(encoding="utf-8"))
    if model.identity["weights_sha256"] not in stored["weights_sha256"].values():
        raise ValueError(
            f"the scores that come with the package belong to {stored['model']}, and "
            f"{model.source} has other weights: measure its heads, "
            "retrieval_scores(model, make_probes(model))"
        )
    return stored
