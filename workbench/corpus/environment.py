"""The environment corpus: real documents that every installation already has, without a download.

They are read from the running Python: source code, the language reference, docstrings of the
mathematical libraries, and the long descriptions of the installed distributions. Third-party code
is parsed, never imported. It is a corpus to learn and test with: unfiltered, so it holds the
repetition (codec tables, badges) that a curated corpus has lost. Only the licence headers and the
banners of generated files are taken off, which about half of the code files begin with
(`workbench.corpus.headers`).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from workbench.corpus.headers import without_headers
from workbench.corpus.reading import Document, text_sha256

MATH_PACKAGES = ("sympy", "mpmath", "scipy")
DEFINITIONS_A_FILE = 3  # so that no single module makes up the domain

# Whose code and descriptions are read, with all that they need. Named here and not taken from what
# this package needs: with another dependency of ours the figures of every notebook would change.
PACKAGES = (
    "jupyterlab", "ipywidgets", "anywidget", "torch", "transformers", "plotly", "pandas", "numpy",
    "accelerate", "gguf", "safetensors", "platformdirs", "filelock", "packaging", "pyarrow",
    "scikit-learn", "sympy", "mpmath", "scipy", "typer", "rich", "tqdm",
)  # fmt: skip
_TESTS = ("test", "tests")
_BUNDLES = ("idlelib", "ensurepip", "pip", "lib2to3", "turtledemo", "pydoc_data", "_vendor")
_UNWANTED_FOLDERS = {*_TESTS, *_BUNDLES, "site-packages", "dist-packages", "__pycache__"}
# Tests; and files written at installation, which name folders of this machine.
_UNWANTED_FILES = re.compile(r"test_.*|.*_tests?\.py|conftest\.py|_sysconfigdata.*|__editable__.*")
_PARAGRAPH_END = re.compile(r"\n[ \t\r]*\n")
_SECTION_END = re.compile(r"\n[ \t\r]*\n(?:[ \t\r]*\n)*(?=\S)")  # before a line not indented

Part = Literal["start", "middle"]


class _Candidate(NamedTuple):
    """A document that may be picked: its name and place, and how to get at its text."""

    name: str
    place: str  # below environment/<domain>/
    row: int
    read: Callable[[], str]


def environment_corpus(
    max_documents: int | None = 400,
    seed: int = 0,
    domains: Sequence[str] | None = None,
    min_characters: int = 400,
    max_characters: int = 20_000,
    *,
    headers: bool = False,
    part: Part = "middle",
) -> list[Document]:
    """A sample of the text of this Python environment, in up to four domains with equal shares.

    `code`: modules of the standard library and of PACKAGES with what they need, no tests; `math`:
    docstrings of public functions, classes and methods of sympy, mpmath and scipy, at most three
    from a file; `readme`: long descriptions of those distributions; `reference`: the topics of
    Python's `help`. What one domain cannot fill goes to the others.

    Licence headers and banners of generated files are taken off the code: what stands before its
    first statement and has one of a short list of signs (`workbench.corpus.headers`; a file that
    holds nothing else is no document).

    Exact duplicates are taken once. The choice is by the smallest SHA-256 of seed, domain and name,
    so a package more or less changes few documents. The order is by domain, then by that hash: the
    same on every call.

    Args:
        max_documents: how many documents are taken; None for everything there is, thousands of
            documents.
        seed: seed of the choice.
        domains: the domains to take (default: all four).
        min_characters: the least length of a document.
        max_characters: the largest length of a document. A longer text is cut, where a paragraph or
            else a line ends; one line alone is left out.
        headers: leave headers and banners on, to see what they do to a score.
        part: which part of a longer text is taken: "middle", so that it is not the preamble, from
            the first line there that begins a section (after a blank line, not indented); or
            "start".

    Returns:
        The documents, with their domains.

    Raises:
        ValueError: an unknown domain or part, or limits that leave no document.
    """
    chosen = sorted(_CANDIDATES if domains is None else set(domains))
    unknown = [domain for domain in chosen if domain not in _CANDIDATES]
    if unknown or not chosen:
        raise ValueError(f"domains {unknown or domains} given; expected some of {[*_CANDIDATES]}")
    if max_documents is not None and max_documents < 1:
        raise ValueError(f"max_documents is {max_documents}; give at least 1, or None for all")
    if not 0 <= min_characters <= max_characters or max_characters < 1:
        raise ValueError(
            f"min_characters is {min_characters} and max_characters {max_characters}; "
            "expected 0 <= min_characters <= max_characters, and room for at least 1 character"
        )
    if part not in ("start", "middle"):
        raise ValueError(f"part must be 'start' or 'middle', got {part!r}")

    def prepared(domain: str, text: str) -> str:
        if domain == "code" and not headers:
            text = without_headers(text)
        return text if len(text) <= max_characters else _cut(text, max_characters, part)

    taken: set[str] = set()
    limits = min_characters, max_characters
    streams = {domain: _documents(domain, seed, limits, prepared, taken) for domain in chosen}
    picked: list[Document] = []
    while streams:  # one of each domain in turn, so that an empty one leaves its share to the rest
        for domain in list(streams):
            if len(picked) == max_documents:
                streams.clear()
                break
            document = next(streams[domain], None)
            if document is None:
                del streams[domain]
            else:
                picked.append(document)
    return sorted(picked, key=lambda document: (document.domain, _rank(seed, document.doc_id)))


def _documents(
    domain: str,
    seed: int,
    limits: tuple[int, int],
    prepared: Callable[[str, str], str],
    taken: set[str],
) -> Iterator[Document]:
    """The usable documents of a domain in their order; `taken` holds the text hashes so far."""
    shortest, longest = limits
    of_place: Counter[str] = Counter()
    for candidate in _CANDIDATES[domain](seed):
        try:
            text = prepared(domain, candidate.read())
            if not shortest <= len(text) <= longest or not text.strip():
                continue
            digest = text_sha256(text)
        except (OSError, UnicodeError):  # gone since it was installed, or not UTF-8
            continue
        if digest not in taken and of_place[candidate.place] < DEFINITIONS_A_FILE:
            taken.add(digest)
            of_place[candidate.place] += 1
            source = f"environment/{domain}/{candidate.place}"
            yield Document(f"{domain}/{candidate.name}", text, domain, source, candidate.row)


def _rank(seed: int, doc_id: str) -> str:
    """The place of a document in the draw; `doc_id` is domain/name."""
    key = f"{seed}:{doc_id.replace('/', ':', 1)}"
    return hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()


def _ranked(domain: str, seed: int, candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """The candidates in the order of the draw; of two with one name, the first is kept."""
    by_name: dict[str, _Candidate] = {}
    for candidate in candidates:
        by_name.setdefault(candidate.name, candidate)
    return sorted(by_name.values(), key=lambda candidate: _rank(seed, f"{domain}/{candidate.name}"))


def _cut(text: str, longest: int, part: Part) -> str:
    """A piece of a longer text, at most `longest` characters, from and to the end of a paragraph.

    Where none is near, it is cut at the end of a line; a text without that is given back whole.
    """
    start = 0
    if part == "middle":
        low = (len(text) - longest) // 2
        section = _SECTION_END.search(text, low, low + longest // 4)
        start = section.end() if section else text.find("\n", low) + 1
    stop = min(start + longest, len(text))
    ends = [end.start() for end in _PARAGRAPH_END.finditer(text, start + longest // 2, stop)]
    end = stop if stop == len(text) else ends[-1] if ends else text.rfind("\n", start, stop)
    return text[start:end] if start < end else text


def _is_wanted(place: PurePosixPath) -> bool:
    return (
        place.suffix == ".py"
        and not place.is_absolute()
        and ".." not in place.parts
        and _UNWANTED_FOLDERS.isdisjoint(place.parts[:-1])
        and not _UNWANTED_FILES.fullmatch(place.name)
    )


def _python_files(folder: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """The wanted modules below `folder`: their place in it, and where they lie."""
    for here, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if name not in _UNWANTED_FOLDERS]
        for name in names:
            path = Path(here, name)
            place = PurePosixPath(path.relative_to(folder).as_posix())
            if _is_wanted(place):
                yield place, path


def _distributions() -> Iterator[tuple[str, importlib.metadata.Distribution]]:
    """The PACKAGES and what they need, directly or not, with their normalised names.

    What else is installed does not matter, so that the corpus is the same wherever the same
    versions are pinned, whether for the demo, the tests or a user's own work beside it.
    """
    todo, seen = [(name, "") for name in PACKAGES], set()
    while todo:
        name, extra = wanted = todo.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        try:
            distribution = importlib.metadata.distribution(name)
            needs = map(Requirement, distribution.requires or ())
            todo += [
                (canonicalize_name(need.name), inner)
                for need in needs
                if not need.marker or need.marker.evaluate({"extra": extra})
                for inner in ("", *need.extras)
            ]
        except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
            continue  # absent or broken installations of others are not our error
        # The accelerator's libraries come with some builds of torch and not with others.
        if not extra and not name.startswith(("nvidia-", "cuda-", "triton")):
            yield name, distribution


def _code(seed: int) -> list[_Candidate]:
    def everything() -> Iterator[_Candidate]:
        for module, path in _python_files(Path(sysconfig.get_path("stdlib"))):
            yield _Candidate(str(module), str(module), 0, partial(_source, path))
        for _, distribution in _distributions():
            for file in distribution.files or ():
                if _is_wanted(file):
                    place = file.as_posix()
                    yield _Candidate(place, place, 0, partial(_installed_source, file))

    return _ranked("code", seed, everything())


def _source(path: Path) -> str:
    return path.read_bytes().decode("utf-8")  # bytes, so that line ends stay as they are


def _installed_source(file: importlib.metadata.PackagePath) -> str:
    return _source(Path(str(file.locate())))


def _reference(seed: int) -> list[_Candidate]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some systems ship it apart from Python
        return []
    names = (_Candidate(name, name, 0, partial(topics.__getitem__, name)) for name in topics)
    return _ranked("reference", seed, names)


def _readme(seed: int) -> list[_Candidate]:
    distributions = _distributions()
    names = (
        _Candidate(name, name, 0, partial(_description, distribution))
        for name, distribution in distributions
    )
    return _ranked("readme", seed, names)


def _description(distribution: importlib.metadata.Distribution) -> str:
    return str(distribution.metadata.json.get("description", ""))  # of the header or the payload


def _math(seed: int) -> Iterator[_Candidate]:
    """Files in the order of the draw, then the definitions of each: parsing all takes long."""
    files: list[_Candidate] = []
    for package in MATH_PACKAGES:
        spec = importlib.util.find_spec(package)  # finds a top-level package without importing it
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for place, path in _python_files(Path(folder)):
                inside = f"{package}/{place}"
                files.append(_Candidate(inside, inside, 0, partial(_source, path)))
    for file in _ranked("math", seed, files):
        try:
            yield from _ranked("math", seed, _docstrings(file.place, file.read()))
        except (OSError, ValueError, SyntaxError, RecursionError):  # not readable as Python
            continue


def _docstrings(place: str, code: str) -> Iterator[_Candidate]:
    """The docstrings of the public definitions of a module; the row counts its definitions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in other people's strings
        tree = ast.parse(code)
    module = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for row, (name, node) in enumerate(_definitions(tree, module)):
        text = ast.get_docstring(node)
        if text:
            yield _Candidate(name, place, row, partial(str, text))


def _definitions(
    parent: ast.Module | ast.ClassDef, prefix: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    for node in parent.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_"):
                continue
            name = f"{prefix}.{node.name}"
            yield name, node
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node, name)


_CANDIDATES: dict[str, Callable[[int], Iterable[_Candidate]]] = {
    "code": _code,
    "math": _math,
    "readme": _readme,
    "reference": _reference,
}
