"""What scores listen to, against texts changed and scored one by one."""

from __future__ import annotations

import numpy as np
import pytest
from support.models import make_model

import workbench as wb
from workbench.evaluation.changed_documents import KINDS
from workbench.session.corpus.changed_texts import COLUMNS

HEADS = "L0H1 L2H3"
LINES = (
    "Anna{0} has {1} apples and gives two of them to Ben{0}.",
    "Then Ben{0} counts {1} plums, and Anna{0} sings about rain.",
    "It was cold at the river, and nobody slept in house {1}.",
    "A lamp was lit by Ben{0} in the boat of Anna{0} at {1}.",
)


def corpus_of(count):
    """Texts of many lines, the ids of which come twice."""
    rows = []
    for i in range(count):
        lines = [
            LINES[(i + k * (i % 3 + 1)) % 4].format("abcdefgh"[i % 8], i + k) for k in range(20)
        ]
        rows.append({"id": f"d{i // 2}", "text": "\n".join(lines), "domain": "ab"[i % 2]})
    return rows


@pytest.fixture(scope="module")
def session(tiny):
    made = wb.Session(tiny, heads=HEADS)
    made.score(corpus_of(10), max_tokens=500, read="middle", controls=1)
    made.clear()  # what is masked by now is not what the corpus was scored under
    return made


def score_of(model, text):
    """Equation 5 of the paper from the losses of each token, and the loss that it divides by."""
    ((plain, masked),) = wb.token_losses(model, [text], [None, wb.HeadSet.parse(HEADS, model)])
    return (masked.mean() - plain.mean()) / plain.mean(), plain.mean()


def test_the_response_is_that_of_texts_scored_one_by_one(session, tiny):
    result = session.change_texts(4, seed=3)
    assert len(result.positions) == 4
    assert sorted(set(result.positions)) == result.positions.tolist()
    texts = {int(at): session.corpus.text_read(int(at)) for at in result.positions}
    assert all(len(text) < len(session.corpus.document(at).text) for at, text in texts.items())
    domains = session.corpus.domain_of_each
    originals = [
        wb.Document(str(at), text, domains[at], "by hand", at) for at, text in texts.items()
    ]
    before = {document.doc_id: score_of(tiny, document.text) for document in originals}
    changes = {kind: [] for kind in KINDS}
    for entry in wb.counterfactuals(originals, seed=3):
        if isinstance(entry, wb.Document):
            after = score_of(tiny, entry.text)
            changes[entry.carried["counterfactual"]].append(
                np.subtract(after, before[entry.doc_id])
            )
    rows = result.response.frame.set_index(["kind", "column"])
    assert set(rows.index.get_level_values("column")) == {*COLUMNS}
    for kind, differences in changes.items():
        assert rows.loc[(kind, "score"), "n"] == len(differences)
        for place, column in enumerate(("score", "loss_base")):
            mean = np.mean([one[place] for one in differences])
            assert rows.loc[(kind, column), "difference"] == pytest.approx(mean, abs=2e-6)
    assert not session.heads


def test_what_cannot_be_changed_is_counted_with_its_reason(tiny):
    session = wb.Session(tiny, heads=HEADS)
    rows = [{"id": str(i), "text": f"one two three four five six seven eight{i}"} for i in range(4)]
    session.score(rows)
    result = session.change_texts(4)
    counts = {(row.kind, row.documents) for row in result.refused.itertuples()}
    assert {("shuffled", 4), ("renamed", 4), ("header", 4)} <= counts
    assert "could not be changed: " in result.describe()
    assert "header 4" in result.describe()
    assert set(result.response.frame["kind"]) == {"swapped", "repeated"}


def test_documents_are_drawn_from_those_that_are_named(session):
    among = np.array([7, 2, 5, 1])
    assert set(session.change_texts(2, among).positions) < set(among.tolist())
    assert session.change_texts(99, among[:3]).positions.tolist() == [2, 5, 7]


def test_too_few_documents_no_texts_and_another_model_are_refused(session, tiny, tmp_path):
    with pytest.raises(ValueError, match="needs 2 documents or more: 24 of 1 were asked for"):
        session.change_texts(positions=[3])
    with pytest.raises(ValueError, match="no corpus is scored yet"):
        wb.Session(tiny).change_texts()
    kept = wb.Session(tiny, heads=HEADS)
    kept.score(corpus_of(4), tmp_path / "run")
    kept.load(tmp_path / "run")
    with pytest.raises(wb.CorpusError, match="the corpus is not"):
        kept.change_texts()
    other = wb.Session(make_model(seed=9))
    other.load(tmp_path / "run", corpus_of(4))
    with pytest.raises(ValueError, match="with other weights"):
        other.change_texts()
