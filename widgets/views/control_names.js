// Gives the controls of ipywidgets, in the explorer that it stands in, their tooltips and their names.
//
// It has no height and shows nothing. ipywidgets writes the tooltip of sliders and of fields for numbers on
// their label alone, which is hidden where it is empty; and an empty label takes the name from any field.

const PARTS = "input, select, textarea, .noUi-handle, .widget-readout";

function nameControls(explorer) {
  for (const label of explorer.querySelectorAll("label.widget-label")) {
    for (const part of label.parentElement.querySelectorAll(PARTS)) {
      part.title ||= label.title;
      part.setAttribute("aria-label", label.textContent || part.title);
      if (part.matches(".widget-readout")) part.setAttribute("role", "textbox"); // it can be typed into
    }
  }
}

const CONCERNED = `label.widget-label, ${PARTS}`;

function concernsControls({ target, addedNodes }) {
  if (target.matches("label.widget-label")) return true; // a text of its own has changed
  return [...addedNodes].some((node) => node.matches?.(CONCERNED) || node.querySelector?.(CONCERNED));
}

function render({ el }) {
  let explorer = null;
  // Views come one after the other; a token that is coloured anew, or a row, is none.
  const made = new MutationObserver((changes) => {
    if (changes.some(concernsControls)) nameControls(explorer);
  });
  const placed = new ResizeObserver(() => {
    if (explorer || !el.closest(".aiw-explorer")) return; // not on the page yet
    explorer = el.closest(".aiw-explorer");
    made.observe(explorer, { childList: true, subtree: true });
    nameControls(explorer);
  });
  placed.observe(el);

  return () => {
    made.disconnect();
    placed.disconnect();
  };
}

export default viewOf({ render });
