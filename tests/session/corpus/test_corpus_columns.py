"""Columns of a scored corpus: histograms, ranges, other rankings, first words, what was read."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from session.corpus.test_scored_corpus import random_table

import workbench as wb
from workbench.corpus.places import CorpusPlaces
from workbench.session.corpus.document_texts import passages_read
from workbench.session.corpus.histogram import BINS
from workbench.session.corpus.scored_corpus import ScoredCorpus


@pytest.fixture(scope="module")
def table():
    made = random_table(500, seed=3)
    rng = np.random.default_rng(5)
    return made.assign(
        tokens=rng.integers(3, 90_000, 500),
        predicted_novel=rng.integers(0, 4, 500),
        rise=made["loss_ref"] - made["loss_base"],
        mine=np.where(rng.random(500) < 0.2, np.nan, rng.normal(size=500)),
        nothing=np.nan,
        note="words",
    )


@pytest.fixture
def corpus(table):
    return ScoredCorpus(table)


def test_the_columns_are_those_with_a_value(corpus):
    names = {*corpus.numeric_columns}
    assert {"score", "margin", "rank", "tokens", "rise", "mine", "repetition"} <= names
    assert not {"nothing", "note", "row", "doc_id", "excess"} & names
    repetition = 1 - corpus._rows.scores["predicted_novel"] / corpus._rows.scores["predicted"]
    np.testing.assert_allclose(corpus.column("repetition"), repetition)
    assert not {"rank", "margin", "repetition"} & {*corpus.rankings}
    with pytest.raises(ValueError, match="no column of numbers 'note'"):
        corpus.column("note")


@pytest.mark.parametrize("name", ["score", "mine", "tokens", "compression_ratio", "margin"])
def test_a_histogram_counts_each_document_once_and_its_bins_filter_the_same(corpus, name):
    values = corpus.column(name)
    kept = np.arange(0, 500, 3)
    histogram = corpus.histogram(name, kept)
    expected, _ = np.histogram(values[np.isfinite(values)], histogram.edges)
    assert histogram.counts.tolist() == expected.tolist()
    assert histogram.counts.sum() == np.isfinite(values).sum()
    assert histogram.kept.sum() == np.isfinite(values[kept]).sum()
    assert len(histogram.counts) == BINS
    steps = np.diff(np.log(histogram.edges) if name == "tokens" else histogram.edges)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    for first, last in [(0, 0), (3, 9), (10, BINS - 1), (0, BINS - 1)]:
        found = corpus.sort_and_filter(ranges={name: histogram.span(first, last)})
        assert len(found) == histogram.counts[first : last + 1].sum()


def test_a_column_of_one_value_has_a_histogram():
    corpus = ScoredCorpus(random_table(40, seed=1).assign(same=2.0))
    histogram = corpus.histogram("same")
    assert histogram.counts.sum() == histogram.counts[0] == 40
    assert len(corpus.sort_and_filter(ranges={"same": histogram.span(0, 0)})) == 40


def test_ranges_and_places_filter_together(corpus):
    score, mine = corpus.column("score"), corpus.column("mine")
    among = np.arange(100, 400)
    found = corpus.sort_and_filter(
        "mine", ranges={"score": (0.0, 0.5), "mine": (-1, 1)}, among=among
    )
    wanted = [i for i in among if 0 <= score[i] <= 0.5 and -1 <= mine[i] <= 1]
    assert sorted(found) == wanted
    assert (np.diff(mine[found]) >= 0).all()
    assert not len(corpus.sort_and_filter(among=np.array([], dtype=int)))


def test_another_ranking_keeps_the_positions(corpus, table):
    for name, fraction, by in [("mine", 0.3, "documents"), ("rise", 0.1, "tokens"),
                               ("score", 0.2, "documents")]:  # fmt: skip
        selection = corpus.cut(fraction, by, name)
        expected = wb.select(table, fraction, by, by_score=name)
        pd.testing.assert_frame_equal(selection.table, expected.table)
        assert selection.without_value == expected.without_value
        key = ["source", "row"]
        rows = corpus._rows.placed.merge(
            expected.table, on=key, how="left", suffixes=("", "_expected")
        )
        assert (corpus._rows.scores[key].to_numpy() == rows[key].to_numpy()).all()
        np.testing.assert_array_equal(rows["rank"], rows["rank_expected"])
        assert (rows["selected"] == rows["selected_expected"].eq(True)).all()
        assert set(corpus.selected) == set(np.flatnonzero(rows["selected"]))
        threshold = rows["domain"].map(expected.domains.set_index("domain")["threshold"])
        ranked = rows["rank_expected"].notna()
        np.testing.assert_allclose(rows["margin"][ranked], (rows[name] - threshold)[ranked])
        assert rows["margin"][~ranked].isna().all()


def test_confounds_are_those_of_the_package_and_of_large_domains_a_sample(corpus, monkeypatch):
    expected = wb.confounds(corpus._rows.scores)
    np.testing.assert_allclose(corpus.confounds["spearman"], expected["spearman"])
    monkeypatch.setattr("workbench.session.corpus.scored_corpus.SAMPLED", 50)
    again = ScoredCorpus(corpus._rows.scores.drop(columns=["rank", "repetition"])).confounds
    assert again["documents"].max() == 50


ROWS = [{"id": str(i), "text": f"The  {i}th\n text. " * 40, "domain": "a"} for i in range(6)]


def scored(paths):
    """A corpus with its scores, without a model."""
    places = CorpusPlaces(paths)
    source = next(iter(wb.read_corpus(paths))).source
    texts = [places.find(source, i).text for i in range(6)]
    frame = random_table(6, seed=0, domains=1).assign(
        source=source, text_sha256=[wb.corpus.reading.text_sha256(text) for text in texts]
    )
    return ScoredCorpus(frame, paths)


def lines(rows=ROWS):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "memory"])
def test_first_words_are_read_where_that_is_quick(tmp_path, kind):
    path = tmp_path / f"c.{kind}"
    if kind == "jsonl":
        path.write_text(lines())
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    corpus = scored(ROWS if kind == "memory" else str(path))
    for position, row in enumerate(corpus._rows.scores["row"]):
        words = " ".join(ROWS[row]["text"].split())
        assert corpus.beginning(position) == words[:160]


def test_first_words_are_blank_where_the_corpus_would_be_read_up_to_them(tmp_path):
    path = tmp_path / "c.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write(lines())
    corpus = scored(str(path))
    assert corpus.document(3).text  # when it is opened, it is read all the same
    assert corpus.beginning(3) == ""


def test_first_words_of_another_text_are_blank(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(lines())
    corpus = scored(str(path))
    changed = int(corpus._rows.scores["row"].iloc[2])
    rows = [row | {"text": "edited"} if i == changed else row for i, row in enumerate(ROWS)]
    path.write_text(lines(rows))
    assert corpus.beginning(2) == ""
    assert corpus.beginning(1) != ""
    path.unlink()
    assert corpus.beginning(1) == ""


def test_a_network_is_not_asked_for_first_words(monkeypatch):
    places = CorpusPlaces("https://example.org/c.jsonl")
    monkeypatch.setattr(
        "workbench.corpus.places.sources_of",
        lambda paths: [wb.corpus.sources.Source("c.jsonl", "https://example.org/c.jsonl", "jsonl")],
    )
    assert not places.is_quick("c.jsonl")


@pytest.mark.parametrize(
    ("read", "words"),
    [("0:400", "characters 0 to 400"), ("0:400,812:1203", "characters 0 to 400, 812 to 1,203"),
     (None, ""), (float("nan"), ""), ("", ""), ("all of it", ""), ("0:", "")],
)  # fmt: skip
def test_what_was_read_in_words(read, words):
    assert passages_read(read) == words


def test_the_residual_is_that_of_the_scorer_and_no_column_to_choose_by(table):
    corpus = ScoredCorpus(table)
    known = table["compression_ratio"].notna()
    of_text = wb.scorers(table[known]).set_index("row")["residual"]
    shown = pd.Series(corpus.column("residual"), index=corpus._rows.scores["row"])
    np.testing.assert_allclose(shown[of_text.index], of_text)
    assert shown.drop(of_text.index).isna().all()  # compression is one of its controls
    assert "residual" not in corpus.rankings
    assert "residual" not in corpus.selection.table


# ---- boilerplate -------------------------------------------------------------------------------


def test_boilerplate_is_counted_in_what_was_read_and_stands_among_columns_and_confounds(tiny):
    notice = " ".join(f"licence{i}" for i in range(20))
    rows = [
        {
            "id": str(i),
            "text": f"{notice if i < 4 else ''} " + " ".join(f"w{i}x{k}" for k in range(30)),
        }
        for i in range(9)
    ]
    session = wb.Session(tiny, heads="L0H1")
    heard = []
    session.on_change(heard.append)
    corpus = session.score(rows)
    assert "shared_ngrams" not in corpus.numeric_columns
    session.cut(0.5, "documents", "rise")
    session.measure_boilerplate()
    assert heard[-1] == "columns"
    assert corpus.selection.by_score == "rise"  # the cut is where it was
    assert corpus.selection.fraction == 0.5
    shares = corpus.column("shared_ngrams")
    grams = 50 - 13 + 1  # in a text with the notice, of which those inside it stand in others
    for row, share in zip(corpus.rows(range(9)), shares, strict=True):
        assert share == pytest.approx(8 / grams if int(row["doc_id"]) < 4 else 0)
    assert "shared_ngrams" not in corpus.rankings
    (row,) = corpus.confounds[corpus.confounds["confound"] == "shared_ngrams"].to_dict("records")
    spearman = pd.Series(corpus.column("score")).corr(pd.Series(shares), method="spearman")
    assert row["spearman"] == pytest.approx(spearman)
    session.cut()  # selections hold the columns of the run alone
    assert "shared_ngrams" not in corpus.selection.table


def test_only_what_was_read_is_measured_and_without_the_corpus_nothing_is(tiny, tmp_path):
    notice = " ".join(f"licence{i}" for i in range(20))
    rows = [
        {"id": str(i), "text": " ".join(f"w{i}x{k}" for k in range(99)) + " " + notice}
        for i in range(5)
    ]
    corpus = ScoredCorpus.score(
        tiny, wb.HeadSet.parse("L0H1", tiny), rows, tmp_path, max_tokens=200
    )
    corpus.measure_boilerplate()
    assert corpus.column("shared_ngrams").tolist() == [0.0] * 5
    with pytest.raises(wb.CorpusError, match="n-grams cannot be counted"):
        ScoredCorpus.load(tmp_path).measure_boilerplate()
