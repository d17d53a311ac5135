"""The book of laws: every entry gives the numbers of its source; no constant can be mistyped."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import workbench as wb

KEYS = list(wb.LAWS)


@pytest.mark.parametrize("key", KEYS)
def test_every_entry_gives_the_numbers_of_its_source(key):
    law = wb.LAWS[key]
    assert law.key == key
    assert law.checks
    assert law.failing() == []
    assert law.source
    assert law.status in ("verified", "second-hand", "unsound")
    assert law.status != "unsound" or law.notes
    for check in law.checks:
        assert 0 < check.within <= 0.2, check.where


@pytest.mark.parametrize("times", [0.95, 1.05])
@pytest.mark.parametrize("key", KEYS)
def test_a_changed_constant_is_caught_by_the_entrys_own_checks(key, times):
    """Each constant of each entry; those that no check can see are the declared ones, no others."""
    law = wb.LAWS[key]
    missed = {
        name
        for name, value in law.constants.items()
        if not law.with_constants(**{name: value * times}).failing()
    }
    assert missed == set(law.uncaught)


def test_a_check_says_what_came_out():
    failing = wb.LAWS["zero memory"].with_constants(optimizer=8).failing()
    assert failing[0].startswith("figure 1, stage 0: 1.2e+11 expected")
    assert failing[0].endswith("got 9e+10")


def test_the_book_is_a_table():
    assert len(wb.LAWS) == len(KEYS) >= 22
    table = wb.LAWS.table
    assert list(table.index) == KEYS
    assert table.loc["step law", "from"] == "params 5.9e+07 to 1.1e+09, tokens 2e+09 to 1e+11"
    for key in KEYS:
        assert key in repr(wb.LAWS)
        assert f"<th>{key}</th>" in wb.LAWS._repr_html_()
        assert wb.LAWS[key].text in wb.LAWS[key].describe()
    with pytest.raises(KeyError, match="no law is called 'chinchilla'; the book has hoffmann,"):
        wb.LAWS["chinchilla"]


def test_hoffmann_and_besiroglu_disagree_on_the_same_runs():
    assert wb.LAWS["hoffmann"].optimum(5.76e23).tokens_per_parameter > 90
    assert wb.LAWS["besiroglu"].optimum(5.76e23).tokens_per_parameter < 20


def test_the_unsound_entry_says_why_and_the_book_holds_one_only():
    (unsound,) = [law for law in wb.LAWS.values() if law.status == "unsound"]
    assert unsound.key == "vocabulary 3"
    assert "divides V by 1,000" in unsound.notes


@pytest.mark.parametrize(
    ("params", "steps", "batch_tokens"), [(3e8, 5e4, 1e5), (1e9, 1e3, 1e3), (1e6, 1e7, 1e9)]
)
def test_kaplans_loss_stands_with_the_batch_that_it_enters(params, steps, batch_tokens):
    law = wb.LAWS["kaplan"]
    inputs = {"params": params, "steps": steps, "batch_tokens": batch_tokens}
    loss, c = law.evaluate(**inputs), law.constants
    critical = wb.LAWS["kaplan batch"].evaluate(loss=loss)
    steps = inputs["steps"] / (1 + critical / inputs["batch_tokens"])
    again = (c["N0"] / inputs["params"]) ** c["aN"] + (c["S0"] / steps) ** c["aS"]
    assert again == pytest.approx(loss, rel=1e-9)


def test_every_formula_takes_arrays():
    for law in wb.LAWS.values():
        middle = {q.name: (q.low or 1.5) * 1.01 for q in law.inputs}
        one = law.evaluate(**middle)
        many = law.evaluate(**{name: np.full(3, value) for name, value in middle.items()})
        np.testing.assert_allclose(many, [one] * 3, equal_nan=True)
        assert isinstance(one, float)


def test_entries_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        wb.LAWS["step law"].status = "verified"
