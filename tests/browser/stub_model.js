// Python's side of a widget, played by the test: the part of anywidget's model that a module uses.
//
// window.sent holds what the widget saved or sent; model.receive and model.deliver are what Python
// would do. As Backbone does, `set` tells listeners at once, whoever set it.

class StubModel {
  constructor(state) {
    this.state = fromWire(state);
    this.unsaved = {};
    this.listeners = [];
  }
  get(name) {
    return this.state[name];
  }
  set(name, value) {
    this.unsaved[name] = value;
    this.change({ [name]: value });
  }
  save_changes() {
    window.sent.push({ saved: toWire(this.unsaved) });
    this.unsaved = {};
  }
  send(content) {
    window.sent.push({ message: structuredClone(content) });
  }
  on(name, listener) {
    this.listeners.push({ name, listener });
  }
  off(name, listener) {
    this.listeners = this.listeners.filter((one) => one.name !== name || one.listener !== listener);
  }
  tell(name, ...given) {
    for (const one of [...this.listeners]) if (one.name === name) one.listener(...given);
  }
  // All of a message's state is in place before the first listener hears of it.
  change(state) {
    const changed = Object.keys(state).filter((name) => state[name] !== this.state[name]);
    Object.assign(this.state, state);
    for (const name of changed) this.tell(`change:${name}`, this, state[name]);
  }
  receive(state) {
    this.change(fromWire(state));
  }
  deliver(message) {
    this.tell("msg:custom", message, []);
  }
}

// As in Jupyter, bytes are a view into the whole message, and begin anywhere in it.
function fromWire(state) {
  const read = ([name, value]) => [name, value?.bytes ? viewOf(value.bytes) : value];
  return Object.fromEntries(Object.entries(state).map(read));
}

function viewOf(bytes) {
  const whole = new Uint8Array(bytes.length + 24).fill(255);
  whole.set(bytes, 13);
  return new DataView(whole.buffer, 13, bytes.length);
}

function toWire(state) {
  const bytes = (view) => Array.from(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  const write = ([name, value]) => [name, ArrayBuffer.isView(value) ? bytes(value) : value];
  return Object.fromEntries(Object.entries(state).map(write));
}

export async function mount(address, state) {
  window.sent = [];
  window.model = new StubModel(state);
  const module = await import(address);
  const el = document.getElementById("widget");
  window.cleanup = await module.default.render({ model: window.model, el });
}
