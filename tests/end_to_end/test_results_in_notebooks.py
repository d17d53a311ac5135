"""What a notebook shows of a result: all that its text form says, and foreign text as text."""

from __future__ import annotations

import html
import re

import pandas as pd
import pytest
from support.run_folders import score_table

import workbench as wb
from workbench.core.text import escape_control_characters
from workbench.detection.lookup_questions import HEADS, KEYS, MEASURES

EVIL = "<img src=x onerror=hurt()>\x1b"
SHOWN = "&lt;img src=x onerror=hurt()&gt;\\u001b"


def plan():
    seconds = {key: [3600.0] for key in ("seconds", "seconds_low", "seconds_high")}
    domains = pd.DataFrame({"domain": [EVIL], "documents": [12], "tokens": [345.0], **seconds})
    skipped = pd.DataFrame({"reason": [EVIL], "documents": [3]})
    return wb.Plan(domains, skipped, 6.0, "cpu", {}, 7.0, None)


def verification():
    rows = [
        ("runs", True, "fine", "files"),
        (EVIL, False, EVIL, "files"),
        ("texts", None, "-", "texts"),
    ]
    checks = pd.DataFrame(rows, columns=["check", "ok", "detail", "level"])
    checks["ok"] = checks["ok"].astype(object)
    levels = pd.DataFrame({"level": ["files"], "seconds": [0.5], "ok": [False]})
    return wb.Verification(checks, levels)


def comparison():
    settings = pd.DataFrame({"setting": [EVIL], "one": [1], "other": [2]})
    domains = pd.DataFrame({"domain": [EVIL], "spearman": [0.75]})
    moved = pd.DataFrame({"why": ["cut", "cut", EVIL]})
    return wb.ManifestComparison(settings, domains, moved)


def mixture_fit():
    runs = pd.DataFrame({"a": [0.1, 0.5, 0.9], "b": [0.9, 0.5, 0.1]})
    losses = pd.DataFrame({EVIL: [1.0, 2.0, 3.0]})
    return wb.MixtureFit("linear", {EVIL: None}, runs, losses, losses + 0.1)


def clusters():
    frame = pd.DataFrame({"doc_id": [EVIL, "d"], "domain": EVIL, "cluster": [0, 1]})
    return wb.DocumentClusters(frame, 0.5)


def funnel():
    return wb.funnel([{"id": "a", "text": "sarin", "domain": EVIL}], ["sarin"], escalate=1)


def lookup_test():
    rows = [
        (probe, 0, keys, heads, 1.0, 0.5, 0.5, 0.5)
        for probe in range(3)
        for keys in KEYS
        for heads in HEADS
    ]
    return wb.LookupTest(
        pd.DataFrame(rows, columns=["probe", "question", "keys", "heads", *MEASURES])
    )


def selection():
    return wb.select(score_table().assign(domain=EVIL))


def score_tests():
    frame = pd.DataFrame({"column": ["score"], "measure": ["AUC"], "against": [EVIL]})
    missing = pd.DataFrame({"column": [EVIL], "measure": ["AUC"], "reason": ["no value"]})
    frame[["value", "low", "high"]] = 0.5, 0.25, 0.75
    return wb.ScoreTests(frame, pd.DataFrame(), missing.assign(against="every"))


def paired_response():
    frame = pd.DataFrame({"kind": ["shuffled"], "column": [EVIL], "n": [4], "low": [0.5]})
    missing = pd.DataFrame({"kind": ["renamed"], "column": ["score"], "reason": [EVIL]})
    return wb.PairedResponse(frame, missing)


RESULTS = [
    plan, verification, comparison, mixture_fit, clusters, funnel, lookup_test, selection,
    score_tests, paired_response,
]  # fmt: skip


def seen(page):
    """The words that a browser shows, between spaces."""
    return html.unescape(re.sub(r"<[^>]*>", " ", page)).split()


@pytest.mark.parametrize("make", RESULTS)
def test_a_result_shows_in_a_notebook_what_its_text_form_says(make):
    result = make()
    page = result._repr_html_()
    tags = set(re.findall(r"<(\w+)", page))
    assert tags <= {"p", "table", "thead", "tbody", "tr", "th", "td"}
    assert "\x1b" not in page
    shown = " ".join(seen(page))
    # Columns are aligned by spaces in one form and by cells in the other.
    words = escape_control_characters(repr(result), newline="\n")
    words = words.replace(": ", " ").replace(", ", " ").split()
    missing = [word for word in words if word not in shown and f"{word}:" not in shown]
    assert missing == []
    if make not in (funnel, lookup_test):  # these show counts and words of ours alone
        assert SHOWN in page
