// A text token by token, each coloured by the change of its loss; below it what is known of one.
//
// Python sets all traits and raises `revision` last, so that one change of the revision is one new text or
// mask. Predictions are asked for when a token is looked at, and kept until the next revision.

const STRENGTH = 0.7; // of the strongest colour; ink on it stays readable in both themes
const PATIENCE = 80; // ms that a pointer rests before predictions are asked for

function render({ model, el }) {
  let tokens = [];
  let before = new Float32Array(0);
  let after = new Float32Array(0);
  let spans = [];
  let shown = []; // token numbers in the order of the screen
  let focus = 0; // a token number
  let looked = -1; // the token that the details are about
  let predictions = new Map();
  let timer = null;

  el.classList.add("aiw-token-widget");
  const summary = element("div", "aiw-summary");
  const legend = element("div", "aiw-token-legend");
  const list = element("div", "aiw-tokens");
  const note = element("div", "aiw-note");
  const details = element("div", "aiw-details");
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "the text, token by token; Enter asks which heads a token needs");
  details.setAttribute("aria-live", "polite");
  el.replaceChildren(summary, legend, list, note, details);

  // ---- the text ----------------------------------------------------------------------------

  const change = (i) => after[i] - before[i];
  const signed = (value) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(2);

  function words(i) {
    const name = `token ${i}, "${tokens[i]}"`;
    if (Number.isNaN(change(i))) return `${name}, not predicted`;
    return `${name}, ${before[i].toFixed(2)} to ${after[i].toFixed(2)} nats, change ${signed(change(i))}`;
  }

  function build() {
    spans = tokens.map((token, i) => {
      const span = element("span", "aiw-token");
      span.setAttribute("role", "option");
      span.dataset.index = i;
      span.textContent = token;
      span.tabIndex = -1;
      return span;
    });
    focus = Math.min(focus, Math.max(tokens.length - 1, 0));
    if (spans.length) spans[focus].tabIndex = 0;
  }

  function paint() {
    const color_max = model.get("color_max") || 1;
    const selected = model.get("selected");
    spans.forEach((span, i) => {
      const value = change(i);
      const known = !Number.isNaN(value);
      const share = known ? Math.min(Math.abs(value) / color_max, 1) * STRENGTH : 0;
      span.style.setProperty("--aiw-heat", tint(value >= 0 ? RISE : FALL, share));
      span.classList.toggle("aiw-unpredicted", !known);
      span.classList.toggle("aiw-asked", i === selected);
      span.setAttribute("aria-selected", i === selected);
      span.setAttribute("aria-label", words(i));
      span.dataset.change = known ? signed(value) : "";
    });
    summary.textContent = model.get("summary");
    note.textContent = model.get("note");
    legend.replaceChildren(
      text("easier"), text(`\u2212${color_max}`), element("span", "aiw-token-bar"), text(`+${color_max} nats`),
      text("harder to predict"),
    );
  }

  function arrange() {
    const sorted = model.get("order") === "hurt";
    shown = tokens.map((_, i) => i);
    const key = (i) => (Number.isNaN(change(i)) ? -Infinity : change(i));
    if (sorted) shown.sort((a, b) => key(b) - key(a) || a - b);
    list.classList.toggle("aiw-sorted", sorted);
    const nodes = [];
    for (const i of shown) {
      nodes.push(spans[i]);
      if (!sorted && tokens[i].includes("\u2424")) nodes.push(document.createElement("br"));
    }
    list.replaceChildren(...nodes);
  }

  function renew() {
    clearTimeout(timer);
    const next = model.get("tokens");
    before = floatsOf(model.get("before"));
    after = floatsOf(model.get("after"));
    predictions = new Map();
    const same = next.length === tokens.length && next.every((one, i) => one === tokens[i]);
    const active = list.contains(document.activeElement);
    if (!same) {
      tokens = next;
      looked = -1;
      build();
      arrange();
    } else if (model.get("order") === "hurt") {
      arrange();
    }
    paint();
    if (active && spans.length) spans[focus].focus({ preventScroll: true });
    if (looked >= 0) look(looked);
    else details.textContent = "Point at a token, or go to it with the arrow keys.";
  }

  // ---- one token ---------------------------------------------------------------------------

  function look(i) {
    looked = i;
    show();
    clearTimeout(timer);
    if (!predictions.has(i) && !Number.isNaN(change(i)))
      timer = setTimeout(() => model.send({ action: "predict", token: i, revision: model.get("revision") }), PATIENCE);
  }

  function show() {
    const [from, to] = model.get("labels");
    const head = element("div", "aiw-details-head");
    head.textContent = words(looked);
    const found = predictions.get(looked);
    if (!found) {
      details.replaceChildren(head);
      return;
    }
    const table = element("table", "aiw-predictions");
    const top = table.insertRow();
    for (const label of [from, to]) {
      const cell = document.createElement("th");
      cell.colSpan = 2;
      cell.textContent = `predicted: ${label}`;
      top.append(cell);
    }
    const rows = Math.max(found.before.length, found.after.length);
    for (let i = 0; i < rows; i++) {
      const line = table.insertRow();
      for (const side of [found.before, found.after]) {
        const [token, probability] = side[i] || ["", null];
        const name = line.insertCell();
        name.className = "aiw-prediction";
        name.textContent = token;
        line.insertCell().textContent = probability === null ? "" : `${(100 * probability).toFixed(1)} %`;
      }
    }
    details.replaceChildren(head, table);
  }

  const indexOf = (event) => {
    const span = event.target.closest(".aiw-token");
    return span ? Number(span.dataset.index) : null;
  };

  // Also for a focus that something else gave: a screen reader, a click.
  function focused(i) {
    spans[focus].tabIndex = -1;
    focus = i;
    spans[i].tabIndex = 0;
  }

  function ask(i) {
    model.send({ action: "ask", token: i, revision: model.get("revision") });
  }

  list.addEventListener("pointerover", (event) => {
    const i = indexOf(event);
    if (i !== null) look(i);
  });
  list.addEventListener("focusin", (event) => {
    const i = indexOf(event);
    if (i === null) return;
    focused(i);
    look(i);
  });
  list.addEventListener("click", (event) => {
    const i = indexOf(event);
    if (i === null) return;
    spans[i].focus();
    ask(i);
  });
  const KEYS = [
    "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End", " ", "Enter",
  ];
  const isOurs = (event) =>
    event.ctrlKey || event.metaKey ? "zyZY".includes(event.key) : KEYS.includes(event.key);

  const releaseKeys = claimKeys(list, isOurs);

  list.addEventListener("keydown", (event) => {
    if (!spans.length || !isOurs(event)) return;
    const place = shown.indexOf(focus);
    const last = shown.length - 1;
    const control = event.ctrlKey || event.metaKey;
    const key = keyOf(event);
    const to = (there) => spans[shown[clamp(there, 0, last)]].focus();
    if (control && key === "z") model.send({ action: event.shiftKey ? "redo" : "undo" });
    else if (control && key === "y") model.send({ action: "redo" });
    else if (key === "ArrowRight" || key === "ArrowDown") to(place + 1);
    else if (key === "ArrowLeft" || key === "ArrowUp") to(place - 1);
    else if (key === "PageDown") to(place + 10);
    else if (key === "PageUp") to(place - 10);
    else if (key === "Home") to(0);
    else if (key === "End") to(last);
    else if (key === "Enter" || key === " ") ask(focus);
    event.preventDefault();
    event.stopPropagation();
  });

  // ---- what Python says --------------------------------------------------------------------

  const delivered = (message) => {
    if (message.kind !== "predictions" || message.revision !== model.get("revision")) return;
    predictions.set(message.token, message);
    if (message.token === looked) show();
  };
  const orderChanged = () => {
    arrange();
    paint();
  };
  // Figures cannot follow the page's colours by themselves, so Python gets the theme.
  const themeChanged = () => {
    const { jpThemeLight } = document.body.dataset;
    const dark = jpThemeLight === "false" || document.body.classList.contains("vscode-dark");
    const theme = dark ? "dark" : "light";
    if (model.get("theme") === theme) return;
    model.set("theme", theme);
    model.save_changes();
  };
  const themes = new MutationObserver(themeChanged);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  themeChanged();
  const staleChanged = () => el.classList.toggle("aiw-stale", model.get("stale") === true);
  staleChanged();
  model.on("change:stale", staleChanged);
  model.on("change:revision", renew);
  model.on("change:order", orderChanged);
  model.on("change:selected", paint);
  model.on("msg:custom", delivered);
  renew();

  return () => {
    clearTimeout(timer);
    themes.disconnect();
    releaseKeys();
    model.off("change:stale", staleChanged);
    model.off("change:revision", renew);
    model.off("change:order", orderChanged);
    model.off("change:selected", paint);
    model.off("msg:custom", delivered);
  };
}

export default { render };
