"""What is published holds no text and no place of the machine, and nothing is sent anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import transformers
from support.corpora import write
from support.models import TINY, make_tokenizer

TEXT, PLACE = "SecretWordsOfADocument", "SecretPlaceOnTheMachine"

# The whole way from a local model to a verified manifest, in a process that notes every connection.
ROAD = """
import sys
def watch(event, given):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        print("EVENT", event, given, flush=True)
sys.addaudithook(watch)
import workbench as wb
place, out = sys.argv[1:]
model = wb.load_model(place + "/model")
probes = wb.make_probes(model, 2, max_tokens=1300)
detected = wb.retrieval_scores(model, probes)
heads = wb.HeadSet.top(detected, 0.2, allow_ties=True)
table = wb.score_corpus(model, heads, place + "/corpus", out, shard_size=4)
wb.write_manifest(wb.select(table, 0.5), out, corpus_note="a corpus of this test")
print("SCORED", len(table), len(table.skipped))
report = wb.verify_manifest(out, model=model, corpus=place + "/corpus", strict=False)
print("VERIFIED", report.failed)
import socket
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError:
    print("END")
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """(the run folder, what the process said)."""
    place = tmp_path_factory.mktemp(PLACE)
    config = transformers.LlamaConfig(**TINY | {"max_position_embeddings": 4096})
    transformers.LlamaForCausalLM(config).save_pretrained(place / "model")
    make_tokenizer().save_pretrained(place / "model")
    rows = [
        {"id": f"d{i}", "text": f"{TEXT} {i} " * (i + 2), "domain": "ab"[i % 2]} for i in range(9)
    ]
    odd = [
        {"id": "d0", "text": f"{TEXT} with an id twice"}, {"id": "n", "text": [TEXT]},
        {"id": "e", "text": " "}, {"id": {"a": TEXT}, "text": "x"}, {"text": f"{TEXT} \ud800"},
        {"id": "s", "text": "x"}, {"id": TEXT * 300, "text": "y"}, [TEXT], TEXT,
    ]  # fmt: skip
    lines = [json.dumps(row).encode() for row in [*rows, *odd]]
    lines += [b'{"text": "' + TEXT.encode(), b'{"text": "' + TEXT.encode() + b'\xff"}']
    write(place / "corpus" / "part" / "a.jsonl", b"\n".join(lines))
    out = place / "out"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ROAD, str(place), str(out)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return out, done.stdout


def strings_of(path: Path) -> str:
    """Every byte of a file as text, of a Parquet file also its values and its notes."""
    report = path.read_bytes().decode("utf-8", "backslashreplace")
    if path.suffix == ".parquet":
        table = pq.ParquetFile(path).read()
        report += repr(table.to_pylist()) + repr(table.schema.metadata)
        report += pq.read_metadata(path).created_by
        report += repr([table.schema.field(name).metadata for name in table.column_names])
    return report


def test_the_run_was_a_real_one(published):
    out, report = published
    assert "VERIFIED []" in report
    assert "SCORED 9 11" in report or "SCORED 10 10" in report
    published = {path.relative_to(out).as_posix().split("/")[0] for path in out.rglob("*")}
    assert {"run.json", "receipts", "scores", "manifest.json", "selection.parquet"} <= published
    assert (out / "skipped.jsonl").stat().st_size > 500


def test_no_published_file_holds_a_text_or_a_place(published):
    out, _ = published
    looked_at = 0
    for path in out.rglob("*"):
        if path.is_file():
            report = strings_of(path)
            assert TEXT not in report, path.name
            assert PLACE not in report, path.name
            assert str(out.parent.parent) not in report, path.name
            looked_at += 1
    assert looked_at >= 9


def test_no_connection_is_made_from_the_model_to_the_verified_manifest(published):
    _, report = published
    events = [line for line in report.splitlines() if line.startswith("EVENT")]
    # The only ones are those of the trial at the end, which shows that the watch sees them.
    assert "END" in report
    assert events
    assert report.index("VERIFIED") < report.index("EVENT")
