// The steps of a text as bands behind its tokens: every other one is shaded, each begins with a rule.
//
// A part of the token view, in front of it. Python cuts the text as the trait `step_by` says, and gives for
// each step its first token, the one behind its last, and words on its influence.

const STEP_CHOICES = [
  ["", "no steps"],
  ["blank line", "steps: blank lines"],
  ["sentence", "steps: sentences"],
];

function stepBands(model) {
  let groups = []; // [element, first token, the one behind the last]
  const steps = () => model.get("steps") ?? [];

  const control = element("select", "aiw-token-steps");
  control.setAttribute("aria-label", "steps of the text, as bands with their influence");
  control.title = "Show the steps of the text as bands. Point at one to see what masking costs it.";
  for (const [value, words] of STEP_CHOICES) control.add(new Option(words, value));
  control.addEventListener("change", () => {
    model.set("step_by", control.value);
    model.save_changes();
  });

  // The words of a band: its name for screen readers, and what a pointer that rests on it is told.
  function relabel() {
    control.value = model.get("step_by") ?? "";
    const all = steps();
    groups.forEach(([group], i) => {
      if (!all[i]) return; // these bands are out of sight
      group.title = all[i][2];
      group.setAttribute("aria-label", all[i][2]);
    });
  }

  // The nodes of all tokens in the order of the text, those of a step inside its band.
  function laid(count, nodesOf) {
    groups = [];
    const nodes = [];
    let next = 0;
    for (const [first, last] of steps()) {
      if (first !== next || last > count) break; // of another text: the next revision brings both
      const group = element("span", "aiw-step", "group");
      group.classList.toggle("aiw-step-shaded", groups.length % 2 === 0);
      for (let i = first; i < last; i++) group.append(...nodesOf(i));
      groups.push([group, first, last]);
      nodes.push(group);
      next = last;
    }
    for (; next < count; next++) nodes.push(...nodesOf(next));
    relabel();
    return nodes;
  }

  // Whether other tokens belong together than those that were laid.
  function moved() {
    const all = steps();
    return (
      all.length !== groups.length ||
      groups.some(([, first, last], i) => all[i][0] !== first || all[i][1] !== last)
    );
  }

  // What is said of the step of a token; "" without steps.
  const wordsOf = (i) => steps().find(([first, last]) => first <= i && i < last)?.[2] ?? "";

  return { control, laid, moved, relabel, wordsOf };
}

