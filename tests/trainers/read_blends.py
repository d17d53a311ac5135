"""Run beside the trainers' packages: their own code reads our blend files, over tokenized sources.

`python read_blends.py PACKAGES FOLDER...`: each FOLDER is a materialised one; what the tokenizers
would write is written here with the projects' own writers, one token of ours being one token.
Prints, as JSON by folder, the tokens by source that each trainer then draws.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import types
from collections import Counter
from pathlib import Path

import numpy as np
import yaml

LENGTH = 4  # tokens of a sequence


def megatron(sources):
    import torch
    from megatron.core.datasets import helpers
    from megatron.core.datasets.blended_megatron_dataset_config import (
        BlendedMegatronDatasetConfig,
    )
    from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder
    from megatron.core.datasets.utils import get_blend_from_list

    Path("tokenized/megatron").mkdir(parents=True)
    for name, tokens in sources.items():
        prefix = f"tokenized/megatron/{name}_text_document"
        builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=np.int32)
        builder.add_document(torch.zeros(tokens, dtype=torch.int32), [tokens])
        builder.finalize(f"{prefix}.idx")
    blend = get_blend_from_list(Path("blends/megatron.txt").read_text().split())
    by_split = json.loads(Path("blends/megatron.json").read_text())
    splits = [get_blend_from_list(by_split[name]) for name in ("train", "valid", "test")]
    assert splits == [blend, None, None]
    BlendedMegatronDatasetConfig(random_seed=0, sequence_length=LENGTH, blend_per_split=splits)
    prefixes, weights = BlendedMegatronDatasetConfig(
        random_seed=0, sequence_length=LENGTH, blend=blend, split="1,0,0"
    ).blend
    assert [len(IndexedDataset(prefix)[0]) for prefix in prefixes] == list(sources.values())
    draws = 10_000
    which, place = np.zeros(draws, np.int16), np.zeros(draws, np.int64)
    helpers.build_blending_indices(which, place, weights, len(weights), draws, False)
    counts = np.bincount(which, minlength=len(prefixes))
    names = [Path(prefix).name.removesuffix("_text_document") for prefix in prefixes]
    return dict(zip(names, counts.tolist(), strict=True))


def olmo_core(sources):
    from olmo_core.data.source_mixture import SourceMixtureDatasetConfig, SourceMixtureList

    for name, tokens in sources.items():
        folder = Path("tokenized/olmo-core", name)
        folder.mkdir(parents=True)
        np.zeros(tokens, np.uint32).tofile(folder / "part-0-00000.npy")
    mixture = SourceMixtureList.from_yaml("blends/olmo-core.yaml")
    mixture.validate()
    # It refuses to be asked for more than a source holds at its ratio.
    most = min(
        sources[source.source_name] * source.max_repetition_ratio / source.target_ratio
        for source in mixture.sources
    )
    wanted = int(0.95 * most) // LENGTH * LENGTH
    made = SourceMixtureDatasetConfig(
        source_list=mixture, requested_tokens=wanted, global_batch_size=LENGTH,
        render_tables=False, quiet=True,
    ).build(npdtype=np.uint32, sequence_length=LENGTH)  # fmt: skip
    return {source.name: sum(path.tokens for path in source.path_tokens) for source in made.sources}


def mosaicml(sources):
    # Its __init__ also imports data sets of pictures, for which torchvision is missing here.
    package = types.ModuleType("streaming")
    package.__path__ = [str(Path(sys.argv[1], "streaming"))]
    sys.modules["streaming"] = package
    from streaming.base import MDSWriter, Stream, StreamingDataset

    for name, tokens in sources.items():
        with MDSWriter(out=f"tokenized/mosaicml/{name}", columns={"source": "str"}) as writer:
            for _ in range(tokens // LENGTH):
                writer.write({"source": name})
    streams = yaml.safe_load(Path("blends/mosaicml.yaml").read_text())["streams"]
    dataset = StreamingDataset(
        streams=[Stream(**arguments) for arguments in streams.values()], batch_size=1
    )
    return Counter(sample["source"] for sample in dataset)


def main():
    sys.path.insert(0, sys.argv[1])
    logging.disable(logging.CRITICAL)
    drawn = []
    for folder in sys.argv[2:]:
        os.chdir(folder)
        index = json.loads(Path("index.json").read_text())
        sources = {source["folder"]: source["tokens"] for source in index["sources"]}
        drawn.append({read.__name__: read(sources) for read in (megatron, olmo_core, mosaicml)})
    print("\n" + json.dumps(drawn))


if __name__ == "__main__":
    main()
