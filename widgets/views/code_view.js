// Code as text, with a button that copies it.

// Strings, comments and words of the language; all else stays as it is.
const PARTS = /('(?:[^'\\\n]|\\.)*')|(#.*)|\b(import|as|from|with|for|in|None|True|False)\b/g;
const KINDS = ["aiw-code-string", "aiw-code-comment", "aiw-code-word"];

// The code as nodes: text stays text, whatever it holds.
function coloured(source) {
  const nodes = [];
  let end = 0;
  for (const found of source.matchAll(PARTS)) {
    nodes.push(source.slice(end, found.index));
    const span = element("span", KINDS[found.slice(1).findIndex((part) => part !== undefined)]);
    span.textContent = found[0];
    nodes.push(span);
    end = found.index + found[0].length;
  }
  return [...nodes, source.slice(end)];
}

function render({ model, el }) {
  el.classList.add("aiw-code-widget");
  const copy = element("button", "aiw-copy jupyter-button");
  const code = element("pre", "aiw-code");
  copy.title = "Copy the code, to run it in a cell or a script";
  code.tabIndex = 0;
  code.role = "region";
  code.ariaLabel = "Python code";
  el.replaceChildren(copy, code);

  const show = () => {
    copy.textContent = "Copy";
    code.replaceChildren(...coloured(model.get("code")));
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

export default viewOf({ render });
