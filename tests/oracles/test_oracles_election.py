"""Checks of the reference election rules: hand-computed examples, invariances, edge cases."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from tests.oracles import election, rules, samples

SEEDS = range(5)
K, D = 7, 24
THREE = [[1.0, 2.0, -2.0, 0.0], [2.0, 4.0, 4.0, 0.0], [-4.0, -8.0, 8.0, 0.0]]  # norms 3, 6, 12
LAYERS = [(0, 5), (5, 6), (6, D)]


RULES: dict[str, Callable] = {
    "fedseca": election.fedseca,
    "fedseca_dense": lambda X: election.fedseca(X, None),
    "fedseca_half": lambda X: election.fedseca(X, 0.5),
    "fedseca_repo": lambda X: election.fedseca_repo(X, 0.5),
    "ties_count": lambda X: election.ties_modified(X, 0.5, "count"),
    "ties_mass": lambda X: election.ties_modified(X, 0.5, "mass"),
    "meamed": lambda X: election.meamed(X, 2),
    "phocas": lambda X: election.phocas(X, 2),
    "lasa": lambda X: election.lasa(X, LAYERS),
    "signsgd_mv": election.signsgd_mv,
}
RULES |= {
    f"parts_{vote}_{merge}": lambda X, vote=vote, merge=merge: election.fedseca_parts(X, 0.5, vote=vote, merge=merge)
    for vote, merge in product(election.VOTES, election.MERGES)
}


def sample(seed: int, n: int = K, d: int = D) -> np.ndarray:
    return samples.sample(seed, n, d, spread=0.9)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


# --- By hand ------------------------------------------------------------------------------------------


def test_sign_concordance() -> None:
    assert election.sign_concordance(THREE[0], THREE[0]) == 0.75
    assert election.sign_concordance(THREE[0], THREE[1]) == 0.25
    assert election.sign_concordance(THREE[0], THREE[2]) == -0.75
    assert election.sign_concordance([0.0, 0.0], [1.0, 1.0]) == 0.0
    with pytest.raises(ValueError, match="same positive length"):
        election.sign_concordance([1.0], [1.0, 2.0])


def test_ratios_and_crise() -> None:
    rho = election.concordance_ratios(THREE)
    np.testing.assert_allclose(rho, [1 / 3, 1 / 3, 0.0])
    np.testing.assert_array_equal(election.crise(THREE, rho), [1.0, 1.0, 0.0, 0.0])
    np.testing.assert_array_equal(election.crise(THREE, [0.0, 0.0, 1.0]), [-1.0, -1.0, 1.0, 0.0])
    np.testing.assert_array_equal(election.crise([[1.0], [-1.0]], [0.5, 0.5 + 5e-13]), [0.0])
    np.testing.assert_array_equal(election.crise([[1.0], [-1.0]], [0.5, 0.5 + 5e-12]), [-1.0])
    with pytest.raises(ValueError, match="one ratio per row"):
        election.crise(THREE, [1.0])


def test_vrs_gradients() -> None:
    clipped = [THREE[0], THREE[1], [-2.0, -4.0, 4.0, 0.0]]  # tau = 6; mu = 2, 4, 4, 0 clamps nothing more
    np.testing.assert_allclose(election.vrs_gradients(THREE, None), clipped)
    np.testing.assert_allclose(election.vrs_gradients(THREE, None, clamp=False), clipped)
    np.testing.assert_allclose(election.vrs_gradients(THREE, None, clip=False), clipped)
    np.testing.assert_array_equal(election.vrs_gradients(THREE, None, clip=False, clamp=False), THREE)
    sparse = [[0.0, 2.0, -2.0, 0.0], [0.0, 4.0, 4.0, 0.0], [0.0, -4.0, 4.0, 0.0]]
    np.testing.assert_allclose(election.vrs_gradients(THREE, 0.5), sparse)  # bounds 1.5, 3, 6
    X = [[3.0, 4.0], [6.0, 8.0]]  # even count: tau = 7.5, mu = (3 + 4.5) / 2, (4 + 6) / 2
    np.testing.assert_allclose(election.vrs_gradients(X, None), [[3.0, 4.0], [3.75, 5.0]])


def test_sparsification_is_strict_and_looks_at_the_raw_rows() -> None:
    same = [[2.0, -2.0, 2.0]]
    for gamma in (0.0, 0.5, 0.9):
        np.testing.assert_array_equal(election.vrs_gradients(same, gamma), np.zeros((1, 3)))
    np.testing.assert_array_equal(election.vrs_gradients([[1.0, 2.0, -3.0]], 0.0), [[0.0, 2.0, -3.0]])
    np.testing.assert_array_equal(election.vrs_gradients([[1.0, 2.0, -3.0]], 0.5), [[0.0, 0.0, -3.0]])
    # After clamping all magnitudes of row 0 are 1, before it column 1 is the largest; that one is kept.
    X = [[1.0, 9.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    V = election.vrs_gradients(X, 0.5, clip=False)
    np.testing.assert_array_equal(V, [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_roca() -> None:
    V = [[1.0, 2.0, 0.0, 5.0], [3.0, -2.0, 0.0, -5.0], [0.0, -4.0, 7.0, 1.0]]
    np.testing.assert_array_equal(election.roca(V, [1, -1, -1, 0]), [2.0, -3.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="one sign per column"):
        election.roca(V, [1, 1])


def test_fedseca_by_hand() -> None:
    np.testing.assert_allclose(election.fedseca(THREE, 0.5), [0.0, 3.0, 0.0, 0.0])
    np.testing.assert_allclose(election.fedseca(THREE, None), [1.5, 3.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"gamma": 0.5}, [0.0, 3.0, 0.0, 0.0]),
        ({"gamma": None}, [1.5, 3.0, 0.0, 0.0]),
        ({"gamma": None, "merge": "mean"}, [1.0, 2.0, 0.0, 0.0]),
        ({"gamma": 0.5, "merge": "mean"}, [0.0, 2.0, 0.0, 0.0]),
        ({"gamma": None, "vote": "count"}, [1.5, 3.0, 4.0, 0.0]),
        ({"gamma": 0.5, "vote": "count", "merge": "mean"}, [0.0, 2.0, 8 / 3, 0.0]),
        ({"gamma": None, "vote": "mass"}, [1.5, 3.0, 4.0, 0.0]),
        ({"gamma": None, "vote": "mass", "clip": False, "clamp": False}, [-4.0, -8.0, 6.0, 0.0]),
        ({"gamma": None, "vote": "none"}, [1 / 3, 2 / 3, 2.0, 0.0]),
        ({"gamma": None, "vote": "none", "clip": False, "clamp": False, "merge": "mean"}, [-1 / 3, -2 / 3, 10 / 3, 0]),
    ],
)
def test_parts_by_hand(options: dict, expected: list[float]) -> None:
    np.testing.assert_allclose(election.fedseca_parts(THREE, **options), expected, atol=1e-15)


def test_count_looks_at_raw_rows_and_mass_at_vrs_rows() -> None:
    # gamma = 0.5 keeps column 1 of the first two rows and column 0 of the last one.
    X = [[1.0, 3.0], [1.0, 3.0], [-3.0, 1.0]]
    np.testing.assert_allclose(election.fedseca_parts(X, 0.5, False, False, "count"), [0.0, 3.0])
    np.testing.assert_allclose(election.fedseca_parts(X, 0.5, False, False, "mass"), [-3.0, 3.0])
    np.testing.assert_allclose(election.fedseca_parts(X, 0.5, False, False, "none"), [-3.0, 3.0])
    np.testing.assert_allclose(election.fedseca_parts(X, 0.5, False, False, "none", "mean"), [-1.0, 2.0])
    with pytest.raises(ValueError, match="unknown"):
        election.fedseca_parts(X, 0.5, vote="majority")
    with pytest.raises(ValueError, match="unknown"):
        election.fedseca_parts(X, 0.5, merge="median")


def test_mass_ties_are_exact() -> None:
    assert election.mass_vote(column(0.1, 0.1, 0.1, -0.1, -0.1, -0.1))[0] == 0.0
    assert election.mass_vote(column(0.1, 0.7, -0.1, -0.7))[0] == 0.0


def test_fedseca_repo_by_hand() -> None:
    # lmed: tau = 5, mu = (3, 4); gamma = 0 keeps everything because the comparison is >=.
    np.testing.assert_allclose(election.fedseca_repo([[3.0, 4.0], [6.0, 8.0]], 0.0), [3.0, 4.0])
    # lmed of the norms 5 and 10 clips the second row to (3, 4), and the lower of 4, 3 and of 3, 4 is the bound.
    np.testing.assert_allclose(election.fedseca_repo([[4.0, 3.0], [6.0, 8.0]], 0.0), [3.0, 3.0])
    # The bound (6, 4) comes from the clipped rows, and min(4, 9) = 4 rather than the clipped 90 / 41.
    X = [[3.0, 4.0], [6.0, 8.0], [40.0, 9.0]]
    np.testing.assert_allclose(election.fedseca_repo(X, 0.0), [5.0, 4.0])
    np.testing.assert_allclose(election.fedseca(X, None), [5.0, (8 + 90 / 41) / 3])
    # Sparsified signs: column 0 is the last row's alone; the raw majority there is positive.
    Y = [[1.0, 3.0], [1.0, 3.0], [-3.0, 1.0]]
    np.testing.assert_allclose(election.fedseca_repo(Y, 1.0), [-1.0, 3.0])
    np.testing.assert_allclose(election.fedseca(Y, 0.5), [0.0, 3.0])
    # The ratios are of the raw rows, which are all at odds here: 0, 0, 0. Those of the sparsified ones are 1/3, 1/3, 0.
    Z = [[9.0, -1.0, 1.0], [9.0, 1.0, -1.0], [-9.0, 1.0, 1.0]]
    np.testing.assert_array_equal(election.concordance_ratios(Z), [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(election.fedseca_repo(Z, 1.0), [0.0, 0.0, 0.0])
    # And the other way about: the raw rows of the first two agree (ratio 1/3 each), what is left of them does not.
    W = [[9.0, -8.0, -8.0], [-9.0, -8.0, -8.0], [-9.0, 8.0, 8.0]]
    np.testing.assert_allclose(election.concordance_ratios(W), [1 / 3, 1 / 3, 0.0])
    np.testing.assert_array_equal(election.fedseca_repo(W, 1.0), [0.0, 0.0, 0.0])


def test_repo_cosine_of_signs_has_the_sign_of_omega() -> None:
    X = sample(0) * (np.random.default_rng(1).random((K, D)) < 0.4)
    for a, b in product(X, X):
        cosine = rules.cosine(np.sign(a), np.sign(b))
        assert election.sign(cosine) == election.sign(election.sign_concordance(a, b))


# --- Properties ---------------------------------------------------------------------------------------


def fedseca_arrays(X: np.ndarray, gamma: float) -> np.ndarray:
    """FedSECA once more, with whole-array operations."""
    signs = np.sign(X)
    rho = np.maximum(0.0, np.sign(signs @ signs.T).mean(axis=1))
    total = rho @ signs
    s = np.where(np.abs(total) < 1e-12, 0.0, np.sign(total))
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    clipped = X * np.minimum(1.0, np.median(norms) / norms)
    mu = np.median(np.abs(clipped), axis=0)
    V = np.clip(clipped, -mu, mu) * (np.abs(X) > np.quantile(np.abs(X), gamma, axis=1, keepdims=True))
    agree = V * s > 0
    return np.where(agree, V, 0.0).sum(axis=0) / np.maximum(1, agree.sum(axis=0))


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("gamma", [0.0, 0.35, 0.9])
def test_fedseca_agrees_with_array_form(n: int, gamma: float) -> None:
    for seed in SEEDS:
        X = sample(seed, n)
        expected = fedseca_arrays(X, gamma)
        np.testing.assert_allclose(election.fedseca(X, gamma), expected, atol=1e-14)
        np.testing.assert_allclose(election.fedseca_parts(X, gamma), expected, atol=1e-14)


def test_signs_do_not_see_row_scales() -> None:
    for seed in SEEDS:
        X = sample(seed)
        Y = X * np.random.default_rng(seed).uniform(0.01, 100.0, size=(K, 1))
        rho = election.concordance_ratios(X)
        np.testing.assert_array_equal(election.concordance_ratios(Y), rho)
        np.testing.assert_array_equal(election.crise(Y, rho), election.crise(X, rho))
        np.testing.assert_array_equal(election.signsgd_mv(Y), election.signsgd_mv(X))


def test_output_sign_and_bound() -> None:
    for seed in SEEDS:
        X = sample(seed)
        out, s = election.fedseca(X, 0.5), election.crise(X, election.concordance_ratios(X))
        assert np.all((np.sign(out) == 0) | (np.sign(out) == s))
        tau = np.median(np.linalg.norm(X, axis=1))
        mu = np.median(np.abs([x * min(1.0, tau / np.linalg.norm(x)) for x in X]), axis=0)
        assert np.all(np.abs(out) <= mu + 1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_identical_rows_keep_their_top_entries(count: int) -> None:
    g = np.arange(1.0, 21.0) * np.where(np.arange(20) % 2 == 0, 1.0, -1.0)
    X = np.tile(g, (count, 1))
    top = np.where(np.abs(g) >= 19, g, 0.0)  # the largest 10% of 20; the bound is 18.1
    for out in (election.fedseca(X), election.fedseca_repo(X), election.ties_modified(X)):
        np.testing.assert_allclose(out, top)
    np.testing.assert_allclose(election.fedseca(X, None), g)


@pytest.mark.parametrize("count", [3, 4, 7])
def test_flipped_row_has_no_say(count: int) -> None:
    X = np.tile(sample(0)[0], (count, 1))
    X[0] *= -5.0
    rho = election.concordance_ratios(X)
    assert rho[0] == 0.0
    np.testing.assert_allclose(rho[1:], (count - 2) / count)


def test_zero_rows() -> None:
    X = np.vstack([np.zeros(4), np.array(THREE[:2])])
    rho = election.concordance_ratios(X)
    np.testing.assert_allclose(rho, [0.0, 2 / 3, 2 / 3])
    zeros = np.zeros((3, 4))
    for out in (election.fedseca(zeros), election.fedseca_repo(zeros), election.ties_modified(zeros)):
        np.testing.assert_array_equal(out, np.zeros(4))
    opposite = [[1.0, 2.0], [-1.0, -2.0]]  # all ratios are 0
    np.testing.assert_array_equal(election.concordance_ratios(opposite), [0.0, 0.0])
    np.testing.assert_array_equal(election.fedseca(opposite, None), [0.0, 0.0])


@pytest.mark.parametrize("same", [True, False])
def test_huge_byzantine_rows(same: bool) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        honest = rng.normal(size=40) + 0.3 * rng.normal(size=(10, 40))
        bad = rng.normal(size=(1 if same else 2, 40))
        bad = 1e6 * bad / np.linalg.norm(bad, axis=1, keepdims=True)
        X = np.vstack([bad, bad, honest] if same else [bad, honest])
        diameter = max(np.linalg.norm(a - b) for a, b in product(honest, honest))
        error = {
            "fedseca": np.linalg.norm(election.fedseca(X, 0.0) - honest.mean(axis=0)) / diameter,
            "ties": np.linalg.norm(election.ties_modified(X) - honest.mean(axis=0)) / diameter,
        }
        assert error["fedseca"] < 1.0
        assert error["ties"] > 1e4


# --- All rules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_invariances(name: str) -> None:
    rule = RULES[name]
    for seed in SEEDS:
        X = sample(seed)
        rng = np.random.default_rng(100 + seed)
        out = rule(X)
        assert out.shape == (D,)
        np.testing.assert_allclose(rule(X[rng.permutation(K)]), out, atol=1e-12)
        np.testing.assert_allclose(rule(-X), -out, atol=1e-12)
        np.testing.assert_allclose(rule(2.5 * X), out if name == "signsgd_mv" else 2.5 * out, atol=1e-12)
        if name != "lasa":  # its columns belong to layers
            order = rng.permutation(D)
            np.testing.assert_allclose(rule(X[:, order]), out[order], atol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_input_is_left_alone(name: str) -> None:
    X = sample(0)
    before = X.copy()
    RULES[name](X)
    np.testing.assert_array_equal(X, before)
