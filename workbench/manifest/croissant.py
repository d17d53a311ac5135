"""The form of a manifest: Croissant 1.1 JSON-LD (http://mlcommons.org/croissant/1.1).

The context, the typed columns of `selection.parquet`, the list of files, the PROV statements, and
our own terms, put together in the same way for a table in memory and for files of any size.
"""

from __future__ import annotations

import datetime
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from workbench.core.files import canonical_json, is_absolute, mentions_absolute
from workbench.manifest.mixture import MIXTURE
from workbench.scoring.schema import SCORE_ROW, columns_in
from workbench.selection.domain_quota import By
from workbench.selection.duplicates import Duplicates, policy_in_words
from workbench.selection.ranking import SCORE, TIE_RULE
from workbench.selection.residual import MEANING, RESIDUAL
from workbench.selection.schema import NEWEST, columns_of

# 2: with the duplicate policy, and its figures in the domains
# 3: with the list of receipts in the place of the list of score files, where the run has one
# 4: with the rise and the novel columns in selection.parquet (null where the scores lack them)
# 5: with contrast, controls, excess and the user's columns there, and the column to rank by; with
#    the mixture to train on (aiw:mixture), where one was given
FORMAT = NEWEST
READ = tuple(range(2, FORMAT + 1))
BY_SCORE = 5  # the format since which the column to rank by is stated
SELECTION_FILE = "selection.parquet"
CLUSTERS_FILE = "selection_clusters.parquet"  # near-duplicates that a selection was given
EXCLUDED_FILE = "selection_excluded.parquet"  # documents that a funnel left out
FUNNEL = "aiw:funnel"  # its settings and counts
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
DESCRIPTION = (
    "Documents ranked inside each domain by their AttentionInfluence score (arXiv 2505.07293, "
    "equation 5): the relative rise of a small language model's loss when its retrieval heads are "
    "masked. The score also rises with repetition, near-duplicates and boilerplate and with a low "
    "base loss: compare compression_ratio before training on the selection."
)

_OUR_TERMS = ("format", "run", "documents", "skippedReasons", "corpus", "selection", "domains")
_CROISSANT_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty "
    "fileSet format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet "
    "references regex repeated replace samplingRate separator source subField transform"
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "aiw": "urn:attention-influence-workbench:",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _CROISSANT_TERMS.split()},
    # JSON literals: domain names and ids from the web never become identifiers or keywords.
    **{f"aiw:{term}": {"@id": f"aiw:{term}", "@type": "@json"} for term in _OUR_TERMS},
}


def check_publishable(corpus_note: str | None, sources: Iterable[str]) -> None:
    """Refuse a note or source name that is an absolute path.

    Args:
        corpus_note: which corpus this is, in words, or None.
        sources: the names of the sources.

    Raises:
        ValueError: for an absolute path in any of them.
    """
    if corpus_note and mentions_absolute(corpus_note):
        raise ValueError("corpus_note holds an absolute path; name the corpus, not where it lies")
    local = sum(is_absolute(name) for name in sources)
    if local:
        raise ValueError(
            f"{local} sources are absolute paths, which a manifest must not publish; "
            "score the corpus with relative source names"
        )


def documents_term(
    record: dict[str, Any], excluded: int, ranked: int, selected: int
) -> dict[str, int]:
    """aiw:documents: the counts, which add up.

    Args:
        record: the run record, whose counts are read, scored and skipped.
        excluded: scored documents that the user left out of the table that was ranked.
        ranked: documents that were ranked.
        selected: documents that were chosen.

    Returns:
        The six counts by name.
    """
    run = {key: record["documents"][key] for key in ("read", "scored", "skipped")}
    return {**run, "excluded": excluded, "ranked": ranked, "selected": selected}


