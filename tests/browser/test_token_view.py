"""The text token by token, in a browser: colours, order, keys, details, and nothing but text."""

from __future__ import annotations

import numpy as np
import pytest
from support.hostile import TEXTS

from browser.mounting import contrast, deliver, messages, mount, receive, saved, style
from workbench.core.text import escape_control_characters

TOKENS = ["One", " two", "\u2424", " two", "!"]
BEFORE = [np.nan, 4.0, 1.0, 0.5, 2.0]
AFTER = [np.nan, 4.5, 1.0, 4.5, 1.0]


def floats(values):
    return np.array(values, np.float32).tobytes()


def traits(**changed):
    return {
        "tokens": TOKENS, "before": floats(BEFORE), "after": floats(AFTER), "color_max": 4.0,
        "summary": "1.88 to 2.75 nats a token", "note": "", "labels": ["no mask", "2 heads masked"],
        "order": "text", "selected": -1, "revision": 1, "theme": "", "stale": False, **changed,
    }  # fmt: skip


@pytest.fixture
def view(page):
    mount(page, "token_view", traits(), theme="light")
    return page


def token(page, number):
    return page.locator(f'.aiw-token[data-index="{number}"]')


def heat(page, number):
    return token(page, number).evaluate("(one) => one.style.getPropertyValue('--aiw-heat')")


def words(page):
    return page.locator(".aiw-tokens .aiw-token").all_text_contents()


def test_the_text_stands_in_reading_order_with_its_line_breaks(view):
    assert words(view) == TOKENS
    inside = view.evaluate("() => [...document.querySelector('.aiw-tokens').children]"
                           ".map((one) => one.tagName)")  # fmt: skip
    assert inside == ["SPAN", "SPAN", "SPAN", "BR", "SPAN", "SPAN"]
    assert view.locator(".aiw-summary").text_content() == "1.88 to 2.75 nats a token"
    legend = view.locator(".aiw-token-legend").text_content()
    assert "\u22124" in legend
    assert "+4 nats" in legend


def test_colours_say_how_much_and_in_which_direction(view):
    assert heat(view, 3) == "rgba(213, 94, 0, 0.700)"  # +4 nats of 4: the strongest
    assert heat(view, 1) == "rgba(213, 94, 0, 0.087)"
    assert heat(view, 2).endswith("0.000)")
    assert heat(view, 4) == "rgba(0, 114, 178, 0.175)"  # easier
    assert heat(view, 0).endswith("0.000)")
    assert "aiw-unpredicted" in token(view, 0).get_attribute("class")


def test_each_token_says_what_it_is(view):
    assert view.get_by_role("listbox").count() == 1
    assert token(view, 3).get_attribute("role") == "option"
    label = token(view, 3).get_attribute("aria-label")
    assert label == 'token 3, " two", 0.50 to 4.50 nats, change +4.00'
    assert token(view, 4).get_attribute("aria-label").endswith("change \u22121.00")
    assert token(view, 0).get_attribute("aria-label") == 'token 0, "One", not predicted'
    assert view.locator(".aiw-token[tabindex='0']").count() == 1


def test_most_hurt_first(view):
    receive(view, order="hurt")
    assert words(view) == [" two", " two", "\u2424", "!", "One"]
    numbers = view.locator(".aiw-token").evaluate_all("(all) => all.map((e) => +e.dataset.index)")
    assert numbers == [3, 1, 2, 4, 0]  # what cannot be told comes last
    assert view.locator(".aiw-tokens br").count() == 0
    token(view, 3).focus()
    view.keyboard.press("ArrowRight")
    assert view.evaluate("() => document.activeElement.dataset.index") == "1"
    receive(view, order="text")
    assert words(view) == TOKENS


def test_a_new_mask_recolours_the_tokens_that_are_there(view):
    view.evaluate("() => { window.kept = [...document.querySelectorAll('.aiw-token')]; }")
    token(view, 3).focus()
    receive(view, after=floats([np.nan, 4.0, 1.0, 0.5, 6.0]), summary="new", revision=2)
    assert heat(view, 3).endswith("0.000)")
    assert heat(view, 4) == "rgba(213, 94, 0, 0.700)"
    assert view.locator(".aiw-summary").text_content() == "new"
    same = "() => [...document.querySelectorAll('.aiw-token')].every((e, i) => e === kept[i])"
    assert view.evaluate(same)
    assert view.evaluate("() => document.activeElement.dataset.index") == "3"


def test_colours_that_are_out_of_date_fade(view):
    assert style(view, ".aiw-tokens", "opacity") == "1"
    receive(view, stale=True)
    view.wait_for_function(
        "() => getComputedStyle(document.querySelector('.aiw-tokens')).opacity < 1"
    )
    receive(view, stale=False)
    assert style(view, ".aiw-tokens", "opacity") == "1"


def test_a_new_text_replaces_the_old(view):
    token(view, 4).focus()
    receive(view, tokens=["a", "b"], before=floats([1, 1]), after=floats([1, 2]), revision=2)
    assert words(view) == ["a", "b"]
    assert view.locator(".aiw-token[tabindex='0']").count() == 1
    receive(view, tokens=[], before=b"", after=b"", revision=3)
    assert words(view) == []
    view.keyboard.press("ArrowRight")


