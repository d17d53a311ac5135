// Names what is moved and typed in the sliders of the explorer that it stands in.
//
// It has no height and shows nothing. ipywidgets writes the tooltip of a slider on its label alone, which
// is hidden where it is empty: the handle and the number beside it have neither a name nor a tooltip.

function nameSliders(explorer) {
  for (const slider of explorer.querySelectorAll(".widget-slider")) {
    const label = slider.querySelector(".widget-label");
    for (const part of slider.querySelectorAll(".noUi-handle, .widget-readout")) {
      part.title = label.title;
      part.setAttribute("aria-label", label.textContent || label.title);
    }
    slider.querySelector(".widget-readout")?.setAttribute("role", "textbox"); // it can be typed into
  }
}

function render({ el }) {
  let explorer = null;
  const made = new MutationObserver(() => nameSliders(explorer)); // views come one after the other
  const placed = new ResizeObserver(() => {
    if (explorer || !el.closest(".aiw-explorer")) return; // not on the page yet
    explorer = el.closest(".aiw-explorer");
    made.observe(explorer, { childList: true, subtree: true });
    nameSliders(explorer);
  });
  placed.observe(el);

  return () => {
    made.disconnect();
    placed.disconnect();
  };
}

export default { render };
