"""The plan of a run: counts that are those of the run, and an estimate that holds what it says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from support.models import make_model
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.scoring import plan

MODEL = make_model()
HEADS = wb.HeadSet.parse("L1H1 L2H0", MODEL)


def corpus(n=60, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {"id": f"d{i}", "text": "é" * int(rng.integers(5, 60)), "domain": "ab"[i % 2]}
        for i in range(n)
    ]
    rows[7]["text"] = None
    rows[9]["text"] = ""
    return rows


def test_counts_are_those_of_the_run(tmp_path):
    found = wb.plan_scoring(MODEL, HEADS, corpus())
    table = wb.score_corpus(MODEL, HEADS, corpus(), out=tmp_path)
    assert found.domains["documents"].sum() == len(table) == 58
    assert found.domains.set_index("domain")["documents"].to_dict() == (
        table.frame["domain"].value_counts().to_dict()
    )
    sizes = {name: 0 for name in "ab"}
    for row in corpus():
        sizes[row["domain"]] += len((row["text"] or "").encode())
    assert found.domains.set_index("domain")["bytes"].to_dict() == sizes
    reasons = [skipped["reason"] for skipped in table.skipped]
    assert dict(found.skipped.to_numpy().tolist()) == {r: reasons.count(r) for r in reasons}


def test_a_sample_of_all_gives_the_tokens_exactly():
    found = wb.plan_scoring(MODEL, HEADS, corpus(), sample=100, max_tokens=40)
    for row in found.domains.itertuples():
        mine = [
            document["text"]
            for document in corpus()
            if document["domain"] == row.domain and document["text"]
        ]
        tokens = sum(min(len(MODEL.encode(text)), 40) for text in mine)
        assert row.tokens == row.tokens_low == row.tokens_high == pytest.approx(tokens)
        assert row.seconds == pytest.approx(tokens / found.rate)
    assert found.hours[0] == pytest.approx(found.domains["seconds"].sum() / 3600)
    assert found.cost(2.0) == tuple(2.0 * hour for hour in found.hours)


@pytest.mark.parametrize("read", ["middle", "spread"])
def test_the_tokens_are_those_that_are_read(read, tmp_path):
    settings = wb.scoring.ScoringSettings.of(HEADS, max_tokens=41, read=read, window=16)
    found = wb.plan_scoring(MODEL, settings, corpus(), sample=100).domains
    table = wb.score_corpus(
        MODEL, HEADS, corpus(), out=tmp_path, max_tokens=41, read=read, window=16
    )
    tokens = table.frame["tokens"].clip(upper=41).groupby(table.frame["domain"]).sum()
    assert found.set_index("domain")["tokens"].to_dict() == pytest.approx(tokens.to_dict())


def test_controls_for_a_share_cost_that_share(monkeypatch):
    """Seconds by the number of masked sets, so that no clock is asked."""
    monkeypatch.setattr(
        plan, "_measure", lambda model, how, rows: (1.0 + len(how.controls), [{}] * len(rows))
    )

    def rate(**controls):
        return wb.plan_scoring(MODEL, HEADS, corpus(), sample=2, **controls).rate

    assert rate(controls=4) == pytest.approx(rate() / 5)
    assert rate(controls=4, controls_share=0.25) == pytest.approx(rate() / 2)


def test_settings_are_given_once():
    settings = wb.scoring.ScoringSettings.of(HEADS, max_tokens=20)
    with pytest.raises(TypeError, match="mode given beside a ScoringSettings"):
        wb.plan_scoring(MODEL, settings, corpus(), mode="zero")
    with pytest.raises(TypeError, match="tokens_max"):
        wb.plan_scoring(MODEL, HEADS, corpus(), tokens_max=3)


def test_the_interval_holds_the_tokens_of_the_corpus():
    inside = 0
    for seed in range(20):
        found = wb.plan_scoring(MODEL, HEADS, corpus(400), sample=16, seed=seed)
        for row in found.domains.itertuples():
            mine = [r["text"] for r in corpus(400) if r["domain"] == row.domain and r["text"]]
            inside += row.tokens_low <= 2 * sum(map(len, mine)) <= row.tokens_high
    assert inside >= 33  # of 40; a percentile interval of 16 documents holds about 92 %


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ([50, 40, 59], ": 50 s (40 s to 59 s)"),
        ([120, 119, 121], ": 2 min"),  # both ends read as 2 min
        ([7200, 5400, 9000], ": 2.0 h (1.5 h to 2.5 h)"),
    ],
)
def test_an_interval_is_shown_where_its_ends_read_differently(seconds, said):
    found = wb.plan_scoring(MODEL, HEADS, corpus())
    columns = ["seconds", "seconds_low", "seconds_high"]
    domains = found.domains.iloc[:1].assign(**dict(zip(columns, seconds, strict=True)))
    line = repr(dataclasses.replace(found, domains=domains)).splitlines()[1]
    assert line.endswith(said)


def test_every_document_is_as_likely_in_the_sample():
    seen = np.zeros(30)
    documents = [wb.Document(str(i), "text", "a", "memory", i) for i in range(30)]
    for seed in range(600):
        for document in plan._count(documents, 6, np.random.default_rng(seed)).drawn["a"]:
            seen[document.row] += 1
    assert seen.sum() == 3600
    assert 80 < seen.min() <= seen.max() < 165  # each 120 on average


def test_documents_that_cannot_be_scored_are_counted_in_the_sample():
    rows = [{"id": str(i), "text": "x", "domain": "short"} for i in range(3)]
    rows += [{"id": f"l{i}", "text": "long enough", "domain": "long"} for i in range(3)]
    found = wb.plan_scoring(MODEL, HEADS, rows).domains.set_index("domain")["unscorable"]
    assert found.to_dict() == {"long": 0, "short": 1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"heads": HEADS - HEADS}, "heads to mask"),
        ({"sample": 1}, "two documents"),
        ({"corpus": [{"text": None}]}, "all skipped"),
        ({"window": 1}, "window"),
        ({"max_tokens": 1}, "max_tokens"),
    ],
)
def test_what_cannot_be_planned_says_so(given, said):
    given = {"heads": HEADS, "corpus": corpus()} | given
    with pytest.raises(ValueError, match=said):
        wb.plan_scoring(MODEL, **given)


def test_the_command(tmp_path):
    MODEL.hf.save_pretrained(tmp_path / "model")
    MODEL.tokenizer.save_pretrained(tmp_path / "model")
    file = tmp_path / "corpus.jsonl"
    file.write_text("\n".join(map(json.dumps, corpus())))
    command = ["plan", str(file), "--model", str(tmp_path / "model"), "--heads", "L1H1 L2H0"]
    result = CliRunner().invoke(app, [*command, "--price", "2.5", "--json"])
    assert result.exit_code == 0, result.output
    stated = json.loads(result.stdout)
    assert sum(domain["documents"] for domain in stated["domains"]) == 58
    assert stated["memory"]["parameters"] == sum(p.numel() for p in MODEL.hf.parameters())
    assert stated["memory"]["peak"] == stated["memory"]["weights"] + stated["memory"]["row"]
    assert stated["cost"] == pytest.approx([2.5 * hours for hours in stated["hours"]])
    more = [*command, "--controls", "2", "--read", "middle", "--max-tokens", "30", "--json"]
    cut = json.loads(CliRunner().invoke(app, more).stdout)
    tokens = [sum(domain["tokens"] for domain in given["domains"]) for given in (cut, stated)]
    assert tokens[0] < tokens[1]
    assert cut["memory"]["row"] > 1.4 * stated["memory"]["row"]  # four head sets instead of two
    plain = CliRunner().invoke(app, [*command, "--price", "2.5"])
    assert plain.exit_code == 0
    assert "58 documents" in plain.stdout
    assert plain.stdout.startswith("memory of cpu: ")  # before anything is loaded
    assert "cost:" in plain.stdout
    assert CliRunner().invoke(app, command[:4]).exit_code == 1  # no heads
