"""Text that is no worked reasoning, of the length of texts that are: what a score is tried against.

All of it lies on this machine: the environment corpus, and on Debian and its kin the documentation
and licences of the installed packages.
"""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from workbench.corpus.document import Document
from workbench.corpus.environment import environment_corpus
from workbench.evaluation.chains import Part

ENVIRONMENT = ("code", "math", "readme", "reference")
DEBIAN = Path("/usr/share/doc")
LICENCES = Path("/usr/share/common-licenses")
DOCUMENTATION = ("README*", "NEWS*", "*.md", "*.md.gz", "*.txt", "*.txt.gz", "*.rst")
FILES_A_PACKAGE = 3  # so that no single package makes up a kind
LEAST = 400  # characters of a document from which a passage is taken
MOST = 400_000


def other_texts(
    like: Sequence[Document],
    count: int,
    *,
    part: Part = "first",
    read_from: str = "middle",
    seed: int = 0,
    folders: tuple[str | Path, str | Path] = (DEBIAN, LICENCES),
) -> list[Document]:
    """Passages of other text, as long as the documents of `like`.

    Kinds, as far as they are here, with equal shares: code, math, readme and reference of the
    environment corpus, and documentation and licences of Debian packages. A passage's length in
    characters is that of one of `like`, drawn; it ends at white space. No source gives passages to
    both parts.

    Args:
        like: whose lengths the passages have (`reasoning_chains`).
        count: how many passages.
        part: "first" or "held-out"; they share no source.
        read_from: "start" of the document, where licence headers are, or "middle", from the start
            of a line.
        seed: of all draws.
        folders: where the packages' documentation lies, and the common licences; one that does not
            exist leaves its kind out.

    Returns:
        The passages; a document's domain is its kind.

    Raises:
        ValueError: no length to follow, no such part or place, or fewer texts than `count`.
    """
    if not like or count < 1 or part not in ("first", "held-out"):
        raise ValueError(
            f"other texts need documents whose lengths they follow, a count of 1 or more, and part "
            f"'first' or 'held-out'; got {len(like)} documents, {count} and {part!r}"
        )
    if read_from not in ("start", "middle"):
        raise ValueError(f"read_from must be 'start' or 'middle', got {read_from!r}")
    rng = np.random.default_rng([seed, part == "held-out"])
    lengths = rng.choice([len(document.text) for document in like], size=count)
    streams = {kind: iter(texts) for kind, texts in _kinds(count, seed, *map(Path, folders))}
    passages: list[Document] = []
    while streams and len(passages) < count:  # one of each kind in turn
        for kind in list(streams):
            document = next((d for d in streams[kind] if _part_of(d, seed) == part), None)
            if document is None:
                del streams[kind]
            elif len(passages) < count:
                passages.append(_passage(document, int(lengths[len(passages)]), read_from))
    if len(passages) < count:
        raise ValueError(
            f"there are {len(passages)} other texts on this machine, {count} were asked for: ask "
            "for fewer"
        )
    return sorted(passages, key=lambda document: document.domain)


def _kinds(
    count: int, seed: int, documentation: Path, licences: Path
) -> Iterator[tuple[str, Iterable[Document]]]:
    for kind in ENVIRONMENT:
        # Half of the sources belong to the other part, and another kind may be missing.
        yield kind, environment_corpus(2 * count, seed=seed, domains=[kind])
    if documentation.is_dir():
        files = {path for form in DOCUMENTATION for path in documentation.rglob(form)}
        yield "documentation", _documents("documentation", files, documentation, seed)
        copyrights = set(documentation.rglob("copyright"))
        common = set(licences.iterdir()) if licences.is_dir() else set()
        yield "licence", _documents("licence", copyrights | common, documentation, seed)


def _documents(kind: str, paths: Iterable[Path], folder: Path, seed: int) -> Iterator[Document]:
    """The readable texts among files, each once, in an order drawn from the seed."""
    names = {
        path.relative_to(folder).as_posix() if folder in path.parents else path.name: path
        for path in paths
        if path.is_file() and not path.is_symlink()
    }
    taken: set[str] = set()
    of_package: Counter[str] = Counter()
    for name in sorted(names, key=lambda name: _hashed(f"{seed}:{kind}:{name}")):
        try:
            raw = names[name].read_bytes()
            text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
        except (OSError, EOFError, UnicodeError):
            continue
        package = name.split("/")[0]
        if (
            LEAST <= len(text) <= MOST
            and text not in taken
            and of_package[package] < FILES_A_PACKAGE
        ):
            taken.add(text)
            of_package[package] += 1
            yield Document(f"{kind}/{name}", text, kind, f"debian/{kind}/{package}", 0)


def _passage(document: Document, length: int, read_from: str) -> Document:
    text, start = document.text.strip(), 0
    if read_from == "middle" and len(text) > length:
        at = (len(text) - length) // 2
        start = text.rfind("\n", 0, at) + 1
        if at - start > length // 4:  # no line begins near by
            start = text.rfind(" ", 0, at) + 1
    piece = text[start : start + length]
    if start + length < len(text) and not text[start + length].isspace():
        piece = piece[: max(piece.rfind(" "), piece.rfind("\n"), 0) or None]
    return Document(document.doc_id, piece.strip(), document.domain, document.source, document.row)


def _part_of(document: Document, seed: int) -> Part:
    return "held-out" if int(_hashed(f"{seed}:{document.source}"), 16) % 2 else "first"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
