"""A funnel of filters before a selection: terms, then a classifier, then a judge, cheapest first.

The way of Deep Ignorance (O'Brien and others, arXiv 2508.06601): a list of terms passes most
documents at the cost of reading them, a classifier looks at those that hold several terms, and a
judge at those that the classifier is unsure of. Every document has a stage at which it was decided,
and a reason.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.files import write_atomically
from workbench.core.frames import as_html
from workbench.core.parquet import read_table
from workbench.core.progress import progress_bar
from workbench.core.text import counted
from workbench.corpus.document import Document
from workbench.corpus.reading import read_corpus, text_sha256

STAGES = ("no term", "few terms", "terms", "classifier", "judge")
SCHEMA = pa.schema([
    ("source", pa.string()), ("row", pa.int64()), ("doc_id", pa.string()),
    ("domain", pa.string()), ("text_sha256", pa.string()), ("terms", pa.int64()),
    ("probability", pa.float64()), ("stage", pa.string()), ("excluded", pa.bool_()),
    ("reason", pa.string()),
])  # fmt: skip
_SETTINGS = b"workbench funnel"  # in the metadata of the Parquet file
_KEPT = re.compile(r"\w+")
_JOINERS = {"\u034f", *map(chr, range(0xFE00, 0xFE10))}  # not of category Cf, and not seen either

Examples = tuple[Sequence[str], Sequence[bool]]
Judge = Callable[[list[Document]], Iterable[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Funnel:
    """What became of each document.

    Attributes:
        rows: one row a document: source, row, doc_id, domain, text_sha256, terms (how many it
            holds), probability (of the classifier; NaN where it was not asked), stage (of STAGES,
            where it was decided), excluded, and reason.
        settings: what decided: the number and digest of the terms, escalate, recall, the two
            probabilities between which the classifier is unsure, and whether there was a judge, or
            which (its `to_json`, where it has one).
    """

    rows: pd.DataFrame
    settings: dict[str, Any]

    @property
    def stages(self) -> pd.DataFrame:
        """How many documents came to each stage, and were kept and excluded there."""
        asked = self.rows.groupby(["stage", "excluded"]).size()
        left, table = len(self.rows), []
        for stage in STAGES:
            kept, out = int(asked.get((stage, False), 0)), int(asked.get((stage, True), 0))
            table.append({"stage": stage, "reached": left, "kept": kept, "excluded": out})
            left -= kept + out
        return pd.DataFrame(table)

    def to_json(self) -> dict[str, Any]:
        """The settings, and the counts of each stage, as a manifest states them."""
        return {"settings": self.settings, "stages": self.stages.to_dict("records")}

    def write(self, path: str | Path) -> Path:
        """Write the rows to a Parquet file, which `select_files` and the command take.

        Args:
            path: of the file.

        Returns:
            The path.
        """
        table = pa.Table.from_pandas(self.rows, schema=SCHEMA, preserve_index=False)
        meta = {_SETTINGS: json.dumps(self.settings).encode()}
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(meta), sink)
        return write_atomically(Path(path), sink.getvalue().to_pybytes())

    @classmethod
    def read(cls, path: str | Path) -> Funnel:
        """The funnel in a file that `write` made.

        Args:
            path: of the file.

        Returns:
            The funnel.

        Raises:
            ValueError: it is no such file.
        """
        try:
            table = read_table(path)
            settings = json.loads((table.schema.metadata or {})[_SETTINGS])
            return cls(table.select(SCHEMA.names).to_pandas(ignore_metadata=True), settings)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"{str(path)!r:.300} is not the file of a funnel ({error!s:.200}): give what "
                "`workbench funnel` or Funnel.write wrote"
            ) from error

    def __repr__(self) -> str:
        return f"{self._heading()}\n{self.stages.to_string(index=False)}"

    def _repr_html_(self) -> str:
        return as_html(self._heading(), self.stages)

    def _heading(self) -> str:
        out = int(self.rows["excluded"].sum())
        return f"Funnel: {out:,} of {len(self.rows):,} documents excluded"


def funnel(
    corpus: Any,
    terms: Iterable[str],
    classifier: Examples | None = None,
    judge: Judge | None = None,
    escalate: int = 2,
    *,
    recall: float = 0.95,
    id: str = "id",
    text: str = "text",
    domain: str | None = "domain",
) -> Funnel:
    """Decide which documents of a corpus to leave out, the cheapest way that can.

    Documents with fewer than `escalate` terms stay. Without a classifier the others are excluded;
    with one, those below the probability that reaches the wanted recall stay, those above every
    harmless example are excluded, and what lies between goes to the judge, or is excluded where
    there is none. The examples decide both probabilities, each by a model that did not see it.

    Args:
        corpus: anything that `read_corpus` takes.
        terms: words or phrases. They are counted by word, every time they occur, in any case;
            hidden joiners and soft hyphens inside a word are seen through.
        classifier: labelled examples to fit scikit-learn's logistic regression of word weights to:
            texts, and for each whether to exclude it; at least ten of either kind.
        judge: called once with the documents in doubt, gives for each True (exclude), False, or
            None where it does not know, which excludes. With `wb.judge` and a prompt of your own:
            `lambda documents: wb.judge(documents, prompt=...)["reasoning"]`. `PatternJudge` and
            `VerdictJudge` are judges that need no function of yours.
        escalate: how many terms make a document be looked at, from 1.
        recall: share of the examples to exclude that the classifier must find, in (0, 1].
        id: column of the id.
        text: column of the text.
        domain: column of the domain, or None.

    Returns:
        The funnel, which `select(exclude=)` takes.

    Raises:
        ValueError: there are no terms, a number is out of range, the examples are too few, or the
            judge gives another number of verdicts.
        CorpusError: the corpus cannot be read.
    """
    if escalate < 1 or not 0 < recall <= 1:
        raise ValueError(
            f"escalate is a number of terms from 1 and recall a share in (0, 1], got {escalate} "
            f"and {recall}"
        )
    if judge is not None and classifier is None:
        raise ValueError("a judge is asked where a classifier is unsure: give classifier= too")
    wanted = _phrases(terms)
    listed = "\n".join(sorted(" ".join(p) for group in wanted.values() for p in group))
    settings: dict[str, Any] = {
        "terms": listed.count("\n") + 1, "terms_sha256": text_sha256(listed),
        "escalate": escalate, "classifier": None, "judge": _stated(judge),
    }  # fmt: skip
    rows, doubtful = [], []
    with progress_bar("counting terms", "doc", None) as done:
        for item in read_corpus(corpus, id=id, text=text, domain=domain):
            done(1)
            if isinstance(item, Document):
                count = _count(words_of(item.text), wanted)
                rows.append(_row(item, count, escalate))
                if count >= escalate:
                    doubtful.append((rows[-1], item))
    if classifier is not None:
        probability, low, high, settings["classifier"] = _fitted(*classifier, recall)
        _classify(doubtful, probability, low, high)
        unsure = [(row, x) for row, x in doubtful if low <= row["probability"] <= high]
        if judge is not None:
            _judge(unsure, judge)
    return Funnel(pd.DataFrame(rows, columns=SCHEMA.names).astype({"terms": "int64"}), settings)


def _stated(judge: Judge | None) -> Any:
    """What is stated of a judge: what it says of itself, else whether there is one."""
    own = getattr(judge, "to_json", None)
    return own() if callable(own) else judge is not None


def words_of(text: str) -> list[str]:
    """The words of a text as terms are counted by: case folded, what has no glyph taken out.

    Args:
        text: the text.

    Returns:
        The words in order.
    """
    return _KEPT.findall(visible_text(text).casefold())


def visible_text(text: str) -> str:
    """A text as it is seen: in normal form (NFKC), what has no glyph taken out.

    Args:
        text: the text.

    Returns:
        The text without hidden joiners and soft hyphens.
    """
    plain = unicodedata.normalize("NFKC", text)
    seen = (c for c in plain if c not in _JOINERS and unicodedata.category(c) != "Cf")
    return "".join(seen)


def _phrases(terms: Iterable[str]) -> dict[str, list[tuple[str, ...]]]:
    """The words of each term, by the first of them, each term once."""
    if isinstance(terms, str):
        raise ValueError("terms is a list of words or phrases, got one text")
    phrases: dict[str, list[tuple[str, ...]]] = {}
    for words in dict.fromkeys(tuple(words_of(term)) for term in terms):
        if words:
            phrases.setdefault(words[0], []).append(words)
    if not phrases:
        raise ValueError("no terms to look for: give at least one word")
    return phrases


def _count(words: list[str], phrases: dict[str, list[tuple[str, ...]]]) -> int:
    return sum(
        tuple(words[at : at + len(phrase)]) == phrase
        for at, word in enumerate(words)
        for phrase in phrases.get(word, ())
    )


def _row(document: Document, count: int, escalate: int) -> dict[str, Any]:
    stage = "no term" if not count else "few terms" if count < escalate else "terms"
    bound = "at least" if stage == "terms" else "fewer than"
    return {
        "source": document.source, "row": document.row, "doc_id": document.doc_id,
        "domain": document.domain, "text_sha256": text_sha256(document.text), "terms": count,
        "probability": np.nan, "stage": stage, "excluded": stage == "terms",
        "reason": counted(count, "term") + (f", {bound} {escalate}" if count else ""),
    }  # fmt: skip


def _fitted(
    texts: Sequence[str], labels: Sequence[bool], recall: float
) -> tuple[Callable[[list[str]], np.ndarray], float, float, dict[str, Any]]:
    """A fitted classifier, the probabilities between which it is unsure, and what is stated."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline

    wrong = np.asarray(labels, dtype=bool)
    if len(texts) != len(wrong) or min(wrong.sum(), (~wrong).sum()) < 10:
        raise ValueError(
            "the classifier takes texts and a label for each, at least ten to exclude and ten to "
            f"keep; got {len(texts)} texts and {int(wrong.sum())} of {len(wrong)} to exclude"
        )
    made = make_pipeline(
        TfidfVectorizer(analyzer=words_of, sublinear_tf=True),
        LogisticRegression(class_weight="balanced", max_iter=1000),
    )
    unseen = cross_val_predict(made, list(texts), wrong, cv=5, method="predict_proba")[:, 1]
    # The highest bound that still finds the wanted share of the examples.
    found = np.sort(unseen[wrong])[::-1]
    low = float(found[int(np.ceil(recall * len(found))) - 1])
    high = max(low, float(unseen[~wrong].max()))
    made.fit(list(texts), wrong)
    digest = hashlib.sha256(
        b"".join(
            bytes.fromhex(text_sha256(text)) + bytes([label])
            for text, label in zip(texts, wrong.tolist(), strict=True)
        )
    ).hexdigest()
    stated = {
        "examples": len(texts), "examples_sha256": digest, "recall": recall, "from": low,
        "sure_above": high,
    }  # fmt: skip
    return lambda given: made.predict_proba(given)[:, 1], low, high, stated


