// Points of two values on a canvas, chosen by dragging a box or, with the button, a lasso.
//
// Only the points are on the canvas, in colours that can be told apart on light and dark alike; axes
// and words are elements, which follow the theme of the page by themselves.

const HEIGHT = 200; // px
const LEFT = 46; // px of the labels of the vertical axis
const BOTTOM = 32; // px of those of the horizontal axis
const EDGE = 6; // px between the outermost points and the frame
const NEAR = 8; // px from a point that a click still means
// As the figures of notebooks have the domains (workbench/figures/theme.py).
const COLOURS = ["#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#0072b2", "#d55e00", "#999999"];
// The same as pixels: opacity, blue, green, red from the highest byte down.
const PIXELS = COLOURS.map((colour) => {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
});
const FAINT = 0x408c8c8c;

function render({ model, el }) {
  el.classList.add("aiw-scatter");
  const words = element("div", "aiw-scatter-words", "status");
  const lasso = element("button", "aiw-lasso");
  lasso.textContent = "lasso";
  lasso.title = "Drag around points, and not a box over them";
  lasso.setAttribute("aria-pressed", "false");
  const frame = element("div", "aiw-scatter-frame", "img");
  const points = document.createElement("canvas");
  const marks = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  marks.setAttribute("aria-hidden", "true"); // the frame has a name for all of it
  const legend = element("div", "aiw-scatter-legend");
  frame.append(points, marks);
  const top = element("div", "aiw-scatter-top");
  top.append(legend, words, lasso);
  el.replaceChildren(top, frame);

  let x = new Float32Array(0); // of each point, as plotted
  let y = new Float32Array(0);
  let group = new Uint8Array(0);
  let kept = new Uint8Array(0);
  let width = 0; // px of the frame
  let planned = 0; // the frame in which all is drawn anew
  let drag = null; // corners in px, while the reader drags

  // ---- from values to pixels and back --------------------------------------------------------

  function scaleOf(name, from, to) {
    const { low, high } = model.get("axes")[name] ?? { low: 0, high: 1 };
    const step = (to - from) / (high - low || 1);
    return { at: (value) => from + (value - low) * step, back: (px) => low + (px - from) / step };
  }
  const across = () => scaleOf("x", LEFT + EDGE, width - EDGE);
  const down = () => scaleOf("y", HEIGHT - BOTTOM - EDGE, EDGE);

  // ---- drawing -------------------------------------------------------------------------------

  function plan() {
    planned ||= requestAnimationFrame(draw);
  }

  function draw() {
    planned = 0;
    width = frame.clientWidth;
    if (!width) return; // in a tab that is not in front
    const [h, v] = [across(), down()];
    drawPoints(h, v);
    drawMarks(h, v);
  }

  // Pixel by pixel: a hundred thousand rectangles would take ten times as long.
  function drawPoints(h, v) {
    const ratio = window.devicePixelRatio || 1;
    points.width = Math.round(width * ratio);
    points.height = Math.round(HEIGHT * ratio);
    const paint = points.getContext("2d");
    const image = paint.createImageData(points.width, points.height);
    const pixels = new Uint32Array(image.data.buffer);
    const size = Math.round((x.length > 5000 ? 2 : x.length > 500 ? 3 : 5) * ratio);
    const dot = (i, colour) => {
      const left = Math.round(h.at(x[i]) * ratio - size / 2);
      const top = Math.round(v.at(y[i]) * ratio - size / 2);
      if (!(left >= 0 && top >= 0 && left + size <= points.width && top + size <= points.height)) return;
      for (let line = top; line < top + size; line++) {
        const start = line * points.width + left;
        pixels.fill(colour, start, start + size);
      }
    };
    for (let i = 0; i < x.length; i++) if (!kept[i]) dot(i, FAINT);
    for (let i = 0; i < x.length; i++) if (kept[i]) dot(i, PIXELS[group[i] % PIXELS.length]);
    paint.putImageData(image, 0, 0);
  }

  function drawMarks(h, v) {
    marks.setAttribute("width", width);
    marks.setAttribute("height", HEIGHT);
    marks.replaceChildren();
    add("rect", { x: LEFT, y: 0.5, width: width - LEFT - 1, height: HEIGHT - BOTTOM, class: "aiw-axis" });
    const axes = model.get("axes");
    for (const value of ticks(axes.x, Math.max(Math.floor(width / 90), 2))) {
      write(h.at(value), HEIGHT - BOTTOM + 12, label(value, axes.x), "middle");
    }
    for (const value of ticks(axes.y, 4)) write(LEFT - 5, v.at(value) + 4, label(value, axes.y), "end");
    write((LEFT + width) / 2, HEIGHT - 5, axes.x?.label ?? "", "middle");
    write(2, 12, axes.y?.label ?? "", "start");
    const opened = model.get("opened");
    if (opened >= 0 && x[opened] === x[opened]) {
      add("circle", { cx: h.at(x[opened]), cy: v.at(y[opened]), r: 7, class: "aiw-opened-point" });
    }
    if (drag) add("polygon", { points: corners().map((one) => one.join(",")).join(" "), class: "aiw-drag" });
  }

  function add(kind, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    marks.append(made);
    return made;
  }

  function write(left, bottom, content, anchor) {
    add("text", { x: left, y: bottom, "text-anchor": anchor }).textContent = content;
  }

  // Round values between the ends of an axis; of a logarithmic one, powers of ten.
  function ticks(axis, most) {
    if (!axis) return [];
    const rough = (axis.high - axis.low || 1) / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = axis.log ? Math.max(Math.ceil(rough), 1) : [1, 2, 5, 10].find((one) => one * power >= rough) * power;
    const made = [];
    for (let i = Math.ceil(axis.low / step); i * step <= axis.high + step / 1e6; i++) made.push(i * step);
    return made;
  }
  const label = (value, axis) =>
    axis.log ? (10 ** value).toLocaleString("en", { maximumSignificantDigits: 3 })
             : Number(value.toPrecision(6)).toString();

  function showLegend() {
    const names = model.get("groups");
    legend.replaceChildren(
      ...names.slice(0, COLOURS.length).map((name, i) => {
        const one = element("span", "aiw-scatter-group");
        const mark = element("i", "aiw-scatter-mark");
        mark.style.background = COLOURS[i];
        one.append(mark, text(name));
        return one;
      }),
    );
  }

  // ---- choosing ------------------------------------------------------------------------------

  const isLasso = () => lasso.getAttribute("aria-pressed") === "true";
  const isDrag = () => drag.some(([left, top]) => Math.hypot(left - drag[0][0], top - drag[0][1]) > 3);

  function place(event) {
    const box = frame.getBoundingClientRect();
    return [clamp(event.clientX - box.left, LEFT, width), clamp(event.clientY - box.top, 0, HEIGHT - BOTTOM)];
  }

  function corners() {
    if (isLasso()) return drag;
    const [[a, b], [c, d]] = [drag[0], drag.at(-1)];
    return [[a, b], [c, b], [c, d], [a, d]];
  }

  // The kept point next to a place, or -1.
  function nearest([left, top]) {
    const [h, v] = [across(), down()];
    let [best, least] = [-1, NEAR ** 2];
    for (let i = 0; i < x.length; i++) {
      const distance = (h.at(x[i]) - left) ** 2 + (v.at(y[i]) - top) ** 2;
      if (kept[i] && distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  frame.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    drag = [place(event)];
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", (event) => {
    if (!drag) {
      const i = nearest(place(event));
      const axes = model.get("axes");
      words.textContent =
        i < 0 ? "" : `${axes.x.label} ${label(x[i], axes.x)}, ${axes.y.label} ${label(y[i], axes.y)}: click to open`;
      return;
    }
    drag.push(place(event));
    drawMarks(across(), down());
  });
  frame.addEventListener("pointerup", () => {
    if (!drag) return;
    const [h, v] = [across(), down()];
    if (isDrag()) {
      const found = corners().map(([left, top]) => [h.back(left), v.back(top)]);
      model.send({ action: "select", corners: found });
    } else {
      const i = nearest(drag[0]);
      if (i >= 0) model.send({ action: "open", position: i });
      else model.send({ action: "select", corners: null });
    }
    drag = null;
    plan();
  });
  frame.addEventListener("pointercancel", () => {
    drag = null;
    plan();
  });
  lasso.addEventListener("click", () => lasso.setAttribute("aria-pressed", String(!isLasso())));

  // ---- what Python changes -------------------------------------------------------------------

  const take = () => {
    [x, y] = [floatsOf(model.get("x")), floatsOf(model.get("y"))];
    group = bytesOf(model.get("group"));
    kept = bytesOf(model.get("kept"));
    const { x: one, y: other } = model.get("axes");
    frame.setAttribute("aria-label", one ? `${other.label} against ${one.label}, ${x.length} documents` : "");
    showLegend();
    plan();
  };
  const changes = ["x", "y", "group", "kept", "axes", "groups"].map((name) => `change:${name}`);
  for (const name of changes) model.on(name, take);
  model.on("change:opened", plan);
  const releaseKeys = claimKeys(el, () => false);
  const sized = new ResizeObserver(plan);
  sized.observe(frame);
  take();

  return () => {
    cancelAnimationFrame(planned);
    sized.disconnect();
    releaseKeys();
    for (const name of changes) model.off(name, take);
    model.off("change:opened", plan);
  };
}

export default viewOf({ render });
