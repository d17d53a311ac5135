"""Run folders of the present format, really scored by a small model."""

from __future__ import annotations

import workbench as wb
from support.models import make_model
from support.run_folders import documents


def lay_down_present_run(folder):
    """Score `documents` into a folder, with all that one can ask for, and return the ScoreTable.

    There are shards with receipts, two rows that are skipped, passages from all over long texts,
    control sets and a column of the user's.
    """
    model = make_model()
    corpus = [{"id": d.doc_id, "text": d.text * 4, "domain": d.domain} for d in documents()]
    return wb.score_corpus(
        model,
        wb.HeadSet.of([(0, 1), (1, 3)], model),
        [*corpus, {"id": "empty", "text": ""}, {"id": "none"}],
        folder,
        max_tokens=64,
        read="spread",
        shard_size=10,
        controls=2,
        columns=[wb.scoring.score_column(formula="largest change, in nats")(largest_change)],
    )


def largest_change(ids, base, masked, controls):
    return float(abs(masked - base).max())