def _classify(
    doubtful: list[tuple[dict[str, Any], Document]],
    probability: Callable[[list[str]], np.ndarray],
    low: float,
    high: float,
) -> None:
    """Decide by the classifier; what lies between stays excluded unless a judge clears it."""
    if not doubtful:
        return
    values = probability([document.text for _, document in doubtful]).tolist()
    for (row, _), value in zip(doubtful, values, strict=True):
        row |= {"probability": value, "stage": "classifier", "excluded": value >= low}
        bound = f"below {low:.3f}" if value < low else f"above {high:.3f}"
        if low <= value <= high:
            bound = f"unsure from {low:.3f} to {high:.3f}"
        row["reason"] += f"; probability {value:.3f}, {bound}"


def _judge(unsure: list[tuple[dict[str, Any], Document]], judge: Judge) -> None:
    if not unsure:
        return
    verdicts = list(judge([document for _, document in unsure]))
    if len(verdicts) != len(unsure):
        raise ValueError(
            f"the judge was asked about {len(unsure)} documents and gave {len(verdicts)} verdicts"
        )
    for (row, _), verdict in zip(unsure, verdicts, strict=True):
        known = not pd.isna(verdict)
        row |= {"stage": "judge", "excluded": bool(verdict) if known else True}
        decision = ("exclude" if verdict else "keep") if known else "no verdict, so excluded"
        row["reason"] += f"; judge: {decision}"


