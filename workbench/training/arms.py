"""Does training on a selection help? Paired runs on mixtures that differ in nothing else.

The paper trains on the full corpus plus the selected part against the full corpus alone (Figure 1,
Table 1). Here every mixture is trained with the same recipe, the same number of tokens and the same
seeds: the runs of one seed share their first weights. Differences are taken inside a seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from transformers import PreTrainedTokenizerFast

from workbench.core.intervals import spearman
from workbench.core.progress import progress_bar
from workbench.corpus.document import Document
from workbench.detection.retrieval import answered
from workbench.evaluation.tasks import Task, asked
from workbench.masking.losses import losses_of_ids
from workbench.models.model import Model, from_transformers
from workbench.selection.ranking import Selection
from workbench.training.data import middle
from workbench.training.pretraining import Recipe, pretrain

MEAN = "mean of domains"
PLACE = ["domain", "source", "row"]


@dataclass(frozen=True)
class Arms:
    """What `train_arms` measured.

    Attributes:
        course: arm, seed, step, tokens, domain, loss: held-out nats a token along the training, and
            their mean over domains.
        documents: arm, seed, doc_id, domain, loss of every held-out document (the tokens in its
            middle, as many as the context holds) at the end, in nats a token.
        tasks: arm, seed, task, needs_context, item, loss (nats a token of the true answer) at the
            end.
        checkpoints: (arm, seed) to the folder of the trained model, if there was an `out` to write
            them to: `wb.load_model(arms.checkpoints[arm, seed])` is the model.
    """

    course: pd.DataFrame
    documents: pd.DataFrame
    tasks: pd.DataFrame
    checkpoints: Mapping[tuple[str, int], Path]


def repeat_weights(
    documents: Sequence[Document], chosen: Selection | pd.DataFrame, repeat: float = 1
) -> list[float]:
    """How often each document comes in an epoch: once, and more often where chosen.

    Args:
        documents: the training corpus.
        chosen: a selection, or its table (`select`).
        repeat: how many times more a chosen document comes.

    Returns:
        A weight a document, in order: 1, or 1 + `repeat`.

    Raises:
        ValueError: the selection did not rank one of the documents.
    """
    table = chosen.table if isinstance(chosen, Selection) else chosen
    places = table[PLACE].itertuples(index=False, name=None)
    picked = dict(zip(places, table["selected"], strict=True))
    keys = [(document.domain, document.source, document.row) for document in documents]
    missing = [
        document.doc_id for document, key in zip(documents, keys, strict=True) if key not in picked
    ]
    if missing:
        raise ValueError(
            f"{len(missing)} documents are not in the selection, for example {missing[0]!r:.200}: "
            "train on the documents that were scored"
        )
    return [1 + repeat * bool(picked[key]) for key in keys]


def train_arms(
    documents: Sequence[Document],
    arms: Mapping[str, Sequence[float] | None],
    recipe: Recipe | None = None,
    *,
    tokenizer: PreTrainedTokenizerFast,
    held_out: Sequence[Document],
    tasks: Sequence[Task] = (),
    seeds: Sequence[int] = (0, 1, 2),
    out: str | Path | None = None,
) -> Arms:
    """Train one decoder for every mixture and seed, and read held-out text and tasks with it.

    A model leaves memory when it has been read: without `out` only what was measured is left of it.

    Args:
        documents: the training corpus, the same for all arms.
        arms: name to the weights of the documents (`repeat_weights`; None: every document once).
        recipe: how to train each; None: the defaults of `Recipe`.
        tokenizer: must have an end token.
        held_out: documents that are read at each evaluation, and one by one at the end, of each the
            middle; not trained on. `held_out_split` draws them.
        tasks: are answered at the end; all items must fit into the decoder's context.
        seeds: one run of every arm a seed; the runs of one seed share their first weights.
        out: a folder for checkpoints; a call that was stopped goes on from there. None: no folder.

    Returns:
        What was measured, of all runs.

    Raises:
        ValueError: there are fewer than two arms or seeds, no held-out documents, one whose text is
            trained on, or an item that does not fit.
    """
    if len(arms) < 2 or len(set(seeds)) < 2 or not held_out:
        raise ValueError(
            f"a comparison needs two arms, two seeds and held-out documents at least, got "
            f"{len(arms)} arms, seeds {list(seeds)} and {len(held_out)} documents"
        )
    recipe = recipe or Recipe()
    untrained = from_transformers(recipe.decoder.build(tokenizer), tokenizer)
    for task in tasks:  # what does not fit is reported before hours of training
        for item in task.items:
            asked(untrained, item)
    who: list[tuple[str, int]] = []
    courses, texts, answers, checkpoints = [], [], [], {}
    with progress_bar("training arms", "run", len(arms) * len(seeds)) as done:
        for seed in seeds:
            for number, (arm, weights) in enumerate(arms.items()):
                folder = None if out is None else Path(out) / f"arm-{number}-seed-{seed}"
                run = pretrain(
                    documents, recipe, tokenizer=tokenizer, weights=weights, held_out=held_out,
                    out=folder, seed=seed,
                )  # fmt: skip
                mean = run.held_out.groupby(["step", "tokens"], as_index=False)["loss"].mean()
                courses.append(pd.concat([run.held_out, mean.assign(domain=MEAN)]))
                texts.append(_documents(run.model, held_out))
                if tasks:
                    answers.append(task_losses(run.model, tasks))
                if run.checkpoints:
                    checkpoints[arm, seed] = run.checkpoints[recipe.steps]
                who.append((arm, seed))
                del run  # the next model need not stand beside this one
                done(1)
    return Arms(_joined(who, courses), _joined(who, texts), _joined(who, answers), checkpoints)


def gain(course: pd.DataFrame, baseline: str, *, over: str = "domain") -> pd.DataFrame:
    """How much lower each arm's loss is than the baseline's, paired by seed (the paper's Table 1).

    Args:
        course: `Arms.course` (its last step counts), or `Arms.tasks` with over="task", or
            `Arms.documents` with over="doc_id".
        baseline: name of the arm that the others are compared with.
        over: the column whose values are compared one by one.

    Returns:
        One row an arm and value of `over`: arm, `over`, baseline (its mean loss), gain (mean of
        baseline - arm in nats a token; above 0: the arm is better), low and high (95 % interval of
        Student's t over seeds; it holds for other seeds, not for other corpora), seeds (in both
        arms).

    Raises:
        ValueError: no arm is called `baseline`.
    """
    if baseline not in set(course["arm"]):
        raise ValueError(
            f"no arm is called {baseline!r}: {', '.join(map(str, set(course['arm'])))}"
        )
    if "step" in course:
        course = course[course["step"] == course["step"].max()]
    wide = course.pivot_table(
        index="seed", columns=[over, "arm"], values="loss", sort=False, dropna=False
    )
    rows = []
    for arm in course["arm"].unique():
        for group in course[over].unique():
            if arm != baseline:
                paired = (wide[group][baseline] - wide[group][arm]).dropna().to_numpy()
                low, high = t_interval(paired)
                mean = wide[group][baseline].mean()
                rows.append((arm, group, mean, paired.mean(), low, high, len(paired)))
    return pd.DataFrame(rows, columns=["arm", over, "baseline", "gain", "low", "high", "seeds"])


def mirror_correlation(
    table: pd.DataFrame, x: str = "cost", y: str = "gain", *, draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Spearman correlation of what masking costs and what training gains, with its interval.

    Args:
        table: one row a task or document with `x` and `y`; correlated inside each domain if it has
            that column.
        x: the column of what masking costs.
        y: the column of what training gains.
        draws: bootstrap draws of rows.
        seed: of the draws.

    Returns:
        One row a domain: domain ("all" without that column), n, spearman, low, high (95 %
        percentile bootstrap over the rows; NaN below four rows).
    """
    rng = np.random.default_rng(seed)
    rows = []
    for domain, part in table.groupby("domain") if "domain" in table else [("all", table)]:
        correlation = spearman(part[x].to_numpy(float), part[y].to_numpy(float), rng, draws)
        rows.append((domain, len(part), *correlation))
    return pd.DataFrame(rows, columns=["domain", "n", "spearman", "low", "high"])


def t_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of a mean.

    Args:
        values: shape (values,).
        confidence: with which the interval holds the mean.

    Returns:
        The low and the high end; NaN for a single value.
    """
    if len(values) < 2:
        return float("nan"), float("nan")
    reach = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - reach), float(values.mean() + reach)


def task_losses(model: Model, tasks: Sequence[Task]) -> pd.DataFrame:
    """The loss of every true answer, which is fed to the model.

    Args:
        model: who answers.
        tasks: what is asked.

    Returns:
        One row an item: task, needs_context, item, loss (mean nats a token of the answer).

    Raises:
        ValueError: an item does not fit into the model's context.
    """
    rows = []
    for task in tasks:
        for number, item in enumerate(task.items):
            ((loss, _),) = answered(model, asked(model, item), [None])
            rows.append((task.name, task.needs_context, number, loss))
    return pd.DataFrame(rows, columns=["task", "needs_context", "item", "loss"])


def _documents(model: Model, held_out: Sequence[Document]) -> pd.DataFrame:
    texts = model.encode_all([document.text for document in held_out])
    losses = losses_of_ids(model, [middle(ids, model.context) for ids in texts], [None])
    ids = [document.doc_id for document in held_out]
    if len(set(ids)) < len(ids):  # ids are labels and may come twice
        ids = [f"{document.source}#{document.row}" for document in held_out]
    rows = [
        (doc_id, document.domain, float(column.mean()))
        for doc_id, document, (column,) in zip(ids, held_out, losses, strict=True)
    ]
    return pd.DataFrame(rows, columns=["doc_id", "domain", "loss"])


def _joined(who: Sequence[tuple[str, int]], frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The frames of all runs below each other, each with its arm and seed in front."""
    if not frames:
        return pd.DataFrame()
    whole = pd.concat(frames, keys=who, names=["arm", "seed"])
    return whole.reset_index(level=["arm", "seed"]).reset_index(drop=True)
