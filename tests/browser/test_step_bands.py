"""Bands of steps in the text view, in a browser: shades, rules, names, details, the control."""

from __future__ import annotations

import pytest

from browser.mounting import contrast, deliver, mount, receive, saved, style
from browser.test_token_view import TOKENS, floats, token, traits, words

STEPS = [[0, 3, "step 1 of 2: +0.50 nats over 2 tokens (+10 %)"],
         [3, 5, "step 2 of 2: +3.00 nats over 2 tokens (+120 %)"]]  # fmt: skip


def mounted(page, theme="light", **changed):
    given = {"step_by": "sentence", "steps": STEPS, **changed}
    mount(page, "token_view", traits(**given), theme=theme)
    return page


def bands(page):
    """The words in each band."""
    return page.locator(".aiw-step").evaluate_all(
        "(all) => all.map((one) => [...one.querySelectorAll('.aiw-token')]"
        ".map((token) => token.textContent))"
    )


def test_each_step_is_a_group_with_its_influence_as_its_name(page):
    view = mounted(page)
    assert bands(view) == [TOKENS[:3], TOKENS[3:]]
    assert words(view) == TOKENS
    for _, _, name in STEPS:
        group = view.get_by_role("group", name=name, exact=True)
        assert group.count() == 1
        assert group.get_attribute("title") == name  # what a pointer is told
    assert view.get_by_role("listbox").locator(".aiw-step br").count() == 1


def test_details_say_the_step_of_a_token_and_keys_cross_the_bands(page):
    view = mounted(page)
    token(view, 2).focus()
    assert view.locator(".aiw-details-head").text_content().endswith(STEPS[0][2])
    view.keyboard.press("ArrowRight")
    assert view.evaluate("() => document.activeElement.dataset.index") == "3"
    assert view.locator(".aiw-details-head").text_content().endswith(STEPS[1][2])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_bands_are_told_by_shade_and_by_rule_and_stay_readable(page, theme):
    view = mounted(page, theme)
    shades = [style(view, f".aiw-step:nth-child({n})", "backgroundColor") for n in (1, 2)]
    assert shades[0] != shades[1] == "rgba(0, 0, 0, 0)"
    assert style(view, ".aiw-step", "borderLeftWidth") == "3px"
    ink = style(view, ".aiw-token", "color")
    assert contrast(view, ink, shades[0]) > 7
    rule = style(view, ".aiw-step", "borderLeftColor")
    assert contrast(view, rule, style(view, ".aiw-tokens", "backgroundColor")) > 3


def test_the_control_has_a_name_is_used_with_keys_and_says_what_python_set(page):
    view = mounted(page, step_by="", steps=[])
    control = view.get_by_role("combobox", name="steps of the text", exact=False)
    assert control.count() == 1
    assert bands(view) == []
    control.focus()
    view.keyboard.press("ArrowDown")
    assert saved(view, "step_by") == ["blank line"]
    receive(view, step_by="blank line", steps=STEPS)
    assert bands(view) == [TOKENS[:3], TOKENS[3:]]
    receive(view, step_by="sentence", steps=[[0, 5, "all"]])
    assert control.input_value() == "sentence"
    assert bands(view) == [TOKENS]
    receive(view, step_by="", steps=[])
    assert bands(view) == []
    assert words(view) == TOKENS
    assert "step" not in view.locator(".aiw-details-head").text_content()


def test_another_mask_renames_the_bands_and_leaves_the_focus(page):
    view = mounted(page)
    view.evaluate("() => { window.kept = [...document.querySelectorAll('.aiw-step')]; }")
    token(view, 4).focus()
    renamed = [[*step[:2], f"{step[2]} now"] for step in STEPS]
    receive(view, after=floats([1, 1, 1, 1, 1]), steps=renamed, revision=2)
    names = view.locator(".aiw-step").evaluate_all("(all) => all.map((e) => e.ariaLabel)")
    assert names == [step[2] for step in renamed]
    same = "() => [...document.querySelectorAll('.aiw-step')].every((e, i) => e === kept[i])"
    assert view.evaluate(same)
    assert view.locator(".aiw-details-head").text_content().endswith("now")
    receive(view, steps=[[0, 1, "a"], [1, 5, "b"]])  # cut another way, under the finger
    assert view.evaluate("() => document.activeElement.dataset.index") == "4"
    assert bands(view) == [TOKENS[:1], TOKENS[1:]]


def test_another_text_has_its_own_bands(page):
    view = mounted(page)
    receive(view, tokens=["a", "b"], before=floats([1, 1]), after=floats([1, 2]),
            steps=[[0, 1, "one"], [1, 2, "two"]], revision=2)  # fmt: skip
    assert bands(view) == [["a"], ["b"]]
    receive(view, tokens=[], before=b"", after=b"", steps=[], revision=3)
    assert bands(view) == []


def test_the_most_hurt_first_has_no_bands_and_still_says_the_step(page):
    view = mounted(page, order="hurt")
    assert bands(view) == []
    token(view, 3).focus()
    assert view.locator(".aiw-details-head").text_content().endswith(STEPS[1][2])
    receive(view, steps=[], step_by="")
    receive(view, steps=STEPS, step_by="sentence", order="text")
    assert bands(view) == [TOKENS[:3], TOKENS[3:]]


def test_words_are_text_and_marks_of_where_heads_look_still_stand(page):
    hostile = "<img src=x onerror=window.hit=1>"
    view = mounted(page, steps=[[0, 5, hostile]], chosen="L1H0")
    assert view.locator(".aiw-step").get_attribute("title") == hostile
    token(view, 3).focus()
    assert view.locator(".aiw-details-head").text_content().endswith(hostile)
    side = {"weights": [0, 0.9, 0.05], "bos": 0, "sink": 0, "masked": False}
    deliver(view, {"kind": "looks", "token": 3, "revision": 1, "chosen": "L1H0",
                   "when": "predicted", "note": "", "before": side, "after": side})  # fmt: skip
    assert "aiw-looked-at" in token(view, 1).get_attribute("class")
    assert view.evaluate("() => window.hit") is None
