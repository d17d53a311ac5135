// A text token by token, each coloured by the change of its loss; below it what is known of one.
//
// Python sets all traits and raises `revision` last, so that one change of the revision is one new text or
// mask. Predictions, and where the chosen heads look, are asked for when a token is pointed at, and kept
// until the next revision.

const STRENGTH = 0.7; // of the strongest colour; ink on it stays readable in both themes
const PATIENCE = 80; // ms that a pointer rests before anything is asked
const NEWLINE = "\u21B5"; // how Python writes a line end
const SOURCES = 3; // how many of the tokens that are looked at most are named
const PLAIN = 0.1; // weight from which they get a number in the text, too
const NUMBER = 80; // px that it takes
const FAINT = 0.02; // weight below which they get no mark
const ARROW = " \u2192 "; // between before and after
const CHOOSE = "Choose a head to see where it looks.";
const FIRST = "Nothing stands before this token, so it is not predicted, and no head can be needed for it.";
const WHENS = {
  predicted: "From the place of the token before, which predicts this one: there a head that copies looks " +
    "at an earlier copy of this token. Press for what is looked at from this token itself.",
  read: "From the place of this token itself. Press for what is looked at when it is predicted.",
};

function render({ model, el }) {
  let tokens = [];
  let before = new Float32Array(0);
  let after = new Float32Array(0);
  let spans = [];
  let shown = []; // token numbers in the order of the screen
  let focus = 0; // a token number
  let looked = -1; // the token that the details are about
  let predictions = new Map();
  let looks = new Map(); // where the chosen heads look from a token
  let needs = new Map(); // the heads that a token needs
  let marked = []; // the tokens with a mark of where heads look
  let timer = null;
  let revision = -1; // that is shown
  const bands = stepBands(model);

  el.classList.add("aiw-token-widget");
  const top = element("div", "aiw-token-top");
  const summary = element("div", "aiw-summary");
  const legend = element("div", "aiw-token-legend");
  const least = text("");
  const most = text("");
  const lock = element("button", "aiw-token-lock");
  const list = element("div", "aiw-tokens");
  const note = element("div", "aiw-note");
  const details = element("div", "aiw-details");
  const left = element("div", "aiw-details-left");
  const head = element("div", "aiw-details-head");
  const predictedPart = element("div", "aiw-details-predicted");
  const right = element("div", "aiw-details-right");
  const looksPart = element("div", "aiw-details-looks");
  const needsPart = element("div", "aiw-details-needs");
  const lookTitle = element("div", "aiw-details-title");
  const who = text("");
  const when = element("button", "aiw-token-when");
  const sources = element("div", "aiw-details-sources");
  lookTitle.append(who, when);
  looksPart.append(lookTitle, sources);
  const quiet = (words) => Object.assign(text(words), { className: "aiw-token-legend-words" });
  legend.append(
    quiet("easier"), least, element("span", "aiw-token-bar"), most, quiet("harder to predict"), lock, bands.control,
  );
  top.append(summary, legend);
  left.append(head, predictedPart);
  right.append(looksPart, needsPart);
  details.append(left, right);
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "the text, token by token; Enter asks which heads a token needs");
  details.setAttribute("aria-live", "polite");
  el.replaceChildren(top, list, note, details);

  // ---- the text ----------------------------------------------------------------------------

  const change = (i) => after[i] - before[i];
  const isPredicted = (i) => !Number.isNaN(change(i));
  const isBeyond = (i) => Math.abs(change(i)) > (model.get("color_max") || 1);
  const signed = (value) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(2);

  function words(i) {
    const name = `token ${i}, "${tokens[i]}"`;
    if (!isPredicted(i)) return `${name}, not predicted`;
    const losses = `${before[i].toFixed(2)} to ${after[i].toFixed(2)} nats, change ${signed(change(i))}`;
    return `${name}, ${losses}${isBeyond(i) ? ", beyond the scale" : ""}`;
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
      const known = isPredicted(i);
      const share = known ? Math.min(Math.abs(value) / color_max, 1) * STRENGTH : 0;
      span.style.setProperty("--aiw-heat", tint(value >= 0 ? RISE : FALL, share));
      span.classList.toggle("aiw-unpredicted", !known);
      span.classList.toggle("aiw-beyond", known && isBeyond(i));
      span.classList.toggle("aiw-asked", i === selected);
      span.setAttribute("aria-selected", i === selected);
      span.setAttribute("aria-label", words(i));
      span.dataset.change = known ? signed(value) : "";
    });
    summary.textContent = summary.title = model.get("summary");
    note.textContent = model.get("note");
    const locked = model.get("locked") === true;
    lock.textContent = locked ? "locked" : "lock";
    lock.title = locked
      ? "The scale stays as it is. Press to fit it to the text and the mask again."
      : "Press to keep this scale, so that colours under other masks and of other texts can be compared.";
    lock.setAttribute("aria-pressed", locked);
    lock.setAttribute("aria-label", "keep the scale of the colours");
    showEnd(least, `\u2212${color_max}`, "<", (i) => change(i) < -color_max);
    showEnd(most, `+${color_max} nats`, ">", (i) => change(i) > color_max);
  }

  // One end of the scale: "+4", or "> +4" where tokens lie beyond it, which are marked likewise.
  function showEnd(end, value, sense, beyond) {
    const some = tokens.some((_, i) => beyond(i));
    end.textContent = some ? `${sense} ${value}` : value;
    end.classList.toggle("aiw-beyond", some);
    end.title = some ? "Some tokens lie beyond the scale: they have a line above them." : "";
  }

  function arrange() {
    const sorted = model.get("order") === "hurt";
    shown = tokens.map((_, i) => i);
    const key = (i) => (Number.isNaN(change(i)) ? -Infinity : change(i));
    if (sorted) shown.sort((a, b) => key(b) - key(a) || a - b);
    list.classList.toggle("aiw-sorted", sorted);
    const nodesOf = (i) => (tokens[i].includes(NEWLINE) ? [spans[i], document.createElement("br")] : [spans[i]]);
    list.replaceChildren(...(sorted ? shown.map((i) => spans[i]) : bands.laid(tokens.length, nodesOf)));
  }

  function renew() {
    clearTimeout(timer);
    const next = model.get("tokens");
    before = floatsOf(model.get("before"));
    after = floatsOf(model.get("after"));
    predictions = new Map();
    looks = new Map();
    needs = new Map();
    revision = model.get("revision");
    const same = next.length === tokens.length && next.every((one, i) => one === tokens[i]);
    const active = list.contains(document.activeElement);
    if (!same) {
      tokens = next;
      looked = -1;
      marked = [];
      build();
      arrange();
    } else if (model.get("order") === "hurt" || bands.moved()) {
      arrange();
    }
    bands.relabel();
    paint();
    if (active && spans.length) spans[focus].focus({ preventScroll: true });
    look(looked);
  }

  // ---- one token ---------------------------------------------------------------------------

  // Show a token, or none (-1), and ask what is not known of it once the pointer rests.
  function look(i) {
    spans[looked]?.classList.remove("aiw-looked");
    looked = i;
    spans[looked]?.classList.add("aiw-looked");
    const step = bands.wordsOf(i);
    say(head, i < 0 ? "Point at a token, or go to it with the arrow keys." : words(i) + (step && `\n${step}`));
    showPredictions();
    showLooks();
    showNeeds();
    clearTimeout(timer);
    if (i >= 0) timer = setTimeout(askAbout, PATIENCE, i);
  }

  function askAbout(i) {
    if (isWithoutKernel(list)) return;
    const about = { token: i, revision: model.get("revision") };
    if (isPredicted(i) && !predictions.has(i)) model.send({ action: "predict", ...about });
    if (canLook(i) && !looks.has(i)) model.send({ action: "look", ...about });
  }

  // The details are a live region: what stays the same is not said again.
  function say(part, content) {
    if (part.textContent !== content) part.textContent = content;
  }

  // Where nothing is masked, before and after are the same and stand once.
  function sidesOf(found) {
    const [from, to] = model.get("labels");
    const same = from === to && JSON.stringify(found.before) === JSON.stringify(found.after);
    return same ? [[to, found.after]] : [[from, found.before], [to, found.after]];
  }

  function showPredictions() {
    const found = predictions.get(looked);
    if (!found) {
      say(predictedPart, looked < 0 || isPredicted(looked) ? "" : FIRST);
      return;
    }
    const sides = sidesOf(found);
    const table = element("table", "aiw-predictions");
    const titles = table.insertRow();
    for (const [label] of sides) titles.append(title(`predicted: ${label}`, 2));
    const rows = Math.max(...sides.map(([, side]) => side.length));
    for (let i = 0; i < rows; i++) {
      const line = table.insertRow();
      for (const [, side] of sides) {
        const [token, probability] = side[i] || ["", null];
        nameCell(line, token);
        line.insertCell().textContent = probability === null ? "" : `${(100 * probability).toFixed(1)} %`;
      }
    }
    predictedPart.replaceChildren(table);
  }

  function title(content, columns) {
    const cell = document.createElement("th");
    cell.colSpan = columns;
    cell.textContent = cell.title = content;
    return cell;
  }

  function nameCell(line, content) {
    const cell = line.insertCell();
    cell.className = "aiw-prediction";
    cell.textContent = cell.title = content;
  }

  // ---- where the chosen heads look ---------------------------------------------------------

  const canLook = (i) => model.get("chosen") !== "" && (model.get("when") === "read" || isPredicted(i));

  function showLooks() {
    const chosen = model.get("chosen");
    const found = looks.get(looked);
    mark(found);
    lookTitle.hidden = looked < 0 || chosen === "";
    if (lookTitle.hidden) {
      say(sources, looked < 0 ? "" : CHOOSE);
      return;
    }
    const name = chosen.split(":")[0];
    const note = found && found.note ? ` (${found.note})` : "";
    say(who, `${name}${note} ${name.endsWith("heads") ? "look" : "looks"} at, `);
    say(when, `when ${model.get("when")}`);
    when.title = WHENS[model.get("when")];
    if (!found) {
      say(sources, canLook(looked) ? "" : "nothing: no token stands before this one");
      return;
    }
    const sides = sidesOf(found);
    const table = element("table", "aiw-looks");
    if (sides.length > 1) {
      const labels = title(sides.map(([label]) => label).join(ARROW), 2);
      table.insertRow().append(labels);
    }
    const line = (name, value) => {
      const row = table.insertRow();
      nameCell(row, name);
      row.insertCell().textContent = inWords(sides, value);
    };
    for (const i of strongest(sides)) line(`"${tokens[i]}" (token ${i})`, (side) => side.weights[i]);
    for (const [key, name] of [["bos", "BOS"], ["sink", "attention sink"]])
      if (sides.some(([, side]) => side[key] >= 0.005)) line(name, (side) => side[key]);
    sources.replaceChildren(table);
  }

  const inWords = (sides, value) => sides.map(([, side]) => value(side).toFixed(2)).join(ARROW);

  // What shows in marks: heads that are all masked look at everything alike.
  function telling(sides) {
    const free = sides.filter(([, side]) => !side.masked);
    return free.length ? free : sides;
  }

  const largest = (sides, i) => Math.max(...telling(sides).map(([, side]) => side.weights[i]));

  // The tokens that are looked at most, before or after.
  function strongest(sides) {
    const size = new Map(tokens.map((_, i) => [i, largest(sides, i)]));
    const seen = [...size.keys()].filter((i) => size.get(i) >= FAINT);
    return seen.sort((a, b) => size.get(b) - size.get(a) || a - b).slice(0, SOURCES);
  }

  // A bar below each token that is looked at, the thicker the more: solid now, dashed before.
  function mark(found) {
    for (const span of marked) {
      span.classList.remove("aiw-looked-at", "aiw-look-left");
      delete span.dataset.look;
    }
    marked = [];
    if (!found) return;
    const sides = sidesOf(found);
    const shown = telling(sides);
    const bar = (side, i) => {
      const told = side.weights[i] >= FAINT && shown.some(([, one]) => one === side);
      return told ? `${(1 + 3 * side.weights[i]).toFixed(1)}px` : "0px";
    };
    for (const [i, span] of spans.entries()) {
      if (largest(sides, i) < FAINT) continue;
      marked.push(span);
      span.classList.add("aiw-looked-at");
      span.style.setProperty("--aiw-after", bar(found.after, i));
      span.style.setProperty("--aiw-before", sides.length > 1 ? bar(found.before, i) : "0px");
    }
    // Numbers where they do not cover one another; the details have them all.
    const numbered = [];
    for (const i of strongest(sides)) {
      const span = spans[i];
      const covers = (other) =>
        Math.abs(other.offsetTop - span.offsetTop) < 10 && Math.abs(other.offsetLeft - span.offsetLeft) < NUMBER;
      if (largest(sides, i) < PLAIN || numbered.some(covers)) continue;
      numbered.push(span);
      span.dataset.look = inWords(shown, (side) => side.weights[i]);
      span.classList.toggle("aiw-look-left", span.offsetLeft > 0.8 * list.clientWidth);
    }
  }

  when.addEventListener("click", () => {
    model.set("when", model.get("when") === "read" ? "predicted" : "read");
    model.save_changes();
  });
  lock.addEventListener("click", () => {
    model.set("locked", model.get("locked") !== true);
    model.save_changes();
  });

  // ---- which heads it needs ----------------------------------------------------------------

  function showNeeds() {
    const found = needs.get(looked);
    if (!found) {
      say(needsPart, "");
      return;
    }
    const rises = found.heads.map(([name, rise]) => `${name} ${signed(rise)}`).join(", ");
    const heading = element("span", "aiw-details-title");
    heading.textContent = `heads it needs, against ${found.against}: `;
    needsPart.replaceChildren(heading, text(rises));
  }

  // ---- pointer and keys --------------------------------------------------------------------

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
    if (!isPredicted(i)) return; // the details say why
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
  // Without Ctrl, Cmd or Alt only these go on to JupyterLab, where a plain letter can cut the whole cell.
  const LEAVING = ["Tab", "Escape", "Shift", "Control", "Alt", "AltGraph", "Meta", "CapsLock"];
  const STEPS = ["ArrowUp", "ArrowDown"]; // with Alt: the document before or behind in the table
  const isOurs = (event) => {
    if (event.ctrlKey || event.metaKey) return "zyZY".includes(event.key);
    if (event.altKey) return STEPS.includes(event.key);
    return !LEAVING.includes(event.key);
  };

  const releaseKeys = claimKeys(list, isOurs);

  list.addEventListener("keydown", (event) => {
    if (!isOurs(event)) return;
    event.stopPropagation();
    if (!spans.length) return;
    const place = shown.indexOf(focus);
    const last = shown.length - 1;
    const control = event.ctrlKey || event.metaKey;
    const key = keyOf(event);
    const to = (there) => spans[shown[clamp(there, 0, last)]].focus();
    if (control && key === "z") model.send({ action: event.shiftKey ? "redo" : "undo" });
    else if (control && key === "y") model.send({ action: "redo" });
    else if (event.altKey) model.send({ action: "step", by: key === "ArrowUp" ? -1 : 1 });
    else if (key === "ArrowRight" || key === "ArrowDown") to(place + 1);
    else if (key === "ArrowLeft" || key === "ArrowUp") to(place - 1);
    else if (key === "PageDown") to(place + 10);
    else if (key === "PageUp") to(place - 10);
    else if (key === "Home") to(0);
    else if (key === "End") to(last);
    else if (key === "Enter" || key === " ") ask(focus);
    else return; // a key without a meaning here
    event.preventDefault();
  });

  // ---- what Python says --------------------------------------------------------------------

  const delivered = (message) => {
    if (message.revision !== model.get("revision")) return;
    const { kind, token } = message;
    if (kind === "predictions") {
      predictions.set(token, message);
      if (token === looked) showPredictions();
    } else if (kind === "needs") {
      needs.set(token, message);
      if (token === looked) showNeeds();
    } else if (message.chosen === model.get("chosen") && message.when === model.get("when")) {
      looks.set(token, message);
      if (token === looked) showLooks();
    }
  };
  const choiceChanged = () => {
    looks = new Map();
    look(looked);
  };
  const orderChanged = () => {
    arrange();
    paint();
  };
  const stepsChanged = () => {
    if (model.get("revision") !== revision) return; // the text is on its way as well
    const active = list.contains(document.activeElement);
    if (model.get("order") !== "hurt" && bands.moved()) arrange();
    if (active && spans.length) spans[focus].focus({ preventScroll: true });
    bands.relabel();
    look(looked);
  };
  const themes = watchTheme(model);
  const staleChanged = () => el.classList.toggle("aiw-stale", model.get("stale") === true);
  staleChanged();
  model.on("change:stale", staleChanged);
  model.on("change:revision", renew);
  model.on("change:order", orderChanged);
  model.on("change:selected", paint);
  model.on("change:color_max", paint);
  model.on("change:locked", paint);
  model.on("change:chosen", choiceChanged);
  model.on("change:when", choiceChanged);
  model.on("change:steps", stepsChanged);
  model.on("change:step_by", bands.relabel);
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
    model.off("change:color_max", paint);
    model.off("change:locked", paint);
    model.off("change:chosen", choiceChanged);
    model.off("change:when", choiceChanged);
    model.off("change:steps", stepsChanged);
    model.off("change:step_by", bands.relabel);
    model.off("msg:custom", delivered);
  };
}

export default viewOf({ render });
