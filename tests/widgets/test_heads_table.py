"""The heads as a table: what it holds, how it sorts, and that it moves the grid and the mask."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from support.hostile import TEXTS
from support.models import make_model
from support.planted import planted_model, planted_probes

import workbench as wb
from widgets import Explorer
from widgets.explorer import TABS
from widgets.panels import head_list
from workbench.core.text import escape_control_characters, escaped
from workbench.models.head_scores import HeadScores
from workbench.session import head_values
from workbench.session.head_colours import (
    ALONE,
    ESTIMATE,
    EXACT,
    NEED,
    RETRIEVAL,
    SECOND,
    HeadColours,
)
from workbench.session.head_table import head_table
from workbench.session.session import Session

TEXT = "one two three one two three"


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def scores(model):
    layer, head = np.indices((model.num_layers, model.num_heads)).reshape(2, -1)
    score = np.linspace(0.01, 1, len(layer))
    return HeadScores(
        pd.DataFrame(
            {"layer": layer, "head": head, "score": score, "low": score / 2, "high": score + 0.1}
        )
    )


@pytest.fixture
def explorer(model):
    made = Explorer(model, text=TEXT)
    assert made.wait(60)
    made.tabs.selected_index = TABS.index("Heads")
    settled(made)
    yield made
    made.close()


def settled(explorer):
    assert explorer.wait(60)
    assert explorer.status.error is None


def cells(explorer, count=12):
    """The rows as the browser gets them: a list of texts by the key of their column."""
    table, sent = explorer.head_list.table, []
    table.send = lambda content, buffers=None: sent.append(content)
    message = {"action": "rows", "first": 0, "count": count, "revision": table.revision}
    table._heard(table, message, None)
    keys = [one["key"] for one in table.columns]
    return [dict(zip(keys, row["cells"], strict=True)) for row in sent[0]["rows"]]


def test_what_is_not_computed_is_blank_and_not_zero(model, scores):
    session = Session(model, TEXT)
    table = head_table(session)
    assert table[RETRIEVAL].isna().all()
    assert table[ESTIMATE].isna().all()
    session.colours(name=ESTIMATE)
    session.use_scores(scores)
    session.mask("L1H2 L2H0")
    table = head_table(session)
    np.testing.assert_allclose(table[RETRIEVAL], scores.frame["score"], rtol=1e-6)
    np.testing.assert_allclose(table["low"], scores.frame["low"])
    effect = wb.head_effects(model, TEXT, method="gradient").effect
    np.testing.assert_allclose(table[ESTIMATE], effect.ravel(), atol=1e-6)
    assert table[EXACT].isna().all()
    assert NEED not in table
    session.ask(5)
    assert head_table(session)[NEED].isna().all()
    session.colours(name=NEED)
    expected = wb.head_effects(model, TEXT, token=5).effect
    np.testing.assert_allclose(head_table(session)[NEED], expected.ravel(), atol=1e-6)
    assert [f"L{row.layer}H{row.head}" for row in table[table["masked"]].itertuples()] == [
        "L1H2", "L2H0",
    ]  # fmt: skip
    session.read("another text than before")
    assert head_table(session)[ESTIMATE].isna().all()


def test_the_estimate_is_there_and_the_rest_is_a_dash(explorer, model):
    effect = wb.head_effects(model, TEXT, method="gradient").effect
    digits = explorer.session.known_colours()[ESTIMATE].digits
    for row, value in zip(cells(explorer), effect.ravel(), strict=True):
        assert row[RETRIEVAL] == row[EXACT] == "\N{EN DASH}"
        assert abs(float(row[ESTIMATE].replace(",", "")) - value) <= 0.51 * 10**-digits
    explorer.session.read("quite another text than the first one")
    settled(explorer)
    assert all(row[ESTIMATE] != "\N{EN DASH}" for row in cells(explorer))


def test_what_was_read_first_is_shown_first(explorer, monkeypatch):
    session, panel = explorer.session, explorer.head_list
    other = threading.Thread(target=lambda: session.mask("L0H0"))

    def read(session):
        table = head_table(session)
        if other.ident is None:  # the mask changes on another thread, between reading and showing
            other.start()
            other.join(1)  # in vain: it waits until this is shown
        return table

    session.mask("")
    monkeypatch.setattr(head_list, "head_table", read)
    panel.follow()
    other.join()
    assert [row["masked"] for row in cells(explorer)] == ["yes", *[""] * 11]


def test_a_model_with_layers_without_heads_comes_to_rest_and_answers():
    explorer = Explorer(make_model("lfm2"), text=TEXT)
    sent: list = []
    try:
        explorer.tabs.selected_index = TABS.index("Heads")
        settled(explorer)
        assert [row["layer"] for row in cells(explorer)] == [
            f"L{layer}H{head}" for layer in (1, 2) for head in range(4)
        ]
        assert all(row[ESTIMATE] != "\N{EN DASH}" for row in cells(explorer))
        explorer.text.tokens.send = lambda content, buffers=None: sent.append(content)
        explorer.session.ask(9)
        settled(explorer)
        (answer,) = [message for message in sent if message["kind"] == "needs"]
        need = wb.head_effects(explorer.session.model, TEXT, token=9).table()
        assert answer["heads"][0][1] == pytest.approx(need["score"].max(), rel=1e-4)
    finally:
        explorer.close()


def test_an_estimate_that_has_no_value_is_not_asked_for_without_end(explorer, monkeypatch):
    asked: list = []

    def without_values(*_, **options):
        asked.append(options)
        return HeadColours.none(explorer.session.model)

    explorer.session.read("a text whose influences are not finite")
    settled(explorer)
    monkeypatch.setattr(Session, "colours", without_values)
    monkeypatch.setattr(Session, "known_colours", lambda self: {})
    explorer.head_list.follow()
    settled(explorer)
    assert len(asked) == 1


def test_titles_say_what_an_influence_is_measured_against(explorer):
    explorer.session.ask(5)
    settled(explorer)
    titles = {one["key"]: one["title"] for one in explorer.head_list.table.columns}
    assert explorer.heads.grid.legend["note"] == ALONE
    assert "against no mask" in ALONE
    for name in (ESTIMATE, EXACT, NEED):
        assert titles[name] == f"{name}: {ALONE}"


def test_scores_sort_the_highest_first_with_their_interval(explorer, scores):
    explorer.session.use_scores(scores)
    settled(explorer)
    rows = cells(explorer)
    assert rows[0] | {ESTIMATE: "", EXACT: ""} == {
        "layer": "L2H3", "masked": "", RETRIEVAL: "1.00", "low": "0.50 to 1.10", ESTIMATE: "",
        EXACT: "",
    }  # fmt: skip
    shown = [float(row[RETRIEVAL]) for row in rows]
    assert shown == sorted(shown, reverse=True)
    table = explorer.head_list.table
    table._heard(table, {"action": "sort", "by": RETRIEVAL}, None)
    assert cells(explorer)[0]["layer"] == "L0H0"
    table._heard(table, {"action": "sort", "by": "layer"}, None)
    assert [row["layer"] for row in cells(explorer, 5)] == ["L0H0", "L0H1", "L0H2", "L0H3", "L1H0"]


def test_a_row_chooses_the_head_in_the_grid_and_the_other_way_round(explorer, model):
    table, grid = explorer.head_list.table, explorer.heads.grid
    table._heard(table, {"action": "open", "position": 6}, None)
    assert tuple(grid.chosen_head) == divmod(6, model.num_heads)
    grid.set_state({"chosen": 3})
    assert table.opened == 3


def test_pointing_at_a_row_points_at_the_cell_in_the_browser_until_it_is_closed(model):
    explorer = Explorer(model, text="one two three")
    link = explorer.head_list._pointing
    assert link.source == (explorer.head_list.table, "pointed")
    assert link.target == (explorer.heads.grid, "pointed")
    assert explorer.wait(60)
    explorer.close()
    assert link.comm is None


def test_the_top_of_the_sorted_column_is_masked(explorer, model, scores):
    panel, session = explorer.head_list, explorer.session
    panel.count.value = 3
    panel.top.click()  # nothing sorts it but the layer: the estimate of influence
    settled(explorer)
    effect = wb.head_effects(model, TEXT, method="gradient").effect.ravel()
    assert {layer * model.num_heads + head for layer, head in session.heads} == {
        *np.argsort(-effect)[:3].tolist()
    }
    assert [row["layer"] for row in cells(explorer) if row["masked"]] == list(
        map(str, session.heads)
    )
    session.use_scores(scores)
    settled(explorer)
    panel.top.click()
    settled(explorer)
    assert session.heads == wb.HeadSet.top(scores, 3 / 12)
    panel.table._heard(None, {"action": "sort", "by": EXACT}, None)
    assert EXACT in panel.ranking.value
    panel.top.click()  # computes it first
    settled(explorer)
    exact = wb.head_effects(model, TEXT).effect.ravel()
    assert {layer * model.num_heads + head for layer, head in session.heads} == {
        *np.argsort(-exact)[:3].tolist()
    }
    assert all(row[EXACT] != "\N{EN DASH}" for row in cells(explorer))


def test_ties_are_an_error_beside_the_button_until_they_are_allowed(explorer, model):
    panel, session = explorer.head_list, explorer.session
    layer, head = np.indices((model.num_layers, model.num_heads)).reshape(2, -1)
    session.use_scores(pd.DataFrame({"layer": layer, "head": head, "score": 0.5}))
    settled(explorer)
    panel.count.value = 2
    panel.top.click()
    assert explorer.wait(60)
    assert "tie" in str(explorer.status.error)
    assert "tie" in panel.note.value
    assert not session.heads
    panel.ties.value = True
    panel.top.click()
    settled(explorer)
    assert panel.note.value == ""
    assert str(session.heads) == "L0H0 L0H1"


def test_columns_of_ones_own_are_listed(explorer):
    explorer.session.add_columns(pd.DataFrame({"layer": [0, 1], "head": [1, 1], "mine": [0.5, 2]}))
    settled(explorer)
    table = explorer.head_list.table
    table._heard(table, {"action": "sort", "by": "mine"}, None)
    rows = cells(explorer)
    assert [(row["layer"], row["mine"]) for row in rows[:3]] == [
        ("L1H1", "2.00"), ("L0H1", "0.50"), ("L0H0", "\N{EN DASH}"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", [*TEXTS[::30], "turned \u202e round", "a\nb"])
def test_columns_of_hostile_names_are_written_out_and_still_sort(explorer, name):
    session = explorer.session
    frame = pd.DataFrame({"layer": [0, 1], "head": [1, 1], name: [0.5, 2]})
    session.add_columns(frame)
    settled(explorer)
    table, shown = explorer.head_list.table, escape_control_characters(name)
    (made,) = [one for one in table.columns if one["key"] == name]
    assert (made["label"], made["title"]) == (shown, shown)
    assert (shown, name) in explorer.heads.colour.options
    table._heard(table, {"action": "sort", "by": name}, None)
    assert cells(explorer)[0]["layer"] == "L1H1"
    assert f"<b>{escaped(name)}</b>" in explorer.head_list.ranking.value
    explorer.heads.colour.value = name
    settled(explorer)
    assert session.palette.colour_by == name
    assert explorer.heads.grid.legend["name"] == shown


def test_the_heads_are_found_first_where_no_probes_are_known_and_then_checked(monkeypatch):
    monkeypatch.setattr(
        head_values, "make_probes", lambda model, n, **_: planted_probes(model, n=6)
    )
    explorer = Explorer(planted_model(), text="abc abc abc")
    try:
        assert explorer.wait(60)
        explorer.tabs.selected_index = TABS.index("Heads")
        settled(explorer)
        panel, session = explorer.head_list, explorer.session
        assert panel.check.description == "Find and check the heads"
        panel.check.click()
        settled(explorer)
        assert session.scores is not None
        verdict = escaped(session.report.verdict)
        assert verdict in panel.note.value
        title = explorer.toolbar.title.value
        assert f">checked: {escaped(session.report.headline)}</span>" in title
        whole = "\n".join([session.report.verdict, *session.report.reasons])
        assert f'title="{escaped(whole)}"' in title
        assert panel.check.description == "Check the heads"
        second = panel.table.columns[-1]
        assert second["key"] == SECOND
        assert (second["label"], second["title"].split(":")[0]) == ("writes (LOCOS)", SECOND)
        assert SECOND in dict(explorer.heads.colour.options).values()
        highest = session.report.table.nlargest(1, "locos").iloc[0]
        panel.table._heard(None, {"action": "sort", "by": SECOND}, None)
        assert cells(explorer)[0]["layer"] == f"L{highest.layer:.0f}H{highest['head']:.0f}"
    finally:
        explorer.close()
