"""Rates, batches, weight decay: each law against its formula with the constants written out."""

from __future__ import annotations

import numpy as np
import pytest
from support.laws import in_the_book, read_ranges, stated_ranges

import workbench as wb
from workbench.scaling.laws.rate_and_batch import RATE_AND_BATCH

# A law whose range nobody has looked up does not get one.
RANGES_READ_IN = {
    "arXiv 2503.04715 and its published grid (59 M: second-hand, the grid begins at 215 M)": {
        "step law": {"params": (59e6, 1.07e9), "tokens": (2e9, 1e11)},
        "step law batch": {"tokens": (2e9, 1e11)},
    },
    "arXiv 2401.02954, section 3.1: compute budgets ranging from 1e17 to 2e19": {
        "deepseek": {"compute": (1e17, 2e19)}, "deepseek batch": {"compute": (1e17, 2e19)},
    },
    "arXiv 2507.17702, section 3": {
        "ling": {"compute": (3e17, 3e20)}, "ling batch": {"compute": (3e17, 3e20)},
    },
    "arXiv 2408.13359: batches of 16 to 512 rows, 2 to 256 B tokens": {
        "power scheduler": {"batch_rows": (16, 512), "tokens": (2e9, 2.56e11)},
        "power schedule": {"batch_rows": (16, 512)},
    },
}  # fmt: skip


def test_every_measured_range_was_read_somewhere():
    assert in_the_book(RATE_AND_BATCH)
    assert stated_ranges(RATE_AND_BATCH) == read_ranges(RANGES_READ_IN)


@pytest.mark.parametrize(
    ("key", "inputs", "value"),
    [
        ("kaplan batch", {"loss": 2.5}, 2e8 / 2.5 ** (1 / 0.21)),
        ("step law", {"params": 3e8, "tokens": 7e9}, 1.79 * 3e8**-0.713 * 7e9**0.307),
        ("step law batch", {"tokens": 7e9}, 0.58 * 7e9**0.571),
        ("deepseek", {"compute": 1e19}, 0.3118 * 1e19**-0.1250),
        ("deepseek batch", {"compute": 1e19}, 0.2920 * 1e19**0.3271),
        ("ling", {"compute": 1e19}, 1.1576 * 1e19**-0.1529),
        ("ling batch", {"compute": 1e19}, 0.0694 * 1e19**0.3644),
        ("power scheduler", {"batch_rows": 128, "tokens": 7e10}, 128 * 4.6 * 7e10**-0.51),
        ("power schedule", {"batch_rows": 128, "tokens": 7e10}, 128 * 4 * 7e10**-0.51),
        ("weight decay", {"base_decay": 0.1, "width_ratio": 9}, 0.3),
    ],
)
def test_a_value_is_that_of_the_printed_constants(key, inputs, value):
    assert wb.LAWS[key].evaluate(**inputs) == pytest.approx(value, rel=1e-12)


def test_the_power_schedule_is_flat_until_its_cap_no_longer_binds():
    """At 1,024 rows that is 2.6e10 tokens."""
    rates = wb.LAWS["power schedule"].evaluate(
        batch_rows=1024, tokens=np.array([1e9, 2.5e10, 2.8e10])
    )
    assert rates[0] == rates[1] == 0.02
    assert rates[2] < 0.02
