"""Where id, text and domain come from: literal and nested columns, names of classes, folders."""

from __future__ import annotations

import gzip
import json

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.corpora import documents, read, row, write

from workbench.core.nested_columns import column_at, steps_to
from workbench.corpus.columns import Columns
from workbench.corpus.readers.rows import LOOK_AHEAD
from workbench.corpus.reading import CorpusError, read_corpus
from workbench.corpus.sources import sources_of

NESTED = [
    {"text": f"text {i}", "meta": {"key": f"k{i}", "set": {"name": "web" if i % 2 else "books"}}}
    for i in range(6)
]


def parquet(path, rows, schema=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=4)
    return path


def saved(path, rows, features=None):
    datasets.Dataset.from_list(rows, features=features).save_to_disk(path)
    return path


def forms(folder, rows):
    """The same rows in every form that can hold nested columns."""
    return {
        "jsonl": write(folder / "c.jsonl", rows),
        "parquet": parquet(folder / "c.parquet", rows),
        "saved": saved(folder / "saved", rows),
        "dicts": rows,
        "stream of dicts": iter(rows),
        "frame": pd.DataFrame(rows),
        "arrow": pa.Table.from_pylist(rows),
        "data set": datasets.Dataset.from_list(rows),
        "streamed data set": datasets.Dataset.from_list(rows).to_iterable_dataset(),
    }


FORMS = [
    "jsonl", "parquet", "saved", "dicts", "stream of dicts", "frame", "arrow", "data set",
    "streamed data set",
]  # fmt: skip


# ---- nested columns -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_path_names_a_nested_column_for_any_role(tmp_path, form):
    corpus = forms(tmp_path, NESTED)[form]
    read_back = documents(corpus, id="meta.key", domain="meta.set.name")
    assert [(d.doc_id, d.domain) for d in read_back] == [
        (f"k{i}", ["books", "web"][i % 2]) for i in range(6)
    ]
    assert {d.domain_from for d in read_back} == {"column"}
    inner = [{"doc": {"body": {"text": row["text"]}}} for row in NESTED]
    assert [
        d.text for d in documents(forms(tmp_path / "i", inner)[form], text="doc.body.text")
    ] == [row["text"] for row in NESTED]


@pytest.mark.parametrize("form", FORMS)
def test_a_column_that_is_called_so_itself_wins(tmp_path, form):
    rows = [{"text": f"text {i}", "a.b": f"plain {i}", "a": {"b": f"nested {i}"}} for i in range(3)]
    read_back = documents(forms(tmp_path, rows)[form], domain="a.b")
    assert [d.domain for d in read_back] == ["plain 0", "plain 1", "plain 2"]


def test_the_longest_name_that_is_there_is_meant():
    rows = [{"text": "t", "a.b": {"c": "long"}, "a": {"b": {"c": "short"}}}]
    assert documents(rows, domain="a.b.c")[0].domain == "long"
    table = pa.Table.from_pylist(rows)
    assert steps_to(table.schema, "a.b.c") == ("a.b", "c")
    assert column_at(table, "a.b.c").to_pylist() == ["long"]
    assert steps_to(table.schema, "a.x") == ()
    assert steps_to(table.schema, "text.x") == ()


@pytest.mark.parametrize("form", FORMS)
def test_a_row_without_its_outer_column_has_no_value(tmp_path, form):
    rows = [NESTED[1], {"text": "no meta", "meta": None}, NESTED[3]]
    corpus = forms(tmp_path, rows)[form]
    read_back = documents(corpus, domain="meta.set.name")
    assert [d.domain for d in read_back] == ["web", "all", "web"]
    assert [d.domain_from for d in read_back] == ["column", "default", "column"]


@pytest.mark.parametrize("form", FORMS)
def test_a_path_that_leads_nowhere_is_an_error_that_speaks_of_nesting(tmp_path, form):
    for path in ("meta.nope", "nope.key", "meta.set.name.more"):
        with pytest.raises(CorpusError, match=rf"no column '{path}' for the domain.*nested"):
            read(forms(tmp_path / path, NESTED)[form], domain=path)


@pytest.mark.parametrize("form", ["parquet", "saved"])
def test_a_whole_struct_is_no_domain_and_the_error_says_what_is(tmp_path, form):
    with pytest.raises(CorpusError, match=r"struct.*named with a dot"):
        read(forms(tmp_path, NESTED)[form], domain="meta")


