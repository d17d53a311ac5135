"""The command `workbench`: thin commands over the package.

Progress and messages go to standard error, results to standard output; with --json the output is
one JSON object and nothing else. The exit code is 0 only on success.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find the retrieval heads of a small language model, mask them, and select pretraining "
    "documents by what the model then loses (AttentionInfluence, arXiv 2505.07293).",
)
messages = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="Folder, .gguf file or Hugging Face id [default: embedded]."),
]
Revision = Annotated[str | None, typer.Option(help="Revision of a Hugging Face id.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")]
IdColumn = Annotated[str, typer.Option(help="Column with the document id.")]
TextColumn = Annotated[str, typer.Option("--text", help="Column with the text.")]
DomainColumn = Annotated[str, typer.Option("--domain", help="Column with the domain.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path(
        "demo-run"
    ),
    overwrite: Annotated[bool, typer.Option(help="Replace scores of other settings.")] = False,
    as_json: AsJson = False,
) -> None:
    """Do the whole road once, from the embedded model to a verified manifest."""
    with _reported(as_json):
        from workbench.demo import run

        report = run(out, messages.print, overwrite=overwrite)
        if as_json:
            _print_json(report)
        else:
            _print_demo(report)


@app.command()
def fetch(as_json: AsJson = False) -> None:
    """Fetch the embedded model and convert it into the user's cache (once)."""
    with _reported(as_json):
        from workbench.embedded import ensure

        folder = ensure()
        if as_json:
            _print_json({"folder": str(folder)})
        else:
            print(f"the embedded model is in {folder}")


