"""Checks of the reference attacks that go by earlier rounds: hand-computed examples, properties, edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.oracles import attacks_over_time as over_time


def test_mimic_by_hand() -> None:
    G = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [2.0, 1.0], [2.0, -1.0]])  # mean (2, 0)
    assert over_time.mimic_fixed(G, 3).tolist() == [2.0, 1.0]
    attack = over_time.Mimic(np.array([1.0, 1.0]), warmup=2)
    # sum: 8 z1 along 1, 2 z2 along 2 -> (8, 2): normalised; products: row 2 first
    assert attack.round(G) == 2
    np.testing.assert_allclose(attack.z, np.array([8.0, 2.0]) / math.sqrt(68.0))
    # round 1: same rows, mu unchanged; a = (64, 4) normalised, z the half sum, normalised
    assert attack.round(G) == 2
    half = np.array([8.0, 2.0]) / math.sqrt(68.0) + np.array([64.0, 4.0]) / math.sqrt(64.0**2 + 16)
    np.testing.assert_allclose(attack.z, half / np.linalg.norm(half))
    np.testing.assert_allclose(attack.mu, [2.0, 0.0])
    assert attack.round(G[::-1]) == 2  # frozen
    other = over_time.Mimic([1.0, 1.0], warmup=1, frozen="direction")
    assert other.round(G) == 2
    assert other.round(G[[2, 0, 1, 3, 4]]) == 0
    assert over_time.Mimic([1.0, 0.0]).round(np.ones((3, 2))) == 0  # z = 0: the lowest index
    drift = over_time.Mimic([1.0, 1.0], warmup=3)
    drift.round(G)
    drift.round(G + 4.0)
    np.testing.assert_allclose(drift.mu, [4.0, 2.0])
    with pytest.raises(ValueError, match="frozen"):
        over_time.Mimic([1.0], frozen="never")


def test_mimic_direction_is_the_top_component() -> None:
    rng = np.random.default_rng(0)
    G = rng.normal(size=(12, 4)) * np.array([5.0, 1.0, 1.0, 1.0])
    attack = over_time.Mimic(rng.normal(size=4), warmup=200)
    for _ in range(200):
        attack.round(G)
    top = np.linalg.eigh(np.cov(G.T))[1][:, -1]
    assert abs(float(attack.z @ top)) > 0.999


def test_poisonedfl() -> None:
    attack = over_time.PoisonedFL([1.0, -1.0], c=2.0)
    np.testing.assert_allclose(attack.round([3.0, 4.0]), np.array([10.0, -10.0]) / math.sqrt(2.0))
    # m along (1, -1), norm 10; H = (5, 0): H - (5, -5)/sqrt 2, absolute value, normalised, times 2 * 5
    v = np.array([5.0 - 5.0 / math.sqrt(2.0), 5.0 / math.sqrt(2.0)])
    np.testing.assert_allclose(attack.round([5.0, 0.0]), 10.0 * v / np.linalg.norm(v) * np.array([1.0, -1.0]))
    attack.c = 1.0
    assert np.linalg.norm(attack.round([0.0, 2.0])) == pytest.approx(2.0)
    assert attack.round([0.0, 0.0]).tolist() == [0.0, 0.0]
    np.testing.assert_allclose(attack.round([3.0, 4.0]), np.array([5.0, -5.0]) / math.sqrt(2.0))  # m was zero


def test_poisonedfl_adjust() -> None:
    assert over_time.binomial_half_quantile(1) == 1
    assert over_time.binomial_half_quantile(10) == 9  # P(<= 8) = 1013/1024 = 0.98926, P(<= 9) = 1023/1024
    assert over_time.binomial_half_quantile(0) == 0
    assert over_time.binomial_half_quantile(10000) == pytest.approx(5000 + 2.3263 * 50, abs=1)
    assert over_time.poisonedfl_adjust(8.0, 8, 10) == pytest.approx(5.6)
    assert over_time.poisonedfl_adjust(8.0, 9, 10) == 8.0
    assert over_time.poisonedfl_adjust(0.7, 0, 10) == 0.7
    assert over_time.poisonedfl_adjust(0.72, 0, 10) == pytest.approx(0.504)
