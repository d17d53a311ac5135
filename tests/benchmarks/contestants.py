"""The ways to the two losses of a document, and the other tasks that a worker can be given.

`load(name, spec)` gives a function whose keyword arguments are the fields of a request and whose
result is the answer. spec: model (a folder), threads, and config (changes to the model's
configuration: then its weights are random). A scoring request holds documents (lists of token ids)
and heads (pairs of layer and head); its answer is losses, one (base, masked) pair of mean nats a
document. Imports stand inside: each environment has only what its own contestant needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    import workbench as wb

Spec = dict[str, Any]
Documents = list[list[int]]
Heads = list[list[int]]
Perform = Callable[..., dict[str, Any]]
# (ids (1, T), the heads to mask or None) -> logits (1, T, vocabulary)
Logits = Callable[[torch.Tensor, Heads | None], torch.Tensor]


def load(name: str, spec: Spec) -> Perform:
    """The contestant `name`, its model in memory."""
    if name == "transformer-lens":
        from benchmarks.peer_transformer_lens import logits_of

        return one_by_one(logits_of(spec))
    if name == "nnsight":
        from benchmarks.peer_nnsight import logits_of

        return one_by_one(logits_of(spec))
    return HERE[name](spec)


def one_by_one(logits_of: Logits) -> Perform:
    """Two separate passes a document, all logits of each: what a script does at first."""

    def score(documents: Documents, heads: Heads) -> dict[str, Any]:
        losses = []
        for document in documents:
            ids = torch.tensor([document])
            losses.append([_mean_loss(logits_of(ids, some), ids) for some in (None, heads)])
        return {"losses": losses}

    return score


def _mean_loss(logits: torch.Tensor, ids: torch.Tensor) -> float:
    losses = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="none")
    return float(losses.double().mean())


def load_hf(spec: Spec, kernel: str) -> PreTrainedModel:
    """The plain transformers model in float32; random weights if the spec changes its shape."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = {"dtype": torch.float32, "attn_implementation": kernel}
    if not spec.get("config"):
        return AutoModelForCausalLM.from_pretrained(spec["model"], **kind).eval()
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(spec["model"], **spec["config"])
    return AutoModelForCausalLM.from_config(config, **kind).eval()


# ---- in the environment of the workbench --------------------------------------------------------


def _model(spec: Spec, kernel: str = "sdpa") -> wb.Model:
    from transformers import AutoTokenizer

    import workbench as wb

    return wb.from_transformers(
        load_hf(spec, kernel), AutoTokenizer.from_pretrained(spec["model"]), source="benchmark"
    )


def _workbench(spec: Spec) -> Perform:
    from workbench.masking.losses import losses_of_ids
    from workbench.masking.packed import packed_passes
    from workbench.models.heads import HeadSet

    model = _model(spec)
    engine = packed_passes(model)
    if engine is None:
        raise RuntimeError("the engine does not fit this model: there is nothing to measure")
    usual = engine.row_tokens

    def score(documents: Documents, heads: Heads, row_tokens: int | None = None) -> dict[str, Any]:
        engine.row_tokens = row_tokens or usual
        sets = [None, HeadSet.of([(layer, head) for layer, head in heads], model)]
        found = losses_of_ids(model, documents, sets)
        return {
            "losses": [[float(losses.mean(dtype="float64")) for losses in pair] for pair in found]
        }

    return score


def _naive(kernel: str) -> Callable[[Spec], Perform]:
    def make(spec: Spec) -> Perform:
        from workbench.masking.masks import masked
        from workbench.models.heads import HeadSet

        model = _model(spec, kernel)

        def logits_of(ids: torch.Tensor, heads: Heads | None) -> torch.Tensor:
            some = HeadSet.of([(a, b) for a, b in heads], model) if heads else None
            with masked(model, some), torch.inference_mode():
                return model.hf(input_ids=ids, use_cache=False).logits

        return one_by_one(logits_of)

    return make


