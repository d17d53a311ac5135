"""URLs: chains, patterns, files of the hub, web servers; and a credential that is told nowhere."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
import traceback
import urllib.parse
import zipfile
from contextlib import contextmanager, suppress
from typing import ClassVar

import fsspec
import pytest
from support.corpora import FIFTY, as_gzip, as_parquet, documents, jsonl, read, write

import workbench as wb
from workbench.corpus.columns import Columns
from workbench.corpus.readers import remote
from workbench.corpus.readers.rows import read_source, row_offsets
from workbench.corpus.reading import CorpusError, read_corpus
from workbench.corpus.sources import sources_of
from workbench.scoring import run
from workbench.scoring.folder.shard_index import shard_index_of

LINES = jsonl(FIFTY)
ALL = [row["id"] for row in FIFTY]
SECRET = "S3cr3t+/Sign%41ture"
QUERY = f"X-Amz-Credential=AKIAEXAMPLE&X-Amz-Signature={urllib.parse.quote(SECRET, safe='')}"
HIDDEN = ("S3cr3t", "AKIAEXAMPLE", "X-Amz")


class Signed(http.server.SimpleHTTPRequestHandler):
    """Gives files, in ranges as well, to who asks with the right query."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, _, query = self.path.partition("?")
        place = os.path.join(self.directory, path.lstrip("/"))
        right = urllib.parse.parse_qsl(query) == urllib.parse.parse_qsl(QUERY)
        if not right or not os.path.isfile(place):
            self.send_error(404 if right else 403)
            return
        with open(place, "rb") as file:
            data = file.read()
        start, end, code = 0, len(data), 200
        if asked := self.headers.get("Range"):
            first, last = asked.removeprefix("bytes=").split("-")
            start, end, code = int(first), min(int(last) + 1, end), 206
        self.send_response(code)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        if code == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[start:end])


@contextmanager
def serving(handler):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def signed(tmp_path):
    """The address of a server of signed links, and the folder that it serves."""
    (tmp_path / "www").mkdir()
    with serving(functools.partial(Signed, directory=str(tmp_path / "www"))) as address:
        yield address, tmp_path / "www"


def full_message(error: BaseException) -> str:
    """All that a traceback would print of an error."""
    return "".join(traceback.format_exception(error))


# ---- credentials --------------------------------------------------------------------------------


def test_a_signed_link_reads_as_the_file(signed):
    address, www = signed
    write(www / "a.jsonl", LINES)
    as_gzip(www)
    as_parquet(www)
    write(www / "part-00000", LINES)
    for name in ("a.jsonl", "c.jsonl.gz", "c.parquet", "part-00000"):
        read_back = documents(f"{address}/{name}?{QUERY}")
        assert [document.doc_id for document in read_back] == ALL
        assert read_back[0].source == name


@pytest.mark.parametrize("workers", [None, pytest.param(1, marks=pytest.mark.slow)])
def test_no_file_of_a_run_holds_the_credential(signed, tmp_path, tiny, workers):
    address, www = signed
    write(www / "a.jsonl", [*FIFTY[:12], {"id": "b", "text": " "}, {"text": FIFTY[20]["text"]}])
    urls = [f"{address}/a.jsonl?{QUERY}"]
    out = tmp_path / "run"
    heads = wb.HeadSet.of([(0, 1)], tiny)
    table = wb.score_corpus(tiny, heads, urls, out, shard_size=4, workers=workers)
    assert set(table.frame["source"]) == {"a.jsonl"}
    wb.write_manifest(wb.select(table, 0.5), out)
    wb.verify_manifest(out, corpus=urls, model=tiny)
    wb.materialise(out, urls, tmp_path / "texts")
    session = wb.Session(tiny)
    session.load(out, urls[0])
    session.open(0)
    write(tmp_path / "texts/code.py", code := session.code())
    assert f"{address}/a.jsonl'" in code
    assert "put them back" in code
    files = [path for folder in (out, tmp_path / "texts") for path in folder.rglob("*")]
    assert len(files) > 10
    for path in files:
        data = path.read_bytes() if path.is_file() else b""
        assert not [secret for secret in HIDDEN if secret.encode() in data], path


