"""Checks of the rules with a memory or a root set: hand-computed examples, invariances, edge cases."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from tests.oracles import memory, rules

SEEDS = range(5)


def sample(seed: int, n: int = 9, d: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=d) + 0.7 * rng.normal(size=(n, d))


def uniform(B: int = 10):
    """References of a round: the same draws for the same round and count."""
    return lambda t, n: np.random.default_rng(1000 * t + n).uniform(size=(B, n))


# --- FLTrust ------------------------------------------------------------------------------------------


def test_fltrust_by_hand():
    # cosines 1, 0.6, -1; rescaled to norm 2: (2, 0), (1.2, 1.6)
    out = memory.fltrust([[5.0, 0.0], [3.0, 4.0], [-1.0, 0.0]], [2.0, 0.0])
    np.testing.assert_allclose(out, [(2.0 + 0.6 * 1.2) / 1.6, 0.6 * 1.6 / 1.6])


@pytest.mark.parametrize("seed", SEEDS)
def test_fltrust_invariances(seed):
    rng = np.random.default_rng(seed)
    X, g0 = sample(seed), rng.normal(size=5)
    out = memory.fltrust(X, g0)
    np.testing.assert_allclose(memory.fltrust(X[rng.permutation(9)], g0), out, atol=1e-12)
    np.testing.assert_allclose(memory.fltrust(rng.uniform(0.1, 9.0, (9, 1)) * X, g0), out, atol=1e-12)
    np.testing.assert_allclose(memory.fltrust(X, 3.0 * g0), 3.0 * out, atol=1e-12)
    Q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    np.testing.assert_allclose(memory.fltrust(X @ Q, g0 @ Q), out @ Q, atol=1e-12)
    assert rules.norm(out) <= rules.norm(g0) * (1 + 1e-12)
    assert out @ g0 >= 0


def test_fltrust_without_trust_is_zero():
    assert not memory.fltrust([[-1.0, 0.0], [0.0, 0.0], [0.0, 2.0]], [1.0, 0.0]).any()
    assert not memory.fltrust([[1.0, 0.0]], [0.0, 0.0]).any()


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
    np.testing.assert_allclose(memory.lbfgs_hvp(S, Y, S[:, -1]), Y[:, -1], rtol=1e-8, atol=1e-9)
    B = (Y[:, -1] @ S[:, -1]) / (S[:, -1] @ S[:, -1]) * np.eye(8)
    for s, y in zip(S.T, Y.T, strict=True):
        B = B - np.outer(B @ s, B @ s) / (s @ B @ s) + np.outer(y, y) / (y @ s)
    np.testing.assert_allclose(memory.lbfgs_hvp(S, Y, v), B @ v, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("factor", [-0.1, 1e-3, 7.0, -200.0])
def test_hvp_common_factor_of_steps_cancels(factor):
    _, S, Y = quadratic(0)
    v = np.random.default_rng(9).normal(size=8)
    out = memory.lbfgs_hvp(S, Y, v)
    np.testing.assert_allclose(memory.lbfgs_hvp(factor * S, Y, factor * v), out, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(memory.lbfgs_hvp(S, factor * Y, v), factor * out, rtol=1e-8, atol=1e-9 * abs(factor))


@pytest.mark.parametrize("shrink", [0.1, 1e-3, 1e-6])
def test_hvp_factor_of_a_pair_cancels(shrink):
    _, S, Y = quadratic(1, d=20, N=6)
    v = np.random.default_rng(9).normal(size=20)
    factors = shrink ** np.arange(6)
    out = memory.lbfgs_hvp(S * factors, Y * factors, v)
    np.testing.assert_allclose(out, memory.lbfgs_hvp(S, Y, v), rtol=1e-8, atol=1e-8)


def test_hvp_by_hand_and_singular():
    np.testing.assert_allclose(memory.lbfgs_hvp([[2.0]], [[1.0]], [3.0]), [1.5])
    _, S, Y = quadratic(3)
    v = np.arange(8.0)
    zero = np.zeros((8, 1))
    padded = memory.lbfgs_hvp(np.hstack([zero, S]), np.hstack([zero, Y]), v)  # a pair of zeros changes nothing
    np.testing.assert_allclose(padded, memory.lbfgs_hvp(S, Y, v), rtol=1e-8, atol=1e-8)
    twice = memory.lbfgs_hvp(np.hstack([S, S[:, -1:]]), np.hstack([Y, Y[:, -1:]]), v)
    np.testing.assert_allclose(twice, memory.lbfgs_hvp(S, Y, v), rtol=1e-7, atol=1e-7)
    assert not memory.lbfgs_hvp(S[:, :1], np.zeros((8, 1)), v).any()
    assert not memory.lbfgs_hvp(zero, zero, v).any()
    with pytest.raises(ValueError, match="N >= 1"):
        memory.lbfgs_hvp(np.zeros((3, 0)), np.zeros((3, 0)), np.zeros(3))


def test_distances_by_hand():
    X = [[3.5], [6.5], [0.0], [2.0]]
    d = memory.fldetector_distances(X, [np.array([2.0]), np.array([4.0]), None, np.array([3.5])], [1.5])
    np.testing.assert_allclose(d, [0.0, 0.25, np.nan, 0.75])
    as_matrix = memory.fldetector_distances(X, np.array([[2.0], [4.0], [np.nan], [3.5]]), [1.5])
    np.testing.assert_array_equal(as_matrix, d)
    zero = memory.fldetector_distances([[1.0], [2.0]], [np.array([1.0]), None], [0.0])
    np.testing.assert_array_equal(zero, [0.0, np.nan])
    assert np.isnan(memory.fldetector_distances([[1.0]], [None], [0.0])).all()


# --- K-means and the gap statistic --------------------------------------------------------------------


def test_kmeans_by_hand():
    labels, w = memory.kmeans_1d([5.0, 0.0, 1.0, 9.0, 6.0], 3)
    assert labels.tolist() == [1, 0, 0, 2, 1]
    assert w == pytest.approx(1.0)
    assert memory.kmeans_1d([0.0, 1.0, 2.0], 2)[0].tolist() == [0, 1, 1]  # the tie
    assert memory.kmeans_1d([0.3, 0.1, 0.2], 2)[0].tolist() == [1, 0, 1]  # a tie but for rounding
    assert memory.kmeans_1d([4.0, 4.0, 1.0], 3)[0].tolist() == [1, 1, 0]  # two distinct values
    assert memory.kmeans_1d([0.1] * 4, 2)[1] == 0.0
    assert memory.kmeans_1d([1.0, 2.0], 2)[1] == 0.0
    for k in (0, 3):
        with pytest.raises(ValueError, match="k must"):
            memory.kmeans_1d([1.0, 2.0], k)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 7])
def test_kmeans_is_exact(seed, k):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=7) if seed % 2 else rng.integers(0, 9, size=7).astype(float)
    labels, w = memory.kmeans_1d(x, k)
    ordered = np.sort(x)
    best = math.inf
    for cuts in combinations(range(1, 7), k - 1):
        parts = np.split(ordered, cuts)
        best = min(best, sum(float(np.sum((p - p.mean()) ** 2)) for p in parts))
    assert w == pytest.approx(best, abs=1e-12)
    centres = [x[labels == c].mean() for c in range(labels.max() + 1)]
    assert centres == sorted(centres)
    again, w_again = memory.kmeans_1d(3.0 * x + 2.0, k)
    assert again.tolist() == labels.tolist()
    assert w_again == pytest.approx(9.0 * w, abs=1e-12)


def test_gap_by_hand():
    # n = 3, kmax lowered to 2; W of 0, 0.1, 1: 1.01 - 1.21 / 3 and 0.005; of 0, 0.5, 1: 0.5 and 0.125
    wide, even = [10.0, 11.0, 20.0], [[0.0, 0.5, 1.0]]
    gaps, spreads = memory.gap_values(wide, 7, even)
    np.testing.assert_allclose(gaps, [math.log(0.5 / (1.01 - 1.21 / 3)), math.log(0.125 / 0.005)])
    assert spreads == [0.0, 0.0]
    assert memory.gap_statistic_k(wide, 7, even) == (2, True)
    assert memory.fldetector_detect(wide, 7, even).tolist() == [False, False, True]
    assert memory.gap_statistic_k([0.0, 0.5, 1.0], 7, [[0.0, 0.1, 1.0]]) == (1, False)
    assert not memory.fldetector_detect([0.0, 0.5, 1.0], 7, [[0.0, 0.1, 1.0]]).any()
    assert memory.gap_statistic_k(wide, 1, even) == (1, False)


def test_gap_spread_and_official():
    references = [[0.0, 0.5, 1.0], [0.0, 0.1, 1.0]]
    gaps, spreads = memory.gap_values([0.0, 0.2, 1.0], 2, references)
    official, same = memory.gap_values([0.0, 0.2, 1.0], 2, references, official=True)
    a, b = math.log(0.125), math.log(0.005)
    assert spreads[1] == pytest.approx(abs(a - b) / 2 * math.sqrt(1.5))
    assert gaps[1] == pytest.approx((a + b) / 2 - math.log(0.02))
    assert official[1] == pytest.approx(math.log((0.125 + 0.005) / 2) - math.log(0.02))
    assert same == spreads
    # at 0.1 the variants decide differently
    assert memory.gap_statistic_k([0.0, 0.1, 1.0], 2, references) == (1, False)
    assert memory.gap_statistic_k([0.0, 0.1, 1.0], 2, references, official=True) == (2, True)
    assert memory.fldetector_detect([0.0, 0.1, 1.0], 2, references, official=True).tolist() == [False, False, True]


@pytest.mark.parametrize("seed", range(10))
def test_gap_finds_two_groups_and_spares_one(seed):
    rng = np.random.default_rng(seed)
    references = rng.uniform(size=(10, 20))
    scores = np.concatenate([0.02 * rng.uniform(size=15), 1.0 + 0.02 * rng.uniform(size=5)])
    mask = memory.fldetector_detect(scores, 7, references)
    assert np.flatnonzero(mask).tolist() == list(range(15, 20))
    order = rng.permutation(20)
    assert memory.fldetector_detect(7.0 * scores[order] - 3.0, 7, references).tolist() == mask[order].tolist()
    even = np.linspace(0.0, 1.0, 20)
    assert memory.gap_statistic_k(even, 7, references) == (1, False)


def test_gap_edges():
    assert memory.gap_statistic_k([0.3] * 5, 4, np.full((2, 5), 0.5)) == (1, False)
    assert memory.gap_statistic_k([0.3], 4, [[0.5]]) == (1, False)
    assert memory.gap_statistic_k([0.0, 1.0], 4, [[0.2, 0.4]]) == (1, False)  # kmax = 1
    # W_2 = W_3 = floor
    gaps, _ = memory.gap_values([0.0, 0.0, 0.0, 1.0], 3, [[0.1, 0.2, 0.6, 0.9]])
    assert gaps[1] == pytest.approx(math.log(0.05) - math.log(1e-12))
    assert memory.gap_statistic_k([0.0, 0.0, 0.0, 1.0], 3, [[0.1, 0.2, 0.6, 0.9]]) == (2, True)
    with pytest.raises(ValueError, match="finite"):
        memory.fldetector_detect([0.0, np.nan], 2, [[0.1, 0.2]])


# --- Rounds -------------------------------------------------------------------------------------------


def test_fldetector_rounds_by_hand():
    det = memory.FLDetector(uniform(), window=2)
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


def test_fldetector_detection_starts_when_told():
    rng = np.random.default_rng(0)
    seen = []

    def references(t, n):
        seen.append((t, n))
        return np.full((3, n), 0.5)

    X = rng.normal(size=(9, 6, 4))
    for start, scores_from, first in [(3, 1, 4), (3, 3, 6), (1, 1, 2), (5, 1, 6)]:
        seen.clear()
        det = memory.FLDetector(references, window=3, start=start, scores_from=scores_from)
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
    found = federation(memory.FLDetector(uniform(), window=5))
    assert [detecting for detecting, _, _ in found] == [False] * 6 + [True] * 18
    assert all(not dropped for detecting, dropped, _ in found if not detecting)
    late = [dropped == bad for detecting, dropped, bad in found if detecting]
    assert sum(late) >= 0.9 * len(late)
    dropped = [d for _, d, _ in found]
    order = np.random.default_rng(1).permutation(10)
    again = federation(memory.FLDetector(uniform(), window=5), order=order)
    assert [d for _, d, _ in again] == dropped
    scaled = federation(memory.FLDetector(uniform(), window=5), factor=-50.0)  # the updates -lr g instead of g
    assert [d for _, d, _ in scaled] == dropped


def test_fldetector_new_clients_are_kept_and_dropped_ones_come_back():
    det = memory.FLDetector(lambda t, n: np.tile(np.linspace(0.0, 1.0, n), (2, 1)), window=4, start=1)
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


# --- FoolsGold ----------------------------------------------------------------------------------------


def test_foolsgold_by_hand():
    X = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 4.0]])
    out, alpha = memory.foolsgold(X, X)
    np.testing.assert_array_equal(alpha, [0.0, 0.0, 1.0])
    np.testing.assert_allclose(out, [0.0, 4.0 / 3])
    # an honest client at cosine 0.7 to the twins is pardoned: 0.7 -> 0.49
    H = np.array([[1.0, 0, 0], [1.0, 0, 0], [0.7, math.sqrt(0.51), 0], [0, 0, 1.0]])
    out, alpha = memory.foolsgold(H, 3.0 * H)
    weight = math.log(0.51 / 0.49) + 0.5
    np.testing.assert_allclose(alpha, [0.0, 0.0, weight, 1.0])
    np.testing.assert_allclose(out, (weight * H[2] + H[3]) / 4)
    # confidence multiplies the logit and the 0.5
    np.testing.assert_allclose(memory.foolsgold(H, H, 0.5)[1], [0.0, 0.0, 0.5 * weight, 1.0])


def test_foolsgold_edges():
    np.testing.assert_allclose(memory.foolsgold([[2.0, 3.0]], [[1.0, 1.0]])[0], [2.0, 3.0])
    for seed in SEEDS:  # identical histories, whatever their rounding
        same = np.tile(sample(seed, 1), (4, 1))
        out, alpha = memory.foolsgold(same, same * np.array([[1.0], [0.1], [3.0], [7.7]]))
        assert not out.any()
        assert not alpha.any()
    out, alpha = memory.foolsgold(np.ones((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(alpha, [1.0, 1.0])


@pytest.mark.parametrize("seed", SEEDS)
def test_foolsgold_invariances(seed):
    rng = np.random.default_rng(seed)
    X, H = sample(seed), rng.normal(size=(9, 5))
    out, alpha = memory.foolsgold(X, H)
    assert ((alpha >= 0) & (alpha <= 1)).all()
    assert alpha.max() == 1.0
    order = rng.permutation(9)
    out_p, alpha_p = memory.foolsgold(X[order], H[order])
    np.testing.assert_allclose(out_p, out, atol=1e-12)
    np.testing.assert_allclose(alpha_p, alpha[order], atol=1e-12)
    np.testing.assert_allclose(memory.foolsgold(X, rng.uniform(0.1, 5.0, (9, 1)) * H)[1], alpha, atol=1e-9)
    np.testing.assert_allclose(memory.foolsgold(-2.0 * X, -2.0 * H)[0], -2.0 * out, atol=1e-12)


def test_foolsgold_memory():
    rng = np.random.default_rng(0)
    gold = memory.FoolsGold()
    total = {name: np.zeros(3) for name in "abcd"}
    for ids in ["abc", "bd", "dca", "abcd"]:
        X = rng.normal(size=(len(ids), 3))
        for name, x in zip(ids, X, strict=True):
            total[name] = total[name] + x
        out, alpha = gold.round(X, ids)
        expected = memory.foolsgold(X, np.array([total[name] for name in ids]))
        np.testing.assert_array_equal(out, expected[0])
        np.testing.assert_array_equal(alpha, expected[1])


# --- RFFL ---------------------------------------------------------------------------------------------


def test_rffl_by_hand():
    rule = memory.RFFL(warmup=2)
    X = [[1.0], [1.0], [-1.0]]
    out, used = rule.round(X, "abc")
    assert used == ["a", "b", "c"]
    np.testing.assert_allclose(out, [1.0 / 3])
    np.testing.assert_allclose(list(rule.state.reputation.values()), [1.1, 1.1, 0.8])  # sum stays 3
    out, _ = rule.round(X, "abc")
    np.testing.assert_allclose(out, [(1.1 + 1.1 - 0.8) / 3])
    # shares of c: 1/3, .8/3, then r <- .95 r - .05 (all cosines sum to 1): .2033, .1432, .0860 < 1/9
    assert rule.state.removed == set()
    rule.round(X, "abc")
    assert rule.state.removed == set()
    rule.round(X, "abc")
    assert rule.state.removed == {"c"}
    out, used = rule.round(X, "abc")
    assert (out[0], used) == (pytest.approx(1.0), ["a", "b"])
    assert rule.state.reputation["c"] == 0.0


def test_rffl_partial_participation():
    rule = memory.RFFL(warmup=99)
    rule.round([[1.0], [1.0], [-1.0]], "abc")
    rule.round([[2.0], [2.0]], "cd")  # d starts with the mean of 1.1, 1.1, 0.8
    r = rule.state.reputation
    assert (r["a"], r["b"]) == (pytest.approx(1.1), pytest.approx(1.1))
    assert r["c"] + r["d"] == pytest.approx(1.8)
    share = 0.95 * 0.8 / 1.8 + 0.05
    assert r["c"] == pytest.approx(1.8 * share / (0.95 + 0.1))


def test_rffl_negative_reputations_and_clipping():
    state = memory.RFFLState({"a": 1.0, "b": 0.01}, set(), 1)
    u, _ = memory.rffl_round([[3.0], [-1.0]], "ab", state, clip=1.0)
    assert u[0] == pytest.approx((1.0 - 0.01) / 1.01)
    assert state.reputation == {"a": pytest.approx(1.01), "b": 0.0}
    state = memory.RFFLState({"a": 1.0, "b": 1.0}, set(), 1)
    memory.rffl_round([[0.0], [0.0]], "ab", state, alpha=0.0)  # all new reputations 0: uniform
    assert state.reputation == {"a": 1.0, "b": 1.0}
    state = memory.RFFLState({"a": 1.0, "b": 1.0}, {"a"}, 1)
    u, used = memory.rffl_round([[5.0]], "a", state)
    assert (u[0], used) == (0.0, [])
    state = memory.RFFLState({"a": 0.0, "b": 0.0}, set(), 20)
    memory.rffl_round([[1.0], [2.0]], "ab", state)
    assert state.removed == set()


@pytest.mark.parametrize("seed", SEEDS)
def test_rffl_full_participation_is_a25(seed):
    rng = np.random.default_rng(seed)
    rule = memory.RFFL(alpha=0.9, warmup=10)
    n = 6
    r, alive = np.full(n, 1.0 / n), np.ones(n, dtype=bool)
    truth = rng.normal(size=4)
    for t in range(20):
        X = truth + 0.5 * rng.normal(size=(n, 4))
        X[0] = -X[0]
        u = r @ X
        out, _ = rule.round(X, list(range(n)))
        np.testing.assert_allclose(out, u, atol=1e-12)
        r = np.maximum(0.9 * r + 0.1 * np.array([rules.cosine(x, u) for x in X]), 0.0) * alive
        r = r / r.sum()
        if t >= 10:
            alive = alive & ~(r < (1.0 / 3.0) / alive.sum())
            r = r * alive / (r * alive).sum()
    assert rule.state.removed == set(np.flatnonzero(~alive))
    assert 0 in rule.state.removed


# --- Zeno ---------------------------------------------------------------------------------------------


def test_zeno_by_hand():
    def loss(step):  # the model stands at 2, the best at 0, the step is subtracted
        return float((2.0 - step[0]) ** 2)

    X = [[1.0], [2.0], [-1.0], [4.0], [2.0]]
    np.testing.assert_allclose(memory.zeno_scores(X, loss, 0.5), [2.5, 2.0, -5.5, -8.0, 2.0])
    out, kept = memory.zeno(X, loss, 3, 0.5)
    assert (out[0], kept) == (1.5, [0, 1])  # the tie of 1 and 4
    assert memory.zeno(X, loss, 1, 0.5)[1] == [0, 1, 2, 4]
    assert memory.zeno(X, loss, 1, 0.5, keep=1)[1] == [0]
    assert memory.zeno(X, loss, 4, 0.0)[1] == [1]
    with pytest.raises(ValueError, match="kept"):
        memory.zeno(X, loss, 5, 0.5)


# --- Fang ---------------------------------------------------------------------------------------------


def test_fang_by_hand():
    def loss(step):
        return abs(float(step[0]) - 1.0)

    def error(step):
        return float(step[0] > 2.0)

    X = [[1.0], [1.0], [1.0], [21.0], [-9.0]]
    # mean of all 3: loss 2; without 3: -1.5 (2.5); without 4: 6 (5); without an honest one: 3.5 (2.5)
    np.testing.assert_allclose(memory.fang_impacts(X, rules.mean, loss), [-0.5, -0.5, -0.5, -0.5, -3.0])
    np.testing.assert_allclose(memory.fang_impacts(X, rules.mean, error), [0, 0, 0, 1, 0])
    out, kept = memory.fang_reject(X, 2, rules.mean, error)
    assert (kept, out[0]) == ([1, 2, 4], pytest.approx(-7 / 3))  # of equal impacts the lowest index goes
    assert memory.fang_reject(X, 2, rules.mean, loss)[1] == [2, 3, 4]
    out, kept = memory.fang_union(X, 2, rules.mean, error, loss)
    assert (kept, out[0]) == ([2, 4], -4.0)
    assert memory.fang_union(X, 0, rules.median, error, loss)[1] == [0, 1, 2, 3, 4]
    assert memory.fang_reject([[2.0]], 0, rules.mean, loss)[1] == [0]
    with pytest.raises(ValueError, match="f < n"):
        memory.fang_reject(X, 5, rules.mean, loss)


def test_fang_union_of_nobody_is_zero():
    X = [[1.0], [3.0]]
    out, kept = memory.fang_union(X, 1, rules.mean, lambda g: float(g[0]), lambda g: -float(g[0]))
    assert (kept, out.tolist()) == ([], [0.0])


@pytest.mark.parametrize("seed", SEEDS)
def test_zeno_and_fang_drop_the_liars(seed):
    X = sample(seed) * 0.3
    truth = X[:7].mean(axis=0)
    X[7:] = truth - 8.0

    def loss(step):
        return float(np.sum((step - truth) ** 2))

    assert memory.zeno(X, loss, 2, 1e-3)[1] == list(range(7))
    assert memory.fang_reject(X, 2, rules.mean, loss)[1] == list(range(7))
    order = np.random.default_rng(seed).permutation(9)
    np.testing.assert_allclose(memory.zeno(X[order], loss, 2, 1e-3)[0], truth, atol=1e-12)
    np.testing.assert_allclose(memory.fang_reject(X[order], 2, rules.mean, loss)[0], truth, atol=1e-12)
