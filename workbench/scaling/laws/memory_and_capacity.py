"""What a model takes and what it holds: memory, knowledge, pruning: the entries."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.scaling.laws.law import Check, Law
from workbench.scaling.laws.parts import params, recomputed
from workbench.scaling.laws.quantity import Quantity


def _zero_memory(c: Any, x: Any) -> Any:
    def split(least_stage: int) -> Any:
        return np.where(x.stage >= least_stage, x.devices, 1)

    kept = c.weights / split(3) + c.gradients / split(2) + c.optimizer / split(1)
    return x.params * kept


MEMORY_AND_CAPACITY = [
    Law(
        "zero memory", "Memory of weights, gradients and optimizer on a device (ZeRO)",
        Quantity("bytes", "M", "bytes a device"),
        [params(None, None, "all"),
         Quantity("devices", "n", "devices that split the states", least=1),
         Quantity("stage", "s", "ZeRO stage, 0 to 3", choices=(0, 1, 2, 3))],
        {"weights": 2.0, "gradients": 2.0, "optimizer": 12.0}, _zero_memory,
        "M = N (weights/n_3 + gradients/n_2 + optimizer/n_1), n_s = n from stage s on, else 1",
        "arXiv 1910.02054, figure 1", conditions="Adam in mixed precision; no activations.",
        checks=[
            Check({"params": 7.5e9, "devices": 64, "stage": stage}, gigabytes * 1e9, within,
                  f"figure 1, stage {stage}")
            for stage, gigabytes, within in ((0, 120, 1e-3), (1, 31.4, 2e-3), (2, 16.6, 5e-3),
                                             (3, 1.9, 0.02))
        ],
    ),
    Law(
        "capacity", "Knowledge that a model holds of synthetic biographies (Physics of LMs 3.3)",
        Quantity("capacity", "R", "bits a parameter"),
        [Quantity("people", "n", "people described"),
         Quantity("name_loss", "p1", "nats of a name, summed over its tokens"),
         Quantity("attribute_loss", "p2", "nats of all six attributes, summed"),
         params(None, None, "all")],
        {"names": 1.6e8, "attributes": 2 * (12 * 28 * 200) * 200 * 300 * 100 * 263},
        lambda c, x: x.people / x.params * (
            np.log2(c.names) + np.log2(c.attributes) - (x.name_loss + x.attribute_loss) / np.log(2)
        ),
        "R = n (ld names + ld attributes - (p1 + p2)/ln 2) / N",
        "arXiv 2404.05405, definitions 4.1 and 4.3",
        notes="About 2 bits after 1,000 exposures, 1 after 100, .7 in 4 bits (second-hand).",
        checks=[recomputed(61.557, 2e-5, people=1e4, name_loss=np.log(1e4), attribute_loss=0,
                            params=1e4)],
    ),
    Law(
        "pruning schedule", "Share of pruned weights along the training (To prune or not to prune)",
        Quantity("share", "s", "share of weights that are pruned"),
        [Quantity("progress", "t", "share of the pruning steps that are done", 0, 1),
         Quantity("final", "s_f", "share at the end", 0, 1)],
        {"power": 3.0}, lambda c, x: x.final * (1 - (1 - np.clip(x.progress, 0, 1)) ** c.power),
        "s = s_f (1 - (1 - t)^power)", "arXiv 1710.01878, equation 1", "second-hand",
        conditions="Begins unpruned.",
        checks=[recomputed(share, 1e-3, progress=step / 8, final=0.2)
                for step, share in ((1, 0.06602), (4, 0.175), (7, 0.19961))],
    ),
]  # fmt: skip
