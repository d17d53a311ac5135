"""Verification in levels: what each one sees and leaves alone, draws, stopping."""

from __future__ import annotations

import gzip
import json
import shutil
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.run_folders import documents, lay_down_manifest
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.core.progress import Cancelled, watched
from workbench.corpus.random_access import GivenCorpus, count_lines, ranges, reaches
from workbench.corpus.readers.rows import Columns, read_source
from workbench.corpus.sources import sources_of
from workbench.manifest.ranked_texts import RankedTexts
from workbench.manifest.verification.levels import LEVELS
from workbench.manifest.verification.verify import VerificationError, verify_manifest

COLUMNS = {"id": "key", "text": "content", "domain": "part"}
ROWS = 30  # of each source
NAMES = ["a.jsonl", "b.jsonl.gz", "c.parquet", "sub/d.jsonl"]


def rows_of(name, changed=()):
    return [
        {"key": f"{name} {i}", "content": f"text {i} of {name}" + "!" * (i in changed),
         "part": "xy"[i % 2]}
        for i in range(ROWS)
    ]  # fmt: skip


def lay_down(corpus, name, rows):
    path = corpus / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if name.endswith(".parquet"):
        pd.DataFrame(rows).to_parquet(path, row_group_size=7)
    else:
        path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """A corpus of four files, scored for real, and the manifest of a selection from it."""
    room = tmp_path_factory.mktemp("levels")
    for name in NAMES:
        lay_down(room / "corpus", name, rows_of(name))
    heads = wb.HeadSet.of([(1, 1)], tiny)
    table = wb.score_corpus(tiny, heads, room / "corpus", out=room / "run", **COLUMNS)
    wb.write_manifest(wb.select(table), room / "run")
    return room


@pytest.fixture
def corpus(made, tmp_path):
    return shutil.copytree(made / "corpus", tmp_path / "corpus")


def checked(made, corpus=None, model=None, **given):
    """The checks by name: True, False or None."""
    report = verify_manifest(made / "run", model, corpus, strict=False, **COLUMNS, **given)
    return dict(zip(report.checks["check"], report.checks["ok"], strict=True))


def test_every_level_includes_those_before_it_and_says_what_it_left_out(made, tiny):
    whole = verify_manifest(made / "run", tiny, made / "corpus", **COLUMNS)
    assert whole.checks["ok"].all()
    assert whole.levels["level"].tolist() == list(LEVELS)
    assert whole.levels["ok"].all()
    assert (whole.levels["seconds"] > 0).all()
    times = ", ".join(f"{one.level} {one.seconds:.2f} s" for one in whole.levels.itertuples())
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
    ok = checked(made)
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
        told = json.loads(done.stdout)
        assert (told["ok"], told["level"]) == (False, "sources")
        assert f"asked for: {level}" in told["outcome"]


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
    ("given", "message"),
    [
        ({"level": "sources"}, "takes the corpus"),
        ({"level": "texts"}, "takes the corpus"),
        ({"level": "scores", "corpus": []}, "takes the model"),
        ({"level": "all"}, "level must be one of"),
        ({"texts": 0}, "texts must be"),
        ({"sample": 0}, "sample must be"),
    ],
)
def test_a_level_that_cannot_be_reached_is_refused_at_once(made, given, message):
    with pytest.raises(ValueError, match=message):
        verify_manifest(made / "run", **given)


@pytest.mark.parametrize("name", NAMES)
def test_sources_finds_a_file_that_is_gone_or_ends_early_but_no_changed_text(made, corpus, name):
    lay_down(corpus, name, rows_of(name, changed=[4]))
    assert checked(made, corpus, level="sources")["sources of the corpus"]
    assert not checked(made, corpus, level="texts")["texts of the corpus"]
    lay_down(corpus, name, rows_of(name)[:-1])
    assert not checked(made, corpus, level="sources")["sources of the corpus"]
    (corpus / name).unlink()
    ok = checked(made, corpus)
    assert not ok["sources of the corpus"]
    assert not ok["texts of the corpus"]


def test_a_corpus_that_is_not_there_is_a_failed_check(made, tmp_path):
    ok = checked(made, tmp_path / "nowhere")
    assert ok["sources of the corpus"] is ok["texts of the corpus"] is False
    assert ok["ranks and thresholds"]


def test_texts_are_read_from_the_columns_that_were_scored(made):
    stream = wb.read_corpus(made / "corpus", **COLUMNS)
    assert verify_manifest(made / "run", corpus=stream).ok  # the names are in the stream
    report = verify_manifest(made / "run", corpus=made / "corpus", strict=False)
    (line,) = report.failed
    assert "no column 'text'" in line


def test_the_texts_of_a_stream_that_can_be_read_once_are_checked(made):
    stream = (document for document in documents())
    folder = lay_down_manifest(made / "synthetic")
    report = verify_manifest(folder, corpus=stream)
    assert report.checks.set_index("check").loc["texts of the corpus", "ok"]


@pytest.mark.parametrize("drawn", [1, 3, 4, 9, 60, 119])
def test_a_draw_of_texts_is_read_at_its_places(made, corpus, tiny, drawn):
    for seed in range(3):
        given = {"texts": drawn, "seed": seed, "sample": 1}
        report = verify_manifest(made / "run", tiny, made / "corpus", **COLUMNS, **given)
        detail = report.checks.set_index("check").loc["texts of the corpus", "detail"]
        assert (
            f"{drawn} drawn of 120" in detail
            or f"{drawn + 1} drawn of 120" in detail
            or (drawn == 119 and "all 120" in detail)
        )
    for name in NAMES:  # and what it reads is what lies there
        lay_down(corpus, name, rows_of(name, changed=range(ROWS)))
    report = verify_manifest(made / "run", corpus=corpus, texts=drawn, strict=False, **COLUMNS)
    assert report.failed == [line for line in report.failed if f"{drawn} texts have" in line] != []


