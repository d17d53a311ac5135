"""The code of a session on a page: all of it as text, coloured so that it can be read."""

from __future__ import annotations

import pytest

from browser.mounting import contrast, mount, receive, style

CODE = """import workbench as wb

session = wb.Session(wb.load_model())
session.read('it\\'s # no comment <img src=x onerror="window.acted = 1">')
# a comment with 'a string' in it
session.open(\"<script>window.acted = 1</script>\")
"""


def parts(page, kind):
    return page.locator(f".aiw-code-{kind}").all_text_contents()


def test_strings_comments_and_words_are_told_apart_and_all_is_text(page):
    mount(page, "code_view", {"code": CODE})
    assert page.locator(".aiw-code").text_content() == CODE
    assert parts(page, "string") == [
        """'it\\'s # no comment <img src=x onerror="window.acted = 1">'"""
    ]
    assert parts(page, "comment") == ["# a comment with 'a string' in it"]
    assert parts(page, "word") == ["import", "as"]
    assert page.locator(".aiw-code img, .aiw-code script").count() == 0
    assert page.evaluate("() => window.acted") is None
    receive(page, code="session.mask('L0H1')\n")
    assert page.locator(".aiw-code").text_content() == "session.mask('L0H1')\n"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_can_be_read(page, theme):
    mount(page, "code_view", {"code": CODE}, theme=theme)
    for kind in ("string", "comment", "word"):
        ink = style(page, f".aiw-code-{kind}", "color")
        paper = style(page, ".aiw-code", "backgroundColor")
        assert contrast(page, ink, paper) >= 4.5, kind


def test_copy_puts_all_of_the_code_on_the_clipboard(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    mount(page, "code_view", {"code": CODE})
    copy = page.get_by_role("button", name="Copy")
    copy.click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("() => navigator.clipboard.readText()") == CODE
    receive(page, code="session.mask('L0H1')\n")
    assert copy.text_content() == "Copy"  # this is not copied yet


def test_where_there_is_no_clipboard_the_code_is_selected_for_ctrl_c(page):
    mount(page, "code_view", {"code": CODE})
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Selected: press Ctrl+C").wait_for()
    assert page.evaluate("() => getSelection().toString()") == CODE.rstrip("\n")
