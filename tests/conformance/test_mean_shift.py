"""SignGuard's Mean-Shift: the clusters of scikit-learn and of its oracle, at every scale and in any order."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.cluster
import torch

from fedward.rules import meanshift, sign
from fedward.rules.meanshift import bandwidth, mean_shift
from tests.oracles import signguard as oracle


def features(seed: int) -> np.ndarray:
    """Points of three kinds: clouds, sign shares, sign shares with a fourth column."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(4, 24)), int(rng.choice([20, 200, 2000]))
    if seed % 3 == 0:
        centres = rng.normal(size=(3, 4))
        return centres[rng.integers(0, 3, size=n)] + rng.choice([0.1, 0.5, 1.0]) * rng.normal(size=(n, 4))
    shares = rng.multinomial(k, [0.5, 0.1, 0.4], size=n) / k
    shares[: n // 4] = shares[: n // 4, ::-1]
    if seed % 3 == 1:
        return shares
    return np.column_stack([shares, rng.normal(0.2, 0.05, size=n).clip(0, 0.2)])


def test_mean_shift_finds_the_clusters_that_scikit_learn_finds() -> None:
    compared = 0
    for seed in range(60):
        points = features(seed)
        h = bandwidth(points)
        if h == 0 or oracle.deciding_gap(points, h) < 1e-6:  # float32 seeds, or rounding, decide
            continue
        compared += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # every point has a cell to itself
            library = sklearn.cluster.MeanShift(bandwidth=h, bin_seeding=True, cluster_all=False).fit(points)
        assert mean_shift(points).tolist() == library.labels_.tolist(), seed
    assert compared > 40


@pytest.mark.parametrize("chunked", [False, True])
def test_mean_shift_equals_its_oracle(chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if chunked:
        monkeypatch.setattr(meanshift, "_ROOM", 50)
    for seed in range(30):
        points = features(seed)
        h = oracle.estimate_bandwidth(points)
        assert bandwidth(points) == pytest.approx(h, rel=1e-12)
        if oracle.deciding_gap(points, h) > 1e-9:
            assert mean_shift(points).tolist() == oracle.mean_shift_labels(points, h), seed


def test_clusters_do_not_change_with_the_scale_of_the_points() -> None:
    for seed in range(10):
        points = features(3 * seed)
        expected = mean_shift(points).tolist()
        for power in (-1000, -600, -100, -30, 30, 600, 1000):
            assert mean_shift(np.ldexp(points, power)).tolist() == expected, (seed, power)
        for spread in (1e-3, 1e-6, 1e-9, 1e-12, 1e-150, 1e-300):
            beside = np.column_stack([np.zeros(len(points)), spread * points])
            assert mean_shift(beside).tolist() == expected, (seed, spread)
            beside[:, 0] = 0.5
            if spread < 1e-8:
                assert mean_shift(beside).tolist() == expected, (seed, spread)


@pytest.mark.parametrize("spread", [10.0**-k for k in (0, 3, 6, 8, 9, 12, 15, 16, 17, 100, 200, 300)])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_clusters_are_found_however_alike_the_points_are(spread: float, offset: float) -> None:
    """scikit-learn raises on these from 1e-8 or so on: its seeds are float32."""
    for seed in range(5):
        points = offset + spread * np.random.default_rng(seed).normal(size=(40, 4))
        labels = mean_shift(points)
        assert np.bincount(labels[labels >= 0]).max() > 20
        if spread >= 1e-12 or offset == 0:
            plain = mean_shift(np.random.default_rng(seed).normal(size=(40, 4)))
            assert np.bincount(labels[labels >= 0]).max() >= np.bincount(plain[plain >= 0]).max() - 3


def test_no_finite_points_are_too_much() -> None:
    for seed in range(250):
        rng = np.random.default_rng(seed)
        n, k = int(rng.integers(1, 30)), int(rng.integers(1, 5))
        points = rng.choice([0, 0.2, 0.3, 1, -1, 1e300, -1.7e308, 1e-300, 0.5], size=(n, k))
        points += rng.choice([0, 1e-17, 1e-16, 1e-300, 5e-324, 1e-12, 1], size=(n, k)) * rng.integers(
            -2, 3, size=(n, k)
        )
        labels = mean_shift(points)
        assert labels.max() >= 0
        order = rng.permutation(n)
        assert mean_shift(points[order]).tolist() == labels[order].tolist()


def test_points_with_a_cell_each_are_the_seeds() -> None:
    compared = 0
    for seed in range(120):
        points = np.random.default_rng(seed).normal(size=(4 + seed % 3, 4))
        h = oracle.estimate_bandwidth(points)
        if len(np.unique(np.round(points / h), axis=0)) == len(points) and oracle.deciding_gap(points, h) > 1e-9:
            compared += 1
            assert mean_shift(points).tolist() == oracle.mean_shift_labels(points, h), seed
    assert compared > 50


def test_the_bandwidth_is_that_of_the_points_in_any_order() -> None:
    for seed in range(30):
        points = features(seed)
        assert bandwidth(points[np.random.default_rng(seed).permutation(len(points))]) == bandwidth(points)


def test_points_that_differ_by_nothing_beside_the_others_are_one_cluster() -> None:
    noise = 1e-200 * np.random.default_rng(0).normal(size=12)
    labels = mean_shift(np.append(noise, np.ones(10))[:, None])
    assert labels.tolist() == [0] * 12 + [1] * 10


def test_two_tight_groups_far_apart_are_two_clusters() -> None:
    for tightness in (1e-6, 1e-12, 1e-14, 1e-15, 1e-17, 0.0):
        noise = np.random.default_rng(0).normal(size=20)
        points = np.repeat([0.3, 0.7], 10)[:, None] + tightness * noise[:, None]
        labels = mean_shift(points)
        assert np.bincount(labels[labels >= 0], minlength=2)[:2].min() >= 5, tightness
        assert not set(labels[:10]) & set(labels[10:]) - {-1}


def test_a_distance_of_exactly_the_bandwidth_is_within_it() -> None:
    # Nearest neighbours are 0.1 apart, so that is the bandwidth; 0.1 is no float, so each distance is a little off.
    for start in (0.0, 0.1, 0.3, 0.7):
        points = np.array([[start], [start + 0.1], [start + 0.2], [start + 0.3]])
        assert bandwidth(points) == pytest.approx(0.1)
        assert mean_shift(points).tolist() == mean_shift(np.arange(4.0)[:, None]).tolist()


def test_of_clusters_of_one_size_that_of_larger_coordinates_comes_first() -> None:
    points = np.repeat([[0.6, 0.4], [0.4, 0.6]], 5, axis=0) + 0.01 * np.tile(np.arange(5.0), 2)[:, None]
    for order in (np.arange(10), np.arange(10)[::-1], np.random.default_rng(0).permutation(10)):
        kept = sign.largest_cluster(torch.from_numpy(points[order]))
        assert kept.tolist() == (order < 5).tolist()
    exact = np.repeat([[0.6, 0.4], [0.4, 0.6]], 5, axis=0)
    assert mean_shift(exact).tolist() == [0] * 5 + [1] * 5
    assert mean_shift(exact[::-1]).tolist() == [1] * 5 + [0] * 5
