"""What `make docs` writes: one site, whose links lead to what is there."""

from __future__ import annotations

import re
import warnings

import pytest
from documentation import __main__ as documentation

LINK = re.compile(r'href="([^"#:$]+)(?:#[^"]*)?"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("docs")
    with warnings.catch_warnings():  # of an annotation that cannot be evaluated
        warnings.filterwarnings("error", message="Error parsing type annotation")
        documentation.write(out)
    return out


@pytest.mark.slow
def test_every_page_can_be_reached_and_no_link_is_dead(site):
    pages = sorted(site.rglob("*.html"))
    linked = {(site / link).resolve() for link in LINK.findall((site / "index.html").read_text())}
    assert {page for page in pages if page.parent.name == "notebooks"} <= linked
    for page in pages:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), (page.relative_to(site), link)


@pytest.mark.slow
def test_a_notebook_page_folds_solutions_and_leaves_tests_out(site):
    page = (site / "notebooks" / "11_scaling_curves.html").read_text(encoding="utf-8")
    assert "celltag_solution" in page
    assert "celltag_test" not in page
    assert not re.search(r'href="\w+\.ipynb', page)
