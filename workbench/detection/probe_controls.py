"""The same lookup probes with one thing changed: keys that lead nowhere, or fewer pairs around.

Both start from the tokens of the given probes, so they work for probes that were loaded from a file
or made from a user's own texts, and each changed probe pairs with the one that it came from.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from workbench.detection.probes import KEY_LENGTH, SHOTS, Probes, build_probe
from workbench.models.model import Model

_PAIR = rf'"([A-Za-z0-9]{{{KEY_LENGTH}}})": "([^"]*)"'
_QUERY = rf'Key: "([A-Za-z0-9]{{{KEY_LENGTH}}})"'


def shuffled_keys(model: Model, probes: Probes, seed: int = 0) -> Probes:
    """The same probes with keys dealt to other values, so that no key leads to the answer.

    Every pair that is not demonstrated gets the key of another such pair, and none keeps its own.
    Values, demonstrations (they stay true, so the task stays the same), the asked key and the fed
    answer stay: the asked key now stands beside a wrong value, and the value that is fed as the
    answer beside a key that nobody asks for.

    Args:
        model: the model whose tokenizer made the probes.
        probes: probes of `make_probes`, unchanged.
        seed: seed of how keys are dealt.

    Raises:
        ValueError: a probe holds fewer than two pairs besides the demonstrated ones, or make_probes
            did not make it with this model's tokenizer.
    """
    rng = np.random.default_rng(seed)
    items = []
    for number in range(len(probes)):
        pairs, chosen = read_back(model, probes, number)
        free = rng.permutation([i for i in range(len(pairs)) if i not in chosen[:-1]])
        if len(free) < 2:
            raise ValueError(
                f"probe {number} holds {len(pairs)} pairs, {SHOTS} of them demonstrated: keys can "
                f"be dealt anew from {SHOTS + 2} pairs on. Make longer probes (max_tokens)"
            )
        keys = [key for key, _ in pairs]
        for here, there in zip(free, np.roll(free, 1), strict=True):  # one cycle, so all move
            keys[here] = pairs[there][0]
        dealt = [(key, value) for key, (_, value) in zip(keys, pairs, strict=True)]
        items.append(build_probe(model, dealt, chosen, asked_key=pairs[chosen[-1]][0]))
    return replace(probes, items=tuple(items), variant="keys shuffled")


def shortened(model: Model, probes: Probes, max_tokens: int, seed: int = 0) -> Probes:
    """The same lookups among fewer pairs.

    Demonstrations, asked key and answer stay; of the other pairs as many as fit are kept, in their
    order.

    Args:
        model: the model whose tokenizer made the probes.
        probes: probes of `make_probes`, unchanged.
        max_tokens: the largest length of a probe in tokens, BOS included.
        seed: seed of which pairs are left out.

    Raises:
        ValueError: a probe does not fit even without all other pairs, or make_probes did not make
            it with this model's tokenizer.
    """
    rng = np.random.default_rng(seed)
    prefix = len(model.bos_ids)
    items = []
    for number in range(len(probes)):
        pairs, chosen = read_back(model, probes, number)
        others = rng.permutation([i for i in range(len(pairs)) if i not in chosen]).tolist()
        probe = probes[number]
        while prefix + len(probe.ids) > max_tokens:
            if not others:
                raise ValueError(
                    f"probe {number} needs {prefix + len(probe.ids)} tokens for its {SHOTS} "
                    f"demonstrations and its query alone, so it cannot be cut to {max_tokens}"
                )
            others.pop()
            inside = sorted([*chosen, *others])
            probe = build_probe(
                model, [pairs[i] for i in inside], [inside.index(i) for i in chosen]
            )
        items.append(probe)
    return replace(probes, items=tuple(items), max_tokens=max_tokens, variant="shortened")


def read_back(model: Model, probes: Probes, number: int) -> tuple[list[tuple[str, str]], list[int]]:
    """The pairs of one probe, and which of them it demonstrates and, last, asks for.

    Args:
        model: the model whose tokenizer made the probes.
        probes: probes of `make_probes`, unchanged.
        number: which of them.

    Returns:
        Keys and values in the order of the object, and indices into them.

    Raises:
        ValueError: make_probes did not make the probe with this model's tokenizer.
    """
    probe = probes[number]
    text = str(model.tokenizer.decode(list(probe.ids), clean_up_tokenization_spaces=False))
    body, _, queries = text.partition("}\n\n")
    pairs = [(str(key), str(value)) for key, value in re.findall(_PAIR, body)]
    position = {key: i for i, (key, _) in enumerate(pairs)}
    chosen = [position.get(key, -1) for key in re.findall(_QUERY, queries)]
    if len(chosen) != SHOTS + 1 or min(chosen) < 0 or build_probe(model, pairs, chosen) != probe:
        raise ValueError(
            f"probe {number} cannot be read back as a lookup with {SHOTS} demonstrations: it "
            "takes unchanged probes of make_probes and the tokenizer that made them"
        )
    return pairs, chosen
