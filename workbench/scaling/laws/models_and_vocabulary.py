"""Which model for a compute: size, experts, vocabulary, growth, density: the entries."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.scaling.laws.forms import Powers
from workbench.scaling.laws.law import Check, Law
from workbench.scaling.laws.parts import NO_EMBEDDINGS, compute, params, recomputed, tokens
from workbench.scaling.laws.quantity import Quantity

VOCABULARY = Quantity("vocabulary", "V", "tokens in the vocabulary")
WIDTH = Quantity("width", "d", "width of the embedding")
MODEL = Quantity("flop_a_token", "M", "FLOP of training a token, without embeddings")
TOKENS = Quantity("tokens", "D", "tokens of training of least loss at a compute")
COMPUTE_IS_SPLIT = "C = M D: the size of a model is the FLOP that a token takes, not parameters."
VOCABULARY_NOTE = "Fitted up to 1.13 B parameters without embeddings."


def _leverage(c: Any, x: Any) -> Any:
    saturated = 1 / (1 / (x.activation + 1 / (1 / c.A_start - 1 / c.A_max)) + 1 / c.A_max)
    bits = np.log2(x.granularity)
    return saturated ** (c.a + c.d * np.log10(x.compute) + c.g * bits**2 + c.b * bits)


def _best_granularity(law: Law) -> float:
    best = law.best("granularity", largest=True, activation=0.031, compute=1e22)
    return best["granularity"]


def _approach_3(c: Any, x: Any) -> Any:
    vocabulary_params = x.vocabulary * x.width
    return (
        -c.E + c.A1 / (x.params / 1e6) ** c.a1
        + c.A2 / (vocabulary_params / 1e6) ** c.a2 + c.B / (x.tokens / 1e9) ** c.b
    )  # fmt: skip


def _vocabulary_at_7b(law: Law) -> float:
    return law.best(
        "vocabulary", params=7e9, width=4096,
        tokens=lambda vocabulary: 7.05e21 / (6 * (7e9 + vocabulary * 4096)),
    )["vocabulary"]  # fmt: skip


MODELS_AND_VOCABULARY = [
    Law(
        "moe leverage", "How many times less compute a mixture of experts needs (Ling)",
        Quantity("leverage", "EL", "compute of the dense model / of the mixture, at one loss"),
        [Quantity("activation", "A", "share of active experts, with the shared one", 0.008, 1),
         Quantity("granularity", "G", "2 x width of the model / width of an expert", 2, 16),
         compute(3e18, 3e20, NO_EMBEDDINGS)],
        {"a": 1.23, "d": -0.0761, "g": 0.0167, "b": -0.117, "A_start": 0.0163, "A_max": 5.28e16},
        _leverage,
        "EL = A'^(a + d lg C + g ld^2 G + b ld G), "
        "1/A' = 1/(A + (1/A_start - 1/A_max)^-1) + 1/A_max",
        "arXiv 2507.17702, equations 10 and 13",
        conditions="Fitted where EL < 6, at three times the best number of tokens.",
        notes="The source gives no bases of its logarithms: only lg C with ld G gives its numbers.",
        checks=[
            Check({"activation": 0.031, "granularity": 12, "compute": 1e22}, 7.5, 0.066,
                  "over 7 at 1e22 FLOP, 3.1 % active, granularity 12"),
            Check(_best_granularity, 10, 0.2, "best granularity, between 8 and 12"),
            Check(_best_granularity, 11.337, 1e-3, "best granularity", stated=False),
            recomputed(7.2449, activation=0.031, granularity=12, compute=1e22),
            recomputed(0.98956, activation=1, granularity=12, compute=1e22),
            recomputed(1.97453, activation=0.1, granularity=2, compute=1e19),
        ],
        uncaught={"A_max": "5.28e16 in place of no bound moves the leverage by 1e-17"},
    ),
    *(
        Law(
            f"ling {model}", f"{what} from compute, {of} (Ling)", gives,
            [compute(None, None, NO_EMBEDDINGS)], {"k": k, "a": a}, Powers("k", {"compute": "a"}),
            f"{gives.symbol} = k C^a", "arXiv 2507.17702", notes=COMPUTE_IS_SPLIT,
            checks=[recomputed(least, compute=1e18), recomputed(most, compute=1e20)],
        )
        for model, what, of, gives, k, a, least, most in (
            ("model", "Best model", "mixture of experts", MODEL, 0.1915, 0.5095, 2.83902e8,
             2.96598e9),
            ("tokens", "Best tokens", "mixture of experts", TOKENS, 5.2232, 0.4905, 3.52319e9,
             3.37238e10),
            ("dense model", "Best model", "dense", MODEL, 0.0655, 0.5422, 3.76566e8, 4.57342e9),
            ("dense tokens", "Best tokens", "dense", TOKENS, 15.2582, 0.4578, 2.65401e9,
             2.18526e10),
        )
    ),
    Law(
        "vocabulary 1", "Best vocabulary from compute (approach 1)", VOCABULARY,
        [compute(None, None), WIDTH], {"k": 0.204124, "a": 0.41636},
        lambda c, x: c.k * x.compute**c.a / x.width, "V = k C^a / d",
        "arXiv 2407.13623; its code and 1,200 points", notes=VOCABULARY_NOTE,
        checks=[Check({"compute": 7.05e21, "width": 4096}, 62_281, 1e-3, "7 B parameters")],
    ),
    Law(
        "vocabulary 2", "Best vocabulary from parameters (approach 2)", VOCABULARY,
        [params(33e6, 1.13e9), WIDTH], {"k": 3_145_728, "N0": 33e6, "a": 0.8353974},
        lambda c, x: c.k * (x.params / c.N0) ** c.a / x.width, "V = k (N/N0)^a / d",
        "arXiv 2407.13623; its code and 1,200 points", notes=VOCABULARY_NOTE,
        checks=[Check({"params": 7e9, "width": 4096}, 67_450, 1e-3, "7 B parameters")],
    ),
    Law(
        "vocabulary 3", "Loss from parameters, vocabulary and tokens (approach 3)",
        Quantity("loss", "L", "nats a token less those of a unigram model"),
        [params(33e6, 1.13e9), Quantity("vocabulary", "V", "tokens", 4e3, 96e3), WIDTH,
         tokens(None, None)],
        {"E": 5.5328, "A1": 1.8314, "a1": 0.44661, "A2": 0.19584, "a2": 0.67074, "B": 2.1241,
         "b": 0.44661},
        _approach_3, "L = -E + A1/(N/1e6)^a1 + A2/(V d/1e6)^a2 + B/(D/1e9)^b",
        "arXiv 2407.13623; its code and 1,200 points", "unsound",
        notes="Its code divides V by 1,000 before it works out the tokens of the fit, which so are "
        "2.6 to 3 times too many; with the tokens as they were R^2 is .04, not .97. The best "
        "vocabulary at 7 B is then 26,600 instead of 59,548. Use approach 1 or 2.",
        checks=[
            Check(_vocabulary_at_7b, 59_548, 1e-3, "7 B parameters"),
            recomputed(-5.27381, 1e-5, params=7e9, vocabulary=59_542, width=4096, tokens=1.62e11),
            recomputed(-2.90338, 1e-5, params=33e6, vocabulary=4000, width=512, tokens=1e9),
        ],
    ),
    Law(
        "g_stack", "Tokens of the small model before it is stacked (G_stack)",
        Quantity("tokens", "d", "tokens that the small model reads"),
        [params(410e6, 3e9), compute(0.8e20, 12e20)], {"a": 0.88, "b": 163.27, "c": 5.74},
        lambda c, x: 10 ** (c.a * np.log10(x.params) + c.b / np.log10(x.compute) - c.c),
        "lg d = a lg N + b/lg C - c", "arXiv 2405.15319, equation 2",
        conditions="Growth by 2 to 4; the source advises 4.",
        notes="The README's rows count embeddings, and lie far outside what was measured.",
        checks=[
            Check({"params": params, "compute": 6 * params * tokens}, value, 1e-3,
                  f"README, {name}")
            for name, params, tokens, value in (
                ("Llama 3 8 B", 8e9, 15e12, 6.58e9), ("Llama 2 7 B", 7e9, 2e12, 11.11e9),
                ("Llama 2 13 B", 13e9, 2e12, 15.84e9), ("Llama 2 70 B", 70e9, 2e12, 42.48e9),
            )
        ],
    ),
    Law(
        "density", "Parameters that a family needs for a loss / the parameters used (Densing)",
        Quantity("density", "rho", "parameters of Besiroglu's family at that loss / params"),
        [Quantity("loss", "L", "nats a token of the family's corpus"), params(None, None, "all"),
         tokens(None, None)],
        {"E": 1.8172, "A": 482.01, "a": 0.3478, "B": 2085.43, "b": 0.3658},
        lambda c, x: ((x.loss - c.E - c.B / x.tokens**c.b) / c.A) ** (-1 / c.a) / x.params,
        "rho = ((L - E - B/D^b)/A)^(-1/a) / N",
        "arXiv 2412.04315 (the idea); besiroglu (the family)",
        conditions="D is what the family's models read: 1e12 in the source.",
        notes="The source's own family is unpublished, and its L is over answers to questions. Put "
        "your family's constants in by with_constants. Version 1 prints a doubling in 3.3 months.",
        checks=[recomputed(1.0, 1e-3, loss=2.3055286, params=2.77846e9, tokens=5.99853e10),
                recomputed(0.70637, 1e-3, loss=2.8, params=1e8, tokens=1e12)],
    ),
]  # fmt: skip
