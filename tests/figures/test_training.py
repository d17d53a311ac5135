"""Figures of training: what they draw is what the table holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench import figures
from workbench.training.memorisation import MemorisationAudit


def by_copies(parts=(1.0,)):
    """Of four passages a group: losses that fall with the copies, and a share that comes back."""
    rows = [
        (part, copies, max(copies, 0), f"{copies}.{number}", 4 - 0.01 * copies + 0.1 * number, back)
        for part in parts
        for copies, back in ((-1, 0.0), (0, 0.0), (4, 0.25), (256, 1.0))
        for number in range(4)
    ]
    columns = ["part", "copies", "seen", "doc_id", "loss", "verbatim"]
    return MemorisationAudit(pd.DataFrame(rows, columns=columns), {}).by_copies()


def test_the_curve_of_an_audit_shows_its_table():
    table = by_copies()
    figure = figures.memorisation_curve(table)
    auc, back = figure.data
    assert list(auc.x) == list(back.x) == ["0", "4", "256"]
    np.testing.assert_allclose(auc.y, table["auc"], atol=1e-4)
    np.testing.assert_allclose(np.add(auc.y, auc.error_y.array), table["high"], atol=2e-4)
    np.testing.assert_allclose(np.subtract(auc.y, auc.error_y.arrayminus), table["low"], atol=2e-4)
    assert list(back.y) == [0, 0.25, 1]
    (line,) = figure.layout.shapes
    assert (line.y0, line.y1, line.line.dash) == (0.5, 0.5, "dot")
    assert figure.layout.xaxis.type == "category"  # 0 copies have a place, in their order
    assert list(figure.layout.xaxis.categoryarray) == ["0", "4", "256"]


def test_each_part_of_the_corpus_has_its_lines():
    names = [trace.name for trace in figures.memorisation_curve(by_copies((0.25, 1.0))).data]
    assert names == [
        "AUC, 25% of the corpus", "share of the second half given back, 25% of the corpus",
        "AUC, 100% of the corpus", "share of the second half given back, 100% of the corpus",
    ]  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
def test_copies_stand_in_their_order_whatever_the_order_of_the_rows(order):
    (auc, _) = figures.memorisation_curve(by_copies().iloc[::order]).data
    assert list(auc.x) == ["0", "4", "256"]