def by_score_term(record: Mapping[str, Any], by_score: str) -> dict[str, str]:
    """What is stated of the column that documents are ranked by.

    Args:
        record: of the run.
        by_score: the name of the column.

    Returns:
        Its name and its formula.

    Raises:
        ValueError: the score files of the run have no such column and it is not the residual, so
            nobody could verify a ranking by it.
    """
    if by_score == RESIDUAL:  # no column, but computed of theirs
        return {"column": RESIDUAL, "formula": MEANING}
    columns = {column.name: column for column in (*SCORE_ROW, *columns_in(record))}
    if by_score not in columns or columns[by_score].type not in (pa.float64(), pa.int64()):
        own = [c.name for c in columns.values() if c.type == pa.float64()]
        raise ValueError(
            f"the documents are ranked by {by_score!r:.100}, no column of the score files, so "
            f"nobody could verify the ranking. Rank by one of {', '.join(own)}, or "
            f"{RESIDUAL}; score_column makes a function of the losses such a column"
        )
    return {"column": by_score, "formula": columns[by_score].meaning}


def ranked_by(manifest: Mapping[str, Any]) -> str:
    """The column that the documents of a manifest are ranked by.

    Args:
        manifest: as it was parsed; it may be anybody's.

    Returns:
        The name of the column; the score before format 5, which states none.

    Raises:
        ValueError: it states none, though it is of a format that does.
    """
    if manifest["aiw:format"] < BY_SCORE:
        return SCORE
    stated = manifest["aiw:selection"].get("by_score")
    if not isinstance(stated, dict) or not isinstance(stated.get("column"), str):
        raise ValueError(
            f"aiw:selection states no column that the documents are ranked by, but {stated!r:.100}"
        )
    return str(stated["column"])


def selection_term(
    fraction: float,
    by: By,
    duplicates: Duplicates,
    cap: int | None,
    clustered: bool,
    by_score: Mapping[str, str] | None,
) -> dict[str, Any]:
    """aiw:selection: what was asked for, with the rules in words, and the file of clusters.

    Args:
        fraction: share of every domain.
        by: whether the share is one of the documents or of the tokens.
        duplicates: the duplicate policy.
        cap: the number for the policy "cap", else None.
        clustered: whether CLUSTERS_FILE lies beside the manifest.
        by_score: of `by_score_term`; None in manifests before format 5, which rank by the score.

    Returns:
        The term, a JSON object.
    """
    column = {} if by_score is None else {"by_score": dict(by_score)}
    rule = TIE_RULE
    if by_score is not None and by_score["column"] != SCORE:
        rule = f"the score meant here is the column {by_score['column']}: {TIE_RULE}"
    return column | {
        "fraction": fraction,
        "by": by,
        "duplicates": duplicates,
        "cap": cap,
        "clusters": CLUSTERS_FILE if clustered else None,
        "tie_rule": rule,
        "duplicate_policy": policy_in_words(duplicates, cap, clustered),
    }


def dataset(
    name: str,
    terms: dict[str, Any],
    files: list[dict[str, Any]],
    license: str | None,
    date: datetime.date,
) -> dict[str, Any]:
    """Put the whole JSON-LD document together: a Croissant Dataset with the `aiw:` terms in it.

    Args:
        name: of the data set.
        terms: the `aiw:` terms, by their names with the prefix.
        files: the FileObjects of `file_object`, that of `selection.parquet` among them.
        license: URL or SPDX name, or None.
        date: of publication.

    Returns:
        The document, to be written as JSON.
    """
    # A manifest without a mixture and a funnel has the context that it always had.
    given = {t: {"@id": t, "@type": "@json"} for t in (MIXTURE, FUNNEL) if t in terms}
    return {
        "@context": CONTEXT | given,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": name,
        "description": DESCRIPTION,
        **({"license": license} if license else {}),
        "citeAs": "Hua, Wu, Zhang, Shen: AttentionInfluence, arXiv 2505.07293, 2025 (the method)",
        "version": "1.0.0",
        "datePublished": date.isoformat(),
        **terms,
        **provenance(terms),
        "distribution": files,
        "recordSet": [_record_set(terms)],
    }


