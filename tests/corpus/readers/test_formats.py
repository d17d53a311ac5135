"""Formats: told by name in any case, by first bytes, or refused in one error; never one text."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import zipfile
import zlib
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from support.corpora import FIFTY, as_parquet, documents, jsonl, only_reason, read, row, write

from workbench.corpus.readers.formats import KIND_NAMES, Format, NotReadError, RowKind, format_of
from workbench.corpus.readers.rows import Columns, read_source, row_offsets
from workbench.corpus.reading import CorpusError, Document, Skipped, read_corpus
from workbench.corpus.sources import sources_of

LINES = jsonl(FIFTY)
PLAIN = [("plain", lambda data: data, "")]
PACKED = [
    ("gzip", gzip.compress, ".gz"),
    ("zstd", zstandard.compress, ".zst"),
    ("xz", lzma.compress, ".xz"),
    ("bz2", bz2.compress, ".bz2"),
]


def ids(corpus, **columns):
    return [document.doc_id for document in documents(corpus, **columns)]


ALL = [row["id"] for row in FIFTY]

# ---- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["A.JSONL", "b.Jsonl", "c.NDJSON", "d.JSON", "e.jsonlines"])
def test_endings_are_compared_in_lower_case(tmp_path, name):
    assert ids(write(tmp_path / name, LINES)) == ALL


@pytest.mark.parametrize(("kind", "compress", "ending"), PACKED)
@pytest.mark.parametrize("name", ["c.jsonl", "C.JSON", "corpus", "part-00000"])
def test_every_compression_is_read_under_every_name(tmp_path, kind, compress, ending, name):
    packed = compress(LINES)
    assert ids(write(tmp_path / (name + ending), packed)) == ALL
    assert ids(write(tmp_path / (name + ending.upper()), packed)) == ALL
    bare = write(tmp_path / "without-an-ending", packed)
    assert format_of(bare.name, str(bare), given=True) == Format("jsonl", kind, sure=False)
    assert ids(bare) == ALL


def test_a_parquet_file_is_told_by_any_name(tmp_path):
    data = as_parquet(tmp_path).read_bytes()
    for name in ("A.PARQUET", "b.Pq", "part-00000", "noname", "x.data"):
        assert ids(write(tmp_path / "p" / name, data)) == ALL


@pytest.mark.parametrize("name", ["corpus", "part-00000", "part_3", "a.0001", "a.data", "A.DUMP"])
def test_the_first_bytes_tell_where_the_name_says_nothing(tmp_path, name):
    assert ids(write(tmp_path / name, b"\xef\xbb\xbf \n" + LINES)) == ALL
    long = write(tmp_path / "long" / name, [row("x" * 3_000_000), row("y", id="b")])
    assert ids(long) == ["a", "b"]
    if not name.startswith("part"):
        text = write(tmp_path / "text" / name, "{ a text that begins like this }\n")
        (document,) = documents(text)
        assert document.text == "{ a text that begins like this }\n"


def test_every_kind_of_rows_has_a_name_and_one_without_a_reader_is_no_text(tmp_path):
    assert tuple(KIND_NAMES) == get_args(RowKind)
    (source,) = sources_of([str(write(tmp_path / "a.jsonl", LINES))])
    with pytest.raises(AssertionError, match="no such kind"):
        read_source(source._replace(kind="no such kind"), Columns())


def test_an_ending_of_a_text_is_believed(tmp_path):
    for name in ("a.txt", "b.md", "c.py"):
        (document,) = documents(write(tmp_path / name, LINES))
        assert document.text == LINES.decode()


def test_a_part_of_something_unknown_is_refused(tmp_path):
    path = write(tmp_path / "part-00000", "a line\nanother\n")
    with pytest.raises(CorpusError, match=r"part-00000: it is a part of something.*name it \.txt"):
        read(path)


def test_a_name_that_lies_about_compression_is_one_error_and_not_one_a_line(tmp_path):
    for _, compress, ending in PACKED:
        with pytest.raises(CorpusError, match=rf"name it with \{ending} at its end"):
            read(write(tmp_path / "a.jsonl", compress(LINES)))
        with pytest.raises(CorpusError, match=r"a\.jsonl\.(gz|xz): .*what stands here is no"):
            read(write(tmp_path / ("a.jsonl.xz" if ending == ".gz" else "a.jsonl.gz"),
                       LINES if ending == ".gz" else compress(LINES)))  # fmt: skip
    with pytest.raises(CorpusError, match="it is Parquet: name it"):
        read(write(tmp_path / "a.jsonl", as_parquet(tmp_path).read_bytes()))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_utf16_is_one_error_and_not_one_a_line(tmp_path, name):
    with pytest.raises(CorpusError, match=r"it is UTF-16 .*save it as UTF-8"):
        read(write(tmp_path / name, "id,text\n1,x\n".encode("utf-16")))


# ---- what is not read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a.zip", r"a ZIP archive.*zip://PATH::a\.zip"), ("a.TAR", "a tar archive"),
        ("a.tar.gz", "a tar archive"), ("a.tgz", "a tar archive"), ("a.7z", "7-Zip"),
        ("a.jsonl.lz4", "LZ4.*compress it with gzip, zstd, xz or bzip2"), ("a.json.br", "Brotli"),
        ("a.arrow", "an Arrow file.*convert it to Parquet"), ("a.feather", "an Arrow file"),
        ("a.xlsx", "a spreadsheet"), ("a.orc", "ORC"), ("a.avro", "Avro"), ("a.db", "a database"),
        ("a.pkl", "a pickle"), ("a.npy", "numbers"), ("a.parquet.gz", "Parquet inside gzip"),
        ("a.txt.gz", "text compressed with gzip.*decompress it or name it"),
    ],
)  # fmt: skip
def test_a_format_that_is_not_read_is_one_error_with_what_to_do(tmp_path, name, what):
    path = write(tmp_path / name, gzip.compress(b"A text.\n\nAnother.\n") * 2)
    with pytest.raises(CorpusError, match=rf"^{name}: it is .*{what}"):
        read(path)
    with pytest.raises(CorpusError, match=rf"^{name}: it is .*{what}"):  # alone in a folder, too
        read(tmp_path)
    write(tmp_path / "b.jsonl", FIFTY)
    skipped, *documents = read(tmp_path)
    assert (type(skipped), skipped.source, len(documents)) == (Skipped, name, 50)
    assert skipped.reason.startswith("it is ")


def test_what_is_not_read_is_told_by_first_bytes_too(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.jsonl", LINES)
    starts = {"ZIP": packed.getvalue(), "LZ4": b"\x04\x22\x4d\x18" + b"x" * 40,
              "Arrow": b"ARROW1\0\0" + b"x" * 40}  # fmt: skip
    for what, data in starts.items():
        with pytest.raises(CorpusError, match=f"noname: it is .*{what}"):
            read(write(tmp_path / "noname", data))


def test_a_pipe_is_refused_since_a_corpus_is_read_more_than_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(CorpusError, match="a pipe cannot be: write it to a file"):
        read_corpus(tmp_path / "pipe.jsonl")


@pytest.mark.parametrize("text", ["{\n  'a': 1\n}", '{\n "text": "x"\n}\n'])
def test_one_json_object_over_several_lines_is_refused(tmp_path, text):
    with pytest.raises(CorpusError, match=r"c\.json is one JSON object over several lines"):
        read(write(tmp_path / "c.json", text))


# ---- folders ------------------------------------------------------------------------------------


def test_the_parts_of_spark_are_shards_and_its_markers_nothing(tmp_path):
    for i in range(5):
        write(tmp_path / f"part-0000{i}-a1b2-c000.json", FIFTY[10 * i : 10 * i + 10])
    write(tmp_path / "part-00005-a1b2-c000.json", "")
    write(tmp_path / "_SUCCESS", "")
    write(tmp_path / "._SUCCESS.crc", "x")
    assert [(type(item), item.source) for item in read(tmp_path)][-1] == (
        Skipped, "part-00005-a1b2-c000.json"
    )  # fmt: skip
    assert [item.doc_id for item in read(tmp_path) if isinstance(item, Document)] == ALL


def test_parts_without_an_ending_are_shards(tmp_path):
    for i in range(5):
        write(tmp_path / f"part-0000{i}", FIFTY[10 * i : 10 * i + 10])
    assert ids(tmp_path) == ALL


def test_json_lines_under_the_name_of_json_are_shards_where_no_text_lies(tmp_path):
    write(tmp_path / "c/a.json", FIFTY)
    write(tmp_path / "c/README.md", "about")
    write(tmp_path / "c/dataset_info.json", "{}")
    assert [item.doc_id for item in read(tmp_path / "c") if isinstance(item, Document)] == ALL
    write(tmp_path / "c/notes.txt", "a text")
    write(tmp_path / "c/package.json", '{\n  "name": "x"\n}')
    items = {item.source: item for item in read(tmp_path / "c")}
    assert isinstance(items["notes.txt"], Document)
    assert isinstance(items["package.json"], Document)
    assert items["a.json"].reason == "a file of JSON Lines in a folder of texts: give it by itself"


def test_a_folder_of_csv_is_one_of_rows_and_a_csv_among_texts_is_said(tmp_path):
    write(tmp_path / "a.csv", "id,text\n1,x\n")
    write(tmp_path / "b.CSV.gz", gzip.compress(b"id,text\n2,y\n"))
    write(tmp_path / "LICENSE", "free")
    assert [item.doc_id for item in read(tmp_path) if isinstance(item, Document)] == ["1", "2"]
    write(tmp_path / "notes.txt", "a text")
    reasons = {item.source: getattr(item, "reason", "read") for item in read(tmp_path)}
    assert reasons.pop("notes.txt") == reasons.pop("LICENSE") == "read"
    assert set(reasons.values()) == {"a file of CSV in a folder of texts: give it by itself"}


def test_a_delta_table_is_refused_since_its_files_hold_deleted_rows(tmp_path):
    pq.write_table(pa.table({"text": ["x"]}), write(tmp_path / "a.parquet", ""))
    write(tmp_path / "_delta_log/00000.json", "{}")
    with pytest.raises(CorpusError, match="is a Delta table"):
        read(tmp_path)


# ---- patterns -----------------------------------------------------------------------------------


def test_a_pattern_stands_for_the_files_that_match_it(tmp_path):
    write(tmp_path / "c/web/a.jsonl", FIFTY[:20])
    write(tmp_path / "c/web/b.json", FIFTY[20:30])
    write(tmp_path / "c/code/a.jsonl", FIFTY[30:])
    write(tmp_path / "c/.hidden/a.jsonl", FIFTY)
    selected = documents(f"{tmp_path}/c/*/*.jsonl")
    assert [document.doc_id for document in selected] == ALL[30:] + ALL[:20]
    assert [document.source for document in selected[::20]] == ["code/a.jsonl", "web/a.jsonl"]
    assert {document.source for document in documents(f"{tmp_path}/c/**/?.json*")} == {
        "code/a.jsonl", "web/a.jsonl", "web/b.json"
    }  # fmt: skip
    both = documents([f"{tmp_path}/c/web/*.jsonl", f"{tmp_path}/c/web/*.json"])
    assert [document.doc_id for document in both] == ALL[:30]
    assert documents(f"{tmp_path}/c/web/[ab].jsonl") == documents(tmp_path / "c/web/a.jsonl")
    with pytest.raises(CorpusError, match=r"nothing\*' matches no file"):
        read_corpus(f"{tmp_path}/nothing*")


def test_a_pattern_is_relative_to_where_one_stands(tmp_path, monkeypatch):
    write(tmp_path / "a.jsonl", FIFTY)
    monkeypatch.chdir(tmp_path)
    assert documents("*.jsonl")[0].source == "a.jsonl"


def test_a_path_that_is_there_is_no_pattern(tmp_path):
    path = write(tmp_path / "part *[1]?.jsonl", FIFTY)
    write(tmp_path / "part x1y.jsonl", [row("other")])
    assert ids(path) == ALL


# ---- compression --------------------------------------------------------------------------------


def bgzf(data):
    body = zlib.compressobj(6, zlib.DEFLATED, -15)
    raw = body.compress(data) + body.flush()
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(raw) + 25)
    return head + raw + struct.pack("<II", zlib.crc32(data), len(data))


@pytest.mark.parametrize(("kind", "compress", "ending"), PACKED)
def test_every_member_is_read_and_padding_is_harmless(tmp_path, kind, compress, ending):
    half = LINES[: len(LINES) // 2], LINES[len(LINES) // 2 :]  # in the middle of a line
    forms = {
        "two": b"".join(map(compress, half)),
        "an empty one in front": compress(b"") + compress(LINES),
        "one a line": b"".join(map(compress, LINES.splitlines(keepends=True))),
        "an empty one last": compress(LINES) + compress(b""),
        "zeros behind": compress(LINES) + b"\0" * 100_000,
        "zeros between": compress(half[0]) + b"\0" * 8 + compress(half[1]),
    }
    for form, data in forms.items():
        assert ids(write(tmp_path / f"c.jsonl{ending}", data)) == ALL, form
    assert read(write(tmp_path / f"c.jsonl{ending}", compress(b""))) == []


def test_the_blocks_of_bgzip_are_read(tmp_path):
    last = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
    data = b"".join(bgzf(line) for line in LINES.splitlines(keepends=True)) + last
    assert ids(write(tmp_path / "c.jsonl.gz", data)) == ALL


@pytest.mark.parametrize(("kind", "compress", "ending"), PACKED)
@pytest.mark.parametrize("behind", [b"not compressed at all", b"x", b"\0\0\0x"])
def test_what_follows_the_last_member_is_an_error_after_all_rows(
    tmp_path, kind, compress, ending, behind
):
    stream = read_corpus(write(tmp_path / f"c.jsonl{ending}", compress(LINES) + behind))
    assert [next(stream).row for _ in range(50)] == list(range(50))
    with pytest.raises(CorpusError, match=rf"after row 49: what stands behind .* is no {kind}"):
        next(stream)


@pytest.mark.parametrize(("kind", "compress", "ending"), PACKED)
def test_a_file_that_ends_early_or_is_damaged_is_an_error(tmp_path, kind, compress, ending):
    data = compress(LINES)
    for broken in (b"", data[:5], data[:-1], data[: len(data) // 2], data + compress(LINES)[:-3]):
        with pytest.raises(CorpusError, match=rf"^c\.jsonl{ending}: reading broke off"):
            read(write(tmp_path / f"c.jsonl{ending}", broken))
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0xFF
    damaged[len(data) // 2 + 1] ^= 0xFF
    if kind != "zstd":  # whose frames carry no checksum unless that is asked for
        with pytest.raises(CorpusError, match=f"{kind} cannot be decompressed"):
            read(write(tmp_path / f"c.jsonl{ending}", bytes(damaged)))


@pytest.mark.parametrize("window", [27, 31])
def test_the_widest_windows_of_zstandard_are_read(tmp_path, window):
    how = zstandard.ZstdCompressionParameters.from_level(3, window_log=window, enable_ldm=True)
    packed = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=how).stream_writer(packed, closefd=False) as w:
        w.write(LINES)
        w.flush(zstandard.FLUSH_BLOCK)  # so that the frame does not know its size
    assert zstandard.get_frame_parameters(packed.getvalue()).window_size == 1 << window
    assert ids(write(tmp_path / "c.jsonl.zst", packed.getvalue())) == ALL


def test_skippable_frames_are_skipped(tmp_path):
    frame = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    data = frame + zstandard.compress(LINES) + frame
    assert ids(write(tmp_path / "c.jsonl.zst", data)) == ALL
    assert ids(write(tmp_path / "noname", data)) == ALL


# ---- CSV ----------------------------------------------------------------------------------------


def test_csv_gives_strings_as_they_stand(tmp_path):
    text = 'id,text,domain\n007,"two\nlines, a ""quote""",x\n\n1e5,NA,\n'
    path = write(tmp_path / "c.csv", "\ufeff" + text)
    assert [(d.doc_id, d.text, d.domain, d.row) for d in documents(path)] == [
        ("007", 'two\nlines, a "quote"', "x", 0), ("1e5", "NA", "all", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.tsv", "id\ttext\na\tx, y; z\n"), ("c.TSV.GZ", "id\ttext\na\tx, y; z\n"),
        ("c.csv", "id;text\na;x, y\n"), ("c.csv", "id\ttext\r\na\tx, y\r\n"),
        ("c.csv.xz", 'id,text\r\na,"x, y"'),
    ],
)  # fmt: skip
def test_csv_of_every_dialect(tmp_path, name, text):
    data = text.encode()
    compress = {".gz": gzip.compress, ".xz": lzma.compress}.get(name[-3:].lower(), bytes)
    (document,) = documents(write(tmp_path / name, compress(data)))
    assert (document.doc_id, document.text[:4]) == ("a", "x, y")


