"""Mount a widget's ES module on a page, with a stub of Python's side in place of Jupyter."""

from __future__ import annotations

import sys
from pathlib import Path

from widgets.views.browser_files import module, stylesheet

HERE = Path(__file__).parent
THEMES = Path(sys.prefix) / "share/jupyter/lab/themes/@jupyterlab"
STUB, MODULE = "stub_model.js", "view.js"
ORIGIN = "http://localhost"  # answered from files, nothing listens there


def mount(page, view, traits, css=True, theme=None):
    """Show the view of this name with `traits`, in JupyterLab's own "light" or "dark" theme.

    Without a theme, none of JupyterLab's variables is set. `css` leaves out the widget's stylesheet
    if False. Bytes in the traits become views into a larger buffer. On the page are then
    window.model, window.sent and window.cleanup (what `render` returned).
    """
    style = stylesheet(view).read_text() if css else ""
    if theme:
        style += (THEMES / f"theme-{theme}-extension/index.css").read_text()
    style += "body { background: var(--jp-layout-color0, white); margin: 8px }"
    html = (
        f"<!doctype html><meta charset=utf-8><title>{view}</title>"
        f'<style>{style}</style><div id="widget"></div>'
    )

    def serve(route):
        name = route.request.url.removeprefix(ORIGIN).lstrip("/")
        if name == "":
            route.fulfill(body=html, content_type="text/html")
        elif name == STUB:
            route.fulfill(path=HERE / STUB, content_type="text/javascript")
        elif name == MODULE:
            route.fulfill(body=module(view), content_type="text/javascript")
        else:
            route.fulfill(status=404)

    page.route(f"{ORIGIN}/**", serve)
    page.goto(f"{ORIGIN}/")
    page.evaluate(
        "async ([stub, module, traits]) => (await import(stub)).mount(module, traits)",
        [f"/{STUB}", f"/{MODULE}", _wired(traits)],
    )


def _wired(traits):
    return {
        name: {"bytes": list(value)} if isinstance(value, bytes) else value
        for name, value in traits.items()
    }


def receive(page, **traits):
    """Python sets traits, all in one message."""
    page.evaluate("(traits) => window.model.receive(traits)", _wired(traits))


def deliver(page, message):
    """Python sends a custom message."""
    page.evaluate("(message) => window.model.deliver(message)", message)


def saved(page, trait):
    """The values of a trait that the widget has saved, oldest first; bytes as lists."""
    return page.evaluate(
        "(name) => window.sent.filter((one) => one.saved && name in one.saved)"
        ".map((one) => one.saved[name])",
        trait,
    )


def messages(page, action=None):
    """The custom messages that the widget has sent, oldest first; only those of one action."""
    sent = page.evaluate("() => window.sent.filter((one) => one.message).map((one) => one.message)")
    return [message for message in sent if action in (None, message["action"])]


# ---- colours -------------------------------------------------------------------------------------


def contrast(page, ink, paper):
    """WCAG contrast of two CSS colours as computed, opaque or not, both over the page's own."""
    ground = _colour(page.evaluate("() => getComputedStyle(document.body).backgroundColor"), None)
    paper = _colour(paper, ground)
    light, dark = sorted((_luminance(_colour(ink, paper)), _luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _colour(text, below):
    """Red, green and blue from 0 to 1 of "rgb(...)" or "rgba(...)" over the colour below."""
    numbers = [float(part) for part in text[text.index("(") + 1 : -1].split(",")]
    opacity = numbers[3] if len(numbers) == 4 else 1.0
    below = below or (1.0, 1.0, 1.0)
    return tuple(
        opacity * number / 255 + (1 - opacity) * under
        for number, under in zip(numbers[:3], below, strict=True)
    )


def _luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def style(page, selector, name, pseudo=None):
    """A computed style of the first element that matches."""
    return page.evaluate(
        "([selector, name, pseudo]) =>"
        " getComputedStyle(document.querySelector(selector), pseudo)[name]",
        [selector, name, pseudo],
    )


# ---- names ---------------------------------------------------------------------------------------


def accessible(page, selector):
    """Role and name of what can be focused inside an element, as screen readers are told them."""
    client = page.context.new_cdp_session(page)
    try:
        root = client.send("DOM.getDocument")["root"]["nodeId"]
        part = client.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
        inside = client.send("DOM.describeNode", {"nodeId": part, "depth": -1, "pierce": True})
        ours = set(_backend_ids(inside["node"]))
        nodes = client.send("Accessibility.getFullAXTree")["nodes"]
    finally:
        client.detach()
    return [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in nodes
        if node.get("backendDOMNodeId") in ours
        and any(
            p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", ())
        )
    ]


def _backend_ids(node):
    yield node["backendNodeId"]
    for child in node.get("children", ()):
        yield from _backend_ids(child)


def without_tooltip(page, selector):
    """The controls on the screen inside an element that show nothing at the pointer."""
    return page.locator(selector).evaluate(
        """(part) => [...part.querySelectorAll("button, input, select, textarea, [role=slider]")]
           .filter((one) => one.checkVisibility() && !one.title)
           .map((one) => one.outerHTML)"""
    )
