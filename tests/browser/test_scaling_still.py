"""A still of the scaling explorer in a real Chromium: it stands alone, its points are clicked."""

from __future__ import annotations

import pytest

import workbench as wb

HEARD = """() => {
  const figure = document.querySelector(".js-plotly-plot");
  window.heard = [];
  figure.on("plotly_click", (event) => {
    const point = event.points[0];
    window.heard.push([figure.data[point.curveNumber].name, point.pointNumber]);
  });
}"""


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """Twelve runs, the last but one held out of the law that is fitted to them."""
    runs = wb.synthetic_runs(noise=0.002, models=4, multiples=(1, 4, 16))
    desk = wb.ScalingDesk(runs.assign(run="<img src=x onerror=hurt()>"), laws=["besiroglu"])
    desk.hold_out([10])
    desk.refit(resamples=5)
    return desk.write_html(tmp_path_factory.mktemp("still") / "still.html")


@pytest.fixture
def opened(chromium, still):
    context = chromium.new_context(viewport={"width": 1000, "height": 800}, offline=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.asked, page.errors = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(still.as_uri())
    page.locator(".points path.point").first.wait_for()
    yield page
    context.close()


def test_it_shows_figure_data_formula_and_source_without_a_network(opened):
    assert opened.locator(".points path.point").count() == 12
    assert opened.locator("pre", has_text="arXiv 2404.10102").count() == 1
    assert opened.locator("pre", has_text="is taken to be in nats a token").count() == 1
    assert opened.locator("td", has_text="held out").count() == 1
    assert opened.locator("tr", has_text="<img src=x").count() == 12
    assert opened.locator("img[onerror]").count() == 0
    assert [url for url in opened.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert opened.errors == []


def test_the_camera_keeps_a_png(opened):
    opened.locator(".nsewdrag").first.hover()
    with opened.expect_download() as download:
        opened.locator('.modebar-btn[data-title^="Download plot"]').click()
    assert download.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_click_tells_which_run_it_was(opened):
    """What FigureWidget hands on to `LiveFigure`: trace and number, of fitted and held-out runs."""
    opened.evaluate(HEARD)
    groups = opened.locator(".trace.scatter:has(path.point)")
    assert groups.count() == 2
    for group, number, name in ((0, 4, "runs of besiroglu, refitted"), (1, 0, "runs")):
        point = groups.nth(group).locator("path.point").nth(number)
        box = point.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        opened.mouse.move(x - 30, y - 30)
        opened.mouse.move(x, y, steps=4)
        opened.locator(".hoverlayer .hovertext").first.wait_for()
        opened.mouse.click(x, y)
        opened.wait_for_function(f"window.heard.length === {group + 1}")
        assert opened.evaluate("window.heard.at(-1)") == [name, number]
