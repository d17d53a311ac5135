"""Commands from a manifest to what trainers read: near-duplicates, shards of text, blend files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.options import (
    AsJson,
    Clusters,
    Corpus,
    DomainColumn,
    IdColumn,
    ManifestFolder,
    TextColumn,
)
from workbench.cli.shared import app, given_as, print_json, print_table, put, reported


def _examples(path: Path) -> tuple[list[str], list[bool]]:
    """Texts and whether each is to be excluded, of a file with an object of JSON a line."""
    texts, excluded = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        stated = row if isinstance(row, dict) else {}
        text, exclude = stated.get("text"), stated.get("exclude")
        if not isinstance(text, str) or not isinstance(exclude, bool):
            raise ValueError(
                f"line {number} of {str(path)!r:.200} is no example: expected "
                f'{{"text": "...", "exclude": true}} (or false), got {line!r:.100}'
            )
        texts.append(text)
        excluded.append(exclude)
    return texts, excluded


def _judge(
    pattern: str | None, verdicts: Path | None, column: str | None, least: float | None
) -> Any:
    """The judge that the options ask for, None without any."""
    from workbench.selection.funnel_judges import PatternJudge, VerdictJudge

    if pattern is not None and verdicts is not None:
        raise ValueError("--judge-pattern and --verdicts are two judges: give one of them")
    if verdicts is None and (column is not None or least is not None):
        raise ValueError(
            "--verdict-column and --verdict-from say how to read a table of verdicts: give it with "
            "--verdicts FILE"
        )
    if verdicts is not None:
        with given_as("--verdicts", "a table with a verdict on each document"):
            return VerdictJudge.read(verdicts, column or "exclude", least)
    return None if pattern is None else PatternJudge(pattern)


@app.command()
def funnel(
    corpus: Corpus,
    terms: Annotated[Path, typer.Option(help="A file with a word or phrase a line.")],
    out: Annotated[Path, typer.Option(help="Where to write what became of each (Parquet).")] = Path(
        "funnel.parquet"
    ),
    escalate: Annotated[int, typer.Option(help="Terms from which a document is in doubt.")] = 2,
    examples: Annotated[
        Path | None,
        typer.Option(help="JSON Lines with text and exclude, true or false, for a classifier."),
    ] = None,
    recall: Annotated[float, typer.Option(help="Share of the examples that it must find.")] = 0.95,
    judge_pattern: Annotated[
        str | None,
        typer.Option(
            help="Where the classifier is unsure, exclude what this regular expression is found "
            "in (any case), and keep the rest."
        ),
    ] = None,
    verdicts: Annotated[
        Path | None,
        typer.Option(
            help="Where it is unsure, go by this table (.jsonl, .csv, .parquet) of verdicts by "
            "doc_id or id; documents without one are excluded."
        ),
    ] = None,
    verdict_column: Annotated[
        str | None, typer.Option(help="Its column with true (exclude) or false [default: exclude].")
    ] = None,
    verdict_from: Annotated[
        float | None, typer.Option(help="The column holds numbers: exclude from this one on.")
    ] = None,
    id: IdColumn = "id",
    text: TextColumn = "text",
    domain: DomainColumn = "domain",
    as_json: AsJson = False,
) -> None:
    """Find the documents to leave out of a selection: by terms, a classifier, then a judge."""
    with reported(as_json):
        import workbench as wb

        judge = _judge(judge_pattern, verdicts, verdict_column, verdict_from)
        if judge is not None and examples is None:
            raise ValueError(
                "a judge is asked where a classifier is unsure: give --examples FILE (JSON Lines "
                "with text and exclude) too, or leave --judge-pattern and --verdicts out"
            )
        known = None
        if examples is not None:
            with given_as("--examples", "JSON Lines with text and exclude"):
                known = _examples(examples)
        with given_as("--terms", "a file with a word or phrase a line"):
            words = terms.read_text(encoding="utf-8").splitlines()
        made = wb.funnel(
            corpus, words, known, judge, escalate, recall=recall, id=id, text=text, domain=domain
        )  # fmt: skip
        out.parent.mkdir(parents=True, exist_ok=True)
        made.write(out)
        if as_json:
            print_json({"file": out, **made.to_json()})
            return
        print_table(("stage", "reached", "kept", "excluded"), made.stages.to_numpy().tolist())
        put(f"what became of each document: {out}")
        for said, count in (
            ("the classifier is unsure of, so they are excluded: --judge-pattern or --verdicts "
             "decides them", made.rows["reason"].str.contains("unsure from")
             & (made.rows["stage"] == "classifier")),
            ("the table has no verdict on, so they are excluded",
             made.rows["reason"].str.endswith("no verdict, so excluded")),
        ):  # fmt: skip
            if count.any():
                put(f"{int(count.sum()):,} documents that {said}")


@app.command()
def exposures(
    folder: ManifestFolder,
    repeat: Annotated[int, typer.Option(help="How often to train on each chosen document.")] = 1,
    clusters: Clusters = None,
    out: Annotated[Path | None, typer.Option(help="Write a row a document there (CSV).")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how often a training would see each chosen document, before it is exported."""
    with reported(as_json):
        import workbench as wb

        table = wb.exposures(folder, repeat, clusters)
        if out is not None:
            table.to_csv(out, index=False)
        counts = sorted(Counter(table["seen"].tolist()).items(), reverse=True)
        if as_json:
            print_json({"seen": dict(counts)})
            return
        print_table(("seen", "documents"), [(f"{seen:,}", f"{n:,}") for seen, n in counts])


