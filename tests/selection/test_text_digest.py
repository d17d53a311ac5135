"""Hashes of texts in columns, and the digest of all of them."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from workbench.selection.text_digest import DigestStream, hex_digits, text_digest


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_bytes_become_their_digits(kind, rows):
    hashes = [hashlib.sha256(f"{row}".encode()).digest() for row in range(rows)]
    found = hex_digits(pa.array(hashes, kind))
    assert found.type == pa.string()
    assert found.to_pylist() == [value.hex() for value in hashes]


def test_other_text_stays_as_it_is():
    found = hex_digits(pa.array(["g\u00e9", "", "0" * 64], pa.large_string()))
    assert found.to_pylist() == ["g\u00e9", "", "0" * 64]


def test_a_stream_has_the_digest_of_the_table():
    rng = np.random.default_rng(0)
    names = ['b"c', "a\nb", "\u00e9"]
    rows = [(name, int(row)) for name in names for row in rng.choice(99, 20, replace=False)]
    texts = [hashlib.sha256(repr(row).encode()).hexdigest() for row in rows]
    texts[3] = 'no "hash"\u00e9'
    table = pd.DataFrame(rows, columns=["source", "row"]).assign(text_sha256=texts)
    ordered = table.sort_values(["source", "row"])
    sources = sorted(names)
    stream = DigestStream(pa.array(sources))
    for first in range(0, len(ordered), 7):
        part = ordered.iloc[first : first + 7]
        stream.add(
            pa.array([sources.index(name) for name in part["source"]]),
            pa.array(part["row"].tolist()),
            pa.array(part["text_sha256"].tolist(), pa.string()),
        )
    assert stream.hexdigest() == text_digest(table) == text_digest(ordered)
    assert text_digest(table.assign(row=table["row"] + 1)) != text_digest(table)
