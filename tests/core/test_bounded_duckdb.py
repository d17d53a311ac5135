"""A database keeps within its bounds, and reads and fetches nothing that it was not given."""

from __future__ import annotations

import duckdb
import pytest

from workbench.core import bounded_duckdb
from workbench.core.bounded_duckdb import connect


def setting(connection, name):
    return connection.execute(f"SELECT current_setting('{name}')").fetchone()[0]


def test_the_bounds_are_those_that_were_given(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded_duckdb, "cores", lambda: 3)
    with connect(tmp_path, memory="300MB", threads=8, most_scratch=4 * 10**9) as database:
        assert setting(database, "threads") == 3
        assert setting(database, "memory_limit") == "286.1 MiB"
        assert setting(database, "temp_directory") == str(tmp_path)
        assert setting(database, "max_temp_directory_size") == "4.6 GiB"


@pytest.mark.slow
def test_more_than_the_memory_goes_to_the_folder_and_no_further_than_its_bound(tmp_path):
    table = "CREATE TABLE {} AS SELECT hash(i) AS h, hash(i + 1) AS g FROM range({}) r(i)"
    with connect(tmp_path, memory="100MB", most_scratch=0) as database:
        database.execute(table.format("t", 10_000_000))  # 160 MB
        assert sum(path.stat().st_size for path in tmp_path.rglob("*")) > 0
        with pytest.raises(duckdb.OutOfMemoryException):
            database.execute(table.format("u", 100_000_000))  # 1.6 GB, of which 1 GB may lie there


def test_nothing_of_python_and_no_extension_is_reached(tmp_path):
    rows = [1, 2, 3]
    with connect(tmp_path, memory="1GB") as database:
        with pytest.raises(duckdb.Error, match="rows"):
            database.execute("SELECT * FROM rows")
        assert not setting(database, "autoinstall_known_extensions")
        assert not setting(database, "autoload_known_extensions")
    assert len(rows) == 3


def test_a_database_in_a_file_is_there_again(tmp_path):
    for statement in ("CREATE TABLE t AS SELECT 7 AS x", "SELECT x FROM t"):
        with connect(tmp_path, memory="1GB", file=tmp_path / "db") as database:
            found = database.execute(statement).fetchone()
    assert found == (7,)


@pytest.mark.parametrize("memory", ["1", "GB", "1GB'; --", None, "-1GB", "1 000GB"])
def test_a_bound_that_is_none_is_refused(memory, tmp_path):
    with pytest.raises(ValueError, match="memory must be a size such as '1GB', got"):
        connect(tmp_path, memory=memory)


@pytest.mark.parametrize("threads", [0, -1, 1025, 1.5, "2"])
def test_threads_that_are_none_are_refused(threads, tmp_path):
    with pytest.raises(ValueError, match="threads must be a whole number from 1, got"):
        connect(tmp_path, memory="1GB", threads=threads)
