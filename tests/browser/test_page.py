"""What the `page` of these tests does not let pass."""

from __future__ import annotations

import pytest

from browser.conftest import find_browser


def test_uncaught_errors_are_noticed(page):
    page.evaluate("() => { setTimeout(() => { throw new Error('thrown later'); }); }")
    page.evaluate("() => { Promise.reject(new Error('rejected')); }")
    page.evaluate("() => new Promise((done) => setTimeout(done, 20))")
    first, second = sorted(page.problems)
    assert "rejected" in first
    assert "thrown later" in second
    page.problems.clear()


@pytest.mark.parametrize(
    "markup",
    ["<img src='http://cdn.example/x.png'>", "<link rel=stylesheet href=//cdn.example/x.css>"],
)
def test_requests_to_elsewhere_are_noticed_and_stopped(page, markup):
    page.set_content(
        f"<base href='https://x/'>{markup}<img src='data:image/gif;base64,R0lGODlhAQAB'>"
    )
    (problem,) = page.problems
    assert "cdn.example" in problem
    page.problems.clear()


def test_a_missing_browser_fails_and_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        find_browser()