def excluded_rows(exclude: Funnel | str | Path) -> tuple[Funnel, pd.DataFrame]:
    """A funnel, and the documents that it leaves out.

    Args:
        exclude: the funnel or its file.

    Returns:
        The funnel, and its excluded rows sorted by source and row.

    Raises:
        ValueError: it is no file of a funnel.
        TypeError: it is neither.
    """
    made = Funnel.read(exclude) if isinstance(exclude, str | Path) else exclude
    if not isinstance(made, Funnel):
        raise TypeError(
            f"exclude takes what funnel() gave, or its file, got {type(made).__name__}; to leave "
            "other rows out, use the keep() of the score table"
        )
    rows = made.rows[made.rows["excluded"]]
    return made, rows.sort_values(["source", "row"], ignore_index=True)


def without_excluded(frame: pd.DataFrame, excluded: pd.DataFrame) -> pd.DataFrame:
    """The rows of a score table that a funnel does not leave out.

    Args:
        frame: the score table.
        excluded: of `excluded_rows`.

    Returns:
        The rows that stay.

    Raises:
        ValueError: a document has another text than the funnel saw, or none stays.
    """
    keys = frame[["source", "row", "text_sha256"]].astype({"row": "int64"})
    both = keys.merge(
        excluded[["source", "row", "text_sha256"]], on=["source", "row"], how="left",
        suffixes=("", "_seen"),
    )  # fmt: skip
    out = both["text_sha256_seen"].notna()
    other = out & (both["text_sha256"] != both["text_sha256_seen"])
    if other.any():
        raise ValueError(
            f"{int(other.sum())} documents have another text than the funnel saw: run the funnel "
            "on the corpus that was scored"
        )
    if out.all():
        raise ValueError("the funnel excludes every document of the table: nothing is left to rank")
    return frame[~out.to_numpy()]


def stages_of(excluded: Iterable[str]) -> dict[str, int]:
    """How many documents were excluded at each stage, for those that have any.

    Args:
        excluded: the stage of each.

    Returns:
        Counts by stage.
    """
    counts = Counter(excluded)
    return {stage: counts[stage] for stage in STAGES if counts[stage]}
