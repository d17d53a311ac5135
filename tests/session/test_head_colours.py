"""Values of heads and their scale, what a palette offers, and maps that grow."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.models import make_model

import workbench as wb
from workbench.session.head_colours import ESTIMATE, EXACT, NEED, RETRIEVAL, HeadColours, Palette

TEXT = "Which head does this need?"


def frame(model, values, **columns):
    layer, head = np.divmod(np.arange(model.num_layers * model.num_heads), model.num_heads)
    return pd.DataFrame({"layer": layer, "head": head, "score": values, **columns})


def test_every_head_gets_the_value_of_its_row(tiny):
    rows = frame(tiny, np.arange(12) / 10).sample(frac=1, random_state=1)
    colours = HeadColours.of(rows, tiny)
    for row in rows.itertuples():
        assert colours.values[row.layer, row.head] == np.float32(row.score)
    assert (colours.name, colours.low, colours.diverging) == ("score", 0.0, False)
    assert colours.high == pytest.approx(1.1)
    assert HeadColours.of(rows, tiny, name="mine").name == "mine"
    assert colours.describe(1, 2) == "score 0.60"


@pytest.mark.parametrize(("highest", "warns"), [(0.0999, True), (0.1, False)])
def test_retrieval_scores_warn_where_no_head_copies(tiny, highest, warns):
    colours = HeadColours.of(frame(tiny, np.linspace(0, highest, 12)), tiny, name=RETRIEVAL)
    assert colours.warns == warns
    assert ("no head copies" in colours.note) == warns


def test_heads_without_a_row_have_no_value(tiny):
    colours = HeadColours.of(frame(tiny, 0.5).iloc[[3, 7]], tiny)
    assert np.isfinite(colours.values).sum() == 2
    assert colours.describe(0, 0) == "no value"
    nothing = HeadColours.none(tiny)
    assert np.isnan(nothing.values).all()
    assert nothing.describe(2, 3) == "no value"
    empty = HeadColours.of(frame(tiny, 0.5).iloc[:0], tiny)
    assert (empty.low, empty.high) == (0.0, 1.0)


@given(st.lists(st.floats(-50, 50, width=32) | st.just(float("nan")), min_size=12, max_size=12))
def test_a_scale_has_two_ends_and_zero_where_it_belongs(values):
    colours = HeadColours.of(frame(MODEL, values), MODEL)
    known = np.float32([v for v in values if v == v])
    assert np.isfinite([colours.low, colours.high]).all()
    assert colours.low < colours.high
    assert colours.diverging == bool((known < 0).any())
    if colours.diverging:
        assert colours.low == -colours.high
    else:
        assert colours.low == 0
        assert (known <= colours.high).all()


MODEL = make_model()


def test_no_effect_at_all_has_a_scale_too(tiny):
    effects = wb.head_effects(tiny, TEXT)
    effects.effect[:] = 0
    colours = HeadColours.of_effects(effects)
    assert (colours.low, colours.high, colours.diverging) == (-1.0, 1.0, True)
    effects.effect[:] = np.nan
    assert HeadColours.of_effects(effects).low == -1.0


def test_one_head_that_outweighs_all_others_does_not_hide_them():
    class Wide:
        num_layers, num_heads = 20, 20

    values = np.linspace(-1, 1, 400)
    values[0] = -1000
    assert HeadColours.of(frame(Wide, values), Wide).high < 1.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="head"), r"need the columns layer, head and 'score'; \['head'\]"),
        (lambda f: f.assign(score="x"), "holds str, expected numbers"),
        (lambda f: pd.concat([f, f]), "several rows: expected at most one row a head"),
        (lambda f: f.assign(layer=f["layer"] + 1), "L3H0 is not a head of this model"),
    ],
)
def test_frames_that_name_no_heads_are_refused(tiny, change, message):
    with pytest.raises(ValueError, match=message):
        HeadColours.of(change(frame(tiny, 0.5)), tiny)


# ---- palette ----------------------------------------------------------------------------------


def test_a_palette_offers_numeric_columns_and_what_a_text_gives(tiny):
    palette = Palette(tiny)
    assert palette.names == [ESTIMATE, EXACT]
    rows = frame(tiny, 0.5, low=np.arange(12), is_top=[True, False] * 6, note="x")
    assert palette.add(rows) == ["score", "low", "is_top"]
    palette.token = 3
    assert palette.names == ["score", "low", "is_top", ESTIMATE, EXACT, NEED]
    assert palette.columns["is_top"].values[0].tolist() == [1, 0, 1, 0]
    before = dict(palette.columns)
    for bad, message in (
        (rows.rename(columns={"low": NEED}), "the session's own: rename them"),
        (rows.rename(columns={"low": RETRIEVAL}), "the session's own"),
        (rows[["layer", "head", "note"]], r"no numeric column beside layer and head in \['layer'"),
        (pd.concat([rows, rows]), "several rows"),
    ):
        with pytest.raises(ValueError, match=message):
            palette.add(bad)
    assert palette.columns == before
    with pytest.raises(TypeError, match=r"scores\.frame\), got HeadScores"):
        palette.add(wb.HeadScores(rows))
    with pytest.raises(ValueError, match="no colours 'x': expected one of score, low"):
        palette.choose("x")
    assert palette.colour_by == ESTIMATE


@pytest.mark.parametrize("chosen", [ESTIMATE, EXACT, NEED, "mine"])
def test_an_exact_map_is_not_computed_anew_unasked(tiny, chosen):
    for ranked in (False, True):
        palette = Palette(tiny)
        palette.add(frame(tiny, 0.5).rename(columns={"score": "mine"}))
        if ranked:
            palette.columns[RETRIEVAL] = HeadColours.of(frame(tiny, 0.5), tiny)
        palette.token = 3
        palette.choose(chosen)
        palette.text_changed()
        cheap = {ESTIMATE: ESTIMATE, "mine": "mine"}
        assert palette.colour_by == cheap.get(chosen, RETRIEVAL if ranked else ESTIMATE)
        assert palette.token is None
        assert palette.colour_by in palette.names


# ---- colours of a session ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral-sliding"])
def test_the_colours_of_a_text_are_its_effects(name):
    model = make_model(name)
    session = wb.Session(model, TEXT)
    for chosen, options in (
        (ESTIMATE, {"method": "gradient"}), (EXACT, {}), (NEED, {"token": 7}),
    ):  # fmt: skip
        if chosen == NEED:
            session.ask(7)
        session.colour_by(chosen)
        expected = wb.head_effects(model, TEXT, **options)
        colours = session.colours()
        np.testing.assert_allclose(colours.values, expected.effect, atol=1e-6)
        assert colours.name == expected.scores.by
        assert colours.diverging
        assert session.colours().values is colours.values  # computed once


def test_an_exact_map_is_heard_of_layer_by_layer(tiny):
    session = wb.Session(tiny, TEXT)
    session.colour_by(EXACT)
    heard = []
    whole = session.colours(heard.append)
    assert [np.isfinite(colours.values).all(axis=1).tolist() for colours in heard] == [
        [False, False, True], [False, True, True], [True, True, True],
    ]  # fmt: skip
    np.testing.assert_array_equal(heard[-1].values, whole.values)
    assert (heard[-1].low, heard[-1].high) == (whole.low, whole.high)
    assert session.colours(heard.append).values is whole.values
    assert len(heard) == 3  # known already


def test_scores_rank_and_colour(tiny):
    session = wb.Session(tiny, TEXT)
    heard = []
    session.on_change(heard.append)
    assert session.palette.names == [ESTIMATE, EXACT]
    scores = frame(tiny, np.arange(12) / 10)
    session.use_scores(scores)
    assert session.scores.frame is scores
    assert heard == ["scores", "colours"]
    assert session.palette.colour_by == RETRIEVAL
    np.testing.assert_allclose(session.colours().values.ravel(), scores["score"], rtol=1e-6)
    names = session.add_columns(scores.assign(mine=1.5, words="x").drop(columns="score"))
    assert names == ["mine"]
    session.colour_by("mine")
    assert (session.colours().values == 1.5).all()
    assert heard == ["scores", *["colours"] * 3]
    assert session.undo() is False  # colours are looks, no step


def test_a_question_ends_with_its_text(tiny):
    session = wb.Session(tiny, TEXT, "L0H1", scores=frame(tiny, np.arange(12) / 10))
    session.ask(5)
    assert session.palette.names[-1] == NEED
    assert (session.palette.colour_by, session.palette.token) == (NEED, 5)
    session.clear()
    assert session.palette.token == 5  # the answer does not depend on what is masked
    session.read("another text")
    assert (session.palette.colour_by, session.palette.token) == (RETRIEVAL, None)
    session.undo()
    assert session.palette.token is None
    session.colour_by(ESTIMATE)
    session.read("another text")
    assert session.palette.colour_by == ESTIMATE  # cheap, so it is drawn for the new text
    bare = wb.Session(session.model, TEXT)
    bare.colour_by(EXACT)
    bare.set_mode("zero")
    assert bare.palette.colour_by == ESTIMATE


def test_only_tokens_of_the_first_window_can_be_asked_about():
    for bos, known in ((False, range(1, 128)), (True, range(127))):
        session = wb.Session(make_model(bos=bos), "abc " * 60)
        for token in (-1, known.start - 1, known.stop):
            with pytest.raises(ValueError, match=f"{known.start} and {known.stop - 1}, .*{token}$"):
                session.ask(token)
        assert session.palette.token is None
        for token in (known.start, known.stop - 1):
            session.ask(token)
            assert np.isfinite(session.colours().values).all()
    short = wb.Session(session.model, "abc " * 60, max_tokens=9)
    with pytest.raises(ValueError, match=r"between 0 and 8, .*got 9"):
        short.ask(9)
