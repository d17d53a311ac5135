"""Small tensors on their way to the device."""

from __future__ import annotations

import contextlib

import pytest
import torch

from workbench.models.packing import transfer

CPU = torch.device("cpu")


def test_on_the_cpu_a_tensor_stays_what_it_is():
    given = torch.arange(3)
    assert transfer.sent(given, CPU) is given
    assert transfer.sent([2, 0], CPU).tolist() == [2, 0]
    assert transfer.sent([2, 0], CPU, torch.int32).dtype == torch.int32
    assert not transfer.runs_ahead(CPU)
    assert transfer.runs_ahead(torch.device("cuda:1"))


def test_a_copy_to_a_card_is_pinned_on_that_card_and_not_waited_for(monkeypatch):
    used = []

    @contextlib.contextmanager
    def card(device):
        used.append(device)
        yield

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", card)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: used.append("pinned") or self)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, device, non_blocking: (device, non_blocking)
    )
    second = torch.device("cuda:1")
    assert transfer.sent([1, 2], second) == (second, True)
    assert used == [second, "pinned"]


def test_many_tensors_go_in_one_copy(monkeypatch):
    given = [torch.randn(2, 3), torch.randn(4), torch.randn(5, 2, 2)]
    copies = []
    monkeypatch.setattr(transfer, "sent", lambda values, device: copies.append(values) or values)
    found = transfer.sent_together(given, CPU)
    assert len(copies) == 1
    assert all(torch.equal(one, other) for one, other in zip(found, given, strict=True))
    assert transfer.sent_together([], CPU) == []


@pytest.mark.cuda
def test_what_arrives_is_what_was_sent():
    found = transfer.sent(list(range(1000)), torch.device("cuda"))
    assert found.is_cuda
    assert found.tolist() == list(range(1000))
