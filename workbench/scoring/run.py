"""Scoring a corpus: documents in, a folder of scores out, one score row a document.

The corpus goes through in shards (`workbench.scoring.shards`). Each leaves a score file and a
receipt, so a run that is started again, by whomever, finds what is done, and never takes a number
made from other text, another model or other heads for its own. Shards are scored here, one after
the other, or by workers (`workbench.scoring.drivers.local`, `workbench.scoring.drivers.ray`): the
same function, the same files.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from workbench.core.files import write_atomically
from workbench.core.progress import check_cancelled
from workbench.corpus.columns import Named
from workbench.corpus.readers.remote import absolute
from workbench.corpus.reading import read_corpus, row_count
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.columns.own_columns import Column, Function
from workbench.scoring.drivers.dispatch import Driver, Work, Workers, drive, require_workers
from workbench.scoring.drivers.stuck import require_timeout
from workbench.scoring.folder import run_folder as runs
from workbench.scoring.folder.corpus_folder import checked, held_by, require_same
from workbench.scoring.folder.reading import load_scores
from workbench.scoring.folder.receipts import Receipt, finished, receipt_path, shard_number
from workbench.scoring.folder.run_folder import Part
from workbench.scoring.folder.shard_index import (
    SHARD_INDEX_FILE,
    ShardIndex,
    is_current,
    shard_index_of,
)
from workbench.scoring.folder.superseded import done_before
from workbench.scoring.passages import Read
from workbench.scoring.report import (
    Failure,
    OnProgress,
    ProgressState,
    RunReport,
    ScoringFailed,
    Tally,
    report_of,
    run_progress,
)
from workbench.scoring.score_table import ScoreTable
from workbench.scoring.settings import ScoringSettings
from workbench.scoring.shards import cut
from workbench.scoring.worker import Job


def score_corpus(
    model: Model,
    heads: HeadSet,
    corpus: Any,
    out: str | Path | None = None,
    *,
    mode: Mode = "uniform",
    window: int | None = None,
    max_tokens: int | None = None,
    id: str = "id",
    text: str = "text",
    domain: str | None = "domain",
    shard_size: int = 32,
    workers: Workers = None,
    driver: Driver = "local",
    shard_timeout: float | None = None,
    overwrite: bool = False,
    require_certificate: bool = True,
    read: Read = "start",
    controls: int | Sequence[HeadSet] = 0,
    controls_share: float = 1.0,
    columns: Sequence[str | Function | Column] = (),
) -> ScoreTable:
    """Score every document of a corpus: the AttentionInfluence of arXiv 2505.07293, equation 5.

    Each document is read twice, by the model as it is and with `heads` masked. Its score is the
    relative rise of its mean token loss, (loss_ref - loss_base) / loss_base.

    Scores of different domains are not comparable, and the score rises with repetition: look at
    compression_ratio and loss_base beside it.

    Args:
        model: the selector.
        heads: the heads to mask, the retrieval heads of the model.
        corpus: paths, a frame, a dataset or an iterable (see `read_corpus`).
        out: the run folder. Shards are written to it as they are done, and a later call with the
            same settings does not score them again. None: nothing is kept on disk.
        mode: what a masked head gives out. "uniform", the paper's: the mean of the values at this
            and all earlier positions, as if it attended to each alike. "zero": nothing.
            "mean": its average output over a reference set; "resample": its output at the same
            place of another text, drawn from the set by the text and the seed of the set. The set
            is named as in "resample:mine" (`reference_set`), else a sample of the environment
            corpus; the record states its name and digest.
        window: tokens of one forward pass, special tokens included. A longer document is cut into
            windows that are read one by one, none of which sees the ones before, and its losses
            are averaged over the tokens of all of them. None: the model's context.
        max_tokens: read only so many tokens of each document, at least 2. The others count for no
            loss. None: read all. The column `tokens` counts the whole
            document all the same, since shares, budgets and blends by tokens need it; so all of
            the text is tokenized, and only the forward passes get shorter. For documents much
            longer than max_tokens, tokenizing can take longer than the passes do.
        id: column of the id.
        text: column of the text.
        domain: column of the domain, "/" for the sub-folder, None for one domain.
        shard_size: documents of a shard, the unit of work, of failure and of resume.
        workers: see `run_scoring`.
        driver: see `run_scoring`.
        shard_timeout: see `run_scoring`.
        overwrite: take a folder that holds scores of other settings or of another corpus, which is
            refused otherwise. They are set aside in its `superseded/`.
        require_certificate: refuse a model that fails a check of its certificate. If False, it is
            scored all the same; the record keeps the failed certificate, and the manifest will not
            verify.
        read: which tokens of a document that has more than max_tokens: "start", those it begins
            with, often a licence header or a menu; "middle"; or "spread", four passages from
            beginning to end, none of which sees the others. `ScoreTable.text` gives them back.
        controls: how many control sets, heads as many drawn at random among the others, to mask in
            the same passes; or the sets themselves, such as `workbench.scoring.control_sets` draws
            by layer or by the effect of each head. They fill the columns of the excess. Random
            heads begin in low layers, so little of a pass is shared: on the default model each
            set adds .7 of the time that scoring takes without any.
        controls_share: mask the controls for so large a share of the documents alone, drawn by
            their text, in (0, 1].
        columns: columns of your own, made with `workbench.scoring.score_column`: functions or
            their names. They come behind the built-in ones.

    Returns:
        The scores. Their `frame` has one row a document that has a score, in the order of the
        corpus, with the columns

        - doc_id, domain, source, row: which document it is, and where it lies;
        - tokens: of the whole document, without special ones;
        - predicted: how many tokens the mean losses are over;
        - read: which characters of the text were read, such as "0:400,812:1203"; missing where the
          tokenizer does not say;
        - loss_base, loss_ref: mean loss as the model is and with the heads masked, nats a token;
        - score: (loss_ref - loss_base) / loss_base;
        - rise: loss_ref - loss_base, nats a token;
        - predicted_novel: how many of the predicted tokens are novel: they did not stand earlier in
          the document after the same token (`workbench.scoring.columns.novelty`);
        - loss_base_novel, loss_ref_novel: mean losses over these, missing where there are none;
        - score_novel: the score made of these two, missing where there is none, or the base is 0;
        - contrast: mean rise on tokens that came before, but not after the same token, less that on
          tokens that come for the first time, nats; before in the same window or passage, since the
          model sees no other; missing without a token of either kind;
        - rise_controls, spread_controls: mean and standard deviation of the rise over the control
          sets, nats a token;
        - excess, excess_relative: rise - rise_controls, and that over loss_base; like the two
          before, missing where no controls were masked;
        - compression_ratio: size after zlib over size, of the first 2,000 characters; low means
          repetitive;
        - text_sha256: of the text in UTF-8.

        `run` is the record that manifests are made of. `skipped` lists the documents that cannot be
        scored, each with its reason: every document read is in one of the two. `keep` leaves rows
        out of a selection.

    Raises:
        NotCertified: the model fails a check, and require_certificate is True.
        ValueError: settings that cannot be, or a folder of other scores (see `run_scoring`).
        TypeError: `heads` is no HeadSet.
        CorpusError: the corpus cannot be read (see `read_corpus`).
        ScoringFailed: workers could not score some shards; the others are kept.
        RuntimeError: another run writes to the folder, or workers cannot start.
        OSError: nothing can be written.
    """
    settings = ScoringSettings.of(
        heads, mode=mode, window=window, max_tokens=max_tokens, read=read, controls=controls,
        controls_share=controls_share, columns=columns, require_certificate=require_certificate,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as tmp_dir:
        folder = Path(tmp_dir if out is None else out)
        run_scoring(
            model, settings, corpus, folder, id=id, text=text, domain=domain,
            shard_size=shard_size, workers=workers, driver=driver, shard_timeout=shard_timeout,
            overwrite=overwrite,
        )  # fmt: skip
        table = load_scores(folder)
    if out is None:  # nothing is left on disk that could be listed
        table.run.update({"receipts_file": None, "skipped_file": None})
    # What gives its documents once is at its end.
    again = corpus if isinstance(corpus, str | Path) or hasattr(corpus, "__len__") else None
    return replace(table, corpus=again, columns=Named(id=id, text=text, domain=domain))


def run_scoring(
    model: Model,
    heads: HeadSet | ScoringSettings,
    corpus: Any,
    out: str | Path,
    *,
    id: str = "id",
    text: str = "text",
    domain: str | None = "domain",
    shard_size: int = 32,
    workers: Workers = None,
    driver: Driver = "local",
    part: Part = (1, 1),
    on_progress: OnProgress | None = None,
    shard_timeout: float | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> RunReport:
    """`score_corpus` for corpora of any size: the scores stay in the folder, a report comes back.

    Args:
        model: the selector.
        heads: the heads to mask, or all settings as one object.
        corpus: as in `score_corpus`; workers read it themselves, so for them it is a path or paths.
        out: the run folder.
        id: column of the id.
        text: column of the text.
        domain: column of the domain, "/" for the sub-folder, None for one (see `read_corpus`).
        shard_size: documents of a shard, the unit of work, of failure and of resume.
        workers: None scores in this process. A number: so many processes on the CPU, a thread each,
            which share one copy of the weights; a list of devices, such as ["cuda:0", "cuda:1"]: a
            process for each. They take over the model as it is, on devices of the kind that it is
            on; here it stays in memory meanwhile.
        driver: "local", or "ray" (extra [ray]), which gives the shards to `workers` actors of a Ray
            cluster. All its machines must see the same paths.
        part: (i, n): score every n-th shard from the i-th (from 1), while n calls with the same
            settings share the folder; the last one completes the run.
        on_progress: called with the progress (see `workbench.scoring.report.run_progress`), and no
            bar is shown.
        shard_timeout: seconds for which a worker may give no sign of life at its shard before it is
            ended; None: by the rule of `workbench.scoring.drivers.stuck`, half an hour or more. In
            this process (workers=None) nothing is ended, however long it stands still, so there it
            is refused; workers=1 is one worker that can be ended.
        overwrite: take a folder with scores of other settings or of another corpus; they are set
            aside in its `superseded/`, as are scores of documents that were edited or went away.
        **settings: mode, window, max_tokens, read, controls, controls_share, columns and
            require_certificate, as in `score_corpus`, where `heads` is no `ScoringSettings`.
            Workers import the modules of the columns' functions, so theirs cannot be of a notebook.

    Returns:
        The report: what was scored, kept, redone, set aside, skipped and why.

    Raises:
        ScoringFailed: some shards are not done at the end; the others are kept.
        ValueError: settings that cannot be, or a folder that holds scores of other settings or of
            another corpus (`workbench.scoring.folder.corpus_folder`).
        CorpusError: as `read_corpus`.
        NotCertified: as `score_corpus`.
        RuntimeError: another run writes to the folder, or workers cannot start.
        OSError: nothing can be written.
        ImportError: driver "ray" without Ray.
        TypeError: there is no such setting, or it is given beside a `ScoringSettings`.

    A shard that fails, or whose worker dies or is stuck, is tried three times in all. In this
    process the first error ends the run. Interrupted or killed, a run loses at most the shards
    being scored.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size must be at least 1, got {shard_size}")
    require_timeout(shard_timeout)
    resolved = ScoringSettings.given(heads, settings).resolved(model)
    require_workers(model, workers, driver, shard_timeout)
    if not 1 <= part[0] <= part[1]:
        raise ValueError(f"part must be (i, n) with i from 1 to n, got {part}")
    named = Named(id=id, text=text, domain=domain)
    run = runs.run_record(model, resolved, resolved.certified(model))
    folder = Path(out)
    shared = workers is not None or driver == "ray" or part != (1, 1)
    paths = _paths(corpus) if shared else []
    job = Job(resolved, runs.fingerprint(run), paths, named, folder.absolute(), shard_timeout)
    notes: list[str] = []
    shard_index: ShardIndex | None = None
    total = None if shared else row_count(corpus, named)
    with runs.acquire_run_folder(folder, part, run, overwrite):
        held = None if overwrite else held_by(folder)
        if held and (shared or total is not None):
            require_same(folder, held, read_corpus(paths or corpus, **named))
        if shared:
            shard_index = shard_index_of(paths, named, shard_size, folder, part, notes)
            own_shards = shard_index.shards[part[0] - 1 :: part[1]]
            total = sum(shard.documents + len(shard.refused) for shard in own_shards)
            work: Iterable[Work] = ((shard, None) for shard in own_shards)
        else:
            rows = read_corpus(corpus, **named)
            work = cut(rows if total is not None else checked(folder, held, rows), shard_size)
        with run_progress(total, on_progress) as state:
            tally = _score_shards(model, job, work, workers, driver, state)
        _note(tally.failures, folder, part)
        names, domain_from = tally.names, tally.domain_from
        if shard_index is not None:  # of all parts
            names = [shard.name(job.fingerprint) for shard in shard_index.shards]
            domain_from = sum(
                (Counter(shard.domain_from) for shard in shard_index.shards), Counter()
            )
        run["domain_from"] = dict(domain_from)
        report = report_of(tally, total, state, run["domain_from"], notes)
        if tally.failures:
            if part != (1, 1):  # which did not hash the corpus: the next call makes a new one
                (folder / SHARD_INDEX_FILE).unlink(missing_ok=True)
            raise ScoringFailed(report)
        if shard_index is not None and not _all_done(folder, job, shard_index, part):
            return report
        return report.completed(runs.finish(folder, run, names))


