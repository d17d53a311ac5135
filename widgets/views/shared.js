// Helpers of all views: Python puts this file in front of each view's own module.

// An element with a class, and a role where the tag alone does not say what it is.
function element(tag, className, role) {
  const made = document.createElement(tag);
  made.className = className;
  if (role) made.setAttribute("role", role);
  return made;
}

function text(content) {
  const span = document.createElement("span");
  span.textContent = content; // never markup: it may come from documents
  return span;
}

const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

// A Float32Array must begin at a multiple of 4, which a view into a larger message may not.
const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer);

// "rgba(...)" of a colour, the stronger the larger the share from 0 to 1.
const tint = ([r, g, b], share) => `rgba(${r}, ${g}, ${b}, ${share.toFixed(3)})`;

const RISE = [213, 94, 0]; // Okabe-Ito vermilion: the loss rises, harder to predict
const FALL = [0, 114, 178]; // blue: the loss falls, easier

// The name of a pressed key, letters in lower case.
const keyOf = (event) => (event.key.length === 1 ? event.key.toLowerCase() : event.key);

// Whether nobody is there to answer: ipywidgets marks a widget whose kernel is gone.
const isWithoutKernel = (part) => part.closest(".jupyter-widgets-disconnected") !== null;

// JupyterLab's shortcuts listen on the document and would take a widget's keys first: a plain "x"
// would cut the cell. Without Ctrl, Cmd or Alt nothing but Tab and Escape reaches it from inside an
// explorer; of the other keys, those that `isOurs` names are kept from it inside `part`: Ctrl+S still
// saves. Without a kernel `part` hears none of the keys that are kept from JupyterLab: what they
// changed here nobody would compute. Returns what ends that.
function claimKeys(part, isOurs) {
  const SUPPRESS = "data-lm-suppress-shortcuts";
  const isPlain = (event) =>
    !event.ctrlKey && !event.metaKey && !event.altKey && !["Tab", "Escape", "Shift"].includes(event.key);
  // On the target itself: JupyterLab's bindings end in ":focus", and it looks at the target first.
  const claimed = (event) => {
    if (!(event.target instanceof Element)) return;
    const claimedPart = event.target.closest("[data-aiw-keys]");
    if (claimedPart === part) event.target.toggleAttribute(SUPPRESS, isPlain(event) || isOurs(event));
    else if (claimedPart === null && part.closest(".aiw-explorer")?.contains(event.target))
      event.target.toggleAttribute(SUPPRESS, isPlain(event));
  };
  const withoutKernel = (event) => {
    if (isWithoutKernel(part) && (isPlain(event) || isOurs(event))) event.stopPropagation();
  };
  part.dataset.aiwKeys = "";
  part.addEventListener("keydown", withoutKernel, true);
  window.addEventListener("keydown", claimed, true);
  return () => {
    delete part.dataset.aiwKeys;
    part.removeEventListener("keydown", withoutKernel, true);
    window.removeEventListener("keydown", claimed, true);
  };
}

// Keep the trait `theme` at the theme of the page: Python draws figures, which cannot follow it themselves.
function watchTheme(model) {
  const tell = () => {
    const dark = document.body.dataset.jpThemeLight === "false" || document.body.classList.contains("vscode-dark");
    const theme = dark ? "dark" : "light";
    if (model.get("theme") === theme) return;
    model.set("theme", theme);
    model.save_changes();
  };
  const observer = new MutationObserver(tell);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  tell();
  return observer;
}

// Whether a model loaded too late for anywidget; it hears Python again.
//
// anywidget waits two seconds for the module of a widget and drops every message to it from then on where that
// took longer, so `_handle_comm_msg`, which it wraps, fails. The method that it wraps takes the messages then.
// What the wrapped one is called, and where it stands, is anywidget's own: where that changes, nothing is done.
async function wasLate(manager, id) {
  try {
    const model = await manager.get_model(id);
    const handle = Object.getPrototypeOf(Object.getPrototypeOf(model))._handle_comm_msg;
    const nothing = { content: { data: { method: "" } } };
    if (await model._handle_comm_msg(nothing).then(() => true, () => false)) return false;
    model.comm.on_msg((message) => handle.call(model, message));
    return true;
  } catch {
    return false; // a page without a kernel, or the model is gone by now
  }
}

// The module of a view whose Python side, a `View`, sends its state anew if it loaded too late.
const viewOf = (module) => ({
  ...module,
  initialize(given) {
    const { model } = given;
    // Not waited for: anywidget waits for this function before it takes messages.
    wasLate(model.widget_manager, model.get("own_id")).then((late) => {
      if (!late) return;
      model.set("late", true);
      model.save_changes();
    });
    module.initialize?.(given);
  },
});
