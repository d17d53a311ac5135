"""Verifying a manifest: no change to what it speaks of goes unseen, and no garbage crashes it."""

from __future__ import annotations

import json
import shutil
import types

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.run_folders import (
    IDENTITY,
    LISTED,
    documents,
    edit_json,
    failures,
    lay_down_manifest,
    score_table,
)

from workbench.core.files import resolve_inside, sha256_of
from workbench.corpus.reading import Document
from workbench.manifest.verification.report import VerificationError
from workbench.manifest.verification.verify import verify_manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One run with its manifest; tests that change it work on a copy."""
    return lay_down_manifest(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def restate(folder, *paths):
    """Bring hash and size of changed files up to date in the manifest, as an attacker would."""

    def change(manifest):
        for entry in manifest["distribution"]:
            if entry["contentUrl"] in paths:
                path = folder / entry["contentUrl"]
                entry["sha256"] = sha256_of(path)
                entry["contentSize"] = f"{path.stat().st_size} B"

    edit_json(folder / "manifest.json", change)


def rewrite_selection(folder, change):
    path = folder / "selection.parquet"
    schema = pq.read_schema(path)
    frame = change(pq.ParquetFile(path).read().to_pandas())
    pq.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False), path)
    # from_pandas leaves metadata in the schema; the attacker is careful
    stored = pq.read_table(path).replace_schema_metadata(None)
    pq.write_table(stored, path)
    restate(folder, "selection.parquet")


def test_an_untouched_folder_passes(made):
    report = verify_manifest(made, corpus=documents())
    assert report.ok
    unseen = report.checks.loc[report.checks["ok"].isna(), "check"].tolist()
    assert unseen == [
        "sources of the corpus", "model identity", "certificate again", "sample scored again"
    ]  # fmt: skip
    assert "Verification: ok" in repr(report)


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("place", [0.0, 0.01, 0.3, 0.5, 0.7, 0.99, 1.0])
def test_finds_a_changed_byte_in_every_listed_file(name, place, folder):
    data = bytearray((folder / name).read_bytes())
    data[round(place * (len(data) - 1))] ^= 1
    (folder / name).write_bytes(data)
    assert f"file {name!r}" in failures(folder)


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("content", [b"", b"PAR1", b"{]", b"[" * 5000])
def test_reports_garbage_even_when_its_hash_is_stated(name, content, folder):
    (folder / name).write_bytes(content)
    assert f"file {name!r}" in failures(folder)
    restate(folder, name)
    assert failures(folder)


def test_reports_a_truncated_file_whose_hash_is_stated(folder):
    path = folder / "selection.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    restate(folder, path.name)
    assert "selection rows" in failures(folder)


@pytest.mark.parametrize("name", LISTED)
def test_finds_a_missing_file(name, folder):
    (folder / name).unlink()
    assert f"file {name!r}" in failures(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'"x"', b"\xff\xfe", b"[" * 99999])
def test_reports_a_manifest_that_is_none(content, folder):
    (folder / "manifest.json").write_bytes(content)
    assert failures(folder) == ["manifest"]


def test_reports_a_folder_without_a_manifest(tmp_path):
    assert failures(tmp_path / "nowhere") == ["manifest"]


def _paths(value, path=()):
    """Every place in a JSON value, as the keys that lead to it; of a list the first item only."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value[:1]) if isinstance(value, list) else items:
        yield from _paths(item, (*path, key))


def test_the_report_is_the_same_with_and_without_the_error(folder):
    edit_json(folder / "manifest.json", lambda m: m["aiw:documents"].update(ranked=23))
    report = verify_manifest(folder, strict=False)
    assert not report.ok
    with pytest.raises(VerificationError) as caught:
        verify_manifest(folder)
    assert caught.value.report.checks.equals(report.checks)


@pytest.mark.slow
def test_any_term_that_is_missing_or_of_another_type_is_reported(folder):
    whole = json.loads((folder / "manifest.json").read_text())
    terms = [key for key in whole if key.startswith(("aiw:", "prov:", "distribution"))]
    places = [place for term in terms for place in _paths(whole[term], (term,))]
    # What a file is called and how it is encoded is not about the selection.
    places = [p for p in places if p[0] != "distribution" or p[-1] in ("contentUrl", "sha256", 0)]
    assert len(places) > 80
    for number, place in enumerate(places):
        changed = json.loads(json.dumps(whole))
        parent = changed
        for key in place[:-1]:
            parent = parent[key]
        values = [None, "x", -1, [], {}, [None], "é" * 9]
        wrong = next(value for value in values[number % 7 :] + values if value != parent[place[-1]])
        parent[place[-1]] = wrong
        (folder / "manifest.json").write_text(json.dumps(changed))
        assert not verify_manifest(folder, strict=False).ok, (place, wrong)


