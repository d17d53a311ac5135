"""The fixtures that tests of several packages share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.models import make_model

import workbench as wb
from workbench.scoring import worker


@pytest.fixture
def nothing_scored(monkeypatch: pytest.MonkeyPatch) -> Callable[[wb.Model, wb.HeadSet], None]:
    """From its call on, to score a document fails the test; it shows first that it would."""

    def refuse(model: wb.Model, heads: wb.HeadSet) -> None:
        monkeypatch.setattr(worker, "scored", lambda *_: pytest.fail("scored again"))
        with pytest.raises(pytest.fail.Exception, match="scored again"):
            wb.score_corpus(model, heads, [{"id": "new", "text": "one two"}])

    return refuse


@pytest.fixture(scope="session")
def tiny() -> wb.Model:
    return make_model()


@pytest.fixture(scope="session")
def default() -> wb.Model:
    """The embedded default model (fetched and converted on first use)."""
    return wb.load_model()
