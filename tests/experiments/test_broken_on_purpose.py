"""What columns answer to changed chains: the stored rows, and how they come about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.models import make_model

import workbench as wb
from experiments.broken_on_purpose import COLLECTIONS, OF_EACH, chains, responses
from experiments.candidate_columns import COLUMNS
from experiments.columns_by_world import HERE
from workbench.evaluation.changed_documents import KINDS

pytestmark = pytest.mark.slow  # of an experiment, not of the package


def test_every_column_and_change_is_stored_with_its_interval():
    rows = pd.read_csv(HERE / "broken_on_purpose.csv")
    asked = {(name, kind, column) for name in ("all", *COLLECTIONS) for kind in KINDS
             for column in COLUMNS}  # fmt: skip
    assert set(zip(rows["collection"], rows["kind"], rows["column"], strict=True)) == asked
    assert (rows["low"] <= rows["difference"]).all()
    assert (rows["difference"] <= rows["high"]).all()
    assert (rows["n"] + rows["missing"] <= 2 * OF_EACH).all()
    of_all = rows[rows["collection"] == "all"].set_index(["kind", "column"])["n"]
    of_each = rows[rows["collection"] != "all"].groupby(["kind", "column"])["n"].sum()
    assert of_each.to_dict() == of_all.to_dict()


def test_the_chains_are_as_many_of_each_collection():
    drawn = chains()
    assert pd.Series([chain.domain for chain in drawn]).value_counts().to_dict() == dict.fromkeys(
        COLLECTIONS, OF_EACH
    )
    assert len({(chain.source, chain.row) for chain in drawn}) == len(drawn)


def test_a_change_is_paired_with_its_own_chain(tmp_path):
    model = make_model()
    heads = wb.HeadSet.parse("L1H0 L2H3", model)
    drawn = chains()
    # The columns know no windows: a changed text is at most a quarter longer.
    most = 3 * model.context // 4
    originals = [replace(chain, text=chain.text[:most]) for chain in (*drawn[:3], *drawn[-3:])]
    rows = responses(model, heads, originals, tmp_path)
    assert set(rows["collection"]) == {"all", *COLLECTIONS}
    row = rows.set_index(["collection", "kind", "column"]).loc[("all", "repeated", "low base loss")]
    changed = wb.counterfactuals(originals, ["repeated"])
    differences = []
    for before, after in zip(originals, changed, strict=True):
        if isinstance(after, wb.Document):
            losses = [
                wb.token_losses(model, [text], [None], max_tokens=256)[0][0].mean(dtype=float)
                for text in (before.text, after.text)
            ]
            differences.append(losses[0] - losses[1])
    assert row["n"] == len(differences)
    assert row["difference"] == pytest.approx(np.mean(differences), abs=1e-5)
