"""Kernels over columns against NumPy in float64, column by column."""

import numpy as np
import pytest
import torch

from fedward import rules
from fedward.stack import Dense, kernels

DTYPES = [torch.float32, torch.float64]


def naive_trimmed_mean(G, f):
    n = len(G)
    return np.sort(G, 0)[f : n - f].mean(0)


def naive_mean_around_median(G, count):
    out = []
    for column in G.T:
        middle = np.median(column)
        # closest first; of two at the same distance the smaller
        nearest = sorted(column, key=lambda v, middle=middle: (abs(v - middle), v))[:count]
        out.append(np.mean(nearest))
    return np.array(out)


def stacks(n, seed):
    rng = np.random.default_rng(seed)
    yield rng.standard_normal((n, 12))
    yield rng.integers(-2, 3, (n, 12)).astype(float)  # ties, zeros
    heavy = rng.standard_cauchy((n, 12))
    yield heavy
    yield np.sort(heavy, 0)
    yield -np.sort(-heavy, 0)


def check(output, expected, dtype):
    assert output.dtype == dtype
    rtol = 1e-12 if dtype == torch.float64 else 2e-6
    np.testing.assert_allclose(output.double().numpy(), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [*range(1, 71), 191, 192, 193, 200])
def test_every_kernel_equals_numpy(n, dtype):
    for seed, stack in enumerate(stacks(n, n)):
        G = torch.from_numpy(stack).to(dtype)
        before, wide = G.clone(), G.double().numpy()
        check(kernels.median(G), np.median(wide, 0), dtype)
        for f in {0, 1, n // 4, (n - 1) // 2}:
            if n > 2 * f:
                check(kernels.trimmed_mean(G, f), naive_trimmed_mean(wide, f), dtype)
        for count in {1, (n + 1) // 2, n - 1, n} - {0}:
            # Where rounding decides which of two values is closer, only whole numbers have one right answer: in
            # float32, and for the two middle values of an even number, which are equally close to their mean.
            if seed == 1 or (dtype == torch.float64 and (n % 2 or count > 1)):
                check(kernels.mean_around_median(G, count), naive_mean_around_median(wide, count), dtype)
        assert torch.equal(G, before)


@pytest.mark.parametrize("n", range(1, 15))
def test_the_network_sorts_every_pattern_of_zeros_and_ones(n):
    """By the 0-1 principle it then sorts everything, and each rank is right on its own."""
    patterns = torch.arange(1 << n)
    G = ((patterns[None] >> torch.arange(n)[:, None]) & 1).float()
    ranked = G.sort(0).values
    assert torch.equal(kernels.median(G), (ranked[(n - 1) // 2] + ranked[n // 2]) / 2)
    for f in range(1, (n + 1) // 2):
        torch.testing.assert_close(kernels.trimmed_mean(G, f), ranked[f : n - f].mean(0))
    for count in range(1, n + 1):  # all of a column's values, or those equal to the more frequent one first
        means = kernels.mean_around_median(G, count)
        ones = G.sum(0)
        majority = torch.where(2 * ones > n, ones.clamp_max(count), count - (n - ones).clamp_max(count))
        torch.testing.assert_close(means[2 * ones != n], (majority / count)[2 * ones != n])


def test_even_and_odd_medians():
    G = torch.tensor([[1.0, 4.0], [3.0, 4.0], [2.0, 0.0], [10.0, 0.0]])
    assert kernels.median(G).tolist() == [2.5, 2.0]
    assert kernels.median(G[:3]).tolist() == [2.0, 4.0]
    assert kernels.median(G[:1]).tolist() == [1.0, 4.0]


def test_negative_zero():
    G = torch.tensor([[-0.0], [0.0], [-0.0], [0.0], [-1.0], [1.0]])
    for output in (kernels.median(G), kernels.trimmed_mean(G, 1), kernels.mean_around_median(G, 3)):
        assert float(output) == 0.0


def test_of_values_at_the_same_distance_the_smaller_counts_first():
    G = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]])
    assert float(kernels.mean_around_median(G, 2)) == 1.5
    assert float(kernels.mean_around_median(G, 4)) == 1.5
    assert float(kernels.mean_around_median(G[:4], 1)) == 1.0
    assert float(kernels.mean_around_median(G.flip(0), 2)) == 1.5


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("huge", [1e10, 1e30, -1e30])
def test_huge_values_are_dropped_without_a_trace(dtype, huge):
    rest = torch.rand(18, 50, generator=torch.Generator().manual_seed(0)).to(dtype)
    G = torch.cat([rest[:9], torch.full((2, 50), huge, dtype=dtype), rest[9:]])
    wide = G.double().numpy()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    kept = naive_trimmed_mean(wide, 2)
    np.testing.assert_allclose(kernels.trimmed_mean(G, 2).double().numpy(), kept, rtol=tolerance)
    np.testing.assert_allclose(kernels.median(G).double().numpy(), np.median(wide, 0), rtol=tolerance)
    around = kernels.mean_around_median(G, 18).double().numpy()
    np.testing.assert_allclose(around, rest.double().mean(0).numpy(), rtol=tolerance)


def test_two_of_twenty_at_1e10_in_a_trimmed_mean():
    G = torch.ones(20, 7)
    G[3], G[11] = 1e10, 1e10
    assert torch.equal(rules.TrimmedMean(f=2)(G), torch.ones(7))
    G[11] = -1e10
    assert torch.equal(rules.TrimmedMean(f=2)(G), torch.ones(7))


def test_half_of_the_rows_at_opposite_extremes():
    G = torch.ones(6, 3)
    G[:2], G[4:] = 3e38, -3e38
    assert torch.equal(kernels.median(G), torch.ones(3))
    assert torch.equal(kernels.trimmed_mean(G, 2), torch.ones(3))
    assert torch.equal(kernels.mean_around_median(G, 2), torch.ones(3))


@pytest.mark.parametrize("n", [3, 8, 50, 200])
def test_non_contiguous_blocks(n):
    wide = torch.randn(30, 2 * n, generator=torch.Generator().manual_seed(n))
    G = wide.T[::2]
    for kernel in (kernels.median, lambda b: kernels.trimmed_mean(b, 1), lambda b: kernels.mean_around_median(b, 2)):
        assert torch.equal(kernel(G), kernel(G.contiguous()))
    assert torch.equal(kernels.median(G[:1].expand(n, -1)), G[0])
    assert torch.equal(kernels.mean_around_median(G[:1].expand(n, -1), 1), G[0])


@pytest.mark.parametrize("n", [9, 10, 201])
def test_rows_may_come_in_any_order(n):
    G = torch.randn(n, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    G[1] = G[2]
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    for kernel in (kernels.median, lambda b: kernels.trimmed_mean(b, 2), lambda b: kernels.mean_around_median(b, 5)):
        torch.testing.assert_close(kernel(G), kernel(G[order]), rtol=0, atol=1e-14)  # sums may round


@pytest.mark.parametrize("block", [1, 13, 1024])
def test_kernels_see_half_precision_as_single(block):
    G = torch.randn(10, 40, generator=torch.Generator().manual_seed(0)).bfloat16()
    output = Dense(G, block=block).columns(kernels.median)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, kernels.median(G.float()).bfloat16())
