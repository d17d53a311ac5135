"""What a text loses, predicts and needs: as the plain way gives it, and never computed twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.models import make_model, with_means

import workbench as wb
from workbench.masking.fast_path import key_of
from workbench.masking.reference import plain_losses
from workbench.masking.residual_cache import RESUMED
from workbench.masking.token_changes import CONTINUED, aligned
from workbench.session.head_colours import ESTIMATE

TEXT = "Toggle one head, then another."
LONG = "abc, def! " * 30  # 300 tokens: three windows of the tiny models
NAMES = ["llama", "gpt2", "mistral-sliding", "gemma2", "cohere"]
CASES = [(name, bos) for name in NAMES for bos in (False, True)]


# ---- losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "bos", "mode"),
    [(*case, mode) for case in CASES for mode in ("uniform", "zero")]
    + [("llama", True, "mean"), ("gpt2", False, "mean")],
)
def test_changes_are_the_losses_of_two_plain_passes(name, bos, mode):
    model = make_model(name, bos=bos)
    with_means(model)
    session = wb.Session(model, TEXT, "L1H0 L2H1", mode=mode)
    ids = [*model.bos_ids, *model.encode(TEXT)]
    for words, against in (("L1H0 L2H1", ""), ("L0H3", "L1H1"), ("", "L1H1"), ("L2H3 L2H0", "")):
        session.mask(words)
        session.compare_with(against)
        found = session.changes()
        assert "".join(found.pieces) == TEXT
        assert list(found.ids) == model.encode(TEXT)
        for column, heads in ((found.before, session.state.against), (found.after, session.heads)):
            expected = plain_losses(model, ids, heads, mode)
            assert np.isnan(column[0]) == (not bos)
            np.testing.assert_allclose(column[not bos :], expected, atol=2e-5, rtol=1e-5)
    assert np.abs(found.change[1:]).max() > 1e-3


@pytest.mark.parametrize("bos", [False, True])
def test_every_window_of_a_long_text_is_aligned(bos):
    model = make_model(bos=bos)
    session = wb.Session(model, LONG, "L1H0")
    found, window = session.changes(), 128 - bos
    assert (len(found.ids), found.left_out) == (300, 0)
    for start in range(0, 300, window):
        ids = [*model.bos_ids, *found.ids[start : start + window]]
        expected = plain_losses(model, ids, session.heads)
        own = found.after[start : start + window]
        np.testing.assert_allclose(own[not bos :], expected, atol=2e-5, rtol=1e-5)
    assert np.isnan(found.after).sum() == (0 if bos else 3)
    one_over = wb.Session(model, LONG[: window + 1], "L1H0").changes()  # a window of one token
    assert np.isnan(one_over.after[-1]) == (not bos)
    assert aligned(model, [], np.zeros(0)).shape == (0,)


def test_only_the_beginning_of_a_text_is_read(tiny):
    session = wb.Session(tiny, LONG, "L1H0", max_tokens=50)
    found = session.changes()
    assert (len(found.pieces), found.left_out, session.ids()) == (50, 250, found.ids)
    assert "".join(found.pieces) == LONG[:50]
    ((expected,),) = wb.token_losses(tiny, [LONG], [session.heads], max_tokens=50)
    np.testing.assert_allclose(found.after[1:], expected, atol=2e-5)


def test_each_window_of_a_long_text_is_read_by_itself(tiny):
    text = LONG.replace("e", "é")  # of two bytes, one token each
    session = wb.Session(tiny, text, "L1H0", max_tokens=90)
    every = tiny.encode(text)
    assert session.windows == -(-len(every) // 90) > 3
    read = []
    for number in range(session.windows):
        session.read_window(number)
        found = session.changes()
        stretch = "".join(piece for piece in found.pieces if piece != CONTINUED)
        assert list(found.ids) == every[90 * number : 90 * (number + 1)]
        ((expected,),) = wb.token_losses(tiny, [stretch], [session.heads])
        np.testing.assert_allclose(found.after[1:], expected, atol=2e-5)
        needs = wb.head_effects(tiny, stretch, token=3)
        np.testing.assert_allclose(session.needs(3).effect, needs.effect, atol=1e-6)
        assert found.left_out == len(every) - len(found.ids)
        steps = session.steps("sentence")
        assert steps["loss_ref"].sum() == pytest.approx(
            np.nansum(found.after, dtype=float), abs=1e-5
        )
        assert steps["end"].max() == (len(stretch) if number else len(text))
        read.append(stretch)
    assert "".join(read) == text


def test_turning_to_a_window_is_an_action_and_another_text_begins_at_the_first(tiny):
    session = wb.Session(tiny, LONG, "L1H0", max_tokens=120)
    session.ask(3)
    session.read_window(1)
    assert session.palette.token is None  # it was one of the window before
    with pytest.raises(ValueError, match="no window 3: this text has 3, of 120 tokens each"):
        session.read_window(3)
    session.undo()
    assert session.state.window == 0
    session.redo()
    session.read("a short text")
    assert (session.state.window, session.windows) == (0, 1)
    session.undo()
    assert session.state.window == 1


# ---- predictions ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "bos"), CASES)
def test_predictions_are_the_softmax_of_a_masked_pass(name, bos):
    model = make_model(name, bos=bos)
    session = wb.Session(model, LONG[:150], "L1H0 L2H1", mode="zero")
    session.compare_with("L0H0")
    window = 128 - bos
    for token in (1, 17, window - 1, window + 1, *([0, window] if bos else [])):
        start = token // window * window
        ids = [*model.bos_ids, *session.ids()[start : start + window]]
        for found, heads in zip(
            session.predictions(token, 6), (session.state.against, session.heads), strict=True
        ):
            with wb.masked(model, heads, "zero"), torch.no_grad():
                logits = model.hf(input_ids=torch.tensor([ids])).logits[0, bos + token - start - 1]
            top = logits.float().softmax(-1).topk(6)
            np.testing.assert_allclose([g.probability for g in found], top.values, atol=1e-5)
            assert [g.text for g in found] == [model.tokenizer.decode([i]) for i in top.indices]
    for token in (-1, 150, *([] if bos else [0, window])):
        with pytest.raises(ValueError, match=f"token {token} has no prediction: give one of 0 to"):
            session.predictions(token)


def test_a_model_that_cannot_resume_predicts_the_same(tiny):
    model = make_model()
    model.cache.kept(key_of(model, RESUMED), lambda: None)
    found, expected = (
        wb.Session(selector, TEXT, "L1H0").predictions(9) for selector in (model, tiny)
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert [g.text for g in ours] == [g.text for g in theirs]
        np.testing.assert_allclose(
            [g.probability for g in ours], [g.probability for g in theirs], atol=1e-5
        )


# ---- needs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["uniform", "zero"])
@pytest.mark.parametrize(("name", "bos"), [("llama", True), ("gpt2", False), ("gemma2", False)])
def test_the_heads_that_a_token_needs_are_those_that_cost_it(name, bos, mode):
    model = make_model(name, bos=bos)
    session = wb.Session(model, LONG, mode=mode, max_tokens=40)
    ids = [*model.bos_ids, *session.ids()]
    base = plain_losses(model, ids)
    session.ask(12)
    asked = session.colours().values
    whole = session.needs().effect
    for layer in range(model.num_layers):
        for head in range(model.num_heads):
            head_set = wb.HeadSet.of([(layer, head)], model)
            rise = plain_losses(model, ids, head_set, mode) - base
            assert asked[layer, head] == pytest.approx(rise[12 - (not bos)], abs=4e-5)
            assert whole[layer, head] == pytest.approx(rise.mean(), abs=4e-5)


# ---- where heads look -------------------------------------------------------------------------


def test_looks_are_the_rows_under_both_head_sets(tiny):
    session = wb.Session(tiny, TEXT, "L1H0 L2H1")
    session.compare_with("L0H3")
    chosen = wb.HeadSet.parse("L1H0 L2H2", tiny)
    before, after = session.looks(9, "L1H0 L2H2")
    for row, masked in ((before, session.state.against), (after, session.heads)):
        expected = wb.attention_row(tiny, TEXT, chosen, 9, masked=masked)
        np.testing.assert_allclose(row.weights, expected.weights, atol=1e-6)
        assert row.pieces == tuple(TEXT)
    assert np.abs(before.weights - after.weights).max() > 0.01
    assert session.looks(9)[1].heads == session.heads.members  # those that are masked
    earlier = session.state
    session.clear()
    np.testing.assert_array_equal(session.looks(9, "L1H0 L2H2", earlier)[1].weights, after.weights)
    assert session.looks(0, "L1H0", when="read")[1].top() == [(0, 1.0)]
    with pytest.raises(ValueError, match="no head is masked: name those that are meant"):
        session.looks(9)
    with pytest.raises(ValueError, match="no head looks from token 0"):
        session.looks(0, "L1H0")


@pytest.mark.parametrize("head", ["L17H3", "L18H6"])
def test_the_default_models_copying_heads_look_at_the_earlier_word(default, head):
    session = wb.Session(default)
    first, second = [i for i, p in enumerate(session.changes().pieces) if p == " kettle"]
    assert session.looks(second, head)[1].top(1)[0][0] == first
    # From the second word itself they look at what came after the first.
    assert session.looks(second, head, when="read")[1].top(1)[0][0] == first + 1


def test_the_next_token_is_looked_from_without_a_pass():
    model = make_model()
    session = wb.Session(model, TEXT, "L1H0")
    session.looks(9, "L1H0 L2H1")
    seen = passes(model)
    rows = [session.looks(token, "L1H0 L2H1", when="read") for token in range(len(TEXT))]
    assert seen == []
    session.toggle("L0H0")
    session.looks(9, "L1H0 L2H1")
    assert seen
    assert rows[0][1].top(1) == [(0, 1.0)]
    with torch.no_grad():
        model.hf.model.layers[1].self_attn.k_proj.weight += 0.1
    session.undo()
    before, _ = session.looks(9, "L1H0 L2H1", when="read")
    assert np.abs(before.weights - rows[9][0].weights).max() > 0.01


def test_queries_and_keys_take_no_more_memory_than_they_may(tiny, monkeypatch):
    session = wb.Session(tiny, TEXT)
    expected = session.looks(9, "L1H0")[1].weights
    size = session._results._queries.popitem()[1].nbytes
    monkeypatch.setattr("workbench.session.text_results.QUERIES", 3 * size)
    for head in range(4):
        session.looks(9, [(2, head)])
        session.looks(9, [(0, head)])
    kept = session._results._queries
    assert sum(queries.nbytes for queries in kept.values()) == 3 * size
    np.testing.assert_array_equal(session.looks(9, "L1H0")[1].weights, expected)
    monkeypatch.setattr("workbench.session.text_results.QUERIES", 0)
    np.testing.assert_array_equal(session.looks(9, "L1H0")[1].weights, expected)


def test_only_the_tokens_that_are_read_can_be_looked_from(tiny):
    session = wb.Session(tiny, LONG, max_tokens=50)
    assert session.looks(49, "L1H0")[0].weights.shape == (1, 50)
    with pytest.raises(ValueError, match="give one of 0 to 49"):
        session.looks(50, "L1H0")


# ---- what is kept -----------------------------------------------------------------------------


def passes(model):
    """A list that grows by one with every pass of the model."""
    seen = []
    model.hf.base_model.register_forward_pre_hook(lambda *_: seen.append(1))
    return seen


def test_going_back_computes_nothing():
    model = make_model()
    session = wb.Session(model, TEXT, "L1H0")
    first, guesses = session.changes(), session.predictions(4)
    session.toggle("L2H2")
    second = session.changes()
    session.set_mode("zero")
    session.read("another text")
    session.changes()
    need = session.needs(3)
    seen = passes(model)
    session.undo()
    session.undo()
    np.testing.assert_array_equal(session.changes().after, second.after)
    session.undo()
    np.testing.assert_array_equal(session.changes().after, first.after)
    assert session.predictions(4) == guesses
    for _ in range(3):
        session.redo()
    session.changes()
    assert session.needs(3) is need
    session.clear()
    session.changes()  # no mask is the same under every mode
    assert seen == []
    session.mask("L2H0")
    session.changes()
    assert seen == [1]


def test_what_was_kept_under_one_mode_is_not_taken_for_another():
    model = make_model()
    with_means(model)
    session = wb.Session(model, TEXT, "L1H0 L2H1")
    for mode in ("uniform", "zero", "mean", "uniform"):
        session.set_mode(mode)
        alone = wb.Session(model, TEXT, "L1H0 L2H1", mode=mode)
        np.testing.assert_allclose(session.changes().after, alone.changes().after, atol=2e-5)
        found, expected = (opened.predictions(7)[1] for opened in (session, alone))
        np.testing.assert_allclose([g[1] for g in found], [g[1] for g in expected], atol=1e-5)
        np.testing.assert_allclose(session.needs(5).effect, alone.needs(5).effect, atol=2e-5)


def test_other_weights_and_another_dtype_are_noticed():
    model = make_model()
    session = wb.Session(model, TEXT, "L1H0")

    def everything():
        found = session.changes()
        guesses = [prediction.probability for side in session.predictions(5) for prediction in side]
        return np.concatenate([found.before[1:], found.after[1:], guesses, *session.needs().effect])

    before = everything()
    with torch.no_grad():
        model.hf.model.layers[1].mlp.down_proj.weight += 0.1
    after = everything()
    assert not np.isclose(after, before, atol=1e-4).any(axis=0).all()
    session = wb.Session(model, TEXT, "L1H0")
    np.testing.assert_allclose(after, everything(), atol=1e-6)
    seen = passes(model)
    model.hf.double()
    np.testing.assert_allclose(after, everything(), atol=1e-4)
    assert seen


def test_a_map_that_was_stopped_is_not_kept_for_whole(tiny):
    session = wb.Session(tiny, TEXT)

    def enough(layer, _):
        raise StopIteration

    assert np.isnan(session.needs(on_layer=enough).effect[0]).all()
    assert np.isfinite(session.needs().effect).all()


def test_a_map_is_kept_where_layers_have_no_heads():
    model = make_model("lfm2")
    session = wb.Session(model, TEXT)
    for asked in ({}, {"token": 5}, {"method": "gradient"}):
        effects = session.needs(**asked)
        assert np.isnan(effects.effect[0]).all()
        assert session.needs(**asked) is effects
    session.top(3, by=ESTIMATE)
    expected = wb.HeadSet.top(effects.scores, 3 / 8)
    assert session.heads == expected


def test_a_thousand_states_take_no_more_memory_than_the_last(tiny, monkeypatch):
    monkeypatch.setattr("workbench.session.text_results.KEPT", 8)
    session = wb.Session(tiny, TEXT, memory=0)
    expected = session.changes().after
    for layer in range(3):
        for head in range(4):
            session.mask([(layer, head)])
            session.changes()
            assert len(session._results._results) <= 8
    session.clear()
    np.testing.assert_array_equal(session.changes().after, expected)
