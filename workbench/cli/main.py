"""The command `workbench`: thin commands over the package, in the order of the workflow.

`check_commands` holds the commands around a run, `export_commands` those for trainers, `options`
the options of several commands, `shared` what else they share. A command's docstring is its help,
and each option has a help of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.options import (
    AsJson,
    Clusters,
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
    MaxTokens,
    ModelName,
    ModeName,
    Overwrite,
    OwnColumns,
    Read,
    Reference,
    Revision,
    Simulate,
    TextColumn,
    TrustRemoteCode,
    Window,
)
from workbench.cli.shared import (
    app,
    ended_by_sigterm,
    given_as,
    messages,
    part_of,
    print_domains,
    print_json,
    print_table,
    progress_printer,
    put,
    referenced,
    reported,
    to_score,
    workers_of,
)

__all__ = ["app"]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path(
        "demo-run"
    ),
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole workflow once, from the embedded model to a verified manifest."""
    with reported(as_json):
        from workbench.cli.demo import print_report, run

        report = run(out, messages.print, overwrite=overwrite)
        if as_json:
            print_json(report)
        else:
            print_report(report)


@app.command()
def fetch(as_json: AsJson = False) -> None:
    """Fetch the embedded model and convert it into the user's cache (once)."""
    with reported(as_json):
        from workbench.loading.default_model import ensure

        folder = ensure()
        if as_json:
            print_json({"folder": str(folder)})
        else:
            put(f"the embedded model is in {folder}")


