"""The environment corpus: what it draws, that the draw is stable, and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from workbench.corpus.environment import DEFINITIONS_A_FILE, environment_corpus
from workbench.corpus.reading import Document

DOMAINS = ["code", "math", "readme", "reference"]


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return environment_corpus(200)


@pytest.fixture(scope="module")
def larger() -> list[Document]:
    """The default draw, 400 documents of every domain."""
    return environment_corpus()


def install(
    site: Path, name: str, files: dict[str, str | bytes], description: str = "", needs: str = ""
) -> None:
    """Lay a distribution into the folder `site` as an installer would."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    head += "".join(f"Requires-Dist: {need}\n" for need in needs.split("|") if need) + "\n"
    (info / "METADATA").write_text(head + description, encoding="utf-8")
    for place, content in files.items():
        path = site / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    (info / "RECORD").write_text("".join(f"{place},,\n" for place in files), encoding="utf-8")


def run_alone(code: str, **variables: str) -> str:
    """What a fresh Python prints that runs `code` with `corpus`."""
    start = "import sys; from workbench.corpus.environment import environment_corpus as corpus;"
    done = subprocess.run(
        [sys.executable, "-c", start + code],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("count", [1, 4])
def test_gives_as_many_documents_as_asked_for(count):
    domains = ["math", "readme", "reference"]
    assert len(environment_corpus(count, domains=domains)) == count


def test_shares_between_the_domains_are_equal(documents):
    assert Counter(document.domain for document in documents) == dict.fromkeys(DOMAINS, 50)


def test_a_domain_that_runs_out_leaves_its_share_to_the_others(larger):
    counts = Counter(document.domain for document in larger)
    assert sum(counts.values()) == 400
    assert counts["reference"] < 100 < counts["code"]
    assert abs(counts["code"] - counts["math"]) <= 1


def test_the_same_call_gives_the_same_documents_in_the_same_order(documents):
    assert environment_corpus(200) == documents


@pytest.mark.slow
def test_the_draw_does_not_hang_on_the_hash_seed_of_python(documents):
    output = run_alone("print([one.doc_id for one in corpus(200)])", PYTHONHASHSEED="7")
    assert output.strip() == str([document.doc_id for document in documents])


def test_another_seed_gives_other_documents(documents):
    other = {document.doc_id for document in environment_corpus(50, seed=1, domains=["math"])}
    first = {document.doc_id for document in documents if document.domain == "math"}
    assert len(other) == len(first) == 50
    assert len(other & first) < 10


def test_a_smaller_sample_is_part_of_a_larger_one(documents, larger):
    assert set(documents) <= set(larger)


def test_the_order_of_the_domains_asked_for_does_not_matter():
    assert environment_corpus(9, domains=["readme", "math"]) == environment_corpus(
        9, domains=("math", "readme", "math")
    )


def test_documents_are_ordered_by_domain(documents):
    names = [document.domain for document in documents]
    assert names == sorted(names)


def test_ids_places_and_texts_occur_once(documents):
    assert len({document.doc_id for document in documents}) == len(documents)
    assert len({(document.source, document.row) for document in documents}) == len(documents)
    assert len({document.text for document in documents}) == len(documents)


def test_sources_and_ids_are_never_paths_of_the_machine(documents):
    for document in documents:
        assert document.source.startswith(f"environment/{document.domain}/")
        assert document.doc_id.startswith(f"{document.domain}/")
        assert ".." not in document.source
        assert sys.prefix not in document.source + document.doc_id
        assert not document.doc_id.split("/", 1)[1].startswith("/")


@pytest.mark.slow
def test_code_holds_modules_of_the_standard_library_and_of_distributions():
    by_id = {document.doc_id: document for document in environment_corpus(None, domains=["code"])}
    assert by_id["code/json/decoder.py"].source == "environment/code/json/decoder.py"
    assert by_id["code/json/decoder.py"].row == 0
    assert "class JSONDecoder" in by_id["code/json/decoder.py"].text
    assert any(name.startswith("code/sympy/") for name in by_id)
    for name in by_id:
        folders = name.split("/")[1:-1]
        assert not {"test", "tests", "idlelib", "pip", "lib2to3", "site-packages"} & set(folders)


def test_math_holds_docstrings_and_few_of_one_file(documents):
    math = [document for document in documents if document.domain == "math"]
    assert max(Counter(document.source for document in math).values()) <= DEFINITIONS_A_FILE
    packages = {document.doc_id.removeprefix("math/").split(".")[0] for document in math}
    assert packages <= {"sympy", "mpmath", "scipy"}
    assert len(packages) >= 2
    for document in math:
        module = document.source.removeprefix("environment/math/").removesuffix(".py")
        module = module.removesuffix("/__init__").replace("/", ".")
        assert document.doc_id.startswith(f"math/{module}.")


def test_a_math_document_is_the_docstring_that_its_id_names(monkeypatch):
    from mpmath.calculus.quadrature import QuadratureMethods  # only the test imports it

    monkeypatch.setattr(
        "workbench.corpus.environment.MATH_PACKAGES", ("mpmath",)
    )  # to parse few files
    by_id = {document.doc_id: document for document in environment_corpus(None, domains=["math"])}
    chosen_id = next(name for name in by_id if name.startswith("math/mpmath.calculus.quadrature."))
    wanted = QuadratureMethods
    for part in chosen_id.removeprefix("math/mpmath.calculus.quadrature.").split(".")[1:]:
        wanted = getattr(wanted, part)
    assert by_id[chosen_id].text.split()[:20] == (wanted.__doc__ or "").split()[:20]


def test_no_third_party_module_is_imported():
    output = run_alone("corpus(40); print({name.split('.')[0] for name in sys.modules})")
    assert "'pyarrow'" in output  # which the corpus package needs
    assert not [name for name in ("sympy", "mpmath", "scipy", "torch") if f"'{name}'" in output]


@pytest.mark.slow
def test_a_package_more_brings_its_own_documents_and_moves_few_others(
    tmp_path, monkeypatch, documents
):
    many = {f"newcomer/part{i}.py": f"# part {i}\n" + "x = 1\n" * 100 for i in range(300)}
    install(tmp_path, "newcomer", many, "# Newcomer\n\n" + "A long text. " * 60)
    monkeypatch.syspath_prepend(str(tmp_path))
    after = environment_corpus(200)
    gone = {document.doc_id for document in documents} - {document.doc_id for document in after}
    come = {document.doc_id for document in after} - {document.doc_id for document in documents}
    assert len(after) == 200
    assert all("newcomer" in name for name in come)
    assert len(gone) == len(come) <= 10


def test_unusable_files_are_passed_over(tmp_path, monkeypatch):
    good = "value = 1\n" * 60
    files = {
        "odd/good.py": good,
        "odd/twin.py": good,
        "odd/short.py": "x = 1\n",
        "odd/long.py": "x = 1; " * 5000,
        "odd/latin.py": "# é\n".encode("latin-1") * 200,
        "odd/notice.py": "# Copyright 2020 A. Uthor. All rights reserved.\n" * 20,
        "odd/data.txt": "not code " * 100,
        "odd/tests/part.py": "y = 1\n" * 100,
        "odd/test_part.py": "z = 1\n" * 100,
        "__editable___odd_finder.py": "path = '/home/me'\n" * 100,
        "../../bin/odd.py": "script = 1\n" * 100,
    }
    install(tmp_path / "deep" / "site", "odd", files)
    (tmp_path / "deep" / "site" / "odd" / "gone.py").unlink(missing_ok=True)
    record = tmp_path / "deep" / "site" / "odd-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text() + "odd/gone.py,,\n", encoding="utf-8")
    monkeypatch.setattr("workbench.corpus.environment.PACKAGES", ("odd",))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "deep" / "site")])
    doc_ids = [
        document.doc_id
        for document in environment_corpus(None, domains=["code"])
        if "odd" in document.doc_id
    ]
    assert doc_ids in (["code/odd/good.py"], ["code/odd/twin.py"])