def test_no_error_tells_the_credential(signed, monkeypatch):
    address, www = signed
    write(www / "a.jsonl", LINES)
    wrong = f"{address}/a.jsonl?X-Amz-Signature={urllib.parse.quote(SECRET, safe='')}"
    for url in (f"{address}/missing.jsonl?{QUERY}", wrong, f"http://127.0.0.1:9/x.jsonl?{QUERY}",
                f"nowhere://x.jsonl?{QUERY}", f"zip://a.jsonl::{wrong}",
                f"simplecache::{address}/missing?{QUERY}"):  # fmt: skip
        with pytest.raises(CorpusError) as caught:
            read(url)
        assert not [secret for secret in HIDDEN if secret in full_message(caught.value)], url
    stream = read_corpus(f"{address}/a.jsonl?{QUERY}")
    monkeypatch.setattr(Signed, "do_GET", lambda self: self.send_error(403))
    with pytest.raises(CorpusError) as caught:
        list(stream)
    assert isinstance(caught.value.__cause__, OSError), "it may go well the next time"
    assert not [secret for secret in HIDDEN if secret in full_message(caught.value)]


@pytest.mark.slow
def test_a_shard_that_fails_tells_no_credential(signed, tmp_path, tiny, monkeypatch):
    address, www = signed
    write(www / "a.jsonl", FIFTY[:8])
    url, out = f"{address}/a.jsonl?{QUERY}", tmp_path / "run"
    heads = wb.HeadSet.of([(0, 1)], tiny)

    def and_then_refused(*arguments):
        made = shard_index_of(*arguments)
        monkeypatch.setattr(Signed, "do_GET", lambda self: self.send_error(503))
        return made

    monkeypatch.setattr(run, "shard_index_of", and_then_refused)
    with pytest.raises((CorpusError, OSError, RuntimeError)) as caught:
        wb.score_corpus(tiny, heads, url, out, shard_size=4, workers=1)
    assert not [secret for secret in HIDDEN if secret in full_message(caught.value)]
    for path in out.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not [secret for secret in HIDDEN if secret.encode() in data], path


@pytest.mark.parametrize(
    ("url", "name", "shown"),
    [
        ("https://h/d/a.jsonl?x=1#f", "a.jsonl", "https://h/d/a.jsonl"),
        ("https://u:pw@h/a.jsonl", "a.jsonl", "https://h/a.jsonl"),
        ("s3://b/a.jsonl?versionId=3", "a.jsonl", "s3://b/a.jsonl"),
        ("memory://b/a?b.jsonl", "a?b.jsonl", "memory://b/a?b.jsonl"),
        ("simplecache::https://h/a.jsonl?x=1", "a.jsonl", "simplecache::https://h/a.jsonl"),
        ("zip://in/a.jsonl::https://u@h/e.zip?x=1", "a.jsonl", "zip://in/a.jsonl::https://h/e.zip"),
        ("zip://::https://h/e.zip?x=1", "e.zip", "zip://::https://h/e.zip"),
        ("zip://::/tmp/e.zip", "e.zip", "zip://::/tmp/e.zip"),
        ("https://host", "host", "https://host"),
    ],
)
def test_names_and_messages_of_urls(url, name, shown):
    assert remote.is_remote(url)
    assert (remote.name_of(url), remote.shown(url)) == (name, shown)


@pytest.mark.parametrize("path", ["s3:", "::zip", "a::b", "C:\\x", "c:/x", "a?b", "x:y/z"])
def test_local_paths_are_no_urls(path):
    assert not remote.is_remote(path)
    assert remote.shown(path) == path


# ---- chains and patterns ------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "e.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("in/a.jsonl", jsonl(FIFTY[:20]))
        file.writestr("in/b.jsonl", jsonl(FIFTY[20:]))
        file.writestr("in/c.parquet", as_parquet(tmp_path).read_bytes())
    with fsspec.open("memory://bucket/c/a.jsonl", "wb") as file:
        file.write(LINES)
    yield tmp_path / "e.zip"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_chains_are_read(archive, tmp_path):
    path = write(tmp_path / "x.jsonl", LINES)
    for url, count, first in (
        (f"zip://in/a.jsonl::{archive}", 20, "a.jsonl"),
        (f"zip://in/a.jsonl::file://{archive}", 20, "a.jsonl"),
        (f"zip://in/c.parquet::{archive}", 50, "c.parquet"),
        (f"zip://in/*.jsonl::{archive}", 50, "a.jsonl"),
        (f"simplecache::zip://in/a.jsonl::{archive}", 20, "a.jsonl"),
        (f"simplecache::file://{path}", 50, "x.jsonl"),
        ("filecache::memory://bucket/c/a.jsonl", 50, "a.jsonl"),
        ("simplecache::memory://bucket/c", 50, "a.jsonl"),
        ("memory://bucket/*/*.jsonl", 50, "c/a.jsonl"),
    ):
        read_back = documents(url)
        assert (len(read_back), read_back[0].source) == (count, first), url
    assert len(read(f"zip://in::{archive}")) == len(read(f"zip://::{archive}")) == 100
    assert read(f"zip://::{archive}")[0].source == "in/a.jsonl"
    assert documents([f"zip://in/*.jsonl::{archive}", path][:1])[0].source == "a.jsonl"
    with pytest.raises(CorpusError, match=r"memory://bucket/\*\.csv' matches no file"):
        read("memory://bucket/*.csv")


