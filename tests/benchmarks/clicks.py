"""What a reader waits for: from a click on a head to the recoloured text, in a real JupyterLab."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import documents
from benchmarks.figures import ratios, spread, table
from benchmarks.progress import Progress
from benchmarks.settings import HEADS, Settings

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the browser that the tests drive

NAME = "clicks"
TITLE = "From a click to recoloured tokens, in JupyterLab"
LAYERS, ROUNDS, TOKENS = [15, 17, 20, 25, 29], 5, 128

NOTEBOOK = """
import time
import torch
import workbench as wb
from widgets import Explorer
from workbench.masking.reference import plain_losses
torch.set_num_threads({threads})
model = wb.load_model()
explorer = Explorer(model, text={text!r}, heads={heads!r})
ids = list(explorer.session.ids())
def plain():
    begin = time.perf_counter()
    plain_losses(model, ids, explorer.session.heads)
    return 1000 * (time.perf_counter() - begin)
explorer
"""
CLICK = """
async (index) => {
  const cell = document.querySelector(`.aiw-cell[data-index="${index}"]`);
  const at = cell.getBoundingClientRect();
  const where = { bubbles: true, button: 0, clientX: at.x + 4, clientY: at.y + 4 };
  const was = cell.classList.contains("aiw-masked");
  const begin = performance.now();
  const told = new Promise((done) => new MutationObserver((_, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => done(performance.now() - begin));
  }).observe(document.querySelector(".aiw-tokens"), { subtree: true, attributeFilter: ["style"] }));
  cell.dispatchEvent(new PointerEvent("pointerdown", where));
  if (cell.classList.contains("aiw-masked") === was) throw new Error("the cell did not change");
  window.dispatchEvent(new PointerEvent("pointerup", where));
  const shown = new Promise((done) => requestAnimationFrame(() =>
    requestAnimationFrame(() => done(performance.now() - begin))));
  return [await shown, await told];
}
"""


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    from browser.conftest import BROWSERS, MISSING, QUIET
    from browser.lab import Lab
    from playwright.sync_api import sync_playwright
    from transformers import AutoTokenizer

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        save({"absent": MISSING})
        return
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    text = tokenizer.decode(documents.long_document(tokenizer, TOKENS))
    heads = " ".join(f"L{a}H{b}" for a, b in HEADS)
    rounds = 2 if settings.quick else ROUNDS
    data: dict[str, Any] = {"layers": {str(layer): {"cell": [], "tokens": [], "plain": []}
                                       for layer in LAYERS}}  # fmt: skip
    progress = Progress(NAME, rounds)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        browser = playwright.chromium.launch(executable_path=browser_path, args=QUIET)
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 1300})
            cells = NOTEBOOK.format(text=text, heads=heads, threads=settings.threads)
            lab.notebook("clicks.ipynb", cells)
            lab.show(page, "clicks.ipynb")
            data["tokens"] = int(lab.ask("len(ids)"))
            data["heads"] = json.loads(lab.ask("len(explorer.session.heads)"))
            for number in range(-1, rounds):  # the first round warms up
                for layer in LAYERS:
                    # A head that no round had before: results that are kept would come at once.
                    free = [h for h in range(9) if (layer, h) not in HEADS]
                    index = layer * 9 + free[number % len(free)]
                    plain = float(lab.ask("plain()"))
                    cell, tokens = page.evaluate(CLICK, index)
                    times = {"cell": cell, "tokens": tokens, "plain": plain}
                    lab.ask("explorer.session.undo(), explorer.wait(60)")
                    page.wait_for_timeout(1500)  # the picture in the notebook follows later
                    if number >= 0:
                        for key, value in times.items():
                            data["layers"][str(layer)][key].append(value)
                progress.step(f"round {number}", 1)
                save(data)
        finally:
            browser.close()
            lab.close()


def render(data: dict[str, Any]) -> str:
    if "absent" in data:
        return f"Not measured: {data['absent']}."
    rows = [
        [layer, spread(row["cell"]), spread(row["tokens"]), spread(row["plain"]),
         spread(ratios(row["tokens"], row["plain"]))]
        for layer, row in data["layers"].items()
    ]  # fmt: skip
    head = [
        "layer", "cell changed, ms", "tokens recoloured, ms", "one plain pass, ms",
        "tokens over plain pass",
    ]  # fmt: skip
    return "\n\n".join(
        [
            f"One head clicked in the grid with {data['heads']} others masked, a text of "
            f"{data['tokens']} tokens, headless Chromium and kernel on the same machine. Until the "
            "cell is on the screen (two frames, no word to Python), and until the tokens have "
            "their new colours (message to the kernel, losses from the stored stream, message "
            "back, painted); beside it the time of one plain masked pass over the same text in "
            "the same kernel, just before the click.",
            table(head, rows),
        ]
    )
