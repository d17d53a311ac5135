"""What repeating costs: passages put into the training some times over, and asked for afterwards.

The audit of Hubble (Wei and others, arXiv 2510.19811): passages are drawn by lot to be inserted 0,
1, 4, 16, 64 or 256 times, so what sets them apart afterwards is how often they were seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedTokenizerFast

from workbench.core.intervals import percentile_interval
from workbench.corpus.document import Document
from workbench.models.model import Model
from workbench.training.data import TokenRows
from workbench.training.pretraining import pretrain
from workbench.training.recipe import Recipe

COPIES = (0, 1, 4, 16, 64, 256)
NEVER = -1  # the group that nothing was inserted of, which the others are told from
Order = Literal["mixed", "first half", "second half"]


@dataclass(frozen=True, eq=False, repr=False)
class MemorisationAudit:
    """What was measured of each passage.

    Attributes:
        passages: one row a passage and part: part (share of the documents trained on), copies (-1
            for the reference), seen (copies times epochs), doc_id, loss (nats a token), and
            verbatim (share of its second half that greedy decoding gives back, after its first
            half, before the first wrong token).
        models: the trained model of each part.
    """

    passages: pd.DataFrame
    models: dict[float, Model]

    def by_copies(self, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
        """Memorisation by how often passages were inserted.

        Args:
            draws: resamples of the bootstrap.
            seed: of the bootstrap.

        Returns:
            One row a part and number of copies: part, copies, seen, passages, loss (mean nats a
            token), auc (how often a passage has a lower loss than one of the reference; .5 tells
            nothing) with low and high (95 % percentile bootstrap over passages of both), verbatim
            (mean) and whole (share of passages given back to the end).
        """
        rows, rng = [], np.random.default_rng(seed)
        for part, of_part in self.passages.groupby("part"):
            never = of_part.loc[of_part["copies"] == NEVER, "loss"].to_numpy()
            for copies, group in of_part[of_part["copies"] >= 0].groupby("copies"):
                lower = group["loss"].to_numpy()[:, None] < never
                inside = rng.integers(0, len(lower), (draws, len(lower)))
                across = rng.integers(0, len(never), (draws, len(never)))
                drawn = [lower[a][:, b].mean() for a, b in zip(inside, across, strict=True)]
                low, high = percentile_interval(np.array(drawn))
                rows.append({
                    "part": part, "copies": copies, "seen": group["seen"].iloc[0],
                    "passages": len(group), "loss": group["loss"].mean(), "auc": lower.mean(),
                    "low": float(low), "high": float(high), "verbatim": group["verbatim"].mean(),
                    "whole": (group["verbatim"] == 1).mean(),
                })  # fmt: skip
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return f"MemorisationAudit\n{self.by_copies(draws=200).round(2).to_string(index=False)}"


def memorisation_audit(
    documents: Sequence[Document],
    recipe: Recipe | None = None,
    *,
    tokenizer: PreTrainedTokenizerFast,
    passages: Sequence[Document],
    copies: Sequence[int] = COPIES,
    each: int | None = None,
    parts: Sequence[float] = (1.0,),
    order: Order = "mixed",
    seed: int = 0,
) -> MemorisationAudit:
    """Insert passages into a corpus, train on it, and ask what was learnt by heart.

    Args:
        documents: the corpus; it must hold none of the passages.
        recipe: how to train on all of it; None: the defaults of `Recipe`.
        tokenizer: must have an end token.
        passages: texts of one kind, at least 3 tokens each and no longer than the context, which
            are drawn into groups.
        copies: how often those of each group are inserted.
        each: how many passages are inserted so often, for each number of copies; what is left is
            the reference, and by halves the group of 0 copies. None: evenly.
        parts: shares of the documents to train on, one training each, in (0, 1]. Each goes through
            its corpus as often as the recipe's steps go through the whole one, so passages are seen
            equally often, among fewer or more other documents.
        order: "mixed" spreads the passages over the training; the others train on half of the
            documents after the other, and insert the passages into one of them.
        seed: of the draw of the passages, the first weights, and the order of the documents.

    Returns:
        What was measured.

    Raises:
        ValueError: there are too few passages, one of them is too short or too long or stands in
            the corpus, a setting is out of range, or the settings cannot be trained.
    """
    recipe = recipe or Recipe()
    copies = sorted(set(copies))
    if not copies or copies[0] < 0 or order not in ("mixed", "first half", "second half"):
        raise ValueError(
            "copies are numbers from 0, and order is 'mixed', 'first half' or 'second half'; got "
            f"{copies} and {order!r:.30}"
        )
    if not parts or not all(0 < part <= 1 for part in parts):
        raise ValueError(f"parts are shares of the documents, in (0, 1]; got {list(parts)}")
    often = [count for count in copies if count]
    each = len(passages) // (len(often) + 2) if each is None else each
    left = len(passages) - each * len(often)
    if each < 2 or left < 4:
        raise ValueError(
            f"{len(passages)} passages are too few for {each} of each number of copies: take 2 or "
            f"more of each, and 4 or more must be left"
        )
    ids = TokenRows(passages, tokenizer, 1).ids
    if not all(4 <= len(x) <= recipe.decoder.context for x in ids):
        raise ValueError(
            f"a passage has from 3 to {recipe.decoder.context - 1} tokens; got "
            f"{min(map(len, ids)) - 1} to {max(map(len, ids)) - 1}"
        )
    known = {document.text for document in documents}
    if twice := [passage.doc_id for passage in passages if passage.text in known]:
        raise ValueError(f"{len(twice)} passages stand in the corpus, such as {twice[0]!r:.100}")
    drawn = np.random.default_rng(seed).permutation(len(passages))
    group = np.full(len(passages), NEVER)
    for number, count in enumerate(often):
        group[drawn[number * each : (number + 1) * each]] = count
    if 0 in copies:  # half of what nothing is inserted of
        group[drawn[len(passages) - left // 2 :]] = 0
    inserted = [(passage, int(n)) for passage, n in zip(passages, group, strict=True) if n > 0]
    rows, models = [], {}
    whole = _Mixture(list(documents), inserted, recipe, tokenizer)
    for part in parts:
        own = _Mixture(list(documents[: max(2, round(part * len(documents)))]), *whole[1:])
        steps = max(2, round(recipe.steps * own.tokens(True) / whole.tokens(True)))
        model, epochs = _trained(own, steps, order, seed)
        models[part] = model
        for passage, tokens, count in zip(passages, ids, group, strict=True):
            loss, verbatim = _asked(model, tokens[:-1], tokenizer)
            rows.append({
                "part": part, "copies": int(count), "seen": max(int(count), 0) * epochs,
                "doc_id": passage.doc_id, "loss": loss, "verbatim": verbatim,
            })  # fmt: skip
    return MemorisationAudit(pd.DataFrame(rows), models)


class _Mixture(NamedTuple):
    """Documents, the passages to insert with their numbers, and what trains on them."""

    documents: list[Document]
    inserted: list[tuple[Document, int]]
    recipe: Recipe
    tokenizer: PreTrainedTokenizerFast

    def texts(self, inside: bool) -> tuple[list[Document], list[float]]:
        """All documents with their weights, the passages among them or not."""
        extra = self.inserted if inside else []
        every = [*self.documents, *(passage for passage, _ in extra)]
        return every, [1.0] * len(self.documents) + [float(n) for _, n in extra]

    def tokens(self, inside: bool) -> float:
        """Tokens of one epoch."""
        every, weights = self.texts(inside)
        return TokenRows(every, self.tokenizer, 2, weights).tokens

    def run(
        self, steps: int, inside: bool, seed: int, start: Model | None = None
    ) -> tuple[Model, float]:
        """The trained model, and how many epochs that was."""
        every, weights = self.texts(inside)
        recipe = dataclasses.replace(self.recipe, steps=steps)
        trained = pretrain(
            every, recipe, tokenizer=self.tokenizer, weights=weights, seed=seed, start=start
        )
        return trained.model, steps * recipe.tokens_a_step / self.tokens(inside)


def _trained(mixture: _Mixture, steps: int, order: Order, seed: int) -> tuple[Model, float]:
    """The trained model, and how many epochs there were of the part with the passages."""
    if order == "mixed":
        return mixture.run(steps, True, seed)
    half = len(mixture.documents) // 2
    parts = mixture.documents[:half], mixture.documents[half:]
    model, epochs = None, 0.0
    for documents, inside in zip(
        parts, (order == "first half", order == "second half"), strict=True
    ):
        model, now = mixture._replace(documents=documents).run(steps // 2, inside, seed, model)
        epochs = now if inside else epochs
    assert model is not None
    return model, epochs


def _asked(
    model: Model, ids: np.ndarray, tokenizer: PreTrainedTokenizerFast
) -> tuple[float, float]:
    """Nats a token of a passage, and the share of its second half that comes back verbatim."""
    row = torch.tensor([[tokenizer.eos_token_id, *ids]], device=model.device)
    with torch.no_grad():
        logits = model(input_ids=row, use_cache=False).logits[0, :-1].float()
    loss = torch.nn.functional.cross_entropy(logits, row[0, 1:])
    # As long as all before it is right, the next token of greedy decoding is this one.
    right = (logits.argmax(dim=-1) == row[0, 1:])[len(ids) // 2 :]
    return float(loss), float(right.long().cumprod(0).float().mean())
