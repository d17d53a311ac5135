"""Commands around a run: what it will take, whether its manifest holds, how two compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli_shared import (
    AsJson,
    Device,
    DomainColumn,
    Dtype,
    IdColumn,
    ModelName,
    Revision,
    TextColumn,
    app,
    print_json,
    print_table,
    reported,
    to_score,
)


@app.command()
def plan(
    corpus: Annotated[
        list[str] | None, typer.Argument(help="Files or folders, or one hf:// data set.")
    ] = None,
    heads: Annotated[str, typer.Option(help="heads.json, or names such as 'L17H3 L18H6'.")] = "",
    environment: Annotated[
        int | None, typer.Option(help="Plan for this many documents of the Python environment.")
    ] = None,
    model: ModelName = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    mode: Annotated[str, typer.Option(help="uniform or zero.")] = "uniform",
    window: Annotated[int | None, typer.Option(help="Tokens of a pass [default: context].")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Read only the first tokens of each document.")
    ] = None,
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

        loaded, chosen, documents = to_score(
            corpus, heads, environment, model, revision=revision, device=device, dtype=dtype
        )
        made = wb.plan_scoring(
            loaded, chosen, documents, mode=mode,  # type: ignore[arg-type]
            window=window, max_tokens=max_tokens, id=id, text=text, domain=domain, sample=sample,
        )  # fmt: skip
        cost = None if price is None else made.cost(price)
        if as_json:
            tables = {"domains": made.domains, "skipped": made.skipped}
            print_json(
                {k: json.loads(v.to_json(orient="records")) for k, v in tables.items()}
                | {"tokens_per_second": made.rate, "hours": made.hours, "cost": cost,
                   "device": made.device}
            )  # fmt: skip
            return
        print_table(
            ("domain", "documents", "MB", "tokens to read", "minutes"),
            [(d["domain"], f"{d['documents']:,}", f"{d['bytes'] / 1e6:,.1f}",
              f"{d['tokens']:,.0f} ({d['tokens_low']:,.0f} to {d['tokens_high']:,.0f})",
              f"{d['seconds'] / 60:,.1f}") for d in made.domains.to_dict("records")],
        )  # fmt: skip
        if len(made.skipped):
            print_table(("skipped because", "rows"), made.skipped.to_numpy().tolist())
        print(made)
        if cost is not None:
            print(f"cost: {cost[0]:,.2f} ({cost[1]:,.2f} to {cost[2]:,.2f})")


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="Folder with manifest.json.")],
    model: ModelName = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    embedded: Annotated[bool, typer.Option(help="Check against the embedded model.")] = False,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Also check the text of these documents.")
    ] = None,
    environment: Annotated[
        int | None, typer.Option(help="The corpus was this many documents of the environment.")
    ] = None,
    id: IdColumn = "id",
    text: TextColumn = "text",
    domain: DomainColumn = "domain",
    as_json: AsJson = False,
) -> None:
    """Check a manifest against its files, and if given, its model and corpus."""
    with reported(as_json):
        import workbench as wb

        loaded = None
        if model or embedded:
            loaded = wb.load_model(model, revision=revision, device=device, dtype=dtype)
        documents: Any = None
        if corpus:
            documents = wb.read_corpus(corpus, id=id, text=text, domain=domain)
        elif environment is not None:
            documents = wb.environment_corpus(max_documents=environment)
        report = wb.verify_manifest(folder, model=loaded, corpus=documents, strict=False)
        if as_json:
            checks = json.loads(report.checks.to_json(orient="records"))
            print_json({"ok": report.ok, "checks": checks})
        else:
            print(report)
        if not report.ok:
            raise typer.Exit(1)


@app.command()
def compare(
    one: Annotated[Path, typer.Argument(help="Folder with manifest.json.")],
    other: Annotated[Path, typer.Argument(help="Another.")],
    as_json: AsJson = False,
) -> None:
    """Compare two selections from their manifests: overlap, what moved, and why."""
    with reported(as_json):
        import workbench as wb
        from workbench.manifest_comparison import WHY

        found = wb.compare_manifests(one, other)
        if as_json:
            tables = {"settings": found.settings, "domains": found.domains, "moved": found.moved}
            print_json({k: json.loads(v.to_json(orient="records")) for k, v in tables.items()})
            return
        print_table(("setting", "one", "other"), found.settings.to_numpy().tolist())
        print_table(
            ("domain", "rank correlation", "chosen by one", "by the other", "by both"),
            [(d.domain, f"{d.spearman:.2f}", d.chosen_one, d.chosen_other, d.chosen_both)
             for d in found.domains.itertuples()],
        )  # fmt: skip
        for why, count in found.moved["why"].value_counts().items():
            print(f"{count} documents that only one chose: {WHY[str(why)]}")
