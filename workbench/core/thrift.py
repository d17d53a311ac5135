"""Values in Thrift's compact protocol, in which Parquet writes its footers and page headers.

For looking at them before Arrow does: see `workbench.core.parquet`.
"""

from __future__ import annotations

from typing import Any

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)  # of 16, 32 and 64 bits


def struct(data: bytes, at: int = 0) -> tuple[dict[int, Any], int]:
    """The fields of a struct by number, and where it ends.

    Integers are int, bytes and text bytes, lists and structs what they hold; booleans, floats and
    maps are passed over as None.

    Args:
        data: the encoded bytes.
        at: the byte at which the struct begins.

    Returns:
        The fields by number, and the byte behind the struct.

    Raises:
        IndexError: the data end before the struct does.
        ValueError: there is no struct (or RecursionError).
    """
    fields: dict[int, Any] = {}
    field = 0
    while head := data[at]:
        at += 1
        if step := head >> 4:
            field += step
        else:
            number, at = _integer(data, at)
            field = number
        kind = head & 15
        if kind in (_TRUE, _FALSE):  # the kind says it all
            fields[field] = None
        else:
            fields[field], at = _value(data, at, kind)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        return _integer(data, at)
    if kind == _BINARY:
        length, at = _count(data, at)
        if at + length > len(data):
            raise IndexError("bytes beyond the end")
        return data[at : at + length], at + length
    if kind == _STRUCT:
        return struct(data, at)
    if kind in (_LIST, _SET):
        length, kind = data[at] >> 4, data[at] & 15
        at += 1
        if length == 15:
            length, at = _count(data, at)
        items = []
        for _ in range(length):
            item, at = _value(data, at, kind)
            items.append(item)
        return items, at
    if kind in (_TRUE, _FALSE, _BYTE):
        data[at]  # IndexError if it is not there
        return None, at + 1
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _MAP:
        length, at = _count(data, at)
        kinds = data[at] if length else 0
        at += bool(length)
        for _ in range(length):
            _, at = _value(data, at, kinds >> 4)
            _, at = _value(data, at, kinds & 15)
        return None, at
    raise ValueError(f"no value is of kind {kind}")


def _count(data: bytes, at: int) -> tuple[int, int]:
    """A number of bytes or of items: 7 bits a byte, the lowest first."""
    value = 0
    for place in range(10):
        byte = data[at + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError("a number of more than 64 bits")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _count(data, at)
    return value >> 1 ^ -(value & 1), at
