"""Runs in one process, killed: at random moments, and before each single touch of the folder."""

from __future__ import annotations

import shutil

from faults.corpora import lay_down, reword
from faults.kills import crash_everywhere, kill_runs
from faults.whole import require_whole


def test_20_sigkills_over_20_shards_lose_and_double_nothing(runs, job, moments, tmp_path):
    figures = kill_runs(runs, job.corpus, job.places, job.reference, tmp_path, 20, moments)
    assert figures.kills == 20
    assert figures.accounts
    assert all(account.whole for account in figures.accounts), figures
    assert figures.rewritten == 0
    assert figures.most_a_kill <= 1
    require_whole(runs, job.corpus, tmp_path / "folder-0", job.reference, job.places)


def test_a_crash_before_any_touch_of_the_folder_is_mended(runs, tmp_path, moments):
    corpus = tmp_path / "corpus"
    places = lay_down(corpus, files=2)
    # Two shards of two files, each written, renamed and synced: some thirty touches.
    assert crash_everywhere(runs, tmp_path, lambda folder: (corpus, places), moments, 4) > 5


def test_a_crash_while_a_changed_corpus_is_scored_anew_is_mended(runs, tmp_path, moments):
    before, after = tmp_path / "before" / "corpus", tmp_path / "after" / "corpus"
    lay_down(before, files=4)
    places = lay_down(after, files=3)  # one is gone, two are reworded
    reword(after, (0, 2))

    runs.run(before, tmp_path / "finished")

    def prepare(folder):
        shutil.copytree(tmp_path / "finished", folder)
        return after, places

    assert crash_everywhere(runs, tmp_path, prepare, moments, 4) > 4
