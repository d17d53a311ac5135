"""Near-duplicates: against exact Jaccard over all pairs, whatever order the documents come in."""

from __future__ import annotations

import functools
import io
import itertools
import json
import random
import re
import sys
import tempfile
import threading
from collections import Counter

import pyarrow.parquet as pq
import pytest
from support.hostile import TEXTS

import workbench.core.progress
from workbench.core.progress import Cancelled
from workbench.corpus.deduplication import CLUSTER_SCHEMA, near_duplicates
from workbench.corpus.document import Document, Skipped

WORDS = [f"{a}{b}{c}" for a in "bdgklm" for b in "aeiou" for c in ("n", "rt", "st", "l", "sk")]


def edited(words, share, chance):
    """The words with about `share` of them replaced."""
    return [chance.choice(WORDS) if chance.random() < share else word for word in words]


def planted(chance):
    """40 families of 5 texts: an original and copies of which known shares of words were changed.

    With 5-word n-grams the shares 0.005, 0.015, 0.03 and 0.1 leave Jaccard similarities near 0.95,
    0.86, 0.75 and 0.42.
    """
    documents = []
    for family in range(40):
        words = chance.choices(WORDS, k=chance.randrange(120, 300))
        for share in (0, 0.005, 0.015, 0.03, 0.1):
            text = " ".join(edited(words, share, chance))
            place = len(documents)
            domain = "code" if family % 3 else "books"
            documents.append(Document(f"d{place}", text, domain, f"{family % 7}.jsonl", place))
    return documents


def ngrams(text, size=5):
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[i : i + size]) for i in range(max(1, len(words) - size + 1))}


def similarities(documents):
    """(one, other) -> exact Jaccard, over all pairs of a domain."""
    sets = [ngrams(document.text) for document in documents]
    return {
        (i, j): len(sets[i] & sets[j]) / len(sets[i] | sets[j])
        for i, j in itertools.combinations(range(len(documents)), 2)
        if documents[i].domain == documents[j].domain
    }


@functools.cache
def oracle(seed):
    documents = planted(random.Random(seed))
    return documents, similarities(documents)


def components(count, pairs):
    """Plain transitive closure: the smallest member of each one's component."""
    root = list(range(count))
    for i, j in pairs:
        low, high = sorted((root[i], root[j]))
        root = [low if r == high else r for r in root]
    return root


def together(duplicates, documents):
    """The pairs of documents that lie in one cluster."""
    place = {(document.source, document.row): i for i, document in enumerate(documents)}
    clusters = {}
    for row in duplicates.table.itertuples():
        clusters.setdefault(row.cluster, []).append(place[row.source, row.row])
    return {
        pair for members in clusters.values() for pair in itertools.combinations(sorted(members), 2)
    }


def as_documents(texts, domain="all"):
    return [Document(f"t{i}", text, domain, "t.jsonl", i) for i, text in enumerate(texts)]


def rows(duplicates):
    return [list(row) for row in duplicates.table.itertuples(index=False)]


# Measured (precision, recall) of the pairs in clusters, at 0.8: 0.90, 0.91 (seed 1: 0.98, 0.95); at
# 0.5: 0.94, 1.00; at 0.9: 0.88, 0.95. The copies are close to the thresholds on purpose; far
# from them nothing is wrong, see the next test.
@pytest.mark.parametrize(
    ("threshold", "permutations", "least"),
    [(0.8, 128, 0.85), (0.5, 128, 0.85), (0.9, 128, 0.85)],
)
def test_clusters_are_those_of_exact_jaccard(threshold, permutations, least):
    documents, exact = oracle(0)
    root = components(len(documents), [p for p, value in exact.items() if value >= threshold])
    expected = {pair for pair in exact if root[pair[0]] == root[pair[1]]}
    duplicates = near_duplicates(documents, threshold=threshold, permutations=permutations)
    pairs = together(duplicates, documents)
    precision, recall = (len(pairs & expected) / len(of) for of in (pairs, expected))
    assert len(expected) > 30
    assert min(precision, recall) > least, (precision, recall)


def test_far_from_the_threshold_nothing_is_missed_or_invented():
    documents, exact = oracle(0)
    pairs = together(near_duplicates(documents), documents)
    sure = {pair for pair, value in exact.items() if value >= 0.9}
    assert len(sure) > 40
    assert sure <= pairs
    alone = set(range(len(documents))) - {i for p, value in exact.items() if value > 0.7 for i in p}
    assert len(alone) > 30
    assert not alone & {i for pair in pairs for i in pair}


