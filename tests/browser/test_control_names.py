"""Controls of ipywidgets have names and tooltips, whenever the page comes to show them."""

from __future__ import annotations

from browser.mounting import accessible, mount, without_tooltip

# What ipywidgets makes of controls: the tooltip of sliders and numbers on the label, that of a text
# or a list on itself, where there is no description; a label of a widget Label is none of theirs.
MAKE = """
(made) => {
  const explorer = document.querySelector(".aiw-explorer");
  const PARTS = {
    slider: `<div class="noUi-handle" role="slider" tabindex="0" aria-valuenow="0.2">|</div>
      <div class="widget-readout" contenteditable>0.2</div>`,
    number: `<input id="number" type="number">`,
    text: `<input id="text" type="text">`,
    list: `<select id="list"><option>one</option></select>`,
  };
  for (const [kind, description, tooltip] of made) {
    const widget = document.createElement("div");
    widget.className = `widget-${kind}`;
    widget.innerHTML = `<label class="widget-label" for="${kind}"></label>${PARTS[kind]}`;
    const label = widget.firstChild;
    label.textContent = description;
    label.style.display = description ? "" : "none";
    const own = kind === "text" || kind === "list";
    (own ? widget.querySelector(`#${kind}`) : label).title = tooltip;
    explorer.append(widget);
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
FIRST = [
    ["slider", "", "The top share of each domain"],
    ["number", "", "How many heads"],
    ["text", "", "The masked heads"],
    ["list", "", "What masked heads put out"],
]
SECOND = ["slider", "<b>web</b>", "share of the training tokens"]


def test_every_control_has_name_and_tooltip(page):
    mount(page, "control_names", {}, css=False)
    page.evaluate(PLACE)
    page.evaluate(MAKE, FIRST)
    page.locator("[role=slider][title]").wait_for()
    page.evaluate(MAKE, [SECOND])  # made later, such as a panel that had nothing to show
    page.locator("[role=slider][title]").nth(1).wait_for()
    assert {*accessible(page, ".aiw-explorer")} == {
        ("slider", "The top share of each domain"), ("textbox", "The top share of each domain"),
        ("spinbutton", "How many heads"), ("textbox", "The masked heads"),
        ("combobox", "What masked heads put out"), ("slider", "<b>web</b>"),
        ("textbox", "<b>web</b>"), ("option", "one"),
    }  # fmt: skip
    assert without_tooltip(page, ".aiw-explorer") == []
    titles = page.locator("[role=slider]").evaluate_all("(all) => all.map((one) => one.title)")
    assert titles == [FIRST[0][2], SECOND[2]]


def test_without_it_they_have_none(page):
    """What the checks themselves see: they are asked of the real explorers in JupyterLab."""
    page.set_content('<div class="aiw-explorer"></div>')
    page.evaluate(MAKE, FIRST)
    assert {*accessible(page, ".aiw-explorer")} == {
        ("slider", ""), ("spinbutton", ""), ("textbox", ""), ("combobox", ""), ("option", "one"),
        ("generic", ""),
    }  # fmt: skip
    assert len(without_tooltip(page, ".aiw-explorer")) == 2
