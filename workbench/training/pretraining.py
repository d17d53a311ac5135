"""Train a small decoder from scratch on a mixture of documents, so that selections can be judged.

AdamW, gradient clipping and the paper's warm-up-stable-decay schedule (section 4.1 of the paper,
arXiv 2505.07293). One process or several: `accelerate launch` on a script that calls this splits
every batch over the devices. What a run does is settled by its recipe, its rows and its seed, so
two runs that differ in the documents only are a fair pair, and a stopped run goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, get_wsd_schedule

from workbench.core.progress import progress_bar
from workbench.corpus.document import Document
from workbench.masking.masks import masked, require_fitting
from workbench.models.heads import HeadSet
from workbench.models.model import Model, from_transformers
from workbench.training.checkpointing import Resume, write_model
from workbench.training.data import TokenRows, require_held_out
from workbench.training.mask_schedule import MaskSchedule
from workbench.training.recipe import Recipe as Recipe


@dataclass(frozen=True)
class Training:
    """What `pretrain` gives back.

    Attributes:
        model: the trained model, ready for everything else here.
        history: one row an evaluation: step, tokens, loss (mean nats a token over the training
            batches since the last row), learning_rate (that of vectors), and under a mask schedule
            masked (how many heads).
        held_out: one row an evaluation and domain: step, tokens, domain and loss (nats a token).
        checkpoints: step to the folder that `load_model` reads.
    """

    model: Model
    history: pd.DataFrame
    held_out: pd.DataFrame
    checkpoints: Mapping[int, Path]


def pretrain(
    documents: Iterable[Document],
    recipe: Recipe | None = None,
    *,
    tokenizer: PreTrainedTokenizerFast,
    weights: Sequence[float] | None = None,
    held_out: Sequence[Document] = (),
    held_out_rows: int = 16,
    evaluate_every: int | None = None,
    out: str | Path | None = None,
    save_at: Sequence[int] = (),
    save_every: int = 200,
    seed: int = 0,
    mask_schedule: MaskSchedule | None = None,
    start: Model | None = None,
) -> Training:
    """Train a decoder from scratch on documents.

    Args:
        documents: the training corpus.
        recipe: how to train; None: the defaults of `Recipe`.
        tokenizer: must have an end token (`train_tokenizer`).
        weights: how often each document comes in an epoch; None: once.
        held_out: documents that are read at each evaluation, by domain, each in its middle
            (`TokenRows.middles`), and not trained on. `held_out_split` draws them, without
            near-duplicates of what is trained on.
        held_out_rows: at most as many rows of context tokens of each domain are read, spread evenly
            over its documents in the order given.
        evaluate_every: steps between two rows of the history; None: about ten rows.
        out: a folder; None: nothing is written. The model is written there at the steps in
            `save_at` and at the end, and every `save_every` steps what is needed to go on: the same
            call takes a stopped run up again and ends with the same weights. A run of another
            recipe, data or seed in that folder is refused.
        save_at: steps at which the model is written; 0: before the first.
        save_every: steps between two states from which the run can go on.
        seed: draws the first weights and the order of the documents.
        mask_schedule: heads that are masked step by step; the model comes back without a mask.
        start: the model whose weights the training begins with, such as `grown` makes; it has the
            shape of the recipe's decoder and stays as it is. None: random ones.

    Returns:
        The model with its history, held-out losses and checkpoints.

    Raises:
        ValueError: the settings cannot be trained, a held-out text is trained on, the folder holds
            another run, or the loss is no longer a number; the message says what to change.
    """
    recipe = recipe or Recipe()
    decoder, documents = recipe.decoder, list(documents)
    data = TokenRows(documents, tokenizer, decoder.context, weights)
    require_held_out(documents, data.weights, held_out)
    asked = _held_out_rows(held_out, tokenizer, decoder.context, held_out_rows)
    every = evaluate_every or max(1, recipe.steps // 10)
    if save_at and out is None:
        raise ValueError("save_at needs a folder to write checkpoints to: pass out=")
    if out is not None and recipe.precision == "fp16":
        raise ValueError("a run in fp16 cannot be taken up again: leave out= away, or take bf16")
    if min(held_out_rows, every, save_every) < 1:
        raise ValueError(
            f"held_out_rows, evaluate_every and save_every are 1 or more; got {held_out_rows}, "
            f"{every} and {save_every}"
        )
    if not all(0 <= step <= recipe.steps for step in save_at):
        raise ValueError(f"save_at has steps from 0 to {recipe.steps}, got {list(save_at)}")
    identity = dataclasses.asdict(recipe) | {
        "data": data.digest, "seed": seed, "evaluate_every": every,
        "vocabulary": len(tokenizer),
        "held_out": {k: hashlib.sha256(v.tobytes()).hexdigest() for k, v in asked.items()},
    }  # fmt: skip
    if recipe.base_width is None:  # runs of before take up again
        del identity["base_width"]
    hf = decoder.build(tokenizer, seed)
    if start is not None:
        identity["start"] = start.identity["weights_sha256"]
        _begin_with(hf, start)
    wrapped = None if mask_schedule is None else from_transformers(hf, tokenizer)
    if mask_schedule is not None and wrapped is not None:
        identity["mask_schedule"] = mask_schedule.to_json()
        require_fitting(wrapped, mask_schedule.heads, "zero")
    loop = _Loop(recipe, hf)
    loop.wrapped = wrapped
    begun, history, losses = 0, [], []
    resume = None if out is None else Resume(Path(out), identity)
    if resume is not None:
        begun, notes = resume.load(hf, loop.optimizer)
        history, losses = notes.get("history", []), notes.get("losses", [])
        loop.accelerator.wait_for_everyone()  # all have read before the first writes
        if loop.main and not begun:
            resume.save(0, hf, loop.optimizer, {})  # from here on the folder is this run's
    loop.begin_at(begun)

    def keep(step: int) -> None:
        if loop.main and out is not None and (step in save_at or step == recipe.steps):
            write_model(checkpoint(out, step), loop.bare, tokenizer)

    if begun == 0:
        keep(0)
    rows = data.rows(seed, start=begun * recipe.batch)
    with progress_bar("training", "step", recipe.steps) as done:
        done(begun)
        for step in range(begun + 1, recipe.steps + 1):
            rate = loop.schedule.get_last_lr()[-1]  # of this step
            loop.heads = None if mask_schedule is None else mask_schedule.heads_at(step)
            losses.append(loop.step(np.stack(list(islice(rows, recipe.batch)))))
            if not math.isfinite(losses[-1]):  # before it is written over what could go on
                raise ValueError(
                    f"the loss of step {step} is {losses[-1]}: the training diverged. Lower "
                    f"learning_rate ({recipe.learning_rate:g}), lengthen warm_up "
                    f"({recipe.warm_up:g}), or lower clip ({recipe.clip:g})"
                )
            if step % every == 0 or step == recipe.steps:
                history.append({
                    "step": step, "tokens": step * recipe.tokens_a_step,
                    "learning_rate": rate, "loss": float(np.mean(losses)),
                    "held_out": loop.evaluate(asked),
                    **({} if loop.heads is None else {"masked": len(loop.heads)}),
                })  # fmt: skip
                losses = []
            keep(step)  # before the mark that this step is done
            if (
                loop.main
                and resume is not None
                and (step % save_every == 0 or step == recipe.steps)
            ):
                notes = {"history": history, "losses": losses}
                resume.save(step, loop.bare, loop.optimizer, notes)
            done(1)
    loop.accelerator.wait_for_everyone()
    steps = [] if out is None else sorted({*save_at, recipe.steps})
    saved = {step: checkpoint(out, step) for step in steps if out is not None}
    lacking = [step for step, folder in saved.items() if not folder.is_dir()]
    if lacking:
        raise ValueError(
            f"steps {lacking} had passed when they were asked for, and were not kept: take another "
            "folder, or leave them out of save_at"
        )
    model = from_transformers(loop.unwrapped(), tokenizer, source="pretrained here")
    frame = pd.DataFrame(history)
    table = [
        (row["step"], row["tokens"], domain, loss)
        for row in history for domain, loss in row["held_out"].items()
    ]  # fmt: skip
    held = pd.DataFrame(table, columns=["step", "tokens", "domain", "loss"])
    return Training(model, frame.drop(columns="held_out"), held, saved)


def checkpoint(out: str | Path, step: int) -> Path:
    """The folder of a model that a run wrote.

    Args:
        out: the folder of the run.
        step: after how many steps.

    Returns:
        Its path, whether it exists or not.
    """
    return Path(out) / f"step-{step:06}"


class _Loop:
    """Model, optimizer and schedule of one run, on whatever devices accelerate was given."""

    def __init__(self, recipe: Recipe, hf: LlamaForCausalLM) -> None:
        self.recipe = recipe
        self.wrapped: Model | None = None  # where heads are masked
        self.heads: HeadSet | None = None  # those of this step
        try:
            self.accelerator = Accelerator(mixed_precision=recipe.precision)
        except ValueError as error:  # accelerate's state is one for the process
            raise ValueError(
                f"precision {recipe.precision!r} cannot be had here ({error}). One process trains "
                "in one precision: restart it to change to another"
            ) from error
        if recipe.batch % self.accelerator.num_processes:
            raise ValueError(
                f"a batch of {recipe.batch} rows cannot be shared by "
                f"{self.accelerator.num_processes} processes evenly"
            )
        self.bare = hf
        optimizer = torch.optim.AdamW(recipe.groups(hf), betas=(0.9, 0.95))
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]  # which a schedule begun later asks for
        self.model, self.prepared = self.accelerator.prepare(hf, optimizer)
        self.optimizer = optimizer
        self.main = self.accelerator.is_main_process

    def unwrapped(self) -> LlamaForCausalLM:
        """The model without accelerate's wrappers, those that round to half precision included."""
        return self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)

    def begin_at(self, step: int) -> None:
        """The schedule from this step on; needed before the first `step`."""
        recipe = self.recipe
        warm_up = math.ceil(recipe.warm_up * recipe.steps)
        decay = min(round(recipe.decay * recipe.steps), recipe.steps - warm_up)
        self.schedule = get_wsd_schedule(
            self.optimizer, num_warmup_steps=warm_up, num_decay_steps=decay,
            num_stable_steps=recipe.steps - warm_up - decay, decay_type="linear", min_lr_ratio=0.1,
            last_epoch=step - 1,
        )  # fmt: skip

    def step(self, rows: np.ndarray) -> float:
        """One step on (batch, context) rows; returns the mean loss over all processes."""
        share = len(rows) // self.accelerator.num_processes
        first = self.accelerator.process_index * share
        self.model.train()
        with self._masked():
            loss = self._losses(rows[first : first + share]).mean()
            self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.prepared.step()
        self.schedule.step()
        self.prepared.zero_grad()
        return float(self.accelerator.reduce(loss.detach(), reduction="mean"))

    def _masked(self) -> AbstractContextManager[object]:
        if self.wrapped is None or not self.heads:
            return nullcontext()
        return masked(self.wrapped, self.heads, "zero")

    def evaluate(self, held_out: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Mean nats a token of each domain's rows."""
        self.model.eval()
        losses = {}
        with torch.no_grad(), self._masked():
            for domain, rows in held_out.items():
                parts = [self._losses(batch) for batch in _batches(rows, self.recipe.batch)]
                losses[domain] = float(torch.cat(parts).double().mean())
        return losses

    def _losses(self, rows: np.ndarray) -> torch.Tensor:
        """Nats of every predicted token of (B, T) rows, (B, T - 1), in float32."""
        ids = torch.from_numpy(rows).to(self.accelerator.device)
        logits = self.model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        flat = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        return flat.view(len(ids), -1)


def _begin_with(hf: LlamaForCausalLM, start: Model) -> None:
    """Copy the weights of a model of the same shape."""
    given = start.hf.state_dict()
    shapes = {name: tuple(weight.shape) for name, weight in hf.state_dict().items()}
    wrong = [
        n for n in {*given, *shapes} if n not in given or shapes.get(n) != tuple(given[n].shape)
    ]
    if wrong:
        raise ValueError(
            f"the model to start from has another shape than the recipe's decoder: {len(wrong)} "
            f"weights differ, such as {min(wrong)!r}. Give a recipe with a Decoder of its shape"
        )
    hf.load_state_dict({name: weight.clone() for name, weight in given.items()})


def _held_out_rows(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerFast, length: int, most: int
) -> dict[str, np.ndarray]:
    domains: dict[str, list[Document]] = {}
    for document in documents:
        domains.setdefault(document.domain, []).append(document)
    held_out = {}
    for domain, of_domain in sorted(domains.items()):
        try:
            rows = TokenRows(of_domain, tokenizer, length).middles(-(-most // len(of_domain)))
        except ValueError as error:
            raise ValueError(f"held-out domain {domain!r:.100}: {error}") from error
        spread = np.linspace(0, len(rows) - 1, min(most, len(rows)))
        held_out[domain] = rows[spread.round().astype(int)]
    return held_out


def _batches(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
