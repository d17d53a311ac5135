"""What a session finds out about its heads: detection, check, curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.planted import planted_model, planted_probes
from support.sessions import listen, scores_of

import workbench as wb
from workbench.session import head_values
from workbench.session.head_colours import RETRIEVAL, SECOND


@pytest.mark.slow
def test_detection_scores_and_colours_the_heads_of_the_default_model(default):
    session = wb.Session(default, "The key is apple. Again: the key is apple.")
    heard = listen(session)
    scores = session.detect(probes=1, max_tokens=450)
    expected = wb.retrieval_scores(default, wb.make_probes(default, n=1, max_tokens=450))
    pd.testing.assert_frame_equal(scores.frame, expected.frame)
    assert session.scores is scores
    assert heard == ["scores", "colours"]
    assert session.code().startswith("import workbench as wb\n\nmodel = wb.load_model()\n")


@pytest.fixture
def planted_session(monkeypatch):
    model = planted_model()
    monkeypatch.setattr(
        head_values, "make_probes", lambda model, n, **_: planted_probes(model, n=n)
    )
    return wb.Session(model, "what is lost?", scores=scores_of(model))


def test_a_curve_reads_its_own_text_or_others(planted_session):
    own = planted_session.curve(draws=1)
    given = planted_session.curve([planted_session.text], draws=1)
    pd.testing.assert_frame_equal(own, given)
    other = planted_session.curve(["quite another text"], draws=1)
    assert (other["text_loss"] != own["text_loss"]).all()
    with pytest.raises(TypeError, match=r"texts is a list of texts, got a single string"):
        planted_session.curve("one text")
    planted_session.set_mode("zero")
    zero = planted_session.curve(draws=1)
    assert zero.loc[zero["heads"] > 0, "text_loss"].ne(own.loc[own["heads"] > 0, "text_loss"]).any()


def test_the_check_goes_on_from_the_probes_of_the_detection(monkeypatch):
    model = planted_model()
    monkeypatch.setattr(
        head_values, "make_probes", lambda model, n, **_: planted_probes(model, n=n)
    )
    session = wb.Session(model, "abc abc abc")
    with pytest.raises(ValueError, match="find the heads here first"):
        session.check_heads()
    scores = session.detect(probes=6)
    heard = listen(session)
    report = session.check_heads()
    expected = wb.head_report(scores, model, session.probes, allow_ties=True)
    assert (report.verdict, report.reasons) == (expected.verdict, expected.reasons)
    assert session.report is report
    assert heard == ["scores"]
    session.use_scores(scores_of(model))
    assert (session.report, session.probes) == (None, None)


def test_the_second_detector_of_a_report_colours_the_heads(monkeypatch):
    model = planted_model()
    monkeypatch.setattr(
        head_values, "make_probes", lambda model, n, **_: planted_probes(model, n=n)
    )
    session = wb.Session(model, "abc abc abc")
    session.detect(probes=6)
    assert SECOND not in session.palette.names
    report = session.check_heads()
    assert session.palette.names[:2] == [RETRIEVAL, SECOND]
    session.colour_by(SECOND)
    np.testing.assert_allclose(session.colours().values.ravel(), report.table["locos"], rtol=1e-6)
    session.top(2, by=SECOND)
    expected = report.table.nlargest(2, "locos")
    assert set(session.heads) == set(zip(expected["layer"], expected["head"], strict=True))
    with pytest.raises(ValueError, match="the session's own: rename them"):
        session.add_columns(report.table[["layer", "head"]].assign(**{SECOND: 1.0}))
    session.use_scores(scores_of(model))
    assert (SECOND in session.palette.names, session.palette.colour_by) == (False, RETRIEVAL)


def test_a_tie_at_the_cut_is_refused_or_goes_to_the_lower_head(tiny):
    layer, head = np.divmod(np.arange(12), 4)
    values = [3.0, 2.0, 2.0, *[1.0] * 9]
    session = wb.Session(tiny, "one two three")
    session.add_columns(pd.DataFrame({"layer": layer, "head": head, "tied": values}))
    with pytest.raises(ValueError, match="2 heads tie at the cut"):
        session.top(2, by="tied")
    session.top(2, by="tied", allow_ties=True)
    assert str(session.heads) == "L0H0 L0H1"