@pytest.mark.slow
def test_ranges_and_workers_find_the_rows_of_a_chain(archive, tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heads = wb.HeadSet.of([(0, 1)], tiny)
    url = "zip://in/*.jsonl::e.zip"  # relative to here, where the worker need not stand
    first = wb.score_corpus(tiny, heads, url, tmp_path / "one", shard_size=16)
    other = wb.score_corpus(tiny, heads, url, tmp_path / "other", shard_size=16, workers=1)
    assert first.frame.equals(other.frame)
    assert wb.verify_manifest(
        wb.write_manifest(wb.select(first, 0.5), tmp_path / "one").parent, corpus=url
    )


@pytest.mark.parametrize("form", ["c.csv", "c.jsonl.xz", "c.csv.bz2", "part-00000", "*.ndjson"])
def test_runs_in_parts_take_up_every_format(tmp_path, tiny, form):
    import bz2
    import csv
    import io
    import lzma

    written = io.StringIO()
    table = csv.DictWriter(written, ["id", "text", "domain"])
    table.writeheader()
    table.writerows(FIFTY[:20])
    rows, lines = written.getvalue().encode(), jsonl(FIFTY[:20])
    data = {"c.csv": rows, "c.jsonl.xz": lzma.compress(lines), "c.csv.bz2": bz2.compress(rows)}
    write(tmp_path / "c" / form.replace("*", "a"), data.get(form, lines))
    corpus, out = f"{tmp_path}/c/{form}", tmp_path / "run"
    heads = wb.HeadSet.of([(0, 1)], tiny)
    alone = wb.score_corpus(tiny, heads, corpus, tmp_path / "alone", shard_size=4)
    assert alone.frame["doc_id"].tolist() == ALL[:20]
    for part in ((1, 2), (2, 2)):
        report = wb.run_scoring(tiny, heads, corpus, out, shard_size=4, part=part)
    assert report.finished
    assert wb.load_scores(out).frame.equals(alone.frame)
    again = wb.run_scoring(tiny, heads, corpus, out, shard_size=4, part=(1, 2))
    assert again.kept
    stated = (out / "catalogue.jsonl").read_text()
    pieces = [json.loads(line)["pieces"][0] for line in stated.splitlines()[1:-1]]
    assert [piece["start"] for piece in pieces] == [0, 4, 8, 12, 16]
    assert (pieces[1]["offset"] > 0) == (form not in ("c.jsonl.xz", "c.csv.bz2"))
    wb.write_manifest(wb.select(alone, 0.5), out)
    wb.verify_manifest(out, corpus=corpus)


# ---- the web and the hub ------------------------------------------------------------------------


def test_a_server_that_sends_whole_files_only(tmp_path):
    rows = [{"id": str(i), "text": os.urandom(300).hex()} for i in range(12_000)]
    write(tmp_path / "www/a.jsonl", rows)  # larger than what is asked for at a time
    as_parquet(tmp_path / "www")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def copyfile(self, source, outputfile):
            with suppress(ConnectionError):  # of who only asked what kind of server this is
                super().copyfile(source, outputfile)

    with serving(functools.partial(Quiet, directory=str(tmp_path / "www"))) as address:
        (source,) = sources_of([f"{address}/a.jsonl"])
        columns = Columns("id", "text", "domain")
        items = list(read_source(source, columns))
        assert [item.id for item in items] == [row["id"] for row in rows]
        places = row_offsets(source, [11_000])[2]
        part = list(read_source(source, columns, 11_000, 11_010, places[11_000]))
        assert part == items[11_000:11_010]
        with pytest.raises(CorpusError, match="write simplecache:: in front of the URL"):
            read(f"{address}/c.parquet")
        assert len(documents(f"simplecache::{address}/c.parquet")) == 50
        assert len(documents(f"{address}/*.jsonl")) == 12_000


def test_a_missing_package_for_the_web_is_an_error_that_names_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from workbench.corpus.reading import read_corpus\n"
        "try: read_corpus('https://localhost/x.jsonl?sig=S3cr3tS3cr3t')\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "'https://localhost/x.jsonl' cannot be reached: https:// needs the package `aiohttp`; "
        "run: pip install '.[http]'\n"
    )