@app.command()
def certify(
    model: ModelName = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Try out on a model that masks, losses and detection are right on it."""
    with _reported(as_json):
        import workbench as wb

        loaded = wb.load_model(model, revision=revision, device=device, dtype=dtype, certify=False)
        certificate = wb.certify(loaded)
        if as_json:
            _print_json({"model": loaded.identity, **certificate.to_json()})
        else:
            _print_table(
                ("", "check", "measured", "limit", "tested"),
                [("ok" if one.passed else "FAILED", one.name, one.found, one.allowed, one.tested)
                 for one in certificate.checks],
            )  # fmt: skip
            print(certificate.heading)
        if not certificate.ok:
            raise typer.Exit(1)


@app.command()
def detect(
    model: ModelName = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
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
    with _reported(as_json):
        import workbench as wb
        from workbench.files import write_atomically

        for path in filter(None, (out, scores_out)):  # before the work, not after it
            path.parent.mkdir(parents=True, exist_ok=True)
        loaded = wb.load_model(model, revision=revision, device=device, dtype=dtype)
        found = list(wb.read_corpus(list(texts))) if texts else None
        prose = [one.text for one in found if isinstance(one, wb.Document)] if found else None
        made = wb.make_probes(loaded, n=probes, max_tokens=max_tokens, seed=seed, texts=prose)
        scores = wb.retrieval_scores(loaded, made)
        heads = wb.HeadSet.top(scores, fraction)
        write_atomically(out, json.dumps(heads.to_json(), indent=2).encode())
        if scores_out:
            write_atomically(scores_out, scores.to_csv(index=False).encode())
        best = scores.sort_values("score", ascending=False).head(len(heads) + 1)
        if as_json:
            records = json.loads(best.to_json(orient="records"))
            _print_json({**heads.to_json(), "highest": records, "file": str(out)})
        else:
            rows = [
                (f"L{r.layer}H{r.head}", f"{r.score:.3f}", f"{r.low:.3f} to {r.high:.3f}")
                for r in best.itertuples()
            ]
            _print_table(("head", "score", "95 % interval"), rows)
            print(f"{len(heads)} heads (above the last line) written to {out}: {heads}")


@app.command()
def score(
    corpus: Annotated[
        list[str] | None, typer.Argument(help="Files or folders, or one hf:// data set.")
    ] = None,
    heads: Annotated[str, typer.Option(help="heads.json, or names such as 'L17H3 L18H6'.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for scores; a run goes on in it.")] = Path(
        "run"
    ),
    environment: Annotated[
        int | None, typer.Option(help="Score this many documents of the Python environment.")
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
    overwrite: Annotated[bool, typer.Option(help="Replace scores of other settings.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score every document of a corpus."""
    with _reported(as_json):
        import workbench as wb

        if (environment is None) == (not corpus):
            raise ValueError("give either files to score, or --environment N")
        if not heads:
            raise ValueError("say which heads to mask: --heads heads.json (see `workbench detect`)")
        loaded = wb.load_model(model, revision=revision, device=device, dtype=dtype)
        chosen = _heads(heads, loaded)
        documents: Any = corpus
        if corpus and corpus[0].startswith("hf://"):
            documents = corpus[0]
        elif environment is not None:
            documents = wb.environment_corpus(max_documents=environment)
        table = wb.score_corpus(
            loaded, chosen, documents, out=out, mode=mode,  # type: ignore[arg-type]
            window=window, max_tokens=max_tokens, id=id, text=text, domain=domain,
            overwrite=overwrite,
        )  # fmt: skip
        counts = table.attrs["run"]["documents"]
        if not counts["scored"]:
            raise ValueError(
                f"none of {counts['read']} documents could be scored, see {out / 'skipped.jsonl'}"
            )
        if as_json:
            _print_json({"documents": counts, "folder": str(out)})
            return
        means = table.groupby("domain")[["score", "loss_base", "loss_ref", "tokens"]].mean()
        _print_table(
            ("domain", "score", "base loss", "masked loss", "tokens"),
            [(r.Index, f"{r.score:.3f}", f"{r.loss_base:.3f}", f"{r.loss_ref:.3f}",
              f"{r.tokens:.0f}") for r in means.itertuples()],
        )  # fmt: skip
        print(f"{counts['scored']} of {counts['read']} documents scored in {out}, "
              f"{counts['skipped']} skipped (see {out / 'skipped.jsonl'})")  # fmt: skip


@app.command("select")
def select_(
    folder: Annotated[Path, typer.Argument(help="Folder written by `workbench score`.")],
    fraction: Annotated[float, typer.Option(help="Share of each domain to take.")] = 0.20,
    by: Annotated[str, typer.Option(help="documents or tokens.")] = "documents",
    as_json: AsJson = False,
) -> None:
    """Choose the top of each domain and write the manifest."""
    with _reported(as_json):
        import workbench as wb

        chosen = wb.select(wb.load_scores(folder), fraction=fraction, by=by)  # type: ignore[arg-type]
        manifest = wb.write_manifest(chosen, folder)
        domains = json.loads(chosen.domains.to_json(orient="records"))
        if as_json:
            _print_json({"manifest": str(manifest), "domains": domains})
        else:
            _print_domains(domains)
            print(f"manifest: {manifest}")


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
    with _reported(as_json):
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
            _print_json({"ok": report.ok, "checks": checks})
        else:
            print(report)
        if not report.ok:
            raise typer.Exit(1)


# ---- shared by the commands -------------------------------------------------------------------


@contextmanager
def _reported(as_json: bool) -> Iterator[None]:
    """Turn what the user can mend into one readable message and exit code 1."""
    try:
        yield
    except typer.Exit:  # it is a RuntimeError, but no error
        raise
    except KeyboardInterrupt:
        messages.print("stopped; what was finished is kept, the same command goes on from there")
        raise typer.Exit(130) from None
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if as_json:
            _print_json({"error": str(error), "kind": type(error).__name__})
        messages.print(f"workbench: {error}", style="red", markup=False)
        raise typer.Exit(1) from None


def _heads(text: str, model: Any) -> Any:
    from workbench.heads import HeadSet

    if text.endswith(".json"):
        return HeadSet.from_json(Path(text).read_text(encoding="utf-8"))
    return HeadSet.parse(text, model)


def _print_json(value: dict[str, Any]) -> None:
    json.dump(value, sys.stdout, indent=2)
    print()


def _print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(*header)
    for row in rows:
        # Domain names come from the corpus: no markup, no escape sequences for the terminal.
        table.add_row(*("".join(c for c in str(x) if c.isprintable()) for x in row))
    Console(markup=False, highlight=False).print(table)


def _print_domains(domains: list[dict[str, Any]]) -> None:
    rows = [
        (d["domain"], f"{d['threshold']:.3f}", f"{d['documents_selected']}/{d['documents_seen']}",
         f"{d['tokens_share']:.0%}")
        for d in domains
    ]  # fmt: skip
    _print_table(("domain", "cut at score", "documents chosen", "share of tokens"), rows)


def _print_demo(report: dict[str, Any]) -> None:
    checks = report["certificate"]["checks"]
    passed = sum(one["passed"] for one in checks)
    print(f"\n{report['model']}\ncertificate: {passed} of {len(checks)} checks passed")
    print(f"retrieval heads: {report['heads']}\n")
    rows = [(k, f"{v['loss']:.2f}", f"{v['accuracy']:.0%}") for k, v in report["lookups"].items()]
    _print_table(("masked heads", "loss on lookups (nats)", "tokens right"), rows)
    _print_domains(report["domains"])
    repetition = ", ".join(f"{k} {v:+.2f}" for k, v in report["score_and_repetition"].items())
    print(
        "Read the ranking with care: the score follows repetition. Spearman with the compression "
        f"ratio (low = repetitive): {repetition}\n"
    )
    print(f"manifest   {report['manifest']}  (verified: {report['verified']})")
    for path in report["figures"]:
        print(f"figure     {path}")
    print("notebooks  make lab")
