// Tells Python when a view of what it stands in is made or goes, and the page when that changes size.
//
// It has no height and shows nothing.

function render({ model, el }) {
  model.send({ action: "shown" });
  let width = 0;
  // plotly fits a figure to its room only when the window changes; a tab that comes to the front is
  // no change of the window.
  const sized = new ResizeObserver(() => {
    if (el.clientWidth && el.clientWidth !== width) window.dispatchEvent(new Event("resize"));
    width = el.clientWidth;
  });
  sized.observe(el);
  return () => {
    sized.disconnect();
    model.send({ action: "gone" });
  };
}

export default { render };