@pytest.mark.parametrize(
    "url",
    ["hf://datasets/wikitext", "hf://datasets/owner/name", "hf://datasets", "hf://spaces/o/n",
     "hf://owner/name/file.parquet"],
)  # fmt: skip
def test_the_forms_of_the_hub_are_told_apart(url):
    with pytest.raises(CorpusError, match=r"hf://owner/name.*hf://datasets/OWNER/NAME/PATH"):
        sources_of([url])


def test_a_page_of_the_hub_is_no_file():
    with pytest.raises(CorpusError, match="give hf://owner/name"):
        sources_of(["https://huggingface.co/datasets/owner/name"])


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does about one data set, whose files are `files`."""

    files: ClassVar[dict[str, bytes]] = {}
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, data, code=200, **headers):
        self.send_response(code)
        headers |= {"Content-Length": str(len(data)), "X-Repo-Commit": "0" * 40}
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def say(self, value):
        self.answer(json.dumps(value).encode(), Content_Type="application/json")

    def entry(self, path):
        if path in self.files:
            oid, size = "1" * 40, len(self.files[path])
            return {"type": "file", "path": path, "oid": oid, "size": size}
        return {"type": "directory", "path": path, "oid": "2" * 40, "size": 0}

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        paths = urllib.parse.parse_qs(asked).get("paths") or json.loads(asked)["paths"]
        known = {*self.files, *(path.rpartition("/")[0] for path in self.files)}
        self.say([self.entry(path) for path in paths if path in known])

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urllib.parse.unquote(self.path.partition("?")[0])
        if "/tree/" in path:
            below = path.partition("/tree/")[2].partition("/")[2]
            names = [name for name in self.files if name.startswith(below)]
            if not below and "recursive=true" not in self.path:
                names = sorted({name.partition("/")[0] for name in names})
            self.say([self.entry(name) for name in names])
        elif path.startswith("/api/datasets/owner/name"):
            self.say({"id": "owner/name", "sha": "0" * 40, "siblings": []})
        elif "/resolve/" in path:
            data = self.files[path.partition("/resolve/")[2].partition("/")[2]]
            first, _, last = (self.headers.get("Range") or "").removeprefix("bytes=").partition("-")
            if not first:
                return self.answer(data, ETag='"1"', Accept_Ranges="bytes")
            start, end = int(first), min(int(last or len(data)) + 1, len(data))
            about = f"bytes {start}-{end - 1}/{len(data)}"
            self.answer(data[start:end], 206, ETag='"1"', Content_Range=about)
        else:
            self.send_error(404)


def test_files_of_the_hub_are_read(tmp_path):
    table = as_parquet(tmp_path).read_bytes()
    Hub.files = {"data/a.jsonl": jsonl(FIFTY[:20]), "data/b.parquet": table}
    code = (
        "import json, sys; from workbench.corpus.reading import read_corpus\n"
        "for url in sys.argv[1:]:\n"
        "    print(json.dumps([[one.doc_id, one.source] for one in read_corpus(url)]))"
    )
    urls = ["hf://datasets/owner/name/data/a.jsonl", "hf://datasets/owner/name@main/data/b.parquet",
            "hf://datasets/owner/name/data/*.jsonl", "hf://datasets/owner/name/data"]  # fmt: skip
    with serving(Hub) as address:
        environment = os.environ | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", code, *urls], capture_output=True, text=True, env=environment,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1500:]
    reads = list(map(json.loads, done.stdout.splitlines()))
    assert reads[0] == [[doc_id, "a.jsonl"] for doc_id in ALL[:20]]
    assert reads[1] == [[doc_id, "b.parquet"] for doc_id in ALL]
    assert reads[2] == reads[0]
    assert reads[3] == [*reads[0], *reads[1]]
