"""Several runs on one folder: one at a time, or parts of one division together."""

from __future__ import annotations

from faults.gate import Gate
from faults.kills import kill_parts
from faults.runs import wait_until
from faults.whole import require_whole

REFUSED = "another run is writing to"


def test_of_two_runs_at_once_one_is_refused_and_one_completes(runs, job, tmp_path):
    for number in range(3):
        folder, gate = tmp_path / str(number), Gate(tmp_path / f"gate-{number}")
        both = [runs.start(job.corpus, folder, faults=gate.faults) for _ in range(2)]
        gate.wait(by=both)  # whoever was first is inside, and stays there until the other has ended
        wait_until(lambda both=both: not all(run.going for run in both))
        (refused,) = (run for run in both if not run.going)
        assert refused.wait() == 1
        assert REFUSED in refused.said["error"]
        assert str(folder) in refused.said["error"]
        gate.open()
        assert sorted(run.wait() for run in both if run is not refused) == [0]
        assert len(gate.held) == 1
    require_whole(runs, job.corpus, folder, job.reference, job.places)


def test_parts_run_together_and_let_nobody_else_in(runs, job, tmp_path):
    folder, gate = tmp_path / "run", Gate(tmp_path / "gate")
    parts = [runs.start(job.corpus, folder, part=(i, 3), faults=gate.faults) for i in (1, 2)]
    held = gate.wait(2, by=parts)  # both are inside, each with its own lock
    assert set(held) == {part.pid for part in parts}
    for part in ((1, 1), (1, 2), (1, 3), (2, 3)):  # all, another division, the same parts
        other = runs.start(job.corpus, folder, part=part)
        assert other.wait() == 1
        assert REFUSED in other.said["error"]
    third = runs.start(job.corpus, folder, part=(3, 3))
    assert third.wait() == 0, third.complaints()
    assert not third.said["report"]["finished"]
    gate.open()
    assert [part.wait() for part in parts] == [0, 0]
    assert any(part.said["report"]["finished"] for part in parts)
    require_whole(runs, job.corpus, folder, job.reference, job.places)
    part = runs.run(job.corpus, folder, part=(2, 3))
    assert (part["kept"], part["shards"], part["tokens"]) == (7, 7, 0)


def test_parts_that_are_killed_leave_nothing_behind(runs, job, moments, tmp_path):
    figures = kill_parts(runs, job.corpus, job.places, job.reference, tmp_path, 8, moments)
    assert figures.kills == 8
    assert all(account.whole for account in figures.accounts), figures
    assert figures.rewritten == 0
    assert figures.most_a_kill <= 1


def test_a_part_removes_its_own_half_files_and_not_those_of_its_neighbours(runs, job, tmp_path):
    folder = tmp_path / "run"
    runs.run(job.corpus, folder, part=(1, 2))
    halves = [folder / f"scores/.part-{n:06}-{'0' * 16}.parquet.{n}.tmp" for n in (0, 1)]
    record = folder / ".run.json.0.tmp"
    for half in (*halves, record):
        half.touch()
    gate = Gate(tmp_path / "gate")
    neighbour = runs.start(job.corpus, folder, part=(2, 2), faults=gate.faults)
    gate.wait(by=[neighbour])
    half = folder / f"scores/.part-{3:06}-{'0' * 16}.parquet.3.tmp"  # as if it were writing
    half.touch()
    halves[0].touch()
    runs.run(job.corpus, folder, part=(1, 2))
    assert half.exists()
    assert not halves[0].exists()
    half.unlink()
    gate.open()
    assert neighbour.wait() == 0
    assert not any(path.exists() for path in (*halves, record))
    require_whole(runs, job.corpus, folder, job.reference, job.places)
