"""Small tasks with exact answers, generated here: what do masked heads cost where?

Some can only be done from what stands in the prompt (lookup, induction, arbitrary labels, variable
tracking); few-shot arithmetic needs the prompt for its form; common completions need no context at
all and are the control. Each item is a prompt and the one true answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.models.model import Model

WORDS = (
    "apple", "anchor", "basket", "beacon", "bridge", "bottle", "button", "candle", "carpet",
    "castle", "copper", "cotton", "dragon", "engine", "fabric", "feather", "fossil", "garden",
    "ginger", "hammer", "harbor", "helmet", "island", "jacket", "jungle", "kettle", "ladder",
    "lantern", "lemon", "magnet", "marble", "meadow", "mirror", "needle", "orchid", "oyster",
    "paddle", "pencil", "pepper", "pillow", "planet", "pocket", "rabbit", "ribbon", "river",
    "saddle", "silver", "spider", "spoon", "sugar", "temple", "ticket", "timber", "tunnel",
    "turtle", "velvet", "violin", "walnut", "window", "winter",
)  # fmt: skip
KINDS = {
    "animal": (
        "dog", "cat", "horse", "cow", "sheep", "goat", "lion", "tiger", "bear", "wolf", "fox",
        "mouse",
    ),
    "colour": (
        "red", "blue", "green", "yellow", "black", "white", "brown", "pink", "purple", "orange",
        "grey", "gold",
    ),
    "city": (
        "Paris", "London", "Rome", "Berlin", "Madrid", "Tokyo", "Vienna", "Moscow", "Cairo",
        "Dublin", "Oslo", "Athens",
    ),
}  # fmt: skip
LABELS = ("dax", "wug", "fep", "zot", "blick", "toma")
COMPLETIONS = (
    ("The capital of France is", " Paris"), ("The opposite of hot is", " cold"),
    ("The opposite of up is", " down"), ("The sun rises in the", " east"),
    ("Once upon a", " time"), ("Thank you very", " much"), ("Ladies and", " gentlemen"),
    ("The United States of", " America"), ("New York", " City"), ("Happy birthday to", " you"),
    ("For the first", " time"), ("On the other", " hand"), ("As soon as", " possible"),
    ("In the United", " States"), ("It is raining cats and", " dogs"),
    ("The day after Monday is", " Tuesday"), ("One, two, three,", " four"),
    ("January, February,", " March"), ("At the end of the", " day"), ("Salt and", " pepper"),
    ("Black and", " white"), ("The Pacific", " Ocean"), ("The Second World", " War"),
    ("A cup of", " tea"),
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        prompt: what is given.
        answer: the text that must follow it.
        name: of the item, where it has one.
    """

    prompt: str
    answer: str
    name: str = ""


@dataclass(frozen=True)
class Task:
    """Items of one kind.

    Attributes:
        name: of the task.
        items: its questions.
        needs_context: whether the answer can only be taken from the prompt.
    """

    name: str
    items: tuple[Item, ...]
    needs_context: bool

    def __repr__(self) -> str:
        need = "needs its context" if self.needs_context else "needs no context"
        return f"<Task {self.name!r}: {len(self.items)} items, {need}>"


@dataclass(frozen=True)
class Asked:
    """An item as token ids.

    Attributes:
        ids: prompt and answer, without special tokens.
        answer: positions [start, stop) of the answer in `ids`.
    """

    ids: tuple[int, ...]
    answer: tuple[int, int]


def asked(model: Model, item: Item) -> Asked:
    """The tokens of an item.

    Prompt and answer are encoded together, as text is; where the border then falls inside a token,
    they are encoded apart.

    Args:
        model: whose tokenizer and context are meant.
        item: the question.

    Returns:
        The item as token ids.

    Raises:
        ValueError: prompt or answer has no token, or the item is longer than the model's context.
    """
    prompt, whole = model.encode(item.prompt), model.encode(item.prompt + item.answer)
    if whole[: len(prompt)] != prompt or len(whole) == len(prompt):
        whole = [*prompt, *model.encode(item.answer)]
    if len(whole) == len(prompt) or not prompt:
        raise ValueError(f"an item needs a prompt and an answer of a token at least: {item!r:.200}")
    if len(whole) + len(model.bos_ids) > model.context:
        raise ValueError(
            f"an item of {len(whole)} tokens is longer than the model's context of {model.context}"
        )
    return Asked(tuple(whole), (len(prompt), len(whole)))


