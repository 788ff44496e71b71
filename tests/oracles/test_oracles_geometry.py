"""Checks of the reference functions of geometry.py: hand-computed examples, invariances, edge cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import pytest

from tests.oracles import clusters, mixing, rules, samples
from tests.oracles import geometry as geo
from tests.oracles.samples import assert_inside, transform, vec

SEEDS = range(5)
F = 3
N, D = 9, 5


def sample(seed: int, n: int = N, d: int = D) -> np.ndarray:
    return samples.sample(seed, n, d)


V0 = np.zeros(D)


RULES: dict[str, tuple[Callable, str]] = {
    # name: (rule, letters of the invariances below that hold; 0 = equals Mean for f = 0; O = odd symmetry)
    "rfa": (lambda X, f: geo.rfa(X), "PKRBO"),
    "rfa_tiny_nu": (lambda X, f: geo.rfa(X, 1e-9), "PSKRO"),
    "centered_clipping": (lambda X, f: geo.centered_clipping(X, V0, 0.8, 3), "PKRO"),
    "huber": (lambda X, f: geo.huber_agg(X, 0.5), "PKRO"),
    "nnm_mean": (lambda X, f: rules.mean(mixing.nnm(X, f)), "PTSKRUBO0"),
    "copod_dos": (lambda X, f: geo.copod_dos(X), "PSKRUBO"),
    "faba": (geo.faba, "PTSKRUBO0"),
    "single": (lambda X, f: clusters.clustering(X, "single"), "PSKRUBO"),
    "complete": (lambda X, f: clusters.clustering(X, "complete"), "PSKRUBO"),
    "average": (lambda X, f: clusters.clustering(X, "average"), "PSKRUBO"),
    "mda": (geo.mda, "PTSKRUBO0"),
    "monna": (geo.monna, "TSKRUBO0"),
    "cge": (geo.cge, "PSKRUBO0"),
    "caf": (geo.caf, "PTSKRUBO0"),
    "smea": (geo.smea, "PTSKRUBO0"),
    "flame": (lambda X, f: clusters.flame(X), "PSKRUO"),
    "clipped_clustering": (lambda X, f: clusters.clipped_clustering(X), "PSKRUO"),
    "arc_mean": (lambda X, f: rules.mean(mixing.arc(X, f)), "PSKRUO0"),
    "normalize_mean": (lambda X, f: rules.mean(mixing.normalize(X)), "PKRO"),
}


def having(letter: str) -> list[str]:
    return [name for name, (_, letters) in RULES.items() if letter in letters]


@pytest.mark.parametrize(("letter", "name"), [(letter, name) for letter in "PTSKRO" for name in having(letter)])
def test_invariance(letter: str, name: str) -> None:
    rule = RULES[name][0]
    for seed in SEEDS:
        X = sample(seed)
        Y, follow = transform(letter, X, np.random.default_rng(100 + seed))
        np.testing.assert_allclose(vec(rule(Y, F)), follow(vec(rule(X, F))), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", having("U"))
@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_identical_rows_give_that_row(name: str, n: int) -> None:
    g = np.array([1.0, -2.0, 0.5, 0.0, 3.0])
    f = (n - 1) // 2
    np.testing.assert_allclose(vec(RULES[name][0](np.tile(g, (n, 1)), f)), g, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", having("B"))
def test_inside_the_range_of_the_rows(name: str) -> None:
    for seed in SEEDS:
        X = sample(seed)
        assert_inside(vec(RULES[name][0](X, F)), X)


@pytest.mark.parametrize("name", having("0"))
def test_mean_when_f_is_zero(name: str) -> None:
    X = sample(0)
    np.testing.assert_allclose(vec(RULES[name][0](X, 0)), X.mean(axis=0), rtol=1e-12)


OUTLIER_PROOF = ["rfa", "huber", "copod_dos", "faba", "single", "complete", "average", "mda", "caf", "smea", "flame"]


@pytest.mark.parametrize("name", [*OUTLIER_PROOF, "cge", "clipped_clustering"])
def test_identical_huge_outliers_do_little(name: str) -> None:
    rng = np.random.default_rng(3)
    base = 3.0 + rng.normal(size=D)
    X = base + 0.3 * rng.normal(size=(12, D))
    X[:2] = -1e6 * base
    honest = X[2:]
    assert np.linalg.norm(vec(RULES[name][0](X, 2)) - honest.mean(axis=0)) < geo.diameter(honest)


@pytest.mark.parametrize(
    "rule", [mixing.nnm, geo.faba, geo.mda, geo.monna, geo.cge, geo.caf, geo.smea, mixing.arc], ids=lambda r: r.__name__
)
def test_f_out_of_bounds(rule: Callable) -> None:
    X = sample(0, n=4)
    for f in (-1, 4):
        with pytest.raises(ValueError, match="f"):
            rule(X, f)
    if rule in (geo.caf, mixing.arc):
        rule(sample(0, n=5), 2)
        with pytest.raises(ValueError, match="2f"):
            rule(X, 2)
    else:
        rule(X, 3)


def test_rfa_by_hand() -> None:
    X = np.array([[1.0], [4.0]])
    # from 0: betas 1 and 1/4 (times 1/2): v = 2 / 1.25 = 1.6; then distances 0.6 and 2.4: v = 1.6 again
    np.testing.assert_allclose(geo.rfa(X, 0.1, 1), [1.6])
    np.testing.assert_allclose(geo.rfa(X, 0.1, 2), [1.6])
    np.testing.assert_allclose(geo.rfa(X, 100.0, 1), [2.5])  # the floor makes all weights equal
    assert geo.rfa(X, 0.1, 0).tolist() == [0.0]
    for seed in SEEDS:
        Y = sample(seed)
        steps = [rules.geomed_objective(Y, geo.rfa(Y, 1e-9, t)) for t in range(6)]
        assert all(b <= a + 1e-12 for a, b in pairwise(steps))
        np.testing.assert_allclose(geo.rfa(Y, 1e-9, 300), rules.geomed(Y, max_iter=300), atol=1e-6)


def test_centered_clipping_by_hand() -> None:
    X = np.array([[3.0, 4.0], [0.0, 1.0]])
    # tau 1 from 0: (0.6, 0.8) and (0, 1)
    np.testing.assert_allclose(geo.centered_clipping(X, [0, 0], 1.0, 1), [0.3, 0.9])
    assert geo.centered_clipping(X, [0, 0], 1e9, 1).tolist() == [1.5, 2.5]
    assert geo.centered_clipping(X, [7, 8], 1.0, 0).tolist() == [7.0, 8.0]
    assert geo.centered_clipping([[7, 8]], [7, 8], 1.0, 2).tolist() == [7.0, 8.0]  # zero difference
    twice = geo.centered_clipping(X, geo.centered_clipping(X, [5, 5], 1.0, 1), 1.0, 1)
    np.testing.assert_allclose(geo.centered_clipping(X, [5, 5], 1.0, 2), twice)
    v0 = np.array([9.0, -9.0])
    out = geo.centered_clipping(X, v0, 0.5, 4)
    assert np.linalg.norm(out - v0) <= 4 * 0.5 + 1e-12
    np.testing.assert_allclose(geo.centered_clipping(X + 2, v0 + 2, 0.5, 4), out + 2)


def huber_objective(X: np.ndarray, c: np.ndarray, T: float) -> float:
    u = np.linalg.norm(X - c, axis=1)
    return float(np.sum(np.where(u <= T, u * u / 2, T * u - T * T / 2)))


def test_huber() -> None:
    # T 1 from 0: weights 1, 1/2 -> c = 2 / 1.5 = 4/3; distances 1/3 and 2/3: weights 1 -> 1.5, which stays
    np.testing.assert_allclose(geo.huber_agg([[1.0], [2.0]], 1.0), [1.5])
    for seed in SEEDS:
        X = sample(seed)
        np.testing.assert_allclose(geo.huber_agg(X, 1e9), X.mean(axis=0))
        c = geo.huber_agg(X, 0.5)
        around = c + 0.01 * np.random.default_rng(seed).normal(size=(50, D))
        assert huber_objective(X, c, 0.5) <= min(huber_objective(X, p, 0.5) for p in around) + 1e-5
        np.testing.assert_allclose(geo.huber_agg(X, 1e-5), rules.geomed(X), atol=0.02)


def test_copod_by_hand() -> None:
    a, b = math.log(3), math.log(1.5)
    # 0 1 5 has positive skewness: u_r = 0, b, a against the means a/2, b, a/2
    np.testing.assert_allclose(geo.copod_scores([[0.0], [1.0], [5.0]]), [a / 2, b, a])
    np.testing.assert_allclose(geo.copod_scores([[0.0], [-1.0], [-5.0]]), [a / 2, b, a])
    # 0.1 0.2 0.3 has none, up to rounding: u_l + u_r; a constant column gives 0
    np.testing.assert_allclose(geo.copod_scores([[0.1, 7.0], [0.2, 7.0], [0.3, 7.0]]), [a, 2 * b, a])
    # ties: 0 0 3, u_l = b b 0, u_r = 0 0 a
    np.testing.assert_allclose(geo.copod_scores([[0.0], [0.0], [3.0]]), [b / 2, b / 2, a])


def test_copod_dos() -> None:
    X = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    # E: columns 0 0 h, 0 0 h, h h 0 with h = sqrt 5; C the same with 1: scores as above, and for h h 0 by negation
    a, b = math.log(3), math.log(1.5)
    r = 2 * np.array([3 * b / 2, 3 * b / 2, 3 * a])
    out, weights = geo.copod_dos(X)
    np.testing.assert_allclose(weights, np.exp(-r) / np.exp(-r).sum())
    np.testing.assert_allclose(out, weights @ X)
    # zero rows: cosine 0 to all, the diagonal still 0; equal rows: exactly 0, whatever their rounding
    C = geo.cosine_distances([[0.0, 0.0], [0.1, 0.7], [0.0, 0.0], [0.1, 0.7]])
    assert C.tolist() == [[0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 1], [1, 0, 1, 0]]
    for seed in SEEDS:
        Y = sample(seed)
        Y[4] = 50.0 * Y[4] - 40.0
        weights = geo.copod_dos(Y)[1]
        assert weights.sum() == pytest.approx(1.0)
        assert weights.argmin() == 4
    np.testing.assert_allclose(geo.copod_dos(np.zeros((3, 2)))[1], [1 / 3] * 3)


def test_faba_by_hand() -> None:
    X = np.array([[0.0], [1.0], [2.0], [9.0], [-3.0]])
    # mean 1.8 drops 9; mean 0 drops -3; mean 1 drops 2, which ties with 0 and is as central, but longer
    assert [geo.faba(X, f)[1] for f in range(4)] == [[0, 1, 2, 3, 4], [0, 1, 2, 4], [0, 1, 2], [0, 1]]
    assert geo.faba(X, 3)[0].tolist() == [0.5]
    for X in ([[0.1, 0.3], [0.7, 0.9]], [[0.7, 0.9], [0.1, 0.3]]):  # of two rows the longer goes
        assert geo.faba(X, 1)[0].tolist() == [0.1, 0.3]


def test_mda_monna_cge_by_hand() -> None:
    X = np.array([[0.0], [1.0], [2.0], [9.0], [-3.0]])
    assert geo.mda(X, 2)[1] == [0, 1, 2]
    assert geo.mda(X, 3)[1] == [0, 1]  # tie with 1, 2
    assert geo.mda(X, 1)[1] == [0, 1, 2, 4]
    assert geo.mda(X, 4)[1] == [0]
    assert geo.mda([[0.0], [0.3], [0.1], [0.2], [0.4]], 3)[1] == [0, 2]  # 0.1 four times, up to rounding
    assert geo.monna(X, 2).tolist() == [1.0]
    assert geo.monna(X, 2, pivot=4).tolist() == [-2 / 3]
    assert geo.monna(X, 3, pivot=1).tolist() == [0.5]  # tie of rows 0 and 2
    assert geo.cge(X, 2).tolist() == [1.0]
    assert geo.cge(X, 1).tolist() == [0.0]
    assert geo.cge([[1.0], [-1.0]], 1).tolist() == [1.0]
    with pytest.raises(ValueError, match="pivot"):
        geo.monna(X, 2, pivot=5)


def test_caf_by_hand() -> None:
    X = np.array([[0.0], [0.0], [3.0]])
    # mu 1, tau 1 1 4: c = 3/4 3/4 0; sum 1.5 > 1: mu 0, lambda 0, tau 0: stop
    np.testing.assert_allclose(geo.caf(X, 1), [0.0], atol=1e-15)
    # -1 1 2 -> mu 2/3, lambda 14/9, tau 25/9 1/9 16/9: c = 0, 24/25, 9/25; sum 1.32 > 1: mu = 1.68/1.32, lambda less;
    # then tau of 1 is the smaller: one of the two goes, sum < 1
    np.testing.assert_allclose(geo.caf([[-1.0], [1.0], [2.0]], 1), [1.68 / 1.32])


def top_eigenvalue(X: np.ndarray) -> float:
    centred = X - X.mean(axis=0)
    return float(np.linalg.eigvalsh(centred.T @ centred / len(X))[-1])


def test_caf_against_eigh() -> None:
    for seed in SEEDS:
        X = sample(seed)
        c, best, low = np.ones(N), X.mean(axis=0), np.inf
        while c.sum() > N - 2 * F:
            mu = c @ X / c.sum()
            S = (c[:, None] * (X - mu)).T @ (X - mu) / c.sum()
            values, vectors = np.linalg.eigh(S)
            if values[-1] < low:
                low, best = values[-1], mu
            tau = ((X - mu) @ vectors[:, -1]) ** 2
            c = c * np.maximum(0, 1 - tau / tau[c > 0].max())
        np.testing.assert_allclose(geo.caf(X, F), best, rtol=1e-9)


def test_smea() -> None:
    X = np.array([[0.0], [1.0], [2.0], [9.0], [-3.0]])
    assert geo.smea(X, 2)[1] == [0, 1, 2]
    assert geo.smea([[0.0], [9.0], [0.1], [0.2], [0.3]], 1)[1] == [0, 2, 3, 4]
    assert geo.smea([[0.1, 0.3], [0.2, 0.7], [0.4, 0.9]], 0)[1] == [0, 1, 2]
    tiled = np.tile([0.1, 0.7, 0.3], (5, 1))
    assert geo.smea(tiled, 2)[1] == [0, 1, 2]
    for seed in SEEDS:
        Y = sample(seed)
        subsets = list(combinations(range(N), N - F))
        best = min(subsets, key=lambda subset, Y=Y: top_eigenvalue(Y[list(subset)]))
        assert geo.smea(Y, F)[1] == list(best)
