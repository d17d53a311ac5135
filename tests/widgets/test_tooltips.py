"""Every control has a tooltip on itself, which is also its name where it has no other."""

from __future__ import annotations

import ipywidgets as w
import numpy as np
import pandas as pd
import pytest
from support.models import make_model

import workbench as wb
from widgets import Explorer, ScalingExplorer
from widgets.inside import inside

ON_THE_CONTROL = (w.Button, w.ToggleButton, w.FileUpload)  # with a description, too
LABELLED = (w.FloatSlider, w.FloatLogSlider)  # `ControlNames` takes it from the label
SILENT = (w.HTML, w.Label, w.Box, w.FloatProgress)


def explorer_with_a_corpus():
    explorer = Explorer(make_model(), text="one two three one two three", heads="L1H1")
    explorer.session.score([{"id": str(i), "text": f"text {i} again"} for i in range(6)])
    assert explorer.wait(60)
    return explorer


def scaling_explorer():
    rng = np.random.default_rng(0)
    plan = pd.DataFrame(rng.dirichlet([1, 1, 1], 30), columns=["code", "math", "web"])
    losses = pd.DataFrame({"web": 3 + 0.3 * np.exp(-2 * plan["web"]) + 0.01 * rng.normal(size=30)})
    runs = wb.synthetic_runs(noise=0.002, models=4, multiples=(1, 4, 16))
    return ScalingExplorer(runs, mixtures=wb.fit_mixture(plan, losses))


@pytest.mark.parametrize("make", [explorer_with_a_corpus, scaling_explorer])
def test_every_control_has_a_tooltip_and_no_description_that_would_take_it(make):
    explorer = make()
    controls = [one for one in inside(explorer) if isinstance(one, w.DOMWidget)]
    controls = [
        one for one in controls
        if type(one).__module__.startswith("ipywidgets") and not isinstance(one, SILENT)
    ]  # fmt: skip
    try:
        assert len(controls) > 15
        for one in controls:
            if isinstance(one, w.ToggleButtons):
                assert len(one.tooltips) == len(one.options)
                continue
            assert one.tooltip, one
            if not isinstance(one, ON_THE_CONTROL + LABELLED):
                assert not one.description, one  # ipywidgets would show no tooltip anywhere
    finally:
        explorer.close()
