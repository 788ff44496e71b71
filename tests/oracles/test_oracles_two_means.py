"""Checks of the reference 2-means against scikit-learn's KMeans."""

import numpy as np
import sklearn.cluster

from tests.oracles import twomeans


def points_of(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(3, 30)), int(rng.integers(1, 5))
    centres = rng.normal(size=(3, d))
    return centres[rng.integers(0, 3, size=n)] + rng.choice([0.05, 0.3, 1.0]) * rng.normal(size=(n, d))


def partition(first: list[bool]) -> set[frozenset[int]]:
    return {frozenset(i for i, mine in enumerate(first) if mine is side) for side in (True, False)}


def test_two_means_agree_with_scikit_learn_from_the_same_starts() -> None:
    for seed in range(60):
        points = points_of(seed)
        fitted = sklearn.cluster.KMeans(2, init=np.array(twomeans.starts(points)), n_init=1, tol=0.0).fit(points)
        assert partition(twomeans.clusters(points)) == partition([bool(v) for v in fitted.labels_]), seed


def test_the_starts_find_the_best_two_clusters_where_there_are_two() -> None:
    """The best of many random starts is what the deterministic one finds."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        points = np.concatenate([rng.normal(size=(12, 3)), 8 + rng.normal(size=(8, 3))])
        fitted = sklearn.cluster.KMeans(2, n_init=20, random_state=0).fit(points)
        assert partition(twomeans.clusters(points)) == partition([bool(v) for v in fitted.labels_])
        assert twomeans.larger(points) == list(range(12))


def test_two_means_by_hand() -> None:
    assert twomeans.larger([[0.0], [1.0], [9.0], [10.0], [11.0]]) == [2, 3, 4]
    assert twomeans.larger([[0.0], [0.0], [9.0], [10.0]]) == [0, 1]  # as many, and nearer to their mean
    assert twomeans.larger([[0.0], [1.0], [9.0], [10.0]]) == [2, 3]  # the same in all, and of larger coordinates
    assert twomeans.larger([[3.0], [3.0]]) == [0, 1]