@app.command()
def duplicates(
    corpus: Corpus,
    out: Annotated[Path, typer.Option(help="Where to write the clusters (Parquet).")] = Path(
        "duplicates.parquet"
    ),
    threshold: Annotated[float, typer.Option(help="Least Jaccard similarity of n-grams.")] = 0.8,
    exact: Annotated[bool, typer.Option(help="Only documents of the very same text.")] = False,
    permutations: Annotated[int, typer.Option(help="Length of a signature.")] = 128,
    unit: Annotated[str, typer.Option(help="words, or characters (no spaces).")] = "words",
    ngram: Annotated[
        int | None, typer.Option(help="Units of an n-gram [default: 5 words, 13 characters].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the permutations.")] = 0,
    id: IdColumn = "id",
    text: TextColumn = "text",
    domain: DomainColumn = "domain",
    as_json: AsJson = False,
) -> None:
    """Find the near-duplicates of each domain and write their clusters."""
    with reported(as_json):
        from workbench.corpus.deduplication import near_duplicates

        out.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
        result = near_duplicates(
            corpus, threshold=None if exact else threshold, permutations=permutations,
            ngram=ngram, unit=unit, seed=seed, out=out,  # type: ignore[arg-type]
            id=id, text=text, domain=domain,
        )  # fmt: skip
        if not result.domains["documents"].sum():
            raise ValueError(
                f"the corpus holds no document ({result.settings['skipped']} rows could not be "
                "read as one): nothing was compared; `workbench plan` says why rows are skipped"
            )
        if as_json:
            print_json({"file": out, "settings": result.settings, "domains": result.domains})
            return
        print_table(
            ("domain", "documents", "with duplicates", "same text", "clusters", "largest"),
            [(d["domain"], f"{d['documents']:,}",
              f"{d['duplicated']:,} ({d['duplicated'] / d['documents']:.1%})",
              f"{d['exact']:,}", f"{d['clusters']:,}", f"{d['largest']:,}")
             for d in result.domains.to_dict("records")],
        )  # fmt: skip
        if result.settings["skipped"]:
            put(f"{result.settings['skipped']:,} rows were skipped, since they hold no document")
        put(f"clusters: {out}")


@app.command("materialise")
def materialise_(
    folder: ManifestFolder,
    corpus: Corpus,
    out: Annotated[Path, typer.Option(help="New folder for the shards and their index.")] = Path(
        "materialised"
    ),
    format: Annotated[str, typer.Option(help="jsonl, jsonl.zst or parquet.")] = "jsonl",
    shard_tokens: Annotated[int, typer.Option(help="Tokens of a shard.")] = 100_000_000,
    repeat: Annotated[
        list[str] | None,
        typer.Option(help="How often to train on a document: N, or DOMAIN=N (several times)."),
    ] = None,
    repeats: Annotated[
        str, typer.Option(help="copies: written that often; weight: once, and in the blend.")
    ] = "copies",
    carry: Annotated[
        list[str] | None,
        typer.Option(help="Another column of the corpus to write along (several times)."),
    ] = None,
    blend: Annotated[
        str,
        typer.Option(help="Comma-separated: nanotron, megatron, olmo-core, mosaicml, datasets."),
    ] = "",
    weight: Annotated[
        list[str] | None, typer.Option(help="DOMAIN=SHARE of the blend, for every domain.")
    ] = None,
    id: IdColumn = "id",
    text: TextColumn = "text",
    domain: DomainColumn = "domain",
    as_json: AsJson = False,
) -> None:
    """Write the texts that a manifest chose as shards, and the blend files of trainers."""
    with reported(as_json):
        from workbench.manifest.export.blends import TRAINERS, write_blends
        from workbench.manifest.export.materialisation import materialise

        trainers = [name.strip() for name in blend.split(",") if name.strip()]
        unknown = sorted(set(trainers) - set(TRAINERS))
        if unknown:
            raise ValueError(f"unknown trainers {unknown}; there are {', '.join(TRAINERS)}")
        weights = _by_domain(weight, float, "--weight") or None
        if weights and not trainers:
            raise ValueError("--weight says how to blend; name the trainers with --blend")
        index = materialise(
            folder, corpus, out, format=format, shard_tokens=shard_tokens,
            repeat=_repeat(repeat), repeats=repeats, carry=carry or (),  # type: ignore[arg-type]
            id=id, text=text, domain=domain,
        )  # fmt: skip
        files = write_blends(out, trainers, weights=weights) if trainers else []
        if as_json:
            print_json({"folder": str(out), **index, "blends": [str(path) for path in files]})
            return
        print_table(
            ("folder", "domain", "documents", "shards", "MB", "tokens to train on"),
            [(s["folder"], s["domain"], f"{s['documents']:,}", len(s["shards"]),
              f"{s['bytes'] / 1e6:,.1f}", f"{s['trained_tokens']:,}") for s in index["sources"]],
        )  # fmt: skip
        put(f"{index['documents']:,} documents in {out}, {index['trained_tokens']:,} tokens")
        for path in files:
            put(f"blend  {path}")


def _repeat(values: list[str] | None) -> Any:
    """`--repeat 3` for all, or a mapping from `--repeat code=3 --repeat books=2`."""
    if values and len(values) == 1 and values[0].isdecimal():
        return int(values[0])
    return _by_domain(values, int, "--repeat") or 1


def _by_domain(items: list[str] | None, kind: type, option: str) -> dict[str, Any]:
    by_domain: dict[str, Any] = {}
    for item in items or []:
        name, _, value = item.rpartition("=")  # a domain may hold "=", a number does not
        try:
            by_domain[name] = kind(value)
        except ValueError:
            raise ValueError(f"{option} takes DOMAIN=NUMBER, got {item!r:.200}") from None
    return by_domain
