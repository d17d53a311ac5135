"""Experts, vocabulary, growth, density: each law against its formula written out."""

from __future__ import annotations

from math import log2, log10

import pytest
from support.laws import in_the_book, read_ranges, stated_ranges

import workbench as wb
from workbench.scaling.laws.models_and_vocabulary import MODELS_AND_VOCABULARY

# A law whose range nobody has looked up does not get one.
RANGES_READ_IN = {
    "arXiv 2507.17702, section 4": {
        "moe leverage": {"activation": (0.008, 1), "granularity": (2, 16),
                         "compute": (3e18, 3e20)},
    },
    "github.com/sail-sg/scaling-with-vocab, exp_data.csv: 33,222,784 to 1,129,891,136; 4 to 96 K": {
        "vocabulary 2": {"params": (33e6, 1.13e9)},
        "vocabulary 3": {"params": (33e6, 1.13e9), "vocabulary": (4e3, 96e3)},
    },
    "arXiv 2405.15319, figure 8: 410 M to 3 B parameters, .8e20 to 12e20 FLOP": {
        "g_stack": {"params": (410e6, 3e9), "compute": (0.8e20, 12e20)},
    },
}  # fmt: skip


def test_every_measured_range_was_read_somewhere():
    assert in_the_book(MODELS_AND_VOCABULARY)
    assert stated_ranges(MODELS_AND_VOCABULARY) == read_ranges(RANGES_READ_IN)


# A share of active experts, saturated: 1/A' of equation 4 at A = .05.
SATURATED = 1 / (0.05 + 1 / (1 / 0.0163 - 1 / 5.28e16)) + 1 / 5.28e16


@pytest.mark.parametrize(
    ("key", "inputs", "value"),
    [
        ("moe leverage", {"activation": 0.05, "granularity": 6, "compute": 1e20},
         (1 / SATURATED) ** (1.23 - 0.0761 * 20 + 0.0167 * log2(6) ** 2 - 0.117 * log2(6))),
        ("ling model", {"compute": 1e19}, 0.1915 * 1e19**0.5095),
        ("ling tokens", {"compute": 1e19}, 5.2232 * 1e19**0.4905),
        ("ling dense model", {"compute": 1e19}, 0.0655 * 1e19**0.5422),
        ("ling dense tokens", {"compute": 1e19}, 15.2582 * 1e19**0.4578),
        ("vocabulary 1", {"compute": 1e21, "width": 2048}, 0.204124 * 1e21**0.41636 / 2048),
        ("vocabulary 2", {"params": 1e9, "width": 2048},
         6144 * 512 * (1e9 / 33e6) ** 0.8353974 / 2048),
        ("vocabulary 3", {"params": 1e9, "vocabulary": 32e3, "width": 2048, "tokens": 1e10},
         -5.5328 + 1.8314 / 1e3**0.44661 + 0.19584 / (32 * 2.048) ** 0.67074
         + 2.1241 / 10**0.44661),
        ("g_stack", {"params": 1e9, "compute": 3e20},
         10 ** (0.88 * 9 + 163.27 / log10(3e20) - 5.74)),
        ("density", {"loss": 2.7, "params": 2e8, "tokens": 1e12},
         ((2.7 - 1.8172 - 2085.43 / 1e12**0.3658) / 482.01) ** (-1 / 0.3478) / 2e8),
    ],
)  # fmt: skip
def test_a_value_is_that_of_the_printed_constants(key, inputs, value):
    assert wb.LAWS[key].evaluate(**inputs) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(("kind", "left"), [("", 1.0002), ("dense ", 0.9994)])
def test_model_and_tokens_of_ling_make_up_the_compute(kind, left):
    """M is FLOP a token, so M D = C, to the digits that are printed."""
    for compute in (1e18, 1e20, 1e24):
        model = wb.LAWS[f"ling {kind}model"].evaluate(compute=compute)
        tokens = wb.LAWS[f"ling {kind}tokens"].evaluate(compute=compute)
        assert model * tokens / compute == pytest.approx(left, abs=5e-5)


def test_the_unsound_entry_says_why_and_the_book_holds_one_only():
    (unsound,) = [law for law in wb.LAWS.values() if law.status == "unsound"]
    assert unsound.key == "vocabulary 3"
    assert "divides V by 1,000" in unsound.notes
