"""Damage: to bytes, and to the values of JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

# Pieces that mean something to one reader or another.
TOKENS = [
    b"\x00", b"\n", b"\r\n", b"\r", b"\x0b\x0c\x1c\x85", b"\xef\xbb\xbf", b"\xff\xfe",
    b"\xfe\xff\x00",
    b"\xe2\x80\xa8", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\\ud800",
    b"\\u0000",
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"9" * 30, b"9" * 5000,
    b"1" + b"0" * 400, b"null", b"true",
    b"[", b"{", b"]", b"}", b'"', b":", b",", b"\\", b"[" * 3000, b'{"a":' * 3000, b"[[]," * 200,
    b'"text":', b'"id":', b'"text":"x"', b'{"text": "y"}\n', b'"domain": {"a": [1]},',
    b"PAR1", b"ARROW1", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"\xff\xff\xff\xff\x0f",
    b"\xff" * 9 + b"\x7f",
    b"L0H0", b"L99999H99999", b"l1h1", b"L1", b"H", b"L-1H0", b"L1H1.5",
    b"L\xef\xbc\x91H\xef\xbc\x91", b"\xc2\xa0",
    b"..", b"../../etc/passwd", b"/etc/passwd", b"C:\\", b"file:///etc/passwd", b"a" * 3000,
]  # fmt: skip
_EDGES = [
    0,
    1,
    2,
    127,
    128,
    255,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
]

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 7, 2**31, 2**63, 2**64, -(2**63), 10**18, 10**400, 0.5, -0.0,
    1e308,
    float("nan"), float("inf"), "", " ", "\0", "\ud800", "\u202e", "0", "1.5", "NaN", "x" * 50_000,
    "..", ".", "../x", "../../../../etc/passwd", "/etc/passwd", "//host/x", "a//b", "a/../b",
    "a\\b", "C:\\x",
    "C:x", "~root/x", "file:///etc/passwd", "/dev/zero", "/proc/self/mem", "scores",
    "manifest.json", "run.json",
    "selection.parquet", "link", "pipe", "scores/link", "scores/", "nul\0byte", "L0H0",
    "L1H99999", [], {}, [[]],
    [None], {"": None}, {"@id": "x"}, [[[[[[[[]]]]]]]], {"a": {"b": {"c": {}}}}, "@deep@",
    list(range(300)), ["x"] * 300,
]  # fmt: skip


def damaged(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """`data` with a few bytes changed, lost, doubled, put in, or taken from one of the `others`."""
    work = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        other = random.choice(others) if others else data
        random.choice(_DAMAGES)(work, other, random)
    return bytes(work)


def _flip(work: bytearray, other: bytes, random: Random) -> None:
    if work:
        work[random.randrange(len(work))] ^= 1 << random.randrange(8)


def _set(work: bytearray, other: bytes, random: Random) -> None:
    if work:
        work[random.randrange(len(work))] = random.choice(
            (0, 1, 0x7F, 0x80, 0xFF, random.randrange(256))
        )


def _truncate(work: bytearray, other: bytes, random: Random) -> None:
    del work[random.randrange(len(work) + 1) :]


def _lose(work: bytearray, other: bytes, random: Random) -> None:
    start = random.randrange(len(work) + 1)
    del work[start : start + random.choice((1, 2, 4, 8, random.randrange(1, 200)))]


def _double(work: bytearray, other: bytes, random: Random) -> None:
    start = random.randrange(len(work) + 1)
    span = work[start : start + random.randrange(1, 60)]
    work[start:start] = span * random.choice((1, 1, 2, 50))


def _insert(work: bytearray, other: bytes, random: Random) -> None:
    place = random.randrange(len(work) + 1)
    work[place:place] = random.choice(
        (random.choice(TOKENS), random.randbytes(random.randrange(1, 9)))
    )


def _replace(work: bytearray, other: bytes, random: Random) -> None:
    token = random.choice(TOKENS)
    place = random.randrange(len(work) + 1)
    work[place : place + len(token)] = token


def _count(work: bytearray, other: bytes, random: Random) -> None:
    """A number of 1 to 8 bytes at the edge of what such a number can be."""
    width = random.choice((1, 2, 4, 8))
    value = random.choice(_EDGES) % (1 << 8 * width)
    place = random.randrange(len(work) + 1)
    work[place : place + width] = value.to_bytes(width, random.choice(("little", "big")))


def _splice(work: bytearray, other: bytes, random: Random) -> None:
    if other:
        start = random.randrange(len(other))
        span = other[start : start + random.randrange(1, len(other) + 1)]
        place = random.randrange(len(work) + 1)
        work[place : place + random.choice((0, len(span)))] = span


_DAMAGES: list[Callable[[bytearray, bytes, Random], None]] = [
    _flip, _flip, _set, _set, _truncate, _lose, _double, _insert, _insert, _replace, _count,
    _splice,
]  # fmt: skip


def changed(value: Any, random: Random) -> Any:
    """A copy of a JSON value in which a few parts, at any depth, are others, lost or new."""
    root = [copy.deepcopy(value)]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        holder, key = _place(root, random)
        what = random.randrange(6)
        if what == 0 and holder is not root:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[random.choice(("", "@id", "path", "rows", "x", str(key)[:-1]))] = holder[key]
        elif what == 2 and isinstance(holder[key], int | float):
            holder[key] += random.choice((-1, 1, 2**32, 10**15, -(10**9)))
        elif what == 3 and isinstance(holder[key], str):
            spoilt = damaged(holder[key].encode("utf-8", "surrogatepass"), random)
            holder[key] = spoilt.decode("utf-8", "surrogateescape")
        elif what == 4 and isinstance(holder, list) and holder is not root:
            holder.insert(0, copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(random.choice(VALUES))
    return root[0]


def _place(root: list[Any], random: Random) -> tuple[Any, Any]:
    """A container inside `root` and a key of it, deeper ones as likely as shallow ones."""
    holder, key = root, 0
    while isinstance(holder[key], dict | list) and holder[key] and random.random() < 0.85:
        holder = holder[key]
        key = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    return holder, key


def as_json(value: Any, random: Random) -> bytes:
    """The value as JSON text, at times in another encoding or with its bytes damaged too."""
    text = json.dumps(value, ensure_ascii=random.random() < 0.8)
    text = text.replace('"@deep@"', "[" * 5000 + "]" * 5000)
    data = text.encode(random.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16")), "surrogatepass")
    return damaged(data, random) if random.random() < 0.15 else data
