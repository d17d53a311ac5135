"""Training from scratch: the same as a plain loop, the paper's schedule, and nothing lost by a
stop."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from support.models import make_tokenizer
from support.paths import TESTS
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

import workbench as wb
from workbench.training import pretraining
from workbench.training.checkpointing import RESUME
from workbench.training.data import TokenRows


def documents_of(first, last):
    texts = [f"{a} and {b} make {a + b}, so {a + b} less {b} is {a}. " * 3
             for a in range(first, last) for b in range(3)]  # fmt: skip
    return [wb.Document(f"d{i}", t, "sums", "memory", i) for i, t in enumerate(texts, 3 * first)]


DOCUMENTS, HELD_OUT = documents_of(0, 12), documents_of(12, 14)
TEXTS = [document.text for document in DOCUMENTS]
TOKENIZER = wb.train_tokenizer(TEXTS, 280)
RECIPE = wb.Recipe(wb.Decoder(2, 32, 2, 1, context=32), steps=12, batch=4, warm_up=0.25)


def train(**more):
    options = {"tokenizer": TOKENIZER, "held_out": HELD_OUT, "evaluate_every": 3} | more
    recipe = options.pop("recipe", RECIPE)
    return wb.pretrain(options.pop("documents", DOCUMENTS), recipe, **options)


def broken(text):
    return wb.Document("odd", text, "sums", "memory", 99)


@pytest.fixture(scope="module")
def whole():
    return train()


def safe_weights(folder):
    state = safetensors.torch.load_file(folder / RESUME)
    return {name: value for name, value in state.items() if name.startswith("weight.")}


def weights(training):
    return {name: p.detach() for name, p in training.model.hf.named_parameters()}


def same(first, second):
    return all(torch.equal(p, weights(second)[name]) for name, p in weights(first).items())


def test_a_plain_loop_ends_with_the_same_weights(whole):
    hf = RECIPE.decoder.build(TOKENIZER, 0)
    matrices = [p for p in hf.parameters() if p.dim() > 1]
    norms = [p for p in hf.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
    )
    rows = TokenRows(DOCUMENTS, TOKENIZER, 32).rows(0)
    # Three steps of warm-up from a tenth, six at the full rate, three of decay to a tenth.
    rates = [0.0003, 0.0012, 0.0021, *[0.003] * 7, 0.003 * 0.7, 0.003 * 0.4]
    losses = []
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids = torch.tensor(np.stack([next(rows) for _ in range(4)]))
        logits = hf(ids).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(hf.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    for name, parameter in hf.named_parameters():
        torch.testing.assert_close(weights(whole)[name], parameter.detach(), atol=2e-5, rtol=1e-4)
    np.testing.assert_allclose(
        whole.history["loss"], np.reshape(losses, (4, 3)).mean(axis=1), rtol=1e-4
    )


def test_history_says_what_was_read(whole):
    assert whole.history["step"].tolist() == [3, 6, 9, 12]
    assert whole.history["tokens"].tolist() == [384, 768, 1152, 1536]
    assert whole.history["learning_rate"].tolist() == pytest.approx([0.0021, 0.003, 0.003, 0.0012])
    assert whole.held_out["loss"].iloc[-1] < whole.held_out["loss"].iloc[0]


def test_held_out_loss_is_the_models_own(whole):
    rows = TokenRows(HELD_OUT, TOKENIZER, 32).middles(3)[:16]
    with torch.inference_mode():
        losses = [whole.model.hf(ids, labels=ids).loss for ids in torch.tensor(rows).split(1)]
    assert whole.held_out["loss"].iloc[-1] == pytest.approx(float(torch.stack(losses).mean()), 1e-5)


def test_default_schedule_is_the_papers():
    recipe = wb.Recipe(steps=4000)
    assert (recipe.warm_up, recipe.decay) == (0.001, 0.25)
    loop = pretraining._Loop(recipe, RECIPE.decoder.build(TOKENIZER))
    loop.begin_at(0)
    rate = loop.schedule.lr_lambdas[0]
    assert [rate(step) for step in (0, 2, 4, 3000, 3500, 4000)] == pytest.approx(
        [0.1, 0.55, 1, 1, 0.55, 0.1]
    )


@pytest.mark.parametrize("stop", [1, 5, 8, 12])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(whole, stop, tmp_path, monkeypatch):
    step, done = pretraining._Loop.step, 0

    def until_stopped(self, rows):
        nonlocal done
        done += 1
        if done == stop:
            raise KeyboardInterrupt
        return step(self, rows)

    monkeypatch.setattr(pretraining._Loop, "step", until_stopped)
    with pytest.raises(KeyboardInterrupt):
        train(out=tmp_path, save_every=2, save_at=[0, 4])
    done = 100  # from here on nothing stops it
    again = train(out=tmp_path, save_every=2, save_at=[0, 4])
    assert done - 100 == 12 - (stop - 1) // 2 * 2  # what had been saved was not trained again
    assert same(whole, again)
    assert whole.history.equals(again.history)
    assert whole.held_out.equals(again.held_out)
    assert list(again.checkpoints) == [0, 4, 12]


def test_a_finished_run_trains_nothing(whole, tmp_path, monkeypatch):
    train(out=tmp_path)
    monkeypatch.setattr(pretraining._Loop, "step", lambda *_: pytest.fail("trained again"))
    again = train(out=tmp_path)
    assert same(whole, again)
    assert whole.history.equals(again.history)


def test_checkpoints_are_models(tmp_path):
    run = train(out=tmp_path, save_at=[0])
    first = wb.load_model(run.checkpoints[0], certify=False)
    fresh = RECIPE.decoder.build(TOKENIZER, 0)
    assert all(
        torch.equal(a, b) for a, b in zip(first.hf.parameters(), fresh.parameters(), strict=True)
    )
    last = wb.load_model(run.checkpoints[12])  # certified: warnings are errors below
    (ours,), (reloaded,) = (wb.token_losses(m, [TEXTS[3]])[0] for m in (run.model, last))
    np.testing.assert_array_equal(ours, reloaded)
    assert not list(tmp_path.rglob("*.bin"))
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"recipe": dataclasses.replace(RECIPE, batch=2)}, "batch was 4, is 2"),
        ({"documents": DOCUMENTS[1:]}, "data was"),
        ({"weights": [2.0] * len(DOCUMENTS)}, "data was"),
        ({"held_out": documents_of(14, 16)}, "held_out was"),  # as many rows, other text
    ],
)
def test_another_run_in_the_folder_is_refused(change, message, tmp_path):
    train(out=tmp_path)
    with pytest.raises(ValueError, match=message):
        train(out=tmp_path, **change)


def test_a_stopped_run_keeps_its_folder_from_the_first_step_on(tmp_path, monkeypatch):
    monkeypatch.setattr(
        pretraining._Loop, "step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        train(out=tmp_path, save_at=[0])
    with pytest.raises(ValueError, match="seed was 0, is 1"):
        train(out=tmp_path, save_at=[0], seed=1)


def test_checkpoints_of_a_run_that_was_removed_are_replaced(tmp_path):
    train(out=tmp_path, save_at=[0, 4])
    (tmp_path / RESUME).unlink()
    run = train(out=tmp_path, save_at=[0, 4], seed=1)
    last = wb.load_model(run.checkpoints[12], certify=False)
    assert all(torch.equal(p, weights(run)[name]) for name, p in last.hf.named_parameters())
    first = wb.load_model(run.checkpoints[0], certify=False)
    fresh = dict(RECIPE.decoder.build(TOKENIZER, 1).named_parameters())
    assert all(torch.equal(p, fresh[name]) for name, p in first.hf.named_parameters())


def test_a_checkpoint_that_was_not_kept_is_not_promised(tmp_path):
    train(out=tmp_path)
    with pytest.raises(ValueError, match=r"steps \[4\] had passed"):
        train(out=tmp_path, save_at=[4])


def test_a_checkpoint_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(type(TOKENIZER), "save_pretrained", full)
    with pytest.raises(OSError, match="disk full"):
        train(out=tmp_path, save_at=[4])
    assert not list(tmp_path.glob("step-*"))


def test_an_older_checkpoint_stays_until_the_new_one_stands(tmp_path, monkeypatch):
    train(out=tmp_path)
    (tmp_path / RESUME).unlink()  # so that the last step is written again
    rename = Path.rename

    def stopped(path, target):
        if path.name.endswith(".half"):
            raise OSError("the machine went down")
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stopped)
        with pytest.raises(OSError, match="went down"):
            train(out=tmp_path, seed=1)
    old = wb.load_model(tmp_path / "step-000012", certify=False)
    (tmp_path / RESUME).unlink()
    run = train(out=tmp_path, seed=1)
    new = wb.load_model(run.checkpoints[12], certify=False)
    assert all(torch.equal(p, weights(run)[name]) for name, p in new.hf.named_parameters())
    assert not torch.equal(old.hf.lm_head.weight, new.hf.lm_head.weight)
    assert sorted(path.name for path in tmp_path.iterdir()) == [RESUME, "step-000012"]


def test_a_training_that_diverges_stops_and_keeps_what_was_good(tmp_path):
    steep = dataclasses.replace(RECIPE, learning_rate=1e20, warm_up=0.0, clip=1e30)
    with pytest.raises(ValueError, match=r"loss of step \d+ is (nan|inf).* Lower learning_rate"):
        train(recipe=steep, out=tmp_path, save_every=1)
    last = safe_weights(tmp_path)
    assert last
    assert all(torch.isfinite(weight).all() for weight in last.values())


def test_empty_documents_train_as_ends():
    run = train(documents=[*DOCUMENTS, *[broken("")] * 40], held_out=())
    assert np.isfinite(run.history["loss"]).all()


def test_a_tokenizer_without_an_end_is_told_what_it_lacks():
    bare = wb.train_tokenizer(TEXTS, 280)
    bare.eos_token = None
    with pytest.raises(ValueError, match="no end token, which stands behind every document"):
        train(tokenizer=bare)
    with pytest.raises(TypeError, match=r"got one text: pass \[text\]"):
        wb.train_tokenizer("one text", 280)


def test_a_vocabulary_with_gaps_has_a_row_for_every_token():
    vocabulary = {symbol: 3 * i for i, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    inner = Tokenizer(BPE(vocab=vocabulary | {"<end>": 900}, merges=[]))
    inner.pre_tokenizer = ByteLevel(add_prefix_space=False)
    gaps = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
    assert len(gaps) == 257
    assert np.isfinite(train(tokenizer=gaps, held_out=()).history["loss"]).all()


def test_what_is_never_trained_on_may_be_held_out():
    weights = [0.0] + [1.0] * (len(DOCUMENTS) - 1)
    run = train(
        weights=weights, held_out=DOCUMENTS[:1], recipe=dataclasses.replace(RECIPE, steps=1)
    )
    assert np.isfinite(run.held_out["loss"]).all()


def test_held_out_rows_are_spread_over_the_documents():
    texts = ["a" * 400, *[letter * 60 for letter in "bcdefg"]]
    documents = [wb.Document(t[0], t, "x", "memory", i) for i, t in enumerate(texts)]
    (rows,) = pretraining._held_out_rows(documents, make_tokenizer(), 20, 8).values()
    assert rows.shape == (8, 20)
    assert len(np.unique(rows[:, 0])) >= 5


def test_a_broken_file_says_what_to_do(tmp_path):
    train(out=tmp_path)
    file = tmp_path / RESUME
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="remove it to begin anew"):
        train(out=tmp_path)


@pytest.mark.parametrize(
    ("steps", "warm_up", "decay", "rates"),
    [
        (3, 0.5, 0.5, [0.1, 0.55, 1]),
        (4, 0.001, 0, [0.1, 1, 1, 1]),
        (4, 0, 1, [1, 0.775, 0.55, 0.325]),
    ],
)
def test_shares_of_few_steps(steps, warm_up, decay, rates):
    recipe = dataclasses.replace(RECIPE, steps=steps, warm_up=warm_up, decay=decay)
    loop = pretraining._Loop(recipe, RECIPE.decoder.build(TOKENIZER))
    loop.begin_at(0)
    rate = loop.schedule.lr_lambdas[0]
    assert [rate(step) for step in range(steps)] == pytest.approx(rates)


def test_seeds_settle_the_run(whole):
    assert same(whole, train())
    assert not same(whole, train(seed=1))


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"batch": 0}, {"learning_rate": 0}, {"clip": 0}, {"warm_up": -0.1},
     {"warm_up": 0.8, "decay": 0.3}],
)  # fmt: skip
def test_recipes_that_cannot_be_trained(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        wb.Recipe(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"layers": 0}, {"width": 100, "heads": 8}, {"heads": 4, "kv_heads": 3}, {"context": 1}],
)
def test_decoders_that_cannot_be_built(wrong):
    with pytest.raises(ValueError, match=r"positive|multiple"):
        wb.Decoder(**wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_at": [3]}, "pass out="),
        ({"save_at": [13], "out": "x"}, "0 to 12"),
        ({"documents": []}, "no documents"),
        ({"held_out": [wb.Document("s", "short", "tiny", "memory", 0)]}, "held-out domain 'tiny'"),
        ({"held_out": [*HELD_OUT, broken(TEXTS[3])]}, "1 of 7 held-out documents are trained on"),
        ({"held_out_rows": 0}, "held_out_rows"),
        ({"save_every": 0}, "save_every"),
        ({"recipe": dataclasses.replace(RECIPE, precision="fp16"), "out": "x"}, "fp16"),
        ({"weights": [1.0]}, "one weight"),
        ({"weights": [-1.0] * len(DOCUMENTS)}, "0 or more, and finite: that of document 0 is -1"),
        ({"weights": [1.0, float("nan")] * (len(DOCUMENTS) // 2)}, "that of document 1 is nan"),
        ({"weights": [float("inf")] * len(DOCUMENTS)}, "that of document 0 is inf"),
        ({"documents": [*DOCUMENTS, broken("caf\ud83d")]}, "document 36 has a lone surrogate"),
        ({"documents": [broken("a")]}, "1 documents give 2 tokens an epoch: a row needs 32"),
        ({"weights": [0.0] * len(DOCUMENTS)}, "a row needs"),
    ],
)
def test_wrong_settings_say_so(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        train(**options)


@pytest.mark.slow
def test_two_processes_train_the_same_model(whole, tmp_path):
    """The batch is shared by two processes; the averaged gradient is that of the whole batch."""
    script = tmp_path / "two.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from accelerate import Accelerator\n"
        "from training.test_pretraining import train\n"
        "run = train(out=sys.argv[2])\n"
        "assert all(folder.is_dir() for folder in run.checkpoints.values())\n"
        "assert Accelerator().num_processes == 2\n"
    )
    here = str(TESTS)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true",
    }  # fmt: skip
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone",
        str(script), here, str(tmp_path / "run"),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr[-3000:]
    two = wb.load_model(tmp_path / "run" / "step-000012", certify=False)
    for name, parameter in two.hf.named_parameters():
        torch.testing.assert_close(weights(whole)[name], parameter.detach(), atol=2e-4, rtol=1e-3)


@pytest.mark.slow
def test_a_run_in_half_precision_gives_a_plain_model():
    """In a process of its own, since accelerate's precision is that of the process."""
    code = (
        "import dataclasses, sys; sys.path.insert(0, sys.argv[1])\n"
        "import pytest, workbench as wb\n"
        "from training.test_pretraining import RECIPE, TOKENIZER, DOCUMENTS\n"
        "recipe = dataclasses.replace(RECIPE, precision='bf16', decoder=wb.Decoder(2, 32, 2, 1,"
        " context=128))\n"
        "run = wb.pretrain(DOCUMENTS, recipe, tokenizer=TOKENIZER)\n"
        "checks = {one.name: one.passed for one in wb.certify(run.model).checks}\n"
        "assert checks['masked head averages'] and checks['the model\\'s own loss'], checks\n"
        "with pytest.raises(ValueError, match='One process trains in one precision'):\n"
        "    wb.pretrain(DOCUMENTS, RECIPE, tokenizer=TOKENIZER)\n"
    )
    command = [sys.executable, "-c", code, str(TESTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr[-3000:]