def test_a_nested_parquet_column_is_looked_at_before_it_is_read(tmp_path):
    """The bounds of pages hold inside of structs too, and for both columns of one path."""
    from workbench.core.parquet import groups_of

    rows = [{"text": "t", "a.b": "x", "a": {"b": "y"}}]
    with parquet(tmp_path / "c.parquet", rows).open("rb") as stream:
        assert len(groups_of(stream)[0].chunks["a.b"]) == 2
    long = [{"text": "t", "meta": {"name": "x" * (80 << 20)}}]
    pq.write_table(pa.Table.from_pylist(long), tmp_path / "long.parquet", compression="zstd")
    assert documents(tmp_path / "long.parquet")[0].text == "t"
    with pytest.raises(CorpusError, match=r"a page of column 'meta.name' would take"):
        read(tmp_path / "long.parquet", domain="meta.name")


# ---- columns that come late or change their type ------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("late", [1, 3 * LOOK_AHEAD])
def test_a_column_that_the_first_rows_of_a_file_lack_is_found(tmp_path, late, packed):
    rows = [{"id": i, "text": f"text {i}"} for i in range(late)] + [row("t", lang="en")]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = write(tmp_path / f"c.jsonl{'.gz' * packed}", gzip.compress(data) if packed else data)
    domains = [d.domain for d in documents(path, domain="lang")]
    assert domains == ["all"] * late + ["en"]
    assert [d.domain for d in documents(rows, domain="lang")] == domains


def test_a_row_without_text_costs_that_row_wherever_it_stands(tmp_path):
    rows = [{"id": 0}, row("first"), {"id": 2}, row("second")]
    for corpus in (write(tmp_path / "c.jsonl", rows), rows, iter(rows)):
        first, second, third, fourth = read(corpus)
        assert (second.text, fourth.text) == ("first", "second")
        assert first.reason == third.reason == "text is null or absent"


def test_of_a_stream_that_comes_once_so_many_rows_are_looked_at():
    def stream(late):
        for i in range(late):
            yield {"text": f"text {i}"}
        while True:
            yield {"text": "t", "lang": "en"}

    items = read_corpus(stream(LOOK_AHEAD - 1), domain="lang")
    domains = [next(items).domain for _ in range(LOOK_AHEAD + 5)]
    assert domains == ["all"] * (LOOK_AHEAD - 1) + ["en"] * 6
    with pytest.raises(CorpusError, match="memory row 0: no column 'lang' for the domain"):
        next(read_corpus(stream(LOOK_AHEAD), domain="lang"))


def test_a_column_that_no_row_has_is_an_error_whatever_else_is_in_the_file(tmp_path):
    lines = b"\n[1]\nno json\n" + b'{"id": 0, "txet": "a"}\n' * 2000
    with pytest.raises(CorpusError, match=r"c.jsonl row 3: no column 'text' for the text; present"):
        read(write(tmp_path / "c.jsonl", lines))


def test_types_that_change_from_row_to_row_cost_only_what_cannot_be_read(tmp_path):
    rows = [
        {"id": 1, "text": "a", "domain": "d", "more": None},
        {"id": "two", "text": "b", "domain": 2, "more": {"x": 1}},
        {"id": 3.5, "text": ["c"], "domain": "d", "more": [1, "x"]},
        {"id": True, "text": "d", "domain": ["d"], "more": "text"},
        {"text": "e", "domain": None},
    ]
    items = read(write(tmp_path / "c.jsonl", rows))
    assert [(d.doc_id, d.domain) for d in items[:2]] == [("1", "d"), ("two", "2")]
    assert items[2].reason == "text is not a string but of type list"
    assert items[3].reason == "domain is not a string or a number but of type list"
    assert (items[4].doc_id, items[4].domain) == ("c.jsonl#4", "all")


# ---- names of classes ---------------------------------------------------------------------------

CLASSES = datasets.Features(
    {
        "text": datasets.Value("string"),
        "domain": datasets.ClassLabel(names=["books", "code"]),
        "meta": {"kind": datasets.ClassLabel(names=["old", "new"])},
    }
)


@pytest.mark.parametrize("form", ["memory", "stream", "saved", "parquet", "arrow", "splits"])
def test_a_class_label_is_called_by_its_name(tmp_path, form):
    rows = [{"text": f"t{i}", "domain": i % 2, "meta": {"kind": 1 - i % 2}} for i in range(4)]
    rows.append({"text": "none", "domain": -1, "meta": {"kind": None}})
    data = datasets.Dataset.from_list(rows, features=CLASSES)
    data.save_to_disk(tmp_path / "saved")
    data.to_parquet(tmp_path / "c.parquet")

    def corpus():
        return {
            "memory": data, "stream": data.to_iterable_dataset(), "saved": tmp_path / "saved",
            "parquet": tmp_path / "c.parquet", "arrow": data.data.table,
            "splits": datasets.DatasetDict(train=data),
        }[form]  # fmt: skip

    expected = ["books", "code", "books", "code", "all"]
    assert [d.domain for d in documents(corpus())] == expected
    nested = [d.domain for d in documents(corpus(), domain="meta.kind")]
    assert nested == ["new", "old", "new", "old", "all"]


