// Tells Python when a view of the box that it stands in is made or goes, and the theme of the page; keeps a
// figure in that box as wide as the box.
//
// It has no height and shows nothing. plotly fits a figure to its room only when the window changes: a
// figure that was drawn while its tab was hidden, or before its room had a size, stays too wide.

const PAUSE = 50; // ms without a change, after which the figure is drawn

// Python is told when the module of the figure is there, and whether that was too late.
function initialize({ model }) {
  const look = async () => {
    const figure = model.get("figure");
    if (!figure) return;
    const late = await wasLate(model.widget_manager, figure);
    model.send({ action: "loaded", figure, late });
  };
  model.on("change:figure", look);
  look();
}

function render({ model, el }) {
  model.send({ action: "shown" });
  let box = null;
  let timer = 0;

  function fit() {
    const figure = box.querySelector(".main-svg");
    if (!figure || !box.clientWidth) return;
    if (Math.abs(figure.clientWidth - box.clientWidth) > 2) window.dispatchEvent(new Event("resize"));
  }

  const drawn = new MutationObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(fit, PAUSE);
  });
  const sized = new ResizeObserver(() => {
    if (!box && el.closest(".widget-box")) {
      box = el.closest(".widget-box");
      drawn.observe(box, { childList: true, subtree: true });
    }
    if (box) fit();
  });
  sized.observe(el);

  const themes = watchTheme(model);

  return () => {
    clearTimeout(timer);
    themes.disconnect();
    drawn.disconnect();
    sized.disconnect();
    model.send({ action: "gone" });
  };
}

export default viewOf({ initialize, render });