def test_finds_a_removed_row(folder):
    rewrite_selection(folder, lambda frame: frame.drop(index=frame.index[-1]))
    failed = failures(folder)
    assert {"rows are the scored rows", "ranks and thresholds", "counts"} <= set(failed)


def test_finds_a_removed_row_that_is_declared_excluded(folder):
    rewrite_selection(folder, lambda frame: frame.drop(index=frame.index[0]))
    edit_json(
        folder / "manifest.json",
        lambda m: m["aiw:documents"].update(excluded=1, ranked=23, selected=8),
    )
    assert "ranks and thresholds" in failures(folder)


def test_finds_a_row_that_is_there_twice(folder):
    rewrite_selection(folder, lambda frame: pd.concat([frame, frame.iloc[-1:]]))
    assert {"ranks and thresholds", "counts"} <= set(failures(folder))


def test_finds_a_moved_threshold(folder):
    edit_json(folder / "manifest.json", lambda m: m["aiw:domains"][1].update(threshold=0.0))
    assert failures(folder) == ["ranks and thresholds"]


@pytest.mark.parametrize("column", ["score", "loss_ref", "loss_base"])
def test_finds_values_swapped_between_two_rows(column, folder):
    def swap(frame):
        frame.loc[[1, 5], column] = frame.loc[[5, 1], column].to_numpy()
        return frame

    rewrite_selection(folder, swap)
    assert {"scores follow from losses", "rows are the scored rows"} <= set(failures(folder))


def test_finds_a_score_swapped_in_a_score_file_too(folder):
    path = folder / "scores/part-0.parquet"
    frame = pd.read_parquet(path)
    frame.loc[[0, 3], "tokens"] = frame.loc[[3, 0], "tokens"].to_numpy()
    frame.to_parquet(path)
    restate(folder, "scores/part-0.parquet")
    assert {"list of files", "rows are the scored rows"} <= set(failures(folder))


def test_finds_a_row_chosen_by_hand(folder):
    def choose(frame):
        frame.loc[frame.index[-1], ["selected", "repeat"]] = [True, 1]
        return frame

    rewrite_selection(folder, choose)
    assert {"ranks and thresholds", "counts"} <= set(failures(folder))


def test_finds_other_heads(folder):
    edit_json(
        folder / "manifest.json",
        lambda m: m["aiw:run"]["heads"].update(text="L0H0", heads="L0H0"),
    )
    assert set(failures(folder)) == {"run record", "run.json"}


def test_finds_another_tally_of_the_skipped(folder):
    edit_json(folder / "manifest.json", lambda m: m["aiw:skippedReasons"][0].update(reason="other"))
    assert failures(folder) == ["skipped documents"]


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/hostname", "scores/../run.json", "a\\b", "./run.json", "C:/x", ""]
)
def test_refuses_a_path_out_of_the_folder(path, folder):
    (folder.parent / "outside").write_text("x")

    def add(manifest):
        entry = {**manifest["distribution"][0], "@id": "odd", "contentUrl": path}
        manifest["distribution"].append(entry)

    edit_json(folder / "manifest.json", add)
    assert f"file {path!r}" in failures(folder)
    with pytest.raises(ValueError, match="path"):
        resolve_inside(folder, path)


@pytest.mark.parametrize("name", ["selection.parquet", "scores/part-0.parquet", "scores"])
def test_refuses_symbolic_links(name, folder):
    (folder / name).rename(folder.parent / "moved")
    (folder / name).symlink_to(folder.parent / "moved")
    failed = failures(folder)
    assert any("scores/part-0" in check or name in check for check in failed)


def test_refuses_a_manifest_behind_a_symbolic_link(folder):
    (folder / "manifest.json").rename(folder / "real.json")
    (folder / "manifest.json").symlink_to(folder / "real.json")
    assert failures(folder) == ["manifest"]


def test_finds_a_file_that_is_there_but_not_listed(folder):
    edit_json(
        folder / "manifest.json",
        lambda m: m.update(distribution=[d for d in m["distribution"] if d["name"] != "run.json"]),
    )
    assert failures(folder) == ["list of files"]


