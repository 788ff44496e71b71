"""Checks of the reference pre-aggregations, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles import geometry as geo
from tests.oracles import mixing


def test_bucketing_by_hand() -> None:
    X = np.array([[1.0], [2.0], [4.0], [8.0], [16.0]])
    assert mixing.bucketing(X, [4, 0, 3, 1, 2], 2).tolist() == [[8.5], [5.0], [4.0]]
    assert mixing.bucketing(X, [4, 0, 3, 1, 2], 1).tolist() == [[16.0], [1.0], [8.0], [2.0], [4.0]]
    assert mixing.bucketing(X, range(5), 9).tolist() == [[6.2]]
    for perm, s in ([0, 0, 1, 2, 3], 2), ([0, 1], 2), (range(5), 0):
        with pytest.raises(ValueError, match=r"perm|s must"):
            mixing.bucketing(X, perm, s)


def test_sequential_bucketing_by_hand() -> None:
    # cosines with (1, 0): 1, -1, 0, 0 (zero row), 0.6 -> order 1, 2, 3, 4, 0; clusters of three: 1 2 3 | 4 0
    X = np.array([[2.0, 0.0], [-1.0, 0.0], [0.0, 5.0], [0.0, 0.0], [3.0, 4.0]])
    assert mixing.sequential_buckets(X, [1, 0], 2, [[0, 1, 2], [0, 1]]) == [[1, 4], [2, 0], [3]]
    assert mixing.sequential_buckets(X, [1, 0], 2, [[2, 0, 1], [1, 0]]) == [[3, 0], [1, 4], [2]]
    assert mixing.sequential_buckets(X, [0, 0], 2, [[0, 1, 2], [0, 1]]) == [[0, 3], [1, 4], [2]]  # index order
    # four clusters of ceil(5/4) = 2 need only three
    perms = [[0, 1], [0, 1], [0]]
    assert mixing.sequential_buckets(X, [0, 0], 4, perms) == [[0, 2, 4], [1, 3]]
    assert mixing.sequential_buckets(X, [0, 0], 4, [*perms, []]) == [[0, 2, 4], [1, 3]]
    v = np.array([0.0, 0.0])
    for bucket in [0, 3], [1, 4], [2]:
        v = geo.centered_clipping(X[bucket], v, 1.5, 1)
    np.testing.assert_allclose(mixing.cc_sequential_bucketing(X, [0, 0], 1.5, 2, [[0, 1, 2], [0, 1]]), v)
    # tau large: v is the mean of the last bucket
    assert mixing.cc_sequential_bucketing(X, [0, 0], 1e9, 2, [[0, 1, 2], [0, 1]]).tolist() == [0.0, 5.0]
    for s, perms in (2, [[0, 1, 2]]), (2, [[0, 1], [0, 1, 2]]), (0, []):
        with pytest.raises(ValueError, match=r"permutation|s must"):
            mixing.sequential_buckets(X, v, s, perms)


def test_nnm_by_hand() -> None:
    X = np.array([[0.0], [1.0], [2.0], [9.0]])
    assert mixing.nnm(X, 2).tolist() == [[0.5], [0.5], [1.5], [5.5]]  # row 1: tie of rows 0 and 2
    assert mixing.nnm(X, 3).tolist() == X.tolist()


def test_arc_and_normalize_by_hand() -> None:
    X = np.array([[3.0, 4.0], [0.0, 1.0], [0.0, 2.0], [0.0, 0.0], [0.0, 4.0]])
    # n 5, f 1: k = floor(8/5) = 1, radius = second longest = 4
    np.testing.assert_allclose(mixing.arc(X, 1), [[2.4, 3.2], *X[1:].tolist()])
    # f 2: k = floor(12/5) = 2, radius 2
    np.testing.assert_allclose(mixing.arc(X, 2), [[1.2, 1.6], [0, 1], [0, 2], [0, 0], [0, 2]])
    assert mixing.arc(X, 0).tolist() == X.tolist()
    np.testing.assert_allclose(mixing.normalize(X), [[0.6, 0.8], [0, 1], [0, 1], [0, 0], [0, 1]])


def test_group_majority_by_hand() -> None:
    X = np.array([[1.0], [2.0], [2.0], [3.0], [4.0], [5.0], [0.0], [-0.0]])
    assert mixing.group_majority(X, 3).tolist() == [[2.0], [3.0], [0.0]]
    assert mixing.group_majority(X, 1).tolist() == X.tolist()
    assert not np.signbit(mixing.group_majority(X[[6, 7]], 2)).any()  # 0 and -0 differ: a tie, the first
    assert np.signbit(mixing.group_majority(X[[6, 7, 7]], 3)).all()
    with pytest.raises(ValueError, match="r must"):
        mixing.group_majority(X, 0)