def built_in_tasks(n: int = 24, seed: int = 0) -> list[Task]:
    """Seven generated tasks with exact answers.

    Args:
        n: items of each; the control "common completions" has at most 24.
        seed: of the draws.

    Returns:
        The tasks: five that need their context, few-shot arithmetic, and the control.

    Raises:
        ValueError: fewer than two items.
    """
    if n < 2:
        raise ValueError(f"a task needs two items or more for an interval, got {n}")
    made: list[tuple[str, Callable[[np.random.Generator], Item]]] = [
        ("lookup, 6 pairs", lambda rng: _lookup(rng, 6)),
        ("lookup, 48 pairs", lambda rng: _lookup(rng, 48)),
        ("induction", _induction),
        ("many-shot labels", _labels),
        ("variable tracking", _variables),
    ]
    tasks = [
        Task(name, tuple(make(np.random.default_rng([seed, i])) for i in range(n)), True)
        for name, make in made
    ]
    sums = tuple(_arithmetic(np.random.default_rng([seed, i])) for i in range(n))
    chosen = np.random.default_rng(seed).permutation(len(COMPLETIONS))[:n]
    control = tuple(Item(*COMPLETIONS[i]) for i in sorted(chosen))
    return [
        *tasks,
        Task("few-shot arithmetic", sums, False),
        Task("common completions", control, False),
    ]


def _pick(rng: np.random.Generator, words: Sequence[str], count: int) -> list[str]:
    return [words[i] for i in rng.permutation(len(words))[:count]]


def _lookup(rng: np.random.Generator, pairs: int) -> Item:
    """Numbers of words; the number of one of them is asked for."""
    keys = _pick(rng, WORDS, pairs)
    numbers = rng.choice(9000, size=pairs, replace=False) + 1000
    lines = [f"{key}: {number}" for key, number in zip(keys, numbers, strict=True)]
    at = int(rng.integers(pairs))
    return Item("\n".join(lines) + f"\n\nAgain:\n{keys[at]}:", f" {numbers[at]}")


def _induction(rng: np.random.Generator) -> Item:
    """A random string of words, begun a second time; how does it go on?"""
    words = _pick(rng, WORDS, 30)
    at = int(rng.integers(8, 22))
    return Item(" ".join([*words, *words[:at]]), " " + " ".join(words[at : at + 4]))


def _labels(rng: np.random.Generator) -> Item:
    """Kinds of words under labels that mean nothing; the label of a new word is asked for."""
    labels = dict(zip(KINDS, _pick(rng, LABELS, len(KINDS)), strict=True))
    shown = {kind: _pick(rng, words, 9) for kind, words in KINDS.items()}
    shots = [(word, labels[kind]) for kind, words in shown.items() for word in words[:8]]
    order = rng.permutation(len(shots))
    lines = [f"{shots[i][0]} -> {shots[i][1]}" for i in order]
    kind = list(KINDS)[int(rng.integers(len(KINDS)))]
    return Item("\n".join([*lines, f"{shown[kind][8]} ->"]), f" {labels[kind]}")


def _variables(rng: np.random.Generator) -> Item:
    """A value handed from variable to variable through short code, after two worked examples."""
    programs = []
    for _ in range(3):
        names = _pick(rng, "abcdefghkmnpqrtuvwxyz", 5)
        values = rng.choice(90, size=2, replace=False) + 10
        first, second, third, other, last = names
        lines = [
            f"{first} = {values[0]}", f"{other} = {values[1]}", f"{second} = {first}",
            f"{third} = {second}", f"{last} = {other}",
        ]  # fmt: skip
        programs.append(("\n".join([*lines, f"print({third})  # prints"]), f" {values[0]}"))
    worked = "".join(f"{code}{value}\n\n" for code, value in programs[:-1])
    return Item(worked + programs[-1][0], programs[-1][1])


def _arithmetic(rng: np.random.Generator) -> Item:
    """A sum of two numbers below 50 after five worked ones."""
    pairs = rng.integers(2, 50, size=(6, 2))
    lines = [f"{a} + {b} = {a + b}" for a, b in pairs[:-1]]
    a, b = pairs[-1]
    return Item("\n".join([*lines, f"{a} + {b} ="]), f" {a + b}")
