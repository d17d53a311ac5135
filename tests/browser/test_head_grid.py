"""The head grid under a real pointer and a real keyboard."""

from __future__ import annotations

from browser.grid_page import cell, centre, drag, drawn, focused, masked, show
from browser.mounting import messages, receive, saved

# ---- pointer -------------------------------------------------------------------------------------


def test_the_stub_hands_out_bytes_as_jupyter_does(page):
    show(page)
    where = page.evaluate(
        "() => ['mask', 'values'].map((name) => window.model.get(name))"
        ".map((view) => [view.byteOffset % 2, view.buffer.byteLength > view.byteLength])"
    )
    assert where == [[1, True], [1, True]]


def test_a_click_shows_before_python_hears_of_it(page):
    show(page)
    at_once = page.evaluate(
        """() => {
          const cell = document.querySelector('.aiw-cell[data-index="9"]');
          cell.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true, button: 0 }));
          const masks = () => window.sent.filter((one) => one.saved && "mask" in one.saved).length;
          const pressed = [cell.classList.contains("aiw-masked"), masks()];
          window.dispatchEvent(new PointerEvent("pointerup", { button: 0 }));
          return [...pressed, masks()];
        }"""
    )
    assert at_once == [True, 0, 1]
    assert masked(page) == [9]


def test_clicks_toggle(page):
    show(page, masked=[3])
    cell(page, 3).click()
    assert masked(page) == []
    cell(page, 0).click()
    cell(page, 23).click()
    assert masked(page) == [0, 23]
    assert len(saved(page, "mask")) == 3
    cell(page, 5).click(button="right")
    assert len(saved(page, "mask")) == 3


def test_a_click_is_one_message_and_an_abandoned_one_still_says_what_was_chosen(page):
    # Jupyter holds a second message back until the kernel has done with the first.
    show(page)
    cell(page, 5).click()
    (both,) = page.evaluate("() => window.sent.map((one) => one.saved)")
    assert both["chosen"] == 5
    assert masked(page) == [5]
    page.mouse.move(*centre(page, 8))
    page.mouse.down()
    assert saved(page, "chosen") == [5]
    page.keyboard.press("Escape")
    assert saved(page, "chosen") == [5, 8]
    assert len(saved(page, "mask")) == 1
    page.mouse.up()
    assert len(saved(page, "mask")) == 1


def test_a_drag_paints_what_its_first_cell_became(page):
    show(page, masked=[4])
    drag(page, 0, 8, steps=20)  # head 0 of layers 0 to 2
    assert masked(page) == [0, 4, 8]
    assert len(saved(page, "mask")) == 1
    drag(page, 8, 0, steps=20)
    assert masked(page) == []


