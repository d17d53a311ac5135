"""The workflow end to end on the embedded model and corpus: what `workbench demo` does.

Small enough for a laptop: a few minutes the first time, less than one when run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench import figures
from workbench.analysis.confounding import confounds
from workbench.cli.shared import print_domains, print_table, put
from workbench.core.files import write_atomically
from workbench.corpus.boilerplate import shared_ngrams
from workbench.corpus.environment import environment_corpus
from workbench.detection.probes import make_probes
from workbench.detection.retrieval import lookup_losses, retrieval_scores
from workbench.loading.certificate import certify
from workbench.loading.load import load_model
from workbench.manifest.verification.verify import verify_manifest
from workbench.manifest.writing import write_manifest
from workbench.models.heads import HeadSet
from workbench.scoring.run import score_corpus
from workbench.selection.ranking import select

DOCUMENTS = 64
MAX_TOKENS = 256  # of each document; the manifest says so


def run(folder: Path, say: Callable[[str], None], *, overwrite: bool = False) -> dict[str, Any]:
    """Run the whole workflow: detect heads, score a corpus, select, and verify the manifest.

    Args:
        folder: for everything that is made.
        say: is called with what happens, a line a step.
        overwrite: set scores of other settings in the folder aside.

    Returns:
        The report, of values that JSON holds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    say("1/5  loading the model (the first time it is fetched and converted)")
    model = load_model()
    corpus = environment_corpus(max_documents=DOCUMENTS, seed=0)

    say("2/5  finding its retrieval heads")
    probes = make_probes(model, n=8, max_tokens=640, seed=0)
    scores = retrieval_scores(model, probes)
    heads = HeadSet.top(scores)
    write_atomically(folder / "heads.json", json.dumps(heads.to_json(), indent=2).encode())

    say("3/5  masking them, and as many random ones, on new lookups")
    controls = [HeadSet.random(scores, exclude=heads, seed=seed) for seed in range(2)]
    fresh = make_probes(model, n=4, max_tokens=512, seed=1)
    lookups = lookup_losses(model, fresh, [None, heads, *controls])

    say(f"4/5  scoring {len(corpus)} documents of this Python environment")
    table = score_corpus(
        model, heads, corpus, out=folder, max_tokens=MAX_TOKENS, shard_size=8, overwrite=overwrite
    )

    say("5/5  selecting the top 20 % of each domain, writing and verifying the manifest")
    chosen = select(table, fraction=0.20)
    manifest = write_manifest(
        chosen, folder, corpus_note="documents of the Python environment (environment_corpus)"
    )
    verification = verify_manifest(folder, model=model, corpus=corpus, sample=2)

    labels = ["no mask", "detected", *(f"random {i + 1}" for i in range(len(controls)))]
    drawn = {
        "heads": figures.head_map(scores, heads),
        "ranked-heads": figures.ranked_heads(scores),
        "lookups": figures.lookup_bars(lookups, labels),
        "influence": figures.influence_histogram(chosen),
        "confounds": figures.confound_panel(table, shared_ngrams(corpus)),
    }
    (folder / "figures").mkdir(exist_ok=True)
    paths = {name: folder / "figures" / f"{name}.html" for name in drawn}
    for name, figure in drawn.items():
        # One copy of plotly's script beside the figures: they open without a network.
        figure.write_html(paths[name], include_plotlyjs="directory")

    repetition = confounds(table).query("confound == 'repetition'")
    means = lookups.groupby("column")[["loss", "accuracy"]].mean()
    certificate = certify(model)
    return {
        "model": repr(model),
        "certificate": certificate.to_json(),
        "heads": str(heads),
        "lookups": {
            label: values
            for label, values in zip(labels, means.round(3).to_dict("records"), strict=True)
        },
        "documents": table.run["documents"],
        "domains": json.loads(chosen.domains.round(4).to_json(orient="records")),
        "score_and_repetition": {
            domain: round(value, 2)
            for domain, value in repetition.set_index("domain")["spearman"].to_dict().items()
        },
        "manifest": str(manifest),
        "verified": verification.ok,
        "figures": [str(path) for path in paths.values()],
    }


def print_report(report: dict[str, Any]) -> None:
    """Print what the workflow found.

    Args:
        report: what `run` returned.
    """
    checks = report["certificate"]["checks"]
    passed = sum(check["passed"] for check in checks)
    put(f"\n{report['model']}\ncertificate: {passed} of {len(checks)} checks passed")
    put(f"retrieval heads: {report['heads']}\n")
    rows = [(k, f"{v['loss']:.2f}", f"{v['accuracy']:.0%}") for k, v in report["lookups"].items()]
    print_table(("masked heads", "loss on lookups (nats)", "tokens right"), rows)
    print_domains(report["domains"])
    repetition = ", ".join(f"{k} {v:+.2f}" for k, v in report["score_and_repetition"].items())
    put(
        "Read the ranking with care: the score may follow repetition. Spearman with the share of "
        f"the scored tokens that repeat: {repetition}\n"
    )
    put(f"manifest   {report['manifest']}  (verified: {report['verified']})")
    for path in report["figures"]:
        put(f"figure     {path}")
    put("notebooks  make lab")
