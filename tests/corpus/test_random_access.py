"""Files looked at without being read whole: how far they reach, and rows at given places."""

from __future__ import annotations

import gzip

import pytest
from support.corpus_files import COLUMNS, NAMES, ROWS, rows_of, write_source

from workbench.corpus.random_access import CorpusHandle, count_lines, ranges, reaches
from workbench.corpus.readers.rows import Columns, read_source
from workbench.corpus.sources import sources_of


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
def test_pieces_of_a_source_hold_the_wanted_rows(tmp_path, name):
    write_source(tmp_path, name, rows_of(name))
    source = CorpusHandle(tmp_path, Columns(**COLUMNS)).files[name]
    for wanted in ([0], [29], [0, 29], [3, 4, 5, 20], list(range(30))):
        rows = [
            item.row
            for start, stop, offset in ranges(source, wanted, ROWS)
            for item in read_source(source, Columns(**COLUMNS), start, stop, offset)
        ]
        assert set(wanted) <= set(rows)
        assert len(rows) == len(set(rows))