@pytest.mark.parametrize(
    "stated",
    [b"", b"{", b"[]", b'{"info": {"features": {"domain": {"names": 3}}}}', b"[" * 100_000,
     b'{"info": {"features": {"domain": {"names": ["a", 3]}}}}', b"\xff"],
)  # fmt: skip
def test_metadata_that_names_no_classes_leaves_the_numbers(stated, tmp_path):
    table = pa.table({"text": ["x", "y"], "domain": [0, 7]})
    pq.write_table(table.replace_schema_metadata({"huggingface": stated}), tmp_path / "c.parquet")
    assert [d.domain for d in documents(tmp_path / "c.parquet")] == ["0", "7"]


def test_a_number_beyond_the_classes_stays_a_number():
    labels = {"info": {"features": {"domain": {"names": ["books"]}}}}
    table = pa.table({"text": ["x", "y"], "domain": [0, 7]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(labels)})
    assert [d.domain for d in documents(table)] == ["books", "7"]


# ---- folders ------------------------------------------------------------------------------------


def by_source(corpus, **options):
    return {d.source: (d.domain, d.domain_from) for d in documents(corpus, **options)}


def test_without_a_domain_column_the_subfolder_of_a_shard_is_its_domain(tmp_path):
    write(tmp_path / "web" / "deep" / "a.jsonl", [row("x")])
    parquet(tmp_path / "books" / "b.parquet", [row("y")])
    write(tmp_path / "top.jsonl", [row("z")])
    assert by_source(tmp_path) == {
        "books/b.parquet": ("books", "folder"),
        "top.jsonl": ("all", "default"),
        "web/deep/a.jsonl": ("web", "folder"),
    }
    assert by_source(tmp_path, default_domain="rest")["top.jsonl"] == ("rest", "default")


def test_a_row_with_a_domain_of_its_own_keeps_it(tmp_path):
    write(tmp_path / "web" / "a.jsonl", [row("x", domain="law"), row("y"), row("z", domain=None)])
    domains = [(d.domain, d.domain_from) for d in documents(tmp_path)]
    assert domains == [("law", "column"), ("web", "folder"), ("web", "folder")]


def test_the_folder_of_hive_and_spark_gives_its_value(tmp_path):
    for lang in ("en", "a%2Fb", "__HIVE_DEFAULT_PARTITION__"):
        write(tmp_path / f"lang={lang}" / "year=2024" / "part.jsonl", [row("x")])
    assert [d.domain for d in documents(tmp_path)] == ["all", "a/b", "en"]
    assert [d.domain for d in documents(tmp_path, domain="lang")] == ["all", "a/b", "en"]
    assert [d.domain for d in documents(tmp_path, domain="year")] == ["2024"] * 3
    with pytest.raises(CorpusError, match="no column 'month' for the domain"):
        read(tmp_path, domain="month")


def test_the_user_chooses_between_column_folder_and_none(tmp_path):
    write(tmp_path / "web" / "a.jsonl", [row("x", domain="law", lang="en")])
    for choice, expected in (
        ("domain", ("law", "column")),
        ("lang", ("en", "column")),
        ("/", ("web", "folder")),
        (None, ("all", "default")),
    ):
        assert by_source(tmp_path, domain=choice) == {"web/a.jsonl": expected}
    assert documents([row("x", domain="law")], domain="/")[0].domain == "all"
    assert documents([row("x", domain="law")], domain=None)[0].domain == "all"


def test_a_named_column_is_not_mended_by_the_folder(tmp_path):
    write(tmp_path / "web" / "a.jsonl", [row("x", lang="en"), row("y")])
    assert [d.domain for d in documents(tmp_path, domain="lang")] == ["en", "all"]


def test_of_several_given_folders_the_subfolder_of_each_counts(tmp_path):
    write(tmp_path / "one" / "web" / "a.jsonl", [row("x")])
    write(tmp_path / "two" / "a.jsonl", [row("y")])
    folders = [tmp_path / "one", tmp_path / "two"]
    assert by_source(folders) == {
        "one/web/a.jsonl": ("web", "folder"),
        "two/a.jsonl": ("all", "default"),
    }


def test_the_columns_of_one_source_do_not_become_those_of_the_next(tmp_path):
    write(tmp_path / "web" / "a.jsonl", [row("x")])
    (source,) = sources_of([tmp_path])
    columns = Columns()
    assert columns.within(source.name, source.domain).folder == "web"
    assert columns.folder is None
    assert columns.named() == {"id": "id", "text": "text", "domain": "domain"}
