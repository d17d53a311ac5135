"""Commands around a run: what it will take, whether its manifest holds, how two compare."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.options import (
    AsJson,
    Context,
    Controls,
    ControlsShare,
    CorpusIfAny,
    Device,
    DomainColumn,
    Dtype,
    Environment,
    HeadNames,
    IdColumn,
    ManifestFolder,
    MaxTokens,
    ModelName,
    ModeName,
    OwnColumns,
    Read,
    Reference,
    Revision,
    Simulate,
    TextColumn,
    TrustRemoteCode,
    Window,
)
from workbench.cli.shared import app, print_json, print_table, put, referenced, reported, to_score
from workbench.manifest.verification.levels import LEVELS, spoken_levels


@app.command()
def plan(
    corpus: CorpusIfAny = None,
    heads: HeadNames = "",
    environment: Environment = None,
    model: ModelName = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    simulate: Simulate = None,
    context: Context = None,
    trust_remote_code: TrustRemoteCode = False,
    mode: ModeName = "uniform",
    window: Window = None,
    max_tokens: MaxTokens = None,
    reference: Reference = None,
    read: Read = "start",
    controls: Controls = 0,
    controls_share: ControlsShare = 1.0,
    columns: OwnColumns = None,
    id: IdColumn = "id",
    text: TextColumn = "text",
    domain: DomainColumn = "domain",
    sample: Annotated[int, typer.Option(help="Documents of each domain to measure with.")] = 6,
    price: Annotated[float | None, typer.Option(help="Of an hour of this device.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what `score` would have to do, and how long it would take here."""
    with reported(as_json):
        import workbench as wb

        loading: dict[str, Any] = {
            "revision": revision, "device": device, "dtype": dtype, "context": context,
            "trust_remote_code": trust_remote_code,
        }  # fmt: skip
        memory = wb.memory_needed(model, window=window, controls=controls, **loading)
        if not as_json:
            put(memory)  # before anything is loaded, which may be what fails
        loaded, chosen, documents = to_score(
            corpus, heads, environment, model, simulate=simulate, **loading
        )
        mode = referenced(mode, reference, id=id, text=text, domain=domain)
        made = wb.plan_scoring(
            loaded, chosen, documents, mode=mode, window=window, max_tokens=max_tokens, read=read,
            controls=controls, controls_share=controls_share, columns=columns or (),
            id=id, text=text, domain=domain, sample=sample,
        )  # fmt: skip
        cost = None if price is None else made.cost(price)
        if as_json:
            tables = {"domains": made.domains, "skipped": made.skipped}
            print_json(
                tables
                | {"tokens_per_second": made.rate, "hours": made.hours, "cost": cost,
                   "device": made.device, "domain_from": made.domain_from, "passes": made.passes,
                   "reference": None if made.reference is None else asdict(made.reference),
                   "memory": asdict(memory) | {"peak": memory.peak, "fits": memory.fits}}
            )  # fmt: skip
            return
        rows = [
            (d["domain"], f"{d['documents']:,}", f"{d['bytes'] / 1e6:,.1f}",
             f"{d['tokens']:,.0f} ({d['tokens_low']:,.0f} to {d['tokens_high']:,.0f})",
             f"{d['seconds'] / 60:,.1f}",
             *([] if price is None else [f"{d['seconds'] / 3600 * price:,.2f}"]))
            for d in made.domains.to_dict("records")
        ]  # fmt: skip
        header = ["domain", "documents", "MB", "tokens to read", "minutes"]
        print_table([*header, *([] if price is None else ["cost"])], rows)
        if len(made.skipped):
            print_table(("skipped because", "rows"), made.skipped.to_numpy().tolist())
        if cost is not None:
            put(f"cost: {cost[0]:,.2f} ({cost[1]:,.2f} to {cost[2]:,.2f})")
        put(made)


