// A table of any length: only the rows on the screen are here, and only the columns that have room.
//
// A pool of row elements is filled anew as the table scrolls, and Python is asked for the rows that
// are missing. Each arrangement (sorted, filtered, cut anew) has a number, the revision; rows of another
// arrangement are dropped, and those on the screen stay, faint, until the new ones come.

const ROW = 26; // px
const MARGIN = 10; // rows drawn and asked for beyond each edge
const TALLEST = 15e6; // px: Firefox ends at 17.8 million, Chromium at 33.5 million
const PAUSE = 30; // ms that the rows to ask for are collected
const PATIENCE = 1000; // ms to wait for an answer before other rows are asked for
const KEPT = 5000; // rows kept of those that have scrolled away
const GAP = 10; // px between two columns
const BESIDE = 42; // px of a row that no column has: padding and scrollbar
const TAIL = 10; // characters at the end of a name, which tell many names apart

function render({ model, el }) {
  let known = new Map(); // row number -> {position, cells}, of the present revision
  let opened = model.get("opened");
  let arranged = arrangement();
  let focus = 0; // the row that the keys act on
  let openedHere = -1; // the row that was opened here, until Python has answered it
  let head = 0; // the column heading that Tab comes to
  let shown = []; // the numbers of the columns that there is room for
  let offset = 0; // px from the top of the first row, were the table drawn at full height
  let placed = -1; // the scrollTop that belongs to `offset`, so that rounding does not move it
  let pointing = null; // the row element that the pointer or the keys came to last
  let timer = 0;
  let asked = null; // {range, at}: the request without an answer

  el.classList.add("aiw-table-widget");
  const table = element("div", "aiw-table", "grid");
  table.setAttribute("aria-label", model.get("label"));
  table.style.setProperty("--aiw-doc-height", `${ROW}px`);
  const heading = element("div", "aiw-doc-head", "row");
  heading.setAttribute("aria-rowindex", 1);
  const view = element("div", "aiw-view", "rowgroup");
  view.setAttribute("aria-label", model.get("label")); // it has the focus while its row is scrolled away
  const sheet = element("div", "aiw-sheet", "presentation");
  view.append(sheet);
  table.append(heading, view);
  const empty = element("div", "aiw-empty", "status");
  el.replaceChildren(table, empty);
  const pool = []; // row elements; row i is always drawn in pool[i % pool.length]

  const total = () => model.get("total");
  const columnKeys = () => model.get("columns").map(({ key }) => key);
  let keys = columnKeys(); // of the cells of known rows

  // ---- columns -----------------------------------------------------------------------------

  // The first columns that there is room for, and the one that the rows are sorted by.
  function fitting() {
    const columns = model.get("columns");
    const every = columns.map((_, i) => i);
    if (!table.clientWidth) return every; // in a tab that is not in front
    const sorted = columns.findIndex((one) => one.key === model.get("by"));
    let left = table.clientWidth - BESIDE - (sorted < 0 ? 0 : columns[sorted].least + GAP);
    let full = false;
    return every.filter((i) => {
      if (i === sorted) return true;
      full ||= columns[i].least > left;
      if (!full) left -= columns[i].least + GAP;
      return !full;
    });
  }

  function makeColumns() {
    const columns = model.get("columns");
    // What had the focus goes: on the page itself a plain key would be JupyterLab's.
    const inHeading = heading.contains(document.activeElement);
    if (sheet.contains(document.activeElement)) view.focus({ preventScroll: true });
    const key = heading.children[head]?.dataset.key;
    shown = fitting();
    table.setAttribute("aria-colcount", columns.length);
    const width = ({ least, share }) => (share ? `minmax(${least}px, ${share}fr)` : `${least}px`);
    table.style.setProperty("--aiw-widths", shown.map((i) => width(columns[i])).join(" "));
    const same = shown.findIndex((i) => columns[i].key === key);
    head = same < 0 ? clamp(head, 0, Math.max(shown.length - 1, 0)) : same;
    heading.replaceChildren(...shown.map((i, place) => makeHead(columns[i], i, place)));
    if (inHeading) (heading.children[head] ?? view).focus({ preventScroll: true });
    pool.splice(0).forEach((one) => one.remove());
    showOrder();
    showHistograms();
  }

  function makeHead(column, i, place) {
    const one = element("div", "aiw-column", "columnheader");
    const label = element("span", "aiw-label");
    label.textContent = column.label;
    one.append(label);
    one.classList.toggle("aiw-number", column.digits !== null);
    one.title = column.title || `sort by ${column.label}`;
    one.dataset.key = column.key;
    one.setAttribute("aria-colindex", i + 1);
    one.tabIndex = place === head ? 0 : -1;
    return one;
  }

  // ---- histograms in the headings, dragged over to filter -----------------------------------

  function showHistograms() {
    const histograms = model.get("histograms") ?? {};
    for (const one of heading.children) {
      one.querySelector(".aiw-histogram")?.remove();
      const histogram = histograms[one.dataset.key];
      if (histogram) one.append(drawHistogram(histogram));
    }
  }

  function drawHistogram({ all, kept, range, ends }) {
    const part = element("div", "aiw-histogram", "img");
    const words = `${ends[0]} to ${ends[1]}`;
    const filtered = range ? `; only ${ends[2]} to ${ends[3]} is shown: click to show all` : "";
    part.title = `${words}${filtered || "; drag over it to show a part only"}`;
    part.setAttribute("aria-label", `histogram from ${words}${filtered}`);
    part.ranged = Boolean(range);
    const most = Math.max(...all, 1);
    all.forEach((count, i) => {
      const bin = element("i", "aiw-bin");
      bin.classList.toggle("aiw-outside", Boolean(range) && (i < range[0] || i > range[1]));
      bin.style.height = `${(100 * count) / most}%`;
      const inner = element("b", "aiw-bin-kept");
      inner.style.height = `${count ? (100 * kept[i]) / count : 0}%`;
      bin.append(inner);
      part.append(bin);
    });
    return part;
  }

  let awaited = -1; // the row to bring to the screen once there is one
  let drag = null; // {part, key, first, last}: bins of a histogram

  function binUnder(part, event) {
    const box = part.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * part.children.length;
    return clamp(Math.floor(place), 0, part.children.length - 1);
  }

  heading.addEventListener("pointerdown", (event) => {
    const part = event.target.closest(".aiw-histogram");
    if (!part || event.button) return;
    event.preventDefault(); // else the text of the headings would be selected
    const bin = binUnder(part, event);
    const key = part.parentElement.dataset.key;
    drag = { part, key, begun: event.clientX, from: bin, first: bin, last: bin };
    part.setPointerCapture(event.pointerId);
  });
  heading.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const bin = binUnder(drag.part, event);
    [drag.first, drag.last] = [Math.min(drag.from, bin), Math.max(drag.from, bin)];
    [...drag.part.children].forEach((one, i) =>
      one.classList.toggle("aiw-outside", i < drag.first || i > drag.last),
    );
  });
  // Without a drag it is a click on the heading, but for a filter that it takes away.
  heading.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { part, key, begun, first, last } = drag;
    drag = null;
    const dragged = Math.abs(event.clientX - begun) > 3;
    if (dragged || part.ranged) model.send({ action: "range", key, bins: dragged ? [first, last] : null });
    else sort(part.parentElement);
  });
  heading.addEventListener("pointercancel", () => {
    drag = null;
    showHistograms();
  });

  function showOrder() {
    for (const one of heading.children) {
      const here = one.dataset.key === model.get("by");
      const order = model.get("ascending") ? "ascending" : "descending";
      one.setAttribute("aria-sort", here ? order : "none");
    }
  }

  // ---- rows --------------------------------------------------------------------------------

  function addRow() {
    const line = element("div", "aiw-doc-row", "row");
    for (const i of shown) {
      const cell = element("div", "aiw-doc-cell", "gridcell");
      const column = model.get("columns")[i];
      cell.classList.toggle("aiw-number", column.digits !== null);
      cell.classList.toggle("aiw-middle", Boolean(column.middle));
      cell.setAttribute("aria-colindex", i + 1);
      line.append(cell);
    }
    line.tabIndex = -1;
    line.number = -1; // which row it shows
    line.shown = null; // what of it: null while Python has not answered
    sheet.append(line);
    pool.push(line);
  }

  function fill(line, number) {
    const row = known.get(number) ?? null;
    if (line.number !== number) {
      if (line === document.activeElement) view.focus({ preventScroll: true });
      line.number = number;
      line.shown = null;
      line.setAttribute("aria-rowindex", number + 2);
      if (row === null) [...line.children].forEach((cell) => put(cell, ""));
    }
    if (row !== null && row !== line.shown) {
      line.shown = row;
      [...line.children].forEach((cell, place) => {
        put(cell, row.cells[shown[place]], row.bars?.[shown[place]]);
      });
    }
    line.classList.toggle("aiw-loading", line.shown === null);
    // Its cells are its name, and are empty so long.
    if (line.shown === null) line.setAttribute("aria-label", "loading");
    else line.removeAttribute("aria-label");
    line.classList.toggle("aiw-stale", line.shown !== null && row === null);
    line.setAttribute("aria-busy", row === null);
    const open = line.shown !== null && line.shown.position === opened;
    line.classList.toggle("aiw-opened", open);
    line.setAttribute("aria-selected", open);
  }

  // Never markup: it comes from documents. `bar`: the shares of the width that a bar goes from and to.
  function put(cell, content, bar) {
    if (cell.classList.contains("aiw-middle")) {
      const letters = [...content];
      const tail = letters.length > 2 * TAIL ? TAIL : 0; // of a long name the middle is left out
      const cut = letters.length - tail;
      cell.replaceChildren(text(letters.slice(0, cut).join("")), text(letters.slice(cut).join("")));
    } else {
      cell.textContent = content;
    }
    cell.title = content;
    cell.classList.toggle("aiw-backed", Boolean(bar));
    cell.style.setProperty("--aiw-from", `${100 * (bar?.[0] ?? 0)}%`);
    cell.style.setProperty("--aiw-to", `${100 * (bar?.[1] ?? 0)}%`);
  }

  const fullHeight = () => total() * ROW;
  const sheetHeight = () => Math.min(fullHeight(), TALLEST);
  const furthest = () => Math.max(fullHeight() - view.clientHeight, 0);

  // How far the full table moves when the sheet scrolls by a pixel.
  function pace() {
    const scrollable = sheetHeight() - view.clientHeight;
    return scrollable > 0 ? furthest() / scrollable : 1;
  }

  function onScreen() {
    const first = Math.floor(offset / ROW) - MARGIN;
    const last = Math.ceil((offset + view.clientHeight) / ROW) + MARGIN; // the one after
    return [clamp(first, 0, total()), clamp(last, 0, total())];
  }

  function draw() {
    if (total() && !view.clientHeight) return; // in a tab that is not in front
    if (String(fitting()) !== String(shown)) makeColumns();
    if (view.scrollTop !== placed) offset = view.scrollTop * pace();
    offset = clamp(offset, 0, furthest());
    placed = view.scrollTop;
    const [first, last] = onScreen();
    while (pool.length < Math.ceil(view.clientHeight / ROW) + 1 + 2 * MARGIN) addRow();
    const shift = placed - offset;
    for (let i = first; i < first + pool.length; i++) {
      const line = pool[i % pool.length];
      line.hidden = i >= last;
      if (line.hidden) {
        if (line === document.activeElement) view.focus({ preventScroll: true });
        line.number = -1;
        continue;
      }
      fill(line, i);
      line.style.transform = `translateY(${i * ROW + shift}px)`;
    }
    placeFocus();
    tellPointed(); // the same element may show another row by now
    plan(PAUSE);
  }

  // One tab stop: the row of the keys, or the view while that row is scrolled away.
  function placeFocus() {
    const line = lineOf(focus);
    for (const one of pool) one.tabIndex = one === line ? 0 : -1;
    view.tabIndex = line || total() === 0 ? -1 : 0;
    if (line && document.activeElement === view) line.focus({ preventScroll: true });
  }

  const lineOf = (number) => pool.find((one) => !one.hidden && one.number === number);

  function scrollTo(top) {
    offset = clamp(top, 0, furthest());
    view.scrollTop = offset / pace();
    placed = view.scrollTop;
    draw();
  }

  // ---- what is asked of Python -------------------------------------------------------------

  function plan(wait) {
    if (!timer) timer = setTimeout(ask, wait);
  }

  function ask() {
    timer = 0;
    if (isWithoutKernel(table)) return;
    let [first, last] = onScreen();
    while (first < last && known.has(first)) first++;
    while (last > first && known.has(last - 1)) last--;
    if (first === last) return;
    const range = `${first} ${last}`;
    if (asked) {
      // A busy Python is not asked for every place that the scrollbar was dragged past, and rows
      // that it failed to give are not asked for again and again.
      if (asked.range === range) return;
      const left = asked.at + PATIENCE - performance.now();
      if (left > 0) return plan(left);
    }
    asked = { range, at: performance.now() };
    model.send({ action: "rows", first, count: last - first, revision: model.get("revision") });
  }

  function answered() {
    asked = null;
    clearTimeout(timer);
    timer = 0;
  }

  // Cells that were read later than the rest of their rows.
  function completed(message) {
    const i = model.get("columns").findIndex((one) => one.key === message.key);
    for (const [number, row] of known) {
      const content = message.cells[row.position];
      if (content === undefined) continue;
      const cells = row.cells.map((before, place) => (place === i ? content : before));
      known.set(number, { ...row, cells });
    }
    draw();
  }

  const delivered = (message) => {
    if (message.kind === "cells") return completed(message);
    if (message.kind === "reveal" && message.revision === model.get("revision")) {
      // The answer to a row that was opened here must not take back who has gone on from it since.
      if (message.number !== openedHere || !view.contains(document.activeElement)) reveal(message.number);
      openedHere = -1;
    }
    if (message.kind !== "rows" || message.revision !== model.get("revision")) return;
    answered();
    if (known.size > KEPT) {
      const [first, last] = onScreen();
      for (const number of known.keys()) if (number < first || number >= last) known.delete(number);
    }
    message.rows.forEach((row, i) => known.set(message.first + i, row));
    draw();
  };

  // ---- pointing at a row, which other views on the page may follow ---------------------------

  function tellPointed() {
    const position = (pointing && !pointing.hidden && pointing.shown?.position) ?? -1;
    if (model.get("pointed") !== position) model.set("pointed", position); // Python need not know
  }

  function point(line) {
    pointing = line;
    tellPointed();
  }

  view.addEventListener("pointerover", (event) => {
    const line = event.target.closest(".aiw-doc-row");
    if (line) point(line);
  });
  view.addEventListener("pointerleave", () => {
    point(view.contains(document.activeElement) ? (lineOf(focus) ?? null) : null);
  });
  view.addEventListener("focusin", (event) => {
    const line = event.target.closest(".aiw-doc-row");
    if (line) focus = line.number; // also where something else moved it, such as a screen reader
    point(line);
  });
  view.addEventListener("focusout", (event) => {
    if (!view.contains(event.relatedTarget)) point(null);
  });

  // ---- acting on it ------------------------------------------------------------------------

  function open(line) {
    if (!line || line.shown === null) return;
    opened = line.shown.position;
    openedHere = line.number;
    draw();
    model.send({ action: "open", position: opened });
  }

  // Brings a row to the screen; the keys go on from there.
  function reveal(number) {
    awaited = view.clientHeight ? -1 : number; // in a tab that is not in front
    if (awaited >= 0) return;
    focus = clamp(number, 0, Math.max(total() - 1, 0));
    const top = focus * ROW;
    if (top < offset) scrollTo(top);
    else if (top + ROW > offset + view.clientHeight) scrollTo(top + ROW - view.clientHeight);
    else placeFocus();
  }

  function moveTo(number) {
    reveal(number);
    lineOf(focus)?.focus({ preventScroll: true });
  }

  function moveHead(number) {
    const headings = heading.children;
    headings[head].tabIndex = -1;
    head = clamp(number, 0, headings.length - 1);
    headings[head].tabIndex = 0;
    headings[head].focus();
  }

  const sort = (column) => model.send({ action: "sort", by: column.dataset.key });

  table.addEventListener("click", (event) => {
    if (event.target.closest(".aiw-histogram")) return; // which filters
    const column = event.target.closest(".aiw-column");
    const line = event.target.closest(".aiw-doc-row");
    if (column) {
      moveHead([...heading.children].indexOf(column));
      sort(column);
    } else if (line) {
      moveTo(line.number);
      open(line);
    }
  });

  function headKey(key) {
    if (key === "ArrowLeft") moveHead(head - 1);
    else if (key === "ArrowRight") moveHead(head + 1);
    else if (key === "ArrowDown") moveTo(focus);
    else if (key === "Enter" || key === " ") sort(heading.children[head]);
    else return false;
    return true;
  }

  function rowKey(key) {
    const page = Math.max(Math.floor(view.clientHeight / ROW) - 1, 1);
    if (key === "ArrowUp") moveTo(focus - 1);
    else if (key === "ArrowDown") moveTo(focus + 1);
    else if (key === "PageUp") moveTo(focus - page);
    else if (key === "PageDown") moveTo(focus + page);
    else if (key === "Home") moveTo(0);
    else if (key === "End") moveTo(total() - 1);
    else if (key === "Enter" || key === " ") open(lineOf(focus));
    else return false;
    return true;
  }

  const KEYS = [
    "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End", "Enter", " ",
  ];
  const isOurs = (event) =>
    !(event.ctrlKey || event.metaKey || event.altKey) && KEYS.includes(event.key);

  const releaseKeys = claimKeys(table, isOurs);

  table.addEventListener("keydown", (event) => {
    if (!isOurs(event)) return;
    const act = event.target.closest(".aiw-column") ? headKey : rowKey;
    if (!act(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  });

  view.addEventListener("scroll", draw, { passive: true });

  // ---- what Python changes -----------------------------------------------------------------

  // A cut that moves leaves the reader where he was; another order or filter begins at the top.
  function arrangement() {
    return ["by", "ascending", "total"].map((key) => model.get(key)).join(" ");
  }

  function showTotal() {
    table.setAttribute("aria-rowcount", total() + 1);
    sheet.style.height = `${sheetHeight()}px`;
    view.hidden = total() === 0;
    empty.hidden = total() !== 0;
    empty.textContent = total() ? "" : model.get("nothing");
  }

  // What is known is of another arrangement; on the screen it stays, faint, until the new rows come.
  function forget() {
    draw();
    known = new Map();
    answered();
  }

  const arrangedAnew = () => {
    const before = arranged;
    arranged = arrangement();
    showTotal();
    if (String(fitting()) === String(shown)) showOrder();
    else makeColumns();
    forget();
    focus = arranged === before ? clamp(focus, 0, Math.max(total() - 1, 0)) : 0;
    scrollTo(arranged === before ? offset : 0);
  };
  const openedChanged = () => {
    opened = model.get("opened");
    draw();
  };
  const columnsChanged = () => {
    const before = keys;
    keys = columnKeys();
    const places = keys.map((key) => before.indexOf(key));
    const moved = (values) => places.map((place) => values?.[place]);
    for (const [number, row] of known) {
      const cells = moved(row.cells).map((cell) => cell ?? "");
      known.set(number, { ...row, cells, bars: moved(row.bars) });
    }
    makeColumns();
    forget();
    draw();
  };
  const changes = {
    "change:revision": arrangedAnew,
    "change:opened": openedChanged,
    "change:columns": columnsChanged,
    "change:histograms": showHistograms,
    "change:nothing": showTotal,
    "msg:custom": delivered,
  };
  for (const [name, listener] of Object.entries(changes)) model.on(name, listener);
  makeColumns();
  showTotal();
  draw();
  // Also tells when a hidden tab with the table in it comes to the front.
  const sized = new ResizeObserver(() => {
    draw();
    if (awaited >= 0 && view.clientHeight) reveal(awaited);
  });
  sized.observe(view);

  return () => {
    for (const [name, listener] of Object.entries(changes)) model.off(name, listener);
    view.removeEventListener("scroll", draw);
    releaseKeys();
    sized.disconnect();
    clearTimeout(timer);
  };
}

export default viewOf({ render });
