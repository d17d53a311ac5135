"""What tests of sessions share."""

from __future__ import annotations

import numpy as np
import pandas as pd


def scores_of(model, seed=0):
    """Made-up scores without ties."""
    layer, head = np.divmod(np.arange(model.num_layers * model.num_heads), model.num_heads)
    score = np.random.default_rng(seed).permutation(len(layer)) / 100 + 0.01
    return pd.DataFrame({"layer": layer, "head": head, "score": score})


def listen(session):
    """The list to which a session adds whatever it says of changes."""
    heard = []
    session.on_change(heard.append)
    return heard
