"""Figures: what they are given is what they draw, and hostile text stays text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.detection.lookup_questions import HEADS, KEYS, MEASURES
from workbench.figures.heads import shown


@pytest.fixture
def scores():
    layer, head = np.divmod(np.arange(12), 4)
    value = np.linspace(0, 0.9, 12)
    frame = pd.DataFrame({"layer": layer, "head": head, "score": value})
    return frame.assign(low=value - 0.05, high=value + 0.05)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    base = rng.uniform(1, 3, 40)
    return pd.DataFrame(
        {
            "doc_id": [f"<b>{i}</b>" for i in range(40)], "domain": ["<i>a</i>", "b"] * 20,
            "source": "memory", "row": range(40), "tokens": rng.integers(10, 900, 40),
            "predicted": 9, "loss_base": base, "loss_ref": base * 1.5,
            "score": 1 / base, "compression_ratio": rng.uniform(0.1, 0.9, 40),
            "text_sha256": [f"{i:064x}" for i in range(40)],
        }
    )  # fmt: skip


def test_the_head_map_has_layers_down_and_heads_across_as_the_explorer(scores):
    heads = wb.HeadSet.top(scores, 0.2)
    figure = wb.figures.head_map(scores, heads)
    grid = np.array(figure.data[0].z)
    assert grid.shape == (3, 4)
    assert grid[2, 3] == scores["score"].max()
    assert figure.layout.yaxis.autorange == "reversed"  # layer 0 on top
    assert list(zip(figure.data[1].y, figure.data[1].x, strict=True)) == list(heads)
    named = wb.figures.head_map(wb.HeadScores(scores, by="<i>copying</i>"))
    assert named.layout.title.text == "&lt;i&gt;copying&lt;/i&gt;: 12 query heads"


def test_ranked_heads_marks_the_cut_after_the_rounded_up_fraction(scores):
    figure = wb.figures.ranked_heads(scores, fraction=0.2, top=5)
    assert figure.data[0].x[0] == "L2H3"
    assert "cut after 3 heads" in [note.text for note in figure.layout.annotations]


LOOKUPS = pd.DataFrame(
    {"column": [0, 0, 1, 1, 2, 2, 3, 3], "probe": [0, 1] * 4,
     "loss": [1.0, 2.0, 5.0, 7.0, 2.0, 2.0, 1.0, 3.0],
     "accuracy": [0.9, 0.7, 0.1, 0.3, 0.8, 0.8, 0.6, 0.6]}
)  # fmt: skip
LABELS = ["none", "all", "draw 0", "draw 1"]


def test_lookup_bars_show_means_and_intervals():
    traces = wb.figures.lookup_bars(LOOKUPS, LABELS).data
    loss, accuracy = (trace for trace in traces if trace.type == "bar")
    assert list(loss.x) == LABELS
    assert list(loss.y) == [1.5, 6.0, 2.0, 2.0]
    assert list(accuracy.y) == [0.8, 0.2, 0.8, 0.6]
    summary = wb.lookup_summary(LOOKUPS, LABELS)
    assert list(loss.y + loss.error_y.array) == pytest.approx(list(summary["loss_high"]))
    assert list(loss.y - loss.error_y.arrayminus) == pytest.approx(list(summary["loss_low"]))
    written = next(t for t in traces if t.type == "scatter" and t.mode == "text")
    assert list(written.text) == ["1.50", "6.00", "2.00", "2.00"]
    assert list(written.y) == [2.0, 7.0, 2.0, 3.0]  # above the highest probe


def test_what_is_masked_has_one_colour_in_every_figure(scores):
    bars = next(t for t in wb.figures.lookup_bars(LOOKUPS, LABELS).data if t.type == "bar")
    unmasked, detected, *random = bars.marker.color
    assert len({unmasked, detected, *random}) == 3
    values = {"nothing": 1.0, "random": 0.5, "random_low": 0.4, "random_high": 0.6, "detected": 0.0}
    mirror = wb.figures.mirror_bars(pd.DataFrame([{"task": "t", **values}])).data
    assert [bar.marker.color for bar in mirror] == [unmasked, random[0], detected]
    item = {"name": "a", "item": 0, "task": "t", **values}
    dots = wb.figures.mirror_dots(pd.DataFrame([item])).data
    assert [trace.marker.color for trace in dots] == [random[0], detected]
    curve = pd.DataFrame({
        "order": ["detected", "random"], "draw": 0, "heads": 1, "accuracy": 0.5, "lookup_loss": 1.0,
        "text_loss": None,
    })  # fmt: skip
    lines = {line.name: line for line in wb.figures.masking_curve(curve).data}
    assert lines["detected order"].line.color == detected
    assert lines["mean of the draws"].line.color == random[0]
    red, green, blue = (int(random[0][i : i + 2], 16) for i in (1, 3, 5))
    band = lines["range of 1 random draws"].fillcolor
    assert band.startswith(f"rgba({red},{green},{blue},")


def test_the_rings_of_a_head_set_have_one_colour_on_scores_and_on_effects(scores):
    heads = wb.HeadSet.top(scores, 0.2)
    effects = scores.assign(score=scores["score"] - 0.5)
    rings = [wb.figures.head_map(frame, heads).data[1].marker for frame in (scores, effects)]
    assert rings[0].color == rings[1].color


def test_the_token_map_keeps_reading_order_and_gaps():
    figure = wb.figures.token_map(list("abcde"), [np.nan, 1, -2, 3, 0.5], width=3)
    assert figure.data[0].text.tolist() == [["a", "b", "c"], ["d", "e", ""]]
    assert np.array(figure.data[0].z)[1, 0] == 3
    assert np.isnan(np.array(figure.data[0].z)[0, 0])
    assert figure.data[0].zmax == -figure.data[0].zmin == 3
    with pytest.raises(ValueError, match="5 tokens and 4 changes"):
        wb.figures.token_map(list("abcde"), [1, 2, 3, 4])


def test_the_histogram_counts_every_document_once(table):
    chosen = wb.select(table)
    figure = wb.figures.influence_histogram(chosen)
    assert sum(sum(bar.y) for bar in figure.data) == len(table)
    assert sum(sum(bar.y) for bar in figure.data if bar.name == "chosen") == 8
    for axis in (figure.layout.yaxis, figure.layout.yaxis2):
        assert axis.title.text == "documents"
        assert axis.dtick == int(axis.dtick) >= 1


def test_many_domains_fit_into_one_histogram(table):
    many = table.assign(domain=[f"d{i}" for i in range(40)])
    assert len(wb.figures.influence_histogram(wb.select(many)).layout.annotations) == 40


def head_report(scores, measured):
    """A report on 12 heads of known scores, with the panels of a model or without."""
    per_probe = scores["score"].to_numpy() + np.linspace(-0.05, 0.05, 9)[:, None]
    detected = wb.HeadScores(scores, by="<i>score</i>", per_probe=per_probe)
    report = wb.head_report(detected, fraction=0.2)
    if not measured:
        return report
    return dataclasses.replace(
        report,
        table=report.table.assign(
            shuffled=0.1, locos=np.arange(12.0), locos_share=[0] * 9 + [1] * 3
        ),
        chance={"expected": 0.001, "band_95": 0.01, "band_99": 0.02, "best_99": 0.03},
        shuffled={
            "survives": 0.2, "low": 0.1, "high": 0.3, "band_95": 0.1, "band_99": 0.1,
            "answer_tokens": 17.0,
        },
        lookup=lookup_test(),
        locos={"jaccard": 1.0, "spearman": 1.0},
    )  # fmt: skip


def lookup_test():
    """Six probes that are answered with the true key unless the heads are masked."""
    rows = [
        (probe, 0, keys, heads, 3 - 2 * right, right, right, right * (0.5 + probe / 10))
        for probe in range(6)
        for keys in KEYS
        for heads in HEADS
        for right in [float(keys == "true" and heads != "masked")]
    ]
    columns = ["probe", "question", "keys", "heads", *MEASURES]
    return wb.LookupTest(pd.DataFrame(rows, columns=columns))


def test_the_head_report_draws_what_was_measured_and_leaves_out_the_rest(scores):
    whole = wb.figures.head_report_figure(head_report(scores, measured=True))
    traces = {trace.name: trace for trace in whole.data if trace.name}
    assert set(traces["keys shuffled"].y) == {0.1}
    assert set(traces["best of all heads by chance (99 %)"].y) == {0.03}
    assert sorted(traces["both detectors"].text) == ["L2H1", "L2H2", "L2H3"]
    assert len(traces["neither"].x) == 9
    assert "lookups need them" in whole.layout.title.text
    for name, right in (("no head", 1), ("the set", 0), ("random heads", 1)):
        first, greedy = (trace for trace in whole.data if trace.name == f"{name} masked")
        assert list(first.x) == list(greedy.x) == ["true key", "shuffled key", "absent key"]
        assert list(first.y) == [right, 0, 0]
        assert list(first.error_y.array) == [0, 0, 0]
        assert list(greedy.y) == [0.75 * right, 0, 0]
        assert (greedy.error_y.array[0] > 0) == (greedy.error_y.arrayminus[0] > 0) == bool(right)
    bars = next(trace for trace in whole.data if trace.type == "bar")
    assert list(bars.x[:3]) == ["L2H3", "L2H2", "L2H1"]
    assert list(bars.y[:4]) == [1, 1, 1, 0]
    part = wb.figures.head_report_figure(head_report(scores, measured=False))
    assert {trace.name for trace in part.data if trace.name} == {"score"}
    assert "<i>" not in whole.to_json()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a & b", "a &amp; b"),
        ("&lt;", "&amp;lt;"),
        ("line\nbreak", "line\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}break"),
        ("\x1b[31m", "\\u001b[31m"),
        ("\u202eright to left", "\\u202eright to left"),
        ("זה", "זה"),
    ],
)
def test_hostile_text_is_shown_as_text(text, expected):
    assert shown(text) == expected


def test_no_figure_holds_markup_from_a_corpus(table):
    for figure in (
        wb.figures.confound_panel(table),
        wb.figures.influence_histogram(wb.select(table)),
        wb.figures.token_map(["<b>", "x"], [0.0, 1.0]),
    ):
        text = figure.to_json()
        assert "<b>" not in text
        assert "<i>" not in text
        assert "\\u003cb\\u003e" not in text


def test_the_histogram_is_of_the_column_that_was_ranked_by(table):
    figure = wb.figures.influence_histogram(wb.select(table, by_score="loss_base"))
    assert figure.layout.title.text == "loss_base inside each domain (dashed: the cut)"
    of_score = wb.figures.influence_histogram(wb.select(table))
    assert of_score.layout.title.text == "AttentionInfluence inside each domain (dashed: the cut)"
    assert figure.layout[f"xaxis{len(set(table['domain']))}"].title.text == "loss_base"
    reach = [x for bar in figure.data for x in bar.x]
    assert min(table["loss_base"]) <= min(reach) <= max(reach) <= max(table["loss_base"])