def _oracle(spec: Spec) -> Perform:
    """The tests' own slow way, which shares no code with the workbench."""
    from support import oracle

    hf = load_hf(spec, "eager")

    def score(documents: Documents, heads: Heads) -> dict[str, Any]:
        pairs = [(layer, head) for layer, head in heads]
        losses = []
        for document in documents:
            pair = []
            ways: tuple[AbstractContextManager[None], ...]
            ways = (nullcontext(), oracle.uniform_heads(hf, pairs))
            for way in ways:
                with way:
                    found = oracle.losses(hf, document)
                pair.append(sum(found) / len(found))
            losses.append(pair)
        return {"losses": losses}

    return score


def _sgemm(spec: Spec) -> Perform:
    """What this machine's float32 matrix product reaches, on the model's shapes and a square."""
    import time

    config = json.loads((Path(spec["model"]) / "config.json").read_text(encoding="utf-8"))
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "1,024 rows into the MLP": (1024, width, inner),
        "1,024 rows out of the MLP": (1024, inner, width),
        "1,024 rows into a vocabulary tile": (1024, width, 4096),
        "square of 2,048": (2048, 2048, 2048),
    }

    def perform(repeats: int = 15) -> dict[str, Any]:
        rates = {}
        with torch.inference_mode():
            for name, (rows, inside, columns) in shapes.items():
                left, right = torch.randn(rows, inside), torch.randn(columns, inside)
                best = float("inf")
                for _ in range(repeats):
                    start = time.perf_counter()
                    torch.nn.functional.linear(left, right)
                    best = min(best, time.perf_counter() - start)
                rates[name] = 2 * rows * inside * columns / best / 1e9
        return {"gflops": rates}

    return perform


def _detection(whole: bool) -> Callable[[Spec], Perform]:
    """Copying scores of all heads on one lookup: from the rows needed, or from whole matrices."""

    def make(spec: Spec) -> Perform:
        import workbench as wb

        model = _model(spec, "eager" if whole else "sdpa")

        def rows(tokens: int) -> dict[str, Any]:
            table = wb.retrieval_scores(model, probes[tokens], bootstrap=10).frame
            return {"scores": table["score"].tolist(), "tokens": len(probes[tokens].items[0].ids)}

        def matrices(tokens: int) -> dict[str, Any]:
            (probe,) = probes[tokens].items
            (start, stop), (first, last) = probe.answer, probe.value
            ids = torch.tensor([probe.ids])
            with torch.inference_mode():
                seen = model.hf(input_ids=ids, use_cache=False, output_attentions=True).attentions
            scores = []
            for layer in seen:
                top = layer[0, :, start - 1 : stop - 1].argmax(dim=-1)
                right = (top >= first) & (top < last) & (ids[0, top] == ids[0, start:stop])
                scores += right.double().mean(dim=-1).tolist()
            return {"scores": scores, "tokens": len(probe.ids)}

        # Made here, so that neither time nor memory of making them counts.
        probes = {n: wb.make_probes(model, n=1, max_tokens=n) for n in spec["probe_tokens"]}
        return matrices if whole else rows

    return make


def _task(name: str) -> Callable[[Spec], Perform]:
    """A measurement that takes turns between its ways by itself (see `benchmarks.tasks`)."""

    def make(spec: Spec) -> Perform:
        from benchmarks import tasks

        return getattr(tasks, name)(_model(spec))

    return make


HERE: dict[str, Callable[[Spec], Perform]] = {
    "workbench": _workbench,
    "naive-eager": _naive("eager"),
    "naive-sdpa": _naive("sdpa"),
    "oracle": _oracle,
    "sgemm": _sgemm,
    "detect-rows": _detection(whole=False),
    "detect-matrices": _detection(whole=True),
    "toggles": _task("toggles"),
    "maps": _task("maps"),
}
