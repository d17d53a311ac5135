// Code as text, with a button that copies it.

function render({ model, el }) {
  el.classList.add("aiw-code-widget");
  const copy = element("button", "aiw-copy jupyter-button");
  const code = element("pre", "aiw-code");
  copy.title = "Copy the code, to run it in a cell or a script";
  code.tabIndex = 0;
  el.replaceChildren(copy, code);

  const show = () => {
    copy.textContent = "Copy";
    code.textContent = model.get("code");
  };

  // Without a secure context there is no clipboard: the code is selected instead, for Ctrl+C.
  const copied = async () => {
    try {
      await navigator.clipboard.writeText(model.get("code"));
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected: press Ctrl+C";
    }
  };

  const releaseKeys = claimKeys(code, () => false);
  copy.addEventListener("click", copied);
  model.on("change:code", show);
  show();
  return () => {
    releaseKeys();
    model.off("change:code", show);
  };
}

export default { render };
