"""Clusters of embedded documents, and how a selection covers them (the paper's Figures 4 to 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from workbench.analysis.words import word_counts
from workbench.core.frames import TableLike, as_html, frame_of
from workbench.core.intervals import percentile_interval
from workbench.core.progress import check_cancelled
from workbench.corpus.alignment import documents_of

KEY = ["source", "row"]
STARTS = 10  # k-means from as many first centres; the tightest result is kept


@dataclass(frozen=True, eq=False, repr=False)
class DocumentClusters:
    """Documents in clusters, and on a plane.

    Attributes:
        frame: one row a document, in the order of the score table: doc_id, domain, source, row,
            cluster (from 0, the largest first), distance (to the cluster's centre) and x, y (the
            first two principal components, as in the paper's Figure 6).
        explained: the share of the variance that the plane shows.
    """

    frame: pd.DataFrame
    explained: float

    def _heading(self) -> str:
        clusters = self.frame["cluster"].nunique()
        return (
            f"DocumentClusters: {len(self.frame):,} documents in {clusters:,} clusters; the plane "
            f"shows {self.explained:.0%} of the variance"
        )

    def __repr__(self) -> str:
        return f"{self._heading()}\n{self.frame!r}"

    def _repr_html_(self) -> str:
        return as_html(self._heading(), self.frame, index=True)


def cluster_documents(
    table: TableLike, embeddings: np.ndarray, k: int = 100, *, seed: int = 0
) -> DocumentClusters:
    """Group documents by their embeddings, and place them on a plane.

    The mean of all embeddings is taken off and what is left scaled to length 1, since the hidden
    states of a language model share one large direction. Then k-means, the best of ten starts.

    Args:
        table: a score table, or a frame with its columns.
        embeddings: shape (documents, width), a row for each of the table's, in order (`embed` of
            the texts of `documents_of`).
        k: number of clusters (the paper: 100).
        seed: of the first centres.

    Returns:
        The cluster and the place of each document.

    Raises:
        ValueError: the shapes do not fit, k is no cluster count, or a vector is not finite.
    """
    table, vectors = frame_of(table), np.asarray(embeddings, dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(table):
        raise ValueError(
            f"expected one embedding a row of the table, ({len(table)}, width); got {vectors.shape}"
        )
    odd = ~np.isfinite(vectors).all(axis=1)
    if odd.any():
        raise ValueError(
            f"{int(odd.sum())} embeddings are not finite (first: document "
            f"{table['doc_id'].iloc[int(odd.argmax())]!r:.100}): leave these documents out of the "
            "table and of the embeddings"
        )
    if not 2 <= k <= len(table):
        raise ValueError(f"k must lie between 2 and the {len(table)} documents, got {k}")
    vectors = vectors - vectors.mean(axis=0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    check_cancelled()
    means = KMeans(k, n_init=STARTS, random_state=seed).fit(vectors)
    plane = PCA(n_components=2, svd_solver="full").fit(vectors)
    # The sign of a component is arbitrary: the document farthest out is on the positive side.
    at = plane.transform(vectors)
    at *= np.sign(at[np.abs(at).argmax(axis=0), [0, 1]])
    sizes = np.bincount(means.labels_, minlength=k)
    first = np.array([int(np.argmax(means.labels_ == cluster)) for cluster in range(k)])
    name = np.empty(k, dtype=int)
    name[np.lexsort((first, -sizes))] = np.arange(k)
    rows = table[["doc_id", "domain", *KEY]].reset_index(drop=True)
    rows = rows.assign(
        cluster=name[means.labels_],
        distance=np.linalg.norm(vectors - means.cluster_centers_[means.labels_], axis=1),
        x=at[:, 0],
        y=at[:, 1],
    )
    return DocumentClusters(rows, float(plane.explained_variance_ratio_.sum()))


def cluster_table(
    clusters: DocumentClusters,
    table: TableLike,
    corpus: Any,
    selections: Mapping[str, pd.DataFrame],
    *,
    terms: int = 5,
    nearest: int = 2,
    **columns: str,
) -> pd.DataFrame:
    """What each cluster is about, and which share of it each selection takes (Figure 4).

    The terms are those of the highest class-based TF-IDF: the share of a word in the words of the
    cluster, times ln(1 + A / f), where A is the mean number of words in a cluster and f the count
    of the word in all of them.

    Args:
        clusters: what `cluster_documents` returned for `table`.
        table: the score table, or its frame.
        corpus: what was scored, as for `read_corpus`.
        selections: name to a table with the column selected.
        terms: how many terms name a cluster.
        nearest: how many documents nearest to the centre are named.
        **columns: id, text and domain: names of the columns of the corpus, as for `read_corpus`.

    Returns:
        One row a cluster: cluster, documents, domains (those with a document in it), a column a
        selection (share of the cluster's documents that it chooses), terms and nearest (ids of
        documents).

    Raises:
        ValueError: a selection lacks the column selected.
    """
    documents = documents_of(table, corpus, **columns)
    counts, names = word_counts([document.text for document in documents])
    weights = class_tfidf(counts, clusters.frame["cluster"].to_numpy())
    flags = {name: chosen_in(clusters, selection) for name, selection in selections.items()}
    rows = []
    for cluster, part in clusters.frame.groupby("cluster"):
        value = weights[int(str(cluster))]
        best = np.argsort(-value, kind="stable")[:terms]
        near = part.sort_values("distance", kind="stable").head(nearest)
        rows.append(
            {
                "cluster": cluster,
                "documents": len(part),
                "domains": ", ".join(sorted(set(part["domain"]))),
                **{name: float(flag[part.index].mean()) for name, flag in flags.items()},
                "terms": ", ".join(names[best[value[best] > 0]]),
                "nearest": ", ".join(near["doc_id"]),
            }
        )
    return pd.DataFrame(rows)


def class_tfidf(counts: sparse.csr_matrix, classes: np.ndarray) -> np.ndarray:
    """Class-based TF-IDF: which words set a class of texts apart.

    Args:
        counts: of words, shape (texts, words).
        classes: of each text, from 0, shape (texts,).

    Returns:
        Shape (classes, words).
    """
    total = np.zeros((int(classes.max()) + 1, counts.shape[1]))
    for cluster in range(len(total)):
        total[cluster] = np.asarray(counts[np.flatnonzero(classes == cluster)].sum(axis=0)).ravel()
    share = total / np.maximum(total.sum(axis=1, keepdims=True), 1)
    return share * np.log1p(total.sum() / len(total) / total.sum(axis=0))


def coverage(
    clusters: DocumentClusters,
    selections: Mapping[str, pd.DataFrame],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """How widely each selection is spread over the clusters, beside random ones of the same size.

    Args:
        clusters: what `cluster_documents` returned.
        selections: name to a table with the column selected.
        draws: random selections, each of as many documents of every domain.
        seed: of the draws.

    Returns:
        One row a selection and measure: selection, documents, measure, value, random (mean of the
        draws), low and high (their 2.5 and 97.5 percentiles). Measures: "clusters touched" (share
        of the clusters with a chosen document) and "effective clusters" (exp of the entropy of the
        chosen documents over the clusters: as many equally full clusters would be as spread).

    Raises:
        ValueError: a selection chooses none of the documents, or lacks the column selected.
    """
    groups = clusters.frame["cluster"].to_numpy()
    k = int(groups.max()) + 1
    domains = clusters.frame["domain"].to_numpy()
    rng = np.random.default_rng(seed)
    rows = []
    for name, selection in selections.items():
        chosen = chosen_in(clusters, selection)
        if not chosen.any():
            raise ValueError(f"selection {name!r:.100} chooses none of the documents")
        random = np.zeros((draws, k))
        for domain in sorted(set(domains)):
            members = np.flatnonzero(domains == domain)
            size = int(chosen[members].sum())
            for draw in range(draws):
                picked = rng.choice(members, size, replace=False)
                random[draw] += np.bincount(groups[picked], minlength=k)
        own = np.bincount(groups[chosen], minlength=k)[None].astype(float)
        for measure, spread in (("clusters touched", _touched), ("effective clusters", _effective)):
            chance = spread(random)
            low, high = percentile_interval(chance)
            rows.append(
                {
                    "selection": name, "documents": int(chosen.sum()), "measure": measure,
                    "value": float(spread(own)[0]), "random": float(chance.mean()),
                    "low": float(low), "high": float(high),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def chosen_in(clusters: DocumentClusters, selection: pd.DataFrame) -> np.ndarray:
    """Which documents of a clustering a selection chooses.

    Args:
        clusters: what `cluster_documents` returned.
        selection: a table with the column selected.

    Returns:
        Shape (documents,), bool, in the order of the clustered documents.

    Raises:
        ValueError: the column selected is missing.
    """
    if "selected" not in selection:
        raise ValueError("a selection is a table with the column 'selected': select(...).table")
    chosen = selection.loc[selection["selected"], KEY]
    taken = pd.MultiIndex.from_frame(chosen)
    return pd.MultiIndex.from_frame(clusters.frame[KEY]).isin(taken)


def _touched(counts: np.ndarray) -> np.ndarray:
    """Share of the clusters with a document, for each row of counts (rows, clusters)."""
    return (counts > 0).mean(axis=1)


def _effective(counts: np.ndarray) -> np.ndarray:
    """The exponential of the entropy of each row of counts (rows, clusters)."""
    share = counts / counts.sum(axis=1, keepdims=True)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.exp(-(share * logs).sum(axis=1))
