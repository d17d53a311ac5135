// The grid of query heads: layers from top to bottom, heads from left to right.
//
// A click shows at once: the mask is changed here and sent to Python afterwards as bytes, one for
// each head, layer by layer. Python's answer to it (the same mask) changes nothing any more.

const SEQUENTIAL = [0, 114, 178]; // Okabe-Ito blue; its strength is the value
const SMALLEST = 8; // px of a cell that can still be hit
const COMFORTABLE = 11;
const LARGEST = 22;
const LARGEST_IN_BLOCKS = [12, 16]; // on a narrow page and on a wide one, to leave room to the text
const LABEL = 20; // px of the labels beside and above the cells
const GAP = 1; // px between cells
const WIDEST = 0.45; // of the explorer, beside the text
const TALLEST = 520; // px where the text stands below
const MOST_BLOCKS = 4;

function render({ model, el }) {
  const layers = model.get("layers");
  const heads = model.get("heads");
  const total = layers * heads;
  const headless = new Set(model.get("headless") ?? []); // layers whose cells stand for no head
  let mask = bytesOf(model.get("mask")).slice();
  let values = floatsOf(model.get("values"));
  let reference = bytesOf(model.get("reference"));
  let focus = 0; // the cell that Tab comes to
  let anchor = 0; // where a rectangle begins
  let drag = null; // {pressed, last, on, rectangle, before}
  let spotted = 0; // the cell that the readout speaks of

  el.classList.add("aiw-grid-widget");
  const frame = element("div", "aiw-grid-frame");
  const grid = element("div", "aiw-grid");
  grid.setAttribute("role", "grid");
  grid.setAttribute("aria-multiselectable", "true");
  grid.setAttribute("aria-rowcount", layers + 1);
  grid.setAttribute("aria-colcount", heads + 1);
  const tip = element("div", "aiw-tip");
  tip.setAttribute("aria-hidden", "true"); // the cell itself says the same
  const legend = element("div", "aiw-legend");
  const legendNote = element("div", "aiw-legend-note");
  const readout = element("div", "aiw-readout");
  const spoken = element("div", "aiw-spoken");
  spoken.setAttribute("aria-live", "polite");
  frame.append(grid);
  el.replaceChildren(frame, legend, legendNote, readout, spoken, tip);

  const cells = new Array(total);
  const layerLabels = [];
  let headLabels = []; // of every block of layers
  const top = row(1);
  for (let layer = 0; layer < layers; layer++) {
    const line = row(layer + 2);
    layerLabels.push(label("rowheader", layer, -1));
    line.append(layerLabels[layer]);
    for (let head = 0; head < heads; head++) {
      const cell = element("div", "aiw-cell");
      cell.setAttribute("role", "gridcell");
      cell.dataset.index = layer * heads + head;
      cell.tabIndex = -1;
      cell.classList.toggle("aiw-headless", headless.has(layer));
      cells[layer * heads + head] = cell;
      line.append(cell);
    }
  }
  cells[0].tabIndex = 0;

  function row(number) {
    const line = element("div", "aiw-row");
    line.setAttribute("role", "row");
    line.setAttribute("aria-rowindex", number);
    grid.append(line);
    return line;
  }

  function label(role, layer, head) {
    const made = element("div", "aiw-label");
    made.setAttribute("role", role);
    if (layer < 0 && head < 0) {
      made.setAttribute("aria-label", "layers down, heads across");
      return made;
    }
    const name = layer >= 0 ? `layer ${layer}` : `head ${head} of every layer`;
    made.textContent = layer >= 0 ? layer : head;
    made.dataset.layer = layer;
    made.dataset.head = head;
    made.title = `${name}: click to mask or unmask all`;
    made.setAttribute("aria-label", name);
    return made;
  }

  // ---- where a cell lies ---------------------------------------------------------------------

  // Deep models are cut into blocks of layers that stand side by side, as few as give cells of a
  // comfortable size; the size follows from the room that the page leaves.
  let blocks = 0;

  function fit() {
    const body = el.closest(".aiw-body");
    const beside = body && getComputedStyle(body).flexDirection === "row";
    const width = beside ? body.clientWidth * WIDEST : el.clientWidth;
    const height = beside ? frame.clientHeight : TALLEST;
    if (!width || !height) return; // not on the page yet
    const largest = clamp(width / 27, ...LARGEST_IN_BLOCKS);
    let best = { size: 0, blocks: 1 };
    for (let count = 1; count <= Math.min(MOST_BLOCKS, layers); count++) {
      const across = (width - count * (LABEL + GAP)) / (count * heads) - GAP;
      const down = (height - LABEL) / Math.ceil(layers / count) - GAP;
      const size = Math.floor(Math.min(across, down, count > 1 ? largest : LARGEST));
      if (size > best.size) best = { size, blocks: count };
      if (size >= COMFORTABLE) break;
    }
    place(best.blocks, Math.max(best.size, SMALLEST));
  }

  function place(count, size) {
    grid.style.setProperty("--aiw-cell", `${size}px`);
    grid.classList.toggle("aiw-small", size < COMFORTABLE);
    const every = size >= COMFORTABLE ? 1 : size >= 10 ? 2 : 5; // a number is 11 px wide
    layerLabels.forEach((one, layer) => one.classList.toggle("aiw-mute", layer % every !== 0));
    if (count !== blocks) arrange(count);
    headLabels.forEach((one) => one.classList.toggle("aiw-mute", Number(one.dataset.head) % every !== 0));
  }

  function arrange(count) {
    blocks = count;
    const down = Math.ceil(layers / count);
    const block = `${LABEL}px repeat(${heads}, var(--aiw-cell)) ${GAP}px`;
    grid.style.gridTemplateColumns = Array(count).fill(block).join(" ");
    headLabels = [];
    top.replaceChildren();
    for (let block = 0; block < count; block++) {
      const corner = at(label("columnheader", -1, -1), 1, block * (heads + 2) + 1);
      if (block > 0) corner.setAttribute("aria-hidden", "true");
      top.append(corner);
      for (let head = 0; head < heads; head++) {
        const one = at(label("columnheader", -1, head), 1, block * (heads + 2) + head + 2);
        if (block > 0) one.setAttribute("aria-hidden", "true"); // the same heads once more
        headLabels.push(one);
        top.append(one);
      }
    }
    for (let layer = 0; layer < layers; layer++) {
      const line = (layer % down) + 2;
      const first = Math.floor(layer / down) * (heads + 2) + 1;
      at(layerLabels[layer], line, first);
      for (let head = 0; head < heads; head++) at(cells[layer * heads + head], line, first + 1 + head);
    }
  }

  function at(part, line, column) {
    part.style.gridArea = `${line} / ${column}`;
    return part;
  }

  // ---- what a cell looks like and says -----------------------------------------------------

  const split = (i) => [Math.floor(i / heads), i % heads];
  // A value that rounds to nothing has no sign.
  const fixed = (value, digits) => (Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value).toFixed(digits);

  function words(i) {
    const [layer, head] = split(i);
    if (headless.has(layer)) return `layer ${layer} has no attention heads`;
    const { name = "score", digits = 2 } = model.get("legend");
    const value = Number.isNaN(values[i]) ? "no value yet" : `${name} ${fixed(values[i], digits)}`;
    return `layer ${layer}, head ${head}, ${value}, ${mask[i] ? "masked" : "not masked"}`;
  }

  function paint(i) {
    const { low = 0, high = 1, diverging = false } = model.get("legend");
    const value = values[i];
    let colour = "transparent";
    if (!Number.isNaN(value)) {
      const hue = !diverging ? SEQUENTIAL : value >= 0 ? RISE : FALL;
      const share = diverging ? Math.abs(value) / (high || 1) : (value - low) / (high - low || 1);
      colour = tint(hue, clamp(share, 0, 1));
    }
    const cell = cells[i];
    cell.style.setProperty("--aiw-heat", colour);
    cell.classList.toggle("aiw-unknown", Number.isNaN(value));
    cell.classList.toggle("aiw-masked", mask[i] === 1);
    cell.classList.toggle("aiw-reference", reference[i] === 1);
    cell.setAttribute("aria-selected", mask[i] === 1);
    cell.setAttribute("aria-label", words(i));
    if (i === spotted) tell();
  }

  function paintAll() {
    for (let i = 0; i < total; i++) paint(i);
    const { name = "", low = 0, high = 1, diverging = false, digits = 2, note = "" } = model.get("legend");
    grid.setAttribute("aria-label", `${layers} layers of ${heads} query heads, by ${name}; Space toggles a head, L its layer, H it in every layer`);
    const bar = element("span", diverging ? "aiw-bar aiw-bar-diverging" : "aiw-bar");
    const known = values.filter((one) => !Number.isNaN(one));
    // Said where values lie beyond the scale, whose colour is that of its end.
    const below = known.some((one) => one < (diverging ? -high : low) - 1e-9) ? "\u2264 " : "";
    const above = known.some((one) => one > high + 1e-9) ? "\u2265 " : "";
    legend.replaceChildren(
      ...(known.length
        ? [text(below + fixed(diverging ? -high : low, digits)), bar, text(above + fixed(high, digits))]
        : []),
      element("span", "aiw-key-masked"),
      text("masked"),
      ...(reference.includes(1) ? [element("span", "aiw-key-reference"), text("compared with")] : []),
    );
    legendNote.textContent = legendNote.title = note;
  }

  function show(i) {
    spotted = i;
    tell();
    const [layer, head] = split(i);
    layerLabels.forEach((one, k) => one.classList.toggle("aiw-here", k === layer));
    headLabels.forEach((one) => one.classList.toggle("aiw-here", Number(one.dataset.head) === head));
  }

  function tell() {
    readout.textContent = tip.textContent = words(spotted);
  }

  // The readout at the pointer, above the cell and inside the widget.
  function point(i) {
    const box = cells[i].getBoundingClientRect();
    const whole = el.getBoundingClientRect();
    tip.classList.add("aiw-shown");
    const left = clamp(box.left - whole.left, 0, Math.max(whole.width - tip.offsetWidth, 0));
    const over = box.top - whole.top - tip.offsetHeight - 6;
    tip.style.left = `${left}px`;
    tip.style.top = `${over >= 0 ? over : box.bottom - whole.top + 6}px`;
  }

  const unpoint = () => tip.classList.remove("aiw-shown");

  // ---- changing the mask -------------------------------------------------------------------

  function put(i, on) {
    if (mask[i] === on || headless.has(split(i)[0])) return;
    mask[i] = on;
    paint(i);
  }

  function send(announcement) {
    model.set("mask", new DataView(mask.slice().buffer));
    model.save_changes();
    spoken.textContent = announcement;
    show(grid.contains(document.activeElement) ? focus : spotted);
  }

  const count = () => `${mask.reduce((sum, one) => sum + one, 0)} heads masked`;

  function toggle(i) {
    put(i, 1 - mask[i]);
    anchor = i;
    send(words(i));
  }

  function toggleLine(layer, head) {
    const line = [];
    for (let i = 0; i < total; i++) {
      const [l, h] = split(i);
      if ((l === layer || h === head) && !headless.has(l)) line.push(i);
    }
    if (!line.length) return;
    const on = line.every((i) => mask[i]) ? 0 : 1;
    line.forEach((i) => put(i, on));
    send(`${layer >= 0 ? `layer ${layer}` : `head ${head}`} ${on ? "masked" : "unmasked"}, ${count()}`);
  }

  function rectangle(a, b, on) {
    const [l1, h1] = split(a);
    const [l2, h2] = split(b);
    for (let l = Math.min(l1, l2); l <= Math.max(l1, l2); l++)
      for (let h = Math.min(h1, h2); h <= Math.max(h1, h2); h++) put(l * heads + h, on);
  }

  // A fast pointer skips cells: the straight line between two of them is painted.
  function stroke(a, b, on) {
    const [l1, h1] = split(a);
    const [l2, h2] = split(b);
    const steps = Math.max(Math.abs(l2 - l1), Math.abs(h2 - h1), 1);
    for (let s = 0; s <= steps; s++) {
      const l = Math.round(l1 + ((l2 - l1) * s) / steps);
      const h = Math.round(h1 + ((h2 - h1) * s) / steps);
      put(l * heads + h, on);
    }
  }

  function restore(before) {
    for (let i = 0; i < total; i++) put(i, before[i]);
  }

  // ---- pointer -----------------------------------------------------------------------------

  const cellAt = (event) => {
    const found = document.elementFromPoint(event.clientX, event.clientY);
    const cell = found && found.closest(".aiw-cell");
    return cell && grid.contains(cell) ? Number(cell.dataset.index) : null;
  };

  grid.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const line = event.target.closest(".aiw-label");
    if (line && line.dataset.layer !== undefined) {
      event.preventDefault(); // the focus goes to a cell, so that Ctrl+Z is heard
      const [layer, head] = [Number(line.dataset.layer), Number(line.dataset.head)];
      focusOn(Math.max(layer, 0) * heads + Math.max(head, 0));
      toggleLine(layer, head);
      return;
    }
    const cell = event.target.closest(".aiw-cell");
    if (!cell) return;
    event.preventDefault(); // no text selection while dragging
    const i = Number(cell.dataset.index);
    if (event.altKey) {
      const again = model.get("chosen") === i;
      focusOn(i); // chosen, and not masked
      if (again) choose(-1);
      return;
    }
    drag = { pressed: i, last: i, on: 1 - mask[i], rectangle: event.shiftKey, before: mask.slice() };
    if (event.shiftKey) rectangle(anchor, i, drag.on);
    else put(i, drag.on);
    focusOn(i);
  });

  const moved = (event) => {
    if (!drag) return;
    const i = cellAt(event);
    if (i === null || i === drag.last) return;
    if (drag.rectangle) {
      // With the button held, the rectangle begins where it was pressed.
      restore(drag.before);
      rectangle(drag.pressed, i, drag.on);
    } else {
      stroke(drag.last, i, drag.on);
    }
    drag.last = i;
    show(i);
  };

  const released = () => {
    if (!drag) return;
    const { pressed, last, rectangle: many } = drag;
    drag = null;
    anchor = last;
    send(pressed === last && !many ? words(pressed) : count());
  };

  const left = () => {
    if (!drag) return;
    restore(drag.before);
    drag = null;
    model.save_changes(); // what was chosen
  };

  window.addEventListener("pointermove", moved);
  window.addEventListener("pointerup", released);
  window.addEventListener("pointercancel", left);
  grid.addEventListener("pointerover", (event) => {
    const cell = event.target.closest(".aiw-cell");
    if (!cell) return unpoint();
    show(Number(cell.dataset.index));
    point(spotted);
  });
  grid.addEventListener("pointerleave", unpoint);

  // ---- keyboard ----------------------------------------------------------------------------

  function focusOn(i) {
    cells[i].focus();
  }

  // Also for a focus that something else gave, such as a screen reader.
  grid.addEventListener("focusin", (event) => {
    const cell = event.target.closest(".aiw-cell");
    if (!cell) return;
    cells[focus].tabIndex = -1;
    focus = Number(cell.dataset.index);
    cell.tabIndex = 0;
    show(focus);
    choose(focus);
  });

  // The chosen head is the one whose attention the text shows.
  function choose(i) {
    if (model.get("chosen") === i) return;
    model.set("chosen", i);
    if (!drag) model.save_changes(); // a stroke saves it with its mask: a second message would wait
    mark();
  }

  function mark() {
    cells.forEach((cell, i) => cell.classList.toggle("aiw-chosen", i === model.get("chosen")));
  }

  const KEYS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", " ", "Enter", "l", "h"];
  const isOurs = (event) =>
    event.ctrlKey || event.metaKey
      ? ["z", "y", "home", "end"].includes(event.key.toLowerCase())
      : KEYS.includes(event.key) || (event.key === "Escape" && drag !== null);

  const releaseKeys = claimKeys(grid, isOurs);

  grid.addEventListener("keydown", (event) => {
    const [layer, head] = split(focus);
    const control = event.ctrlKey || event.metaKey;
    const key = keyOf(event);
    if (key === "Escape" && !drag) choose(-1); // and JupyterLab hears of it, too
    if (!isOurs(event)) return;
    if (control && key === "z") model.send({ action: event.shiftKey ? "redo" : "undo" });
    else if (control && key === "y") model.send({ action: "redo" });
    else if (key === "Escape" && drag) left();
    else if (key === " " && event.shiftKey) {
      rectangle(anchor, focus, 1 - mask[focus]);
      anchor = focus;
      send(count());
    } else if (key === " " || key === "Enter") toggle(focus);
    else if (key === "ArrowLeft") focusOn(layer * heads + Math.max(head - 1, 0));
    else if (key === "ArrowRight") focusOn(layer * heads + Math.min(head + 1, heads - 1));
    else if (key === "ArrowUp") focusOn(Math.max(layer - 1, 0) * heads + head);
    else if (key === "ArrowDown") focusOn(Math.min(layer + 1, layers - 1) * heads + head);
    else if (key === "Home") focusOn(control ? 0 : layer * heads);
    else if (key === "End") focusOn(control ? total - 1 : (layer + 1) * heads - 1);
    else if (key === "l") toggleLine(layer, -1);
    else if (key === "h") toggleLine(-1, head);
    event.preventDefault();
    event.stopPropagation();
  });

  // "?" opens the card of keys, wherever in the explorer it is pressed, and Escape closes it.
  const helped = (event) => {
    const explorer = el.closest(".aiw-explorer");
    if (!explorer || !explorer.contains(event.target)) return;
    const card = explorer.querySelector(".aiw-help");
    if (!card) return;
    if (event.key === "Escape") card.open = false;
    if (event.key !== "?" || event.target.closest("input, textarea")) return;
    card.open = !card.open;
    event.preventDefault();
  };
  window.addEventListener("keydown", helped, true); // the text keeps plain keys to itself

  // ---- what Python changes -----------------------------------------------------------------

  const maskChanged = () => {
    const next = bytesOf(model.get("mask"));
    // The answer to the click before: a stroke that has begun since goes on.
    if (drag && next.every((on, i) => on === drag.before[i])) return;
    if (drag) left(); // what was undone or typed wins over a stroke that is not finished
    for (let i = 0; i < total; i++) put(i, next[i]);
  };
  // A row of the table of heads, say.
  const pointedChanged = () => {
    const pointed = model.get("pointed");
    cells.forEach((cell, i) => cell.classList.toggle("aiw-pointed", i === pointed));
    if (pointed >= 0) show(pointed);
  };
  const valuesChanged = () => {
    values = floatsOf(model.get("values"));
    paintAll();
  };
  const referenceChanged = () => {
    reference = bytesOf(model.get("reference"));
    paintAll();
  };
  model.on("change:mask", maskChanged);
  model.on("change:values", valuesChanged);
  model.on("change:legend", paintAll);
  model.on("change:reference", referenceChanged);
  model.on("change:chosen", mark);
  model.on("change:pointed", pointedChanged);
  const sizes = new ResizeObserver(fit);
  sizes.observe(el);
  sizes.observe(frame);
  place(1, 16); // until the page says how large it is
  fit();
  paintAll();
  show(0);
  mark();

  return () => {
    sizes.disconnect();
    window.removeEventListener("keydown", helped, true);
    releaseKeys();
    window.removeEventListener("pointermove", moved);
    window.removeEventListener("pointerup", released);
    window.removeEventListener("pointercancel", left);
    model.off("change:mask", maskChanged);
    model.off("change:values", valuesChanged);
    model.off("change:legend", paintAll);
    model.off("change:reference", referenceChanged);
    model.off("change:chosen", mark);
    model.off("change:pointed", pointedChanged);
  };
}

export default viewOf({ render });
