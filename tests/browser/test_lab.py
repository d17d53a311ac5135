"""The explorer in a real JupyterLab with the real default model: what a user does, in order."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import workbench as wb
from browser.lab import DARK, LIGHT, PATIENCE, Lab, button, cell, fill, menu, tab
from browser.mounting import contrast, style
from workbench.cli.main import app

FOURTEEN = "L17H3 L17H4 L17H5 L18H6 L18H7 L20H5 L20H6 L21H8 L22H7 L23H1 L23H2 L23H7 L23H8 L24H2"
OPEN = """
import workbench as wb
from widgets import Explorer
model = wb.load_model()
"""
SCORED = """
scores = wb.retrieval_scores(model, wb.make_probes(model, n=3, max_tokens=560))
explorer = Explorer(model, scores=scores)
explorer
"""
MANY_PROBES = """
from workbench.session import head_values
few = head_values.make_probes
# So many that no machine is through with them when the kernel is interrupted.
head_values.make_probes = lambda model, n, **given: few(model, n=20 * n, **given)
"""
HEATS = (
    "() => [...document.querySelectorAll('.aiw-token')]"
    ".map((one) => one.style.getPropertyValue('--aiw-heat'))"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


@pytest.fixture
def wide(page):
    page.set_viewport_size({"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    return page


def test_toggle_heads_by_mouse_and_keyboard_and_ask_a_token(lab, wide):
    lab.notebook("toggle.ipynb", OPEN, SCORED)
    lab.show(wide, "toggle.ipynb")
    assert wide.locator(".aiw-cell").count() == 270
    assert lab.ask("len(explorer.session.heads)") == "0"

    button(wide, "Mask top").click()
    wide.wait_for_function("() => document.querySelectorAll('.aiw-masked').length === 14")
    lab.settle()
    chosen = lab.ask("explorer.session.heads").split()
    assert lab.ask("explorer.session.heads == wb.HeadSet.top(scores, 0.05)") == "True"
    wide.wait_for_function("() => document.querySelector('.aiw-summary').textContent.includes('%')")
    before = wide.evaluate(HEATS)
    assert any(not label.endswith("0.000)") for label in before)

    # By mouse: the cell changes in the click itself, the tokens once Python has computed them.
    toggled = next(h for h in ["L20H1", "L20H2", "L21H3"] if h not in chosen)
    layer, head = map(int, re.findall(r"\d+", toggled))
    struck = wide.evaluate(
        """(i) => { const one = document.querySelector(`.aiw-cell[data-index="${i}"]`);
            const at = one.getBoundingClientRect();
            const where = {bubbles: true, button: 0, clientX: at.x + 3, clientY: at.y + 3};
            one.dispatchEvent(new PointerEvent('pointerdown', where));
            return one.classList.contains('aiw-masked'); }""",
        layer * 9 + head,
    )
    assert struck
    wide.mouse.up()
    lab.until("len(explorer.session.heads)", "15")
    assert toggled in lab.ask("explorer.session.heads")
    wide.wait_for_function(f"(before) => JSON.stringify(({HEATS})()) !== before", arg=_json(before))
    lab.settle()
    mouse = wide.evaluate(HEATS)

    # By keyboard: below it, with the arrow key, Space.
    wide.keyboard.press("ArrowDown")
    wide.keyboard.press("Space")
    other = f"L{layer + 1}H{head}"
    lab.until(f"({layer + 1}, {head}) in explorer.session.heads", str(other not in chosen))
    wide.wait_for_function(f"(before) => JSON.stringify(({HEATS})()) !== before", arg=_json(mouse))
    lab.settle()

    # The tokens have the losses of Python, and Python those of a plain masked pass.
    plain = (
        "abs(wb.token_losses(model, [explorer.session.text], [explorer.session.heads])[0][0]"
        " - explorer.session.changes().after[1:]).max() < 1e-4"
    )
    assert lab.ask(plain) == "True"
    change = float(lab.ask("explorer.session.changes().change[25]"))
    aria_label = wide.locator('.aiw-token[data-index="25"]').get_attribute("aria-label")
    assert aria_label.endswith(f"{change:+.2f}".replace("-", "\u2212"))

    # Undo in the grid takes both back.
    cell(wide, layer, head).focus()
    wide.keyboard.press("Control+z")
    wide.keyboard.press("Control+z")
    lab.until("explorer.session.heads", " ".join(chosen))
    wide.wait_for_function("() => document.querySelectorAll('.aiw-masked').length === 14")
    wide.keyboard.press("Control+Shift+z")
    lab.until("len(explorer.session.heads)", "15")
    wide.keyboard.press("Control+z")
    lab.settle()
    wide.wait_for_function(f"(before) => JSON.stringify(({HEATS})()) === before", arg=_json(before))

    # What is predicted in the place of a token, when it is pointed at.
    wide.locator('.aiw-token[data-index="25"]').hover()
    wide.wait_for_selector(".aiw-predictions")
    first = lab.ask("explorer.session.predictions(25)[0][0].text").strip()
    assert wide.locator(".aiw-prediction").first.text_content().strip() == first
    assert wide.locator(".aiw-predictions tr").count() == 6

    # Which heads does this token need?
    wide.locator('.aiw-token[data-index="25"]').click()
    lab.until("explorer.session.palette.token", "25")
    lab.settle()
    need = lab.ask("explorer.session.needs(25).effect.argmax()")
    value = float(lab.ask("explorer.session.needs(25).effect.max()"))
    digits = int(lab.ask("explorer.heads.grid.legend['digits']"))
    label = f'.aiw-cell[data-index="{need}"][aria-label*="token 25 {value:.{digits}f},"]'
    wide.wait_for_selector(label)  # the page hears of it after Python has it
    assert wide.locator(".aiw-asked").get_attribute("data-index") == "25"
    assert wide.locator(".aiw-unknown.aiw-cell").count() == 0

    # A wrong head is an error in words, and nothing is lost.
    names = wide.locator(".aiw-explorer input[placeholder='L17H3 L18H6']")
    names.fill("L99H0")
    names.press("Enter")
    problem = wide.locator(".aiw-status [role=alert] summary")
    problem.wait_for()
    assert "layers go from 0 to 29" in problem.text_content()
    assert lab.ask("explorer.session.heads") == " ".join(chosen)

    # The page is loaded anew while the kernel goes on: all is as it was, and works.
    cell(wide, layer, head).focus()
    wide.keyboard.press("Control+s")
    wait_for_save(wide, lab.folder / "toggle.ipynb", "aiw-snapshot")
    wide.reload()
    wide.wait_for_selector(".aiw-token", timeout=PATIENCE)
    wide.wait_for_function("() => document.querySelectorAll('.aiw-masked').length === 14")
    cell(wide, 0, 0).click()
    lab.until("len(explorer.session.heads)", "15")


def _json(values):
    return json.dumps(values, separators=(",", ":"))


@pytest.mark.slow
def test_cancel_a_long_scoring_finish_it_and_export_a_manifest(lab, wide):
    documents = 40
    rows = [
        {"id": document.doc_id, "text": document.text, "domain": document.domain}
        for document in wb.environment_corpus(max_documents=documents, domains=["code", "math"])
    ]
    assert len(rows) == documents
    # So many that no machine is through with them when the button to cancel is pressed.
    endless = [{**row, "id": f"{row['id']} {number}"} for number in range(500) for row in rows]
    for name, lines in (("corpus", rows), ("endless", endless)):
        (lab.folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    lab.notebook("score.ipynb", OPEN, f'explorer = Explorer(model, heads="{FOURTEEN}")\nexplorer')
    lab.show(wide, "score.ipynb")
    plain = "[float(x[0].sum()) for x in wb.token_losses(model, ['One two one two one two'])]"
    stock = lab.ask(plain)

    tab(wide, "Documents")
    fill(wide, "Corpus", "endless.jsonl")
    fill(wide, "Run folder", "endless")
    fill(wide, "Most tokens of each document", "160")
    button(wide, "Score").click()
    line = wide.locator(".aiw-status")
    progress = line.locator(".aiw-status-progress", has_text="scoring: ")
    progress.get_by_text("left").wait_for()  # with the time left
    assert lab.ask("explorer.queues.long.busy") == "True"
    # A click meanwhile is answered before the scoring goes on.
    cell(wide, 29, 0).click()
    lab.until("len(explorer.session.heads)", "15")
    lab.until("explorer.queues.losses.wait(300), explorer.queues.long.busy", "(True, True)")
    cell(wide, 29, 0).click()
    line.get_by_role("button", name="Cancel").click()
    progress.wait_for(state="hidden")  # the kernel has heard of it
    lab.until("explorer.queues.long.wait(300)", "True")
    assert lab.ask("explorer.session.corpus") == "None"
    assert lab.ask(plain) == stock  # unmasked, to the last bit
    lab.settle()

    fill(wide, "Corpus", "corpus.jsonl")
    fill(wide, "Run folder", "run")
    button(wide, "Score").click()
    wide.locator(".aiw-doc-row:visible").first.wait_for(timeout=PATIENCE)
    lab.settle()
    assert lab.ask("len(explorer.session.corpus)") == str(documents)

    # The documents of note, one click away.
    button(wide, "Highest").click()
    corpus = "explorer.session.corpus"
    highest = lab.ask(f"{corpus}.rows({corpus}.extremes('highest'))[0]['doc_id']")
    lab.until("explorer.session.document", highest)
    lab.settle()
    wide.locator(".aiw-tokens:visible").wait_for()  # its tab comes to the front
    assert highest in wide.locator(".aiw-explorer", has_text=highest).first.text_content()

    # The cut moves with the slider; the counts of documents and tokens with it.
    tab(wide, "Selection")
    wide.wait_for_selector(".aiw-counts")
    assert wide.locator(".aiw-counts tr").count() == 3
    slider = wide.get_by_role("slider", name="The top share of each domain")
    slider.focus()
    slider.press("ArrowRight")
    lab.until("round(explorer.session.corpus.selection.fraction, 2)", "0.21")
    lab.settle()
    stated = lab.ask("explorer.session.corpus.selection.domains.documents_selected.tolist()")
    wide.wait_for_function(  # the page comes after the kernel
        """(stated) => {
          const cells = [...document.querySelectorAll(".aiw-counts tr td:nth-child(2)")];
          const counts = cells.map((one) => Number(one.textContent.split(" of ")[0]));
          return JSON.stringify(counts) === JSON.stringify(stated);
        }""",
        arg=json.loads(stated),
    )
    wide.wait_for_selector(".aiw-explorer .js-plotly-plot .barlayer")

    button(wide, "Export the manifest").click()
    wide.locator(
        ".aiw-explorer", has_text="top 21% of the documents by score written: run/manifest.json"
    ).first.wait_for()
    made = CliRunner().invoke(app, ["verify", str(lab.folder / "run")])
    assert made.exit_code == 0, made.output


@pytest.mark.slow
def test_a_reopened_notebook_shows_a_picture_until_it_is_run_again(lab, wide):
    lab.notebook("again.ipynb", OPEN, f'explorer = Explorer(model, heads="{FOURTEEN}")\nexplorer')
    lab.show(wide, "again.ipynb")
    assert not wide.locator(".aiw-snapshot").is_visible()
    assert not wide.locator('.jp-OutputArea-output[data-mime-type="image/png"]').is_visible()
    button(wide, "Invert").click()  # the picture follows what is done in the browser
    lab.until("len(explorer.session.heads)", "256")
    lab.settle()
    wide.get_by_title("Undo", exact=False).click()
    # A click changes the mask that the page shows: it has to show that the last one was undone.
    wide.wait_for_function("() => document.querySelectorAll('.aiw-masked').length === 14")
    cell(wide, 0, 0).click()
    lab.settle()
    wide.locator(".aiw-snapshot", has_text="15 of 270").wait_for(state="attached")
    wide.keyboard.press("Control+s")  # with the focus in the grid
    wait_for_save(wide, lab.folder / "again.ipynb", "15 of 270")

    stored = lab.saved("again.ipynb")
    assert "<Explorer of" not in json.dumps(stored)  # the picture says it
    assert "widgets" not in stored["metadata"]  # no state of widgets
    size = (lab.folder / "again.ipynb").stat().st_size
    assert size < 300_000, f"{size} bytes"

    menu(wide, "Kernel", "Restart Kernel…")
    wide.get_by_role("button", name="Confirm Kernel Restart").click()
    wide.wait_for_timeout(1000)
    lab.open(wide, "again.ipynb")
    wide.wait_for_selector(".aiw-snapshot", timeout=PATIENCE)
    picture = wide.locator(".aiw-snapshot")
    assert picture.is_visible()
    png = wide.locator('.jp-OutputArea-output[data-mime-type="image/png"]')
    assert png.count() == 1  # for sites that show no colours of HTML
    assert not png.is_visible()
    assert picture.locator("td").count() == 270
    assert picture.locator("td", has_text="\u00d7").count() == 15
    words = "".join(picture.locator(".aiw-snapshot-text span").all_text_contents())
    numbers = picture.locator("tr th:first-child").all_text_contents()
    assert numbers == ["", *map(str, range(30))]  # of the layers
    assert words.startswith("Bring seven candles")
    assert words.endswith("blue umbrella.")
    assert not wide.get_by_text("Error displaying widget").is_visible()

    lab.run_all(wide)
    wide.wait_for_selector(".aiw-token", timeout=PATIENCE)
    lab.settle()
    assert not wide.locator(".aiw-snapshot").is_visible()
    assert lab.ask("len(explorer.session.heads)") == "14"


@pytest.mark.slow
def test_interrupt_between_cells_stops_the_work_and_leaves_all_usable(lab, wide):
    lab.notebook("interrupt.ipynb", OPEN, MANY_PROBES, "explorer = Explorer(model)\nexplorer")
    lab.show(wide, "interrupt.ipynb")
    button(wide, "Find the heads").click()
    wide.locator(".aiw-status-progress", has_text="probe").wait_for()
    # Asked before the signal is there, the question itself would be interrupted.
    with wide.expect_response(re.compile("/interrupt"), timeout=PATIENCE):
        menu(wide, "Kernel", "Interrupt Kernel")
    lab.until("explorer.queues.long.wait(300), explorer.session.scores", "(True, None)")
    cell(wide, 18, 6).click()
    lab.until("str(explorer.session.heads)", "L18H6")
    lab.settle()
    base = lab.ask("'%.2f' % explorer.session.changes().means[0]")
    assert f": {base} → " in lab.ask("explorer.text.tokens.summary")


@pytest.mark.slow
@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_both_themes_are_readable(tmp_path, wide, theme):
    dark = Lab(tmp_path, theme)
    try:
        dark.notebook(
            "theme.ipynb", OPEN,
            f'explorer = Explorer(model, heads="{FOURTEEN}")\nexplorer',
        )  # fmt: skip
        dark.show(wide, "theme.ipynb")
        dark.until("explorer.text.tokens.theme", "dark" if theme == DARK else "light")
        for inside in (".aiw-summary", ".aiw-label", ".aiw-legend", ".aiw-token-legend"):
            ink = style(wide, inside, "color")
            paper = style(wide, ".jp-Notebook", "backgroundColor")
            assert contrast(wide, ink, paper) > 4.5, inside
        for token in wide.locator(".aiw-token").all():
            index = token.get_attribute("data-index")
            this = f'.aiw-token[data-index="{index}"]'
            ratio = contrast(wide, style(wide, this, "color"), style(wide, this, "backgroundColor"))
            assert ratio > 3, index
        wide.locator('.aiw-token[data-index="25"]').hover()
        wide.wait_for_selector(".aiw-predictions")
        wide.locator(".aiw-explorer").screenshot(path=tmp_path / "explorer.png")
        assert (tmp_path / "explorer.png").stat().st_size > 50_000
        keep = os.environ.get("SCREENSHOTS")
        if keep:
            Path(keep).mkdir(parents=True, exist_ok=True)
            (tmp_path / "explorer.png").rename(Path(keep) / f"{theme.split()[-1].lower()}.png")
    finally:
        dark.close()


def wait_for_save(page, path, text):
    end = time.monotonic() + PATIENCE / 1000
    while text not in path.read_text():
        assert time.monotonic() < end, f"{text!r} was not saved"
        page.wait_for_timeout(200)  # lets the page's requests through, which a sleep would not
