"""The card that "?" opens: first steps, what the colours mean, the keys."""

from __future__ import annotations

import ipywidgets as w

CARD = """
<details class="aiw-help"><summary title="Help: first steps, colours, keys" role="button"
aria-label="Help">?</summary><div role="dialog" aria-label="Help">
<b>First steps</b>
<ol><li><i>Find the heads</i> scores every head on lookup probes.</li>
<li><i>Mask top</i> makes the attention of the highest ones uniform; click or drag in the grid to
mask others.</li>
<li>Point at a word: what is predicted without and with the mask. Click it: which heads it needs.
</li></ol>
<b>Grid</b>: layers down, heads across; &times; is masked. A click masks or unmasks; dragging
paints; Shift+click fills a rectangle; a label takes its whole line; Alt+click only chooses a head,
and the text then shows what it attends to.<br>
<b>Text</b>: vermilion tokens become harder to predict under the mask, blue ones easier.<br>
<b>Keys in the grid</b>: arrows, Home, End; Space masks; Shift+Space fills; L a layer, H a head in
every layer; Ctrl+Z and Ctrl+Shift+Z undo and redo.<br>
<b>Keys in the text</b>: arrows, Page up and down; Enter asks which heads a token needs;
Alt+Up and Alt+Down open the next document of the table.<br>
Tab and Escape leave grid, text and table. To see cells beside the explorer: right-click it,
<i>Create New View for Cell Output</i>.
</div></details>
"""


class HelpButton(w.HTML):
    """A "?" that opens a card over what lies below it, and closes it again."""

    def __init__(self) -> None:
        super().__init__(CARD)
        self.add_class("aiw-help-button")
