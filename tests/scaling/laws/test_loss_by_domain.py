"""Henighan's laws: each against its formula with the constants of table 1 written out."""

from __future__ import annotations

import pytest
from support.laws import in_the_book, stated_ranges

import workbench as wb
from workbench.scaling.laws.loss_by_domain import LOSS_BY_DOMAIN

PF_DAY = 1e15 * 24 * 3600


def test_the_source_states_no_ranges():
    assert in_the_book(LOSS_BY_DOMAIN)
    assert stated_ranges(LOSS_BY_DOMAIN) == {}


@pytest.mark.parametrize(
    ("domain", "of_params", "of_compute"),
    [
        ("language", (1.47e14 / 2e8) ** 0.070, (3.47e8 / 50) ** 0.048),
        ("math", 0.28 + (1.1e4 / 2e8) ** 0.16, 0.14 + (1.4e-5 / 50) ** 0.17),
        ("image 8x8", 3.12 + (80 / 2e8) ** 0.24, 3.13 + (1.8e-8 / 50) ** 0.19),
        ("image 16x16", 2.64 + (280 / 2e8) ** 0.22, 2.64 + (1.6e-8 / 50) ** 0.16),
        ("image 32x32", 2.20 + (63 / 2e8) ** 0.13, 2.21 + (3.6e-9 / 50) ** 0.10),
        ("image VQ 16x16", 3.99 + (2.7e4 / 2e8) ** 0.13, 4.09 + (6.1e-7 / 50) ** 0.11),
        ("image VQ 32x32", 3.07 + (1.9e4 / 2e8) ** 0.14, 3.17 + (2.6e-6 / 50) ** 0.12),
        ("video", 1.01 + (3.7e4 / 2e8) ** 0.24, 0.95 + (2.2e-5 / 50) ** 0.14),
    ],
)
def test_a_loss_is_that_of_the_printed_constants(domain, of_params, of_compute):
    by_size, by_compute = wb.LAWS[f"henighan {domain}"], wb.LAWS[f"henighan {domain} compute"]
    assert by_size.evaluate(params=2e8) == pytest.approx(of_params, rel=1e-12)
    assert by_compute.evaluate(compute=50 * PF_DAY) == pytest.approx(of_compute, rel=1e-12)
    assert by_size.output == by_compute.output


@pytest.mark.parametrize(
    ("domain", "params"), [("language", (50 / 3.3e-13) ** 0.73), ("math", (50 / 2.3e-12) ** 0.69)]
)
def test_the_best_size_is_that_of_the_printed_constants(domain, params):
    law = wb.LAWS[f"henighan {domain} size"]
    assert law.evaluate(compute=50 * PF_DAY) == pytest.approx(params, rel=1e-12)
    assert "without embeddings" in law.output.unit


def at_the_best_size(domain, days):
    """Loss at a compute, and that of its best size with endless data."""
    compute = {"compute": days * PF_DAY}
    size = wb.LAWS[f"henighan {domain} size"].evaluate(**compute)
    reached = wb.LAWS[f"henighan {domain} compute"].evaluate(**compute)
    return reached, wb.LAWS[f"henighan {domain}"].evaluate(params=size)


@pytest.mark.parametrize("days", [1e-3, 1.0, 1e3])
def test_with_endless_data_the_best_size_ends_below_what_its_compute_reaches(days):
    reached, end = at_the_best_size("language", days)
    assert end < reached


def test_the_printed_laws_of_math_do_not_fit_together_and_the_entry_says_so():
    reached, end = at_the_best_size("math", 1.0)
    assert (round(reached, 2), round(end, 2)) == (0.29, 0.51)
    assert "this one gives .29" in wb.LAWS["henighan math compute"].notes
    assert "would end at .51" in wb.LAWS["henighan math compute"].notes
