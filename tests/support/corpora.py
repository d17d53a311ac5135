"""Corpora for the tests in every form that can be read, and short ways to read them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from workbench.corpus.reading import Document, Skipped, read_corpus

FIFTY = [
    {
        "id": f"doc-{i}",
        "text": f"Text number {i}: naïve \u2028 日本\r\n\tend",
        "domain": f"d{i % 3}",
    }
    for i in range(50)
]


def corpus_of(count: int, start: int = 0) -> list[dict]:
    """So many short documents of two domains, the numbers in their texts from `start` on."""
    return [
        {"id": f"d{i}", "text": f"document number {i}: " + "word " * (i % 7), "domain": "ab"[i % 2]}
        for i in range(start, start + count)
    ]


def jsonl(rows: list) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write(path: Path, content: bytes | str | list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        content = jsonl(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(corpus, **options) -> list[Document | Skipped]:
    return list(read_corpus(corpus, **options))


def documents(corpus, **options) -> list[Document]:
    """Everything in the corpus, which must all be documents."""
    items = read(corpus, **options)
    assert not [item for item in items if isinstance(item, Skipped)]
    return items


def only_reason(corpus, **options) -> str:
    """The reason of the one row of the corpus that is skipped."""
    (skipped,) = [item for item in read(corpus, **options) if isinstance(item, Skipped)]
    return skipped.reason


def row(text, id="a", **more) -> dict:
    return {"id": id, "text": text, **more}


def as_jsonl(folder):
    return write(folder / "c.jsonl", FIFTY)


def as_gzip(folder):
    return write(folder / "c.jsonl.gz", gzip.compress(jsonl(FIFTY)))


def as_zstd(folder):
    return write(folder / "c.jsonl.zst", zstandard.ZstdCompressor().compress(jsonl(FIFTY)))


def as_parquet(folder):
    pq.write_table(pa.Table.from_pylist(FIFTY), folder / "c.parquet", row_group_size=7)
    return folder / "c.parquet"


def as_folder_of_shards(folder):
    write(folder / "s" / "a.jsonl", FIFTY[:20])
    write(folder / "s" / "b" / "c.jsonl.gz", gzip.compress(jsonl(FIFTY[20:40])))
    pq.write_table(pa.Table.from_pylist(FIFTY[40:]), folder / "s" / "d.parquet")
    return folder / "s"


def as_list_of_paths(folder):
    return [write(folder / "a.jsonl", FIFTY[:30]), str(write(folder / "b.jsonl", FIFTY[30:]))]


def as_frame(folder):
    return pd.DataFrame(FIFTY)


def as_arrow_table(folder):
    return pa.Table.from_pylist(FIFTY)


def as_dataset(folder):
    return datasets.Dataset.from_list(FIFTY)


def as_streamed_dataset(folder):
    return datasets.Dataset.from_list(FIFTY).to_iterable_dataset()


def as_streamed_dataset_of_unknown_columns(folder):
    return datasets.IterableDataset.from_generator(lambda: iter(FIFTY))


def as_dict_of_datasets(folder):
    parts = {"train": FIFTY[:40], "test": FIFTY[40:]}
    return datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in parts.items()})


def as_saved_dataset(folder):
    datasets.Dataset.from_list(FIFTY).save_to_disk(folder / "saved")
    return folder / "saved"


def as_saved_dict_of_datasets(folder):
    as_dict_of_datasets(folder).save_to_disk(folder / "saved")
    return folder / "saved"


def as_dicts(folder):
    return iter(FIFTY)


def as_documents(folder):
    return [Document(r["id"], r["text"], r["domain"], "memory", i) for i, r in enumerate(FIFTY)]


FORMS = [
    as_jsonl,
    as_gzip,
    as_zstd,
    as_parquet,
    as_folder_of_shards,
    as_list_of_paths,
    as_frame,
    as_arrow_table,
    as_dataset,
    as_streamed_dataset,
    as_streamed_dataset_of_unknown_columns,
    as_dict_of_datasets,
    as_saved_dataset,
    as_saved_dict_of_datasets,
    as_dicts,
    as_documents,
]
