"""One device, random weights: the workbench against two plain passes over padded batches.

`make bench BENCH_OPTIONS='--device cuda'` needs no network and no model, and takes less than eight
minutes. Losses of random weights say nothing about texts, but cost what any weights of that shape
cost.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks import documents, flops
from benchmarks.figures import ratios, significant, spread, table
from benchmarks.settings import HEADS, Settings

if TYPE_CHECKING:
    import workbench as wb

NAME = "device"
TITLE = "On a GPU"
UNMEASURED = (
    "Not measured yet: `make bench BENCH_OPTIONS='--device cuda'` does it in eight minutes."
)
SECONDS = 360  # for all shapes: no round is begun that would take longer
CORPUS = 241e9  # tokens of the paper's corpus
PADDED = 16384  # tokens of a padded batch

# Dense bfloat16, in TFLOP/s, from the data sheets: a part of the card's name, the longest first.
PEAKS = {
    "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200": 989, "GH200": 989, "B200": 2250,
    "A100": 312, "A10G": 70, "A10": 125, "A40": 150, "A6000": 155, "L40S": 362, "L40": 181,
    "L4": 121, "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A shape of model, the heads that are masked, and how many documents are scored."""

    config: dict[str, int]
    heads: tuple[tuple[int, int], ...]
    documents: int
    shortest: int = 64
    longest: int = 4096


