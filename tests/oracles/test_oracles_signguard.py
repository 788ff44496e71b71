"""Checks of the reference SignGuard: Mean-Shift against scikit-learn, hand-computed examples, edge cases."""

import math
import warnings

import numpy as np
import pytest
import sklearn.cluster

from tests.oracles import samples, signguard

N, D = 15, 6


def sample(seed: int, n: int = N, d: int = D) -> np.ndarray:
    return samples.sample(seed, n, d)


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
        assert h == pytest.approx(sklearn.cluster.estimate_bandwidth(points, quantile=0.5), rel=1e-6, abs=1e-6)
        assert signguard.mean_shift_labels(points, h) == sklearn_labels(points, h), seed


def test_mean_shift_agrees_with_scikit_learn_on_shares() -> None:
    """Sign shares are multiples of 1/k: distances may equal h exactly, and then only rounding differs."""
    checked = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n, k = int(rng.integers(4, 30)), int(rng.choice([20, 200, 2000]))
        points = rng.multinomial(k, [0.5, 0.1, 0.4], size=n) / k
        points[: n // 4] = points[: n // 4, ::-1]
        h = signguard.estimate_bandwidth(points)
        if h > 0 and signguard.deciding_gap(points, h) > 1e-9:
            assert signguard.mean_shift_labels(points, h) == sklearn_labels(points, h), seed
            checked += 1
    assert checked > 30


def test_mean_shift_by_hand() -> None:
    points = np.array([[0.0], [1.0], [2.0], [10.0]])
    # k = 2: nearest other point at 1, 1, 1, 8
    assert signguard.estimate_bandwidth(points) == 11 / 4
    assert signguard.estimate_bandwidth(points, sample_idx=[0, 3]) == 0.0  # two points: k = 1
    assert signguard.mean_shift_labels(points, 2.75) == [0, 0, 0, 1]
    assert signguard.mean_shift_labels(np.zeros((1, 2)), 0.0) == [0]
    assert signguard.deciding_gap(points, 2.75) == 0.0  # the seed 1 h and the point 0
    assert signguard.deciding_gap(points + 0.3, 2.75) > 1e-3
    assert signguard.deciding_gap(points, 1.0) == 0.0  # neighbours at exactly h
    assert signguard.deciding_gap(points, 0.0) == math.inf
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
    # two neighbours: 17, 10, 25, 3.25, 1.25, 2.5
    six = np.array([[0.0], [1.0], [4.0], [9.0], [10.0], [10.5]])
    assert signguard.distance_feature(six).tolist() == [0.2, 0.2, 0.2, 0.0, 0.0, 0.0]
    six[:3] = [[0.0], [0.1], [0.2]]  # two tight groups; with a third neighbour rows 0 and 3 would swap
    assert signguard.distance_feature(six).tolist() == [0.0, 0.0, 0.0, 0.2, 0.2, 0.2]
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


def test_nan_counts_as_zero_and_repo_scales_the_sign_columns() -> None:
    changed = 0
    for seed in range(20):
        X = sample(seed, d=40)
        Y, Z = X.copy(), X.copy()
        Y[:, ::7], Z[:, ::7] = np.nan, 0.0
        for got, wanted in zip(signguard.signguard(Y, range(40)), signguard.signguard(Z, range(40)), strict=True):
            np.testing.assert_array_equal(got, wanted)
        feats = signguard.sign_features(Z, range(40))
        picked = []
        for columns in (feats, feats / (feats.max(axis=0) + 1e-8)):
            h = signguard.estimate_bandwidth(columns)
            picked.append(signguard.largest_cluster(signguard.mean_shift_labels(columns, h)))
        assert signguard.signguard_repo(Y, range(40))[1] == picked[1]  # all norms are within the band
        changed += picked[0] != picked[1]
    assert changed > 0


def test_zero_bandwidth_clusters_are_groups_of_equal_rows() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = rng.integers(0, 4, size=rng.integers(1, 10)).tolist()
        labels = signguard.mean_shift_labels([[float(v)] for v in values], 0.0)
        for i, v in enumerate(values):
            assert [w == v for w in values] == [other == labels[i] for other in labels]
        assert len(signguard.largest_cluster(labels)) == max(values.count(v) for v in values)
