"""Who a model is: what torch rounds float32 products to is part of it, since it moves scores."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.models import make_model

import workbench as wb
from workbench.loading.certificate import Certificate
from workbench.manifest.verification.report import VerificationError
from workbench.models.identity import float32_matmul, set_float32_matmul, state_of
from workbench.scoring import worker
from workbench.scoring.drivers.shared_model import open_stored, store
from workbench.scoring.folder.run_folder import fingerprint
from workbench.scoring.settings import ScoringSettings
from workbench.scoring.worker import ShardWorker

CPU, CUDA = torch.device("cpu"), torch.device("cuda:1")
CORPUS = [{"id": f"d{i}", "text": f"document {i} of several"} for i in range(6)]


def as_by_default():
    torch.set_float32_matmul_precision("highest")
    for backend in (torch.backends.cuda, torch.backends.mkldnn):
        backend.matmul.fp32_precision = "ieee"


@pytest.fixture(autouse=True)
def restored():
    as_by_default()
    yield
    as_by_default()


def score(model, out, **settings):
    heads = wb.HeadSet.of([(0, 1), (1, 3)], model)
    # Whether this machine rounds at all, and then too much for a certificate, is its own affair.
    return wb.score_corpus(model, heads, CORPUS, out, require_certificate=False, **settings)


@pytest.mark.parametrize(
    ("setting", "on_cpu", "on_cuda"),
    [("high", "tf32", "tf32"), ("medium", "bf16", "tf32"), ("highest", None, None)],
)
def test_the_setting_of_the_process(setting, on_cpu, on_cuda):
    torch.set_float32_matmul_precision(setting)
    assert (float32_matmul(CPU), float32_matmul(CUDA)) == (on_cpu, on_cuda)


def test_each_kind_of_device_has_settings_of_its_own():
    torch.backends.cuda.matmul.allow_tf32 = True
    assert (float32_matmul(CPU), float32_matmul(CUDA)) == (None, "tf32")
    as_by_default()
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    assert (float32_matmul(CPU), float32_matmul(CUDA)) == ("bf16", None)


def test_it_is_stated_and_kept_apart(tmp_path):
    model = make_model()
    plain = score(model, tmp_path / "plain").run
    before = state_of(model)
    assert "float32_matmul" not in json.dumps([plain, fingerprint(plain)])
    torch.set_float32_matmul_precision("high")
    assert state_of(model) != before
    with pytest.raises(ValueError, match=r"model\.float32_matmul: None then, 'tf32' now.*highest"):
        score(model, tmp_path / "plain")
    run = tmp_path / "rounded"
    rounded = score(model, run)
    assert rounded.run["model"]["float32_matmul"] == "tf32"
    assert rounded.run["certificate"]["float32_matmul"] == "tf32"
    assert fingerprint(rounded.run)["model.float32_matmul"] == "tf32"
    assert len(score(model, run)) == 6  # goes on
    as_by_default()
    with pytest.raises(ValueError, match=r"model\.float32_matmul: 'tf32' then, None now"):
        score(model, run)
    assert len(score(model, tmp_path / "plain")) == 6


def test_a_manifest_is_verified_under_the_setting_that_it_states(tmp_path):
    model = make_model()
    torch.set_float32_matmul_precision("high")
    wb.write_manifest(wb.select(score(model, tmp_path), fraction=0.5), tmp_path)
    stated = json.loads((tmp_path / "manifest.json").read_text())["aiw:run"]
    assert stated["model"]["float32_matmul"] == stated["certificate"]["float32_matmul"] == "tf32"
    if wb.certify(model).ok:
        assert wb.verify_manifest(tmp_path, model, CORPUS, level="scores").ok
    as_by_default()
    with pytest.raises(VerificationError, match=r"None here and 'tf32' in the manifest"):
        wb.verify_manifest(tmp_path, model, CORPUS)


def test_a_certificate_says_it(monkeypatch):
    model = make_model()
    plain = wb.certify(model)
    torch.set_float32_matmul_precision("medium")
    found = wb.certify(model)
    assert found is not plain
    assert "products in bf16, on cpu" in found.heading
    assert Certificate.from_json(json.loads(json.dumps(found.to_json()))) == found
    failed = replace(found, checks=(replace(found.checks[0], passed=False), *found.checks[1:]))
    assert "try torch.set_float32_matmul_precision('highest')" in failed.failure_message()
    assert "matmul" not in replace(failed, float32_matmul=None).failure_message()


def test_workers_compute_as_the_caller_does(tmp_path):
    model = make_model()
    torch.set_float32_matmul_precision("high")
    store(model, tmp_path / "model")
    as_by_default()  # as a new process is
    assert open_stored(tmp_path / "model").identity == {**model.identity, "float32_matmul": "tf32"}
    assert float32_matmul(CPU) == "tf32"
    set_float32_matmul(None)
    assert float32_matmul(CPU) == "tf32"


@pytest.mark.parametrize("theirs", ["tf32", None])
def test_a_worker_of_another_setting_does_not_score(theirs, tmp_path, monkeypatch):
    """Such as one of a cluster, where somebody sets it after the model was opened."""
    model = make_model()
    run = score(model, tmp_path).run
    monkeypatch.setattr(worker, "open_stored", lambda folder, device: model)
    asked = {**fingerprint(run), **({} if theirs is None else {"model.float32_matmul": theirs})}
    heads = wb.HeadSet.of([(0, 1), (1, 3)], model)
    settings = ScoringSettings(heads, window=model.context, require_certificate=False)
    job = SimpleNamespace(
        model=tmp_path, settings=settings, fingerprint=json.loads(json.dumps(asked)), corpus=[]
    )
    threads = torch.get_num_threads()
    try:
        if theirs is None:
            assert ShardWorker.open(job).model is model
        else:
            with pytest.raises(ValueError, match=r"other settings than the run: model\.float32_"):
                ShardWorker.open(job)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.cuda
def test_tf32_changes_scores_of_a_card_and_says_so(tmp_path):
    model = make_model()
    model.hf.to("cuda")
    plain = score(model, tmp_path / "plain").frame["loss_base"]
    torch.backends.cuda.matmul.allow_tf32 = True
    rounded = score(model, tmp_path / "rounded")
    assert rounded.run["model"]["float32_matmul"] == "tf32"
    assert not np.array_equal(plain, rounded.frame["loss_base"])
