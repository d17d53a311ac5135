"""Blend files: the weights of a materialised selection, in the form that each trainer reads.

A trainer mixes sources: here the folders of `workbench.manifest.export.materialisation`, one a
domain (and repetition). Their natural weights are their tokens times their repetition, as the
scoring model counts tokens; a sequence drawn by such a weight is a token drawn by it. Paths are
relative to the materialised folder, so trainers are started in it. Trainers other than `datasets`
read tokens, not text: what turns our shards into them stands in a script beside each blend.

Formats, each as the project's own code reads it:

- nanotron: `data_stages` of its YAML configuration with `dataset_folder` and `dataset_weights` as
  lists (src/nanotron/config/config.py, NanosetDatasetsArgs, read at 6b2ff65 and its neighbours).
  The release 0.4 on PyPI is older than weights, and docs/nanoset.md shows a mapping of folders to
  weights that the code no longer takes.
- Megatron-LM: weights and prefixes in turn, for --data-args-path, and by split as JSON, for
  --per-split-data-args-path (get_blend_from_list of megatron-core 0.16.1).
- OLMo-core: a SourceMixtureList (olmo_core.data.source_mixture, ai2-olmo-core 3.0.0). It refuses
  requested_tokens beyond what a source holds at its ratio and repetition, as it counts tokens.
- MosaicML: `streams`, by name the arguments of streaming.Stream (mosaicml-streaming 0.13.0, as
  llm-foundry's data loader passes them on).
- datasets: the arguments of load_dataset for each source and of interleave_datasets; it draws
  documents, not tokens, so its probabilities are divided by the mean length of a document.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from workbench.core.files import write_atomically
from workbench.manifest.export.materialisation import read_index

FOLDER = "blends"
_TEXT = ("jsonl", "jsonl.zst")


class Source(NamedTuple):
    """One folder of the materialised selection, and its share of the tokens to train on.

    Attributes:
        name: of the folder.
        domain: of its documents.
        share: of the training tokens, in (0, 1].
        repeat: how often a document is to be trained on, 1 where copies were written.
        lines: of all its shards.
        tokens: of all its shards, as the scoring model counts them.
        shards: the paths of the shards, relative to the materialised folder.
    """

    name: str
    domain: str
    share: float
    repeat: int
    lines: int
    tokens: int
    shards: list[str]


def blend(out: str | os.PathLike[str], weights: Mapping[str, float] | None = None) -> list[Source]:
    """The sources of a materialised folder with their shares of the training tokens.

    Args:
        out: the folder that `materialise` finished.
        weights: the share of each domain, in any unit; None for the manifest's mixture, or without
            one for that of its tokens. Inside a domain the tokens decide.

    Returns:
        One Source a folder; their shares sum to 1. A domain to which the mixture gives nothing is
        left out.

    Raises:
        MaterialiseError: for a folder that is not finished.
        ValueError: for weights that do not name the domains, or are not above zero.
    """
    index = read_index(out)
    sources = index["sources"]
    if weights is None and "mixture" in index:
        weights = {domain: share for domain, share in index["mixture"].items() if share > 0}
        left_out = index["mixture"].keys() - weights.keys()
        sources = [source for source in sources if source["domain"] not in left_out]
    tokens: dict[str, int] = {}
    for source in sources:
        tokens[source["domain"]] = tokens.get(source["domain"], 0) + source["trained_tokens"]
    wanted = tokens if weights is None else weights
    if set(wanted) != set(tokens):
        differing = sorted(set(wanted) ^ set(tokens))
        raise ValueError(
            f"weights must name each domain of the selection once; odd: {differing!r:.200}"
        )
    if not all(math.isfinite(weight) and weight > 0 for weight in wanted.values()):
        raise ValueError(f"weights must be numbers above zero, got {dict(wanted)!r:.200}")
    total = sum(wanted.values())
    return [
        Source(
            source["folder"],
            source["domain"],
            wanted[source["domain"]] / total * source["trained_tokens"] / tokens[source["domain"]],
            source["repeat"],
            source["lines"],
            source["tokens"],
            [shard["path"] for shard in source["shards"]],
        )
        for source in sources
    ]


def write_blends(
    out: str | os.PathLike[str],
    trainers: Iterable[str] | None = None,
    *,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> list[Path]:
    """Write the blend files of trainers into `out`/blends/.

    Args:
        out: the folder that `materialise` finished.
        trainers: names of TRAINERS; None for all.
        weights: the share of each domain, in any unit; None for the manifest's mixture, or without
            one for that of its tokens.
        seed: for the trainers whose blend holds one.

    Returns:
        The paths of the files.

    Raises:
        MaterialiseError: for a folder that is not finished.
        ValueError: for an unknown trainer, weights as in `blend`, and shards that the trainer's
            tokenizer does not read.
    """
    names = list(TRAINERS if trainers is None else dict.fromkeys(trainers))
    unknown = sorted(set(names) - set(TRAINERS))
    if unknown:
        raise ValueError(f"unknown trainers {unknown}; there are {', '.join(TRAINERS)}")
    index = read_index(out)
    format, weighted = index["settings"]["format"], weights is not None or "mixture" in index
    sources = blend(out, weights)
    files: dict[str, str] = {}
    for name in names:
        trainer = TRAINERS[name]
        if format not in trainer.reads:
            raise ValueError(
                f"the tokenizer of {name} reads {' and '.join(trainer.reads)}, the shards are "
                f"{format}; materialise them as {trainer.reads[0]}, or leave {name} out"
            )
        files |= trainer.blend(sources, format, weighted, seed)
        if trainer.script:
            files[f"{name}.sh"] = _script(name, trainer, sources, format)
    folder = Path(out) / FOLDER
    folder.mkdir(exist_ok=True)
    return [write_atomically(folder / name, text.encode()) for name, text in files.items()]


def _nanotron(sources: list[Source], format: str, weighted: bool, seed: int) -> dict[str, str]:
    dataset = {
        "dataset_folder": [f"tokenized/nanotron/{source.name}" for source in sources],
        "dataset_weights": [source.share for source in sources],
    }
    data = {"dataset": dataset, "num_loading_workers": 1, "seed": seed}
    stage = {"name": "selection", "start_training_step": 1, "data": data}
    return {"nanotron.yaml": _yaml({"data_stages": [stage]})}


def _megatron(sources: list[Source], format: str, weighted: bool, seed: int) -> dict[str, str]:
    pairs = [
        (repr(source.share), f"tokenized/megatron/{source.name}_text_document")
        for source in sources
    ]
    train = [part for pair in pairs for part in pair]
    splits = {"train": train, "valid": None, "test": None}
    return {
        "megatron.txt": "".join(" ".join(pair) + "\n" for pair in pairs),
        "megatron.json": json.dumps(splits, indent=2) + "\n",
    }


def _olmo_core(sources: list[Source], format: str, weighted: bool, seed: int) -> dict[str, str]:
    entries = [
        {
            "source_name": source.name,
            "target_ratio": source.share,
            "paths": [f"tokenized/olmo-core/{source.name}/*.npy"],
            "max_repetition_ratio": float(source.repeat),
        }
        for source in sources
    ]
    return {"olmo-core.yaml": _yaml({"sources": entries})}


def _mosaicml(sources: list[Source], format: str, weighted: bool, seed: int) -> dict[str, str]:
    # `repeat` needs no count of tokens: every sample comes that often in an epoch.
    streams = {
        source.name: {
            "local": f"tokenized/mosaicml/{source.name}",
            **({"proportion": source.share} if weighted else {"repeat": float(source.repeat)}),
        }
        for source in sources
    }
    return {"mosaicml.yaml": _yaml({"streams": streams})}


def _datasets(sources: list[Source], format: str, weighted: bool, seed: int) -> dict[str, str]:
    lines = [source.share * source.lines / source.tokens for source in sources]
    kind = "parquet" if format == "parquet" else "json"
    arguments = {
        "load_dataset": [
            {"path": kind, "data_files": source.shards, "split": "train"} for source in sources
        ],
        "interleave_datasets": {
            "probabilities": [share / sum(lines) for share in lines],
            "seed": seed,
            "stopping_strategy": "all_exhausted",
        },
    }
    return {"datasets.json": json.dumps(arguments, indent=2) + "\n"}


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False)


class Trainer(NamedTuple):
    """How the blend of a trainer is made.

    Attributes:
        blend: gives the text of each file by its name, from sources, format, whether weights were
            given, and seed.
        reads: the formats of shards that its tokenizer reads.
        needs: what the script needs, for its first lines.
        script: the tokenizer's command for one source: {name}, {shards} (a pattern), {cat} (what
            prints them), {suffix}.
    """

    blend: Callable[[list[Source], str, bool, int], dict[str, str]]
    reads: tuple[str, ...]
    needs: str = ""
    script: str = ""


TRAINERS = {
    "nanotron": Trainer(
        _nanotron,
        ("jsonl", "jsonl.zst", "parquet"),
        "NANOTRON: a checkout of nanotron with datatrove",
        'python "$NANOTRON/tools/preprocess_data.py" --tokenizer-name-or-path "$TOKENIZER" \\\n'
        "  --output-folder tokenized/nanotron/{name} --n-tasks 1 --reader {reader} \\\n"
        '  --dataset {name} --glob-pattern "*.{suffix}"',
    ),
    "megatron": Trainer(
        _megatron,
        _TEXT,
        "MEGATRON: a checkout of Megatron-LM",
        "{cat} > tokenized/megatron/{name}.jsonl\n"
        'python "$MEGATRON/tools/preprocess_data.py" --input tokenized/megatron/{name}.jsonl \\\n'
        "  --output-prefix tokenized/megatron/{name} --tokenizer-type HuggingFaceTokenizer \\\n"
        '  --tokenizer-model "$TOKENIZER" --append-eod --workers 2',
    ),
    "olmo-core": Trainer(
        _olmo_core,
        _TEXT,
        "EOS: the number of the end-of-text token; DTYPE: uint16, or uint32\n"
        "# for a vocabulary beyond 65,535; and the package dolma",
        "dolma tokens --documents '{shards}' --destination tokenized/olmo-core/{name} \\\n"
        '  --tokenizer.name_or_path "$TOKENIZER" --tokenizer.eos_token_id "$EOS" --dtype "$DTYPE"',
    ),
    "mosaicml": Trainer(
        _mosaicml,
        _TEXT,
        "FOUNDRY: a checkout of llm-foundry; LENGTH: tokens of a sequence; EOS_TEXT",
        'python "$FOUNDRY/scripts/data_prep/convert_dataset_json.py" --path {name} \\\n'
        '  --out_root tokenized/mosaicml/{name} --split train --concat_tokens "$LENGTH" \\\n'
        '  --tokenizer "$TOKENIZER" --eos_text "$EOS_TEXT"',
    ),
    "datasets": Trainer(_datasets, ("jsonl", "jsonl.zst", "parquet")),
}


def _script(name: str, trainer: Trainer, sources: list[Source], format: str) -> str:
    """A shell script of the commands; names of sources are plain by `source_folder`."""
    head = (
        "#!/bin/sh\n"
        f"# Tokenizes the shards for {name}. Start it in the materialised folder, with\n"
        f"# TOKENIZER: a Hugging Face id or folder; {trainer.needs}.\n"
        f"set -eu\nmkdir -p tokenized/{name}\n"
    )
    commands = []
    for source in sources:
        shards = f"{source.name}/shard-*.{format}"
        commands.append(
            trainer.script.format(
                name=source.name,
                shards=shards,
                suffix=format,
                cat=f"{'zstd -dcq' if format.endswith('zst') else 'cat'} {shards}",
                reader="parquet" if format == "parquet" else "jsonl",
            )
        )
    return head + "\n".join(commands) + "\n"
