"""Checks of the reference rules that put clients into groups."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import HDBSCAN

from tests.oracles import clusters, mixing
from tests.oracles import geometry as geo


def test_bipartition_by_hand() -> None:
    def circle(*degrees: float) -> np.ndarray:
        return np.array([[math.cos(math.radians(t)), math.sin(math.radians(t))] for t in degrees])

    # gaps 10 20 30 25: single cuts the 30; complete joins 0 10 | 60 85, then 30 at 30 degrees from 0, 55 from 85
    X = circle(0, 10, 30, 60, 85)
    assert clusters.cosine_bipartition(X) == ([0, 1, 2], [3, 4])
    # a chain 0 20 41 63 86: single cuts the last; complete joins 0 20, 41 63, then 86 with 41 63
    Y = circle(0, 20, 41, 63, 86)
    assert clusters.cosine_bipartition(Y, "single") == ([0, 1, 2, 3], [4])
    assert clusters.cosine_bipartition(Y, "complete") == ([2, 3, 4], [0, 1])
    # equal sizes: the tighter one; equally tight, as any two rows: nothing decides, so all
    assert clusters.cosine_bipartition(circle(0, 20, 90, 100)) == ([2, 3], [0, 1])
    assert clusters.cosine_bipartition(circle(0, 90, 10, 100)) == ([0, 1, 2, 3], [])
    assert clusters.cosine_bipartition(circle(0, 90)) == ([0, 1], [])
    assert clusters.cosine_bipartition(circle(5)) == ([0], [])
    # zero rows: cosine 0 to all others, and one row among themselves
    assert clusters.cosine_bipartition(np.zeros((4, 2))) == ([0, 1, 2, 3], [])
    assert clusters.cosine_bipartition(np.vstack([np.zeros((3, 2)), circle(0, 10, 20, 30)])) == (
        [3, 4, 5, 6],
        [0, 1, 2],
    )
    assert clusters.cosine_bipartition(np.vstack([np.zeros((1, 2)), circle(5)])) == ([1], [0])
    # three groups at one distance, of which one has most of the rows, or none has
    assert clusters.cosine_bipartition(np.array([[1.0, 0, 0], [2.0, 0, 0], [3.0, 0, 0], [0, 1, 0], [0, 0, 1]]))[0] == [
        0,
        1,
        2,
    ]
    assert clusters.cosine_bipartition(np.eye(3)) == ([0, 1, 2], [])
    scaled = Y * np.array([[3.0], [0.1], [7.0], [1.0], [90.0]])
    assert clusters.clustering(scaled, "complete")[1] == [2, 3, 4]
    np.testing.assert_allclose(clusters.clustering(scaled, "complete")[0], scaled[2:].mean(axis=0))
    with pytest.raises(ValueError, match="linkage"):
        clusters.cosine_bipartition(X, "ward")


@pytest.mark.parametrize("linkage", ["single", "complete", "average"])
def test_bipartition_against_scipy(linkage: str) -> None:
    for seed in range(20):
        X = np.random.default_rng(seed).normal(size=(11, 4))
        labels = fcluster(scipy_linkage(squareform(geo.cosine_distances(X)), linkage), 2, "maxclust")
        kept, other = clusters.cosine_bipartition(X, linkage)
        assert {tuple(kept), tuple(other)} == {tuple(np.flatnonzero(labels == k)) for k in (1, 2)}
        assert len(kept) > len(other)


def test_single_linkage_minimises_the_largest_cross_cosine() -> None:
    for seed in range(10):
        X = np.random.default_rng(seed).normal(size=(7, 3))
        C = geo.cosine_distances(X)

        def smallest_gap(group: list[int], C: np.ndarray = C) -> float:
            return min(C[i, j] for i in group for j in range(7) if j not in group)

        groups = [list(g) for size in range(1, 4) for g in combinations(range(7), size)]
        assert smallest_gap(clusters.cosine_bipartition(X)[0]) == max(smallest_gap(g) for g in groups)


def test_clipped_clustering() -> None:
    X = np.array([[1.0, 0.0], [8.0, 0.8], [2.0, 0.1], [-4.0, 0.0]])
    out, kept = clusters.clipped_clustering(X)
    assert kept == [0, 1, 2]
    tau = (np.linalg.norm(X[2]) + 4) / 2
    np.testing.assert_allclose(out, (X[0] + X[1] * tau / np.linalg.norm(X[1]) + X[2]) / 3)
    # past norms count: median of 0.5 x 5 and these four is 0.5
    out, kept = clusters.clipped_clustering(X, [0.5] * 5)
    np.testing.assert_allclose(out, 0.5 * mixing.normalize(X)[:3].mean(axis=0))
    np.testing.assert_allclose(clusters.clipped_clustering([[3.0, 4.0]], [1.0])[0], [1.8, 2.4])  # tau 3
    spread = [np.random.default_rng(seed).normal(size=(11, 4)) for seed in range(10)]
    average = [clusters.cosine_bipartition(Y, "average")[0] for Y in spread]
    assert [clusters.clipped_clustering(Y)[1] for Y in spread] == average
    assert average != [clusters.cosine_bipartition(Y, "single")[0] for Y in spread]


def test_flame_by_hand() -> None:
    X = np.array([[1.0, 0.0], [4.0, 0.4], [0.0, 2.0], [3.0, 0.2], [0.0, -1.0]])
    assert clusters.flame_cluster(X) == [0, 1, 3]
    S = 2.0  # of the norms 1, 4.02, 2, 3.01, 1
    expected = (X[0] + S * mixing.normalize(X)[1] + S * mixing.normalize(X)[3]) / 3
    np.testing.assert_allclose(clusters.flame(X), expected)
    np.testing.assert_allclose(clusters.flame(X, noise=[1.0, -2.0], noise_lambda=0.1), expected + np.array([0.2, -0.4]))
    assert clusters.flame_cluster([[1.0, 2.0]]) == [0]
    assert clusters.flame_cluster([[1.0, 2.0], [-1.0, 2.0]]) == [0, 1]
    assert clusters.flame_cluster(np.outer([1, 0.3, 7, 1.1, -1], [0.1, 0.7, 0.3])) == [0, 1, 2, 3]  # tie of all pairs
    assert clusters.flame_cluster(np.zeros((4, 2))) == [0, 1, 2, 3]


def test_flame_against_hdbscan() -> None:
    sizes = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n, d = int(rng.integers(4, 16)), int(rng.integers(2, 8))
        X = rng.normal(size=(n, d)) + rng.uniform(0, 2)
        model = HDBSCAN(
            min_cluster_size=n // 2 + 1, min_samples=1, metric="precomputed", allow_single_cluster=True, copy=True
        )
        labels = model.fit(geo.cosine_distances(X)).labels_
        assert clusters.flame_cluster(X) == np.flatnonzero(labels == 0).tolist()
        sizes.add(int(np.sum(labels == 0)) - (n // 2 + 1))
    assert len(sizes) > 1
