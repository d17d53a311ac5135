"""Whether a file of step weights is as it was written, and comes out of its model again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.files import read_json, sha256_of
from workbench.corpus.document import Document, Skipped
from workbench.corpus.reading import text_sha256
from workbench.manifest.verification.model_checks import RESCORE_TOLERANCE, identity
from workbench.manifest.verification.report import Failed
from workbench.masking.references import is_known
from workbench.models.model import Model
from workbench.scoring.settings import ScoringSettings
from workbench.scoring.step_scores import Steps, settings_path, step_influence


def verify_steps(
    path: str | Path,
    model: Model | None = None,
    documents: Iterable[Document | Skipped] | None = None,
    *,
    by: Steps | None = None,
    sample: int = 8,
    seed: int = 0,
) -> dict[str, Any]:
    """Check a file of step weights, as far as what is given allows.

    The file has the bytes whose SHA-256 stands in the settings beside it; with `documents`, each
    text is the one that was scored; with `model`, its weights and tokenizer are those of the
    settings; with both, the scores and weights of drawn documents come out again.

    Args:
        path: of the file that `StepInfluence.write` wrote.
        model: the selector.
        documents: the corpus, as `read_corpus` gives it.
        by: the function that cut the steps, where it was one; else it stands in the settings.
        sample: how many documents to score again.
        seed: of their draw.

    Returns:
        documents and steps (their numbers), texts and scored_again (documents whose text, and whose
        weights were checked), and settings (what the weights depend on).

    Raises:
        ValueError: something does not hold, and what; the settings are not there; or the steps were
            cut by a function and `by` is not given.
    """
    path = Path(path)
    settings = _settings_of(path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    counts = {"documents": len(lines), "steps": sum(len(line["steps"]) for line in lines)}
    texts: dict[tuple[Any, Any], Document] = {}
    if documents is not None:
        texts = {(d.source, d.row): d for d in documents if isinstance(d, Document)}
        for line in lines:
            found = texts.get((line["source"], line["row"]))
            if found is None or text_sha256(found.text) != line["text_sha256"]:
                state = "is not in the corpus" if found is None else "has another text there"
                raise ValueError(
                    f"document {line['id']!r:.100} of {path.name!r} {state}; give the corpus whose "
                    "steps were weighted, with its columns"
                )
    if model is not None:
        try:
            identity(settings, model)
        except Failed as error:
            raise ValueError(str(error).replace("the manifest", "the settings")) from None
    again = 0
    if model is not None and texts:
        drawn = np.random.default_rng(seed).permutation(len(lines))[:sample]
        chosen = [lines[i] for i in sorted(drawn.tolist())]
        _require_same(path, model, settings, chosen, texts, by)
        again = len(chosen)
    return {**counts, "texts": len(lines) if texts else 0, "scored_again": again,
            "settings": settings}  # fmt: skip


def _settings_of(path: Path) -> dict[str, Any]:
    """The settings beside a file of step weights, which has the bytes that they state."""
    beside = settings_path(path)
    if not path.is_file() or not beside.is_file():
        missing = beside if path.is_file() else path
        raise ValueError(
            f"{str(missing)!r:.200} is not there; give a file that `workbench steps` or "
            f"StepInfluence.write wrote, with {beside.name!r:.100} beside it"
        )
    stated = read_json(beside)
    if not isinstance(stated, dict) or not {"sha256", "settings"} <= stated.keys():
        raise ValueError(f"{str(beside)!r:.200} holds no settings of step weights")
    if sha256_of(path) != stated["sha256"]:
        raise ValueError(f"{str(path)!r:.200} was changed since it was written")
    return dict(stated["settings"])


def _require_same(
    path: Path,
    model: Model,
    settings: dict[str, Any],
    chosen: list[dict[str, Any]],
    texts: dict[tuple[Any, Any], Document],
    by: Steps | None,
) -> None:
    """Refuse weights that do not come out again."""
    cut_by = settings["steps_by"]
    if cut_by["function"] is not None and by is None:
        raise ValueError(
            f"the steps were cut by the function {cut_by['function']!r:.100}: give it as by="
        )
    reference = settings.get("reference")
    if reference is not None and not is_known(reference):
        raise ValueError(
            f"masked heads put out what they give on the reference set {reference['name']!r:.80}, "
            "whose texts this process does not know: make it with reference_set, then verify"
        )
    how = ScoringSettings.from_json(settings)
    again = step_influence(
        model, how.heads, [texts[line["source"], line["row"]] for line in chosen],
        by=by or cut_by["name"], mode=how.mode, max_tokens=how.max_tokens,
    )  # fmt: skip
    tolerance = RESCORE_TOLERANCE.get(settings["model"]["dtype"], 1e-4)
    for number, line in enumerate(chosen):
        document = again.documents.iloc[number]
        steps = again.steps[again.steps["document"] == number]
        stated = np.array(line["steps"], float).reshape(-1, 3)
        # A weight is a change a token over the mean change, and a change is a difference of losses.
        losses = steps["loss_base"] + steps["loss_ref"]
        mean = max(document["change"], tolerance * losses.sum()) / document["tokens"]
        off = tolerance * (1 + losses / np.maximum(steps["tokens"], 1) / mean)
        same_cut = np.array_equal(stated[:, :2], steps[["start", "end"]].to_numpy(float))
        if (
            not same_cut
            or abs(document["score"] - line["score"]) > tolerance * (2 + abs(line["score"]))
            or (np.abs(stated[:, 2] - steps["weight"]) > off * (1 + stated[:, 2])).any()
        ):
            what = "weights or score" if same_cut else "steps"
            raise ValueError(
                f"{path.name!r:.100}: scored again, document {line['id']!r:.100} has other {what}"
            )