def test_a_long_readme_is_cut_at_the_end_of_a_paragraph(tmp_path, monkeypatch):
    paragraphs = [f"Paragraph {i}. " + "word " * 50 for i in range(20)]
    monkeypatch.setattr("workbench.corpus.environment.PACKAGES", ("wordy", "solid"))
    install(tmp_path, "wordy", {}, "\n\n".join(paragraphs))
    install(tmp_path, "solid", {}, "one block without an end " * 100)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for part, kept in (("start", slice(0, 3)), ("middle", slice(9, 12))):
        (document,) = environment_corpus(5, domains=["readme"], max_characters=1000, part=part)
        assert document.doc_id == "readme/wordy"
        assert document.source == "environment/readme/wordy"
        assert document.text == "\n\n".join(paragraphs[kept])


def test_long_code_is_read_from_its_middle(tmp_path, monkeypatch):
    functions = [f"def part_{i}(x):\n    y = {i}\n\n    return x + y\n" for i in range(200)]
    install(tmp_path, "lengthy", {"lengthy/parts.py": "\n\n".join(functions)})
    monkeypatch.setattr("workbench.corpus.environment.PACKAGES", ("lengthy",))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    limits = {"max_characters": 1000, "domains": ["code"]}
    drawn = {
        part: next(
            document.text
            for document in environment_corpus(None, part=part, **limits)
            if document.doc_id == "code/lengthy/parts.py"
        )
        for part in ("start", "middle")
    }
    assert drawn["start"].startswith("def part_0(x):")
    assert 500 <= len(drawn["middle"]) <= 1000
    name = drawn["middle"].split("(")[0]
    assert name in [f"def part_{i}" for i in range(90, 105)]  # begins with a definition
    assert drawn["middle"] in "\n\n".join(functions)


