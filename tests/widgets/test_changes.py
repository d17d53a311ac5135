"""What the scores listen to, by click: counterfactuals of a sample, and boilerplate as a column."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from support.models import make_model

from widgets import Explorer
from widgets.panels.changes import CHANGING

LINES = (
    "Anna{0} has {1} apples and gives two of them to Ben{0}.",
    "Then Ben{0} counts {1} plums, and Anna{0} sings about <b>rain</b>.",
    "It was cold at the river, and nobody slept in house {1}.",
    "A lamp was lit by Ben{0} in the boat of Anna{0} at {1}.",
)
NOTICE = "whoever copies this text may copy it all over again as long as this line stands here. "


def rows_of(count, notice=""):
    return [
        {
            "id": str(i), "domain": "ab"[i % 2],
            "text": (notice if i % 3 == 0 else "")
            + "\n".join(LINES[(i + k * (i % 3 + 1)) % 4].format(i, i + k) for k in range(9)),
        }
        for i in range(count)
    ]  # fmt: skip


def score(explorer, rows, tmp_path):
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    form = explorer.documents.form
    form.path.value, form.overwrite.value = "c.jsonl", True
    form.score.click()
    settled(explorer)


@pytest.fixture
def explorer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Explorer(make_model(), heads="L1H1 L2H3")
    settled(made)
    yield made
    made.close()


def settled(explorer):
    assert explorer.wait(120)
    assert explorer.status.error is None, explorer.status.error


def test_the_sample_is_changed_and_every_column_answers(explorer, tmp_path):
    score(explorer, rows_of(8), tmp_path)
    documents = explorer.documents
    panel = documents.changes
    assert panel.layout.display == "none"
    documents.plot.value = True
    documents.change.value = True
    assert (panel.layout.display, documents.table.layout.display) == ("", "none")
    assert not documents.plot.value  # one at a time
    documents.domain.value = "a"
    panel.count.value = 3
    panel.run.click()
    settled(explorer)
    expected = explorer.session.change_texts(3, documents.table.order)
    frame = expected.response.frame
    assert len(panel.figure.figure.data) == frame["column"].nunique() >= 7
    row = frame[(frame["kind"] == "swapped") & (frame["column"] == "score")].iloc[0]
    legend = re.findall(r"swatch: (#\w+)\">(\w+)<", panel.legend.value)
    dots = [(trace.marker.color, trace.name) for trace in panel.figure.figure.data]
    assert legend == dots
    words = f"{row.standardised:+.2f}"
    interval = f"{row.low / row.spread:+.2f} to {row.high / row.spread:+.2f}"
    assert re.search(
        rf"<th>score</th>.*?<td[^>]*>.*?</td><td[^>]*><span>(<b>)?{re.escape(words)}(</b>)?</span> "
        rf"<small>{re.escape(interval)}</small>",
        panel.table.value,
    )
    assert f"{row.n} pairs" in panel.table.value
    assert "3 texts, as far as they were read" in panel.summary.value
    bold = panel.table.value.count("<b>")
    assert bold == ((frame["low"] > 0) | (frame["high"] < 0)).sum()
    documents.change.value = False
    assert (panel.layout.display, documents.table.layout.display) == ("none", "")


def test_another_corpus_is_another_answer_and_errors_stand_beside_the_button(explorer, tmp_path):
    score(explorer, rows_of(6), tmp_path)
    documents, panel = explorer.documents, explorer.documents.changes
    documents.change.value = True
    panel.run.click()
    settled(explorer)
    assert panel.figure.figure is not None
    score(explorer, rows_of(5), tmp_path)
    assert panel.figure.figure is None
    assert panel.table.value == panel.summary.value == ""
    documents.contains.value = "3"
    panel.run.click()
    assert explorer.wait(60)
    assert "a response needs 2 documents or more" in panel.note.value
    assert "a response needs" in str(explorer.status.error)


def test_it_can_be_cancelled(explorer, tmp_path):
    score(explorer, rows_of(8), tmp_path)
    panel = explorer.documents.changes
    panel.run.click()
    assert CHANGING in explorer.queues.long.keys
    explorer.cancel()
    settled(explorer)
    assert panel.figure.figure is None
    assert explorer.session.change_texts(2).positions.tolist()  # nothing is left masked


def test_texts_that_cannot_be_changed_are_said(explorer, tmp_path):
    score(explorer, [{"id": str(i), "text": f"one & <two> {i}"} for i in range(4)], tmp_path)
    panel = explorer.documents.changes
    panel.run.click()
    settled(explorer)
    counts = "shuffled 4, swapped 4, renamed 4, repeated 4, header 4"
    assert f"could not be changed: {counts}" in panel.summary.value
    assert "nothing can be compared: fewer than three different" in panel.note.value
    assert not panel.table.value


def test_boilerplate_is_counted_and_plotted(explorer, tmp_path):
    score(explorer, rows_of(12, NOTICE), tmp_path)
    documents, corpus = explorer.documents, explorer.session.corpus
    documents.plot.value = True
    settled(explorer)
    scatter = documents.scatter
    assert "shared_ngrams" not in scatter.across.options
    scatter.boilerplate.click()
    settled(explorer)
    assert scatter.across.value == "shared_ngrams"
    shares = corpus.column("shared_ngrams")
    np.testing.assert_array_equal(
        np.frombuffer(scatter.points.x, np.float32), shares.astype(np.float32)
    )
    with_notice = np.array([int(row["doc_id"]) % 3 == 0 for row in corpus.rows(range(12))])
    assert shares[with_notice].min() > shares[~with_notice].max()
    assert "Spearman shared_ngrams in a " in scatter.along.value
    columns = {one["key"]: one["label"] for one in documents.table.columns}
    assert columns["shared_ngrams"] == "boilerplate"
    assert "shared_ngrams" in documents.table.histograms
    assert "shared_ngrams" in documents.column.options
