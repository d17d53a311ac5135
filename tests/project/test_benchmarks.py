"""The benchmark's own parts: what it counts, feeds, asks and writes. Nothing here is timed.

The peers stay out: their environments take minutes to make.
"""

from __future__ import annotations

import json

import pytest
import torch
from benchmarks import (
    __main__,
    contestants,
    detection,
    device,
    documents,
    environments,
    figures,
    flops,
    growth,
    memory,
    processes,
    report,
    scoring,
    sliders,
)
from benchmarks.settings import HEADS, Settings
from support.models import make_hf, make_tokenizer
from support.varlen import on_the_cpu
from torch.utils.flop_counter import FlopCounterMode

SPOTS = [[1, 2], [2, 0], [2, 3]]
TEXTS = [[64 + (i * i + n) % 250 for i in range(n)] for n in (9, 30, 17, 64)]


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """A small Llama in a folder, as the workers load it."""
    folder = tmp_path_factory.mktemp("model")
    make_hf("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return {"model": str(folder), "threads": 1}


@pytest.fixture(scope="module")
def truth(spec):
    return contestants.load("oracle", spec)(TEXTS, SPOTS)["losses"]


def config(spec):
    with open(f"{spec['model']}/config.json", encoding="utf-8") as file:
        return json.load(file)


# ---- the contestants ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["workbench", "naive-eager", "naive-sdpa"])
def test_every_path_gives_the_losses_of_the_oracle(name, spec, truth):
    found = contestants.load(name, spec)(documents=TEXTS, heads=SPOTS)["losses"]
    errors = scoring._errors(found, truth)
    assert errors["loss"] < 2e-5
    assert errors["score"] < 1e-4
    assert all(base != ref for base, ref in found)


@pytest.mark.slow
def test_workers_answer_what_their_path_computes(spec, truth):
    absent = {}
    with processes.workers(["workbench", "naive-eager"], spec, absent) as running:
        assert absent == {}
        answers = {}
        for name, worker in running.items():
            one, again = (worker.ask(documents=TEXTS, heads=SPOTS) for _ in range(2))
            assert one["losses"] == again["losses"]
            assert one["peak"] > 0
            assert one["seconds"] > 0
            answers[name] = one["losses"]
        with pytest.raises(processes.WorkerDied, match="naive-eager ended with exit status 1"):
            running["naive-eager"].ask(documents=TEXTS, heads=[[99, 0]])
        pids = [worker.process for worker in running.values()]
    assert all(process.returncode is not None for process in pids)
    for losses in answers.values():
        assert scoring._errors(losses, truth)["loss"] < 2e-5


def test_a_peer_without_environment_is_noted_and_the_others_go_on(spec, monkeypatch):
    def python_of(name):
        raise environments.Unavailable(f"no network for {name}")

    monkeypatch.setattr(processes, "python_of", python_of)
    absent = {}
    with processes.workers(["nnsight"], spec, absent) as running:
        assert running == {}
    assert absent == {"nnsight": "no network for nnsight"}


def test_reasons_name_no_place():
    said = environments.without_places("no https://some.host/simple/x, see /srv/there/log.txt")
    assert said == "no (address) see log.txt"


def test_a_row_length_changes_no_loss(spec, truth):
    score = contestants.load("workbench", spec)
    for tokens in (1, 40, 4096):
        found = score(TEXTS, SPOTS, row_tokens=tokens)["losses"]
        assert scoring._errors(found, truth)["loss"] < 2e-5


def test_another_shape_gets_random_weights(spec):
    hf = contestants.load_hf({**spec, "config": {"num_hidden_layers": 2}}, "sdpa")
    assert len(hf.model.layers) == 2
    assert hf.dtype == torch.float32


def test_contestants_take_turns_at_the_beginning():
    assert [processes.rotated(["a", "b", "c"], n)[0] for n in range(4)] == ["a", "b", "c", "a"]


# ---- documents ----------------------------------------------------------------------------------


def test_lengths_are_mixed_and_the_same_every_time():
    wanted = documents.lengths(56)
    assert wanted == documents.lengths(56) == sorted(wanted)
    assert (wanted[0], wanted[-1], len(set(wanted)) > 40) == (64, 1024, True)


def test_documents_have_the_lengths_and_begin_as_their_texts():
    texts = [list(range(start, start + size)) for start, size in ((0, 5), (100, 50), (300, 20))]
    found = documents.cut(texts, [10, 4, 20])
    assert sorted(map(len, found)) == [4, 10, 20]
    assert all(piece in [text[: len(piece)] for text in texts] for piece in found)
    with pytest.raises(ValueError, match="no text of 30 tokens is left"):
        documents.cut(texts, [30, 30])


def test_spread_keeps_the_shortest_and_the_longest():
    assert [len(ids) for ids in documents.spread([[0] * n for n in range(1, 10)], 3)] == [1, 5, 9]


# ---- counting -----------------------------------------------------------------------------------


def test_naive_count_is_what_torch_counts(spec):
    shape = flops.Shape.of(config(spec))
    score = contestants.load("naive-eager", spec)
    with FlopCounterMode(display=False) as counter:
        score(TEXTS, [])  # two passes without a mask
    assert counter.get_total_flops() == flops.naive(shape, map(len, TEXTS), whole_square=True)


def test_needed_count():
    shape = flops.Shape(3, 8, 4, 2, 2, 16, 50)
    assert shape.linear == 2 * (8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 16)
    pairs = 10 * 11 // 2
    one = 3 * (10 * shape.linear + pairs * 4 * shape.pair) + 9 * shape.logits
    assert flops.needed(shape, [10], []) == one
    last = 10 * shape.linear + pairs * 3 * shape.pair + 9 * shape.logits  # one head less
    assert flops.needed(shape, [10], [(2, 1)]) == one + last
    every = [(layer, head) for layer in range(3) for head in range(4)]
    whole = flops.needed(shape, [10], every)
    assert whole == one + 3 * 10 * shape.linear + 9 * shape.logits
    assert whole < flops.naive(shape, [10], whole_square=False)


def test_growth_masks_the_detected_heads_first():
    points = {head.label: head.heads for head in growth._heads([[1, 2]])}
    assert points["14 (from layer 17)"] == list(HEADS)
    assert len(set(points["270 (from layer 0)"])) == 270
    assert len(growth.upper_heads(30, 9)) == 14


# ---- a device -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_a_device(tmp_path_factory):
    """What `make bench BENCH_OPTIONS='--device cuda'` does, on the CPU and with one small model.

    Attention takes its one call a layer, as on a GPU, with the reference in the kernel's place.
    """
    with pytest.MonkeyPatch.context() as patch:
        windows = on_the_cpu(patch)
        (name, case), *_ = device.cases(quick=True).items()
        patch.setattr(device, "cases", lambda quick: {name: case})
        patch.setattr(device, "SECONDS", 0)  # one round
        saved = []
        device.run(Settings(model=None, quick=True), saved.append)
    assert set(windows) == {(-1, 0)}
    return saved[-1]


def test_a_device_is_measured_against_padded_passes(on_a_device):
    (case,) = on_a_device["cases"].values()
    assert {way: len(timed) for way, timed in case["seconds"].items()} == {
        "workbench": 1, "padded": 1,
    }  # fmt: skip
    assert max(error["loss"] for error in case["errors"].values()) < 1e-5
    assert case["tokens"] == sum(documents.lengths(6, 8, 64))
    text = device.render(on_a_device)
    assert "241 B tokens, the paper's corpus: not measured." in text
    # Peak and memory of both ways, launches, the corpus, the peers.
    assert text.count("not measured") == 7


def test_what_a_card_would_take_for_the_papers_corpus():
    case = {
        "parameters": 13e8, "documents": 2, "tokens": 1_000_000, "longest": 4096, "heads": 16,
        "row_tokens": 32768, "needed": 4e15, "launches": 900,
        "seconds": {"workbench": [8.0, 10.0, 12.0], "padded": []}, "memory": {"workbench": 30.0},
        "absent": {"padded": "out of memory"},
        "errors": {"workbench": {"loss": 1e-3, "score": 1e-4}},
    }  # fmt: skip
    data = {"device": "H100", "dtype": "bfloat16", "peak": 989, "gemm": 800.0, "cases": {"x": case}}
    text = device.render(data)
    # 1,000,000 tokens in 10 s; 4 PFLOP in 10 s are 400 TFLOP/s.
    assert "| x, workbench | 100,000 | - | 40 % | 50 % | 30.0 | 900 | 1.0e-03 | 1.0e-04 |" in text
    assert "241 B tokens, the paper's corpus: x 669 hours of such a card." in text
    assert "| x, two padded passes | out of memory |" in text
    priced = device.render({**data, "price": 2.5, "cases": {"x": case, "y": case}})
    each = "669 hours of such a card, 1,674 at 2.5 an hour"  # 241,000 times 10 s
    assert f"241 B tokens, the paper's corpus: x {each}; y {each}." in priced


@pytest.mark.parametrize(
    "words", ["--price 2.5", "--device cuda --price 0", "--device cuda --price nan"]
)
def test_a_price_is_of_an_hour_of_a_measured_device(words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", *words.split()])
    with pytest.raises(SystemExit):
        __main__.main()
    assert "--price is a number above 0" in capsys.readouterr().err


def test_cases_have_the_sizes_that_they_are_named_after():
    sizes = {"default model's shape": 134.5e6, "paper's selector": 1.3e9}
    for name, case in device.cases(quick=False).items():
        shape = flops.Shape.of(case.config)
        weights = shape.layers * shape.linear // 2 + shape.vocabulary * shape.width
        assert abs(weights / sizes[name] - 1) < 0.01
        assert all(0 <= layer < shape.layers and head < shape.heads for layer, head in case.heads)
    assert round(100 * len(case.heads) / (shape.layers * shape.heads)) == 5


def test_padded_batches_hold_every_text_once_and_no_more_than_they_may(monkeypatch):
    monkeypatch.setattr(device, "PADDED", 100)
    lengths = [30, 90, 10, 31, 50, 120]
    batches = list(device.padded_batches(lengths))
    assert batches == [[2, 0, 3], [4], [1], [5]]


# ---- writing ------------------------------------------------------------------------------------


def test_numbers_are_written_with_three_digits():
    written = [figures.significant(value) for value in (0, 0.01234, 0.5, 1.2345, 12.345, 1234.5)]
    assert written == ["0", "0.0123", "0.500", "1.23", "12.3", "1,234"]
    assert figures.spread([2.0, 1.0, 3.0]) == "2.00 (1.00 to 3.00)"


def measured() -> dict[str, dict]:
    """Results as the sections leave them."""
    names = ("workbench", "naive-eager")
    rates = {"square": 90.0, "flat": 80.0}
    error = {"loss": 1e-6, "score": 2e-6}
    return {
        "scoring": {
            "documents": 3, "tokens": 300, "longest": 200, "median": 80, "digest": "abc",
            "flops": dict.fromkeys(names, 9e10), "idle": 0.001, "absent": {"nnsight": "no network"},
            "rounds": [{"workbench": 2.0, "naive-eager": 5.0, "sgemm": rates}] * 2,
            "others": [0.1, 0.2],
            "errors": dict.fromkeys(names, error), "unsteady": dict.fromkeys(names, 0.0),
        },
        "memory": {
            "tasks": ["short", "long"], "absent": {},
            "found": {"workbench": {"short": {"before": 1000.0, "peak": 1200.0}}},
        },
        "growth": {
            "corpus": "3 documents", "absent": {},
            "points": [{"table": "length", "label": "256", "tokens": 256,
                        "seconds": {"workbench": [1.0, 2.0], "naive-sdpa": [3.0, 4.0]}}],
        },
        "detection": {
            "absent": {"output_attentions=True at 4,096 tokens": "too large"}, "difference": 0.0,
            "points": {"2000": {name: {"seconds": [1.0], "before": [5.0], "peak": [9.0]}
                                for name in detection.WAYS}},
        },
    }  # fmt: skip


def test_moves_of_a_slider_are_told_by_their_median_and_their_highest():
    text = sliders.render({"load": 0.5, "ways": {"params": [80.0, 120.0, 90.0]}})
    assert "| params | 3 | 90.0 | 120 | 1 |" in text
    assert "had a load of 0.5 before" in text


def test_a_section_run_alone_leaves_the_others(tmp_path):
    where = {
        "date": "today", "machine": "a machine", "system": "a system", "threads": 2,
        "versions": {"torch": "2"}, "command": "python -m benchmarks",
    }  # fmt: skip
    for name, data in measured().items():
        report.keep(tmp_path, name, data, where)
    report.keep(tmp_path, "memory", measured()["memory"], {**where, "date": "tomorrow"})
    text = report.write(tmp_path, __main__.SECTIONS.values())
    assert (tmp_path / "RESULTS.md").read_text(encoding="utf-8") == text
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        module.TITLE for module in (scoring, memory, growth, detection, device)
    ]
    assert "Not measured yet: `make bench BENCH_OPTIONS='--device cuda'`" in text
    assert "| naive eager | 5.00 (5.00 to 5.00) | 60.0 | 2.50 (2.50 to 2.50) |" in text
    assert "nnsight is missing: no network" in text
    assert text.count("today") == 3
    assert text.count("tomorrow") == 1


def test_committed_results_are_what_results_json_says():
    folder = Settings(model=processes.HERE).out
    if not (folder / "results.json").is_file():
        pytest.skip("nothing has been measured yet")
    kept = report.stored(folder)
    assert set(kept) <= set(__main__.SECTIONS)
    text = (folder / "RESULTS.md").read_text(encoding="utf-8")
    for name, result in kept.items():
        assert __main__.SECTIONS[name].render(result["measured"]) in text
