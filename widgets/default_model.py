"""The default model for an explorer, and words on what it waits for: no explorer is there yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from IPython import get_ipython
from IPython.display import display

from workbench.detection.shipped import default_scores
from workbench.loading.load import load_model, warn_unless_certified
from workbench.models.head_scores import HeadScores
from workbench.models.model import Model

LOADING = "loading the default model ..."
CHECKING = "checking masking and losses (certificate) ..."


def load_default() -> tuple[Model, HeadScores]:
    """Load the default model, and say below the cell what is being done until that is over.

    Returns:
        The model, and the scores of its heads that come with the package.

    Raises:
        RuntimeError: the default model cannot be had.
    """
    with _line() as say:
        say(LOADING)
        model = load_model(certify=False)
        say(CHECKING)
        warn_unless_certified(model)
        return model, default_scores(model)


@contextmanager
def _line() -> Iterator[Callable[[str], object]]:
    """A line of text that a notebook shows at once, and that is empty in the end.

    It is silent where progress bars are (`workbench.core.progress`), and outside of IPython.
    """
    if get_ipython() is None or os.environ.get("TQDM_DISABLE", "0") != "0":
        yield lambda words: None
        return
    line = display({"text/plain": ""}, raw=True, display_id=True)

    def say(words: str) -> None:
        line.update({"text/plain": words}, raw=True)

    try:
        yield say
    finally:
        say("")
