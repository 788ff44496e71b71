"""Rules give way to attacks, if to anything, and not to the sizes of numbers, their rounding, or their order."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.rules.layerwise import z_scores
from fedward.rules.spectral import top_eigenpair
from fedward.stack import Dense, evened, loops_from
from fedward.stack import kernels as columns
from tests.oracles import geometry
from tests.oracles import rules as oracle


def honest_rows(n: int, d: int, seed: int, spread: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=d) + spread * rng.normal(size=(n, d))


def diameter(X: np.ndarray) -> float:
    return max(float(np.linalg.norm(a - b)) for a in X for b in X)


# --- the geometric median -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "size"),
    [*((np.float32, s) for s in (1e4, 1e20, 1e30, 1e38)), *((np.float64, s) for s in (1e4, 1e30, 1e78, 1e150))],
)
@pytest.mark.parametrize("same", [True, False])
def test_no_minority_breaks_the_geometric_median(same: bool, size: float, dtype: type) -> None:
    for n, d in product((3, 8, 20, 21), (2, 40)):
        for m in range(1, (n - 1) // 2 + 1):
            honest = honest_rows(n - m, d, seed=n + m)
            evil = size * np.random.default_rng(m).uniform(-1, 1, size=(1 if same else m, d)) * np.ones((m, 1))
            output = rules.GeometricMedian()(np.concatenate([evil, honest]).astype(dtype)).astype(np.float64)
            # Its own bound is up to 22 for ten of twenty-one; so much is what these colluders attain.
            assert np.linalg.norm(output - honest.mean(0)) < 1.5 * diameter(honest), f"{m} of {n}, d = {d}"


def pulls(X: np.ndarray, v: np.ndarray) -> float:
    """Length of the sum of the unit vectors from v towards the rows."""
    apart = X - v
    return float(np.linalg.norm((apart / np.linalg.norm(apart, axis=1, keepdims=True)).sum(0)))


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("d", [2, 3, 40])
def test_the_geometric_median_is_where_all_pulls_cancel(d: int, spread: float) -> None:
    for seed in range(12):
        n = 4 + seed
        X = honest_rows(n, d, seed, spread)
        X[: n // 3] += 30 * spread
        v = rules.GeometricMedian()(X)
        nearest = np.linalg.norm(X - v, axis=1).min()
        if nearest > 1e-3 * spread:
            assert pulls(X, v) < 1e-6 * n / spread**0.5, f"seed {seed}"
        else:  # a row, which the others do not pull away from where it is
            row = np.linalg.norm(X - v, axis=1).argmin()
            np.testing.assert_allclose(v, X[row], rtol=1e-6)
            assert pulls(np.delete(X, row, 0), X[row]) <= 1 + 1e-6


def test_the_geometric_median_takes_few_steps() -> None:
    for seed in range(30):
        X = honest_rows(3 + seed % 18, 2 + seed % 5, seed)
        X[: len(X) // 3] *= 1e6
        early = rules.GeometricMedian(iterations=60)(X)
        np.testing.assert_allclose(early, rules.GeometricMedian()(X), rtol=1e-9, atol=1e-9)


def test_the_geometric_median_has_no_unit() -> None:
    X = honest_rows(9, 7, 0)
    for scale in (1e-9, 1e-3, 1e9):
        np.testing.assert_allclose(rules.GeometricMedian()(scale * X), scale * rules.GeometricMedian()(X), rtol=1e-7)


def test_the_geometric_median_of_two_halves_is_between_them() -> None:
    X = np.array([[0.0, 1.0], [2.0, 3.0]])
    for rows in (X, X[::-1], np.concatenate([X, X])):
        np.testing.assert_allclose(rules.GeometricMedian()(rows), [1.0, 2.0])
    np.testing.assert_array_equal(rules.GeometricMedian()(np.concatenate([X, X[:1]])), X[0])


@pytest.mark.parametrize("size", [1e12, 1e16, 1e17, 1e30])
def test_a_median_that_is_a_row_is_found_beside_rows_of_any_size(size: float) -> None:
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        honest, away = rng.normal(size=(3, 3)), size * rng.normal(size=(1, 3))
        middle = np.linalg.norm(honest[:, None] - honest, axis=2).sum(1).argmin()
        if pulls(np.delete(honest, middle, 0), honest[middle]) < 0.9:  # those far away pull to both sides alike
            found += 1
            output = rules.GeometricMedian()(np.concatenate([honest, away, -away]))
            np.testing.assert_array_equal(output, honest[middle])
    assert found > 5


# --- powers of inner products -------------------------------------------------------------------------------


def test_evened_rows_are_exact_and_at_most_2_long() -> None:
    for size in (1e-150, 1e-3, 1.0, 7.0, 1e78, 1.3e154):
        G = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        G = G / G.norm(dim=1).max() * size
        gram = G @ G.T
        inner, unit = evened(gram)
        assert torch.equal(inner * unit.sqrt() * unit.sqrt(), gram)
        assert 0.25 <= float(inner.diagonal().max()) <= 4
        assert float(torch.frexp(unit).mantissa) == 0.5
        assert torch.equal(evened(gram.expand(3, 5, 5))[0][1], inner)
    assert torch.equal(evened(torch.zeros(3, 3))[0], torch.zeros(3, 3))


SPECTRAL = [rules.CAF(f=2), rules.SMEA(f=2), rules.DnC(f=2), rules.CopodDOS(), rules.FABA(f=2)]


@pytest.mark.parametrize("rule", SPECTRAL, ids=repr)
@pytest.mark.parametrize("signs", [(1, 1), (1, -1)])
@pytest.mark.parametrize("size", [1e78, 1e140, 5e152])
def test_no_size_of_a_row_hides_it(rule: fw.Rule, signs: tuple[int, int], size: float) -> None:
    """What two rows of 1e15, or of 5e152 whose distance overflows, come to, those in between do."""
    G = torch.from_numpy(honest_rows(9, 200, seed=1))
    outputs = []
    for entry in (1e15, size):
        hostile = torch.cat([G, entry * torch.tensor(signs, dtype=torch.float64)[:, None].expand(2, 200)])
        result = fw.Aggregator(rule)(hostile)
        assert bool(result.output.isfinite().all())
        outputs.append(result)
    assert outputs[0].accepted.tolist() == outputs[1].accepted.tolist()
    if not isinstance(rule, rules.CopodDOS):  # which only weighs down rows of any size
        torch.testing.assert_close(outputs[0].output, outputs[1].output, rtol=1e-9, atol=1e-9)


def test_lengths_whose_squares_overflow_stick_out_as_others_do() -> None:
    values = torch.tensor([[1.0], [1.1], [0.9], [1.0], [1e15], [1e15]], dtype=torch.float64)
    longest = torch.where(values > 2, 1.2e154, values)
    torch.testing.assert_close(z_scores(longest), z_scores(values))
    assert torch.equal(z_scores(values * 2.0**500), z_scores(values))


def test_a_row_of_1e78_does_not_make_caf_the_mean() -> None:
    G = torch.from_numpy(honest_rows(9, 20, seed=1))
    G[0] = 1e78
    result = fw.Aggregator(rules.CAF(f=2))(G)
    assert not result.accepted[0]
    assert float(result.output.abs().max()) < 10


@pytest.mark.parametrize(("n", "d"), [(9, 2), (40, 3), (200, 17), (60, 59)])
def test_the_first_direction_is_the_same_from_the_smaller_side(n: int, d: int) -> None:
    for seed in range(3):
        X = honest_rows(n, d, seed)
        X[0] *= 1e6 ** (seed % 2)
        X -= X.mean(0)
        K = torch.from_numpy(X @ X.T)
        value, vector = top_eigenpair(K, d)
        direction = np.linalg.svd(X)[2][0]
        np.testing.assert_allclose(value * vector.square(), (X @ direction) ** 2, rtol=1e-7, atol=1e-9 * float(value))


def test_dnc_of_more_clients_than_columns_equals_its_oracle() -> None:
    X = honest_rows(50, 6, seed=0)
    X[:5] += 8
    np.testing.assert_allclose(rules.DnC(f=5)(X), oracle.dnc(X, 5, [range(6)])[0], rtol=1e-9)


# --- ties ---------------------------------------------------------------------------------------------------


def test_of_the_nearest_two_of_three_the_more_central_one_is_taken() -> None:
    G = torch.tensor([[0.0], [1.0], [10.0]], dtype=torch.float64)
    for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0]):
        for rule in (rules.Krum(f=0), rules.MultiKrum(f=0), rules.MultiKrum(f=0, m=1)):
            assert rule(G[order]).tolist() == [1.0]


@pytest.mark.parametrize("rule", [rules.FABA(f=1), rules.DnC(f=1)], ids=repr)
def test_of_two_clients_the_shorter_one_is_left_in_any_order(rule: fw.Rule) -> None:
    G = torch.tensor([[3.0, 4.0], [1.0, -1.0]], dtype=torch.float64)
    assert torch.equal(rule(G), G[1])
    assert torch.equal(rule(G.flip(0)), G[1])
    assert "translation" not in rule.traits().properties
    assert "translation" in replace(rule, f=2).traits().properties


@pytest.mark.parametrize("d", [1, 2, 3])
def test_equal_distances_and_angles_are_equal_to_copod(d: int) -> None:
    """Rows of small whole numbers tie in many ways; factors that are not exact in binary break ties by rounding."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X = rng.integers(-2, 3, size=(int(rng.integers(3, 9)), d)).astype(float)
        expected = geometry.copod_dos(X)[0]
        order = rng.permutation(len(X))
        for rows in (X[order], 0.1 * X, X * 3.7):
            scale = np.abs(rows).max() / max(np.abs(X).max(), 1e-300)
            np.testing.assert_allclose(rules.CopodDOS()(rows), scale * expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("loops", [True, False])
def test_of_values_equally_far_from_the_middle_the_smaller_counts_first_however_rounded(
    loops: bool,
) -> None:
    a, b = 0.1, 0.7
    noise = torch.tensor([1.0, 1 + 2e-16, 1 - 2e-16, 1 + 4e-16, 1 - 4e-16], dtype=torch.float64)
    low, high = a * noise, b * noise
    i, j = (part.flatten() for part in torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij"))
    block = torch.stack([low[i], low[j], high[i], high[j]]).repeat(1, 4000)
    with loops_from(0 if loops else None):
        found = columns.mean_around_trimmed_mean(block, f=1)
    torch.testing.assert_close(found, torch.full_like(found, (2 * a + b) / 3))


def test_phocas_after_nnm_does_not_depend_on_the_order_of_four_clients() -> None:
    chain = mixers.NNM(f=1) >> rules.Phocas(f=1)
    for seed in range(40):
        X = honest_rows(4, 30, seed)
        for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
            np.testing.assert_allclose(chain(X[order]), chain(X), rtol=1e-12)
            np.testing.assert_allclose(chain(Dense(torch.from_numpy(X), block=7)).numpy(), chain(X), rtol=1e-12)


# --- numbers exactly on a bound -----------------------------------------------------------------------------


def lengths(*norms: float) -> Tensor:
    """Rows of these lengths, exactly, and of one direction."""
    row = torch.zeros(100, dtype=torch.float64)
    row[:64] = 1 / 8
    return torch.tensor(norms, dtype=torch.float64)[:, None] * row


def test_lasa_leaves_scores_exactly_on_its_bound_out() -> None:
    # Two of eight are 2 from the median, which is two standard deviations.
    for bound, accepted in ((2.0, False), (2.1, True)):
        result = fw.Aggregator(rules.LASA(sparsity=0.0, norm_bound=bound))(lengths(4, 6, 6, 6, 6, 6, 6, 8))
        assert [bool(result.accepted[i]) for i in (0, 7)] == [accepted, accepted]
