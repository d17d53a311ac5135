"""Record the moving picture of the README: heads are toggled in the Explorer of notebook 5.

`python -m browser.record`, run in `tests/`, writes `notebooks/images/explorer.webp`. It drives a
real JupyterLab with the default model, and needs a Chromium and Pillow (in the dev extra). With
`--frames FOLDER` it also writes each frame as a PNG, so that they can be looked at.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import tempfile
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from support.paths import ROOT

from browser.conftest import QUIET, find_browser
from browser.lab import PATIENCE, Lab, button, cell

NOTEBOOK = ROOT / "notebooks" / "05_explore.ipynb"
PICTURE = ROOT / "notebooks" / "images" / "explorer.webp"
MOST_BYTES = 3_000_000
LONG, SHORT = 1_800, 700  # ms that a frame stands: a result to read, a step on the way
WIDTH = 960  # pixels of the picture
TOP, UNMASKED = 14, 4  # heads in the top 5 %, and how many of them are unmasked again


class Film:
    """Frames of the Explorer, each with the time that it stands."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[tuple[Image.Image, int]] = []

    def shoot(self, milliseconds: int) -> None:
        """Take a frame of what is on the page now."""
        explorer = self.page.locator(".aiw-explorer").bounding_box()
        assert explorer is not None
        content = self.page.screenshot(clip=explorer, animations="disabled")
        image = Image.open(io.BytesIO(content)).convert("RGB")
        size = WIDTH, round(image.height * WIDTH / image.width)
        self.frames.append((image.resize(size, Image.Resampling.LANCZOS), milliseconds))

    def save(self, path: Path) -> None:
        """Write an endless animation; ValueError if it is larger than the README may show."""
        first, *others = [self._padded(image) for image, _ in self.frames]
        path.parent.mkdir(parents=True, exist_ok=True)
        first.save(
            path, save_all=True, append_images=others, loop=0, quality=80, method=6,
            duration=[milliseconds for _, milliseconds in self.frames],
        )  # fmt: skip
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path} has {path.stat().st_size:,} bytes, at most {MOST_BYTES:,}")

    def _padded(self, image: Image.Image) -> Image.Image:
        """White below, so that all frames are of one height."""
        page = Image.new("RGB", (WIDTH, max(frame.height for frame, _ in self.frames)), "white")
        page.paste(image)
        return page


def until_explorer(notebook: Path, target: Path) -> None:
    """Copy the notebook up to the cell that shows the Explorer, without stored outputs."""
    stored = nbformat.read(notebook, as_version=4)
    last = next(
        number
        for number, part in enumerate(stored.cells)
        if part.cell_type == "code" and re.search(r"^explorer$", part.source, re.M)
    )
    stored.cells = stored.cells[: last + 1]
    for part in stored.cells:
        if part.cell_type == "code":
            part.outputs, part.execution_count = [], None
    nbformat.write(stored, target)


def record(page: Page, lab: Lab) -> Film:
    """Mask the top 5 %, unmask the strongest heads one by one, mask all again, ask for a token."""
    lab.show(page, NOTEBOOK.name)
    page.locator(".aiw-explorer").evaluate("(one) => one.scrollIntoView({block: 'start'})")
    film = Film(page)
    button(page, "Clear").click()
    _settled(page, lab, 0)
    film.shoot(LONG)
    top = "Mask top"
    button(page, top).click()
    _settled(page, lab, TOP)
    film.shoot(LONG)
    scores = "explorer.session.scores"
    strongest = lab.ask(f"wb.HeadSet.top({scores}, {UNMASKED} / len({scores}))")
    for done, name in enumerate(strongest.split(), 1):
        layer, head = map(int, re.findall(r"\d+", name))
        cell(page, layer, head).hover()
        film.shoot(SHORT)
        cell(page, layer, head).click()
        _settled(page, lab, TOP - done)
        film.shoot(LONG)
    button(page, top).click()
    _settled(page, lab, TOP)
    film.shoot(LONG)
    worst = lab.ask("explorer.session.changes().table().change.idxmax()")
    page.locator(f'.aiw-token[data-index="{worst}"]').hover()
    page.wait_for_selector(".aiw-predictions")
    film.shoot(2 * LONG)
    return film


def _settled(page: Page, lab: Lab, masked: int) -> None:
    """Wait until so many heads are masked on the page and the tokens have their new colours."""
    page.wait_for_function(
        f"() => document.querySelectorAll('.aiw-masked').length === {masked}", timeout=PATIENCE
    )
    lab.settle()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 300)))")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURE, help="the picture (.webp or .gif)")
    parser.add_argument("--frames", type=Path, help="a folder for the single frames, as PNG")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    lab = Lab(folder / "lab")
    try:
        until_explorer(NOTEBOOK, lab.folder / NOTEBOOK.name)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=QUIET)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(PATIENCE)
            film = record(page, lab)
            browser.close()
    finally:
        lab.close()
        shutil.rmtree(folder, ignore_errors=True)
    film.save(options.out)
    if options.frames:
        options.frames.mkdir(parents=True, exist_ok=True)
        for number, (image, _) in enumerate(film.frames):
            image.save(options.frames / f"{number:02}.png")
    print(f"{options.out}: {len(film.frames)} frames, {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
