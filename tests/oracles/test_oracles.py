"""Checks of the reference functions: hand-computed examples, invariances (table H), edge cases."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.cluster
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from tests.oracles import rules, signguard

SEEDS = range(5)
F = 2
N, D = 11, 6
COORDS = [0, 2, 3]


def sample(seed: int, n: int = N, d: int = D) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=d) + 0.7 * rng.normal(size=(n, d))


def vec(result) -> np.ndarray:
    return result[0] if isinstance(result, tuple) else result


RULES: dict[str, tuple[Callable, str]] = {
    # name: (rule, letters of table H that hold; 0 = equals Mean for f = 0; O = odd symmetry)
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
    "signguard": (lambda X, f: signguard.signguard(X, range(D)), "PSKUO"),
    "signguard_sim": (lambda X, f: signguard.signguard(X, range(D), "sim"), "PSKUO"),
    "signguard_dist": (lambda X, f: signguard.signguard(X, range(D), "dist"), "PSKUO"),
    "signguard_plain_mean": (lambda X, f: signguard.signguard(X, range(D), clip=False), "PSKUBO"),
}


def having(letter: str) -> list[str]:
    return [name for name, (_, letters) in RULES.items() if letter in letters]


def transform(letter: str, X: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Callable]:
    """The transformed rows and the map that the output must follow."""
    n, d = X.shape
    if letter == "P":
        return X[rng.permutation(n)], lambda v: v
    if letter == "T":
        shift = rng.normal(size=d)
        return X + shift, lambda v: v + shift
    if letter == "S":
        return 2.5 * X, lambda v: 2.5 * v
    if letter == "K":
        order = rng.permutation(d)
        return X[:, order], lambda v: v[order]
    if letter == "R":
        Q = np.linalg.qr(rng.normal(size=(d, d)))[0]
        return X @ Q, lambda v: v @ Q
    return -X, lambda v: -v


CASES = [(letter, name) for letter in "PTSKRO" for name in having(letter)]


@pytest.mark.parametrize(("letter", "name"), CASES)
def test_invariance(letter: str, name: str) -> None:
    """Table H; odd symmetry (O) and client order (P) of SignGuard hold where no two clusters tie."""
    rule = RULES[name][0]
    checked = 0
    for seed in SEEDS:
        X = sample(seed)
        if name.startswith("signguard") and cluster_tie(X, name):
            continue
        Y, follow = transform(letter, X, np.random.default_rng(100 + seed))
        np.testing.assert_allclose(vec(rule(Y, F)), follow(vec(rule(X, F))), rtol=1e-5, atol=1e-5)
        checked += 1
    assert checked > 0


def cluster_tie(X: np.ndarray, name: str) -> bool:
    """True if the largest cluster is not unique, or two centres have the same intensity."""
    columns = [signguard.sign_features(X, range(D))]
    if name.endswith("sim"):
        columns.append(signguard.similarity_feature(X)[:, None])
    if name.endswith("dist"):
        columns.append(signguard.distance_feature(X)[:, None])
    feats = np.column_stack(columns)
    labels = signguard.mean_shift_labels(feats, signguard.estimate_bandwidth(feats))
    sizes = sorted(labels.count(c) for c in set(labels) - {-1})
    return len(sizes) > 1 and sizes[-1] == sizes[-2]


@pytest.mark.parametrize("name", having("U"))
@pytest.mark.parametrize("n", [1, 2, 9, 12])
def test_identical_rows_give_that_row(name: str, n: int) -> None:
    g = np.array([1.0, -2.0, 0.5, 0.0, 3.0, -0.25])
    f = F if n > 4 * F else 0
    np.testing.assert_allclose(vec(RULES[name][0](np.tile(g, (n, 1)), f)), g, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", having("B"))
def test_inside_the_range_of_the_rows(name: str) -> None:
    for seed in SEEDS:
        X = sample(seed)
        out = vec(RULES[name][0](X, F))
        assert np.all(out >= X.min(axis=0) - 1e-9)
        assert np.all(out <= X.max(axis=0) + 1e-9)


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
    np.testing.assert_allclose(rules.trimmed_mean(Y, 5), rules.median(Y))
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
        assert all(b <= a + 1e-12 for a, b in zip(steps, steps[1:], strict=False))


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
    assert rules.krum(X, 4)[1] == [0]  # scores 1 and 1: lowest index
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
    # k = 4: scores 46, 31, 26, 26, 34, ...: index 2 wins its tie with 3
    assert rules.krum_scores(X, 1)[:5] == [1 + 4 + 16 + 25, 1 + 1 + 9 + 16, 4 + 1 + 4 + 9, 1 + 4 + 9 + 9, 38]
    assert rules.bulyan_picks(X, 1)[0] == 2
    out, kept = rules.bulyan(X, 1)
    assert kept == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(out, [(1 + 2 + 4) / 3])  # the three values closest to 2: 2, 1, then 0 or 4
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


def sklearn_labels(points: np.ndarray, h: float) -> list[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Binning data failed": every point has its own cell
        fitted = sklearn.cluster.MeanShift(bandwidth=h, bin_seeding=True, cluster_all=False).fit(points)
    return [int(v) for v in fitted.labels_]


def mean_shift_input(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(4, 40)), int(rng.integers(3, 5))
    centres = rng.normal(size=(3, d))
    return centres[rng.integers(0, 3, size=n)] + rng.choice([0.1, 0.5, 1.0]) * rng.normal(size=(n, d))


def test_mean_shift_agrees_with_scikit_learn() -> None:
    for seed in range(60):
        points = mean_shift_input(seed)
        h = signguard.estimate_bandwidth(points)
        assert h == pytest.approx(
            sklearn.cluster.estimate_bandwidth(points, quantile=0.5), rel=1e-6, abs=1e-6
        )
        assert signguard.mean_shift_labels(points, h) == sklearn_labels(points, h), seed


def test_mean_shift_by_hand() -> None:
    points = np.array([[0.0], [1.0], [2.0], [10.0]])
    # k = 2: nearest other point at 1, 1, 1, 8
    assert signguard.estimate_bandwidth(points) == 11 / 4
    assert signguard.estimate_bandwidth(points, sample_idx=[0, 3]) == 0.0  # two points: k = 1
    assert signguard.mean_shift_labels(points, 2.75) == [0, 0, 0, 1]
    assert signguard.mean_shift_labels(np.zeros((1, 2)), 0.0) == [0]
    # h = 0: groups of equal rows, larger group first, then larger coordinates; -0 equals 0
    assert signguard.mean_shift_labels([[1.0], [0.0], [2.0], [-0.0]], 0.0) == [2, 0, 1, 0]
    assert signguard.largest_cluster([1, 0, -1, 1, -1, 0, -1]) == [1, 5]
    assert signguard.largest_cluster([0, 1, 1, -1]) == [1, 2]
    assert signguard.largest_cluster([-1, -1]) == []


def test_features_by_hand() -> None:
    X = np.array([[1.0, 0.0, -2.0, 3.0], [-1.0, -1.0, 0.0, 0.0]])
    assert signguard.sign_features(X, [0, 1, 2, 3]).tolist() == [[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]
    assert signguard.sign_features(X, [2]).tolist() == [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    np.testing.assert_array_equal(
        signguard.sign_features(-X, [0, 1, 2]), signguard.sign_features(X, [0, 1, 2])[:, ::-1]
    )
    Y = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    r = math.sqrt(0.5)
    # s = med over the others: (1,0,r) -> r, r, (0,0,r) -> 0, (r,r,r) -> r; m = r
    np.testing.assert_allclose(signguard.similarity_feature(Y), [0.2, 0.2, 0.0, 0.2])
    # with the zero of the diagonal and the lower median: (0,0,r,1) -> 0, 0, 0, (0,r,r,r) -> r; m = 0
    np.testing.assert_allclose(signguard.similarity_feature_repo(Y), 0.0)
    ref = np.array([1.0, 0.0])
    np.testing.assert_allclose(
        signguard.similarity_feature(Y, ref), np.minimum([1, 1, 0, r], (1 + r) / 2) / (2.5 * (1 + r))
    )
    np.testing.assert_allclose(signguard.similarity_feature_repo(Y, ref), [0.2, 0.2, 0, 0.2], atol=1e-7)
    np.testing.assert_allclose(signguard.similarity_feature(np.outer([1, 2, 9], ref), ref), 0.2)
    assert signguard.similarity_feature(Y, -ref).tolist() == [0.0] * 4
    assert signguard.similarity_feature(Y, 0 * ref).tolist() == [0.0] * 4
    assert signguard.similarity_feature(Y[:1]).tolist() == [0.0]
    Z = np.array([[0.0], [1.0], [3.0], [10.0]])  # one neighbour: 1, 1, 4, 49; median 2.5
    assert signguard.distance_feature(Z).tolist() == [0.0, 0.0, 0.2, 0.2]
    assert signguard.distance_feature(Z, np.array([9.0])).tolist() == [0.2, 0.2, 0.0, 0.0]
    assert signguard.distance_feature(Z[:1]).tolist() == [0.2]
    assert signguard.distance_feature_repo(Z).tolist() == [0.0, 0.0, 0.2, 0.2]  # bound 1.1 * 1
    assert signguard.distance_feature_repo(Z, np.array([9.0])).tolist() == [0.2, 0.2, 0.0, 0.0]


def test_signguard_by_hand() -> None:
    # four rows of equal signs, one flipped, one too long, one too short; norms 1, 1, 2, 2, 1, 8, 0.05
    X = np.array([[1.0, 0], [0.6, 0.8], [2, 0], [0, 2.0], [-1, 0], [0, 8], [0.05, 0]]) + 0.0
    X = np.column_stack([X, np.ones(7) * 1e-9])
    out, kept = signguard.signguard(X, [2], clip=True)
    assert kept == [0, 1, 2, 3, 4]
    out, kept = signguard.signguard(X, [0, 1, 2], cluster=False, clip=False)
    assert kept == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(out[:2], [2.6 / 5, 2.8 / 5])
    np.testing.assert_allclose(signguard.signguard(X, [2])[0][:2], [1.6 / 5, 1.8 / 5], rtol=1e-6)
    out, kept = signguard.signguard(X, [0], threshold=False, clip=False)
    assert kept == [0, 1, 2, 6]  # signs + + + 0 - 0 +, and half the points coincide: h = 0
    for bounds, wanted in (((1.0, 2.0), [0, 1, 2, 3]), ((1.5, 2.0), [2, 3])):
        Y = np.array([[1.0], [1.0], [2.0], [2.0], [0.1]])  # M = 1; both ends inclusive
        assert signguard.signguard(Y, [0], "plain", None, True, *bounds)[1] == wanted
    assert signguard.signguard_repo(Y, [0], "plain", None, 1.0, 2.0)[1] == []
    assert np.isnan(signguard.signguard_repo(Y, [0], "plain", None, 1.0, 2.0)[0]).all()
    out, kept = signguard.signguard_repo([[1.0], [2.0], [4.0], [4.0]], [0])  # clipped to lmed = 2
    assert kept == [0, 1, 2, 3]
    np.testing.assert_allclose(out, [7 / 4])
    with pytest.raises(ValueError, match="variant"):
        signguard.signguard(X, [0], "cos")


@pytest.mark.parametrize("variant", signguard.VARIANTS)
def test_signguard_edges(variant: str) -> None:
    zero, coords = np.zeros(4), [0, 1, 2, 3]
    out, kept = signguard.signguard(np.zeros((3, 4)), coords, variant)
    assert (out.tolist(), kept) == ([0.0] * 4, [0, 1, 2])
    X = np.vstack([np.tile(zero, (3, 1)), np.ones((2, 4))])
    out, kept = signguard.signguard(X, coords, variant)  # M = 0: rows of norm 0 only
    assert (out.tolist(), kept) == ([0.0] * 4, [0, 1, 2])
    Y = np.vstack([sample(4, 9, 4) + 3, np.full((1, 4), np.inf), [[np.nan] * 4]])
    Y[0, 0] = np.nan
    out, kept = signguard.signguard(Y, coords, variant)
    assert np.isfinite(out).all()
    assert not {9, 10} & set(kept)
    assert np.isnan(Y[0, 0])  # the caller's array is left alone
    out, _ = signguard.signguard(sample(6), range(D), variant)
    assert np.linalg.norm(out) <= np.median(np.linalg.norm(sample(6), axis=1)) + 1e-12
    far = np.array([[1.0] * 4, [1000.0] * 4, [-1.0] * 4])  # S1 = {0, 2}, S2 one row
    assert len(signguard.signguard(far, coords, variant)[1]) <= 1
    _, kept = signguard.signguard(-np.ones((1, 4)), coords, variant)
    assert kept == [0]
    assert set(signguard.signguard_repo(sample(6), range(D), variant)[1]) <= set(range(N))
    assert signguard.signguard(np.diag([1.0, 100.0])[[0, 1, 1]], [0], variant, None, True, 1, 1)[1] == [1, 2]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_zero_bandwidth_clusters_are_groups_of_equal_rows(values: list[int]) -> None:
    labels = signguard.mean_shift_labels([[float(v)] for v in values], 0.0)
    for i, v in enumerate(values):
        assert [w == v for w in values] == [other == labels[i] for other in labels]
    assert len(signguard.largest_cluster(labels)) == max(values.count(v) for v in values)