@app.command(
    help="Check a manifest against its files, and if given, its corpus and model. A level includes "
    "those before it; the default goes as far as what is given allows, and the last line says how "
    "far that was. A level that was asked for and not reached ends with exit code 1. A manifest is "
    "not signed: what passes agrees with its files, corpus and model, whoever wrote it.\n\n"
    + spoken_levels()
)
def verify(
    folder: ManifestFolder,
    level: Annotated[
        str | None, typer.Option(help=f"The last level to go to: {', '.join(LEVELS)}.")
    ] = None,
    texts: Annotated[
        int | None, typer.Option(help="Hash so many texts, drawn by source [default: all].")
    ] = None,
    sample: Annotated[int, typer.Option(help="Documents to score again.")] = 8,
    seed: Annotated[int, typer.Option(help="Of both draws; forgers know the default.")] = 0,
    model: ModelName = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    simulate: Simulate = None,
    context: Context = None,
    trust_remote_code: TrustRemoteCode = False,
    embedded: Annotated[bool, typer.Option(help="Check against the embedded model.")] = False,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Also check the text of these documents.")
    ] = None,
    environment: Annotated[
        int | None, typer.Option(help="The corpus was this many documents of the environment.")
    ] = None,
    reference: Reference = None,
    materialised: Annotated[
        Path | None, typer.Option(help="Also check these shards, which `materialise` wrote.")
    ] = None,
    id: IdColumn = "id",
    text: TextColumn = "text",
    domain: DomainColumn = "domain",
    as_json: AsJson = False,
) -> None:
    """Check a manifest: `workbench verify`, whose help stands above."""
    with reported(as_json):
        import workbench as wb

        referenced("mean", reference, id=id, text=text, domain=domain)
        loaded = None
        if model or embedded:
            loaded = wb.load_model(
                model, revision=revision, device=device, dtype=dtype, context=context,
                simulate=simulate,  # type: ignore[arg-type]
                trust_remote_code=trust_remote_code,
            )  # fmt: skip
        documents: Any = corpus or None
        if not corpus and environment is not None:
            documents = wb.environment_corpus(max_documents=environment)
        report = wb.verify_manifest(
            folder, loaded, documents, level=level, texts=texts, sample=sample, seed=seed,
            strict=False, id=id, text=text, domain=domain,
        )  # fmt: skip
        shards = None
        if materialised is not None and report.ok:
            shards = wb.verify_materialised(materialised, folder)
        if as_json:
            tables = {"checks": report.checks, "levels": report.levels}
            result = {"ok": report.ok, "level": report.level, "outcome": report.outcome}
            print_json(result | tables | ({} if shards is None else {"materialised": shards}))
        else:
            put(report)
            if shards is not None:
                columns = [(c["name"], c["meaning"]) for c in shards["columns"]]
                print_table(("column of the shards", "meaning"), columns)
                put(f"{shards['lines']:,} lines in {shards['shards']:,} shards are as chosen, "
                    f"ranked by {shards['by_score']['column']}")  # fmt: skip
        if not report.ok:
            raise typer.Exit(1)


@app.command()
def compare(
    one: ManifestFolder,
    other: Annotated[Path, typer.Argument(help="Another.")],
    as_json: AsJson = False,
) -> None:
    """Compare two selections from their manifests: overlap, what moved, and why."""
    with reported(as_json):
        import workbench as wb
        from workbench.manifest.comparison import WHY

        comparison = wb.compare_manifests(one, other)
        if as_json:
            tables = {
                "settings": comparison.settings,
                "domains": comparison.domains,
                "moved": comparison.moved,
            }
            print_json(tables)
            return
        print_table(("setting", "one", "other"), comparison.settings.to_numpy().tolist())
        print_table(
            ("domain", "rank correlation", "chosen by one", "by the other", "by both"),
            [(d.domain, f"{d.spearman:.2f}", d.chosen_one, d.chosen_other, d.chosen_both)
             for d in comparison.domains.itertuples()],
        )  # fmt: skip
        for why, count in comparison.moved["why"].value_counts().items():
            put(f"{count} documents that only one chose: {WHY[str(why)]}")
