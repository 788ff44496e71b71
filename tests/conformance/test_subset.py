"""The subset of smallest diameter, found without enumerating subsets, against enumerating them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import rules
from fedward.rules.subset import smallest_diameter
from fedward.stack import Dense
from tests.oracles import geometry

LIMIT = 200_000


def found(X: np.ndarray, f: int) -> list[int]:
    return smallest_diameter(Dense(torch.from_numpy(np.asarray(X, dtype=np.float64))).sq_dists(), f, LIMIT)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("spread", [1, 2, 4, 20])
def test_is_the_first_of_integer_points_with_many_ties(d: int, spread: int) -> None:
    for seed in range(60):
        rng = np.random.default_rng(1000 * d + 100 * spread + seed)
        n = int(rng.integers(1, 11))
        f = int(rng.integers(0, (n - 1) // 2 + 1))
        X = rng.integers(0, spread + 1, size=(n, d)).astype(float)
        assert found(X, f) == geometry.mda(X, f)[1], f"seed {seed}"


def test_is_that_of_random_points() -> None:
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(3, 13))
        f = int(rng.integers(0, (n - 1) // 2 + 1))
        X = rng.normal(size=(n, int(rng.integers(1, 6))))
        assert found(X, f) == geometry.mda(X, f)[1], f"seed {seed}"


def test_is_that_of_clusters_and_copies() -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        n, f = 11, 1 + seed % 5
        X = 3 * rng.integers(0, 3, size=(n, 1)) + 0.1 * rng.integers(0, 3, size=(n, 4)).astype(float)
        X[rng.permutation(n)[:3]] = X[0]
        assert found(X, f) == geometry.mda(X, f)[1], f"seed {seed}"


def test_matrices_that_no_points_have() -> None:
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 11))
        f = int(rng.integers(0, n))
        upper = np.triu(rng.integers(0, 5, size=(n, n)), 1).astype(float)
        D = upper + upper.T
        best: tuple[float, tuple[int, ...]] | None = None
        for subset in combinations(range(n), n - f):
            diameter = D[np.ix_(subset, subset)].max()
            if best is None or diameter < best[0]:
                best = diameter, subset
        assert best is not None
        assert smallest_diameter(torch.from_numpy(D), f, LIMIT) == list(best[1]), f"seed {seed}"


def stack(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, 300))
    if kind == "far and apart":
        X[:10] *= 100
    elif kind == "near and apart":
        X[:10] *= 1.5
    elif kind == "one cluster":
        X[:10] = 3 * rng.normal(size=300) + 0.1 * X[:10]
    elif kind == "few columns":
        X = X[:, :2].copy()
    elif kind == "a grid":
        X = rng.integers(0, 4, size=(50, 3)).astype(float)
    return X


@pytest.mark.parametrize("kind", ["far and apart", "near and apart", "one cluster", "random", "few columns", "a grid"])
def test_fifty_clients_are_no_trouble(kind: str) -> None:
    for seed in range(3):
        X = stack(kind, seed)
        result = fw.Aggregator(rules.MDA(f=10))(X)
        kept = result.accepted.nonzero()[0]
        assert len(kept) == 40
        if kind in ("far and apart", "near and apart"):
            assert kept.tolist() == list(range(10, 50))


def test_gives_up_with_advice() -> None:
    X = np.random.default_rng(0).normal(size=(30, 1000))
    with pytest.raises(fw.BoundError, match=r"limit, or use MultiKrum"):
        rules.MDA(f=12, limit=3)(X)
