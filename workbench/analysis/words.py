"""Overlap of the frequent words of two selections (the paper's Table 4).

Two scorers may choose different documents that speak of the same things, or the other way round.
Words are the cheapest look at it, and blunt: selections that share documents share words, and
random selections of one domain share most. So a random reference stands beside every number.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from workbench.core.frames import TableLike
from workbench.core.intervals import percentile_interval
from workbench.core.progress import progress_bar
from workbench.corpus.alignment import documents_of
from workbench.selection.ranking import By, select

WORD = r"[^\W\d_]{2,}"  # two letters or more; max_tokens2 is the words max and tokens
FRACTIONS = (0.10, 0.20, 0.50)
ONLY = 8  # words that one selection alone has, shown beside the overlap


def word_counts(
    texts: list[str], stop_words: Literal["english"] | None = "english"
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Counts of the words of texts.

    A word is a run of two letters or more of any script, in lower case.

    Args:
        texts: what is counted.
        stop_words: "english" leaves scikit-learn's list of function words out, None leaves them in.

    Returns:
        Counts, sparse, shape (texts, words), and the words, in the order of the alphabet.

    Raises:
        ValueError: the texts hold no word.
    """
    vectorizer = CountVectorizer(token_pattern=WORD, stop_words=stop_words)
    try:
        counts = vectorizer.fit_transform(texts)
    except ValueError as error:
        raise ValueError(
            f"no word of two letters or more in {len(texts)} texts that is no stop word; give "
            "longer texts, or stop_words=None"
        ) from error
    return counts, vectorizer.get_feature_names_out()


def word_overlap(
    table: TableLike,
    corpus: Any,
    scorer_a: str = "score",
    scorer_b: str = "random",
    fractions: tuple[float, ...] = FRACTIONS,
    *,
    words: int = 100,
    by: By = "documents",
    stop_words: Literal["english"] | None = "english",
    draws: int = 200,
    seed: int = 0,
    **columns: str,
) -> pd.DataFrame:
    """How many frequent words two scorers' selections share, inside each domain (Table 4).

    The paper gives the share and not its exact definition (TF, top 20 %: FineWeb-Edu .88,
    Cosmopedia .81, Python-Edu .41, OpenWebMath .67, against an educational classifier). Here:

    - a selection is the top `fraction` of the documents of a domain by a scorer (`select`), and its
      texts are the whole texts, not the beginning that the model may have read;
    - tf: the count of a word in all texts of the selection together;
    - tfidf: the mean over its texts of scikit-learn's TF-IDF (count times ln((1 + n) / (1 + df)) +
      1, each text scaled to length 1), with n and df of the whole domain;
    - each selection's most frequent words are the first `words` by that value, equal values in the
      order of the alphabet; overlap = shared words / `words`. Where a selection has fewer different
      words, that many of each are compared (column words).

    Args:
        table: a score table, or a frame with its columns and those of the scorers (`scorers`).
        corpus: what was scored, as for `read_corpus`.
        scorer_a: the first scorer, a column that `select` can rank by.
        scorer_b: the second one.
        fractions: shares of each domain that are selected.
        words: how many of the most frequent words are compared.
        by: "documents" or "tokens": what the fraction is a share of.
        stop_words: as in `word_counts`.
        draws: pairs of random selections behind the reference.
        seed: of these draws.
        **columns: id, text and domain: names of the columns of the corpus, as for `read_corpus`.

    Returns:
        One row a domain, fraction and weight: domain, fraction, weight ("tf" or "tfidf"), scorer_a
        and scorer_b (the two names), documents (that a chooses), shared (the share of these that b
        chooses too), words, overlap, random with low and high (the mean and the 2.5 and 97.5
        percentiles of the overlap of two independent random selections of as many documents, over
        `draws` pairs), only_a and only_b (up to eight of the words that one selection alone has,
        most frequent first).

    Raises:
        ValueError: the corpus is not the table's or holds no words, or a number is below 1.
    """
    if words < 1 or draws < 1 or not fractions:
        raise ValueError(
            f"words, draws and fractions must each be one or more; got {words} words, {draws} "
            f"draws, fractions {fractions}"
        )
    documents = documents_of(table, corpus, **columns)
    domains = np.array([document.domain for document in documents])
    place = {(document.source, document.row): i for i, document in enumerate(documents)}
    rng = np.random.default_rng(seed)
    rows = []
    cuts = {
        (name, fraction): _chosen_places(select(table, fraction, by, by_score=name).table, place)
        for name in (scorer_a, scorer_b)
        for fraction in fractions
    }
    every = sorted(set(domains))
    with progress_bar("comparing words", "selection", len(every) * len(fractions)) as done:
        for domain in every:
            members = np.flatnonzero(domains == domain)
            counts, names = word_counts([documents[i].text for i in members], stop_words)
            weighed = {"tf": counts, "tfidf": TfidfTransformer().fit_transform(counts)}
            for fraction in fractions:
                a, b = (
                    np.flatnonzero(np.isin(members, cuts[name, fraction]))
                    for name in (scorer_a, scorer_b)
                )
                pairs = [
                    [rng.choice(len(members), len(side), replace=False) for side in (a, b)]
                    for _ in range(draws)
                ]
                head = {"domain": domain, "fraction": fraction}
                shared = len(np.intersect1d(a, b)) / len(a) if len(a) else float("nan")
                for weight, values in weighed.items():
                    overlap = _compared(values, names, a, b, pairs, words)
                    rows.append(
                        {
                            **head, "weight": weight, "scorer_a": scorer_a, "scorer_b": scorer_b,
                            "documents": len(a), "shared": shared, **overlap,
                        }
                    )  # fmt: skip
                done(1)
    return pd.DataFrame(rows)


