"""Where the certificate goes: loading warns, scoring refuses, records and manifests carry it on."""

from __future__ import annotations

import json
import warnings

import pytest
from loading.test_certificate import CORPUS, a_whole_group_masked
from support.models import make_hf, make_model, make_tokenizer
from support.run_folders import certificate, edit_json, failures, lay_down_manifest, lay_down_run
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.loading.certificate import Certificate
from workbench.manifest.writing import write_manifest
from workbench.selection.ranking import select


@pytest.fixture
def folder(tmp_path):
    make_hf("llama").save_pretrained(tmp_path / "a-model")
    make_tokenizer().save_pretrained(tmp_path / "a-model")
    return tmp_path / "a-model"


def test_loading_warns_of_a_model_that_fails_and_names_the_checks(folder, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert wb.load_model(folder).cache.get("certificate") is not None
    a_whole_group_masked(None, monkeypatch)
    with pytest.warns(UserWarning, match=r"a-model: 1 of 12 checks.*\n.*other heads unt") as seen:
        model = wb.load_model(folder)
    assert seen[0].filename == __file__
    assert not wb.certify(model).ok
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert wb.load_model(folder, certify=False).cache.get("certificate") is None


def test_scoring_refuses_a_model_that_fails_unless_told_otherwise(tmp_path, monkeypatch):
    model = make_model()
    heads = wb.HeadSet.of([(1, 1)], model)
    a_whole_group_masked(model, monkeypatch)
    with pytest.raises(wb.NotCertified, match="other heads untouched") as caught:
        wb.score_corpus(model, heads, CORPUS, out=tmp_path / "run")
    assert caught.value.certificate is wb.certify(model)
    assert not (tmp_path / "run").exists()
    documents = [
        document for document in wb.read_corpus(CORPUS) if isinstance(document, wb.Document)
    ]
    with pytest.raises(wb.NotCertified):
        wb.score_documents(model, heads, documents)
    assert len(wb.score_documents(model, heads, documents, require_certificate=False)) == 4

    table = wb.score_corpus(model, heads, CORPUS, out=tmp_path, require_certificate=False)
    assert table.run["certificate"]["ok"] is False
    wb.write_manifest(wb.select(table), tmp_path)
    assert failures(tmp_path) == ["certificate"]
    assert failures(tmp_path, model=model, corpus=CORPUS) == ["certificate", "certificate again"]


def test_record_and_manifest_hold_the_certificate_and_it_is_checked_again(tiny, tmp_path):
    table = wb.score_corpus(tiny, wb.HeadSet.of([(1, 1)], tiny), CORPUS, out=tmp_path)
    wb.write_manifest(wb.select(table), tmp_path)
    for held in (
        json.loads((tmp_path / "run.json").read_text()),
        json.loads((tmp_path / "manifest.json").read_text())["aiw:run"],
    ):
        assert Certificate.from_json(held["certificate"]) == wb.certify(tiny)
    manifest = (tmp_path / "manifest.json").read_text()
    assert "certificate of the model: 12 of 12 checks passed" in manifest
    report = wb.verify_manifest(tmp_path, model=tiny, corpus=CORPUS).checks.set_index("check")
    assert report.loc[["certificate", "certificate again"], "ok"].all()


def test_a_measured_number_is_no_setting(tiny, tmp_path, nothing_scored):
    """Another last digit of what a check measured does not make the scores others."""
    heads = wb.HeadSet.of([(1, 1)], tiny)
    wb.score_corpus(tiny, heads, CORPUS, out=tmp_path)
    edit_json(tmp_path / "run.json", lambda run: run["certificate"]["checks"][8].update(measured=0))
    nothing_scored(tiny, heads)
    table = wb.score_corpus(tiny, heads, CORPUS, out=tmp_path)
    assert table.run["certificate"] == wb.certify(tiny).to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["checks"].pop(), "it lacks the checks ['siblings not found']"),
        (lambda c: c.update(dtype="float16"), "it was made for"),
        (lambda c: c.update(device="cuda"), "it was made for"),
        (lambda c: c.update(checks=[], ok=True), "it lacks the checks"),
        (lambda c: c["checks"][1].update(measured=5.0), "do not follow"),
        (lambda c: c["checks"][1].update(measured=5.0, passed=False), "do not follow"),
        (lambda c: (c["checks"][1].update(measured=5.0, passed=False), c.update(ok=False)),
         "1 of 12 checks of the model failed: ['empty mask: measured 5 logits']"),
        (lambda c: c.clear(), "not a certificate"),
    ],
)  # fmt: skip
def test_a_manifest_with_another_certificate_does_not_verify(tmp_path, change, message):
    table = lay_down_run(tmp_path)
    changed = certificate()
    change(changed)
    table.run["certificate"] = changed
    edit_json(tmp_path / "run.json", lambda run: run.update(certificate=changed))
    write_manifest(select(table, 0.3), tmp_path)
    assert failures(tmp_path) == ["certificate"]
    assert message in wb.verify_manifest(tmp_path, strict=False).failed[0]


def test_a_manifest_or_record_that_lacks_it_is_named(tmp_path):
    table = lay_down_run(tmp_path / "run")
    del table.run["certificate"]
    with pytest.raises(ValueError, match="lacks 'certificate'"):
        write_manifest(select(table, 0.3), tmp_path / "new")
    lay_down_manifest(tmp_path / "other")
    edit_json(tmp_path / "other/manifest.json", lambda m: m["aiw:run"].pop("certificate"))
    assert "run record" in failures(tmp_path / "other")
    report = wb.verify_manifest(tmp_path / "other", strict=False)
    assert "lacks 'certificate'" in report.failed[0]


def test_the_command_shows_it_and_succeeds_only_if_all_is_well(folder, monkeypatch):
    def run(code, *words):
        arguments = ["certify", "--model", str(folder), *words]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        return result.stdout

    assert "12 of 12 checks passed" in " ".join(run(0).split())
    printed = json.loads(run(0, "--json"))
    assert printed.pop("model")["source"] == "a-model"
    assert Certificate.from_json(printed).ok
    a_whole_group_masked(None, monkeypatch)
    assert "FAILED" in run(1)
    assert json.loads(run(1, "--json"))["ok"] is False