def _score_shards(
    model: Model,
    job: Job,
    work: Iterable[Work],
    workers: Workers,
    driver: Driver,
    state: ProgressState,
) -> Tally:
    """Score what is not done of the shards, whoever does it; moves `state` on.

    Args:
        model: the selector.
        job: the run.
        work: all shards of this call.
        workers: see `run_scoring`.
        driver: see `run_scoring`.
        state: the progress of the run.

    Returns:
        What the shards come to. Those that could not be scored are in its `failures`.
    """
    before, tally = runs.numbers_in(job.folder), Tally()

    def left() -> Iterator[Work]:
        for shard, documents in work:
            check_cancelled()
            tally.names.append(shard.name(job.fingerprint))
            tally.domain_from.update(shard.domain_from)
            receipt = done_before(job.folder, shard, job.fingerprint)
            if receipt is None:
                yield shard, documents
            else:
                tally.add(receipt, kept=True)
                state.step(receipt.read, kept=True)

    # Closed before anything else is done, so that no worker outlives an error or a Ctrl-C.
    with contextlib.closing(drive(model, job, left(), workers, driver)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Receipt):
                tally.add(outcome, redone=shard_number(outcome.shard) in before)
            elif isinstance(outcome, Failure):
                tally.failures.append(outcome)
                state.step(0, failed=outcome.documents)
            else:
                state.step(outcome.documents, outcome.tokens)
    return tally


