"""Checks of the reference attacks: hand-computed examples, closed forms, edge cases."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from tests.oracles import attacks
from tests.oracles import attacks_over_time as over_time
from tests.oracles.attacks import attack_lie
from tests.oracles.rules import mean

KINDS = ("sd", "unit", "sign")


def sample(seed: int, b: int = 8, d: int = 5, spread: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=d) + spread * rng.normal(size=(b, d))


def test_simple_attacks_by_hand() -> None:
    noise = np.array([[1.0, -2.0]])
    assert attacks.attack_random(noise).tolist() == [[0.5, -1.0]]
    assert attacks.attack_random(noise, mu=1.0, sigma=2.0).tolist() == [[3.0, -3.0]]
    assert attacks.attack_noise([[1.0, 1.0]], noise).tolist() == [[1.5, 0.0]]
    assert attacks.attack_sign_flip([[1.0, -2.0]]).tolist() == [[-1.0, 2.0]]
    assert attacks.attack_sign_flip([[1.0, -2.0]], 3.0).tolist() == [[-3.0, 6.0]]
    assert attacks.label_flip([0, 3, 9], 10).tolist() == [9, 6, 0]
    labels = np.arange(7)
    assert attacks.label_flip(attacks.label_flip(labels, 7), 7).tolist() == labels.tolist()
    with pytest.raises(ValueError, match="draw"):
        attacks.attack_noise([[1.0]], noise)


def test_lie_zmax_values() -> None:
    assert attacks.lie_zmax(50, 10) == pytest.approx(0.2533, abs=5e-5)
    assert attacks.lie_zmax(50, 24) == pytest.approx(1.426, abs=5e-4)
    assert attacks.lie_zmax(50, 26) == math.inf
    assert attacks.lie_zmax(51, 26) == math.inf
    assert attacks.lie_zmax(2, 1) == attacks.lie_zmax(1, 0) == -math.inf
    for n in range(3, 40):
        for f in range(n // 2 + 1):
            supporters = n // 2 + 1 - f
            baruch = (n - f - supporters) / (n - f)
            expected = NormalDist().inv_cdf(baruch) if baruch < 1 else math.inf
            assert attacks.lie_zmax(n, f) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match="honest"):
        attacks.lie_zmax(4, 4)


def test_lie_by_hand() -> None:
    G = np.array([[1.0, 0.0], [3.0, 0.0]])  # mean 2, sd 1 (divisor n) or sqrt 2
    np.testing.assert_allclose(attacks.attack_lie(G, 3, z=0.5), [[1.5, 0.0]] * 3)
    np.testing.assert_allclose(attacks.attack_lie(G, 1, z=0.5, ddof=1), [[2 - 0.5 * math.sqrt(2), 0.0]])
    assert attacks.attack_lie(G, 0).shape == (0, 2)
    assert attacks.attack_lie(G[:1], 2).tolist() == [[1.0, 0.0]] * 2
    np.testing.assert_allclose(attacks.standard_deviation(sample(0), 1), sample(0).std(axis=0, ddof=1))
    with pytest.raises(ValueError, match="ddof"):
        attacks.attack_lie(G[:1], 1, ddof=1)


@pytest.mark.parametrize("split", [0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("f", [1, 2, 5])
def test_byzmean_hits_its_target(split: float, f: int) -> None:
    G = sample(f)
    t = np.array([5.0, -1.0, 0.0, 2.0, 1e3])
    crafted = attacks.attack_byzmean(G, f, t, split)
    assert crafted.shape == (f, 5)
    np.testing.assert_allclose(np.vstack([crafted, G]).mean(axis=0), t, atol=1e-10)
    m1 = min(math.floor(split * f), f - 1)
    assert all((row == t).all() for row in crafted[:m1])
    assert all((row == crafted[-1]).all() for row in crafted[m1:])
    inner = attacks.attack_byzmean(G, f, split=split, z=1.0)
    np.testing.assert_allclose(np.vstack([inner, G]).mean(axis=0), attacks.attack_lie(G, 1, 1.0)[0], atol=1e-12)


def test_byzmean_by_hand() -> None:
    G = np.array([[1.0], [3.0], [5.0]])
    # n = 5, m1 = 1, m2 = 1: (4 * 0 - 9) / 1
    assert attacks.attack_byzmean(G, 2, [0.0]).tolist() == [[0.0], [-9.0]]
    assert attacks.attack_byzmean(G, 0, [0.0]).shape == (0, 1)
    with pytest.raises(ValueError, match="split"):
        attacks.attack_byzmean(G, 2, [0.0], split=1.5)


def test_perturbations_by_hand() -> None:
    G = np.array([[2.0, -4.0, 0.0], [4.0, -4.0, 0.0]])  # mean 3, -4, 0
    assert attacks.perturbation(G, "sd").tolist() == [-1.0, 0.0, 0.0]
    np.testing.assert_allclose(attacks.perturbation(G, "unit"), [-0.6, 0.8, 0.0])
    assert attacks.perturbation(G, "sign").tolist() == [-1.0, 1.0, 0.0]
    assert attacks.perturbation(np.zeros((2, 2)), "unit").tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="kind"):
        attacks.perturbation(G, "std")


def test_gamma_search_returns_the_last_feasible_value() -> None:
    for limit in (0.01, 0.5, 3.0, 9.99, 10.0, 17.3):
        found = attacks.gamma_search(lambda g, limit=limit: g <= limit)
        assert limit - 1e-4 <= found <= limit
    assert attacks.gamma_search(lambda g: False) == 0.0
    assert attacks.gamma_search(lambda g: True) == pytest.approx(20.0, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_min_max_and_min_sum_meet_their_bound_with_equality(kind: str, seed: int) -> None:
    G = sample(seed, b=3 + seed)
    row = attacks.attack_min_max(G, 2, kind)[1]
    pairs = np.linalg.norm(G[:, None] - G[None], axis=2)
    assert np.linalg.norm(row - G, axis=1).max() == pytest.approx(pairs.max(), rel=1e-10)
    row = attacks.attack_min_sum(G, 1, kind)[0]
    assert ((row - G) ** 2).sum() == pytest.approx((pairs**2).sum(axis=1).max(), rel=1e-10)
    row = attacks.attack_min_sum(G, 1, kind, bound_rule="min")[0]
    assert ((row - G) ** 2).sum() == pytest.approx((pairs**2).sum(axis=1).min(), rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ddof", [0, 1])
def test_search_agrees_with_the_closed_form(kind: str, ddof: int) -> None:
    for seed in range(8):
        G = sample(seed, spread=0.8)
        p = attacks.perturbation(G, kind, ddof)
        for gamma in (attacks.min_max_gamma, attacks.min_sum_gamma):
            exact = gamma(G, p)
            assert 0 < exact < 20
            assert gamma(G, p, "search") == pytest.approx(exact, abs=1e-4)
        searched = attacks.attack_min_max(G, 2, kind, "search", ddof)
        np.testing.assert_allclose(searched, attacks.attack_min_max(G, 2, kind, "exact", ddof), atol=1e-3)
        searched = attacks.attack_min_sum(G, 2, kind, "search", ddof)
        np.testing.assert_allclose(searched, attacks.attack_min_sum(G, 2, kind, "exact", ddof), atol=1e-3)


def test_min_max_and_min_sum_by_hand() -> None:
    G = np.array([[0.0], [2.0]])  # mean 1, sd 1, p = -1; D = 2: |1 - g - 2| <= 2 -> g = 1
    assert attacks.min_max_gamma(G, np.array([-1.0])) == pytest.approx(1.0)
    np.testing.assert_allclose(attacks.attack_min_max(G, 1), [[0.0]], atol=1e-12)
    # S = 4, sum of squares about the mean 2: sqrt((4 - 2) / 2) = 1
    assert attacks.min_sum_gamma(G, np.array([-1.0])) == pytest.approx(1.0)
    assert attacks.min_sum_gamma(G, np.array([-2.0])) == pytest.approx(0.5)


@pytest.mark.parametrize("attack", [attacks.attack_min_max, attacks.attack_min_sum])
@pytest.mark.parametrize("method", ["exact", "search"])
def test_min_attacks_edges(attack, method: str) -> None:
    one = np.array([[1.0, -2.0]])
    assert attack(one, 2, method=method).tolist() == [[1.0, -2.0]] * 2  # p = 0: gamma = 0
    same = np.tile(one, (4, 1))
    np.testing.assert_allclose(attack(same, 1, method=method), one)
    np.testing.assert_allclose(attack(same, 1, "unit", method), one, atol=1e-4)  # p != 0, bound 0
    np.testing.assert_allclose(attack(np.zeros((3, 2)), 1, "sign", method), [[0.0, 0.0]])
    assert attack(sample(0), 0, method=method).shape == (0, 5)
    with pytest.raises(ValueError, match="method"):
        attack(sample(0), 1, method="grid")


def test_search_cannot_pass_twenty() -> None:
    G = sample(0)
    p = 1e-3 * attacks.perturbation(G, "sd")
    assert attacks.min_max_gamma(G, p) > 20
    assert attacks.min_max_gamma(G, p, "search") == pytest.approx(20.0, abs=1e-4)


def test_more_honest_noise_means_a_stronger_attack() -> None:
    direction = np.array([-1.0, 0.0, 0.0, 0.0, 0.0])
    quiet, loud = sample(1, spread=0.5), sample(1, spread=1.0)
    for gamma in (attacks.min_max_gamma, attacks.min_sum_gamma):
        assert gamma(loud, direction) == pytest.approx(2 * gamma(quiet, direction), rel=1e-9)


def test_fills_by_hand() -> None:
    G = [[1.0, -2.0], [3.0, 0.0]]
    np.testing.assert_allclose(attacks.attack_ipm(G, 2, 0.5), [[-1.0, 0.5]] * 2)
    assert attacks.attack_constant(2, 3, 5.0).tolist() == [[5.0] * 3] * 2
    assert attacks.attack_gaussian([[1.0, -0.5]], 2.0).tolist() == [[2.0, -1.0]]
    assert attacks.attack_zero(1, 2).tolist() == [[0.0, 0.0]]
    assert np.isnan(attacks.attack_nan(2, 2)).all()
    assert np.isposinf(attacks.attack_inf(2, 2)).all()
    assert attacks.attack_ipm(G, 0).shape == (0, 2)
    assert over_time.attack_free_rider([1.0, 2.0], 2).tolist() == [[1.0, 2.0]] * 2
    assert attacks.attack_model_replacement([[1.0, -1.0]], 9, 1).tolist() == [[10.0, -10.0]]
    assert attacks.attack_model_replacement([[1.0, -1.0]], 9, 1, 2.5).tolist() == [[2.5, -2.5]]
    own = np.array([[1.0, 2.0], [3.0, 6.0]])  # the mean of n rows is the mean of the own ones if the rest are zero
    sent = np.concatenate([attacks.attack_model_replacement(own, 6, 2), np.zeros((6, 2))])
    np.testing.assert_allclose(mean(sent), mean(own))
    with pytest.raises(ValueError, match="f"):
        attacks.attack_model_replacement(own, 6, 0)


def test_schedule_and_classwise() -> None:
    assert over_time.time_varying([0.0, 0.33, 0.34, 0.99, 1.0], ["a", "b", "c"]) == ["a", "a", "b", "c", "c"]
    assert over_time.time_varying([], ["a"]) == []
    groups = {0: sample(0), 4: sample(1, b=3)}
    np.testing.assert_allclose(attacks.attack_alie_classwise(groups, 4, 2, 0.7), attack_lie(groups[4], 2, 0.7))
    assert attacks.attack_alie_classwise([[[1.0], [3.0]]], 0, 1, 1.0).tolist() == [[1.0]]
