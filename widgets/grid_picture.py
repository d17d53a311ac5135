"""The grid of heads as a PNG, for sites that show pictures and strip the colours of HTML.

It is drawn and packed here, in some milliseconds: no browser and no drawing library is needed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection

import numpy as np

from workbench.models.geometry import HasGeometry
from workbench.models.heads import Head
from workbench.session.head_colours import HeadColours

CELL, GAP = 14, 2  # px
LABEL = 22  # px for the numbers of layers, and above for those of heads
WHITE, LINE, INK = 255, (190, 190, 190), (0, 0, 0)
RISE, FALL = (213, 94, 0), (0, 114, 178)  # vermilion and blue of Okabe and Ito
_FONT = {  # 3 x 5 dots, row by row
    "0": "111101101101111", "1": "010110010010111", "2": "111001111100111",
    "3": "111001111001111", "4": "101101111001001", "5": "111100111001111",
    "6": "111100111101111", "7": "111001001001001", "8": "111101111101111",
    "9": "111101111001111",
}  # fmt: skip


def grid_png(model: HasGeometry, masked: Collection[Head], colours: HeadColours) -> bytes:
    """Layers down and heads across, each coloured by its value; masked ones are crossed out.

    Args:
        model: whose heads are shown.
        masked: the masked heads.
        colours: the value of every head.

    Returns:
        A PNG file; the same for the same heads and colours.
    """
    step = CELL + GAP
    shape = (LABEL + model.num_layers * step, LABEL + model.num_heads * step, 3)
    pixels = np.full(shape, WHITE, np.uint8)
    for layer in range(model.num_layers):
        _write(pixels, str(layer), LABEL + layer * step + 2, 1)
    for head in range(model.num_heads):
        _write(pixels, str(head), LABEL - 13, LABEL + head * step + (3 if head < 10 else 0))
    crossed = set(masked)
    for layer, head in np.ndindex(model.num_layers, model.num_heads):
        top, left = LABEL + layer * step, LABEL + head * step
        cell = pixels[top : top + CELL, left : left + CELL]
        cell[:] = INK if (layer, head) in crossed else LINE
        cell[1:-1, 1:-1] = _colour(float(colours.values[layer, head]), colours)
        if (layer, head) in crossed:
            place = np.arange(2, CELL - 2)
            for shift in (0, 1):
                cell[place, np.minimum(place + shift, CELL - 3)] = INK
                cell[place, CELL - 1 - np.minimum(place + shift, CELL - 3)] = INK
    return _png(pixels)


def _colour(value: float, colours: HeadColours) -> np.ndarray:
    share = 0.0 if np.isnan(value) else min(abs(value) / (colours.high or 1.0), 1.0)
    strongest = np.array(RISE if colours.diverging and value >= 0 else FALL)
    return (WHITE + share * (strongest - WHITE)).round().astype(np.uint8)


def _write(pixels: np.ndarray, number: str, top: int, left: int) -> None:
    """A number in dots of two pixels; its digits are 8 px apart, of three 7."""
    apart = 8 if len(number) < 3 else 7
    for place, digit in enumerate(number):
        dots = np.array([int(dot) for dot in _FONT[digit]]).reshape(5, 3)
        drawn = dots.repeat(2, axis=0).repeat(2, axis=1) == 1
        part = pixels[top : top + 10, left + place * apart : left + place * apart + 6]
        part[drawn[: part.shape[0], : part.shape[1]]] = (90, 90, 90)


def _png(pixels: np.ndarray) -> bytes:
    """Pixels (height, width, 3) as a PNG file (ISO/IEC 15948)."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each behind its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits of red, green, blue
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
