"""What a report says of how a corpus was read: where domains came from, why rows were skipped."""

from __future__ import annotations

import pytest
from support.corpora import row, write
from support.models import make_model
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.corpus.notes import kind_of, note_on_domains, note_on_skipped
from workbench.scoring.shards import Shard


@pytest.fixture(scope="module")
def tiny():
    return make_model()


@pytest.fixture(scope="module")
def heads(tiny):
    return wb.HeadSet.of([(0, 1), (1, 3)], tiny)


@pytest.fixture
def corpus(tmp_path):
    """Ids that restart in each file, one file in no folder, one domain in a row, three bad rows."""
    write(tmp_path / "c/web/a.jsonl", [row(f"text of web {i}", id=i) for i in range(8)])
    write(tmp_path / "c/web/b.jsonl", [row("a text of law", id=0, domain="law"), row(None, id=1)])
    write(tmp_path / "c/d.jsonl", b'{"id": 0, "text": "on top"}\nno json\n{"id": 2, "text": 3}\n')
    return tmp_path / "c"


def test_the_kind_of_a_reason_leaves_out_what_is_particular_to_a_row():
    for reason, kind in (
        ("not JSON: Expecting value", "not JSON"),
        ("invalid UTF-8 at byte 3", "invalid UTF-8"),
        ("text has a lone surrogate at character 12, which", "text has a lone surrogate"),
        ("loss is not finite: base nan, masked 1.0", "loss is not finite"),
        ("text is null or absent", "text is null or absent"),
    ):
        assert kind_of(reason) == kind


def test_reasons_are_spelled_out_above_one_in_a_hundred():
    assert note_on_skipped(0, {}) == ""
    assert note_on_skipped(1000, {"not JSON": 10}) == ""
    assert note_on_skipped(1000, {"not JSON": 11}) == (
        "11 of 1,000 documents were skipped (1%): not JSON (11)"
    )
    many = note_on_skipped(20, {"a": 1, "b": 5, "c": 2, "d": 1, "e": 3})
    assert many == (
        "12 of 20 documents were skipped (60%): b (5), e (3), c (2), and 2 other reasons"
    )


def test_domains_are_spoken_of_where_they_are_no_values_of_the_corpus():
    assert note_on_domains({}) == note_on_domains({"column": 5}) == ""
    note = note_on_domains({"folder": 1200, "default": 3})
    assert (
        "1,200 documents by the sub-folder that they lie in, 3 documents in the common one" in note
    )


@pytest.mark.parametrize("workers", [None, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_says_where_domains_came_from_and_why_rows_were_skipped(
    tiny, heads, corpus, tmp_path, workers
):
    report = wb.run_scoring(tiny, heads, corpus, tmp_path / "run", shard_size=3, workers=workers)
    assert report.counts == {"read": 13, "scored": 10, "skipped": 3, "failed": 0}
    lines = repr(report).splitlines()
    assert lines[-1].startswith("3 of 13 documents were skipped (23%): ")
    assert {part.split(" (")[0] for part in lines[-1].split(": ")[1].split("), ")} == {
        "text is null or absent", "not JSON", "text is not a string but of type int",
    }  # fmt: skip
    assert "8 documents by the sub-folder" in lines[-2]
    assert report.domain_from == {"column": 1, "folder": 8, "default": 1}
    again = wb.run_scoring(tiny, heads, corpus, tmp_path / "run", shard_size=3, workers=workers)
    assert again.kept == report.shards
    assert repr(again).splitlines()[-2:] == lines[-2:]
    table = wb.load_scores(tmp_path / "run")
    assert table.frame.groupby("domain").size().to_dict() == {"all": 1, "law": 1, "web": 8}
    assert table.run["domain_from"] == report.domain_from
    assert "8 documents by the sub-folder" in wb.ScoredCorpus(table).describe()
    assert table.frame["doc_id"].tolist().count("0") == 3


def test_a_plan_says_the_same(tiny, heads, corpus):
    plan = wb.plan_scoring(tiny, heads, corpus)
    assert repr(plan).splitlines()[-1].startswith("3 of 13 documents were skipped (23%): ")
    assert plan.domain_from == {"column": 1, "folder": 8, "default": 1}
    assert wb.plan_scoring(tiny, heads, corpus, domain=None).domain_from == {"default": 10}


def test_the_road_to_a_manifest_holds_with_ids_of_several_documents(tiny, heads, corpus, tmp_path):
    table = wb.score_corpus(tiny, heads, corpus, tmp_path / "run")
    wb.write_manifest(wb.select(table, 0.5), tmp_path / "run")
    assert wb.verify_manifest(tmp_path / "run", corpus=corpus, model=tiny).ok
    index = wb.materialise(tmp_path / "run", corpus, tmp_path / "out")
    assert index["documents"] == 6  # of 8, 1 and 1
    documents = wb.read_corpus(tmp_path / "out/002-web")
    assert len({(document.source, document.row) for document in documents}) == 4


def test_a_document_is_opened_by_its_place_where_its_id_is_that_of_others(
    tiny, heads, corpus, tmp_path
):
    session = wb.Session(tiny, "some text", heads)
    scored = session.score(corpus, tmp_path / "run")
    with pytest.raises(ValueError, match=r"3 documents have the id '0': give the position"):
        session.open("0")
    for position in scored.sort_and_filter(contains="0"):
        session.open(int(position))
        (shown,) = scored.rows([position])
        assert session.position == position
        assert scored.status(session.position).startswith(f"score {shown['score']:.2f}")
        assert f"session.open({position})" in session.code()


@pytest.mark.slow
def test_a_catalogue_of_the_time_when_ids_were_keys_is_made_anew(tiny, heads, corpus, tmp_path):
    wb.run_scoring(tiny, heads, corpus, tmp_path / "run", workers=1)
    path = tmp_path / "run/catalogue.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"format": 3', b'"format": 1', 1))
    assert (
        wb.run_scoring(tiny, heads, corpus, tmp_path / "run", workers=1).domain_from["folder"] == 8
    )
    assert hash(Shard(0, (), 0, "")) == hash(Shard(0, (), 0, ""))


def test_the_commands_end_with_why_rows_were_skipped_and_take_the_domain(tiny, corpus, tmp_path):
    tiny.hf.save_pretrained(tmp_path / "model")
    tiny.tokenizer.save_pretrained(tmp_path / "model")
    common = [str(corpus), "--model", str(tmp_path / "model"), "--heads", "L0H1 L1H3"]
    for command in (["score", *common, "--out", str(tmp_path / "run")], ["plan", *common]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        assert (
            result.stdout.strip()
            .splitlines()[-1]
            .startswith("3 of 13 documents were skipped (23%): ")
        )
        assert "8 documents by the sub-folder" in result.stdout
    for options, domains in (
        (["--domain", "/"], {"all": 1, "web": 9}),
        (["--domain", ""], {"all": 10}),
    ):
        out = tmp_path / f"run{len(domains)}"
        result = CliRunner().invoke(app, ["score", *common, "--out", str(out), *options])
        assert result.exit_code == 0, result.output
        assert wb.load_scores(out).frame.groupby("domain").size().to_dict() == domains
