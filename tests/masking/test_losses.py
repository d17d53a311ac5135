"""Token losses: the right target, windows, BOS, and no dependence on anything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import oracle
from support.models import make_hf, make_model

import workbench as wb
from workbench.masking.losses import losses_of_ids, passes_over
from workbench.masking.packed import packed_passes
from workbench.masking.reference import windows

TEXT = "It is the next token that is predicted, not the one after it."


def test_each_loss_is_that_of_the_next_token(tiny):
    """Labels shifted twice would score token t+2 (PEERS, mistake 1)."""
    ids = tiny.encode(TEXT)
    ours = wb.token_losses(tiny, [TEXT])[0][0]
    np.testing.assert_allclose(ours, oracle.losses(make_hf("llama", "eager"), ids), rtol=1e-5)
    assert len(ours) == len(ids) - 1


def test_the_mean_equals_the_models_own_loss(tiny):
    ids = torch.tensor([tiny.encode(TEXT)])
    with torch.no_grad():
        stock = float(tiny(input_ids=ids, labels=ids).loss)
    assert wb.token_losses(tiny, [TEXT])[0][0].mean() == pytest.approx(stock, rel=1e-5)


@pytest.mark.parametrize("name", ["granite", "cohere", "gemma2"])
def test_logits_made_in_pieces_keep_the_models_own_scaling(name):
    model = make_model(name)
    assert model.head is not None
    ids = model.encode(TEXT)
    expected = oracle.losses(make_hf(name, "eager"), ids)
    np.testing.assert_allclose(wb.token_losses(model, [TEXT])[0][0], expected, rtol=1e-5)


def test_a_head_that_cannot_be_run_alone_falls_back_to_whole_logits(tiny):
    model = make_model()
    model.head = None
    np.testing.assert_allclose(
        wb.token_losses(model, [TEXT])[0][0], wb.token_losses(tiny, [TEXT])[0][0], rtol=1e-6
    )


def test_more_positions_than_one_piece_of_logits(monkeypatch, tiny):
    whole = wb.token_losses(tiny, [TEXT])[0][0]
    monkeypatch.setattr("workbench.masking.reference.POSITIONS", 7)
    np.testing.assert_allclose(wb.token_losses(tiny, [TEXT])[0][0], whole, rtol=1e-6)


def test_windows_cover_every_token_once_and_fit_with_bos():
    model = make_model(bos=True)
    assert model.bos_ids == [0]  # id 0 is false, but it is a BOS
    ids = list(range(64, 64 + 100))
    cut = list(windows(model, ids, 11))
    assert all(len(window) <= 11 for window in cut)
    assert all(window[0] == 0 for window in cut)
    assert [token for window in cut for token in window[1:]] == ids


def test_long_texts_are_the_windows_one_after_the_other():
    model, plain = make_model(bos=True), make_hf("llama", "eager")
    ids = model.encode(TEXT)
    ours = next(losses_of_ids(model, [ids], [None], window=20))[0]
    expected = [loss for window in windows(model, ids, 20) for loss in oracle.losses(plain, window)]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    assert len(ours) == len(ids)  # with BOS every token of the text is predicted


def test_without_bos_the_first_token_of_each_window_has_no_prediction(tiny):
    ids = tiny.encode(TEXT)
    ours = next(losses_of_ids(tiny, [ids], [None], window=20))[0]
    assert len(ours) == len(ids) - -(-len(ids) // 20)


def test_texts_longer_than_the_context_are_cut_by_themselves(tiny):
    text = TEXT * 8
    assert len(tiny.encode(text)) > 3 * tiny.context
    losses = wb.token_losses(tiny, [text])[0][0]
    assert len(losses) == len(tiny.encode(text)) - 4


@pytest.mark.parametrize("text", ["", "a"])
def test_texts_without_a_prediction_give_empty_arrays(tiny, text):
    assert len(wb.token_losses(tiny, [text])[0][0]) == 0


def test_a_text_scores_the_same_alone_and_in_company(tiny):
    heads = wb.HeadSet.of([(0, 1), (2, 3)], tiny)
    together = wb.token_losses(tiny, [TEXT, "x" * 90, TEXT[:20]], [None, heads])
    for text, columns in zip([TEXT, "x" * 90, TEXT[:20]], together, strict=True):
        alone = wb.token_losses(tiny, [text], [heads, None])[0]
        assert np.array_equal(columns[0], alone[1])
        assert np.array_equal(columns[1], alone[0])


def test_max_tokens_reads_only_the_beginning(tiny):
    short = wb.token_losses(tiny, [TEXT], max_tokens=10)[0][0]
    assert np.allclose(short, wb.token_losses(tiny, [TEXT])[0][0][:9], rtol=1e-5)


def test_likely_slips_are_named(tiny):
    with pytest.raises(TypeError, match="single string"):
        wb.token_losses(tiny, TEXT)
    with pytest.raises(TypeError, match="list with one entry"):
        wb.token_losses(tiny, [TEXT], wb.HeadSet.of([(0, 0)], tiny))
    with pytest.raises(TypeError, match=r"texts\[1\] is not a text but of type NoneType"):
        wb.token_losses(tiny, [TEXT, None])
    with pytest.raises(ValueError, match="max_tokens must be at least 0, got -2"):
        wb.token_losses(tiny, [TEXT], max_tokens=-2)
    for window in (1, 129, -3):
        with pytest.raises(ValueError, match="window must lie between"):
            wb.token_losses(tiny, [TEXT], window=window)


def test_losses_of_the_beginning_are_those_of_the_text_that_was_cut(tiny):
    text = "the stone and the lamp " * 200
    beginning = tiny.tokenizer.decode(tiny.encode(text)[:40])
    ((cut,),) = wb.token_losses(tiny, [text], max_tokens=40)
    ((plain,),) = wb.token_losses(tiny, [beginning])
    assert cut.tolist() == pytest.approx(plain.tolist())


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_passes_are_counted_also_where_no_windows_are_packed(name, monkeypatch):
    """By a hook on the decoder; a window that predicts nothing is not read."""
    model = make_model(name)
    heads = wb.HeadSet.of([(0, 1)], model)
    cut = [[1] * n for n in (5, 1, 30, 100, 100, 2)]
    monkeypatch.setattr(packed_passes(model), "row_tokens", 64)
    for batches in (True, False):
        if not batches:
            monkeypatch.setattr("workbench.masking.losses.packed_passes", lambda model: None)
        seen: list[int] = []
        handle = model.decoder.register_forward_pre_hook(lambda *_, seen=seen: seen.append(1))
        list(losses_of_ids(model, cut, [None, heads]))
        handle.remove()
        assert passes_over(model, cut, [None, heads]) == len(seen)
