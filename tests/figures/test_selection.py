"""Figures of what is chosen: they draw what they are given, and hostile text stays text."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.test_words import corpus_of, table_of

import workbench as wb
from workbench import figures
from workbench.selection.alternative_scores import BUILT_IN


@pytest.fixture(scope="module")
def chosen():
    """Every table that a figure takes, made from hostile names and two domains."""
    documents = [
        wb.Document(f"<b>{plain.doc_id}</b>", f"<b>{plain.text}</b>", f"<i>{plain.domain}</i>",
                    plain.source, plain.row)
        for plain in corpus_of(20) + corpus_of(20, "b", seed=1)
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    base = rng.uniform(1, 3, 40)
    table = table_of(
        documents, loss_base=base, loss_ref=base * rng.uniform(1, 2, 40),
        tokens=rng.integers(10, 900, 40), compression_ratio=rng.uniform(0.1, 0.9, 40),
    )  # fmt: skip
    rows = wb.scorers(table.assign(score=table["loss_ref"] / table["loss_base"] - 1))
    selections = {
        "<u>score</u>": wb.select(rows).table,
        "other": wb.select(rows, by_score="random").table,
    }
    clusters = wb.cluster_documents(rows, rng.normal(size=(40, 6)), 4)
    return {
        "rows": rows, "documents": documents, "selections": selections, "clusters": clusters,
        "statistics": wb.selection_statistics(selections),
        "words": {"<u>": wb.word_overlap(rows, documents, "score", "random", draws=5)},
        "table": wb.cluster_table(clusters, rows, documents, selections),
        "coverage": wb.coverage(clusters, selections, draws=20),
        "pairs": wb.compare_scorers(rows), "confounds": wb.scorer_confounds(rows),
    }  # fmt: skip


def drawn(chosen):
    first, other = chosen["selections"]
    return {
        "statistic": figures.statistic_dots(chosen["statistics"]),
        "words": figures.word_overlap_dots(chosen["words"]),
        "clusters": figures.cluster_bars(chosen["table"], first, other),
        "map": figures.selection_map(chosen["clusters"], chosen["selections"]),
        "coverage": figures.coverage_dots(chosen["coverage"]),
        "scorers": figures.scorer_matrix(chosen["pairs"]),
        "confounds": figures.confound_matrix(chosen["confounds"]),
    }


def test_no_figure_holds_markup_from_a_corpus(chosen):
    for name, figure in drawn(chosen).items():
        text = figure.to_json()
        for markup in ("b", "i", "u"):
            assert f"<{markup}>" not in text, name
            assert f"\\u003c{markup}\\u003e" not in text, name


def test_means_of_a_statistic_with_their_intervals(chosen):
    rows = chosen["statistics"].set_index(["selection", "domain", "statistic"])
    for trace in drawn(chosen)["statistic"].data:
        name = trace.name.replace("&lt;", "<").replace("&gt;", ">")
        for i, domain in enumerate(("<i>a</i>", "<i>b</i>")):
            row = rows.loc[(name, domain, "tokens")]
            assert trace.y[i] == pytest.approx(row["mean"], abs=1e-4)
            assert trace.y[i] + trace.error_y.array[i] == pytest.approx(row["high"], abs=1e-3)
            assert trace.y[i] - trace.error_y.arrayminus[i] == pytest.approx(row["low"], abs=1e-3)


def test_shared_words_stand_beside_those_of_random_choices(chosen):
    (table,) = chosen["words"].values()
    random, selection = drawn(chosen)["words"].data[:2]
    part = table[(table["domain"] == "<i>a</i>") & (table["weight"] == "tf")]
    assert list(selection.y) == part["overlap"].round(4).tolist()
    assert list(random.y) == part["random"].round(4).tolist()
    assert list(selection.x) == ["10%", "20%", "50%"]


def test_bars_of_the_clusters(chosen):
    table = chosen["table"]
    size, first, other = drawn(chosen)["clusters"].data
    assert list(size.x) == table["documents"].tolist()
    assert list(first.x) == table["<u>score</u>"].round(4).tolist()
    assert list(other.x) == table["other"].round(4).tolist()
    assert size.y[0].startswith("0: ")


def test_the_map_shows_every_document_once_a_panel(chosen):
    figure = drawn(chosen)["map"]
    panels = {"x": [], "x2": []}
    for trace in figure.data:
        panels[trace.xaxis or "x"] += list(trace.x)
    for points in panels.values():
        assert sorted(points) == sorted(chosen["clusters"].frame["x"].round(4))
    counts = {trace.name: len(trace.x) for trace in figure.data}
    a, b = ({*table.loc[table["selected"], "doc_id"]} for table in chosen["selections"].values())
    assert counts["both"] == len(a & b)
    assert counts["other alone"] == len(b - a)
    assert counts["neither"] == 40 - len(a | b)
    with pytest.raises(ValueError, match="two selections, got 1"):
        figures.selection_map(chosen["clusters"], {"other": chosen["selections"]["other"]})


def test_coverage_is_drawn_as_measured(chosen):
    coverage = chosen["coverage"]
    part = coverage[coverage["measure"] == "effective clusters"]
    trace = [trace for trace in drawn(chosen)["coverage"].data if trace.name == "selection"][1]
    assert list(trace.y) == part["value"].round(4).tolist()


def test_matrices_hold_the_mean_over_domains_and_every_confound(chosen):
    spearman, overlap = drawn(chosen)["scorers"].data
    pairs = chosen["pairs"]
    pair = pairs[(pairs["one"] == "score") & (pairs["other"] == "length")]
    i, j = BUILT_IN.index("score"), BUILT_IN.index("length")
    for trace, measure in ((spearman, "spearman"), (overlap, "overlap")):
        grid = np.array(trace.z, dtype=float)
        assert grid[i, j] == grid[j, i] == round(pair[measure].mean(), 4)
        assert np.isnan(np.diag(grid)).all()
    first = drawn(chosen)["confounds"].data[0]
    rows = chosen["confounds"].set_index(["scorer", "domain", "confound"])["spearman"]
    grid = np.array(first.z, dtype=float)
    at = [label.replace(" ", "_") for label in first.x].index("loss_base")
    assert grid[i, at] == round(rows[("score", "<i>a</i>", "loss_base")], 4)