def _compared(
    values: sparse.csr_matrix,
    names: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    pairs: list[list[np.ndarray]],
    words: int,
) -> dict[str, object]:
    """Overlap of the words of two sets of texts (rows of `values`) and of random pairs of sets."""
    ours, theirs = (frequent(values, side, words) for side in (a, b))
    size, share = _share(ours, theirs)
    random = [_share(*(frequent(values, side, words) for side in pair))[1] for pair in pairs]
    low, high = percentile_interval(np.array(random))
    ours, theirs = ours[:size], theirs[:size]
    return {
        "words": size,
        "overlap": share,
        "random": float(np.mean(random)),
        "low": float(low),
        "high": float(high),
        "only_a": " ".join(names[ours[~np.isin(ours, theirs)][:ONLY]]),
        "only_b": " ".join(names[theirs[~np.isin(theirs, ours)][:ONLY]]),
    }


def frequent(values: sparse.csr_matrix, texts: Any, words: int) -> np.ndarray:
    """The heaviest words of some texts.

    Args:
        values: weights of words in texts, shape (texts, words).
        texts: the rows that are added up.
        words: at most so many.

    Returns:
        Columns of `values`, heaviest first, none of weight 0.
    """
    total = np.asarray(values[texts].sum(axis=0)).ravel().round(10)  # so that equals are equal
    order = np.argsort(-total, kind="stable")[:words]  # stable: equal ones by the alphabet
    return order[total[order] > 0]


def _share(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, float]:
    """How many words of each are compared, and the share of them that both have."""
    size = min(len(ours), len(theirs))
    if not size:
        return 0, float("nan")
    return size, len(np.intersect1d(ours[:size], theirs[:size])) / size


def _chosen_places(chosen: pd.DataFrame, place: dict[tuple[str, int], int]) -> list[int]:
    """Where the chosen rows stand among the documents."""
    keys = chosen.loc[chosen["selected"], ["source", "row"]]
    return [place[str(source), int(row)] for source, row in keys.itertuples(index=False)]
