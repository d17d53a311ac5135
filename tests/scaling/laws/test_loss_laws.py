"""Laws of loss: each against its formula with the printed constants written out."""

from __future__ import annotations

import pytest
from support.laws import in_the_book, read_ranges, stated_ranges

import workbench as wb
from workbench.scaling.laws.loss_laws import LOSS_LAWS

# A law whose range nobody has looked up does not get one.
RANGES_READ_IN = {
    "arXiv 2203.15556, abstract: 70 million to over 16 billion parameters, 5 to 500 B tokens": {
        "hoffmann": {"params": (70e6, 16e9), "tokens": (5e9, 5e11)},
        "besiroglu": {"params": (70e6, 16e9), "tokens": (5e9, 5e11)},
    },
    "arXiv 2404.06395, section 4.3: .04 to 2 B parameters, 10 to 60 tokens a parameter": {
        law.key: {"params": (40e6, 2e9), "tokens": (10 * 40e6, 60 * 2e9)}
        for law in LOSS_LAWS if law.key.startswith("minicpm")
    },
    "arXiv 2001.08361, section 3: 768 to 1.5 billion non-embedding parameters": {
        "kaplan": {"params": (768, 1.5e9)},
    },
}  # fmt: skip


def test_every_measured_range_was_read_somewhere():
    assert in_the_book(LOSS_LAWS)
    assert stated_ranges(LOSS_LAWS) == read_ranges(RANGES_READ_IN)


@pytest.mark.parametrize(
    ("key", "loss"),
    [
        ("hoffmann", 1.69 + 406.4 / 3e8**0.34 + 410.7 / 7e9**0.28),
        ("besiroglu", 1.8172 + 482.01 / 3e8**0.3478 + 2085.43 / 7e9**0.3658),
        ("minicpm", 0.31 + 0.0715 / 0.3**0.29 + 0.300 / 7**0.23),
        ("minicpm code", 0.17 + 0.0332 / 0.3**0.37 + 0.217 / 7**0.34),
        ("minicpm English Wikihow", 0.27 + 0.0808 / 0.3**0.26 + 0.297 / 7**0.18),
        ("minicpm Chinese Wikihow", 0.40 + 0.0514 / 0.3**0.35 + 0.390 / 7**0.18),
        ("minicpm Ultratext", 0.25 + 0.0754 / 0.3**0.30 + 0.292 / 7**0.30),
        ("minicpm Yayi", 0.35 + 0.153 / 0.3**0.19 + 0.376 / 7**0.17),
    ],
)
def test_a_loss_is_that_of_the_printed_constants(key, loss):
    assert wb.LAWS[key].evaluate(params=3e8, tokens=7e9) == pytest.approx(loss, rel=1e-12)


MINICPM = [law.key for law in LOSS_LAWS if law.key.startswith("minicpm")]


@pytest.mark.parametrize("key", MINICPM)
def test_minicpms_exponents_are_checked_by_a_loss(key):
    """At 1e9 parameters N^-a would be 1 whatever a is: the loss is checked elsewhere."""
    law = wb.LAWS[key]
    checks = [check for check in law.checks if not callable(check.at)]
    assert checks
    for name, value in law.constants.items():
        for times in (0.995, 1.005):
            other = law.with_constants(**{name: value * times})
            assert any(abs(c.found(other) / c.value - 1) > c.within for c in checks), name


def test_minicpms_average_is_beside_five_corpora_not_of_six():
    """Section 4's figure: an average and five corpora."""
    assert len(MINICPM) == 6
    average = wb.LAWS["minicpm"]
    assert "five corpora" in average.notes
    assert average.output.unit == "nats a byte, average over corpora"
    assert len({wb.LAWS[key].output.unit for key in MINICPM}) == 6


def test_kaplans_loss_stands_with_its_own_critical_batch():
    """The equation that it solves, with the constants of table 3 written out."""
    loss = wb.LAWS["kaplan"].evaluate(params=3e8, steps=4e4, batch_tokens=3e5)
    steps = 4e4 / (1 + 2e8 / loss ** (1 / 0.21) / 3e5)
    assert loss == pytest.approx((6.5e13 / 3e8) ** 0.077 + (2.1e3 / steps) ** 0.76, rel=1e-9)


def test_hoffmann_and_besiroglu_disagree_on_the_same_runs():
    assert wb.LAWS["hoffmann"].optimum(5.76e23).tokens_per_parameter > 90
    assert wb.LAWS["besiroglu"].optimum(5.76e23).tokens_per_parameter < 20