def test_a_draw_finds_changed_texts_as_often_as_it_should(made, corpus):
    """6 of 120 changed, 30 drawn: missed by about 0.75^6 = 18 % of the seeds."""
    for name, changed in (("a.jsonl", [3, 17]), ("c.parquet", [0, 29]), ("b.jsonl.gz", [8, 9])):
        lay_down(corpus, name, rows_of(name, changed))
    ranked = RankedTexts(made / "run" / "selection.parquet")
    changed = {("a.jsonl", 3), ("a.jsonl", 17), ("c.parquet", 0), ("c.parquet", 29),
               ("b.jsonl.gz", 8), ("b.jsonl.gz", 9)}  # fmt: skip
    found = [
        any(ranked.name(place) in changed for place in ranked.draw(30, seed)) for seed in range(400)
    ]
    assert 0.75 < np.mean(found) < 0.90
    for seed in range(6):
        said = checked(made, corpus, texts=30, seed=seed, level="texts")["texts of the corpus"]
        assert said is not found[seed]


def test_draws_are_spread_over_the_sources(tmp_path):
    sizes = {"long": 500, "middle": 90, "short": 9, "single": 1}
    table = pa.table(
        {
            "source": [name for name, size in sizes.items() for _ in range(size)],
            "row": [row for size in sizes.values() for row in range(size)],
            "text_sha256": ["ab" * 32] * 600,
        }
    )
    pq.write_table(table.take(np.random.default_rng(0).permutation(600)), tmp_path / "s.parquet")
    ranked = RankedTexts(tmp_path / "s.parquet")
    assert [one.last - one.first for one in ranked.sources.values()] == [500, 90, 9, 1]
    assert all(ranked.find(*ranked.name(place)) == place for place in range(600))
    assert ranked.find("long", 500) == ranked.find("none", 0) == ranked.find("short", -1) == -1
    for count in (1, 2, 4, 60, 599, 600, 900):
        for seed in range(5):
            drawn = ranked.draw(count, seed)
            assert len(set(drawn.tolist())) == len(drawn) == min(count, 600)
            assert (np.diff(drawn) > 0).all()
            if count >= 4:
                assert {ranked.name(place)[0] for place in drawn} == set(sizes)
    shares = pd.Series([ranked.name(place)[0] for place in ranked.draw(60, 0)]).value_counts()
    assert shares["long"] in (48, 49)
    hits = np.zeros(600)
    for seed in range(2000):
        hits[ranked.draw(2, seed)] += 1
    assert hits.max() < 6 * hits.mean()  # no row is drawn much more often than another
    assert hits[:300].sum() == hits[300:].sum() == 2000


@pytest.mark.parametrize("bad", ["AB" * 32, "ab" * 31, "zz" * 32, ""])
def test_what_is_no_text_hash_is_said(tmp_path, bad):
    rows = {"source": ["a", "a"], "row": [0, 1], "text_sha256": ["ab" * 32, bad]}
    pq.write_table(pa.table(rows), tmp_path / "s.parquet")
    with pytest.raises(ValueError, match="64 lower-case"):
        RankedTexts(tmp_path / "s.parquet")


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_lines_are_counted_as_the_reader_counts_them(tmp_path, name, end):
    data = ("\n".join(['{"text": "a"}', "", '{"text": "b"}']) + end).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    (source,) = sources_of([tmp_path / name])
    assert count_lines(source, None) == len(data.splitlines())
    assert reaches(source, 2)
    assert not reaches(source, 4)


@pytest.mark.parametrize("name", NAMES)
def test_pieces_of_a_source_hold_the_wanted_rows(made, name):
    source = GivenCorpus(made / "corpus", Columns(**COLUMNS)).files[name]
    for wanted in ([0], [29], [0, 29], [3, 4, 5, 20], list(range(30))):
        found = [
            item.row
            for start, stop, offset in ranges(source, wanted, ROWS)
            for item in read_source(source, Columns(**COLUMNS), start, stop, offset)
        ]
        assert set(wanted) <= set(found)
        assert len(found) == len(set(found))


def test_it_can_be_stopped_and_tells_how_far_it_is(made):
    told, stop = [], threading.Event()
    with watched(told.append, stop):
        verify_manifest(made / "run", corpus=made / "corpus", **COLUMNS)
    titles = {one.title for one in told}
    assert {"hashing files", "sources", "texts"} <= titles
    assert [one.done for one in told if one.title == "texts"][-1] == 120
    stop.set()
    with watched(told.append, stop), pytest.raises(Cancelled):
        verify_manifest(made / "run", corpus=made / "corpus", **COLUMNS)


def test_the_command_has_levels_and_a_draw(made):
    def run(*words, code=0):
        columns = ["--id", "key", "--text", "content", "--domain", "part"]
        given = ["verify", str(made / "run"), *columns, *words]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == code, result.output
        return result.stdout

    corpus = ["--corpus", str(made / "corpus")]
    told = json.loads(run("--json", "--level", "texts", "--texts", "12", *corpus))
    assert told["ok"]
    assert [one["level"] for one in told["levels"]] == ["files", "sources", "ranks", "texts"]
    assert any("12 drawn of 120" in one["detail"] for one in told["checks"])
    assert "takes the corpus" in json.loads(run("--json", "--level", "texts", code=1))["error"]
    text = " ".join(CliRunner().invoke(app, ["verify", "--help"]).stdout.split())
    assert text.count("Not shown:") == 5
