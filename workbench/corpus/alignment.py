"""The documents behind the rows of a score table, whose text is not in the table itself."""

from __future__ import annotations

from typing import Any

from workbench.core.frames import TableLike, frame_of
from workbench.corpus.reading import Document, read_corpus, text_sha256


def documents_of(table: TableLike, corpus: Any, **columns: Any) -> list[Document]:
    """The document of each row of a score table, in the order of the rows.

    Documents without a row are passed over.

    Args:
        table: a score table, or a frame with the columns source, row, text_sha256 and doc_id.
        corpus: what the table was scored from, in any form that `read_corpus` takes.
        **columns: the names of its columns, as `read_corpus` takes them (id, text, domain).

    Returns:
        One document a row.

    Raises:
        ValueError: a row has no document in the corpus, or one of another text.
        TypeError: `table` is neither a score table nor a frame.
        CorpusError: the corpus cannot be read.
    """
    frame = frame_of(table)
    wanted = {
        (str(row.source), int(row.row)): (place, row.text_sha256)  # type: ignore[arg-type]
        for place, row in enumerate(frame[["source", "row", "text_sha256"]].itertuples())
    }
    documents: list[Document | None] = [None] * len(frame)
    for document in read_corpus(corpus, **columns):
        here = wanted.get((document.source, document.row))
        if here is None or not isinstance(document, Document):
            continue
        if text_sha256(document.text) != here[1]:
            raise ValueError(
                f"document {document.doc_id!r:.100} has another text than the one that was scored: "
                "give the corpus of the score table"
            )
        documents[here[0]] = document
    if None in documents:
        lacking = [place for place, document in enumerate(documents) if document is None]
        raise ValueError(
            f"{len(lacking)} rows of the table have no document in the corpus, the first "
            f"{frame['doc_id'].iloc[lacking[0]]!r:.100}: give the corpus of the score table"
        )
    return [document for document in documents if document is not None]
