"""All heads of a session as rows: what is known of each, side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.models.heads import HeadSet
from workbench.session.head_colours import RETRIEVAL, SECOND
from workbench.session.session import Session

LOW, HIGH = "low", "high"  # ends of the interval of the retrieval score


def head_table(session: Session) -> pd.DataFrame:
    """What a session knows of each head; nothing is computed.

    Args:
        session: whose heads are meant.

    Returns:
        One row a head, layer by layer: layer, head, masked (bool); the values of every name of
        `session.palette.names`, and RETRIEVAL, NaN where they are not there yet; and LOW and HIGH,
        where the scores of the session have an interval.
    """
    model, masked = session.model, set(session.heads)
    heads = sorted(~HeadSet.of([], model))
    table = pd.DataFrame([(head.layer, head.head) for head in heads], columns=["layer", "head"])
    table["masked"] = [head in masked for head in heads]
    known = session.known_colours()
    places = table["layer"].to_numpy(), table["head"].to_numpy()
    # The second detector last: a table that has no room for all leaves the last columns out.
    names = sorted([RETRIEVAL, *session.palette.names], key=lambda name: name == SECOND)
    for name in dict.fromkeys(names):
        table[name] = known[name].values[places].astype(float) if name in known else np.nan
    scores = session.scores
    if scores is not None and {LOW, HIGH} <= set(scores.frame.columns):
        ends = scores.frame[["layer", "head", LOW, HIGH]]
        table = table.merge(ends, how="left", on=["layer", "head"], validate="one_to_one")
    return table