def test_order_does_not_matter():
    documents = planted(random.Random(2))
    shuffled = list(documents)
    random.Random(3).shuffle(shuffled)
    first, second = near_duplicates(documents), near_duplicates(shuffled)
    assert rows(first) == rows(second)
    assert first.domains.equals(second.domains)
    assert first.to_parquet() == second.to_parquet()


def test_clusters_are_numbered_by_their_first_row():
    texts = ["the same words here"] * 2 + ["others altogether in this one"] * 2
    documents = as_documents(texts)
    duplicates = near_duplicates(documents[::-1])
    assert rows(duplicates) == [["t.jsonl", 0, 0], ["t.jsonl", 1, 0], ["t.jsonl", 2, 1],
                           ["t.jsonl", 3, 1]]  # fmt: skip


def test_domains_are_apart():
    text = " ".join(WORDS[:60])
    documents = [Document("a", text, "x", "s", 0), Document("b", text, "y", "s", 1),
                 Document("c", text + " end", "x", "s", 2)]  # fmt: skip
    duplicates = near_duplicates(documents)
    assert [row[1] for row in rows(duplicates)] == [0, 2]
    assert duplicates.domains["duplicated"].tolist() == [2, 0]


def test_a_chain_is_one_cluster():
    # Each text drops the first 7 and adds 7 words: neighbours are alike (0.84), the ends are not.
    words = random.Random(4).choices(WORDS, k=300)
    texts = [" ".join(words[i * 7 : i * 7 + 170]) for i in range(6)]
    exact = similarities(as_documents(texts))
    assert exact[0, 5] < 0.7 < 0.9 < exact[0, 1]
    assert set(clusters := near_duplicates(as_documents(texts)).table["cluster"]) == {0}, clusters


def test_the_summary_adds_up():
    documents = planted(random.Random(5))
    documents += [Document("copy", documents[4].text, documents[4].domain, "9.jsonl", 0)]
    duplicates = near_duplicates([*documents, Skipped(None, None, "s", 1, "why")])
    assert duplicates.domains["domain"].tolist() == ["books", "code"]
    assert duplicates.domains["documents"].sum() == len(documents)
    assert duplicates.domains["duplicated"].sum() == len(duplicates.table)
    assert duplicates.domains["clusters"].sum() == duplicates.table["cluster"].nunique()
    assert duplicates.domains["largest"].max() == duplicates.table["cluster"].value_counts().max()
    texts = Counter((document.domain, document.text) for document in documents)
    copies = {name: sum(n for (of, _), n in texts.items() if of == name and n > 1)
              for name in ("books", "code")}  # fmt: skip
    assert duplicates.domains.set_index("domain")["exact"].to_dict() == copies
    assert copies["books"] > 1
    assert duplicates.settings["skipped"] == 1


def test_case_and_punctuation_do_not_count():
    texts = ["Some words, and (other) words; HERE.", "some WORDS and other words here!"]
    assert rows(near_duplicates(as_documents(texts))) == [["t.jsonl", 0, 0], ["t.jsonl", 1, 0]]


def test_texts_without_words_are_alike_only_if_they_are_the_same():
    duplicates = near_duplicates(as_documents(["!!!", "???", "!!!", "..."]))
    assert [row[1] for row in rows(duplicates)] == [0, 2]


def test_hostile_texts_are_no_near_duplicates_of_each_other():
    duplicates = near_duplicates(as_documents([*TEXTS, *TEXTS[:3]]), threshold=0.9)
    copies = len(TEXTS)
    assert duplicates.table["cluster"].nunique() >= 3
    assert {0, 1, 2, copies, copies + 1, copies + 2} <= set(duplicates.table["row"])


def test_characters_for_languages_without_spaces():
    chance = random.Random(6)
    text = "".join(chr(chance.randrange(0x4E00, 0x9000)) for _ in range(800))
    near = text[:400] + "一" + text[401:]
    other = "".join(chr(chance.randrange(0x4E00, 0x9000)) for _ in range(800))
    documents = as_documents([text, near, other])
    for duplicates in (near_duplicates(documents), near_duplicates(documents, unit="characters")):
        assert [row[1] for row in rows(duplicates)] == [0, 1]


