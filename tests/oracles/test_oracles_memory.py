"""Checks of the reference rules that remember clients: hand-computed examples, invariances, edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.oracles import memory, rules, samples

SEEDS = range(5)


def sample(seed: int, n: int = 9, d: int = 5) -> np.ndarray:
    return samples.sample(seed, n, d)


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