@app.command()
def certify(
    model: ModelName = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    simulate: Simulate = None,
    context: Context = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Check on a model that masks, losses and detection are right."""
    with reported(as_json):
        import workbench as wb

        loaded = wb.load_model(
            model, revision=revision, device=device, dtype=dtype, context=context,
            simulate=simulate,  # type: ignore[arg-type]
            trust_remote_code=trust_remote_code, certify=False,
        )  # fmt: skip
        certificate = wb.certify(loaded)
        if as_json:
            print_json({"model": loaded.identity, **certificate.to_json()})
        else:
            print_table(
                ("", "check", "measured", "limit", "tested"),
                [("ok" if check.passed else "FAILED", check.name, check.found, check.allowed,
                  check.tested) for check in certificate.checks],
            )  # fmt: skip
            put(certificate.heading)
        if not certificate.ok:
            raise typer.Exit(1)


@app.command()
def detect(
    model: ModelName = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    simulate: Simulate = None,
    context: Context = None,
    trust_remote_code: TrustRemoteCode = False,
    probes: Annotated[int, typer.Option(help="Number of lookup probes.")] = 64,
    max_tokens: Annotated[int, typer.Option(help="Tokens of a probe, at most.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of the probes.")] = 0,
    fraction: Annotated[float, typer.Option(help="Share of all heads to take.")] = 0.05,
    texts: Annotated[
        list[Path] | None, typer.Option(help="Documents to take sentences from.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where to write the head set.")] = Path("heads.json"),
    scores_out: Annotated[
        Path | None, typer.Option("--scores", help="Also write all scores (CSV).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the retrieval heads and write them to a file."""
    with reported(as_json):
        import workbench as wb
        from workbench.core.files import write_atomically

        for path in filter(None, (out, scores_out)):  # before the work, not after it
            if path.is_dir():
                raise ValueError(f"{path} is a folder; give the name of a file to write")
            path.parent.mkdir(parents=True, exist_ok=True)
        loaded = wb.load_model(
            model, revision=revision, device=device, dtype=dtype, context=context,
            simulate=simulate,  # type: ignore[arg-type]
            trust_remote_code=trust_remote_code,
        )  # fmt: skip
        items = list(wb.read_corpus(list(texts))) if texts else None
        prose = [item.text for item in items if isinstance(item, wb.Document)] if items else None
        made = wb.make_probes(loaded, n=probes, max_tokens=max_tokens, seed=seed, texts=prose)
        scores = wb.retrieval_scores(loaded, made)
        heads = wb.HeadSet.top(scores, fraction)
        write_atomically(out, json.dumps(heads.to_json(), indent=2).encode())
        if scores_out:
            write_atomically(scores_out, scores.frame.to_csv(index=False).encode())
        best = scores.ranked().head(len(heads) + 1)
        if as_json:
            print_json({**heads.to_json(), "highest": best, "file": out})
        else:
            rows = [
                (f"L{r.layer}H{r.head}", f"{r.score:.3f}", f"{r.low:.3f} to {r.high:.3f}")
                for r in best.itertuples()
            ]
            print_table(("head", "score", "95 % interval"), rows)
            put(f"{len(heads)} heads (above the last line) written to {out}: {heads}")


@app.command()
def score(
    corpus: CorpusIfAny = None,
    heads: HeadNames = "",
    out: Annotated[
        Path, typer.Option(help="Folder for scores; an interrupted run continues in it.")
    ] = Path("run"),
    environment: Environment = None,
    model: ModelName = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    simulate: Simulate = None,
    context: Context = None,
    trust_remote_code: TrustRemoteCode = False,
    mode: ModeName = "uniform",
    reference: Reference = None,
    window: Window = None,
    max_tokens: MaxTokens = None,
    read: Read = "start",
    controls: Controls = 0,
    controls_share: ControlsShare = 1.0,
    columns: OwnColumns = None,
    id: IdColumn = "id",
    text: TextColumn = "text",
    domain: DomainColumn = "domain",
    shard_size: Annotated[
        int, typer.Option(help="Documents of a shard: scores are written a shard at a time.")
    ] = 32,
    workers: Annotated[
        str | None,
        typer.Option(help="Number of CPU processes, or devices: cuda:0,cuda:1 [default: none]."),
    ] = None,
    driver: Annotated[str, typer.Option(help="local, or ray for a Ray cluster.")] = "local",
    shards: Annotated[
        str | None, typer.Option(help="i/n: every n-th shard from the i-th, for job arrays.")
    ] = None,
    shard_timeout: Annotated[
        float | None,
        typer.Option(
            help="End a worker after so many seconds without a message from it; takes --workers "
            "or --driver ray, since this process is never ended [default: 1800, or 20 times its "
            "longest silence so far]."
        ),
    ] = None,
    progress: Annotated[str, typer.Option(help="bar, or json: lines on standard error.")] = "bar",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Score every document of a corpus."""
    with reported(as_json), ended_by_sigterm():
        part, many, on_progress = part_of(shards), workers_of(workers), progress_printer(progress)
        import workbench as wb

        loaded, chosen, documents = to_score(
            corpus, heads, environment, model, revision=revision, device=device, dtype=dtype,
            simulate=simulate, context=context, trust_remote_code=trust_remote_code,
        )  # fmt: skip
        mode = referenced(mode, reference, id=id, text=text, domain=domain)
        settings = wb.scoring.ScoringSettings.of(
            chosen, mode=mode, window=window, max_tokens=max_tokens, read=read, controls=controls,
            controls_share=controls_share, columns=columns or (),
        )  # fmt: skip
        report = wb.run_scoring(
            loaded, settings, documents, out, id=id, text=text, domain=domain,
            shard_size=shard_size, workers=many, driver=driver,  # type: ignore[arg-type]
            part=part, on_progress=on_progress, shard_timeout=shard_timeout, overwrite=overwrite,
        )  # fmt: skip
        if report.finished and report.read and not report.scored:
            raise ValueError(
                f"none of {report.read} documents could be scored, see {out / 'skipped.jsonl'}"
            )
        if as_json:
            print_json({"documents": report.counts, "folder": str(out), "report": report.to_json()})
            return
        print_table(
            ("domain", "documents", "score", "base loss", "masked loss", "tokens"),
            [(r["domain"], f"{r['documents']:,}", f"{r['score']:.3f}", f"{r['loss_base']:.3f}",
              f"{r['loss_ref']:.3f}", f"{r['tokens'] / r['documents']:.0f}")
             for r in report.domains.to_dict("records")],
        )  # fmt: skip
        if not report.finished:
            put("other parts of the shards are still to be scored before the run is complete")
        elif report.skipped:
            put(f"each document that was skipped, and why: {out / 'skipped.jsonl'}")
        put(report)  # whose last line is why, if many were skipped


@app.command()
def steps(
    corpus: CorpusIfAny = None,
    heads: HeadNames = "",
    out: Annotated[Path, typer.Option(help="Where to write the weights (JSON Lines).")] = Path(
        "steps.jsonl"
    ),
    by: Annotated[str, typer.Option(help="'blank line' or sentence.")] = "blank line",
    model: ModelName = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    simulate: Simulate = None,
    context: Context = None,
    trust_remote_code: TrustRemoteCode = False,
    mode: ModeName = "uniform",
    reference: Reference = None,
    max_tokens: MaxTokens = None,
    id: IdColumn = "id",
    text: TextColumn = "text",
    domain: DomainColumn = "domain",
    verify: Annotated[
        bool, typer.Option(help="Check the file at --out against this corpus and model instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Weight the steps of worked solutions by what masking costs each of them."""
    with reported(as_json):
        import workbench as wb

        columns: dict[str, Any] = {"id": id, "text": text, "domain": domain}
        loading: dict[str, Any] = {
            "revision": revision, "device": device, "dtype": dtype, "simulate": simulate,
            "context": context, "trust_remote_code": trust_remote_code,
        }  # fmt: skip
        if verify:
            if not corpus:
                raise ValueError("give the corpus whose steps were weighted")
            wb.verify_steps(out)  # the file by itself, before a model is loaded for the rest
            referenced("mean", reference, **columns)
            loaded = wb.load_model(model, **loading)
            found = wb.verify_steps(out, loaded, wb.read_corpus(corpus, **columns))
            if as_json:
                print_json(found)
                return
            put(f"{found['steps']:,} steps of {found['documents']:,} documents are as written; "
                f"{found['scored_again']} documents scored again")  # fmt: skip
            return
        loaded, chosen, documents = to_score(corpus, heads, None, model, **loading)
        made = wb.step_influence(
            loaded, chosen, wb.read_corpus(documents, **columns), by=by,  # type: ignore[arg-type]
            mode=referenced(mode, reference, **columns),  # type: ignore[arg-type]
            max_tokens=max_tokens,
        )  # fmt: skip
        made.write(out)
        if as_json:
            counts = {"documents": len(made.documents), "steps": len(made.steps)}
            print_json({"file": out, **counts, "left_out": made.left_out})
            return
        put(f"{made!r}, with a weight for each: {out}")


@app.command("select")
def select_(
    folder: Annotated[Path, typer.Argument(help="Folder written by `workbench score`.")],
    fraction: Annotated[float, typer.Option(help="Share of each domain to take.")] = 0.20,
    by: Annotated[str, typer.Option(help="documents or tokens.")] = "documents",
    duplicates: Annotated[
        str, typer.Option(help="report (keep and count), 'keep one', or cap.")
    ] = "report",
    cap: Annotated[
        int | None, typer.Option(help="With --duplicates cap: how many of a group to take.")
    ] = None,
    clusters: Clusters = None,
    by_score: Annotated[
        str, typer.Option(help="Column of the scores to rank by, such as contrast, or residual.")
    ] = "score",
    exclude: Annotated[
        Path | None, typer.Option(help="Documents to leave out, written by `workbench funnel`.")
    ] = None,
    mixture: Annotated[
        Path | None,
        typer.Option(help="Shares to train the domains in: JSON of best.to_json() (notebook 13)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Choose the top of each domain and write the manifest."""
    with reported(as_json):
        import workbench as wb
        from workbench.core.files import read_json

        shares = None
        if mixture is not None:
            with given_as("--mixture", "JSON of best.to_json() (notebook 13)"):
                shares = read_json(mixture, any_unicode=True)
        made = wb.select_files(
            folder, fraction, by, duplicates=duplicates,  # type: ignore[arg-type]
            cap=cap, clusters=clusters, by_score=by_score, exclude=exclude,
            mixture=shares,
        )  # fmt: skip
        domains: list[dict[str, Any]] = made.domains.to_dict("records")  # type: ignore[assignment]
        if as_json:
            print_json({
                "manifest": str(made.manifest), "by_score": by_score,
                "without_value": made.without_value, "domains": domains,
            })  # fmt: skip
            return
        print_domains(domains)
        print_table(
            ("domain", "chosen with the same text", "chosen near-duplicates", "skipped duplicates"),
            [(d["domain"], d["exact_duplicates_selected"],
              "no clusters given" if d["near_duplicates_selected"] is None
              else d["near_duplicates_selected"], d["duplicates_passed_over"]) for d in domains],
        )  # fmt: skip
        if made.without_value:
            put(f"{made.without_value:,} documents have no {by_score} and were left out")
        put(f"manifest: {made.manifest}")


from workbench.cli import check_commands, export_commands  # noqa: E402, F401 (they add commands)