def _note(failures: Sequence[Failure], folder: Path, part: Part) -> None:
    """Leave the failures of this part in a file of their own, or none."""
    name = "failures.jsonl" if part == (1, 1) else f"failures-{part[0]}-of-{part[1]}.jsonl"
    lines = "".join(json.dumps(asdict(failure)) + "\n" for failure in failures)
    if lines:
        write_atomically(folder / name, lines.encode())
    else:
        (folder / name).unlink(missing_ok=True)


def _all_done(folder: Path, job: Job, shard_index: ShardIndex, part: Part) -> bool:
    """Whether all shards of the corpus are done, after those of this part.

    Each part looks after its own last shard, so the one that ends last sees all of them.
    """
    names = [shard.name(job.fingerprint) for shard in shard_index.shards]
    if not all(receipt_path(folder, name).exists() for name in names):
        return False
    index, count = part
    others = (shard for shard in shard_index.shards if shard.number % count != index - 1)
    if any(finished(folder, shard, job.fingerprint) is None for shard in others):
        return False
    # Another part may have seen a source change: its new shards are not removed for the old ones.
    return is_current(shard_index, folder)


def _paths(corpus: Any) -> list[str]:
    """The paths that a corpus was given as, absolute, since workers may stand elsewhere."""
    paths = [corpus] if isinstance(corpus, str | os.PathLike) else corpus
    if not (
        isinstance(paths, list | tuple) and paths
        and all(isinstance(path, str | os.PathLike) for path in paths)
    ):  # fmt: skip
        raise ValueError(
            "several workers read the corpus themselves, so it has to be given as a path or a list "
            f"of paths; got a {type(corpus).__name__}. Score it in one process, or write it to a "
            "JSONL or Parquet file first"
        )
    return [absolute(os.fsdecode(path)) for path in paths]
