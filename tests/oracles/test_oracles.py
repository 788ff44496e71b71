"""Checks of the reference functions: hand-computed examples, invariances, edge cases."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.oracles import rules, samples, signguard
from tests.oracles.samples import assert_inside, transform, vec

SEEDS = range(5)
F = 3
N, D = 15, 6
COORDS = [0, 2, 3]


def sample(seed: int, n: int = N, d: int = D) -> np.ndarray:
    return samples.sample(seed, n, d)


RULES: dict[str, tuple[Callable, str]] = {
    # name: (rule, letters of the invariances below that hold; 0 = equals Mean for f = 0; O = odd symmetry)
    "mean": (lambda X, f: rules.mean(X), "PTSKRUBO0"),
    "fedavg": (lambda X, f: rules.fedavg(X, [3.0] * len(X)), "PTSKRUBO0"),
    "clip_mean": (lambda X, f: rules.clip_mean(X), "PSKRUO"),
    "trimmed_mean": (rules.trimmed_mean, "PTSKUBO0"),
    "median": (lambda X, f: rules.median(X), "PTSKUBO"),
    "median_repo": (lambda X, f: rules.median_repo(X), "PTSKUB"),
    "geomed": (lambda X, f: rules.geomed(X), "PTSKRUBO"),
    "krum": (rules.krum, "PTSKRUBO"),
    "multi_krum": (rules.multi_krum, "PTSKRUBO"),
    "multi_krum_repo": (rules.multi_krum_repo, "PTSKRUBO"),
    "bulyan": (rules.bulyan, "PTSKUBO0"),
    "dnc": (lambda X, f: rules.dnc(X, f, [COORDS, [1, 4, 5]]), "PTSUBO0"),
    "signguard": (lambda X, f: signguard.signguard(X, range(X.shape[1])), "PSKUO"),
    "signguard_sim": (lambda X, f: signguard.signguard(X, range(X.shape[1]), "sim"), "PSKUO"),
    "signguard_dist": (lambda X, f: signguard.signguard(X, range(X.shape[1]), "dist"), "PSKUO"),
    "signguard_plain_mean": (lambda X, f: signguard.signguard(X, range(X.shape[1]), clip=False), "PSKUBO"),
}


def having(letter: str) -> list[str]:
    return [name for name, (_, letters) in RULES.items() if letter in letters]


CASES = [(letter, name) for letter in "PTSKRO" for name in having(letter)]


@pytest.mark.parametrize(("letter", "name"), CASES)
def test_invariance(letter: str, name: str) -> None:
    """Table H and odd symmetry (O), on inputs without exact ties (n = 4f + 3 with f = 3 for Bulyan)."""
    rule = RULES[name][0]
    guarded = name.startswith("signguard")
    checked = 0
    for seed in range(20) if guarded else SEEDS:
        X = sample(seed, d=60) if guarded else sample(seed)
        if guarded and undecided(X, name, letter):
            continue
        Y, follow = transform(letter, X, np.random.default_rng(100 + seed))
        np.testing.assert_allclose(vec(rule(Y, F)), follow(vec(rule(X, F))), rtol=1e-5, atol=1e-5)
        checked += 1
    assert checked >= 2


def undecided(X: np.ndarray, name: str, letter: str) -> bool:
    """True where rounding, or for O the order of two equally dense centres, decides the clusters."""
    columns = [signguard.sign_features(X, range(X.shape[1]))]
    if name.endswith("sim"):
        columns.append(signguard.similarity_feature(X)[:, None])
    if name.endswith("dist"):
        columns.append(signguard.distance_feature(X)[:, None])
    feats = np.column_stack(columns)
    h = signguard.estimate_bandwidth(feats)
    tops = [signguard.climb(feats, seed, h) for seed in signguard.mean_shift_seeds(feats, h)]
    distinct = {(count, tuple(np.round(centre, 9))) for centre, count in tops}
    tied = len({count for count, _ in distinct}) < len(distinct)
    return signguard.deciding_gap(feats, h) < 1e-6 or (letter == "O" and tied)


@pytest.mark.parametrize("name", having("U"))
@pytest.mark.parametrize("n", [1, 2, 9, 15])
def test_identical_rows_give_that_row(name: str, n: int) -> None:
    g = np.array([1.0, -2.0, 0.5, 0.0, 3.0, -0.25])
    f = F if n > 4 * F else 0
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


@pytest.mark.parametrize("name", [name for name in RULES if name not in ("mean", "fedavg", "clip_mean")])
def test_identical_huge_outliers_do_little(name: str) -> None:
    rng = np.random.default_rng(3)
    base = rng.normal(size=D)
    X = base + 0.3 * rng.normal(size=(12, D))
    X[:2] = 1e6 * rng.normal(size=D)
    honest = X[2:]
    diameter = max(np.linalg.norm(a - b) for a in honest for b in honest)
    assert np.linalg.norm(vec(RULES[name][0](X, 2)) - honest.mean(axis=0)) < diameter


def test_mean_fedavg_clip_mean_by_hand() -> None:
    X = [[1.0, 0.0], [3.0, 4.0]]
    assert rules.mean(X).tolist() == [2.0, 2.0]
    assert rules.fedavg(X, [1, 3]).tolist() == [2.5, 3.0]
    # norms 1, 5, 0 with median 1: the second row is scaled by 1/5, the zero row stays
    np.testing.assert_allclose(rules.clip_mean([*X, [0.0, 0.0]]), [1.6 / 3, 0.8 / 3])
    assert np.linalg.norm(rules.clip_mean(sample(1))) <= rules.med(np.linalg.norm(sample(1), axis=1))
    assert rules.clip_mean(np.zeros((3, 2))).tolist() == [0.0, 0.0]
    for weights in ([1, -1], [0, 0], [1]):
        with pytest.raises(ValueError, match="weight"):
            rules.fedavg(X, weights)


def test_trimmed_mean_and_medians_by_hand() -> None:
    X = np.array([[1.0], [2.0], [4.0], [100.0]])
    assert rules.trimmed_mean(X, 1).tolist() == [3.0]
    assert rules.median(X).tolist() == [3.0]
    assert rules.median_repo(X).tolist() == [2.0]
    Y = sample(2)
    np.testing.assert_allclose(rules.median(Y), np.median(Y, axis=0))
    np.testing.assert_allclose(rules.trimmed_mean(Y, (N - 1) // 2), rules.median(Y))
    for f in (2, -1):
        with pytest.raises(ValueError, match="f"):
            rules.trimmed_mean(X, f)


def test_geomed_minimises_its_objective() -> None:
    # three corners against one far point: in one dimension the weighted median
    np.testing.assert_allclose(rules.geomed([[0.0], [1.0], [9.0]]), [1.0], atol=1e-4)
    np.testing.assert_allclose(rules.geomed([[0.0], [1.0], [9.0]], [1, 1, 5]), [9.0], atol=1e-4)
    assert rules.geomed([[2.0, 3.0]]).tolist() == [2.0, 3.0]
    for seed in SEEDS:
        X = sample(seed)
        best = minimize(lambda v, X=X: rules.geomed_objective(X, v), X.mean(axis=0), tol=1e-12).fun
        assert rules.geomed_objective(X, rules.geomed(X)) <= best + 1e-7
        steps = [rules.geomed_objective(X, rules.geomed(X, max_iter=t)) for t in range(6)]
        assert all(b <= a + 1e-12 for a, b in pairwise(steps))


def test_krum_family_by_hand() -> None:
    X = np.array([[0.0], [1.0], [3.0], [7.0], [20.0]])
    # k = 5 - 1 - 2 = 2
    assert rules.krum_scores(X, 1) == [1 + 9, 1 + 4, 4 + 9, 16 + 36, 169 + 289]
    assert rules.krum_scores(X, 1, squared=False) == [1 + 3, 1 + 2, 2 + 3, 4 + 6, 13 + 17]
    assert rules.krum_scores(X, 1, neighbours=3)[0] == 1 + 9 + 49
    assert rules.krum_scores(X, 4) == [1, 1, 4, 16, 169]  # k floored at 1
    assert rules.krum_scores([[5.0]], 0) == [0.0]
    out, kept = rules.krum(X, 1)
    assert (out.tolist(), kept) == ([1.0], [1])
    assert rules.krum(X, 4)[1] == [1]  # scores 1 and 1: by two neighbours 10 and 5
    assert rules.krum(np.ones((4, 2)), 1)[1] == [0]
    out, kept = rules.multi_krum(X, 1)  # m = 2
    assert (out.tolist(), kept) == ([0.5], [0, 1])
    assert rules.multi_krum(X, 1, m=1)[1] == [1]
    np.testing.assert_allclose(rules.multi_krum(X, 1, m=5)[0], X.mean(axis=0))
    # repo: k = 3: scores 59, 41, 29, 88, 747
    assert rules.multi_krum_repo(X, 1)[1] == [1, 2]
    with pytest.raises(ValueError, match="m must"):
        rules.multi_krum(X, 1, m=6)


def test_bulyan_by_hand() -> None:
    X = np.array([[0.0], [1.0], [2.0], [4.0], [5.0], [7.0], [50.0]])
    # k = 4 picks 2; k = 3 of 0 1 4 5 7 50 (42, 26, 19, 21, 49) picks 4; k = 2 of 0 1 5 7 50 (26, 17, 20, 40)
    # picks 1; k = 1 of 0 5 7 50 (25, 4, 4) picks 5; k floored at 1 of 0 7 50 (49, 49) picks 0
    assert rules.krum_scores(X, 1)[:5] == [46, 27, 18, 23, 30]
    assert rules.bulyan_picks(X, 1) == [2, 3, 1, 4, 0]
    out, kept = rules.bulyan(X, 1)
    assert kept == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(out, [1.0])  # closest to 2 of 0 1 2 4 5: 2, 1, then 0 rather than 4
    with pytest.raises(ValueError, match="4f"):
        rules.bulyan(X[:4], 1)


def test_bulyan_rescores_after_every_pick() -> None:
    differs = 0
    for seed in range(20):
        X = sample(seed, n=13)
        picks = rules.bulyan_picks(X, 3)
        left = [i for i in range(13) if i != picks[0]]
        scores = rules.krum_scores(X[left], 3)
        assert picks[1] == left[int(np.argmin(scores))]
        differs += sorted(picks) != sorted(rules.lowest(rules.krum_scores(X, 3), 7))
    assert differs > 0


def test_bulyan_ties_by_construction_when_f_is_at_most_two() -> None:
    """The last picks use one neighbour, so the closest pair ties: of it the more central one, in any order of rows."""
    X = np.array([[0.0], [1.0], [10.0]])
    assert rules.krum_scores(X, 1)[0] == rules.krum_scores(X, 1)[1]
    assert rules.bulyan_picks(X, 1) == [1]
    assert rules.bulyan_picks(X[[1, 0, 2]], 1) == [0]


def test_dnc_by_hand() -> None:
    X = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [13.0, 5.0]])
    out, kept = rules.dnc(X, 1, [[0, 1]])
    assert kept == [0, 1, 2]
    np.testing.assert_allclose(out, [1.0, 5.0])
    assert rules.dnc(X, 1, [[0]], c=2.5)[1] == [1, 2]  # floor(2.5) dropped
    assert rules.dnc(np.ones((4, 3)), 1, [[0, 2]])[1] == [0, 1, 2]
    Y = np.array([[9.0, 0.0], [0.0, 9.0], [0.1, 0.1]])
    assert rules.dnc(Y, 1, [[0], [1]])[1] == [2]
    out, kept = rules.dnc(Y, 3, [[0]])
    assert (out.tolist(), kept) == ([0.0, 0.0], [])
    for bad in ([], [[]], [[0, 0]]):
        with pytest.raises(ValueError, match="index set"):
            rules.dnc(X, 1, bad)
