"""Reasoning chains out of the installed lm-eval, and other text of their length."""

from __future__ import annotations

import gzip
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

import workbench as wb
from workbench.evaluation import chains
from workbench.evaluation.chains import reasoning_chains
from workbench.evaluation.comparison_texts import ENVIRONMENT, other_texts


@pytest.fixture(scope="module")
def parts():
    return {part: reasoning_chains(part) for part in ("first", "held-out")}


def test_the_parts_have_the_stated_sizes_and_share_nothing(parts):
    counts = {part: Counter(d.domain for d in documents) for part, documents in parts.items()}
    assert counts["first"] == {"BBH": 69, "MMLU": 114, "GSM8K": 8}
    assert counts["held-out"] == {"MMLU": 113, "MATH": 4}
    texts = [document.text for documents in parts.values() for document in documents]
    assert len(texts) == len(set(texts)) == 308
    places = [(d.source, d.row) for documents in parts.values() for d in documents]
    assert len(places) == len(set(places))


def test_a_chain_is_its_question_and_its_reasoning(parts):
    by_id = {d.doc_id: d.text for documents in parts.values() for d in documents}
    chain = by_id["MMLU/abstract_algebra/0"]
    assert chain.startswith("Statement 1 | Every element of a group")
    assert chain.endswith("The answer is (C).")
    assert by_id["GSM8K/gsm8k_cot/0"].startswith("There are 15 trees")
    assert "Therefore" in by_id["MATH/minerva_math/0"]
    assert not any("think step by step" in text for text in by_id.values())


def test_no_chain_is_part_of_this_project(parts):
    files = [p for p in Path(wb.__file__).parent.rglob("*") if p.suffix in (".py", ".md", ".yaml")]
    ours = "".join(path.read_text(encoding="utf-8") for path in files)
    assert "reasoning_chains" in ours
    for document in parts["first"] + parts["held-out"]:
        assert document.text[-60:] not in ours


def test_without_lm_eval_it_says_what_to_install(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="'first' or 'held-out', got 'second'"):
        reasoning_chains("second")
    (tmp_path / "utils.py").write_text("def list_fewshot_samples():\n    return made()\n")
    monkeypatch.setattr(chains, "MATH", "gone.py")
    with pytest.raises(ImportError, match=r"no list of examples.*pip install '.\[eval\]'"):
        reasoning_chains("held-out")
    monkeypatch.setitem(sys.modules, "lm_eval", None)  # what Python takes for "not installed"
    with pytest.raises(ImportError, match=r"not installed; run: pip install '.\[eval\]'"):
        reasoning_chains()


@pytest.fixture
def packages(tmp_path):
    """Documentation as Debian has it: plain and compressed, one package with many files."""
    for number in range(12):
        text = f"Part {number} of the words.\nMore words follow in line two of {number}.\n" * 12
        folder = tmp_path / "doc" / f"package{number}"
        folder.mkdir(parents=True)
        (folder / "README.gz").write_bytes(gzip.compress(text.encode()))
        (folder / "copyright").write_text(text.replace("words", "rights"))
        (folder / "NEWS").write_bytes(b"\xff\xfe" * 400)
    for number in range(9):
        text = f"Chapter {number} says nothing.\n" * 30
        (tmp_path / "doc" / "package0" / f"chapter{number}.txt").write_text(text)
    (tmp_path / "licences").mkdir()
    (tmp_path / "licences" / "Broad").write_text("You may do what you like with it.\n" * 20)
    return tmp_path / "doc", tmp_path / "licences"


@pytest.fixture
def few(monkeypatch):
    """An environment corpus of 20 documents a domain, since the real one takes seconds."""

    def made(max_documents, seed, domains):
        (domain,) = domains
        return [
            wb.Document(f"{domain}/{i}", f"{domain} number {i} goes on. " * 20, domain, f"{i}", 0)
            for i in range(min(max_documents, 20))
        ]

    monkeypatch.setattr("workbench.evaluation.comparison_texts.environment_corpus", made)


def like(lengths):
    return [wb.Document(f"d{i}", "x" * n, "a", "memory", i) for i, n in enumerate(lengths)]


@pytest.mark.slow
def test_other_texts_have_the_length_of_the_chains(packages):
    """Of the real environment corpus."""
    passages = other_texts(like([300]), 18, folders=packages)
    assert {d.domain for d in passages} == {*ENVIRONMENT, "documentation", "licence"}
    assert Counter(d.domain for d in passages)["code"] == 3
    assert all(len(d.text) <= 300 for d in passages)
    assert sum(len(d.text) > 220 for d in passages) > 12
    assert len({d.text for d in passages}) == len(passages)
    assert other_texts(like([300]), 18, folders=packages) == passages


def test_the_parts_of_other_texts_share_no_source(packages, few):
    first, held = (
        {d.source for d in other_texts(like([300]), 24, part=part, folders=packages)}
        for part in ("first", "held-out")
    )
    assert first
    assert held
    assert not first & held


def test_passages_are_read_from_the_start_or_the_middle(packages, few):
    for place, where in (("start", range(1)), ("middle", range(60, 2000))):
        for passage in other_texts(like([250]), 18, read_from=place, folders=packages):
            if passage.domain == "documentation" and "README" in passage.doc_id:
                path = packages[0] / passage.doc_id.removeprefix("documentation/")
                text = gzip.decompress(path.read_bytes()).decode()
                number = re.search("[0-9]+", text)[0]
                assert number in passage.text
                assert text.find(passage.text) in where or place == "middle"
                assert text[: len(passage.text)] == passage.text or place == "middle"


def test_bad_input_is_refused(packages, few):
    for arguments, words in (
        (([], 3), "got 0 documents, 3 and 'first'"),
        ((like([9]), 0), "got 1 documents, 0"),
    ):
        with pytest.raises(ValueError, match=words):
            other_texts(*arguments)
    with pytest.raises(ValueError, match="'start' or 'middle', got 'end'"):
        other_texts(like([9]), 3, read_from="end")
    with pytest.raises(ValueError, match="other texts on this machine, 1000 were asked for"):
        other_texts(like([9]), 1000, folders=packages)
