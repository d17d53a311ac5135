"""Learning rate, batch and weight decay: the entries."""

from __future__ import annotations

import numpy as np

from workbench.scaling.laws.forms import Powers
from workbench.scaling.laws.law import Check, Law
from workbench.scaling.laws.parts import (
    BATCH,
    NO_EMBEDDINGS,
    RATE,
    compute,
    params,
    recomputed,
    tokens,
)
from workbench.scaling.laws.quantity import Quantity

RATE_AND_BATCH = [
    Law(
        "kaplan batch", "Critical batch from the loss (Kaplan et al.)",
        Quantity("batch_tokens", "B", "tokens in a step that trades steps against tokens"),
        [Quantity("loss", "L", "nats a token of WebText2")], {"B0": 2e8, "aB": 0.21},
        lambda c, x: c.B0 / x.loss ** (1 / c.aB), "B_crit = B0/L^(1/aB)",
        "arXiv 2001.08361, equation 5.3", "second-hand",
        notes="A critical batch trades steps against tokens; it is no batch of least loss.",
        checks=[Check(lambda law: law.evaluate(loss=0.87 * 3) / law.evaluate(loss=3), 2, 0.035,
                      "figure 10: doubles for every 13 % decrease in loss"),
                recomputed(1.069e6, 1e-3, loss=3.0)],
    ),
    Law(
        "step law", "Best peak rate from parameters and tokens (Step Law)", RATE,
        [params(59e6, 1.07e9), tokens(2e9, 1e11)], {"k": 1.79, "a": -0.713, "b": 0.307},
        Powers("k", {"params": "a", "tokens": "b"}), "η = k N^a D^b",
        "arXiv 2503.04715; its code and data",
        conditions="Cosine to a fixed 1e-5, 2,000 warm-up steps, rows of 2,048 tokens.",
        notes="For mixtures of experts N counts all parameters: by the published data the law then "
        "lies .16 % above the best loss, with the active ones 1.0 %.",
        checks=[
            Check({"params": 1e9, "tokens": 1e11}, 1.67e-3, 0.09,
                  "1.52e-3 to 1.82e-3 by the published bootstrap fits, at 1 B and 100 B tokens"),
            recomputed(9.960e-4, 1e-3, params=1e9, tokens=2e10),
        ],
    ),
    Law(
        "step law batch", "Best batch from tokens (Step Law)", BATCH, [tokens(2e9, 1e11)],
        {"k": 0.58, "b": 0.571}, Powers("k", {"tokens": "b"}), "B = k D^b",
        "arXiv 2503.04715; its code and data",
        conditions="16 to 2,048 rows of 2,048 tokens; as step law.",
        checks=[
            Check({"tokens": 1e11}, 1.11e6, 0.08,
                  "1.02e6 to 1.20e6 by the published bootstrap fits, at 100 B tokens"),
            recomputed(4.4189e5, 1e-3, tokens=2e10),
        ],
    ),
    Law(
        "deepseek", "Best peak rate from compute (DeepSeek LLM)", RATE,
        [compute(1e17, 2e19, NO_EMBEDDINGS)], {"k": 0.3118, "a": -0.125},
        Powers("k", {"compute": "a"}), "η = k C^a", "arXiv 2401.02954, equation 1", "second-hand",
        conditions="A multi-step schedule.",
        checks=[Check({"compute": 6 * 7e9 * 2e12}, 4.2e-4, 0.02, "rate of the 7 B model"),
                Check({"compute": 6 * 67e9 * 2e12}, 3.2e-4, 0.02, "rate of the 67 B model"),
                recomputed(9.6378e-4, compute=1.2e20)],
    ),
    Law(
        "deepseek batch", "Best batch from compute (DeepSeek LLM)", BATCH,
        [compute(1e17, 2e19, NO_EMBEDDINGS)], {"k": 0.2920, "a": 0.3271},
        Powers("k", {"compute": "a"}), "B = k C^a", "arXiv 2401.02954, equation 1", "second-hand",
        conditions="A multi-step schedule.",
        checks=[Check({"compute": 6 * 7e9 * 2e12}, 2304 * 4096, 0.03, "batch of the 7 B model"),
                Check({"compute": 6 * 67e9 * 2e12}, 4608 * 4096, 0.03, "batch of the 67 B model")],
    ),
    Law(
        "ling", "Best peak rate of a mixture of experts from compute (Ling)", RATE,
        [compute(3e17, 3e20, NO_EMBEDDINGS)], {"k": 1.1576, "a": -0.1529},
        Powers("k", {"compute": "a"}), "η = k C^a", "arXiv 2507.17702, equation 3",
        conditions="Share of active experts 7.8 %, warm-up-stable-decay.",
        notes="The rate of the model that the paper trains fits a compute of 6e22, not its own.",
        checks=[recomputed(9.85e-4, 1e-3, compute=1.2e20),
                recomputed(2.4621e-3, 1e-3, compute=3e17)],
    ),
    Law(
        "ling batch", "Best batch of a mixture of experts from compute (Ling)", BATCH,
        [compute(3e17, 3e20, NO_EMBEDDINGS)], {"k": 0.0694, "a": 0.3644},
        Powers("k", {"compute": "a"}), "B = k C^a", "arXiv 2507.17702, equation 4",
        conditions="Share of active experts 7.8 %, warm-up-stable-decay.",
        checks=[recomputed(1.4395e6, 1e-3, compute=1.2e20)],
    ),
    Law(
        "power scheduler", "Best constant rate from batch and tokens (Power Scheduler)",
        Quantity("learning_rate", "η", "peak rate of AdamW in muP, base width 256"),
        [Quantity("batch_rows", "β", "rows of 4,096 tokens in a step", 16, 512),
         tokens(2e9, 2.56e11)],
        {"a": 4.6, "b": -0.51}, lambda c, x: x.batch_rows * c.a * x.tokens**c.b, "η = β a T^b",
        "arXiv 2408.13359, equations 5 and 6",
        conditions="12, 36 and 121 M parameters.",
        notes="T is the length of the run. The schedule itself is min(.02, 4 β n^-.51) after n "
        "tokens: its 4 is not the 4.6 here.",
        checks=[Check({"batch_rows": 1024, "tokens": 1e13}, 0.0011, 0.005,
                      "10 T tokens, batch 1,024")],
    ),
    Law(
        "power schedule", "Rate after a number of tokens (Power Scheduler)",
        Quantity("learning_rate", "η", "rate of AdamW in muP, base width 256"),
        [Quantity("batch_rows", "β", "rows of 4,096 tokens in a step", 16, 512),
         tokens(None, None)],
        {"a": 4.0, "b": -0.51, "most": 0.02},
        lambda c, x: np.minimum(c.most, x.batch_rows * c.a * x.tokens**c.b),
        "η = min(most, β a n^b)", "arXiv 2408.13359, equation 7",
        conditions="After 1 B tokens of warm-up, before a decay over the last tenth.",
        checks=[recomputed(0.02, 1e-3, batch_rows=1024, tokens=1e10),
                recomputed(9.60e-4, 2e-3, batch_rows=1024, tokens=1e13)],
    ),
    Law(
        "weight decay", "Weight decay of another width (Robust Layerwise Scaling)",
        Quantity("weight_decay", "λ", "weight decay of AdamW, for matrices"),
        [Quantity("base_decay", "λ0", "weight decay at the base width"),
         Quantity("width_ratio", "r", "width / base width")],
        {"a": 0.5}, lambda c, x: x.base_decay * x.width_ratio**c.a, "λ = λ0 r^a",
        "arXiv 2510.15262", "second-hand",
        conditions="AdamW; the rate of matrices falls as 1/r, vectors keep theirs and decay by 0.",
        notes="Then the largest singular value, as (η/λ)^.5 d^.75, does not change with the width.",
        checks=[recomputed(0.2, base_decay=0.1, width_ratio=4)],
    ),
]  # fmt: skip
