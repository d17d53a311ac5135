"""A device that is not there: shapes, dtypes and devices of a pass, without numbers.

torch's meta tensors know what each operation would give. Whatever looks at a number of theirs
(`.item()`, a branch on a comparison) raises; copies between the devices are counted. So the path
of a GPU is run whole on a machine without one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import workbench as wb
from workbench.models.packing import one_call, transfer

VIEWS = ("view", "expand", "transpose", "slice", "select", "unsqueeze", "squeeze", "t", "permute",
         "detach", "alias", "unbind", "split", "as_strided", "lift_fresh", "split_with_sizes",
         "_unsafe_view", "unflatten", "diagonal", "chunk")  # fmt: skip


class Seen(TorchDispatchMode):
    """What a pass asked of the device.

    launches: operations on the device that are no views; waits: copies that the CPU waits for,
    among them those that were asked not to be waited for, but are not from page-locked memory or
    change the dtype on the way; back: copies from the device to the CPU; peak: bytes of the largest
    tensor on the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.waits: list[str] = []
        self.back = 0
        self.peak = 0
        self.pinned: list[torch.Tensor] = []  # kept: no other tensor may take their place

    def pin(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Stands for the copy into page-locked memory, which only CUDA has."""
        self.pinned.append(tensor.clone())
        return self.pinned[-1]

    def _is_ahead(self, given: torch.Tensor, result: torch.Tensor) -> bool:
        """Whether a copy to the device that was asked not to be waited for is not."""
        if given.is_meta:
            return True
        locked = {tensor.untyped_storage().data_ptr() for tensor in self.pinned}
        return given.untyped_storage().data_ptr() in locked and given.dtype == result.dtype

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with self:  # in inference mode operations arrive that are made of others
            result = function.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        name = function._schema.name.split("::")[1]
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        to = kwargs.get("device") if name == "_to_copy" else None
        if to == torch.device("cpu") and given[0].is_meta:
            self.back += 1
            result = torch.empty(given[0].shape, dtype=kwargs.get("dtype") or given[0].dtype)
        else:
            result = function(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        # Numbers of zero dimensions go along with a launch.
        sides = {tensor.device.type for tensor in (*tensors, *given) if tensor.dim()}
        ahead = kwargs.get("non_blocking") and self._is_ahead(given[0], result)
        if len(sides) > 1 and not ahead and name != "empty_like":
            self.waits.append(f"{name} {[tuple(tensor.shape) for tensor in given]}")
        if "meta" in sides and name not in VIEWS:
            self.launches[name] += 1
        sizes = [t.numel() * t.element_size() for t in tensors if t.is_meta]
        self.peak = max([self.peak, *sizes])
        return result


@contextmanager
def pretend_device(model: wb.Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Within the block the model is on a device without numbers, in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    monkeypatch.setattr(transfer, "AHEAD", ("meta",))
    monkeypatch.setattr(one_call, "varlen_kernel", lambda query: varlen_attn)
    event = SimpleNamespace(synchronize=lambda: None)
    stream = SimpleNamespace(record_event=lambda: event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    model.hf.to("meta", torch.bfloat16)
    seen = Seen()
    monkeypatch.setattr(transfer, "_pinned", seen.pin)

    def noted(stock: Callable[..., object]) -> Callable[..., object]:
        def index(tensor: torch.Tensor, places: object, *value: object) -> object:
            # A list becomes a tensor on the device below where operations are seen.
            if tensor.is_meta and any(
                isinstance(place, list)
                for place in (places if isinstance(places, tuple) else (places,))
            ):
                seen.waits.append("index by a list")
            return stock(tensor, places, *value)

        return index

    with seen, pytest.MonkeyPatch.context() as patch:
        for name in ("__getitem__", "__setitem__"):
            patch.setattr(torch.Tensor, name, noted(getattr(torch.Tensor, name)))
        yield seen
