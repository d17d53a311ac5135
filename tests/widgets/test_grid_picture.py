"""The grid as a PNG, read back with Pillow: colours, crosses, and what it costs to keep."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support.models import make_model

import workbench as wb
from widgets.grid_picture import CELL, GAP, LABEL, grid_png
from workbench.session.head_colours import HeadColours

STEP = CELL + GAP


@pytest.fixture(scope="module")
def model():
    return make_model()


def pixels_of(png):
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def cell(pixels, layer, head):
    top, left = LABEL + layer * STEP, LABEL + head * STEP
    return pixels[top : top + CELL, left : left + CELL]


@pytest.mark.parametrize("diverging", [False, True])
def test_every_cell_has_its_colour_and_the_masked_ones_a_cross(model, diverging):
    values = np.linspace(-1 if diverging else 0, 1, 12).reshape(3, 4)
    values[1, 2] = np.nan
    colours = HeadColours("x", values, 0.0, 1.0, diverging)
    session = wb.Session(model, "abc", "L0H3 L2H1")
    pixels = pixels_of(grid_png(model, session.heads, colours))
    assert pixels.shape == (LABEL + 3 * STEP, LABEL + 4 * STEP, 3)
    for layer, head in np.ndindex(3, 4):
        value = values[layer, head]
        share = 0 if np.isnan(value) else abs(value)
        strongest = np.array([213, 94, 0] if diverging and value >= 0 else [0, 114, 178])
        part = cell(pixels, layer, head)
        inside = part[1, 5]  # beside the cross
        np.testing.assert_allclose(inside, 255 + share * (strongest - 255), atol=1)
        crossed = (layer, head) in session.heads
        for line in (part, part[:, ::-1]):
            diagonal = line[np.arange(2, CELL - 2), np.arange(2, CELL - 2)]
            assert (diagonal == 0).all() == crossed
        assert (part[0, 0] == 0).all() == crossed  # and a darker frame


def test_layers_and_heads_are_numbered(model):
    colours = HeadColours.none(model)
    pixels = pixels_of(grid_png(model, (), colours))
    rows = [pixels[LABEL + n * STEP : LABEL + n * STEP + CELL, :LABEL] for n in range(3)]
    assert len({row.tobytes() for row in rows}) == 3  # all different
    assert all((row < 255).any() for row in rows)
    heads = [pixels[:LABEL, LABEL + n * STEP : LABEL + n * STEP + CELL] for n in range(4)]
    assert len({head.tobytes() for head in heads}) == 4


def test_a_grid_of_a_thousand_heads_is_small_and_the_same_every_time():
    model = SimpleNamespace(num_layers=40, num_heads=32)
    values = np.random.default_rng(0).random((40, 32))
    colours = HeadColours("x", values, 0.0, 1.0)
    png = grid_png(model, (), colours)
    assert png == grid_png(model, (), colours)
    assert len(png) < 16 * 1280  # bytes a head, where all colours differ
    assert pixels_of(png).shape[0] == LABEL + 40 * STEP