def cases(quick: bool) -> dict[str, Case]:
    """The default model's shape and the paper's selector; small ones for a run that tries out.

    The paper does not give the feed-forward width and the vocabulary of its selector: they are
    chosen so that it has 1.3 B parameters.
    """
    default = {
        "num_hidden_layers": 30, "hidden_size": 576, "intermediate_size": 1536,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
        "max_position_embeddings": 8192,
    }  # fmt: skip
    paper = {
        "num_hidden_layers": 20, "hidden_size": 2560, "intermediate_size": 5120,
        "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 49152,
        "max_position_embeddings": 4096,
    }  # fmt: skip
    if quick:
        small = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 320}
        default |= {**small, "num_hidden_layers": 3, "num_attention_heads": 4}
        default["num_key_value_heads"] = 2
        paper |= {**small, "num_hidden_layers": 2, "num_attention_heads": 4}
        paper["num_key_value_heads"] = 2
        some = ((1, 0), (1, 3))
        return {
            "default model's shape": Case(default, some, 6, 8, 64),
            "paper's selector": Case(paper, some, 6, 8, 64),
        }
    # As many heads as the default model's 5 %, spread over the layers from half the depth on.
    spread_out = tuple((10 + i * 10 // 16, i % 16) for i in range(16))
    return {
        "default model's shape": Case(default, HEADS, 768),
        "paper's selector": Case(paper, spread_out, 192),
    }


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    device = torch.device(settings.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    chosen = cases(settings.quick)
    data: dict[str, Any] = {
        "device": name_of(device),
        "dtype": str(dtype).removeprefix("torch."),
        "peak": next((rate for name, rate in PEAKS.items() if name in name_of(device)), None),
        "gemm": gemm(device, dtype, 512 if settings.quick else 8192),
        "price": settings.price,
        "cases": {},
    }
    for name, case in chosen.items():
        begun = time.monotonic()
        print(f"  {NAME}: {name}", flush=True)
        data["cases"][name] = found = measure(case, device, dtype, SECONDS / len(chosen))
        print(f"  {NAME}: {name}, {time.monotonic() - begun:.0f} s: {found['seconds']}", flush=True)
        save(data)


def measure(case: Case, device: torch.device, dtype: torch.dtype, budget: float) -> dict[str, Any]:
    """Rounds of both ways on one shape, until the budget of seconds is used; at least one."""
    import workbench as wb
    from workbench.masking.losses import losses_of_ids
    from workbench.masking.packed import packed_passes
    from workbench.masking.row_size import is_out_of_memory

    end = time.monotonic() + budget
    gc.collect()  # the model of the shape before
    model = model_of(case, device, dtype)
    wanted = documents.lengths(case.documents, case.shortest, case.longest)
    shape = flops.Shape.of(model.hf.config.to_dict())
    heads = wb.HeadSet.of(case.heads, model)
    texts = random_texts(wanted, shape.vocabulary)
    engine = packed_passes(model)
    if engine is None:
        raise RuntimeError("packed passes do not fit this model: there is nothing to measure")

    def ours(some: Sequence[list[int]]) -> list[list[float]]:
        found = losses_of_ids(model, some, [None, heads])
        return [[float(losses.mean(dtype="float64")) for losses in pair] for pair in found]

    def padded(some: Sequence[list[int]]) -> list[list[float]]:
        return two_padded_passes(model, heads, some)

    ways = {"workbench": ours, "padded": padded}
    few = documents.spread(texts, 8)
    answers = {name: way(few) for name, way in ways.items()}  # warm
    absent: dict[str, str] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, float] = {}
    longest_round = 0.0
    for _ in range(7):
        begun = time.monotonic()
        if longest_round and begun + 1.2 * longest_round > end:
            break
        for name, way in ways.items():
            if name in absent:
                continue
            try:
                seconds[name].append(timed(device, lambda way=way: way(texts)))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                absent[name] = "out of memory"
            if device.type == "cuda":
                peak = torch.cuda.max_memory_allocated(device) / 2**30
                memory[name] = max(memory.get(name, 0.0), peak)
        longest_round = max(longest_round, time.monotonic() - begun)
    row = next(engine.rows(texts))
    launches = launches_of(
        device, lambda: engine._whole_row_losses(row, [None, heads], "uniform").read()
    )
    return {
        "parameters": sum(parameter.numel() for parameter in model.hf.parameters()),
        "documents": len(texts), "tokens": sum(wanted), "longest": max(wanted),
        "heads": len(heads), "row_tokens": engine.row_tokens,
        "needed": flops.needed(shape, wanted, case.heads),
        "seconds": seconds, "memory": memory, "launches": launches, "absent": absent,
        "errors": errors(model, heads, few, answers),
    }  # fmt: skip


def model_of(case: Case, device: torch.device, dtype: torch.dtype) -> wb.Model:
    """A Llama of that shape with random weights, made on the device."""
    from support.models import make_tokenizer
    from transformers import AutoModelForCausalLM, LlamaConfig

    import workbench as wb

    config = LlamaConfig(**case.config, tie_word_embeddings=True, rope_theta=100000.0)
    torch.manual_seed(0)
    with torch.device(device):
        hf = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return wb.from_transformers(hf.eval(), make_tokenizer(), source="benchmark")


def random_texts(lengths: Sequence[int], vocabulary: int) -> list[list[int]]:
    drawn = random.Random(0)
    texts = [[drawn.randrange(vocabulary) for _ in range(length)] for length in lengths]
    drawn.shuffle(texts)
    return texts


@torch.inference_mode()
def two_padded_passes(
    model: wb.Model, heads: wb.HeadSet, texts: Sequence[list[int]]
) -> list[list[float]]:
    """The plain way: texts of like length padded to the longest, two whole passes, all logits.

    Padding stands behind the texts, which a causal model does not see: so there is no mask, and
    SDPA takes its fastest kernel.
    """
    from workbench.masking.masks import masked

    found: dict[int, list[float]] = {}
    for batch in padded_batches([len(text) for text in texts]):
        longest = max(len(texts[i]) for i in batch)
        rows = [texts[i] + [0] * (longest - len(texts[i])) for i in batch]
        ids = torch.tensor(rows, device=model.device)
        means = []
        for some in (None, heads):
            with masked(model, some):
                logits = model.hf(input_ids=ids, use_cache=False).logits
            losses = torch.stack(
                [
                    torch.nn.functional.cross_entropy(
                        logits[row, : len(texts[i]) - 1].float(),
                        ids[row, 1 : len(texts[i])],
                        reduction="none",
                    ).double().mean()
                    for row, i in enumerate(batch)
                ]
            )  # fmt: skip
            del logits
            means.append(losses.tolist())
        found |= {i: [mean[row] for mean in means] for row, i in enumerate(batch)}
    return [found[i] for i in range(len(texts))]


def padded_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Texts by length, so that a batch and its padding hold `PADDED` tokens at most."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[i] > PADDED:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def errors(
    model: wb.Model,
    heads: wb.HeadSet,
    texts: Sequence[list[int]],
    answers: dict[str, list[list[float]]],
) -> dict[str, dict[str, float]]:
    """Largest difference of a mean loss (nats) and of a score from the same weights in float32."""
    from workbench.masking.reference import plain_losses

    dtype = model.dtype
    model.hf.to(torch.float32)
    truth = [
        [float(plain_losses(model, text, some).mean(dtype="float64")) for some in (None, heads)]
        for text in texts
    ]
    model.hf.to(dtype)
    exact = np.array(truth)
    found = {}
    for name, answer in answers.items():
        mine = np.array(answer)
        scores = [(pair[:, 1] - pair[:, 0]) / pair[:, 0] for pair in (mine, exact)]
        found[name] = {
            "loss": float(np.abs(mine - exact).max()),
            "score": float(np.abs(scores[0] - scores[1]).max()),
        }
    return found


# ---- the device ---------------------------------------------------------------------------------


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(device: torch.device, work: Callable[[], object]) -> float:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    wait(device)
    begun = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - begun


def gemm(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """TFLOP/s that a square matrix product reaches here."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = min(timed(device, lambda: left @ right) for _ in range(8))
    return 2 * size**3 / best / 1e12


def launches_of(device: torch.device, work: Callable[[], object]) -> int | None:
    """Kernels launched in one row; None where there is no device that is launched on."""
    if device.type != "cuda":
        work()
        return None
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        work()
        wait(device)
    return sum(event.count for event in seen.key_averages() if "LaunchKernel" in event.key)


# ---- writing ------------------------------------------------------------------------------------


def render(data: dict[str, Any]) -> str:
    unknown = "not measured"
    peak = data["peak"]
    rows, corpus = [], []
    for name, case in data["cases"].items():
        for way, title in (("workbench", "workbench"), ("padded", "two padded passes")):
            seconds = case["seconds"][way]
            if not seconds:
                rows.append([f"{name}, {title}", *[case["absent"].get(way, unknown)] * 8])
                continue
            rate = case["needed"] / median(seconds) / 1e12
            times = ratios(case["seconds"]["padded"], case["seconds"]["workbench"])
            memory = case["memory"].get(way)  # GiB of tensors
            mine = way == "workbench"
            rows.append(
                [
                    f"{name}, {title}",
                    significant(case["tokens"] / median(seconds)),
                    spread(times) if mine else "1",
                    unknown if peak is None else f"{100 * rate / peak:.0f} %",
                    f"{100 * rate / data['gemm']:.0f} %",
                    unknown if memory is None else significant(memory),
                    str(case["launches"] or unknown) if mine else "-",
                    f"{case['errors'][way]['loss']:.1e}",
                    f"{case['errors'][way]['score']:.1e}",
                ]
            )
        seconds = case["seconds"]["workbench"]
        if seconds and peak is not None:
            hours = CORPUS / (case["tokens"] / median(seconds)) / 3600
            price = data.get("price")
            cost = "" if price is None else f", {significant(hours * price)} at {price:g} an hour"
            corpus.append(f"{name} {significant(hours)} hours of such a card{cost}")
    head = [
        "shape, path", "tokens/s", "times the padded passes", "of the card's peak",
        "of its matrix product", "memory (GiB)", "launches a row", "loss error (nats)",
        "score error",
    ]  # fmt: skip
    shapes = "; ".join(
        f"{name}: {case['parameters'] / 1e9:.2f} B random weights, {case['documents']} documents, "
        f"{case['tokens']:,} tokens, the longest {case['longest']:,}, {case['heads']} heads "
        f"masked, rows of about {case['row_tokens']:,} tokens, "
        f"{len(case['seconds']['workbench'])} rounds"
        for name, case in data["cases"].items()
    )
    stated = "not known" if peak is None else f"{peak:,} TFLOP/s by the data sheet"
    return "\n\n".join(
        [
            f"{data['device']}, {data['dtype']}. {shapes}.",
            table(head, rows),
            f"Peak: {stated}; a square matrix product reaches {significant(data['gemm'])}. Shares "
            "count only what cannot be left out (one pass, a second from the first masked layer "
            "on), for both ways. Padded passes: texts by length, no mask, all logits. Errors: "
            "largest over 8 documents, against the same weights in float32.",
            f"241 B tokens, the paper's corpus: {'; '.join(corpus) or unknown}.",
            "TransformerLens and nnsight on a GPU: not measured.",
        ]
    )