def provenance(terms: dict[str, Any]) -> dict[str, Any]:
    """The W3C PROV statements (https://www.w3.org/TR/prov-o/) that the `aiw:` terms imply.

    They repeat names and digests only, for readers of PROV who do not know our terms.

    Args:
        terms: the `aiw:` terms, by their names with the prefix.

    Returns:
        prov:wasDerivedFrom (the corpus) and prov:wasGeneratedBy (the scoring).
    """
    run = terms["aiw:run"]
    revision = run["model"].get("revision")
    heads = run["heads"].get("heads")
    checks = run["certificate"].get("checks") or []
    passed = sum(check.get("passed") is True for check in checks)
    return {
        "prov:wasDerivedFrom": {
            "@type": "prov:Entity",
            "name": terms["aiw:corpus"]["note"] or "corpus without a note",
            "sha256": terms["aiw:corpus"]["text_digest"],
        },
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "name": f"AttentionInfluence scoring, mode {run['mode']}, {run['formula']}",
            "prov:used": [
                {
                    "@type": "prov:Entity",
                    "name": f"model {run['model'].get('source')}",
                    **({"version": str(revision)} if revision else {}),
                    "sha256": str(run["model"].get("weights_sha256")),
                },
                {"@type": "prov:Entity", "name": f"heads {heads}"},
                {
                    "@type": "prov:Entity",
                    "name": f"certificate of the model: {passed} of {len(checks)} checks passed",
                },
            ],
            "prov:wasAssociatedWith": [
                {"@type": "prov:SoftwareAgent", "name": str(name), "version": str(version)}
                for name, version in run["software"].items()
            ],
        },
    }


def same_statement(first: Any, second: Any) -> bool:
    """Whether two values of JSON-LD say the same.

    In it neither the order of keys nor that of a list has a meaning, so whoever sorts the keys of
    a manifest changes nothing.

    Args:
        first: a JSON value.
        second: another.

    Returns:
        True when they differ in such orders at most.
    """
    return _unordered(first) == _unordered(second)


def _unordered(value: Any) -> str:
    if isinstance(value, dict):
        return canonical_json({key: _unordered(item) for key, item in value.items()})
    if isinstance(value, list):
        return canonical_json(sorted(map(_unordered, value)))
    return canonical_json(value)


def file_object(path: str, sha256: str, size: int) -> dict[str, Any]:
    """The Croissant FileObject of a file that lies beside the manifest.

    Args:
        path: of the file, relative to the manifest's folder.
        sha256: of the file, as hexadecimal digits.
        size: of the file in bytes.

    Returns:
        The FileObject, a JSON object.
    """
    formats = {
        ".parquet": "application/x-parquet", ".json": "application/json", ".sha256": "text/plain",
    }  # fmt: skip
    return {
        "@type": "cr:FileObject",
        # Identifiers take no spaces; the name and the URL stay as they are on disk.
        "@id": re.sub(r"[^A-Za-z0-9._/-]", "_", path),
        "name": path,
        "contentUrl": path,
        "contentSize": f"{size} B",
        "encodingFormat": formats.get(pathlib.PurePosixPath(path).suffix, "application/jsonlines"),
        "sha256": sha256,
    }


def _record_set(terms: dict[str, Any]) -> dict[str, Any]:
    """Return the Croissant RecordSet that gives the columns of selection.parquet their types."""
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"documents/{column.name}",
            "name": column.name,
            "description": column.meaning,
            "dataType": column.croissant,
            "source": {"fileObject": {"@id": SELECTION_FILE}, "extract": {"column": column.name}},
        }
        for column in columns_of(terms["aiw:format"], columns_in(terms["aiw:run"]))
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "documents",
        "name": "documents",
        "description": "One row a ranked document, in the order of domain and rank.",
        "key": [{"@id": "documents/source"}, {"@id": "documents/row"}],
        "field": fields,
    }
