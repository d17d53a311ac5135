// The grid of query heads: layers from left to right, heads from top to bottom.
//
// A click shows at once: the mask is changed here and sent to Python afterwards as bytes, one for
// each head, layer by layer. Python's answer to it (the same mask) changes nothing any more.

const SEQUENTIAL = [0, 114, 178]; // Okabe-Ito blue; its strength is the value

function render({ model, el }) {
  const layers = model.get("layers");
  const heads = model.get("heads");
  const total = layers * heads;
  let mask = bytesOf(model.get("mask")).slice();
  let values = floatsOf(model.get("values"));
  let focus = 0; // the cell that Tab comes to
  let anchor = 0; // where a rectangle begins
  let drag = null; // {pressed, last, on, rectangle, before}

  el.classList.add("aiw-grid-widget");
  const grid = element("div", "aiw-grid");
  grid.setAttribute("role", "grid");
  grid.setAttribute("aria-multiselectable", "true");
  grid.setAttribute("aria-rowcount", heads + 1);
  grid.setAttribute("aria-colcount", layers + 1);
  grid.style.setProperty("--aiw-layers", layers);
  grid.style.setProperty("--aiw-row", `${heads <= 16 ? 22 : heads <= 32 ? 15 : 11}px`);
  const legend = element("div", "aiw-legend");
  const readout = element("div", "aiw-readout");
  const spoken = element("div", "aiw-spoken");
  spoken.setAttribute("aria-live", "polite");
  el.replaceChildren(grid, legend, readout, spoken);

  const cells = new Array(total);
  const top = row(1);
  top.append(label("", "columnheader", -1, -1));
  for (let layer = 0; layer < layers; layer++) top.append(label(layer, "columnheader", layer, -1));
  for (let head = 0; head < heads; head++) {
    const line = row(head + 2);
    line.append(label(head, "rowheader", -1, head));
    for (let layer = 0; layer < layers; layer++) {
      const cell = element("div", "aiw-cell");
      cell.setAttribute("role", "gridcell");
      cell.dataset.index = layer * heads + head;
      cell.tabIndex = -1;
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

  function label(text, role, layer, head) {
    const one = element("div", "aiw-label");
    one.setAttribute("role", role);
    one.textContent = layer >= 0 && layers > 16 && layer % 5 ? "\u00b7" : text;
    if (layer >= 0 || head >= 0) {
      const name = layer >= 0 ? `layer ${layer}` : `head ${head} of every layer`;
      one.dataset.layer = layer;
      one.dataset.head = head;
      one.title = `${name}: click to mask or unmask all`;
      one.setAttribute("aria-label", name);
    } else {
      one.setAttribute("aria-label", "layers across, heads down");
    }
    return one;
  }

  // ---- what a cell looks like and says -----------------------------------------------------

  const place = (i) => [Math.floor(i / heads), i % heads];

  function words(i) {
    const [layer, head] = place(i);
    const { name = "score", digits = 2 } = model.get("legend");
    const value = Number.isNaN(values[i]) ? "no value yet" : `${name} ${values[i].toFixed(digits)}`;
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
    cell.setAttribute("aria-selected", mask[i] === 1);
    cell.setAttribute("aria-label", words(i));
  }

  function paintAll() {
    for (let i = 0; i < total; i++) paint(i);
    const { name = "", low = 0, high = 1, diverging = false, digits = 2 } = model.get("legend");
    grid.setAttribute("aria-label", `${layers} layers of ${heads} query heads, by ${name}; Space toggles a head, L its layer, H it in every layer`);
    const bar = element("span", diverging ? "aiw-bar aiw-bar-diverging" : "aiw-bar");
    const known = values.some((one) => !Number.isNaN(one));
    legend.replaceChildren(
      text(name),
      ...(known ? [text((diverging ? -high : low).toFixed(digits)), bar, text(high.toFixed(digits))] : []),
      element("span", "aiw-key-masked"),
      text("masked"),
    );
  }

  function show(i) {
    readout.textContent = words(i);
  }

  // ---- changing the mask -------------------------------------------------------------------

  function put(i, on) {
    if (mask[i] === on) return;
    mask[i] = on;
    paint(i);
  }

  function send(announcement) {
    model.set("mask", new DataView(mask.slice().buffer));
    model.save_changes();
    spoken.textContent = announcement;
    if (document.activeElement !== null) show(focus);
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
      const [l, h] = place(i);
      if (l === layer || h === head) line.push(i);
    }
    const on = line.every((i) => mask[i]) ? 0 : 1;
    line.forEach((i) => put(i, on));
    send(`${layer >= 0 ? `layer ${layer}` : `head ${head}`} ${on ? "masked" : "unmasked"}, ${count()}`);
  }

  function rectangle(a, b, on) {
    const [l1, h1] = place(a);
    const [l2, h2] = place(b);
    for (let l = Math.min(l1, l2); l <= Math.max(l1, l2); l++)
      for (let h = Math.min(h1, h2); h <= Math.max(h1, h2); h++) put(l * heads + h, on);
  }

  // A fast pointer skips cells: the straight line between two of them is painted.
  function stroke(a, b, on) {
    const [l1, h1] = place(a);
    const [l2, h2] = place(b);
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
      toggleLine(Number(line.dataset.layer), Number(line.dataset.head));
      return;
    }
    const cell = event.target.closest(".aiw-cell");
    if (!cell) return;
    event.preventDefault(); // no text selection while dragging
    const i = Number(cell.dataset.index);
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
  };

  window.addEventListener("pointermove", moved);
  window.addEventListener("pointerup", released);
  window.addEventListener("pointercancel", left);
  grid.addEventListener("pointerover", (event) => {
    const cell = event.target.closest(".aiw-cell");
    if (cell) show(Number(cell.dataset.index));
  });

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
  });

  const KEYS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", " ", "Enter", "l", "h"];
  const isOurs = (event) =>
    event.ctrlKey || event.metaKey
      ? ["z", "y", "home", "end"].includes(event.key.toLowerCase())
      : KEYS.includes(event.key) || (event.key === "Escape" && drag !== null);

  const releaseKeys = claimKeys(grid, isOurs);

  grid.addEventListener("keydown", (event) => {
    const [layer, head] = place(focus);
    const control = event.ctrlKey || event.metaKey;
    const key = keyOf(event);
    if (!isOurs(event)) return;
    if (control && key === "z") model.send({ action: event.shiftKey ? "redo" : "undo" });
    else if (control && key === "y") model.send({ action: "redo" });
    else if (key === "Escape" && drag) left();
    else if (key === " " && event.shiftKey) {
      rectangle(anchor, focus, 1 - mask[focus]);
      anchor = focus;
      send(count());
    } else if (key === " " || key === "Enter") toggle(focus);
    else if (key === "ArrowLeft") focusOn(Math.max(layer - 1, 0) * heads + head);
    else if (key === "ArrowRight") focusOn(Math.min(layer + 1, layers - 1) * heads + head);
    else if (key === "ArrowUp") focusOn(layer * heads + Math.max(head - 1, 0));
    else if (key === "ArrowDown") focusOn(layer * heads + Math.min(head + 1, heads - 1));
    else if (key === "Home") focusOn(control ? 0 : head);
    else if (key === "End") focusOn(control ? total - 1 : (layers - 1) * heads + head);
    else if (key === "l") toggleLine(layer, -1);
    else if (key === "h") toggleLine(-1, head);
    event.preventDefault();
    event.stopPropagation();
  });

  // ---- what Python changes -----------------------------------------------------------------

  const maskChanged = () => {
    const next = bytesOf(model.get("mask"));
    // The answer to the click before: a stroke that has begun since goes on.
    if (drag && next.every((on, i) => on === drag.before[i])) return;
    if (drag) left(); // what was undone or typed wins over a stroke that is not finished
    for (let i = 0; i < total; i++) put(i, next[i]);
  };
  const valuesChanged = () => {
    values = floatsOf(model.get("values"));
    paintAll();
  };
  model.on("change:mask", maskChanged);
  model.on("change:values", valuesChanged);
  model.on("change:legend", paintAll);
  paintAll();
  show(0);

  return () => {
    releaseKeys();
    window.removeEventListener("pointermove", moved);
    window.removeEventListener("pointerup", released);
    window.removeEventListener("pointercancel", left);
    model.off("change:mask", maskChanged);
    model.off("change:values", valuesChanged);
    model.off("change:legend", paintAll);
  };
}

export default { render };
