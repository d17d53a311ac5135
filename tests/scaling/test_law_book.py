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


# Where each measured range was read. A law whose range nobody has looked up does not get one.
RANGES_READ_IN = {
    "arXiv 2203.15556, abstract: 70 million to over 16 billion parameters, 5 to 500 B tokens": {
        "hoffmann": {"params": (70e6, 16e9), "tokens": (5e9, 5e11)},
        "besiroglu": {"params": (70e6, 16e9), "tokens": (5e9, 5e11)},
    },
    "arXiv 2404.06395, section 4.3: .04 to 2 B parameters, 10 to 60 tokens a parameter": {
        key: {"params": (40e6, 2e9), "tokens": (10 * 40e6, 60 * 2e9)}
        for key in KEYS if key.startswith("minicpm")
    },
    "arXiv 2001.08361, section 3: 768 to 1.5 billion non-embedding parameters": {
        "kaplan": {"params": (768, 1.5e9)},
    },
    "arXiv 2503.04715 and its published grid (59 M: second-hand, the grid begins at 215 M)": {
        "step law": {"params": (59e6, 1.07e9), "tokens": (2e9, 1e11)},
        "step law batch": {"tokens": (2e9, 1e11)},
    },
    "arXiv 2401.02954, section 3.1: compute budgets ranging from 1e17 to 2e19": {
        "deepseek": {"compute": (1e17, 2e19)}, "deepseek batch": {"compute": (1e17, 2e19)},
    },
    "arXiv 2507.17702, sections 3 and 4": {
        "ling": {"compute": (3e17, 3e20)}, "ling batch": {"compute": (3e17, 3e20)},
        "moe leverage": {"activation": (0.008, 1), "granularity": (2, 16),
                         "compute": (3e18, 3e20)},
    },
    "arXiv 2408.13359: batches of 16 to 512 rows, 2 to 256 B tokens": {
        "power scheduler": {"batch_rows": (16, 512), "tokens": (2e9, 2.56e11)},
        "power schedule": {"batch_rows": (16, 512)},
    },
    "github.com/sail-sg/scaling-with-vocab, exp_data.csv: 33,222,784 to 1,129,891,136; 4 to 96 K": {
        "vocabulary 2": {"params": (33e6, 1.13e9)},
        "vocabulary 3": {"params": (33e6, 1.13e9), "vocabulary": (4e3, 96e3)},
    },
    "arXiv 2405.15319, figure 8: 410 M to 3 B parameters, .8e20 to 12e20 FLOP": {
        "g_stack": {"params": (410e6, 3e9), "compute": (0.8e20, 12e20)},
    },
    "a share": {"pruning schedule": {"progress": (0, 1), "final": (0, 1)}},
}  # fmt: skip


def test_every_measured_range_was_read_somewhere():
    read = {key: ranges for laws in RANGES_READ_IN.values() for key, ranges in laws.items()}
    stated = {
        key: {q.name: (q.low, q.high) for q in law.inputs if q.low is not None}
        for key, law in wb.LAWS.items()
    }
    assert {key: ranges for key, ranges in stated.items() if ranges} == read


def test_a_good_part_of_the_checks_are_numbers_that_the_sources_print():
    checks = [check for law in wb.LAWS.values() for check in law.checks]
    assert len(checks) == 87
    assert sum(check.stated for check in checks) == 36


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
