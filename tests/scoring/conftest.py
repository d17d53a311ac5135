"""The head set that the tests of scoring mask, unless they name another."""

import pytest

import workbench as wb


@pytest.fixture(scope="module")
def heads(tiny):
    return wb.HeadSet.of([(0, 1), (1, 3)], tiny)
