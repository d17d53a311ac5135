"""A scored corpus to look through, against plain pandas; its texts, its cut, its manifest."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.run_folders import lay_down_run, score_table

import workbench as wb
from workbench.session.corpus.columns import COLUMNS
from workbench.session.corpus.scored_corpus import ScoredCorpus

TEXTS = [
    {
        "id": f"Doc {i}",
        "text": f"document number {i} é: " + "word " * (i % 7),
        "domain": "ab"[i % 2],
    }
    for i in range(12)
]


def random_table(count, seed, domains=4):
    """Scores with many ties, ids of both cases, and ratios that are not known."""
    rng = np.random.default_rng(seed)
    base, score = rng.uniform(1, 3, count), rng.integers(-9, 9, count) / 8
    names = np.array(["code", "Math", "<b>web</b>", "été"])[:domains]
    return pd.DataFrame(
        {
            "doc_id": [f"{'dD'[i % 2]}oc.{n} é" for i, n in enumerate(rng.permutation(count))],
            "domain": rng.choice(names, count),
            "source": "a.jsonl",
            "row": np.arange(count),
            "tokens": rng.integers(1, 40, count),
            "predicted": 3,
            "loss_base": base,
            "loss_ref": base * (1 + score),
            "score": score,
            "compression_ratio": np.where(rng.random(count) < 0.1, np.nan, rng.random(count)),
            "text_sha256": [f"{number:064x}" for number in rng.integers(0, 5, count)],
        }
    )


def plain(table, by, ascending, domain, contains, only_selected):
    """Ids in the order wanted, by sorting rows of the selection with plain Python keys."""
    keep = table
    if domain is not None:
        keep = keep[keep["domain"] == domain]
    if contains:
        keep = keep[[contains.lower() in doc_id.lower() for doc_id in keep["doc_id"]]]
    if only_selected:
        keep = keep[keep["selected"]]
    keys = keep["distance"] if by == "margin" else keep[by]
    rows = [(key, doc_id) for key, doc_id in zip(keys, keep["doc_id"], strict=True)]
    known = [row for row in rows if row[0] == row[0]]
    rest = [row for row in rows if row[0] != row[0]]
    # sorted is stable in both directions, and the table has the order of domain and rank
    known = sorted(known, key=lambda row: row[0], reverse=not ascending)
    return [doc_id for _, doc_id in [*known, *rest]]


@pytest.mark.parametrize(
    ("count", "fraction", "by"),
    [(1, 0.2, "documents"), (7, 0.5, "tokens"), (300, 0.2, "documents"), (300, 0.07, "tokens"),
     (100_000, 0.2, "documents")],
)  # fmt: skip
def test_every_order_and_filter_is_that_of_plain_python(count, fraction, by):
    table = random_table(count, seed=count)
    corpus = ScoredCorpus(table)
    corpus.cut(fraction, by)
    expected = wb.select(table, fraction, by)
    pd.testing.assert_frame_equal(corpus.selection.table, expected.table)
    pd.testing.assert_frame_equal(corpus.selection.domains, expected.domains)
    thresholds = dict(expected.domains[["domain", "threshold"]].to_numpy())
    distance = expected.table["score"] - expected.table["domain"].map(thresholds)
    whole = expected.table.assign(margin=distance, distance=distance.abs())
    assert corpus.domains == sorted(table["domain"].unique())
    assert len(corpus) == count
    first = table["domain"].iloc[0]
    filters = [(None, "", False), (first, "", True), (None, "DOC.1", False), (first, "é", False),
               (None, ".", True), (None, "no such id", False)]  # fmt: skip
    if count > 1000:
        filters = filters[:2]
    for column in COLUMNS if count <= 1000 else ("rank", "score", "margin", "doc_id"):
        for ascending in (True, False):
            for domain, contains, only in filters:
                found = corpus.sort_and_filter(column, ascending, domain, contains, only)
                wanted = plain(whole, column, ascending, domain, contains, only)
                assert whole["doc_id"].iloc[found].tolist() == wanted
    shown = corpus.rows([0, count - 1])
    for row, position in zip(shown, (0, count - 1), strict=True):
        residual = ["residual"] if count >= 300 else []  # which needs eight documents of a domain
        assert list(row) == [*COLUMNS, "predicted", *residual]
        for name, value in row.items():
            assert type(value) in (str, int, float, bool)
            if name == "residual":  # test_corpus_columns.py
                continue
            assert value == whole[name].iloc[position] or value != value
    json.dumps(shown)
    assert corpus.rows([]) == []


def test_extremes_are_the_best_the_worst_and_the_nearest_to_their_cut():
    corpus = ScoredCorpus(random_table(200, seed=1))
    corpus.cut(0.3)
    whole = pd.DataFrame(corpus.rows(range(200)))
    for domain in (None, *corpus.domains):
        inside = whole if domain is None else whole[whole["domain"] == domain]
        found = {
            kind: whole.iloc[corpus.extremes(kind, 5, domain)]
            for kind in ("highest", "lowest", "nearest")
        }
        scores = sorted(inside["score"])
        assert found["highest"]["score"].tolist() == scores[::-1][:5]
        assert found["lowest"]["score"].tolist() == scores[:5]
        assert found["nearest"]["margin"].abs().tolist() == sorted(inside["margin"].abs())[:5]
    assert len(corpus.extremes("highest")) == 1
    assert len(corpus.extremes("highest", 999)) == 200


def test_positions_stay_while_the_cut_moves():
    corpus = ScoredCorpus(random_table(100, seed=2))
    ids = [row["doc_id"] for row in corpus.rows(range(100))]
    selected = []
    for fraction in (0.1, 0.9, 0.1):
        selection = corpus.cut(fraction)
        assert corpus.selection is selection
        assert [row["doc_id"] for row in corpus.rows(range(100))] == ids
        selected.append([row["selected"] for row in corpus.rows(range(100))])
        thresholds = dict(selection.domains[["domain", "threshold"]].to_numpy())
        assert all(
            row["margin"] == row["score"] - thresholds[row["domain"]]
            for row in corpus.rows(range(100))
        )
    assert selected[0] == selected[2] != selected[1]
    assert [corpus.position(doc_id) for doc_id in ids] == list(range(100))


def test_bad_input_is_refused():
    corpus = ScoredCorpus(random_table(20, seed=3))
    before = corpus.selection
    for act, error, message in (
        (
            lambda: corpus.sort_and_filter("size"),
            ValueError,
            "cannot sort by 'size': expected one of doc_id",
        ),
        (
            lambda: corpus.sort_and_filter(domain="x"),
            ValueError,
            "no domain 'x': expected one of .*Math",
        ),
        (
            lambda: corpus.extremes("best"),
            ValueError,
            "'highest', 'lowest' or 'nearest', got 'best'",
        ),
        (lambda: corpus.position("x"), KeyError, "no scored document has the id 'x'"),
        (lambda: corpus.document(20), IndexError, "position 20: expected one of 0 to 19"),
        (lambda: corpus.document(-1), IndexError, "position -1: expected one of"),
        (lambda: corpus.document(0), wb.CorpusError, r"session.load\(folder, corpus\)"),
        (lambda: corpus.cut(0), ValueError, r"in \(0, 1\], got 0"),
        (lambda: corpus.cut(0.2, "bytes"), ValueError, "'documents' or 'tokens', got 'bytes'"),
        (lambda: ScoredCorpus(score_table().iloc[:0]), ValueError, "no rows"),
    ):
        with pytest.raises(error, match=message):
            act()
    assert corpus.selection is before
    assert repr(corpus) == "<ScoredCorpus of 20 documents in 4 domains>"


# ---- with a session ---------------------------------------------------------------------------


@pytest.fixture
def session(tiny):
    return wb.Session(tiny, "some text", "L0H1 L1H3")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def as_path(folder):
    return write(folder / "c.jsonl", TEXTS)


def as_text_path(folder):
    return str(as_path(folder))


def as_frame(folder):
    return pd.DataFrame(TEXTS)


def as_list(folder):
    return TEXTS


def as_stream(folder):
    return (row for row in TEXTS)  # can be read only once, and is opened all the same


def as_arrow_stream(folder):
    return pa.Table.from_pylist(TEXTS).to_reader()


@pytest.mark.parametrize(
    "form", [as_path, as_text_path, as_frame, as_list, as_stream, as_arrow_stream]
)
def test_scoring_and_opening_documents_of_any_corpus(session, tmp_path, form):
    heard = []
    session.on_change(heard.append)
    found = session.score(form(tmp_path), tmp_path / "run", shard_size=5)
    assert session.corpus is found
    assert heard == ["corpus"]
    expected = wb.score_corpus(session.model, session.heads, TEXTS)
    table = found.selection.table.sort_values("row")
    np.testing.assert_allclose(table["score"], expected.frame["score"], atol=1e-5)
    for position in range(len(found)):
        session.open(position)
        (row,) = found.rows([position])
        (source,) = [text for text in TEXTS if text["id"] == row["doc_id"]]
        assert (session.text, session.document) == (source["text"], row["doc_id"])
        assert session.changes().rise == pytest.approx(row["score"], rel=1e-3, abs=1e-5)
    session.open("Doc 3")
    assert session.document == "Doc 3"
    assert heard[1:3] == ["state", "colours"]
    assert heard[-1] == "document"
    session.toggle("L2H2")
    assert session.document == "Doc 3"
    session.read("something else")
    assert session.document is None


def test_a_finished_run_is_taken_up(session, tmp_path):
    path = write(tmp_path / "c.jsonl", [{"n": o["id"], "t": o["text"]} for o in TEXTS])
    first = session.score(path, tmp_path / "run", id="n", text="t")
    other = wb.Session(session.model, "some text")
    found = other.load(tmp_path / "run", path, id="n", text="t")
    pd.testing.assert_frame_equal(found.selection.table, first.selection.table)
    other.open("Doc 7")
    assert other.text == TEXTS[7]["text"]
    without = other.load(tmp_path / "run")
    assert other.corpus is without
    with pytest.raises(wb.CorpusError, match="the corpus is not, so its texts cannot be shown"):
        other.open("Doc 7")
    assert other.text == TEXTS[7]["text"]


def test_a_text_that_is_not_the_scored_one_is_not_shown(session, tmp_path):
    path = write(tmp_path / "c.jsonl", TEXTS)
    session.score(path, tmp_path / "run")
    state, corpus = session.state, session.corpus
    changed = [dict(document) for document in TEXTS]
    changed[4]["text"] = "changed meanwhile"
    changed[5]["text"] = ""
    write(path, changed[:10])
    session.open("Doc 3")
    session.undo()
    for doc_id, message in (
        ("Doc 4", "row 4 of 'c.jsonl' holds another text than the one that was scored: score"),
        ("Doc 5", "row 5 of 'c.jsonl' holds another text"),
        ("Doc 11", "the corpus has no row 11 in 'c.jsonl' any more"),
    ):
        with pytest.raises(wb.CorpusError, match=message):
            session.open(doc_id)
    path.unlink()
    with pytest.raises(wb.CorpusError, match=r"c\.jsonl"):
        session.open("Doc 3")
    with pytest.raises(KeyError, match="no scored document has the id 'Doc 99'"):
        session.open("Doc 99")
    with pytest.raises(IndexError, match="position 12: expected one of 0 to 11"):
        session.open(12)
    assert (session.state, session.document, session.corpus) == (state, None, corpus)


def test_a_cut_is_told_and_an_impossible_one_is_not(session):
    session.score(TEXTS)
    heard = []
    session.on_change(heard.append)
    selection = session.cut(0.5, "tokens")
    assert selection is session.corpus.selection
    assert heard == ["cut"]
    with pytest.raises(ValueError, match=r"in \(0, 1\], got 2"):
        session.cut(2)
    assert session.corpus.selection is selection
    assert heard == ["cut"]
    assert session.undo() is False


def test_the_exported_manifest_can_be_verified(session, tmp_path):
    corpus = session.score(TEXTS, tmp_path / "run")
    session.cut(0.4)
    path = session.export(corpus_note="made up")
    assert path.parent == tmp_path / "run"
    report = wb.verify_manifest(tmp_path / "run", corpus=TEXTS, model=session.model)
    assert report.ok
    chosen = pd.read_parquet(tmp_path / "run" / "selection.parquet")
    assert chosen["selected"].sum() == len(corpus.selection.chosen)


def test_a_run_that_was_not_kept_has_no_place_to_export_to(session):
    session.score(TEXTS)
    with pytest.raises(ValueError, match=r"not kept in a folder: say where to, export\('run/'\)"):
        session.export()


def test_it_can_be_exported_to_another_folder_all_the_same(session, tmp_path):
    session.score(TEXTS)
    session.cut(0.5, "tokens")
    assert session.export(tmp_path / "new").parent == tmp_path / "new"
    assert wb.verify_manifest(tmp_path / "new", corpus=TEXTS).ok


def test_a_run_of_any_tool_can_be_looked_through(session, tmp_path):
    """Domains that look like markup or paths are names like any other."""
    lay_down_run(tmp_path / "run")
    corpus = session.load(tmp_path / "run")
    assert len(corpus) == 24
    for domain in corpus.domains:
        assert len(corpus.sort_and_filter(domain=domain)) == 8
