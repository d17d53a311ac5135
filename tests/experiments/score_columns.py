"""Which column of scores finds reasoning? The real chains and the planted world, on any model.

    PYTHONPATH=tests python -m experiments.score_columns OUT

writes token losses to the folder OUT, where they are found again, so that another column costs no
pass; then prints the tests, and stores them as OUT/score_tests.csv. With the default model, 14
heads and one random set it takes about 15 minutes of one core; the four selectors of the planted
world take two and a half minutes each.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import workbench as wb
from experiments.candidate_columns import COLUMNS, earlier_matches
from workbench.masking.losses import losses_of_ids
from workbench.training.decoder import Decoder
from workbench.training.planted_documents import planted_kinds

FOURTEEN = "L17H3 L17H4 L17H5 L18H6 L18H7 L20H5 L20H6 L21H8 L22H7 L23H1 L23H2 L23H7 L23H8 L24H2"
CHAINS = ("BBH", "MMLU", "GSM8K", "MATH")
SELECTORS = (  # variant of the world, and what else the selector was trained on
    ("literal", None), ("new_contexts", "literal"), ("programs", None), ("programs", "literal"),
)  # fmt: skip
OTHERS = {"first": 240, "held-out": 150}
TOKENS = 256  # read of each text
COMPARED = ("raw", "low base loss")


def random_sets(model: wb.Model, heads: wb.HeadSet, count: int) -> list[wb.HeadSet]:
    """Sets of as many other heads, from seeds 0 on."""
    return [
        wb.HeadSet.random(model, exclude=heads, seed=seed, size=len(heads)) for seed in range(count)
    ]


def losses_of(
    model: wb.Model, sets: Sequence[wb.HeadSet | None], documents: Sequence[wb.Document], file: Path
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The tokens of each document and its losses, (sets, T - 1), from the file if it is there."""
    if not file.exists():
        ids = [model.encode(document.text)[:TOKENS] for document in documents]
        rows = [np.stack(losses) for losses in losses_of_ids(model, ids, sets)]
        np.savez_compressed(
            file, ids=np.concatenate(ids), losses=np.concatenate(rows, axis=1),
            lengths=[len(tokens) for tokens in ids],
        )  # fmt: skip
    with np.load(file) as stored:
        lengths, ids, losses = stored["lengths"], stored["ids"], stored["losses"]
    if len(lengths) != len(documents):
        raise ValueError(f"{file.name} holds {len(lengths)} documents, not {len(documents)}")
    if len(losses) != len(sets):
        raise ValueError(f"{file.name} holds losses of {len(losses)} head sets, not {len(sets)}")
    ids = np.split(ids, np.cumsum(lengths)[:-1])
    return list(zip(ids, np.split(losses, np.cumsum(lengths - 1)[:-1], axis=1), strict=True))


def columns_of(
    documents: Sequence[wb.Document],
    kinds: Sequence[str],
    losses: Sequence[tuple[np.ndarray, np.ndarray]],
) -> pd.DataFrame:
    """One row a document: doc_id, kind, what is matched on, and every column."""
    rows = []
    for document, kind, (ids, (base, masked, *controls)) in zip(
        documents, kinds, losses, strict=True
    ):
        base, masked = base.astype(float), masked.astype(float)
        others = np.array(controls, float).reshape(-1, len(base))
        rows.append({
            "doc_id": document.doc_id, "kind": kind, "loss_base": base.mean(),
            "repeated": float((earlier_matches(ids)[0] >= 1).mean()),
            "tokens": float(np.log(len(ids))),
            **{name: column(ids, base, masked, others) for name, column in COLUMNS.items()},
        })  # fmt: skip
    return pd.DataFrame(rows)


def real_documents(part: str) -> list[wb.Document]:
    """The chains of a part and other text of their length, from the middle of documents."""
    chains = wb.reasoning_chains(part)
    return [*chains, *wb.other_texts(chains, OTHERS[part], part=part)]


def real_tests(table: pd.DataFrame) -> wb.ScoreTests:
    """The tests on real chains."""
    return wb.judge_scores(table, CHAINS, list(COLUMNS), baselines=COMPARED)


def planted_tests(table: pd.DataFrame) -> wb.ScoreTests:
    """The tests in a planted world: what the highest tenth is."""
    return wb.judge_scores(table, ["lookup"], list(COLUMNS), match=(), fraction=0.1)


def planted_table(
    variant: str,
    beside: str | None,
    out: Path,
    *,
    decoder: Decoder | None = None,
    documents: int = 2000,
    seed: int = 11,
    controls: int = 5,
) -> pd.DataFrame:
    """Train a selector in a variant of the planted world, and score documents of it.

    The heads are the highest quarter (three of twelve in the default decoder) by retrieval score
    on 100 probes of the variant.
    """
    name = f"{variant}-{beside or 'alone'}"
    if decoder is not None:
        name += f"-{decoder.layers}x{decoder.width}"
    model = wb.planted_selector(
        variant, decoder=decoder, beside=beside, out=out / f"selector-{name}"
    ).model
    scores = wb.retrieval_scores(model, wb.planted_probes(model, variant, n=100), bootstrap=1)
    heads = wb.HeadSet.top(scores, fraction=0.25)
    world = wb.planted_world(documents, variant, seed=seed)
    sets = [None, heads, *random_sets(model, heads, controls)]
    losses = losses_of(model, sets, world, out / f"planted-{name}-{seed}.npz")
    return columns_of(world, planted_kinds(world), losses)


def main(out: Path, controls: int) -> None:
    """All of it, printed and stored."""
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    model = wb.load_model()
    heads = wb.HeadSet.parse(FOURTEEN, model)
    sets = [None, heads, *random_sets(model, heads, controls)]
    for part in OTHERS:
        documents = real_documents(part)
        losses = losses_of(model, sets, documents, out / f"{part}.npz")
        kinds = [document.domain for document in documents]
        tests = real_tests(columns_of(documents, kinds, losses))
        found[f"chains, {part}"] = tests.frame
        print(part, tests, tests.matching, sep="\n")
    for variant, beside in SELECTORS:
        tests = planted_tests(planted_table(variant, beside, out))
        found[f"{variant}, beside {beside or 'nothing'}"] = tests.frame
        print(f"{variant}, beside {beside or 'nothing'}", tests, sep="\n")
    rows = pd.concat(found, names=["world"]).reset_index("world")
    rows.round(4).to_csv(out / "score_tests.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for losses and selectors")
    parser.add_argument("--controls", type=int, default=1, help="random head sets")
    arguments = parser.parse_args()
    main(arguments.out, arguments.controls)
