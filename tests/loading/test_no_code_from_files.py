"""Files from elsewhere are data: no pickle is loaded and no code runs, whatever a file is called.

Each file is a real one that would leave a mark, and the first tests prove that it would.
"""

from __future__ import annotations

import ast
import contextlib
import json
import pathlib
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from support.models import make_hf, make_tokenizer
from support.paths import ROOT

import workbench as wb
from workbench.corpus.reading import CorpusError, Skipped, read_corpus
from workbench.scoring.folder.reading import load_scores


class Pickled:
    """What touches a file when it is unpickled."""

    def __init__(self, mark: pathlib.Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return pathlib.Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path):
    """A file that is there at the end if anything ran."""
    return tmp_path / "ran"


@pytest.fixture
def folder(tmp_path):
    """A sound model, as transformers stores it."""
    folder = tmp_path / "model"
    make_hf("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def code_that_marks(mark: pathlib.Path) -> str:
    return f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"


def test_the_pickles_of_these_tests_would_run(tmp_path, mark):
    torch.save({"weight": Pickled(mark)}, tmp_path / "w.bin")
    torch.load(tmp_path / "w.bin", weights_only=False)
    assert mark.exists()


# ---- models -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.bin", "model.pt", "consolidated.pth"])
def test_a_folder_with_pickled_weights_alone_is_refused_with_what_to_do(folder, mark, name):
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Pickled(mark)}, folder / name)
    with pytest.raises(ValueError, match="safetensors") as caught:
        wb.load_model(folder, certify=False)
    assert "are not read" in str(caught.value)
    assert "save_pretrained" in str(caught.value)
    assert not mark.exists()


def test_a_folder_with_an_index_of_pickled_weights_is_refused(folder, mark):
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Pickled(mark)}, folder / "pytorch_model-00001-of-00001.bin")
    index = {"metadata": {}, "weight_map": {"weight": "pytorch_model-00001-of-00001.bin"}}
    for name in ("pytorch_model.bin.index.json", "model.safetensors.index.json"):
        (folder / name).write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"names \['pytorch_model-00001-of-00001.bin'\]"):
        wb.load_model(folder, certify=False)
    assert not mark.exists()


def test_a_pickle_called_safetensors_is_refused(folder, mark):
    torch.save({"weight": Pickled(mark)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="could not load"):
        wb.load_model(folder, certify=False)
    (folder / "model.gguf").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"could not load|GGUF"):
        wb.load_model(folder / "model.gguf", certify=False)
    assert not mark.exists()


def test_pickles_beside_sound_weights_are_left_alone(folder, mark):
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt"):
        torch.save(Pickled(mark), folder / name)
    for name in ("vocab.pkl", "tokenizer.pkl", "special_tokens_map.pkl"):
        (folder / name).write_bytes(pickle.dumps(Pickled(mark)))
    torch.save(Pickled(mark), folder / "adapter_model.bin")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.warns(UserWarning, match="the adapter is not applied"):
        assert wb.load_model(folder, certify=False).num_layers == 3
    assert not mark.exists()


@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
def test_code_of_a_model_runs_only_when_asked_for_by_name(folder, mark, where, monkeypatch):
    (folder / "theirs.py").write_text(
        code_that_marks(mark)
        + "from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
        + "class Config(LlamaConfig): model_type = 'theirs'\n"
        + "class Model(LlamaForCausalLM): config_class = Config\n"
        + "class Words(PreTrainedTokenizerFast): pass\n"
    )
    stated = json.loads((folder / where).read_text())
    if where == "config.json":
        stated["model_type"] = "theirs"
        stated["auto_map"] = {
            "AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"
        }  # fmt: skip
    else:
        stated["auto_map"] = {"AutoTokenizer": [None, "theirs.Words"]}
        stated["tokenizer_class"] = "Theirs"
    (folder / where).write_text(json.dumps(stated))
    with pytest.raises(ValueError, match="trust_remote_code"):
        wb.load_model(folder, certify=False)
    assert not mark.exists()
    cache = folder.parent / "modules"
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(cache))
    monkeypatch.syspath_prepend(str(cache))
    with contextlib.suppress(ValueError):  # what their code is good for is another matter
        wb.load_model(folder, certify=False, trust_remote_code=True)
    assert mark.exists()


def test_a_training_run_is_not_taken_up_from_a_pickle(tmp_path, mark):
    from workbench.training.checkpointing import RESUME, Resume

    hf = make_hf("llama")
    torch.save({"weight": Pickled(mark)}, tmp_path / RESUME)
    with pytest.raises(ValueError, match="not what a training run wrote"):
        Resume(tmp_path, {}).load(hf, torch.optim.AdamW(hf.parameters()))
    assert not mark.exists()


