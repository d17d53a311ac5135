"""A document table on a page, and what the tests ask of it; Python's part is played here."""

from __future__ import annotations

from browser.mounting import deliver, messages, mount
from widgets.views.row_table import column

MANY = 100_000
ROW = 26  # px, as in row_table.js
HOSTILE = [
    "<script>window.acted = 1</script>",
    "<img src=x onerror='window.acted = 1'>",
    "&lt;b&gt; &amp; \"quoted\" 'and' `ticked` ${window.acted = 1}",
    "right \u202eto left\u202c, zero\u200bwidth, bell\a, escape\x1b[31m, nul\0, line\nend",
    "\u05d0\u05d1\u05d2 \u0627\u0628 \U0001f600 e\u0301",
]
TEXT = [column("doc_id", "document", 90, share=1), column("score", "score", 62, 4)]


def show(page, total=MANY, theme="light", **traits):
    """Mount a table of which no row has come yet."""
    state = {"total": total, "columns": TEXT, "by": "score", "ascending": False, "revision": 1,
             "opened": -1, "pointed": -1, "histograms": {}, "label": "documents",
             "nothing": "no document passes the filters"}  # fmt: skip
    mount(page, "row_table", state | traits, theme=theme)


def rest(page, milliseconds=60):
    """Wait until the page has drawn and its timers of that length have run, however slow it is."""
    page.evaluate(
        "(time) => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>"
        " setTimeout(done, time))))",
        milliseconds,
    )


def asked(page):
    """The row requests so far, once none is being collected any more."""
    rest(page)
    return messages(page, "rows")


def answer(page, revision=1, of="document"):
    """Answer the last request as Python would; row i holds the document at position 7 i."""
    request = asked(page)[-1]
    numbers = range(request["first"], request["first"] + request["count"])
    rows = [{"position": 7 * i, "cells": [f"{of} {i}", f"0.{i}"]} for i in numbers]
    deliver(page, {"kind": "rows", "revision": revision, "first": numbers.start, "rows": rows})


def settle(page):
    """Answer until nothing is missing any more."""
    answered = 0
    while len(asked(page)) > answered:
        answered = len(messages(page, "rows"))
        answer(page)


def scroll(page, top):
    page.evaluate("(top) => { document.querySelector('.aiw-view').scrollTop = top; }", top)
    rest(page)


def row(page, number):
    return page.locator(f'.aiw-doc-row[aria-rowindex="{number + 2}"]:not([hidden])')


def on_screen(page):
    """Numbers and texts of the rows that the reader sees, from top to bottom."""
    return page.evaluate(
        """() => {
          const view = document.querySelector(".aiw-view").getBoundingClientRect();
          return [...document.querySelectorAll(".aiw-doc-row:not([hidden])")]
            .map((one) => [one.getBoundingClientRect(), one])
            .filter(([box]) => box.bottom > view.top + 1 && box.top < view.bottom - 1)
            .sort(([a], [b]) => a.top - b.top)
            .map(([, one]) => [one.getAttribute("aria-rowindex") - 2, one.children[0].textContent]);
        }"""
    )


def focused(page):
    return page.evaluate("() => document.activeElement.getAttribute('aria-rowindex') - 2")
