"""Laws side by side: in one unit, or not at all."""

from __future__ import annotations

import pytest

import workbench as wb

RATES = ["step law", "deepseek", "ling"]


def test_three_laws_of_the_rate_agree_on_the_compute_optimal_line_and_part_off_it():
    table = wb.compare_laws(RATES, params=1e9, tokens=2e10, compute=1.2e20)
    assert list(table["law"]) == RATES
    assert table["value"].tolist() == pytest.approx([9.96e-4, 9.64e-4, 9.85e-4], rel=1e-3)
    assert table["times_least"].max() == pytest.approx(1.03, abs=0.005)
    assert table["outside"][1].startswith("compute 1.2e+20 is 6 times above 2e+19")
    assert table["outside"][0] == ""
    long = wb.compare_laws(RATES, params=1e9, tokens=1e11, compute=6e20)
    assert long["times_least"].max() == pytest.approx(2.1, abs=0.05)


def test_sizes_are_compared_where_losses_cannot_be():
    table = wb.compare_optima(["besiroglu", "minicpm", "hoffmann"], compute=1e21)
    assert table["tokens_per_parameter"].tolist() == pytest.approx([21.6, 184, 50.1], rel=2e-3)
    assert table["counted"].tolist()[:2] == ["parameters, all", "parameters, without embeddings"]
    assert "the largest measured" in table["outside"][1]


def test_an_own_law_is_compared_like_a_published_one():
    mine = wb.LAWS["besiroglu"].with_constants(E=1.7)
    table = wb.compare_laws(["hoffmann", mine], params=1e9, tokens=2e10)
    assert table["value"][1] == mine.evaluate(params=1e9, tokens=2e10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wb.compare_laws(["hoffmann", "minicpm"], params=1e9, tokens=1e10), ValueError,
         "hoffmann: nats a token of MassiveText; minicpm: nats a byte, average over corpora"),
        (lambda: wb.compare_laws(["step law", "power scheduler"], params=1, tokens=1, batch_rows=1),
         ValueError, "in one unit only.* standard parameterisation; .* in muP"),
        (lambda: wb.compare_laws(["kaplan batch", "ling batch"], loss=3, compute=1e20), ValueError,
         "in one unit only"),
        (lambda: wb.compare_laws(RATES, params=1e9, tokens=1e9), ValueError, "deepseek needs comp"),
        (lambda: wb.compare_laws(RATES, params=1e9, tokens=1e9, compute=1, loss=2), ValueError,
         "none of the laws takes loss"),
        (lambda: wb.compare_optima(["step law batch"], 1e20), ValueError, "a law of params and"),
        (lambda: wb.compare_laws(["chinchilla"]), KeyError, "no law is called 'chinchilla'"),
        (lambda: wb.compare_laws([3.0]), TypeError, "a law is a key of wb.LAWS"),
    ],
)  # fmt: skip
def test_what_is_not_compared(call, error, message):
    with pytest.raises(error, match=message):
        call()
