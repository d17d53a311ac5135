"""Sliders of ipywidgets have names and tooltips, whenever the page comes to show them."""

from __future__ import annotations

from browser.mounting import accessible, mount, without_tooltip

# What ipywidgets makes of a slider, with a description or without one.
MAKE = """
(made) => {
  const explorer = document.querySelector(".aiw-explorer");
  for (const [description, tooltip] of made) {
    const slider = document.createElement("div");
    slider.className = "widget-slider";
    slider.innerHTML = `<label class="widget-label"></label>
      <div class="noUi-handle" role="slider" tabindex="0" aria-valuenow="0.2">|</div>
      <div class="widget-readout" contenteditable>0.2</div>`;
    const label = slider.firstChild;
    label.textContent = description;
    label.style.display = description ? "" : "none";
    label.title = tooltip;
    explorer.append(slider);
  }
}
"""
PLACE = """
async () => {
  const widget = document.querySelector("#widget");
  widget.remove(); // Jupyter renders a view first, and puts it on the page afterwards
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const explorer = document.createElement("div");
  explorer.className = "aiw-explorer";
  document.body.append(explorer);
  explorer.append(widget);
}
"""
FIRST = ["", "The top share of each domain"]
SECOND = ["<b>web</b>", "share of the training tokens"]


def test_handle_and_number_of_a_slider_have_name_and_tooltip(page):
    mount(page, "slider_names", {}, css=False)
    page.evaluate(PLACE)
    page.evaluate(MAKE, [FIRST])
    page.locator("[role=slider][title]").wait_for()
    page.evaluate(MAKE, [SECOND])  # made later, such as a panel that had nothing to show
    page.locator("[role=slider][title]").nth(1).wait_for()
    named = accessible(page, ".aiw-explorer")
    for name in (FIRST[1], SECOND[0]):
        assert ("slider", name) in named
        assert ("textbox", name) in named
    assert without_tooltip(page, ".aiw-explorer") == []
    titles = page.locator("[role=slider]").evaluate_all("(all) => all.map((one) => one.title)")
    assert titles == [FIRST[1], SECOND[1]]


def test_without_the_names_a_slider_has_none(page):
    """What the checks themselves see: they are asked of the real explorer in `test_layout`."""
    page.set_content('<div class="aiw-explorer"></div>')
    page.evaluate(MAKE, [FIRST])
    assert ("slider", "") in accessible(page, ".aiw-explorer")
    assert len(without_tooltip(page, ".aiw-explorer")) == 1
