"""The table of scores: rows, run and skipped documents, and how it shows itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.hostile import TEXTS
from support.run_folders import documents, lay_down_run

import workbench as wb
from workbench import figures


@pytest.fixture
def table(tmp_path):
    return lay_down_run(tmp_path / "run")


def test_rows_that_are_left_out_keep_the_run_and_what_was_skipped(table):
    rows = table.frame.copy()
    long = table.frame["tokens"] > 40
    for mask in (long, long.to_numpy(), long.tolist(), long.astype("boolean")):
        kept = table.keep(mask)
        expected = rows[rows["tokens"] > 40].reset_index(drop=True)
        pd.testing.assert_frame_equal(kept.frame, expected)
        assert (kept.run, kept.skipped) == (table.run, table.skipped)
        assert len(kept) == long.sum()
    pd.testing.assert_frame_equal(table.frame, rows)
    again = kept.keep(kept.frame["score"] > 0.2)
    assert wb.select(again).run == table.run


@pytest.mark.parametrize(
    ("mask", "named"),
    [
        (lambda rows: rows["tokens"], "24 values of type int64"),
        (lambda rows: [True] * 23, "each of the 24 rows.*got 23"),
        (lambda rows: rows["tokens"].sample(frac=1, random_state=0) > 40, "index of another frame"),
        (lambda rows: pd.array([True] * 23 + [None], dtype="boolean"), "of type boolean"),
    ],
)
def test_a_mask_of_other_rows_or_of_no_truth_values_is_refused(table, mask, named):
    with pytest.raises(ValueError, match=named):
        table.keep(mask(table.frame))


def test_it_says_how_many_documents_of_which_domains_and_their_mean_score(table):
    domains = ["code", "math", "web"]
    table.frame["domain"] = [domains[i % 3] for i in range(24)]
    heading, names, *rows = repr(table).splitlines()
    assert heading == "ScoreTable: 24 documents in 3 domains, 4 skipped (rows: .frame)"
    assert names.split() == ["domain", "documents", "mean_score"]
    for domain, row in zip(domains, rows, strict=True):
        mean = table.frame.loc[table.frame["domain"] == domain, "score"].mean()
        assert row.split() == [domain, "8", f"{mean:.4g}"]
    alone = table.keep(np.arange(24) == 0)
    assert "1 document in 1 domain, 4 skipped" in repr(alone)
    nothing = table.keep([False] * 24)
    assert repr(nothing) == "ScoreTable: 0 documents in 0 domains, 4 skipped (rows: .frame)"
    assert nothing._repr_html_().count("<") == 2
    table.frame["domain"] = [f"domain {i}" for i in range(24)]
    assert len(repr(table).splitlines()) < 15


@pytest.mark.parametrize("text", TEXTS)
def test_no_domain_name_is_taken_for_more_than_text(table, text):
    table.frame["domain"] = text
    assert "\x1b" not in repr(table)
    html = table._repr_html_()
    assert set(_tags(html)) <= {"p", "table", "thead", "tbody", "tr", "th", "td"}


def _tags(html):
    from html.parser import HTMLParser

    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)
    parser.feed(html)
    return tags


TAKEN_BY = {
    "select": lambda table: wb.select(table).table,
    "scorers": wb.scorers,
    "chosen_by": lambda table: wb.chosen_by(table, "loss_base"),
    "compare_scorers": lambda table: wb.compare_scorers(table, ["score", "tokens"]),
    "selected_only_by": lambda table: wb.selected_only_by(table, "score", ["tokens"]),
    "largest_rank_changes": lambda table: wb.largest_rank_changes(table, ["tokens"]),
    "matched_selection": lambda table: wb.matched_selection(table, on=["tokens"], strata=2),
    "agreement": lambda table: wb.agreement(table, table, draws=20),
    "agreement_along": lambda table: wb.agreement_along({1: table, 2: table}, "n"),
    "compare_selectors": lambda table: wb.compare_selectors({"a": table, "b": table}, draws=20),
    "merge_score_tables": lambda table: wb.merge_score_tables({"a": table, "b": table}),
    "confounds": lambda table: wb.confounds(table, draws=20),
    "scorer_confounds": lambda table: wb.scorer_confounds(table, ["score", "tokens"]),
    "confound_panel": lambda table: figures.confound_panel(table).to_json(),
    "documents_of": lambda table: wb.documents_of(table, documents()),
    "cluster_documents": lambda table: _clusters(table).frame,
    "cluster_table": lambda table: wb.cluster_table(
        _clusters(table), table, documents(), {"score": wb.select(table).table}
    ),
    "word_overlap": lambda table: wb.word_overlap(table, documents(), "score", "tokens", draws=5),
    "ScoredCorpus": lambda table: wb.ScoredCorpus(table).selection.table,
}


def _clusters(table):
    vectors = np.random.default_rng(0).normal(size=(24, 4))
    return wb.cluster_documents(table, vectors, 3)


@pytest.mark.parametrize("name", TAKEN_BY)
def test_what_takes_scores_takes_the_table_and_its_frame_alike(table, name):
    table.frame["compression_ratio"] = np.linspace(0.2, 0.8, 24)
    of_table, of_frame = TAKEN_BY[name](table), TAKEN_BY[name](table.frame)
    if isinstance(of_table, pd.DataFrame):
        pd.testing.assert_frame_equal(of_table, of_frame)
    else:
        assert of_table == of_frame
    with pytest.raises(TypeError, match="got a list"):
        TAKEN_BY[name]([1, 2])
