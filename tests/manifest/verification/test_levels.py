"""Verification in levels: what each one sees and leaves alone, which was reached, stopping."""

from __future__ import annotations

import json
import threading

import pytest
from support.corpus_files import COLUMNS, NAMES
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.core.progress import Cancelled, cancellable
from workbench.manifest.verification.levels import LEVELS
from workbench.manifest.verification.report import VerificationError
from workbench.manifest.verification.verify import verify_manifest


def test_every_level_includes_those_before_it_and_says_what_it_left_out(made, tiny):
    whole = verify_manifest(made / "run", tiny, made / "corpus", **COLUMNS)
    assert whole.checks["ok"].all()
    assert whole.levels["level"].tolist() == list(LEVELS)
    assert whole.levels["ok"].all()
    assert (whole.levels["seconds"] > 0).all()
    times = ", ".join(f"{row.level} {row.seconds:.2f} s" for row in whole.levels.itertuples())
    assert f"Levels: {times}" in repr(whole).splitlines()
    for number, level in enumerate(LEVELS):
        report = verify_manifest(made / "run", tiny, made / "corpus", level=level, **COLUMNS)
        assert report.levels["level"].tolist() == list(LEVELS[: number + 1])
        done = report.checks[report.checks["ok"].notna()]
        expected = whole.checks[whole.checks["level"].isin(LEVELS[: number + 1])]
        assert done["check"].tolist() == expected["check"].tolist()
        left = report.checks[report.checks["ok"].isna()]
        assert left["level"].tolist() == list(LEVELS[number + 1 :])
        assert left["detail"].str.contains("was asked for").all()


def test_without_a_level_it_goes_as_far_as_what_is_given_allows(made):
    report = verify_manifest(made / "run", **COLUMNS)
    ok = dict(zip(report.checks["check"], report.checks["ok"], strict=True))
    assert ok["ranks and thresholds"]
    assert ok["texts of the corpus"] is ok["sources of the corpus"] is ok["model identity"] is None


def test_says_which_level_was_reached(made, tiny):
    report = verify_manifest(made / "run", **COLUMNS)
    assert report.level == "ranks"
    assert report.outcome.startswith("level reached: ranks; not checked: sources of the corpus, ")
    assert repr(report).splitlines()[-1] == f"L{report.outcome[1:]}"
    for level in LEVELS:
        report = verify_manifest(made / "run", tiny, made / "corpus", level=level, **COLUMNS)
        assert report.level == level
        assert report.outcome == f"level reached: {level}"


def without_score_files(made, folder):
    """The manifest as it may be published: selection.parquet is the only file beside it."""
    table = wb.load_scores(made / "run")
    wb.write_manifest(wb.select(table), folder)
    return folder


def test_a_level_that_was_asked_for_and_not_reached_is_no_success(made, tmp_path):
    folder = without_score_files(made, tmp_path / "published")
    report = verify_manifest(folder)
    assert report.ok  # nothing was asked for, and nothing failed
    assert report.level == "files"
    assert "rows are the scored rows" in report.outcome
    assert verify_manifest(folder, level="files").level == "files"
    for level in ("ranks", "texts"):
        reason = rf"sources \(asked for: {level}\).*scored rows"
        with pytest.raises(VerificationError, match=reason):
            verify_manifest(folder, corpus=made / "corpus", level=level, **COLUMNS)
        asked = ["verify", str(folder), "--level", level, "--corpus", str(made / "corpus")]
        columns = [word for name, value in COLUMNS.items() for word in (f"--{name}", value)]
        done = CliRunner().invoke(app, [*asked, *columns, "--json"])
        assert done.exit_code == 1
        printed = json.loads(done.stdout)
        assert (printed["ok"], printed["level"]) == (False, "sources")
        assert f"asked for: {level}" in printed["outcome"]


def test_sources_of_a_stream_are_no_level_but_hold_no_later_one_up(made):
    documents = list(wb.read_corpus(made / "corpus", **COLUMNS))
    report = verify_manifest(made / "run", corpus=documents, level="sources", strict=False)
    assert (report.ok, report.level) == (False, "files")
    report = verify_manifest(made / "run", corpus=documents, level="texts")
    assert (report.ok, report.level) == (True, "texts")


def test_a_failed_check_ends_the_levels_before_its_own(made, corpus):
    (corpus / NAMES[0]).unlink()
    report = verify_manifest(made / "run", corpus=corpus, strict=False, **COLUMNS)
    assert report.level == "files"  # sources failed, whatever ranks say


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "sources"}, "takes the corpus"),
        ({"level": "texts"}, "takes the corpus"),
        ({"level": "scores", "corpus": []}, "takes the model"),
        ({"level": "all"}, "level must be one of"),
        ({"texts": 0}, "texts must be"),
        ({"sample": 0}, "sample must be"),
    ],
)
def test_a_level_that_cannot_be_reached_is_refused_at_once(made, options, message):
    with pytest.raises(ValueError, match=message):
        verify_manifest(made / "run", **options)


def test_it_can_be_stopped_and_tells_how_far_it_is(made):
    states, stop = [], threading.Event()
    with cancellable(states.append, stop):
        verify_manifest(made / "run", corpus=made / "corpus", **COLUMNS)
    titles = {state.title for state in states}
    assert {"hashing files", "sources", "texts"} <= titles
    assert [state.done for state in states if state.title == "texts"][-1] == 120
    stop.set()
    with cancellable(states.append, stop), pytest.raises(Cancelled):
        verify_manifest(made / "run", corpus=made / "corpus", **COLUMNS)


def test_the_command_has_levels_and_a_draw(made):
    def run(*words, code=0):
        columns = ["--id", "key", "--text", "content", "--domain", "part"]
        arguments = ["verify", str(made / "run"), *columns, *words]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        return result.stdout

    corpus = ["--corpus", str(made / "corpus")]
    report = json.loads(run("--json", "--level", "texts", "--texts", "12", *corpus))
    assert report["ok"]
    assert [level["level"] for level in report["levels"]] == ["files", "sources", "ranks", "texts"]
    assert any("12 drawn of 120" in check["detail"] for check in report["checks"])
    assert "takes the corpus" in json.loads(run("--json", "--level", "texts", code=1))["error"]
    text = " ".join(CliRunner().invoke(app, ["verify", "--help"]).stdout.split())
    assert text.count("Not shown:") == 5