@pytest.mark.slow
def test_headers_are_taken_off_unless_they_are_asked_for(documents):
    sign = re.compile("licen[sc]e|copyright|generated", re.IGNORECASE)

    def begun_with_one(drawn: list[Document]) -> float:
        code = [document for document in drawn if document.domain == "code"]
        return sum(bool(sign.search(document.text[:400])) for document in code) / len(code)

    whole = environment_corpus(200, headers=True, part="start")
    assert begun_with_one(whole) > 0.2
    assert begun_with_one(documents) < 0.1
    same = {document.doc_id for document in whole} & {document.doc_id for document in documents}
    assert len(same) > 190  # the draw is by name, so that both can be held side by side
    others = [[d.text for d in drawn if d.domain == "math"] for drawn in (whole, documents)]
    assert others[0] == others[1]


def test_only_the_packages_and_what_they_need_is_read_and_not_the_project(tmp_path, monkeypatch):
    about = {name: f"About {name}, at some length. " * 40 for name in "abcdefg"}
    needs = "b|c[more]>=1|d; python_version < '3'|nvidia-x|missing"
    monkeypatch.setattr("workbench.corpus.environment.PACKAGES", ("root", "not-there"))
    install(tmp_path, "root", {}, needs=needs)
    own = "attention_influence_workbench"
    install(tmp_path, own, {}, "About the project itself. " * 40, needs="a|root")
    install(tmp_path, "a", {}, about["a"])  # somebody else's
    install(tmp_path, "b", {}, about["b"], needs="e|b")
    install(tmp_path, "c", {}, about["c"], needs="f; extra == 'more'|g; extra == 'less'")
    for name in "defg":
        install(tmp_path, name, {}, about[name])
    install(tmp_path, "nvidia_x", {}, "About an accelerator's library. " * 40)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    doc_ids = {document.doc_id for document in environment_corpus(domains=["readme"])}
    assert doc_ids == {"readme/b", "readme/c", "readme/e", "readme/f"}


def test_a_distribution_with_broken_metadata_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.corpus.environment.PACKAGES", ("broken", "empty", "other"))
    install(tmp_path, "other", {}, "About something else. " * 40)
    (tmp_path / "broken-1.0.dist-info").mkdir()
    (tmp_path / "broken-1.0.dist-info" / "METADATA").write_bytes(b"Name: \xff\xfe\n\n" + b"x" * 999)
    (tmp_path / "empty-1.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    documents = environment_corpus(domains=["readme"])
    assert [document.doc_id for document in documents] == ["readme/other"]


def test_a_missing_math_package_is_left_out(monkeypatch):
    for name in ("sympy", "mpmath", "scipy"):
        monkeypatch.setitem(sys.modules, name, None)  # what Python takes for "not installed"
    assert environment_corpus(5, domains=["math"]) == []
    assert len(environment_corpus(20, domains=["math", "readme"])) == 20


def test_lengths_keep_to_the_limits():
    domains = ["math", "readme", "reference"]
    sample = environment_corpus(60, domains=domains, min_characters=1000, max_characters=3000)
    assert len(sample) == 60
    assert all(1000 <= len(document.text) <= 3000 for document in sample)


def test_unknown_domain_is_an_error():
    with pytest.raises(ValueError, match=r"poetry.*expected some of \['code', 'math'"):
        environment_corpus(10, domains=["code", "poetry"])


def test_no_domain_is_an_error():
    with pytest.raises(ValueError, match="expected some of"):
        environment_corpus(10, domains=[])


def test_unknown_part_is_an_error():
    with pytest.raises(ValueError, match="'start' or 'middle', got 'end'"):
        environment_corpus(10, part="end")


@pytest.mark.parametrize("count", [0, -3])
def test_fewer_than_one_document_is_an_error(count):
    with pytest.raises(ValueError, match="max_documents"):
        environment_corpus(count)


@pytest.mark.parametrize("limits", [(500, 400), (-1, 400), (0, 0)])
def test_limits_that_leave_no_text_are_an_error(limits):
    with pytest.raises(ValueError, match="min_characters"):
        environment_corpus(10, min_characters=limits[0], max_characters=limits[1])
