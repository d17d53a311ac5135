"""Running means of many texts at once, against one text after the other in float64."""

from __future__ import annotations

import pytest
import torch

from workbench.models.packing.running_mean import RunningMeans

CPU = torch.device("cpu")


def oracle(values, lengths):
    means, start = [], 0
    for length in lengths:
        text = values[:, start : start + length].double()
        means.append(torch.stack([text[:, : i + 1].mean(dim=1) for i in range(length)], dim=1))
        start += length
    return torch.cat(means, dim=1)


@pytest.mark.parametrize("block", [2, 5, 64])
@pytest.mark.parametrize("lengths", [[1], [3, 1, 1, 70], [64, 65, 128, 1, 129], [300], [1] * 9])
def test_each_text_has_the_means_of_its_own_values(lengths, block):
    torch.manual_seed(0)
    values = torch.randn(2, sum(lengths), 3)
    found = RunningMeans(lengths, CPU, block)(values)
    torch.testing.assert_close(found.double(), oracle(values, lengths), rtol=1e-6, atol=1e-6)


def whole_row(values, lengths):
    """One cumulative sum over the row, less what stood before each text: what must not be done."""
    sums = torch.nn.functional.pad(values.cumsum(dim=1), (0, 0, 1, 0))
    means, start = [], 0
    for length in lengths:
        steps = torch.arange(1, length + 1)[:, None]
        means.append((sums[:, start + 1 : start + length + 1] - sums[:, start, None]) / steps)
        start += length
    return torch.cat(means, dim=1)


def test_large_values_in_one_text_cost_the_next_nothing():
    lengths = [1000, 300, 500, 7]
    torch.manual_seed(0)
    values = torch.randn(1, sum(lengths), 4)
    values[:, :1000] += 1e5
    values[:, 1300:1800] -= 3e4
    expected = oracle(values, lengths)
    found = RunningMeans(lengths, CPU)(values)
    for start, stop in ((1000, 1300), (1800, 1807)):  # the texts behind the large ones
        wrong = (found[:, start:stop] - expected[:, start:stop]).abs().max()
        assert wrong < 1e-6
        assert (whole_row(values, lengths) - expected)[:, start:stop].abs().max() > 1e-2
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)


def test_what_is_not_finite_stays_in_its_text():
    values = torch.zeros(1, 200, 2)
    values[:, 70] = torch.inf
    found = RunningMeans([100, 100], CPU)(values)
    assert found[:, :70].abs().max() == 0
    assert torch.isinf(found[:, 70:100]).all()
    assert found[:, 100:].abs().max() == 0


@pytest.mark.cuda
def test_a_device_gives_the_same():
    lengths = [1, 700, 64, 3000]
    torch.manual_seed(0)
    values = torch.randn(2, sum(lengths), 5)
    found = RunningMeans(lengths, torch.device("cuda"))(values.cuda())
    expected = RunningMeans(lengths, CPU)(values)
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-6, atol=1e-6)
