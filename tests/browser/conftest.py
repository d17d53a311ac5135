"""A Chromium for the tests, and pages that tolerate neither errors nor strange addresses."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING = (
    f"the widget tests need a browser: none of {', '.join(BROWSERS)} is on the PATH. "
    "Install one with: apt-get install chromium"
)
QUIET = [
    "--no-sandbox", "--no-first-run", "--no-default-browser-check", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
    "--disable-domain-reliability", "--disable-extensions", "--metrics-recording-only",
]  # fmt: skip
HERE = ("127.0.0.1", "localhost")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """With `--dist loadgroup` the tests of a file stay in one process: they share a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def find_browser():
    """Where the browser is; fails the test, and does not skip it, if there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.fail(MISSING, pytrace=False)
    return path


# Of the package and not of the whole session: while playwright runs, its event loop does too, and
# no test elsewhere could start one.
@pytest.fixture(scope="package")
def chromium():
    path = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


def is_here(url):
    """Whether an address stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in HERE


def watch(page):
    """A list that fills with what goes wrong on the page: uncaught errors, addresses elsewhere."""
    problems = []

    def guard(route):
        if is_here(route.request.url):
            route.continue_()
        else:
            problems.append(f"request to {route.request.url}")
            route.abort()

    def guard_socket(socket):
        if not is_here(socket.url):
            problems.append(f"socket to {socket.url}")

    page.route("**/*", guard)
    page.on("websocket", guard_socket)
    page.on("pageerror", lambda error: problems.append(f"uncaught {error.stack or error}"))
    return problems


@pytest.fixture
def page(chromium, tmp_path):
    """An empty page of 1000 x 800 px; the test fails if anything goes wrong on it unnoticed."""
    context = chromium.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)  # a test that hangs ends; none waits for a time
    page.problems = watch(page)
    # pytest shows what is printed of tests that failed.
    page.on("console", lambda said: said.type in ("error", "warning") and print(said.text[:500]))
    yield page
    if page.url != "about:blank":
        page.screenshot(path=tmp_path / "page.png")
        print(f"the page at the end: {tmp_path / 'page.png'}")
    page.evaluate("() => new Promise((done) => setTimeout(done))")  # errors that are on their way
    context.close()
    if page.problems:
        pytest.fail("on the page: " + "\n".join(page.problems), pytrace=False)
