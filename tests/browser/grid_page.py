"""A head grid on a page, and what the tests ask of it."""

from __future__ import annotations

import struct

from browser.mounting import mount, saved

LEGEND = {"name": "score", "low": 0.0, "high": 1.0, "digits": 2, "diverging": False}


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def mask_of(total, masked):
    return bytes(i in masked for i in range(total))


def show(
    page, layers=6, heads=4, masked=(), values=None, legend=None, theme="light", reference=(),
    headless=(),
):  # fmt: skip
    """Mount a grid; cell i is head i % heads of layer i // heads."""
    total = layers * heads
    traits = {
        "layers": layers,
        "heads": heads,
        "headless": list(headless),
        "mask": mask_of(total, set(masked)),
        "reference": mask_of(total, set(reference)),
        "chosen": -1,
        "pointed": -1,
        "values": floats(values or [i / total for i in range(total)]),
        "legend": legend or LEGEND,
    }
    mount(page, "head_grid", traits, theme=theme)


def cell(page, i):
    return page.locator(f'.aiw-cell[data-index="{i}"]')


def drawn(page):
    """The cells that look masked; those that say so must be the same ones."""
    ask = "(cells) => cells.map((one) => Number(one.dataset.index)).sort((a, b) => a - b)"
    looks = page.locator(".aiw-cell.aiw-masked").evaluate_all(ask)
    says = page.locator('.aiw-cell[aria-selected="true"]').evaluate_all(ask)
    assert looks == says
    return looks


def masked(page):
    """The heads of the mask that was saved last, which must be what is drawn."""
    heads = [i for i, on in enumerate(saved(page, "mask")[-1]) if on]
    assert heads == drawn(page)
    return heads


def centre(page, i):
    box = cell(page, i).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, *cells, steps=1):
    page.mouse.move(*centre(page, cells[0]))
    page.mouse.down()
    for i in cells[1:]:
        page.mouse.move(*centre(page, i), steps=steps)
    page.mouse.up()


def focused(page):
    return page.evaluate("() => Number(document.activeElement.dataset.index)")
