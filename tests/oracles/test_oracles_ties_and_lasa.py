"""Checks of the references of TIES, signSGD, MeaMed, Phocas and LASA: by hand, and their properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.oracles import election, rules
from tests.oracles.test_oracles_election import SEEDS, column, sample

# --- TIES and signSGD ---------------------------------------------------------------------------------


def test_ties_by_hand() -> None:
    X = [[1.0, 2.0, 3.0, 4.0], [-4.0, 3.0, 2.0, 1.0], [5.0, -1.0, 9.0, 1.0]]
    trimmed = [[0.0, 0.0, 3.0, 4.0], [-4.0, 3.0, 0.0, 0.0], [5.0, 0.0, 9.0, 0.0]]  # bounds 2.5, 2.5, 3
    np.testing.assert_array_equal(election.ties_trim(X, 0.5), trimmed)
    np.testing.assert_allclose(election.ties_modified(X, 0.5, "count"), [0.0, 3.0, 6.0, 4.0])
    np.testing.assert_allclose(election.ties_modified(X, 0.5, "mass"), [5.0, 3.0, 6.0, 4.0])
    with pytest.raises(ValueError, match="unknown"):
        election.ties_modified(X, 0.5, "crise")


def test_ties_keeps_entries_at_the_bound() -> None:
    np.testing.assert_array_equal(election.ties_trim([[1.0, -2.0, 3.0]], 0.5), [[0.0, -2.0, 3.0]])
    np.testing.assert_array_equal(election.ties_trim([[2.0, -2.0]], 0.9), [[2.0, -2.0]])


def test_signsgd_by_hand() -> None:
    X = [[5.0, -1.0, 1.0, 0.0], [-0.1, -1.0, -1.0, 0.0], [-0.1, 0.0, 0.0, 3.0]]
    np.testing.assert_array_equal(election.signsgd_mv(X), [-1.0, -1.0, 0.0, 1.0])


# --- MeaMed, Phocas -------------------------------------------------------------------------------------


def test_meamed_and_phocas_by_hand() -> None:
    X = column(0, 10, 2, 1, 4)
    for rule in (election.meamed, election.phocas):
        assert rule(X, 0)[0] == pytest.approx(3.4)
        assert rule(X, 1)[0] == pytest.approx(1.75)  # without 10
        assert rule(X, 2)[0] == pytest.approx(1.0)  # 2, 1 and, of 0 and 4, the smaller
    Y = column(0, 4, 4, 4, 9, 9, 9.5)  # median 4 drops 9.5; trimmed mean 6 drops 0
    assert election.meamed(Y, 1)[0] == pytest.approx(30 / 6)
    assert election.phocas(Y, 1)[0] == pytest.approx(39.5 / 6)
    assert election.meamed(column(1, 2, 4, 100), 1)[0] == pytest.approx(7 / 3)  # median 3
    # By its definition alone, n >= f + 1, MeaMed takes a majority for byzantine; a trimmed mean, and so Phocas, cannot.
    assert election.meamed(column(1, 2, 4, 100), 2)[0] == pytest.approx(3.0)  # 2 and 4
    assert election.meamed(column(1, 2, 4, 100), 3)[0] == pytest.approx(2.0)  # of 2 and 4 the smaller
    with pytest.raises(ValueError, match="2f < n"):
        election.phocas(column(1, 2, 4, 100), 2)


@pytest.mark.parametrize("rule", [election.meamed, election.phocas])
def test_meamed_and_phocas_properties(rule: Callable) -> None:
    for seed in SEEDS:
        X = sample(seed)
        np.testing.assert_allclose(rule(X, 0), X.mean(axis=0))
        np.testing.assert_allclose(rule(X + 3.0, 2), rule(X, 2) + 3.0)
        Y = X.copy()
        Y[:2] = 1e6
        assert np.all(rule(Y, 2) <= X.max(axis=0))
    with pytest.raises(ValueError, match=r"n >= f \+ 1|2f < n"):
        rule(sample(0, 4), 4)
    with pytest.raises(ValueError, match="negative"):
        rule(sample(0), -1)


# --- LASA -----------------------------------------------------------------------------------------------


def test_median_z_scores() -> None:
    np.testing.assert_allclose(election.median_z_scores([5, 5, 5, 50]), [0, 0, 0, 45 / np.sqrt(379.6875)])
    assert election.median_z_scores([0.1] * 3) == [0.0] * 3
    np.testing.assert_allclose(election.median_z_scores([1.0, -1.0]), [1.0, 1.0])


def test_lasa_by_hand() -> None:
    X = [[3.0, 4.0], [3.0, 4.0], [4.0, 3.0], [30.0, -40.0]]  # M = 5; the last row becomes (3, -4)
    np.testing.assert_allclose(election.lasa(X, [(0, 2)], 0.0), [10 / 3, 11 / 3])
    np.testing.assert_allclose(election.lasa(X, [(0, 2)], 0.0, norm_bound=3.0), [10 / 3, 11 / 3])
    np.testing.assert_allclose(election.lasa(X, [(0, 2)], 0.0, sign_bound=3.0), [10 / 3, 11 / 3])
    np.testing.assert_allclose(election.lasa(X, [(0, 2)], 0.0, 3.0, 3.0), [13 / 4, 7 / 4])
    # One column a layer: all signs agree in the first, so that the norm alone decides there.
    layers = [(0, 1), (1, 2)]
    assert election.lasa_selected(X, layers, 0.0, norm_bound=3.0) == [[0, 1, 2, 3], [0, 1, 2]]
    np.testing.assert_allclose(election.lasa(X, layers, 0.0, norm_bound=3.0), [13 / 4, 11 / 3])
    np.testing.assert_allclose(election.lasa(X, layers[::-1], 0.0, norm_bound=3.0), [13 / 4, 11 / 3])


def test_lasa_sparsifies_over_the_whole_row() -> None:
    X = [[1.0, -2.0, 3.0, 4.0], [4.0, -3.0, 2.0, 1.0]]  # bound 2.5 for both
    Z = election.lasa_sparse(X, 0.5)
    np.testing.assert_array_equal(Z, [[0.0, 0.0, 3.0, 4.0], [4.0, -3.0, 0.0, 0.0]])
    assert election.positive_share(Z[0, :2]) == 0.0
    assert election.positive_share(Z[1, :2]) == 0.0
    assert election.positive_share(Z[0, 2:]) == 1.0
    assert election.positive_share(np.array([1.0, -2.0, 0.0, 3.0])) == pytest.approx(1 / 3)
    # An entry at the bound is zeroed, and with sparsity 0 none is.
    np.testing.assert_array_equal(election.lasa_sparse([[1.0, 2.0, 3.0]], 0.5), [[0.0, 0.0, 3.0]])
    np.testing.assert_array_equal(election.lasa_sparse([[1.0, 2.0, 3.0]], 0.0), [[1.0, 2.0, 3.0]])
    # The output averages the clipped rows, not the sparsified ones.
    np.testing.assert_allclose(election.lasa(X, [(0, 4)], 0.5), np.mean(X, axis=0))


def test_lasa_selecting_nobody_takes_everybody() -> None:
    X = column(2, -1)  # both signs lie exactly one sd from their median, and the bound is strict
    assert election.lasa_selected(X, [(0, 1)], 0.0) == [[0, 1]]
    np.testing.assert_allclose(election.lasa(X, [(0, 1)], 0.0), [0.25])  # M = 1.5


def test_lasa_bounds_are_strict() -> None:
    X = column(1, 3, 3, 3, 3, 3, 3, 5)  # sd 1, so that both ends score 2
    assert election.lasa_selected(X, [(0, 1)], 0.0) == [[1, 2, 3, 4, 5, 6]]
    np.testing.assert_allclose(election.lasa(X, [(0, 1)], 0.0, norm_bound=2.01), [22 / 8])
    Y = [[1.0, 1.0], *[[1.0, -1.0]] * 6, [-1.0, -1.0]]  # signs 1, 0, -1; sd 0.5
    assert election.lasa_selected(Y, [(0, 2)], 0.0, sign_bound=2.0) == [[1, 2, 3, 4, 5, 6]]
    assert election.lasa_selected(Y, [(0, 2)], 0.0, sign_bound=2.01) == [list(range(8))]


def test_lasa_needs_every_column_once() -> None:
    X = sample(0, 5, 4)
    for layers in ([(0, 3)], [(0, 2), (1, 4)], [(0, 5)], []):
        with pytest.raises(ValueError, match="every column once"):
            election.lasa(X, layers)
    np.testing.assert_allclose(election.lasa(np.zeros((3, 2)), [(0, 2)]), np.zeros(2))
    np.testing.assert_allclose(election.lasa(X, [(0, 4)], 0.0, np.inf, np.inf), rules.clip_mean(X))
