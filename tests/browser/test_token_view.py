"""The text token by token, in a browser: colours, order, keys, details, and nothing but text."""

from __future__ import annotations

import numpy as np
import pytest
from support.hostile import TEXTS

from browser.mounting import contrast, deliver, messages, mount, receive, saved, style
from browser.test_shortcuts import LISTEN
from workbench.core.text import escape_control_characters

TOKENS = ["One", " two", "\u21b5", " two", "!"]
BEFORE = [np.nan, 4.0, 1.0, 0.5, 2.0]
AFTER = [np.nan, 4.5, 1.0, 4.5, 1.0]


def floats(values):
    return np.array(values, np.float32).tobytes()


def traits(**changed):
    return {
        "tokens": TOKENS, "before": floats(BEFORE), "after": floats(AFTER), "color_max": 4.0,
        "summary": "1.88 to 2.75 nats a token", "note": "", "labels": ["no mask", "2 heads masked"],
        "order": "text", "selected": -1, "revision": 1, "theme": "", "stale": False,
        "locked": False, "chosen": "", "when": "predicted", **changed,
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
    assert words(view) == [" two", " two", "\u21b5", "!", "One"]
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


def asked(page, count, action="look"):
    """The questions of one kind, once there are so many."""
    page.wait_for_function(
        "([count, action]) =>"
        " window.sent.filter((one) => one.message?.action === action).length >= count",
        arg=[count, action],
    )
    return messages(page, action)


def test_pointing_asks_for_predictions_once_and_shows_them(view):
    view.evaluate("""() => { for (const i of [1, 3]) document.querySelector(
        `.aiw-token[data-index="${i}"]`).dispatchEvent(new PointerEvent("pointerover",
        {bubbles: true})) }""")  # a pointer that passes over one token on its way to another
    assert asked(view, 1, "predict") == [{"action": "predict", "token": 3, "revision": 1}]
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
    view.wait_for_function("() => window.sent.some((one) => one.message?.revision === 2)")
    assert messages(view, "predict")[-1] == {"action": "predict", "token": 3, "revision": 2}


def test_a_token_without_a_prediction_is_not_asked_about(view):
    token(view, 0).hover()
    view.wait_for_timeout(200)
    assert messages(view, "predict") == []


def test_a_token_without_a_prediction_says_why_no_head_is_needed(view):
    token(view, 0).click()
    view.keyboard.press("Enter")
    assert messages(view, "ask") == []
    assert "no head can be needed for it" in view.locator(".aiw-details").text_content()
    token(view, 1).hover()
    assert "no head can be needed" not in view.locator(".aiw-details").text_content()


def test_what_is_the_same_before_and_after_stands_once(view):
    receive(view, labels=["no mask", "no mask"], after=floats(BEFORE), revision=2)
    token(view, 3).hover()
    side = [["a", 0.5], ["b", 0.25]]
    same = {"kind": "predictions", "token": 3, "revision": 2, "before": side, "after": side}
    deliver(view, same)
    assert view.locator(".aiw-predictions th").all_text_contents() == ["predicted: no mask"]
    cells = view.locator(".aiw-predictions td").all_text_contents()
    assert cells == ["a", "50.0 %", "b", "25.0 %"]
    # Two sets that only have the same name are two.
    deliver(view, same | {"after": [["c", 0.5]]})
    assert view.locator(".aiw-predictions th").count() == 2


# ---- where a head looks -----------------------------------------------------------------------


def row(weights, **changed):
    return {"weights": weights, "bos": 0, "sink": 0, "masked": False, **changed}


def answer(**changed):
    return {
        "kind": "looks", "token": 3, "revision": 1, "chosen": "L1H3", "when": "predicted",
        "note": "", "before": row([0.05, 0.8, 0.01, 0, 0], bos=0.14),
        "after": row([0.5, 0.3, 0.01, 0, 0], bos=0.19), **changed,
    }  # fmt: skip


@pytest.fixture
def looking(view):
    receive(view, chosen="L1H3")
    return view


def sources(page):
    """The tokens with a mark: their number, the bars now and before, the number that they carry."""
    return page.locator(".aiw-looked-at").evaluate_all(
        "(all) => all.map((one) => [+one.dataset.index, one.style.getPropertyValue('--aiw-after'),"
        " one.style.getPropertyValue('--aiw-before'), one.dataset.look ?? ''])"
    )


def test_a_token_that_is_pointed_at_shows_where_the_chosen_head_looks(looking):
    token(looking, 3).hover()
    assert "L1H3 looks at, when predicted" in looking.locator(".aiw-details").text_content()
    assert asked(looking, 1) == [{"action": "look", "token": 3, "revision": 1}]
    assert sources(looking) == []
    deliver(looking, answer())
    # The number of the first would cover that of its stronger neighbour: it stands below only.
    assert sources(looking) == [[0, "2.5px", "1.1px", ""],
                                [1, "1.9px", "3.4px", "0.80 \u2192 0.30"]]  # fmt: skip
    table = looking.locator(".aiw-looks")
    assert table.locator("th").all_text_contents() == ["no mask \u2192 2 heads masked"]
    assert table.locator("td").all_text_contents() == [
        '" two" (token 1)', "0.80 \u2192 0.30", '"One" (token 0)', "0.05 \u2192 0.50",
        "BOS", "0.14 \u2192 0.19",
    ]  # fmt: skip
    token(looking, 4).hover()
    assert sources(looking) == []  # not yet known of this one
    token(looking, 3).hover()
    assert len(sources(looking)) == 2  # known
    looking.wait_for_timeout(200)
    assert [message["token"] for message in messages(looking, "look")].count(3) == 1


def test_the_keyboard_and_a_screen_reader_learn_it_too(looking):
    token(looking, 2).focus()
    looking.keyboard.press("ArrowRight")
    looking.wait_for_function("() => window.sent.at(-1).message?.token === 3")
    assert messages(looking, "look")[-1]["token"] == 3
    deliver(looking, answer())
    assert len(sources(looking)) == 2
    live = looking.locator("[aria-live]")
    assert '" two" (token 1)0.80 \u2192 0.30' in live.text_content()


def test_an_answer_about_another_mask_or_head_or_place_is_not_shown(looking):
    token(looking, 3).hover()
    asked(looking, 1)
    for other in ({"revision": 0}, {"chosen": "L0H0"}, {"when": "read"}, {"token": 4}):
        deliver(looking, answer(**other))
        assert sources(looking) == []
    deliver(looking, answer())
    assert len(sources(looking)) == 2
    receive(looking, chosen="L0H0")
    assert sources(looking) == []
    assert len(asked(looking, 2)) == 2  # asked anew for the other head
    receive(looking, chosen="")
    assert "Choose a head" in looking.locator(".aiw-details").text_content()
    deliver(looking, answer(chosen=""))
    looking.wait_for_timeout(200)
    assert len(messages(looking, "look")) == 2
    receive(looking, chosen="L1H3", revision=2)
    deliver(looking, answer(revision=2))
    assert len(sources(looking)) == 2
    receive(looking, revision=3)  # another mask
    assert sources(looking) == []


def test_several_heads_look(looking):
    receive(looking, chosen="3 masked heads: L1H3 L2H0 L2H1")
    token(looking, 3).hover()
    assert "3 masked heads look at, when" in looking.locator(".aiw-details").text_content()


def test_a_head_that_is_masked_itself_is_marked_as_it_looked_before(looking):
    token(looking, 3).hover()
    flat = row([0.33, 0.33, 0.33, 0, 0], masked=True)
    deliver(looking, answer(after=flat, note="masked"))
    assert [[i, now, label] for i, now, _, label in sources(looking)] == [
        [0, "0px", ""], [1, "0px", "0.80"],
    ]  # fmt: skip
    words = looking.locator(".aiw-details-looks").text_content()
    assert words.startswith("L1H3 (masked) looks at, ")
    assert "0.80 \u2192 0.33" in words


def test_with_nothing_masked_there_is_one_bar_and_one_number(looking):
    receive(looking, labels=["no mask", "no mask"], revision=2)
    token(looking, 3).hover()
    same = row([0.05, 0.8, 0.01, 0, 0], sink=0.14)
    deliver(looking, answer(revision=2, before=same, after=same))
    assert sources(looking) == [[0, "1.1px", "0px", ""], [1, "3.4px", "0px", "0.80"]]
    assert looking.locator(".aiw-looks td").all_text_contents() == [
        '" two" (token 1)', "0.80", '"One" (token 0)', "0.05", "attention sink", "0.14",
    ]  # fmt: skip
    assert looking.locator(".aiw-looks th").count() == 0


def test_from_which_place_it_looks_can_be_chosen(looking):
    token(looking, 0).focus()  # not predicted, so nothing looks from there
    looking.wait_for_timeout(200)
    assert messages(looking, "look") == []
    assert "no token stands before this one" in looking.locator(".aiw-details").text_content()
    button = looking.get_by_role("button", name="when predicted")
    assert "the token before, which predicts this one" in button.get_attribute("title")
    button.click()
    assert saved(looking, "when") == ["read"]
    assert asked(looking, 1) == [{"action": "look", "token": 0, "revision": 1}]
    deliver(looking, answer(token=0, when="read", after=row([1, 0, 0, 0, 0])))
    assert [number for number, *_ in sources(looking)] == [0, 1]
    focused = "() => document.activeElement.className"
    assert looking.evaluate(focused) == "aiw-token-when"  # the answer does not take it away
    looking.keyboard.press("Enter")
    assert saved(looking, "when") == ["read", "predicted"]


@pytest.mark.parametrize("theme", ["light", "dark", None])
def test_marks_are_told_by_shape_and_can_be_seen(page, theme):
    mount(page, "token_view", traits(chosen="L1H3"), theme=theme)
    token(page, 3).hover()
    heats = [heat(page, number) for number in range(5)]
    deliver(page, answer())
    assert [heat(page, number) for number in range(5)] == heats  # the colours are the losses'
    source = '.aiw-token[data-index="1"]'
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    bars = style(page, source, "backgroundImage")
    ink = style(page, source, "color")
    assert bars.count(ink) >= 3  # two stops of the solid bar, the dashes
    assert contrast(page, ink, ground) > 4.5
    label = [style(page, source, name, "::before") for name in ("color", "backgroundColor")]
    assert contrast(page, *label) > 4.5
    assert style(page, source, "content", "::before") == '"0.80 \u2192 0.30"'


def test_the_heads_that_a_token_needs_stand_beside(view):
    token(view, 3).hover()
    needs = {"kind": "needs", "token": 3, "revision": 1, "against": "no mask",
             "heads": [["L1H3", 0.5], ["L0H0", -0.125]]}  # fmt: skip
    deliver(view, needs)
    words = "heads it needs, against no mask: L1H3 +0.50, L0H0 \u22120.13"
    assert view.locator(".aiw-details-needs").text_content() == words
    token(view, 4).hover()
    assert view.locator(".aiw-details-needs").text_content() == ""


# ---- the scale --------------------------------------------------------------------------------


def test_what_lies_beyond_the_scale_is_marked_and_said(view):
    assert view.locator(".aiw-beyond").count() == 0
    receive(view, after=floats([np.nan, 9.0, 1.0, 4.5, 2.0]), revision=2)
    assert view.locator(".aiw-token.aiw-beyond").count() == 1
    assert token(view, 1).get_attribute("aria-label").endswith("+5.00, beyond the scale")
    assert "> +4 nats" in view.locator(".aiw-token-legend").text_content()
    assert "< \u2212" not in view.locator(".aiw-token-legend").text_content()
    assert "overline" in style(view, '.aiw-token[data-index="1"]', "textDecorationLine")
    receive(view, color_max=8.0)
    assert view.locator(".aiw-beyond").count() == 0


def test_the_scale_can_be_locked(view):
    button = view.get_by_role("button", name="keep the scale of the colours")
    assert button.get_attribute("aria-pressed") == "false"
    box = button.bounding_box()
    button.click()
    assert saved(view, "locked") == [True]
    assert button.get_attribute("aria-pressed") == "true"
    assert (button.text_content(), button.bounding_box()) == ("locked", box)
    receive(view, after=floats(BEFORE), revision=2)
    assert view.evaluate("() => document.activeElement.className") == "aiw-token-lock"
    view.keyboard.press("Enter")
    assert saved(view, "locked") == [True, False]


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
        assert commands(view)[-1] == {"action": action}


def test_the_next_document_is_opened_by_key(view):
    token(view, 1).focus()
    for key in ("Alt+ArrowDown", "Alt+ArrowUp"):
        view.keyboard.press(key)
    assert [message["by"] for message in messages(view, "step")] == [1, -1]
    assert view.evaluate("() => +document.activeElement.dataset.index") == 1


def commands(view):
    """What was sent besides what is asked of its own accord wherever the focus rests."""
    return [message for message in messages(view) if message["action"] not in ("predict", "look")]


PLAIN = ["x", "a", "d", "m", "0", "?", "Shift+L", "Delete", "Backspace"]


def test_plain_keys_without_a_meaning_go_nowhere(view):
    view.evaluate("""() => { window.left = []; document.addEventListener("keydown", (event) =>
        window.left.push(event.key)); }""")
    token(view, 1).focus()
    for key in PLAIN:
        view.keyboard.press(key)
    assert view.evaluate("() => window.left.splice(0)") == ["Shift"]
    assert commands(view) == []
    assert view.evaluate("() => +document.activeElement.dataset.index") == 1
    for key in ("Escape", "Control+s", "Alt+ArrowLeft", "Tab"):
        view.keyboard.press(key)
    left = [key for key in view.evaluate("() => window.left") if key not in ("Control", "Alt")]
    assert left == ["Escape", "s", "ArrowLeft", "Tab"]


def test_jupyterlab_is_not_told_of_plain_keys(view):
    view.evaluate(LISTEN)
    token(view, 1).focus()
    for key in PLAIN:
        view.keyboard.press(key)
    taken = view.evaluate("() => window.taken.splice(0)")
    assert taken.count(True) == 1  # Shift itself
    for key in ("Escape", "Control+s", "Control+b"):
        view.keyboard.press(key)
    assert all(view.evaluate("() => window.taken"))


# ---- room -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [350, 620, 690, 984])
def test_the_rise_and_the_means_are_not_cut(page, width):
    """350 px is the column of the text in JupyterLab at 1100x700."""
    summary = "+50%: 3.00 → 4.50 nats a token"
    mount(page, "token_view", traits(summary=summary), theme="light")
    page.evaluate(f"() => {{ document.body.style.width = '{width}px'; }}")
    seen = page.evaluate("""(shown) => {
        const summary = document.querySelector(".aiw-summary");
        const range = document.createRange();
        range.setStart(summary.firstChild, 0);
        range.setEnd(summary.firstChild, shown);
        return [range.getBoundingClientRect().right, summary.getBoundingClientRect().right];
    }""", summary.index(" nats"))  # fmt: skip
    assert seen[0] <= seen[1]
    # Neither is the unit behind them: what has no room beside the legend stands in a second line.
    assert page.evaluate("""() => [".aiw-summary", ".aiw-token-top"].every((name) => {
        const one = document.querySelector(name);
        return one.scrollWidth <= one.clientWidth && one.scrollHeight <= one.clientHeight; })""")


@pytest.mark.parametrize("width", [400, 620, 984])
def test_the_widget_keeps_its_height_and_width_whatever_it_shows(page, width):
    long = 40 * TOKENS
    losses = floats(np.ones(len(long)))
    mount(page, "token_view", traits(tokens=long, before=losses, after=losses), theme="light")
    page.evaluate(f"""() => Object.assign(document.body.style,
        {{display: "flex", flexDirection: "column", width: "{width}px", height: "430px"}})""")
    boxes = """() => ["#widget", ".aiw-token-top", ".aiw-tokens", ".aiw-details"].map((name) => {
        const box = document.querySelector(name).getBoundingClientRect();
        return [box.top, box.height, box.width]; })"""
    first = page.evaluate(boxes)
    assert first[0][1:] == [430, width]
    assert first[1][1] <= 30  # summary and legend on one line
    assert first[3][1] == 150
    receive(page, chosen="L1H3", note="8,056 more tokens of this text are not read")
    noted = page.evaluate(boxes)
    assert noted[0] == first[0]
    assert noted[3] == first[3]
    token(page, 3).hover()
    weights = (np.arange(len(long)) == 1).astype(float).tolist()
    deliver(page, answer(before=row(weights), after=row(weights)))
    deliver(page, {"kind": "predictions", "token": 3, "revision": 1,
                   "before": [["a long token that fills a line", 0.5]] * 5,
                   "after": [["b", 0.5]] * 5})  # fmt: skip
    deliver(page, {"kind": "needs", "token": 3, "revision": 1, "against": "no mask",
                   "heads": [[f"L{layer}H1", 0.5] for layer in range(9)]})  # fmt: skip
    assert page.evaluate(boxes) == noted
    sideways = page.evaluate("""() => [...document.querySelectorAll("#widget, #widget *")].filter(
        (one) => one.scrollWidth > one.clientWidth
            && ["auto", "scroll"].includes(getComputedStyle(one).overflowX)).length""")
    assert sideways == 0
    assert page.evaluate("() => document.body.scrollWidth") <= width
    scrolls = "() => { const l = document.querySelector('.aiw-tokens'); " \
        "return l.scrollHeight > l.clientHeight; }"  # fmt: skip
    assert page.evaluate(scrolls)


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
    assert set(kinds) <= {"DIV", "SPAN", "BR", "BUTTON", "SELECT", "OPTION"}
    assert page.locator("select option").all_text_contents() == [  # the control of the steps alone
        "no steps", "steps: blank lines", "steps: sentences",
    ]  # fmt: skip
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


@pytest.mark.parametrize("width", [375, 620, 720])
def test_the_bar_of_colours_stays_and_no_word_is_cut(page, width):
    page.set_viewport_size({"width": width, "height": 300})
    mount(page, "token_view", traits(summary="+24%: 3.40 \u2192 4.22 nats a token"))
    assert page.locator(".aiw-token-bar").bounding_box()["width"] >= 20
    whole = "(one) => one.scrollHeight <= one.clientHeight && one.scrollWidth <= one.clientWidth"
    for part in (".aiw-summary", ".aiw-token-top", ".aiw-token-lock"):
        assert page.locator(part).evaluate(whole), part
    receive(page, locked=True)
    assert page.locator(".aiw-token-lock").evaluate(whole)
