"""Questions about the objects of lookup probes: with the true key, a wrong one, an absent one.

A retrieval score is taken while the true answer is fed, so a head can score on all answer tokens
but the first without any key. Whether a key is used shows only in the first token, and in answers
that the model gives by itself. Both follow from the logits at the answer, in one pass:

- the first token is right if it has the highest logit after the question;
- the *greedy answer* is the value, token for token, exactly if every answer token has the highest
  logit given those before it; and as far as that holds, greedy decoding goes the same way.

The questions of one object share its tokens and those of the demonstrations, which are computed
once for each head set (`workbench.masking.continuations`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from workbench.core.progress import track
from workbench.detection.probe_controls import read_back
from workbench.detection.probes import SHOTS, Probe, Probes, build_probe, random_key
from workbench.detection.retrieval import require_tokenizer
from workbench.masking.continuations import continuation_logits
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model

KEYS = ("true", "shuffled", "absent")
HEADS = ("base", "masked", "random")
MEASURES = ("first_loss", "first_accuracy", "greedy_exact", "greedy_share")


@dataclass(frozen=True)
class Question:
    """One question about the object of a probe.

    Attributes:
        number: which pair is asked for, counted within the probe.
        keys: "true", "shuffled" or "absent".
        row: the object, the demonstrations and the question as tokens, with the fed answer.
    """

    number: int
    keys: str
    row: Probe


def lookup_answers(
    model: Model,
    probes: Probes,
    heads: HeadSet,
    *,
    questions: int = 3,
    mode: Mode = "uniform",
    seed: int = 0,
) -> pd.DataFrame:
    """How the model answers questions about the probes' objects, with heads masked and without.

    Each question is asked three times. With the *true* key the answer is the value that stands
    beside it. With keys *shuffled* the key of another value is asked for, and the same answer is
    expected: as in `probe_controls.shuffled_keys` the asked key stands beside a wrong value, and
    the expected one beside a key that nobody asks for. An *absent* key stands nowhere in the text.

    Args:
        model: the model, with no head masked.
        probes: probes of `make_probes`, unchanged.
        heads: the heads in question.
        questions: how many values of each object are asked for (fewer where it holds fewer that are
            not demonstrated).
        mode: what a masked head does instead (see `masked`).
        seed: seed of the questions and of the random heads.

    Returns:
        One row a probe, question, keys ("true", "shuffled", "absent") and heads ("base": none is
        masked; "masked": those in question; "random": as many others, drawn anew for each probe,
        so that an interval over probes holds the spread of the draws, too), with first_loss (nats
        of the answer's first token), first_accuracy (1 if it is the model's first choice),
        greedy_exact (1 if the greedy answer is the value, token for token), and greedy_share (share
        of the answer's tokens that it gets right before its first wrong one).

    Raises:
        ValueError: the probes were made with another tokenizer or cannot be read back, an object
            holds fewer than two pairs besides the demonstrated ones, or there are fewer other heads
            than `heads`.
    """
    require_tokenizer(model, probes)
    if questions < 1:
        raise ValueError(f"questions must be at least 1, got {questions}")
    rng = np.random.default_rng(seed)
    rows = []
    for number in track(range(len(probes)), "asking for values by key", "probe"):
        others = HeadSet.random(model, exclude=heads, seed=int(rng.integers(2**32)))
        asked = questions_about(model, probes, number, questions, rng)
        for question, column, values in _answered(model, asked, [None, heads, others], mode):
            rows.append((number, question.number, question.keys, HEADS[column], *values))
    return pd.DataFrame(rows, columns=["probe", "question", "keys", "heads", *MEASURES])


def questions_about(
    model: Model, probes: Probes, number: int, questions: int, rng: np.random.Generator
) -> list[Question]:
    """The questions about the object of one probe; the first asks for what the probe asks for.

    Args:
        model: the model whose tokenizer made the probes.
        probes: probes of `make_probes`, unchanged.
        number: which probe.
        questions: how many values are asked for at most.
        rng: draws the other values, and the keys.

    Returns:
        For each value one question with each of `KEYS`.

    Raises:
        ValueError: the object holds fewer than two pairs that are not demonstrated.
    """
    pairs, chosen = read_back(model, probes, number)
    shown, own = chosen[:-1], chosen[-1]
    free = [int(i) for i in rng.permutation([i for i in range(len(pairs)) if i not in chosen])]
    if not free:
        raise ValueError(
            f"probe {number} holds {len(pairs)} pairs, {SHOTS} of them demonstrated: another key "
            f"can be asked for from {SHOTS + 2} pairs on. Make longer probes (max_tokens)"
        )
    asked = []
    for count, i in enumerate([own, *free][:questions]):
        wrong = _another(model, [value for _, value in pairs], i, [*free, own])
        keys = {"true": None, "shuffled": pairs[wrong][0], "absent": random_key(rng)}
        asked += [
            Question(count, name, build_probe(model, pairs, [*shown, i], asked_key=keys[name]))
            for name in KEYS
        ]
    return asked


def _another(model: Model, values: Sequence[str], own: int, others: Sequence[int]) -> int:
    """Another value, one that begins with another token where there is one."""
    start = model.encode(values[own])[0]
    candidates = [i for i in others if i != own]
    return next((i for i in candidates if model.encode(values[i])[0] != start), candidates[0])


def _answered(
    model: Model, questions: Sequence[Question], sets: Sequence[HeadSet | None], mode: Mode
) -> Iterator[tuple[Question, int, tuple[float, ...]]]:
    """Each question under each head set, with the four measures of its answer."""
    rows = [question.row for question in questions]
    least = min(row.answer[0] for row in rows)
    ids = np.array([row.ids[:least] for row in rows])
    differing = np.flatnonzero((ids != ids[0]).any(axis=0))
    common = int(differing[0]) if len(differing) else least
    # At least one token for the text that they share, at least one for each question.
    shared = [*model.bos_ids, *rows[0].ids[:common]]
    branches = [row.ids[common : row.answer[1]] for row in rows]
    predicted = [row.answer[1] - row.answer[0] for row in rows]
    for column, number, logits in continuation_logits(
        model, shared, branches, predicted, sets, mode
    ):
        row = rows[number]
        answer = torch.tensor(row.ids[slice(*row.answer)], device=logits.device)
        yield questions[number], column, measured(logits, answer)


def measured(logits: torch.Tensor, answer: torch.Tensor) -> tuple[float, float, float, float]:
    """The four measures of an answer (see `lookup_answers`).

    Args:
        logits: what predicts the answer's tokens, each given those before it; (R, vocabulary).
        answer: the answer's tokens, (R,).
    """
    right = (logits.argmax(dim=-1) == answer).double()
    return (
        float(torch.nn.functional.cross_entropy(logits[:1], answer[:1])),
        float(right[0]),
        float(right.min()),
        float(right.cumprod(dim=0).mean()),
    )