def test_a_fast_drag_leaves_no_gaps(page):
    show(page, layers=32, heads=32)
    drag(page, 0, 31 * 32)  # one pointer event from layer 0 to layer 31
    assert masked(page) == [layer * 32 for layer in range(32)]
    drag(page, 5, 31 * 32 + 31)
    steps = {i // 32 for i in masked(page) if i % 32 != 0 or i == 0}
    assert steps == set(range(32))


def test_shift_click_fills_a_rectangle_from_the_last_cell(page):
    show(page)
    cell(page, 5).click()  # layer 1, head 1
    cell(page, 15).click(modifiers=["Shift"])  # layer 3, head 3
    assert masked(page) == [5, 6, 7, 9, 10, 11, 13, 14, 15]
    cell(page, 5).click()
    cell(page, 10).click(modifiers=["Shift"])  # masked, so the rectangle is cleared
    assert masked(page) == [7, 11, 13, 14, 15]


def test_a_shift_drag_follows_the_pointer_as_a_rectangle(page):
    show(page, masked=[23])
    page.keyboard.down("Shift")
    drag(page, 5, 15, 10)
    page.keyboard.up("Shift")
    assert masked(page) == [5, 6, 9, 10, 23]


def test_labels_toggle_whole_lines(page):
    show(page, masked=[8])
    layer = page.locator('.aiw-label[data-layer="2"]')
    head = page.locator('.aiw-label[data-head="1"]')
    layer.click()
    assert masked(page) == [8, 9, 10, 11]
    head.click()
    assert masked(page) == [1, 5, 8, 9, 10, 11, 13, 17, 21]
    layer.click()
    assert masked(page) == [1, 5, 13, 17, 21]
    page.locator(".aiw-label").first.click()  # the corner
    assert masked(page) == [1, 5, 13, 17, 21]


def test_escape_gives_a_drag_up(page):
    show(page, masked=[2])
    page.mouse.move(*centre(page, 0))
    page.mouse.down()
    page.mouse.move(*centre(page, 8))
    assert drawn(page) == [0, 2, 4, 8]
    page.keyboard.press("Escape")
    page.mouse.up()
    assert drawn(page) == [2]
    assert saved(page, "mask") == []


# ---- keyboard ------------------------------------------------------------------------------------


def test_layers_without_heads_are_passed_over(page):
    show(page, headless=[1, 4])
    page.locator('.aiw-label[data-head="1"]').click()
    assert masked(page) == [1, 9, 13, 21]
    page.locator('.aiw-label[data-layer="1"]').click()
    cell(page, 5).click()
    assert masked(page) == [1, 9, 13, 21]
    drag(page, 14, 18)
    assert masked(page) == [1, 9, 13, 14, 21]
    assert cell(page, 5).get_attribute("aria-label") == "layer 1 has no attention heads"
    page.locator('.aiw-label[data-head="1"]').click()
    assert masked(page) == [14]


def test_keys_move_the_focus(page):
    show(page)
    page.keyboard.press("Tab")
    assert focused(page) == 0
    for key, i in [
        ("ArrowDown", 4), ("ArrowRight", 5), ("ArrowRight", 6), ("ArrowUp", 2), ("ArrowUp", 2),
        ("ArrowLeft", 1), ("End", 3), ("ArrowRight", 3), ("Home", 0), ("Control+End", 23),
        ("ArrowDown", 23), ("Control+Home", 0), ("ArrowUp", 0),
    ]:  # fmt: skip
        page.keyboard.press(key)
        assert focused(page) == i, key
    assert saved(page, "mask") == []


def test_keys_toggle_and_fill(page):
    show(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert masked(page) == [0]
    page.keyboard.press("Enter")
    assert masked(page) == []
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+Space")
    assert masked(page) == [0, 1, 4, 5]


def test_l_and_h_take_the_whole_layer_or_head(page):
    show(page)
    cell(page, 5).focus()  # layer 1, head 1 of 4, as a screen reader would
    page.keyboard.press("l")
    assert masked(page) == [4, 5, 6, 7]
    page.keyboard.press("l")
    assert masked(page) == []
    page.keyboard.press("h")
    assert masked(page) == [1, 5, 9, 13, 17, 21]
    assert focused(page) == 5


def test_undo_and_redo_are_asked_of_python(page):
    show(page)
    page.keyboard.press("Tab")
    for key in ("Control+z", "Control+Shift+z", "Control+y", "Meta+z"):
        page.keyboard.press(key)
    assert [message["action"] for message in messages(page)] == ["undo", "redo", "redo", "undo"]
    assert saved(page, "mask") == []


def test_undo_is_heard_after_a_click_on_a_label(page):
    show(page)
    page.locator('.aiw-label[data-layer="2"]').click()
    assert focused(page) == 8
    page.keyboard.press("Control+z")
    assert [message["action"] for message in messages(page)] == ["undo"]


def test_keys_of_others_are_left_alone(page):
    show(page)
    page.keyboard.press("Tab")
    page.evaluate(
        "() => { window.heard = []; document.addEventListener('keydown', (event) =>"
        " window.heard.push([event.key, event.defaultPrevented])); }"
    )
    for key in ("ArrowRight", "Space", "Control+s", "Escape"):
        page.keyboard.press(key)
    heard = page.evaluate("() => window.heard")
    assert heard == [["Control", False], ["s", False], ["Escape", False]]


# ---- the chosen head -----------------------------------------------------------------------------


def test_a_head_is_chosen_by_going_to_it_and_masked_only_by_a_click(page):
    show(page)
    cell(page, 6).click(modifiers=["Alt"])
    assert saved(page, "chosen") == [6]
    assert saved(page, "mask") == []
    assert page.locator(".aiw-chosen").get_attribute("data-index") == "6"
    page.keyboard.press("ArrowDown")
    assert saved(page, "chosen") == [6, 10]
    cell(page, 3).click()
    assert saved(page, "chosen") == [6, 10, 3]
    assert masked(page) == [3]
    receive(page, chosen=-1)
    assert page.locator(".aiw-chosen").count() == 0