def test_a_record_that_does_not_fit_costs_itself(tmp_path):
    path = write(tmp_path / "c.csv", b"id,text\na,x\nb\nc,y,z\nd,\xff\xfe\ne,ok\nf,\n")
    assert [(item.row, getattr(item, "reason", None)) for item in read(path)] == [
        (0, None), (1, "1 values, but the header names 2"), (2, "3 values, but the header names 2"),
        (3, "invalid UTF-8"), (4, None), (5, "text is empty or only white space"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('id,text\na,x\nb,"y', "after row 0: the record at byte 12: unexpected end of data"),
        ('id,text\na,"x"y\n', "before its first row: the record at byte 8: .*expected after"),
        ("id,text\ra,x\r", "the record at byte 0: a line that ends in a lone carriage return"),
        ("", "it has no header"), ("id,body\na,x\n", r"no column 'text'.*\['id', 'body'\]"),
        ("text,text\na,x\n", "several columns are called 'text'"),
    ],
)  # fmt: skip
def test_csv_that_cannot_be_told_is_an_error(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message):
        read(write(tmp_path / "c.csv", text))


def test_a_range_of_csv_begins_at_its_byte(tmp_path):
    rows = "".join(f'{i},"text {i}\n{"more" * (i % 3)}"\n' for i in range(30))
    path = write(tmp_path / "c.csv", "id,text\n\n" + rows)
    (source,) = sources_of([path])
    whole = list(read_source(source, Columns("id", "text", "domain")))
    _, _, places = row_offsets(source, range(30))
    assert len(places) == 30
    for start, offset in places.items():
        assert path.read_bytes()[offset:].startswith(f'{start},"text'.encode())
        part = list(read_source(source, Columns("id", "text", "domain"), start, start + 4, offset))
        assert part == whole[start : start + 4]


