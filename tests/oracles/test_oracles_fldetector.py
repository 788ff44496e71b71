"""Checks of the reference FLDetector and its parts: hand-computed examples, invariances, edge cases."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from tests.oracles import fldetector
from tests.oracles.test_oracles_memory import SEEDS


def uniform(B: int = 10):
    """References of a round: the same draws for the same round and count."""
    return lambda t, n: np.random.default_rng(1000 * t + n).uniform(size=(B, n))


# --- The Hessian-vector product -----------------------------------------------------------------------


def quadratic(seed: int, d: int = 8, N: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d))
    A = root @ root.T + np.eye(d)
    S = rng.normal(size=(d, N))
    return A, S, A @ S


@pytest.mark.parametrize("seed", SEEDS)
def test_hvp_secant_equation_and_recursive_bfgs(seed):
    _, S, Y = quadratic(seed)
    v = np.random.default_rng(seed + 50).normal(size=8)
    np.testing.assert_allclose(fldetector.lbfgs_hvp(S, Y, S[:, -1]), Y[:, -1], rtol=1e-8, atol=1e-9)
    B = (Y[:, -1] @ S[:, -1]) / (S[:, -1] @ S[:, -1]) * np.eye(8)
    for s, y in zip(S.T, Y.T, strict=True):
        B = B - np.outer(B @ s, B @ s) / (s @ B @ s) + np.outer(y, y) / (y @ s)
    np.testing.assert_allclose(fldetector.lbfgs_hvp(S, Y, v), B @ v, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("factor", [-0.1, 1e-3, 7.0, -200.0])
def test_hvp_common_factor_of_steps_cancels(factor):
    _, S, Y = quadratic(0)
    v = np.random.default_rng(9).normal(size=8)
    out = fldetector.lbfgs_hvp(S, Y, v)
    np.testing.assert_allclose(fldetector.lbfgs_hvp(factor * S, Y, factor * v), out, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(fldetector.lbfgs_hvp(S, factor * Y, v), factor * out, rtol=1e-8, atol=1e-9 * abs(factor))


@pytest.mark.parametrize("shrink", [0.1, 1e-3, 1e-6])
def test_hvp_factor_of_a_pair_cancels(shrink):
    _, S, Y = quadratic(1, d=20, N=6)
    v = np.random.default_rng(9).normal(size=20)
    factors = shrink ** np.arange(6)
    out = fldetector.lbfgs_hvp(S * factors, Y * factors, v)
    np.testing.assert_allclose(out, fldetector.lbfgs_hvp(S, Y, v), rtol=1e-8, atol=1e-8)


def test_hvp_by_hand_and_singular():
    np.testing.assert_allclose(fldetector.lbfgs_hvp([[2.0]], [[1.0]], [3.0]), [1.5])
    _, S, Y = quadratic(3)
    v = np.arange(8.0)
    zero = np.zeros((8, 1))
    padded = fldetector.lbfgs_hvp(np.hstack([zero, S]), np.hstack([zero, Y]), v)  # a pair of zeros changes nothing
    np.testing.assert_allclose(padded, fldetector.lbfgs_hvp(S, Y, v), rtol=1e-8, atol=1e-8)
    twice = fldetector.lbfgs_hvp(np.hstack([S, S[:, -1:]]), np.hstack([Y, Y[:, -1:]]), v)
    np.testing.assert_allclose(twice, fldetector.lbfgs_hvp(S, Y, v), rtol=1e-7, atol=1e-7)
    assert not fldetector.lbfgs_hvp(S[:, :1], np.zeros((8, 1)), v).any()
    assert not fldetector.lbfgs_hvp(zero, zero, v).any()
    with pytest.raises(ValueError, match="N >= 1"):
        fldetector.lbfgs_hvp(np.zeros((3, 0)), np.zeros((3, 0)), np.zeros(3))


def test_distances_by_hand():
    X = [[3.5], [6.5], [0.0], [2.0]]
    d = fldetector.fldetector_distances(X, [np.array([2.0]), np.array([4.0]), None, np.array([3.5])], [1.5])
    np.testing.assert_allclose(d, [0.0, 0.25, np.nan, 0.75])
    as_matrix = fldetector.fldetector_distances(X, np.array([[2.0], [4.0], [np.nan], [3.5]]), [1.5])
    np.testing.assert_array_equal(as_matrix, d)
    zero = fldetector.fldetector_distances([[1.0], [2.0]], [np.array([1.0]), None], [0.0])
    np.testing.assert_array_equal(zero, [0.0, np.nan])
    assert np.isnan(fldetector.fldetector_distances([[1.0]], [None], [0.0])).all()


# --- K-means and the gap statistic --------------------------------------------------------------------


def test_kmeans_by_hand():
    labels, w = fldetector.kmeans_1d([5.0, 0.0, 1.0, 9.0, 6.0], 3)
    assert labels.tolist() == [1, 0, 0, 2, 1]
    assert w == pytest.approx(1.0)
    assert fldetector.kmeans_1d([0.0, 1.0, 2.0], 2)[0].tolist() == [0, 1, 1]  # the tie
    assert fldetector.kmeans_1d([0.3, 0.1, 0.2], 2)[0].tolist() == [1, 0, 1]  # a tie but for rounding
    assert fldetector.kmeans_1d([4.0, 4.0, 1.0], 3)[0].tolist() == [1, 1, 0]  # two distinct values
    assert fldetector.kmeans_1d([0.1] * 4, 2)[1] == 0.0
    assert fldetector.kmeans_1d([1.0, 2.0], 2)[1] == 0.0
    for k in (0, 3):
        with pytest.raises(ValueError, match="k must"):
            fldetector.kmeans_1d([1.0, 2.0], k)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 7])
def test_kmeans_is_exact(seed, k):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=7) if seed % 2 else rng.integers(0, 9, size=7).astype(float)
    labels, w = fldetector.kmeans_1d(x, k)
    ordered = np.sort(x)
    best = math.inf
    for cuts in combinations(range(1, 7), k - 1):
        parts = np.split(ordered, cuts)
        best = min(best, sum(float(np.sum((p - p.mean()) ** 2)) for p in parts))
    assert w == pytest.approx(best, abs=1e-12)
    centres = [x[labels == c].mean() for c in range(labels.max() + 1)]
    assert centres == sorted(centres)
    again, w_again = fldetector.kmeans_1d(3.0 * x + 2.0, k)
    assert again.tolist() == labels.tolist()
    assert w_again == pytest.approx(9.0 * w, abs=1e-12)


def test_gap_by_hand():
    # n = 3, kmax lowered to 2; W of 0, 0.1, 1: 1.01 - 1.21 / 3 and 0.005; of 0, 0.5, 1: 0.5 and 0.125
    wide, even = [10.0, 11.0, 20.0], [[0.0, 0.5, 1.0]]
    gaps, spreads = fldetector.gap_values(wide, 7, even)
    np.testing.assert_allclose(gaps, [math.log(0.5 / (1.01 - 1.21 / 3)), math.log(0.125 / 0.005)])
    assert spreads == [0.0, 0.0]
    assert fldetector.gap_statistic_k(wide, 7, even) == (2, True)
    assert fldetector.fldetector_detect(wide, 7, even).tolist() == [False, False, True]
    assert fldetector.gap_statistic_k([0.0, 0.5, 1.0], 7, [[0.0, 0.1, 1.0]]) == (1, False)
    assert not fldetector.fldetector_detect([0.0, 0.5, 1.0], 7, [[0.0, 0.1, 1.0]]).any()
    assert fldetector.gap_statistic_k(wide, 1, even) == (1, False)


def test_gap_spread_and_official():
    references = [[0.0, 0.5, 1.0], [0.0, 0.1, 1.0]]
    gaps, spreads = fldetector.gap_values([0.0, 0.2, 1.0], 2, references)
    official, same = fldetector.gap_values([0.0, 0.2, 1.0], 2, references, official=True)
    a, b = math.log(0.125), math.log(0.005)
    assert spreads[1] == pytest.approx(abs(a - b) / 2 * math.sqrt(1.5))
    assert gaps[1] == pytest.approx((a + b) / 2 - math.log(0.02))
    assert official[1] == pytest.approx(math.log((0.125 + 0.005) / 2) - math.log(0.02))
    assert same == spreads
    # at 0.1 the variants decide differently
    assert fldetector.gap_statistic_k([0.0, 0.1, 1.0], 2, references) == (1, False)
    assert fldetector.gap_statistic_k([0.0, 0.1, 1.0], 2, references, official=True) == (2, True)
    assert fldetector.fldetector_detect([0.0, 0.1, 1.0], 2, references, official=True).tolist() == [False, False, True]


@pytest.mark.parametrize("seed", range(10))
def test_gap_finds_two_groups_and_spares_one(seed):
    rng = np.random.default_rng(seed)
    references = rng.uniform(size=(10, 20))
    scores = np.concatenate([0.02 * rng.uniform(size=15), 1.0 + 0.02 * rng.uniform(size=5)])
    mask = fldetector.fldetector_detect(scores, 7, references)
    assert np.flatnonzero(mask).tolist() == list(range(15, 20))
    order = rng.permutation(20)
    assert fldetector.fldetector_detect(7.0 * scores[order] - 3.0, 7, references).tolist() == mask[order].tolist()
    even = np.linspace(0.0, 1.0, 20)
    assert fldetector.gap_statistic_k(even, 7, references) == (1, False)


def test_gap_edges():
    assert fldetector.gap_statistic_k([0.3] * 5, 4, np.full((2, 5), 0.5)) == (1, False)
    assert fldetector.gap_statistic_k([0.3], 4, [[0.5]]) == (1, False)
    assert fldetector.gap_statistic_k([0.0, 1.0], 4, [[0.2, 0.4]]) == (1, False)  # kmax = 1
    # W_2 = W_3 = floor
    gaps, _ = fldetector.gap_values([0.0, 0.0, 0.0, 1.0], 3, [[0.1, 0.2, 0.6, 0.9]])
    assert gaps[1] == pytest.approx(math.log(0.05) - math.log(1e-12))
    assert fldetector.gap_statistic_k([0.0, 0.0, 0.0, 1.0], 3, [[0.1, 0.2, 0.6, 0.9]]) == (2, True)
    with pytest.raises(ValueError, match="finite"):
        fldetector.fldetector_detect([0.0, np.nan], 2, [[0.1, 0.2]])


# --- Rounds -------------------------------------------------------------------------------------------


def test_fldetector_rounds_by_hand():
    det = fldetector.FLDetector(uniform(), window=2)
    assert det.round([[1.0], [3.0]], "ab") == (np.array([2.0]), ["a", "b"])
    assert np.isnan(det.last_scores).all()
    det.round([[2.0], [4.0]], "ab")  # s = 2, y = 3 - 2: H = 1/2
    assert np.isnan(det.last_scores).all()
    out, kept = det.round([[3.5], [6.5], [80.0]], "abc")  # v = 3; predicted 3.5, 5.5
    np.testing.assert_allclose(det.last_scores, [0.0, 1.0, np.nan])
    assert (out[0], kept) == (30.0, ["a", "b", "c"])
    # s = 3, y = 27: H = 9, v = 30; predicted a: 3.5 + 270, c: 80 + 270
    det.round([[350.0], [274.5]], "ca")
    np.testing.assert_allclose(det.last_scores, [0.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(det.last_suspicion, [0.0, 0.5], atol=1e-9)
    assert [s[0] for s in det.S] == [3.0, 30.0]
    np.testing.assert_allclose([y[0] for y in det.Y], [27.0, 312.25 - 30.0])
    assert (det.rounds, det.pairs_made, det.vectors_made) == (4, 3, 2)
    # b comes back: last received 6.5; its score of round 2 has left the window of two after this round
    out, kept = det.round([[0.0], [0.0]], "bd")
    np.testing.assert_allclose(det.last_scores, [1.0, np.nan])
    np.testing.assert_allclose(det.last_suspicion, [1.0, np.nan])


def test_scores_of_rounds_of_few_are_brought_to_the_number_of_this_round():
    det = fldetector.FLDetector(uniform(), window=3)
    det.score_rounds = [{"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}, {"a": 1.0}]
    assert det.suspicion("a", 1) == pytest.approx((0.1 * 4 + 1.0) / 2)
    assert det.suspicion("a", 4) == pytest.approx((0.1 + 1.0 / 4) / 2)
    assert det.suspicion("d", 1) == pytest.approx(1.6)
    assert math.isnan(det.suspicion("e", 1))


def test_fldetector_detection_starts_when_told():
    rng = np.random.default_rng(0)
    seen = []

    def references(t, n):
        seen.append((t, n))
        return np.full((3, n), 0.5)

    X = rng.normal(size=(9, 6, 4))
    for start, scores_from, first in [(3, 1, 4), (3, 3, 6), (1, 1, 2), (5, 1, 6)]:
        seen.clear()
        det = fldetector.FLDetector(references, window=3, start=start, scores_from=scores_from)
        for t in range(9):
            det.round(X[t], "abcdef")
        assert seen == [(t, 6) for t in range(first, 9)]


def federation(det, rounds=24, factor=1.0, order=None, liars=(0, 1, 2), n=12, d=6):
    """Clients with noisy quadratics, the liars send noise; two clients are away in each round."""
    rng = np.random.default_rng(4)
    A = np.diag(np.linspace(0.5, 2.0, d))
    targets = 0.3 * rng.normal(size=(n, d))
    w = 3.0 * np.ones(d)
    found = []
    for _ in range(rounds):
        ids = np.sort(rng.permutation(n)[: n - 2])
        X = np.array([A @ (w - targets[i]) + 0.01 * rng.normal(size=d) for i in ids])
        for row, i in enumerate(ids):
            if i in liars:
                X[row] = 2.0 * rng.normal(size=d)
        if order is not None:
            ids, X = ids[order], X[order]
        out, kept = det.round(factor * X, [int(i) for i in ids])
        np.testing.assert_allclose(out, np.mean([factor * X[list(ids).index(i)] for i in kept], axis=0))
        w = w - 0.1 * out / factor
        found.append((det.detecting, set(ids) - set(kept), set(ids) & set(liars)))
    return found


def test_fldetector_finds_noise_and_does_not_depend_on_order_or_scale():
    found = federation(fldetector.FLDetector(uniform(), window=5))
    assert [detecting for detecting, _, _ in found] == [False] * 6 + [True] * 18
    assert all(not dropped for detecting, dropped, _ in found if not detecting)
    late = [dropped == bad for detecting, dropped, bad in found if detecting]
    assert sum(late) >= 0.9 * len(late)
    dropped = [d for _, d, _ in found]
    order = np.random.default_rng(1).permutation(10)
    again = federation(fldetector.FLDetector(uniform(), window=5), order=order)
    assert [d for _, d, _ in again] == dropped
    scaled = federation(fldetector.FLDetector(uniform(), window=5), factor=-50.0)  # the updates -lr g instead of g
    assert [d for _, d, _ in scaled] == dropped


def test_fldetector_new_clients_are_kept_and_dropped_ones_come_back():
    det = fldetector.FLDetector(lambda t, n: np.tile(np.linspace(0.0, 1.0, n), (2, 1)), window=4, start=1)
    honest = np.array([[1.0], [1.0], [1.1], [0.9]])
    for t in range(2):
        det.round(honest * (1.0 - 0.1 * t), "abcd")
    step = np.array([[0.8]])
    out, kept = det.round(np.vstack([step * honest[:3], [[-50.0]], [[7.0]]]), "abcde")
    assert kept == ["a", "b", "c", "e"]
    np.testing.assert_allclose(out, [(0.8 + 0.8 + 0.88 + 7.0) / 4])
    np.testing.assert_array_equal(det.received["d"], [-50.0])
    assert "d" in det.score_rounds[-1]
    assert "e" not in det.score_rounds[-1]
    _, kept = det.round([[1.0], [2.0]], "xy")  # nobody has a score
    assert kept == ["x", "y"]
    assert det.vectors_made == 1
    assert not det.detecting
    with pytest.raises(ValueError, match="one id per row"):
        det.round([[1.0], [2.0]], "xx")
