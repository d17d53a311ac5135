"""Blend files: read by the trainers' own code, which then draws tokens in the stated shares."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import datasets
import pytest
import yaml
from manifest.export.test_materialisation import chosen_folder
from support.paths import TESTS
from support.run_folders import HOSTILE
from trainers import environment

from workbench.manifest.export.blends import TRAINERS, blend, write_blends
from workbench.manifest.export.materialisation import MaterialiseError, materialise

DOMAINS = ["code", "books", HOSTILE, "../up"]
READERS = ["megatron", "olmo_core", "mosaicml"]
WEIGHTS = {"code": 1, "books": 2, HOSTILE: 3, "../up": 2}


@pytest.fixture(scope="module")
def selection(tmp_path_factory):
    """A manifest over 400 documents whose number and length differ by domain, and the corpus."""
    folder, chance = tmp_path_factory.mktemp("selection"), random.Random(0)
    domains = chance.choices(DOMAINS, weights=[5, 3, 2, 1], k=400)
    longer = {"code": 12, "books": 1, HOSTILE: 1, "../up": 5}
    texts = [f"text {i} " * (1 + i % 7) * longer[name] for i, name in enumerate(domains)]
    return folder, chosen_folder(folder, texts, domains, fraction=0.9)


@pytest.fixture
def made(selection, tmp_path):
    """Text shards of which every document of one domain counts three times."""

    def make(format="jsonl", **options):
        materialise(
            selection[0], selection[1], tmp_path / "out", format=format, shard_tokens=4000,
            **{"repeat": {"books": 3}, "repeats": "weight"} | options,
        )  # fmt: skip
        return tmp_path / "out"

    return make


def tokens_by_domain(out):
    index = json.loads((out / "index.json").read_text())
    return {source["domain"]: source["trained_tokens"] for source in index["sources"]}


def test_natural_shares_are_those_of_the_trained_tokens(made):
    out = made()
    tokens = tokens_by_domain(out)
    sources = blend(out)
    assert sum(source.share for source in sources) == pytest.approx(1)
    for source in sources:
        assert source.share == pytest.approx(tokens[source.domain] / sum(tokens.values()))
        assert source.repeat == (3 if source.domain == "books" else 1)


def test_given_weights_replace_them(made):
    shares = {source.domain: source.share for source in blend(made(), WEIGHTS)}
    assert shares == pytest.approx({name: weight / 8 for name, weight in WEIGHTS.items()})


# datasets is a dependency of the tests: its own functions read the arguments as they stand.
@pytest.mark.parametrize(
    ("format", "weights"),
    [("jsonl", None), ("jsonl", WEIGHTS), ("jsonl.zst", WEIGHTS)],
)
def test_datasets_interleaves_tokens_in_these_shares(made, tmp_path, monkeypatch, format, weights):
    out = made(format)
    write_blends(out, ["datasets"], weights=weights, seed=1)
    monkeypatch.chdir(out)
    stored = json.loads(Path("blends/datasets.json").read_text())
    parts = [
        datasets.load_dataset(**source, cache_dir=str(tmp_path / "cache"), streaming=True)
        for source in stored["load_dataset"]
    ]
    # Drawn on without end, so that the shares are those of the draws and not of what is there.
    mixed = datasets.interleave_datasets(
        [part.repeat(None) for part in parts], **stored["interleave_datasets"]
    )
    drawn = Counter()
    for row in mixed.take(4000):
        drawn[row["domain"]] += row["tokens"]
    for source in blend(out, weights):
        assert drawn[source.domain] / drawn.total() == pytest.approx(source.share, abs=0.04)


@pytest.mark.parametrize(
    "format",
    ["jsonl", *(pytest.param(n, marks=pytest.mark.slow) for n in ("jsonl.zst", "parquet"))],
)
def test_datasets_stops_after_all_documents(made, tmp_path, monkeypatch, format):
    out = made(format)
    write_blends(out, ["datasets"])
    monkeypatch.chdir(out)
    stored = json.loads(Path("blends/datasets.json").read_text())
    parts = [
        datasets.load_dataset(**source, cache_dir=str(tmp_path / "cache"), streaming=True)
        for source in stored["load_dataset"]
    ]
    mixed = datasets.interleave_datasets(parts, **stored["interleave_datasets"])
    index = json.loads(Path("index.json").read_text())
    assert len({(row["source"], row["row"]) for row in mixed}) == index["documents"]


@pytest.fixture(scope="module")
def drawn(selection, tmp_path_factory):
    """What each trainer's own code draws, by natural and by given weights: tokens by source."""
    try:
        packages = environment.packages()
    except environment.Unavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the trainers' packages cannot be had here: {error}")
    outs, blended = [], {}
    for name, weights in (("natural", None), ("given", WEIGHTS)):
        outs.append(tmp_path_factory.mktemp(name) / "out")
        materialise(*selection, outs[-1], repeat={"books": 3}, repeats="weight")
        write_blends(outs[-1], weights=weights)
        blended[name] = blend(outs[-1], weights)
    script = TESTS / "trainers" / "read_blends.py"
    done = subprocess.run(
        [sys.executable, str(script), str(packages), *map(str, outs)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    by_folder = json.loads(done.stdout.splitlines()[-1])
    return dict(zip(blended, zip(blended.values(), by_folder, strict=True), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("trainer", READERS)
@pytest.mark.parametrize("name", ["natural", "given"])
def test_the_trainers_own_code_draws_these_shares(drawn, trainer, name):
    sources, by_trainer = drawn[name]
    tokens = by_trainer[trainer]
    assert set(tokens) == {source.name for source in sources}
    for source in sources:
        share = tokens[source.name] / sum(tokens.values())
        assert share == pytest.approx(source.share, abs=0.005), source.name


def test_nanotron_has_the_form_that_its_configuration_takes(made):
    """By hand against nanotron's src/nanotron/config/config.py (see
    workbench.manifest.export.blends): the release
    on PyPI, 0.4, has no weights yet, so it cannot be asked."""
    out = made()
    write_blends(out, ["nanotron"])
    read = yaml.safe_load((out / "blends/nanotron.yaml").read_text())
    assert set(read) == {"data_stages"}
    (stage,) = read["data_stages"]
    assert set(stage) == {"name", "start_training_step", "data"}
    assert stage["start_training_step"] == 1  # one stage must
    assert set(stage["data"]) == {"dataset", "seed", "num_loading_workers"}
    dataset = stage["data"]["dataset"]
    assert set(dataset) == {"dataset_folder", "dataset_weights"}
    assert [Path(folder).name for folder in dataset["dataset_folder"]] == [
        source.name for source in blend(out)
    ]
    assert dataset["dataset_weights"] == [source.share for source in blend(out)]
    assert all(isinstance(weight, float) for weight in dataset["dataset_weights"])


def test_tiny_shares_stay_numbers_in_yaml(selection, tmp_path):
    materialise(*selection, tmp_path / "out")
    write_blends(tmp_path / "out", weights={**WEIGHTS, "code": 1e-7})
    read = yaml.safe_load((tmp_path / "out/blends/olmo-core.yaml").read_text())
    assert min(source["target_ratio"] for source in read["sources"]) == pytest.approx(1e-7 / 7)


RECORDER = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word" >> "$LOG"; done\n'


@pytest.mark.parametrize("trainer", [name for name, trainer in TRAINERS.items() if trainer.script])
@pytest.mark.parametrize("format", ["jsonl", "jsonl.zst"])
def test_the_script_names_every_source_and_runs_nothing_else(made, tmp_path, trainer, format):
    """The script is really run; the trainers' commands in it are replaced by one that takes notes,
    since their tokenizers are no packages."""
    out = made(format)
    write_blends(out, [trainer])
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("python", "dolma", "zstd"):
        (commands / name).write_text(RECORDER)
        (commands / name).chmod(0o755)
    log = tmp_path / "log"
    variables = {
        name: "some name"
        for name in (
            "TOKENIZER",
            "NANOTRON",
            "MEGATRON",
            "EOS",
            "DTYPE",
            "FOUNDRY",
            "LENGTH",
            "EOS_TEXT",
        )
    }
    before = {path.name for path in out.iterdir()}
    subprocess.run(
        ["sh", f"blends/{trainer}.sh"], cwd=out, check=True,
        env={**os.environ, **variables, "LOG": str(log),
             "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    words = log.read_text().splitlines()
    assert "some name" in words  # the tokenizer, as one word
    for source in blend(out):
        assert any(source.name in word for word in words)
    assert {path.name for path in out.iterdir()} - before == {"tokenized"}
    if trainer == "megatron" and format == "jsonl":
        for source in blend(out):
            text = (out / f"tokenized/megatron/{source.name}.jsonl").read_bytes()
            assert text == b"".join((out / shard).read_bytes() for shard in source.shards)


def test_paths_are_relative_and_blends_are_the_same_every_time(made):
    out = made()
    first = {path.name: path.read_bytes() for path in write_blends(out)}
    assert {path.name: path.read_bytes() for path in write_blends(out)} == first
    assert set(first) == {
        "nanotron.yaml", "nanotron.sh", "megatron.txt", "megatron.json", "megatron.sh",
        "olmo-core.yaml", "olmo-core.sh", "mosaicml.yaml", "mosaicml.sh", "datasets.json",
    }  # fmt: skip
    for text in first.values():
        assert str(out).encode() not in text


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"trainers": ["maxtext"]}, "unknown trainers"), ({"weights": {"code": 1}}, "each domain"),
     ({"weights": {**WEIGHTS, "code": 0}}, "above zero"),
     ({"weights": {**WEIGHTS, "code": float("nan")}}, "above zero")],
)  # fmt: skip
def test_refuses_what_makes_no_blend(made, wrong, says):
    with pytest.raises(ValueError, match=says):
        write_blends(made(), **wrong)


def test_refuses_shards_that_the_tokenizer_does_not_read(made):
    out = made("parquet")
    with pytest.raises(ValueError, match="megatron reads jsonl"):
        write_blends(out, ["megatron"])
    assert not (out / "blends").exists()


def test_refuses_a_folder_that_is_not_finished(tmp_path):
    with pytest.raises(MaterialiseError, match="not a materialised folder"):
        write_blends(tmp_path)