# ---- Parquet ------------------------------------------------------------------------------------


def test_a_value_that_cannot_be_decoded_costs_one_row_of_its_batch(tmp_path):
    texts = [f"text {i}".encode() for i in range(300)]
    texts[7], texts[250] = b"\xff\xfe", b"\xed\xa0\x80"
    column = pa.array(texts, pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": column}), tmp_path / "c.parquet")
    items = read(tmp_path / "c.parquet")
    assert [item.row for item in items] == list(range(300))
    bad = [item for item in items if isinstance(item, Skipped)]
    assert [item.row for item in bad] == [7, 250]
    assert all(item.reason.startswith("a value cannot be decoded") for item in bad)


def test_dictionaries_give_their_values(tmp_path):
    table = pa.table({
        "text": pa.array(["a", None, "b", "a"]).dictionary_encode(),
        "domain": pa.array(["x", "y", None, "x"], pa.large_string()).dictionary_encode(),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "c.parquet")
    for corpus in (table, tmp_path / "c.parquet", table.slice(1, 3)):
        items = [item for item in read(corpus) if isinstance(item, Document)]
        assert [(document.text, document.domain) for document in items][-2:] == [
            ("b", "all"),
            ("a", "x"),
        ]
    assert only_reason(table) == "text is null or absent"


def test_a_format_says_what_it_cannot_read(tmp_path):
    with pytest.raises(NotReadError, match="an Arrow file"):
        format_of("X.ARROW", str(tmp_path / "X.ARROW"), given=True)


def test_a_name_that_is_no_utf8_is_spelled_out_wherever_it_is_named(tmp_path):
    """A file system takes any bytes for a name, and a file that we write does not."""
    name = os.fsencode(tmp_path) + b"/old\xff.zip"
    with open(name, "wb") as file:
        file.write(b"PK\x03\x04" + bytes(40))
    (tmp_path / "a.txt").write_text("a text beside it", encoding="utf-8")
    (skipped,) = (item for item in read_corpus(tmp_path) if isinstance(item, Skipped))
    assert skipped.reason.endswith(r"zip://PATH::old\udcff.zip")
    with pytest.raises(CorpusError, match="ZIP archive") as caught:
        list(read_corpus(os.fsdecode(name)))
    assert r"old\udcff.zip" in str(caught.value)