def test_finds_another_model(made):
    right = types.SimpleNamespace(identity=dict(IDENTITY))
    assert failures(made, model=right) == []
    for key in IDENTITY:
        wrong = types.SimpleNamespace(identity={**IDENTITY, key: "c" * 64})
        assert failures(made, model=wrong) == ["model identity"]
    assert failures(made, model=types.SimpleNamespace(identity={})) == ["model identity"]
    assert failures(made, model=object()) == ["model identity"]


def test_finds_a_changed_and_a_missing_text(made):
    corpus = documents()
    changed = [*corpus[:5], Document(**{**vars(corpus[5]), "text": "x"}), *corpus[6:]]
    assert failures(made, corpus=changed) == ["texts of the corpus"]
    assert failures(made, corpus=corpus[:-1]) == ["texts of the corpus"]


@pytest.mark.parametrize(("factor", "failed"), [(1.00001, []), (1.01, ["sample scored again"])])
def test_scores_a_sample_again(factor, failed, made, monkeypatch):
    table = score_table().set_index("row")
    asked = {}

    def scored(model, settings, documents):
        asked.update(settings=settings, rows=[document.row for document in documents])
        rows = table.loc[asked["rows"]]
        return [
            {"loss_base": row.loss_base, "loss_ref": row.loss_ref * factor, "score": row.score}
            for row in rows.itertuples()
        ]

    # The model is the only thing here that a test of the manifest can do without.
    monkeypatch.setattr("workbench.scoring.influence.scored", scored)
    model = types.SimpleNamespace(identity=IDENTITY)
    assert failures(made, model=model, corpus=documents(), sample=5) == failed
    settings = asked["settings"]
    assert (settings.mode, settings.window, settings.max_tokens) == ("uniform", 8192, 512)
    assert "L17H3" in str(settings.heads)
    assert len(asked["rows"]) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"description": "another story"},
        {"citeAs": "somebody else"},
        {"recordSet": []},
        {"prov:wasGeneratedBy": {}},
        {"added": 1},
    ],
)
def test_what_follows_from_our_terms_may_not_say_otherwise(tmp_path, change):
    lay_down_manifest(tmp_path)
    edit_json(tmp_path / "manifest.json", lambda manifest: manifest.update(change))
    assert failures(tmp_path) == ["run record"]
    assert next(iter(change)) in verify_manifest(tmp_path, strict=False).failed[0]


def test_a_score_file_of_no_run_is_found(tmp_path):
    lay_down_manifest(tmp_path)
    (tmp_path / "scores" / "part-000099-x.parquet").write_bytes(b"left over")
    assert failures(tmp_path) == ["list of files"]
    assert "belong to no run" in verify_manifest(tmp_path, strict=False).failed[0]


def test_another_dtype_is_named_before_the_digests_that_follow_from_it(tmp_path):
    lay_down_manifest(tmp_path)
    stated = json.loads((tmp_path / "run.json").read_text())["model"]
    model = types.SimpleNamespace(identity={**stated, "dtype": "bfloat16", "weights_sha256": "x"})
    (line,) = verify_manifest(tmp_path, model=model, strict=False).failed
    assert "dtype of the given model is 'bfloat16'" in line


def test_a_manifest_may_be_formatted_anew(folder):
    """Whoever sorts the keys, indents otherwise or writes escapes says the same."""
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    turned = json.loads(path.read_text(), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert list(turned) != list(value)
    for text in (
        json.dumps(value, sort_keys=True, separators=(",", ":")),
        json.dumps(turned, indent="\t", ensure_ascii=False),
    ):
        path.write_bytes(text.replace("\n", "\r\n").encode())
        assert failures(folder, corpus=documents()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: folder.rename(folder.parent / "elsewhere"), "not there; give the folder"),
        (lambda folder: (folder / "manifest.json").unlink(), "holds no manifest.json; "),
        (lambda folder: edit_json(folder / "manifest.json", lambda m: m.update({"aiw:format": 99})),
         "aiw:format is 99, this version reads"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_named_with_its_folder(folder, change, says):
    change(folder)
    with pytest.raises(VerificationError) as caught:
        verify_manifest(folder)
    assert says in str(caught.value)
    assert str(folder) in str(caught.value)
    assert caught.value.report.level is None


def test_a_file_in_the_place_of_the_folder(folder):
    with pytest.raises(VerificationError, match="is a file; give the folder"):
        verify_manifest(folder / "manifest.json")
