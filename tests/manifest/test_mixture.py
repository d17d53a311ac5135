"""The mixture in the manifest: stated, verified, refused when damaged, compared, and used."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from support.run_folders import (
    DATE,
    HOSTILE,
    documents,
    edit_json,
    failures,
    lay_down_manifest,
    lay_down_run,
    of_older_format,
)
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.manifest.export.blends import blend, write_blends
from workbench.manifest.export.materialisation import materialise
from workbench.selection.ranking import select

DOMAINS = ["code", "math", HOSTILE]


def best_of(domains, seed=0):
    """The best mixture of a fit to real numbers, drawn from an exponential law."""
    rng = np.random.default_rng(seed)
    shares = pd.DataFrame(rng.dirichlet(np.ones(len(domains)), 40), columns=domains)
    first, second = shares.iloc[:, 0], shares.iloc[:, 1]
    losses = {"one": 2 + np.exp(1 - 3 * first), "two": 1 + np.exp(1 - 2 * second)}
    table = pd.DataFrame(losses)
    return wb.fit_mixture(shares, table + 0.01 * rng.normal(size=table.shape)).best(draws=10)


BEST = best_of(DOMAINS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "run"
    selection = select(lay_down_run(folder), 0.3)
    wb.write_manifest(selection, folder, corpus_note="made up", date=DATE, mixture=BEST)
    return folder


def test_it_is_stated_and_verified(made):
    term = json.loads((made / "manifest.json").read_text())["aiw:mixture"]
    assert term == json.loads(json.dumps(BEST.to_json()))
    assert term["shares"] == BEST.shares.to_dict()
    assert term["validation"] == BEST.fit.validation(BEST.weights) > 0.9
    assert term["runs_sha256"] == BEST.fit.runs_sha256
    report = wb.verify_manifest(made)
    (row,) = [row for row in report.checks.itertuples() if row.check == "mixture"]
    assert (row.ok, row.level) == (True, "files")
    assert row.detail == "3 domains, inside the shares of 40 runs"


def test_a_json_ld_reader_finds_the_term(made):
    rdflib = pytest.importorskip("rdflib")
    graph = rdflib.Graph().parse(made / "manifest.json", format="json-ld")
    (literal,) = graph.objects(predicate=rdflib.URIRef("urn:attention-influence-workbench:mixture"))
    assert json.loads(literal) == json.loads(json.dumps(BEST.to_json()))


def test_the_command_writes_the_same_manifest(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    (tmp_path / "best.json").write_text(json.dumps(BEST.to_json()))
    arguments = ["select", str(tmp_path / "run"), "--fraction", "0.3", "--mixture"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "best.json")])
    assert result.exit_code == 0, result.output
    first, second = (
        json.loads((f / "manifest.json").read_text()) for f in (made, tmp_path / "run")
    )
    assert first["aiw:mixture"] == second["aiw:mixture"]
    assert wb.verify_manifest(tmp_path / "run").ok


def change(key, value):
    return lambda term: term.__setitem__(key, value)


def share(domain, value):
    return lambda term: term["shares"].__setitem__(domain, value)


DAMAGED = {
    "a share more": (share("web", 0.0), "'web'"),
    "a share less": (lambda term: term["shares"].pop("math"), "'math'"),
    "another sum": (
        share("code", BEST.shares["code"] + 2e-9),
        "shares of the mixture sum to 1.00000000",
    ),
    "a negative share": (share("code", -0.1), "finite numbers of 0 or more"),
    "a share that is text": (share("code", "0.5"), "finite numbers"),
    "a share that is true": (share("code", True), "finite numbers"),
    "a huge whole number": (share("code", 10**400), "finite numbers"),
    "not a number": (share("code", float("nan")), "finite numbers"),
    "infinite": (share("code", float("inf")), "finite numbers"),
    "shares that are a list": (change("shares", [1.0]), "a share for each domain"),
    "outside what was run": (
        lambda term: term["seen"].__setitem__("code", [0.0, 1e-3]),
        "is not inside those that were run",
    ),
    "half an interval": (
        lambda term: term["seen"].__setitem__("code", [0.0]),
        "must be two numbers",
    ),
    "intervals of others": (
        lambda term: term["seen"].pop("code"),
        "of each domain, and of no other",
    ),
    "weights that sum to 2": (
        change("weights", {"one": 1.0, "two": 1.0}),
        "weights of the mixture sum to 2, not to 1",
    ),
    "another form": (change("form", "cubic"), "form must be one of"),
    "half a run": (change("runs", 39.5), "whole number from 2, got 39.5"),
    "one run": (change("runs", 1), "whole number from 2, got 1"),
    "no digest": (change("runs_sha256", "f" * 63), "64 lower-case"),
    "an impossible correlation": (
        change("validation", 1.5),
        "validation must be a number from -1 to 1",
    ),
    "an impossible distance": (change("distance", -0.1), "distance must be a number from 0 to 1"),
    "a loss that is none": (change("predicted", None), "predicted, low and high"),
    "one end of two": (change("low", None), "predicted, low and high"),
    "an interval upside down": (change("low", BEST.high + 1), "ends before it begins"),
    "a path": (change("tool", "/home/somebody/tool"), "texts without a path"),
    "a key more": (change("note", "mine"), "a JSON object with"),
    "a key less": (lambda term: term.pop("form"), "a JSON object with"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_mixture_is_refused(made, tmp_path, what):
    damage, said = DAMAGED[what]
    folder = shutil.copytree(made, tmp_path / "run")
    edit_json(folder / "manifest.json", lambda manifest: damage(manifest["aiw:mixture"]))
    assert failures(folder) == ["mixture"]
    stated = json.loads((folder / "manifest.json").read_text())["aiw:mixture"]
    table = lay_down_run(tmp_path / "again")
    with pytest.raises(ValueError, match=re.escape(said)):
        wb.write_manifest(select(table, 0.3), tmp_path / "again", mixture=stated)
    assert not (tmp_path / "again" / "manifest.json").exists()


@pytest.mark.parametrize("term", [None, [], "all", 7])
def test_what_is_no_mixture_at_all_is_refused(made, tmp_path, term):
    folder = shutil.copytree(made, tmp_path / "run")
    edit_json(folder / "manifest.json", change("aiw:mixture", term))
    assert failures(folder) == ["mixture"]


def test_a_mixture_of_other_domains_is_refused_before_anything_is_written(tmp_path):
    table = lay_down_run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"for each domain of the selection.*'math', 'prose'"):
        wb.write_manifest(
            select(table, 0.3), tmp_path / "run", mixture=best_of(["code", "prose", HOSTILE])
        )
    with pytest.raises(ValueError, match="for each domain of the selection"):
        wb.select_files(tmp_path / "run", mixture=best_of(["code", "prose", HOSTILE]))
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"run.json", "scores", "skipped.jsonl"}


def test_manifests_without_a_mixture_are_as_before(tmp_path):
    folder = lay_down_manifest(tmp_path / "run")
    assert "mixture" not in (folder / "manifest.json").read_text()
    checks = wb.verify_manifest(folder).checks["check"]
    assert "mixture" not in set(checks)
    of_older_format(folder, 4)
    assert failures(folder) == []


def test_formats_before_it_have_no_mixture(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "run")
    of_older_format(folder, 4)
    assert failures(folder) == ["mixture"]


def test_a_comparison_says_that_the_mixtures_differ(made, tmp_path):
    plain = lay_down_manifest(tmp_path / "plain")
    settings = wb.compare_manifests(made, plain).settings
    assert settings.to_numpy().tolist() == [["mixture", BEST.shares.to_dict(), None]]
    assert wb.compare_manifests(made, made).settings.empty


def test_it_is_the_default_of_the_blends(made, tmp_path):
    index = materialise(made, documents(), tmp_path / "out")
    assert index["mixture"] == BEST.shares.to_dict()
    sources = {source.domain: source.share for source in blend(tmp_path / "out")}
    assert sources == pytest.approx({name: value for name, value in BEST.shares.items() if value})
    path, *_ = write_blends(tmp_path / "out", ["mosaicml"])
    assert "proportion" in path.read_text()  # by share, not by how often a sample comes
    given = blend(tmp_path / "out", dict.fromkeys(DOMAINS, 1))
    assert [source.share for source in given] == pytest.approx([1 / 3] * 3)


def test_a_domain_to_which_the_mixture_gives_nothing_is_left_out(tmp_path):
    table = lay_down_run(tmp_path / "run")
    shares = {"code": 0.25, "math": 0.75, HOSTILE: 0.0}
    term = BEST.to_json() | {"shares": shares, "seen": {name: [0.0, 1.0] for name in DOMAINS}}
    wb.write_manifest(select(table, 0.3), tmp_path / "run", mixture=term)
    materialise(tmp_path / "run", documents(), tmp_path / "out")
    assert {source.domain: source.share for source in blend(tmp_path / "out")} == {
        "code": 0.25, "math": 0.75,
    }  # fmt: skip
