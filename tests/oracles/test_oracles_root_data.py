"""Checks of the reference rules with data of the server's own: hand-computed examples, invariances, edge cases."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles import root_data, rules
from tests.oracles.test_oracles_memory import SEEDS, sample

# --- FLTrust ------------------------------------------------------------------------------------------


def test_fltrust_by_hand():
    # cosines 1, 0.6, -1; rescaled to norm 2: (2, 0), (1.2, 1.6)
    out = root_data.fltrust([[5.0, 0.0], [3.0, 4.0], [-1.0, 0.0]], [2.0, 0.0])
    np.testing.assert_allclose(out, [(2.0 + 0.6 * 1.2) / 1.6, 0.6 * 1.6 / 1.6])


@pytest.mark.parametrize("seed", SEEDS)
def test_fltrust_invariances(seed):
    rng = np.random.default_rng(seed)
    X, g0 = sample(seed), rng.normal(size=5)
    out = root_data.fltrust(X, g0)
    np.testing.assert_allclose(root_data.fltrust(X[rng.permutation(9)], g0), out, atol=1e-12)
    np.testing.assert_allclose(root_data.fltrust(rng.uniform(0.1, 9.0, (9, 1)) * X, g0), out, atol=1e-12)
    np.testing.assert_allclose(root_data.fltrust(X, 3.0 * g0), 3.0 * out, atol=1e-12)
    Q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    np.testing.assert_allclose(root_data.fltrust(X @ Q, g0 @ Q), out @ Q, atol=1e-12)
    assert rules.norm(out) <= rules.norm(g0) * (1 + 1e-12)
    assert out @ g0 >= 0


def test_fltrust_without_trust_is_zero():
    assert not root_data.fltrust([[-1.0, 0.0], [0.0, 0.0], [0.0, 2.0]], [1.0, 0.0]).any()
    assert not root_data.fltrust([[1.0, 0.0]], [0.0, 0.0]).any()


# --- Zeno ---------------------------------------------------------------------------------------------


def test_zeno_by_hand():
    def loss(step):  # the model stands at 2, the best at 0, the step is subtracted
        return float((2.0 - step[0]) ** 2)

    X = [[1.0], [2.0], [-1.0], [4.0], [2.0]]
    np.testing.assert_allclose(root_data.zeno_scores(X, loss, 0.5), [2.5, 2.0, -5.5, -8.0, 2.0])
    out, kept = root_data.zeno(X, loss, 3, 0.5)
    assert (out[0], kept) == (1.5, [0, 1])  # the tie of 1 and 4
    assert root_data.zeno(X, loss, 1, 0.5)[1] == [0, 1, 2, 4]
    assert root_data.zeno(X, loss, 1, 0.5, keep=1)[1] == [0]
    assert root_data.zeno(X, loss, 4, 0.0)[1] == [1]
    with pytest.raises(ValueError, match="kept"):
        root_data.zeno(X, loss, 5, 0.5)


# --- Fang ---------------------------------------------------------------------------------------------


def test_fang_by_hand():
    def loss(step):
        return abs(float(step[0]) - 1.0)

    def error(step):
        return float(step[0] > 2.0)

    X = [[1.0], [1.0], [1.0], [21.0], [-9.0]]
    # mean of all 3: loss 2; without 3: -1.5 (2.5); without 4: 6 (5); without an honest one: 3.5 (2.5)
    np.testing.assert_allclose(root_data.fang_impacts(X, rules.mean, loss), [-0.5, -0.5, -0.5, -0.5, -3.0])
    np.testing.assert_allclose(root_data.fang_impacts(X, rules.mean, error), [0, 0, 0, 1, 0])
    out, kept = root_data.fang_reject(X, 2, rules.mean, error)
    assert (kept, out[0]) == ([1, 2, 4], pytest.approx(-7 / 3))  # of equal impacts the lowest index goes
    assert root_data.fang_reject(X, 2, rules.mean, loss)[1] == [2, 3, 4]
    out, kept = root_data.fang_union(X, 2, rules.mean, error, loss)
    assert (kept, out[0]) == ([2, 4], -4.0)
    assert root_data.fang_union(X, 0, rules.median, error, loss)[1] == [0, 1, 2, 3, 4]
    assert root_data.fang_reject([[2.0]], 0, rules.mean, loss)[1] == [0]
    with pytest.raises(ValueError, match="f < n"):
        root_data.fang_reject(X, 5, rules.mean, loss)


def test_fang_union_of_nobody_is_zero():
    X = [[1.0], [3.0]]
    out, kept = root_data.fang_union(X, 1, rules.mean, lambda g: float(g[0]), lambda g: -float(g[0]))
    assert (kept, out.tolist()) == ([], [0.0])


@pytest.mark.parametrize("seed", SEEDS)
def test_zeno_and_fang_drop_the_liars(seed):
    X = sample(seed) * 0.3
    truth = X[:7].mean(axis=0)
    X[7:] = truth - 8.0

    def loss(step):
        return float(np.sum((step - truth) ** 2))

    assert root_data.zeno(X, loss, 2, 1e-3)[1] == list(range(7))
    assert root_data.fang_reject(X, 2, rules.mean, loss)[1] == list(range(7))
    order = np.random.default_rng(seed).permutation(9)
    np.testing.assert_allclose(root_data.zeno(X[order], loss, 2, 1e-3)[0], truth, atol=1e-12)
    np.testing.assert_allclose(root_data.fang_reject(X[order], 2, rules.mean, loss)[0], truth, atol=1e-12)
