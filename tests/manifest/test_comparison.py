"""Two manifests compared: the numbers of the tables behind them, and the reason of every move."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from support.run_folders import DATE, edit_json, lay_down_run
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.manifest.comparison import WHY
from workbench.manifest.writing import write_manifest


def made(folder, fraction=0.3, change=None, run=None, rows=None, by="documents"):
    """The manifest of a selection whose scores and record were changed first."""
    folder.mkdir()
    table = lay_down_run(folder.parent / f"of-{folder.name}")
    if change is not None:
        scores = table.frame
        scores["loss_ref"] = change(scores["loss_ref"].to_numpy())
        scores["score"] = (scores["loss_ref"] - scores["loss_base"]) / scores["loss_base"]
    if rows is not None:
        table = table.keep(rows(table.frame))
    table.run.update(run or {})
    selection = wb.select(table, fraction, by)
    write_manifest(selection, folder, date=DATE)
    return folder, selection


def test_a_selection_agrees_with_itself(tmp_path):
    base, _ = made(tmp_path / "one")
    other, selection = made(tmp_path / "other")
    comparison = wb.compare_manifests(base, other)
    assert comparison.settings.empty
    assert comparison.moved.empty
    assert comparison.domains["spearman"].tolist() == pytest.approx([1, 1, 1])
    assert (comparison.domains["overlap_same_cut"] == 1).all()
    chosen = selection.table.groupby("domain")["selected"].sum()
    for name in ("chosen_one", "chosen_other", "chosen_both"):
        assert comparison.domains.set_index("domain")[name].to_dict() == chosen.to_dict()
    assert "differ in no setting" in repr(comparison)


def test_another_cut_is_the_only_reason(tmp_path):
    base, narrow = made(tmp_path / "one", 0.2)
    other, wide = made(tmp_path / "other", 0.6)
    comparison = wb.compare_manifests(base, other)
    assert comparison.settings.to_numpy().tolist() == [["fraction", 0.2, 0.6]]
    assert set(comparison.moved["why"]) == {"cut"}
    assert set(comparison.moved["chosen_by"]) == {"other"}
    more = wide.table["selected"].sum() - narrow.table["selected"].sum()
    assert len(comparison.moved) == more > 5
    assert (comparison.domains["overlap_same_cut"] == 1).all()


def test_another_way_with_duplicates_is_a_reason(tmp_path):
    twice = {"text_sha256": "0" * 64}
    made_of = {}
    for name, duplicates in (("one", "report"), ("other", "keep one")):
        table = lay_down_run(tmp_path / f"of-{name}")
        best = table.frame.sort_values("score").groupby("domain").tail(3).index
        table.frame.loc[best, list(twice)] = list(twice.values())
        made_of[name] = wb.select(table, 0.3, duplicates=duplicates)
        (tmp_path / name).mkdir()
        write_manifest(made_of[name], tmp_path / name, date=DATE)
    comparison = wb.compare_manifests(tmp_path / "one", tmp_path / "other")
    assert "duplicates" in set(comparison.settings["setting"])
    assert len(comparison.moved) > 3
    assert set(comparison.moved["why"]) == {"cut"}


def test_other_scores_are_named_document_by_document(tmp_path):
    rng = np.random.default_rng(3)
    shift = rng.uniform(1, 1.6, 24)
    shift[::2] = 1  # every second document keeps its score
    heads = {"heads": "L1H1", "text": "L1H1", "layers": 30, "heads_per_layer": 9, "origin": {}}
    base, first = made(tmp_path / "one")
    other, second = made(tmp_path / "other", change=lambda ref: ref * shift, run={"heads": heads})
    comparison = wb.compare_manifests(base, other)
    assert comparison.settings.to_numpy().tolist() == [["heads", "L17H3 L18H6", "L1H1"]]
    first_table, second_table = (s.table.set_index(["source", "row"]) for s in (first, second))
    moved = first_table.index[
        first_table["selected"] != second_table["selected"].reindex(first_table.index)
    ]
    assert set(zip(comparison.moved["source"], comparison.moved["row"], strict=True)) == set(moved)
    assert {"score", "others"} == set(comparison.moved["why"])
    for row in comparison.moved.itertuples():
        a, b = first_table.loc[(row.source, row.row)], second_table.loc[(row.source, row.row)]
        assert (row.score_one, row.score_other) == (a["score"], b["score"])
        assert (row.rank_one, row.rank_other) == (a["rank"], b["rank"])
        assert row.chosen_by == ("one" if a["selected"] else "other")
        assert row.why == ("others" if a["score"] == b["score"] else "score")
    for domain in comparison.domains.itertuples():
        a = first_table[first_table["domain"] == domain.domain]
        b = second_table.loc[a.index]
        assert domain.spearman == pytest.approx(stats.spearmanr(a["score"], b["score"])[0])
        assert domain.chosen_both == (a["selected"] & b["selected"]).sum()


def test_a_document_that_one_lacks(tmp_path):
    base, selection = made(tmp_path / "one")
    best = selection.table.loc[0, "row"]
    other, _ = made(tmp_path / "other", rows=lambda table: table["row"] != best)
    comparison = wb.compare_manifests(base, other)
    assert "texts" in set(comparison.settings["setting"])
    row = comparison.moved[comparison.moved["row"] == best].iloc[0]
    assert (row["chosen_by"], row["why"]) == ("one", "not ranked")
    assert np.isnan(row["rank_other"])
    assert comparison.domains["left_out"].sum() == 1
    assert set(comparison.moved["why"]) <= set(WHY)


def test_folders_that_do_not_hold_what_they_state_are_refused(tmp_path):
    base, _ = made(tmp_path / "one")
    other, _ = made(tmp_path / "other")
    edit_json(other / "manifest.json", lambda m: m["aiw:domains"][0].update(threshold=0.0))
    with pytest.raises(wb.VerificationError):
        wb.compare_manifests(base, other)


def test_the_command_says_the_same(tmp_path):
    base, _ = made(tmp_path / "one", 0.2)
    other, _ = made(tmp_path / "other", 0.6)
    comparison = wb.compare_manifests(base, other)
    result = CliRunner().invoke(app, ["compare", str(base), str(other), "--json"])
    assert result.exit_code == 0, result.output
    stated = json.loads(result.stdout)
    assert len(stated["moved"]) == len(comparison.moved)
    assert stated["settings"] == [{"setting": "fraction", "one": 0.2, "other": 0.6}]
    plain = CliRunner().invoke(app, ["compare", str(base), str(other)])
    assert plain.exit_code == 0
    assert WHY["cut"] in plain.stdout
    missing = CliRunner().invoke(app, ["compare", str(base), str(tmp_path / "nowhere")])
    assert missing.exit_code == 1
