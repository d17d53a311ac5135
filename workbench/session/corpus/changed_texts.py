"""What the scores of a corpus listen to: some of its texts, changed on purpose and scored again.

What was read of a document is changed, and not the whole of it: a change beyond the tokens that
were read would be none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from workbench.analysis.confounding import confound_values
from workbench.corpus.document import Document, Skipped
from workbench.evaluation.changed_documents import (
    KINDS,
    PairedResponse,
    counterfactuals,
    paired_response,
)
from workbench.models.model import Model
from workbench.scoring.folder.reading import load_scores
from workbench.scoring.run import run_scoring
from workbench.scoring.settings import ScoringSettings
from workbench.session.corpus.scored_corpus import ScoredCorpus
from workbench.session.state import State

LEAST = 2  # documents: a mean of fewer has no interval
COLUMNS = (
    "score", "rise", "score_novel", "contrast", "excess", "excess_relative", "loss_base",
    "repetition", "compression_ratio",
)  # fmt: skip
_SOURCE = "changed"


@dataclass(frozen=True, eq=False)
class ChangedTexts:
    """How the columns of a corpus answered to changes of some of its texts.

    Attributes:
        response: the paired responses of the columns (`paired_response`).
        positions: of the documents whose texts were changed, ascending.
        refused: one row a kind of change and reason: kind, reason, documents (how many texts could
            not be changed so).
    """

    response: PairedResponse
    positions: np.ndarray
    refused: pd.DataFrame

    def describe(self) -> str:
        """How many texts were changed, and which could not be.

        Returns:
            One sentence.
        """
        words = f"{len(self.positions)} texts, as far as they were read"
        kinds = self.refused.groupby("kind", sort=False)["documents"].sum()
        lacking = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
        return f"{words}; could not be changed: {lacking}" if lacking else words


def changed_texts(
    model: Model,
    corpus: ScoredCorpus,
    state: State,
    count: int,
    positions: Sequence[int] | np.ndarray | None = None,
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
) -> ChangedTexts:
    """Change the texts of some documents, and score both again.

    Args:
        model: the selector.
        corpus: the scored corpus, whose run says under which heads, controls and mode.
        state: heads and mode for a corpus that has no run.
        count: how many documents to draw, at random.
        positions: to draw from; None: all documents.
        kinds: of change (`counterfactuals`).
        seed: of all draws.

    Returns:
        The responses of COLUMNS, as far as the scores have them.

    Raises:
        ValueError: fewer than LEAST documents, another model than that of the run, or no such kind.
        CorpusError: the corpus is not at hand or holds other texts by now.
    """
    among = np.arange(len(corpus)) if positions is None else np.asarray(positions)
    if min(count, len(among)) < LEAST:
        raise ValueError(
            f"a response needs {LEAST} documents or more: {count} of {len(among)} were asked for; "
            "take filters away, or draw more"
        )
    drawn = np.random.default_rng(seed).choice(among, min(count, len(among)), replace=False)
    drawn.sort()
    settings = _settings(model, corpus, state)
    originals = [_as_read(corpus, int(position)) for position in drawn]
    changed = counterfactuals(originals, kinds, seed=seed)
    made = [entry for entry in changed if isinstance(entry, Document)]
    with tempfile.TemporaryDirectory(prefix="changed-texts-") as folder:
        run_scoring(model, settings, _numbered([*originals, *made]), folder)
        rows = load_scores(folder).frame.copy()
    number = rows["doc_id"].astype(int)
    kind_of = ["", *(str(entry.carried["counterfactual"]) for entry in made)]
    rows["kind"] = [kind_of[max(n - len(originals) + 1, 0)] for n in number]
    rows["position"] = [
        originals[n].doc_id if n < len(originals) else made[n - len(originals)].doc_id
        for n in number
    ]
    rows["repetition"] = confound_values(rows)["repetition"]
    columns = [name for name in COLUMNS if name in rows and rows[name].notna().any()]
    before, after = rows[rows["kind"] == ""], rows[rows["kind"] != ""]
    response = paired_response(before, after, columns, key="position", seed=seed)
    return ChangedTexts(response, drawn, _refused(changed))


def _settings(model: Model, corpus: ScoredCorpus, state: State) -> ScoringSettings:
    """How the corpus was scored, without what belongs to its own texts."""
    run = corpus.selection.run
    if run is None:
        return ScoringSettings.of(state.heads, mode=state.mode)
    if run["model"]["weights_sha256"] != model.identity["weights_sha256"]:
        raise ValueError(
            f"the corpus was scored by {run['model']['source']!r:.100}, and this session has "
            f"{model.source!r:.100} with other weights: score the corpus with this model first"
        )
    # These are what was read already; controls, which may be of a sample, are masked for all.
    return replace(
        ScoringSettings.from_json(run), max_tokens=None, read="start", controls_share=1.0
    )


def _as_read(corpus: ScoredCorpus, position: int) -> Document:
    """What was read of a document, under its position: an id may be that of several."""
    domain = str(corpus.domain_of_each[position])
    return Document(str(position), corpus.text_read(position), domain, _SOURCE, position)


def _numbered(documents: Sequence[Document]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [str(number) for number in range(len(documents))],
            "text": [document.text for document in documents],
            "domain": [document.domain for document in documents],
        }
    )


def _refused(changed: Sequence[Document | Skipped]) -> pd.DataFrame:
    reasons = pd.DataFrame(
        [
            (entry.source.split("/")[0], entry.reason)
            for entry in changed
            if isinstance(entry, Skipped)
        ],
        columns=["kind", "reason"],
    )
    return reasons.value_counts(sort=False).rename("documents").reset_index()