@pytest.mark.parametrize(
    "sentence",
    [
        "เด็กๆ เดินไปโรงเรียนทุกเช้าและกลับบ้านตอนเย็นพร้อมกับเพื่อนของพวกเขา",
        "毎朝子供たちは学校まで歩いて行き、夕方には友達と一緒に帰ってきます",
        "孩子们每天早上走路去学校，傍晚和朋友们一起回家",  # noqa: RUF001
    ],
)  # fmt: skip
def test_a_sentence_without_spaces_is_many_words(sentence):
    """So that its twin with another ending is near it, and a sentence of other words is not."""
    duplicates = near_duplicates(
        as_documents([sentence * 4, sentence * 4 + "。再见", sentence[::-1]])
    )
    assert [row[1] for row in rows(duplicates)] == [0, 1]


def test_short_texts_are_alike_only_if_they_are_the_same():
    texts = ["yes", "no", "Section 12", "Section 13", "yes", "3.14", "2.72", "号", "号外", "YES!"]
    duplicates = near_duplicates(as_documents(texts))
    assert [row[1] for row in rows(duplicates)] == [0, 4, 9]  # case and punctuation do not count


def test_texts_that_differ_by_numbers_and_names_stay_apart():
    lines = [f"Highway {n} runs from {town} to the coast in the north." for n, town in
             zip(range(880, 890), WORDS, strict=False)]  # fmt: skip
    assert rows(near_duplicates(as_documents(lines))) == []


def test_thousands_of_copies_are_one_cluster():
    texts = [" ".join(WORDS[:50])] * 2000 + [" ".join(WORDS[:50]) + f" {i}" for i in range(500)]
    duplicates = near_duplicates(as_documents(texts))
    assert duplicates.domains["largest"].tolist() == [2500]
    assert duplicates.domains["exact"].tolist() == [2000]


def test_exact_duplicates_need_no_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    documents = as_documents(["one and one", "two and two", "one and one", "one and one."])
    with pytest.raises(ImportError, match=r"attention-influence-workbench\[scale\]"):
        near_duplicates(documents)
    assert rows(near_duplicates(documents, threshold=None)) == [
        ["t.jsonl", 0, 0], ["t.jsonl", 2, 0],
    ]  # fmt: skip


def test_writes_a_parquet_file(tmp_path):
    text = " ".join(WORDS[:60])
    corpus = tmp_path / "c.jsonl"
    lines = [{"id": i, "text": t} for i, t in enumerate([text, "another one", text + " end"])]
    corpus.write_text("\n".join(json.dumps(line) for line in lines))
    duplicates = near_duplicates(corpus, out=tmp_path / "clusters.parquet")
    table = pq.read_table(tmp_path / "clusters.parquet")
    assert table.schema.equals(CLUSTER_SCHEMA)
    assert table.to_pylist() == [
        {"source": "c.jsonl", "row": 0, "cluster": 0}, {"source": "c.jsonl", "row": 2, "cluster": 0}
    ]  # fmt: skip
    assert json.loads(table.schema.metadata[b"near_duplicates"]) == duplicates.settings
    assert str(tmp_path).encode() not in (tmp_path / "clusters.parquet").read_bytes()


@pytest.mark.parametrize("threshold", [0.8, None])
def test_an_empty_corpus_has_no_duplicates(threshold):
    duplicates = near_duplicates([Skipped(None, None, "s", 0, "why")], threshold=threshold)
    assert len(duplicates.table) == len(duplicates.domains) == 0
    assert pq.ParquetFile(io.BytesIO(duplicates.to_parquet())).metadata.num_rows == 0


@pytest.mark.parametrize("phase", ["Signatures", "Comparing"])
def test_cancel_stops_it_and_leaves_nothing(phase, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stop, heard = threading.Event(), []

    def hear(progress):
        heard.append(progress.title)
        if progress.title == phase:
            stop.set()

    with workbench.core.progress.cancellable(hear, stop), pytest.raises(Cancelled):
        near_duplicates(planted(random.Random(7)), out=tmp_path / "out.parquet")
    assert heard[-1] == phase
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"threshold": 0}, "threshold"), ({"threshold": 1.5}, "threshold"),
     ({"unit": "bytes"}, "unit"), ({"ngram": 0}, "ngram"), ({"permutations": 4}, "permutations")],
)  # fmt: skip
def test_refuses_settings_out_of_range(wrong, says):
    with pytest.raises(ValueError, match=says):
        near_duplicates(as_documents(["a"]), **wrong)