# ---- corpora and runs ---------------------------------------------------------------------------


def test_pickles_in_a_folder_of_texts_are_bytes(tmp_path, mark):
    top = tmp_path / "top"
    top.mkdir()
    for name in ("a.pkl", "a.pickle", "a.joblib", "a.txt"):
        (top / name).write_bytes(pickle.dumps(Pickled(mark)))
    torch.save(Pickled(mark), top / "a.pt")
    np.save(top / "a.npy", np.array([Pickled(mark)], dtype=object), allow_pickle=True)
    assert all(isinstance(item, Skipped) for item in read_corpus(top))
    assert not mark.exists()


def test_a_pickled_type_in_a_parquet_file_is_its_storage(tmp_path, mark):
    marked = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Pickled(mark)),
    }
    schema = pa.schema([pa.field("text", pa.string(), metadata=marked)])
    pq.write_table(pa.table({"text": ["x"]}, schema=schema), tmp_path / "c.parquet")
    assert [item.text for item in read_corpus(tmp_path / "c.parquet")] == ["x"]
    assert not mark.exists()


def test_a_saved_data_set_is_read_for_its_rows_alone(tmp_path, mark):
    import datasets

    top = tmp_path / "top"
    datasets.Dataset.from_list([{"text": "x"}]).save_to_disk(top)
    (top / "top.py").write_text(code_that_marks(mark))
    state = json.loads((top / "state.json").read_text())
    state |= {"_format_type": "custom", "_format_kwargs": {"transform": "os.system"}}
    (top / "state.json").write_text(json.dumps(state))
    info = json.loads((top / "dataset_info.json").read_text())
    info["features"]["text"] = {"_type": "Image"}  # `datasets` would open what the row names
    (top / "dataset_info.json").write_text(json.dumps(info))
    assert [item.text for item in read_corpus(top)] == ["x"]
    assert not mark.exists()


def test_the_script_of_a_data_set_does_not_run(tmp_path, mark, monkeypatch):
    place = tmp_path / "owner" / "name"
    place.mkdir(parents=True)
    (place / "name.py").write_text(code_that_marks(mark))
    (place / "train.jsonl").write_text('{"text": "x"}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_TRUST_REMOTE_CODE", "0")
    with contextlib.suppress(CorpusError):  # one version reads the rows, another refuses
        assert [item.text for item in read_corpus("hf://owner/name")] == ["x"]
    assert not mark.exists()


def test_a_run_folder_of_pickles_is_refused(tmp_path, mark):
    from support.run_folders import lay_down_run

    for name in ("run.json", "skipped.jsonl", "scores/part-0.parquet"):
        folder = tmp_path / name.replace("/", "-")
        lay_down_run(folder)
        (folder / name).write_bytes(pickle.dumps(Pickled(mark)))
        with pytest.raises(ValueError, match=r"not the record|was changed"):
            load_scores(folder)
        shutil.rmtree(folder)
    assert not mark.exists()


# ---- the packages -------------------------------------------------------------------------------

LOADERS = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "read_pickle",
    "allow_pickle", "load_from_disk", "weights_only", "unsafe_load", "full_load", "UnsafeLoader",
    "FullLoader", "eval", "exec",
}  # fmt: skip
# The one thing that a package with a loader of pickles may be asked for.
HARMLESS = ("joblib", {"cpu_count"})


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("workbench/**/*.py"), *ROOT.glob("widgets/**/*.py")])
)
def test_no_room_can_load_a_pickle_or_trusts_code_by_itself(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names}
            module = (getattr(node, "module", None) or "").split(".")[0]
            if (module, names) == HARMLESS:
                continue
            names.add(module)
            assert names.isdisjoint(LOADERS), f"line {node.lineno}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called not in ("torch.load", "np.load", "numpy.load", "eval", "exec"), node.lineno
        assert called.split(".")[-1] not in LOADERS - {"eval"}, f"line {node.lineno}"
        for keyword in node.keywords:
            assert keyword.arg not in LOADERS, f"line {node.lineno}"
            if keyword.arg == "trust_remote_code":
                assert not (isinstance(keyword.value, ast.Constant) and keyword.value.value)


def test_trust_remote_code_is_off_unless_given():
    import inspect

    for function in (wb.load_model,):
        assert inspect.signature(function).parameters["trust_remote_code"].default is False