def test_pointing_asks_for_predictions_once_and_shows_them(view):
    view.evaluate("""() => { for (const i of [1, 3]) document.querySelector(
        `.aiw-token[data-index="${i}"]`).dispatchEvent(new PointerEvent("pointerover",
        {bubbles: true})) }""")  # a pointer that passes over one token on its way to another
    view.wait_for_timeout(200)
    assert messages(view, "predict") == [{"action": "predict", "token": 3, "revision": 1}]
    assert view.locator(".aiw-details-head").text_content().startswith("token 3")
    assert view.locator(".aiw-predictions").count() == 0
    predictions = {"kind": "predictions", "token": 3, "revision": 1,
               "before": [["a", 0.5], ["<b>b</b>", 0.25]], "after": [["c", 0.125]]}  # fmt: skip
    deliver(view, predictions)
    cells = view.locator(".aiw-predictions td").all_text_contents()
    assert cells == ["a", "50.0 %", "c", "12.5 %", "<b>b</b>", "25.0 %", "", ""]
    heads = view.locator(".aiw-predictions th").all_text_contents()
    assert heads == ["predicted: no mask", "predicted: 2 heads masked"]
    token(view, 1).hover()
    token(view, 3).hover()
    view.wait_for_timeout(200)
    assert view.locator(".aiw-predictions").count() == 1  # known
    assert [message["token"] for message in messages(view, "predict")].count(3) == 1


def test_predictions_of_an_older_mask_are_not_shown(view):
    token(view, 3).hover()
    receive(view, revision=2)
    deliver(
        view, {"kind": "predictions", "token": 3, "revision": 1, "before": [["a", 1]], "after": []}
    )
    assert view.locator(".aiw-predictions").count() == 0
    view.wait_for_timeout(200)
    assert messages(view, "predict")[-1] == {"action": "predict", "token": 3, "revision": 2}


def test_a_token_without_a_prediction_is_not_asked_about(view):
    token(view, 0).hover()
    view.wait_for_timeout(200)
    assert messages(view, "predict") == []


def test_a_click_or_enter_asks_which_heads_the_token_needs(view):
    token(view, 3).click()
    assert messages(view, "ask") == [{"action": "ask", "token": 3, "revision": 1}]
    view.keyboard.press("ArrowRight")
    view.keyboard.press("Enter")
    view.keyboard.press("Space")
    assert [message["token"] for message in messages(view, "ask")] == [3, 4, 4]
    receive(view, selected=4)
    assert token(view, 4).get_attribute("aria-selected") == "true"
    assert view.locator(".aiw-asked").count() == 1


def test_keys(view):
    token(view, 0).focus()
    for key, place in [
        ("ArrowRight", 1), ("ArrowDown", 2), ("ArrowLeft", 1), ("ArrowUp", 0), ("ArrowUp", 0),
        ("End", 4), ("ArrowRight", 4), ("Home", 0), ("PageDown", 4), ("PageUp", 0),
    ]:  # fmt: skip
        view.keyboard.press(key)
        assert view.evaluate("() => +document.activeElement.dataset.index") == place, key
    for keys, action in [("Control+z", "undo"), ("Control+Shift+z", "redo"), ("Control+y", "redo")]:
        view.keyboard.press(keys)
        assert messages(view)[-1] == {"action": action}


def test_tells_python_the_theme_of_the_page_and_its_changes(page):
    mount(page, "token_view", traits())
    assert saved(page, "theme") == ["light"]
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'false'; }")
    page.wait_for_function("() => window.model.get('theme') === 'dark'")
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'true'; }")
    page.wait_for_function("() => window.model.get('theme') === 'light'")
    page.evaluate("() => { window.cleanup(); document.body.dataset.jpThemeLight = 'false'; }")
    page.wait_for_timeout(50)
    assert saved(page, "theme")[-1] == "light"


@pytest.mark.parametrize("theme", ["light", "dark", None])
def test_ink_is_readable_on_the_strongest_colours(page, theme):
    mount(page, "token_view", traits(after=floats([np.nan, 9, 9, -9, -9])), theme=theme)
    for number in range(5):
        this = f'.aiw-token[data-index="{number}"]'
        assert contrast(page, style(page, this, "color"), style(page, this, "backgroundColor")) > 3
    for quiet in (".aiw-token-legend", ".aiw-summary", ".aiw-details"):
        ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert contrast(page, style(page, quiet, "color"), ground) > 4.5


def test_hostile_tokens_are_text_and_keep_their_places(page):
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    tokens = [escape_control_characters(text) for text in TEXTS]
    losses = floats(np.ones(len(tokens)))
    mount(page, "token_view", traits(tokens=tokens, before=losses, after=losses, note=tokens[0],
                                     summary=tokens[1], labels=tokens[2:4]))  # fmt: skip
    assert words(page) == tokens
    kinds = page.evaluate(
        "() => [...new Set([...document.querySelectorAll('#widget *')].map((e) => e.tagName))]"
    )
    assert set(kinds) <= {"DIV", "SPAN", "BR"}
    deliver(page, {"kind": "predictions", "token": 0, "revision": 1,
                   "before": [[token, 0.1] for token in tokens], "after": []})  # fmt: skip
    token(page, 0).focus()
    assert page.locator("td.aiw-prediction").first.text_content() == tokens[0]
    # A right-to-left word does not change places with its neighbours.
    receive(page, tokens=["a", " \u05e9\u05dc\u05d5\u05dd", " \u0645\u0631", " b"],
            before=floats([1] * 4), after=floats([1] * 4), revision=2)  # fmt: skip
    lefts = page.locator(".aiw-token").evaluate_all(
        "(all) => all.map((one) => one.getBoundingClientRect().left)"
    )
    assert lefts == sorted(lefts)
    assert page.evaluate("() => window.hacked") is None


def test_nothing_is_left_after_cleanup(view):
    view.evaluate("() => window.cleanup()")
    assert view.evaluate("() => window.model.listeners.length") == 0
