"""Score tables of made-up numbers, for what looks through them."""

from __future__ import annotations

import numpy as np
import pandas as pd


def random_table(count, seed, domains=4):
    """Scores with many ties, ids of both cases, and ratios that are not known."""
    rng = np.random.default_rng(seed)
    base, score = rng.uniform(1, 3, count), rng.integers(-9, 9, count) / 8
    names = np.array(["code", "Math", "<b>web</b>", "été"])[:domains]
    return pd.DataFrame(
        {
            "doc_id": [f"{'dD'[i % 2]}oc.{n} é" for i, n in enumerate(rng.permutation(count))],
            "domain": rng.choice(names, count),
            "source": "a.jsonl",
            "row": np.arange(count),
            "tokens": rng.integers(1, 40, count),
            "predicted": 3,
            "loss_base": base,
            "loss_ref": base * (1 + score),
            "score": score,
            "compression_ratio": np.where(rng.random(count) < 0.1, np.nan, rng.random(count)),
            "text_sha256": [f"{number:064x}" for number in rng.integers(0, 5, count)],
        }
    )


def wide_table():
    """500 scores with further columns: long counts, values that are missing, words."""
    made = random_table(500, seed=3)
    rng = np.random.default_rng(5)
    return made.assign(
        tokens=rng.integers(3, 90_000, 500),
        predicted_novel=rng.integers(0, 4, 500),
        rise=made["loss_ref"] - made["loss_base"],
        mine=np.where(rng.random(500) < 0.2, np.nan, rng.normal(size=500)),
        nothing=np.nan,
        note="words",
    )
