"""Statistics of a stack: values against NumPy loops in float64, passes over the data, samples, distances."""

from collections import Counter
from itertools import pairwise
from math import comb

import numpy as np
import pytest
import torch

from fedward.stack import Dense, Dots, Gram, Layers, Sample, SignConcordance, SignCounts, SqNorms, materialise

N, D = 6, 101
DTYPES = [torch.float32, torch.float64, torch.bfloat16]
BLOCKS = [1, 7, 100, 101, 4096]


def random_rows(n=N, d=D, seed=0, dtype=torch.float64):
    G = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    G[G.abs() < 0.3] = 0  # so that zero signs occur
    return G.to(dtype)


def layered(G, cuts, block=None):
    edges = [0, *cuts, G.shape[1]]
    return Layers([[row[a:b] for a, b in pairwise(edges)] for row in G], block=block)


def naive(G):
    """Every statistic by loops over pairs and columns, in Python's own floats."""
    rows = G.double().numpy().tolist()
    pairs = [[list(zip(a, b, strict=True)) for b in rows] for a in rows]
    return {
        "gram": np.array([[sum(x * y for x, y in p) for p in line] for line in pairs]),
        "sq_dists": np.array([[sum((x - y) ** 2 for x, y in p) for p in line] for line in pairs]),
        "signs": np.array([[sum(x > 0 for x in r), sum(x == 0 for x in r), sum(x < 0 for x in r)] for r in rows]),
        "concordance": np.array(
            [[sum(((x > 0) - (x < 0)) * ((y > 0) - (y < 0)) for x, y in p) for p in line] for line in pairs]
        ),
    }


def check_all(updates, G):
    expected = naive(G)
    gram, slack = expected["gram"], 1e-12 * max(np.abs(expected["gram"]).max(), 1e-300)
    np.testing.assert_allclose(updates.gram().numpy(), gram, rtol=1e-12, atol=slack)
    np.testing.assert_allclose(updates.norms().numpy(), np.sqrt(gram.diagonal()), rtol=1e-12, atol=slack)
    np.testing.assert_allclose(updates.sq_dists().numpy(), expected["sq_dists"], rtol=1e-11, atol=slack)
    assert np.array_equal(updates.sign_counts().numpy(), expected["signs"])
    assert np.array_equal(updates.compute(SignConcordance())[0].numpy(), expected["concordance"])
    assert np.array_equal(updates.concordance().numpy(), expected["concordance"] / updates.d)
    for value in updates.compute(Gram(), SqNorms(), SignCounts(), SignConcordance()):
        assert value.dtype == torch.float64


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("block", BLOCKS)
def test_dense_statistics_are_those_of_loops(dtype, block):
    G = random_rows(dtype=dtype)
    check_all(Dense(G, block=block), G)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("cuts", [[], [1], [7, 8, 50], [100]], ids=str)
def test_layered_statistics_are_those_of_loops(dtype, block, cuts):
    G = random_rows(dtype=dtype)
    check_all(layered(G, cuts, block), G)


@pytest.mark.parametrize(
    "make",
    [
        lambda: random_rows(D, N).T,
        lambda: random_rows(N, 3 * D)[:, ::3],
        lambda: random_rows(2 * N, D)[::2],
        lambda: random_rows(1, D).expand(N, D),
        lambda: random_rows(N, 1).expand(N, D),
        lambda: random_rows(N, 1),
        lambda: random_rows(1, D),
        lambda: random_rows(1, 1),
    ],
    ids=["transposed", "strided columns", "strided rows", "one row", "one column", "d = 1", "n = 1", "one number"],
)
def test_unusual_shapes_and_strides(make):
    G = make()
    check_all(Dense(G, block=10), G)
    check_all(layered(G, [G.shape[1] // 2] if G.shape[1] > 1 else [], block=10), G)


def test_layers_of_any_shape_and_mixed_precision():
    a, b = random_rows(N, 12), random_rows(N, 5, seed=1)
    updates = Layers([[x.float().reshape(3, 4), torch.tensor(1.5), y] for x, y in zip(a, b, strict=True)], block=6)
    assert (updates.n, updates.d, updates.dtype) == (N, 18, torch.float64)
    G = torch.cat([a.float().double(), torch.full((N, 1), 1.5, dtype=torch.float64), b], 1)
    assert torch.equal(materialise(updates), G)
    check_all(updates, G)


def test_reading_some_rows_and_columns():
    G = random_rows()
    rows = torch.tensor([4, 0, 2])
    for updates in (Dense(G), layered(G, [7, 8, 50])):
        assert torch.equal(updates.read(5, 60, rows), G[rows, 5:60])
        assert torch.equal(updates.read(7, 8), G[:, 7:8])


@pytest.mark.parametrize("make", [lambda G: Dense(G, block=10), lambda G: layered(G, [30, 31], 10)])
def test_all_statistics_together_cost_one_pass_and_then_none(make):
    updates = make(random_rows())
    anchor = torch.ones(2, D, dtype=torch.float64)
    sampled = Sample(seed=1, fraction=0.5)
    asked = (
        SqNorms(),
        Gram(),
        SignCounts(),
        SignConcordance(),
        Gram(sample=sampled),
        SignCounts(sample=sampled),
        Dots(rows=anchor),
    )
    first = updates.compute(*asked, Gram())
    assert updates.columns_read == D
    again = updates.compute(*reversed(asked))
    for a, b in zip(first[: len(asked)], reversed(again), strict=True):
        assert a is b
    _ = updates.norms(), updates.gram(), updates.sq_dists(), updates.sign_counts(), updates.concordance()
    updates.sign_counts(0.5, seed=1)
    assert updates.columns_read == D
    updates.sign_counts(0.5, seed=2)  # another sample is another statistic
    assert updates.columns_read == 2 * D


def test_dots_and_their_identity():
    G, anchor = random_rows(), random_rows(2, D, seed=3)
    updates = Dense(G, block=9)
    torch.testing.assert_close(updates.compute(Dots(rows=anchor))[0], G @ anchor.T, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(updates.compute(Dots(rows=anchor[0]))[0], G @ anchor[:1].T, rtol=1e-12, atol=1e-12)
    read = updates.columns_read
    updates.compute(Dots(rows=anchor))
    assert updates.columns_read == read
    changed = anchor + 1
    torch.testing.assert_close(updates.compute(Dots(rows=changed))[0], G @ changed.T, rtol=1e-12, atol=1e-12)


# --- samples of columns -------------------------------------------------------------------------------------


@pytest.mark.parametrize("contiguous", [False, True])
@pytest.mark.parametrize("d", [1, 2, 10, 997, 20_001])
@pytest.mark.parametrize("size", [{"fraction": 0.1}, {"fraction": 0.001}, {"fraction": 0.9}, {"count": 5}], ids=str)
def test_a_sample_has_its_size_and_is_sorted_distinct_and_in_range(contiguous, d, size):
    for seed in range(20):
        sample = Sample(seed=seed, contiguous=contiguous, **size)
        chosen = sample.coordinates(d)
        wanted = min(d, size["count"]) if "count" in size else max(1, int(np.floor(size["fraction"] * d)))
        assert len(chosen) == sample.size(d) == wanted
        assert chosen.dtype == torch.int64
        assert int(chosen[0]) >= 0
        assert int(chosen[-1]) < d
        assert bool((chosen.diff() > 0).all())
        assert not contiguous or int(chosen[-1] - chosen[0]) == wanted - 1
        assert torch.equal(chosen, Sample(seed=seed, contiguous=contiguous, **size).coordinates(d))


class Impatient:
    """A generator that gives up: drawing a sample must not be a search for the last free column."""

    def __init__(self, seed):
        self.rng, self.left = np.random.Generator(np.random.PCG64(seed)), 60

    def __getattr__(self, name):
        self.left -= 1
        assert self.left > 0, "the generator was called 60 times for one sample"
        return getattr(self.rng, name)


@pytest.mark.parametrize(("d", "k"), [(100_003, 99_903), (20_000, 19_990), (10, 9)])
def test_drawing_nearly_all_columns_takes_few_draws(monkeypatch, d, k):
    monkeypatch.setattr(np.random, "default_rng", Impatient)
    for seed in range(4):
        assert len(Sample(seed=seed, count=k).coordinates(d)) == k


@pytest.mark.parametrize(("d", "k"), [(6, 1), (6, 3), (6, 5), (9, 4), (120, 1), (120, 2)])  # 2 of 120 take another way
def test_every_set_of_columns_is_drawn_equally_often(d, k):
    sets, draws = comb(d, k), max(3000, comb(d, k))
    drawn = Counter(tuple(Sample(seed=seed, count=k).coordinates(d).tolist()) for seed in range(draws))
    expected = draws / sets
    chi = sum((count - expected) ** 2 for count in drawn.values()) / expected + (sets - len(drawn)) * expected
    assert abs(chi - (sets - 1)) < 5 * (2 * (sets - 1)) ** 0.5


def test_contiguous_samples_start_anywhere_below_the_last_place():
    starts = {int(Sample(seed=s, count=3, contiguous=True).coordinates(8)[0]) for s in range(200)}
    assert starts == set(range(5))


@pytest.mark.parametrize("contiguous", [False, True])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.7, 1.0])
def test_sampled_statistics_are_those_of_the_columns_whatever_the_blocks(contiguous, fraction):
    G = random_rows()
    sample = Sample(seed=4, fraction=fraction, contiguous=contiguous)
    picked = G[:, sample.coordinates(D)]
    expected = naive(picked)
    for updates in (*(Dense(G, block=b) for b in BLOCKS), layered(G, [3, 64], block=16)):
        gram, signs = updates.compute(Gram(sample=sample), SignCounts(sample=sample))
        np.testing.assert_allclose(gram.numpy(), expected["gram"], rtol=1e-12, atol=1e-12)
        assert np.array_equal(signs.numpy(), expected["signs"])
        np.testing.assert_allclose(updates.norms().square().numpy(), naive(G)["gram"].diagonal(), rtol=1e-12)


def test_fraction_one_counts_every_column():
    updates = Dense(random_rows())
    assert torch.equal(updates.sign_counts(1.0, seed=7), updates.sign_counts())
    assert bool((updates.sign_counts(0.5, seed=7).sum(1) == D // 2).all())


# --- distances ----------------------------------------------------------------------------------------------


def exact_sq_dists(G):
    """From differences, in extended precision."""
    rows = G.double().numpy().astype(np.longdouble)
    return np.array([[((a - b) ** 2).sum() for b in rows] for a in rows]).astype(np.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("huge", [None, 0, 3])
def test_distances_of_rows_that_hardly_differ(dtype, huge):
    d = 20_000
    common = random_rows(1, d, seed=1)
    G = common + 1e-4 * random_rows(8, d, seed=2)
    if huge is not None:
        G[huge] *= 1e6
    G = G.to(dtype)
    dists, exact = Dense(G, block=3000).sq_dists().numpy(), exact_sq_dists(G)
    off = ~np.eye(8, dtype=bool)
    assert (np.abs(dists - exact)[off] / exact[off]).max() < 1e-6
    assert (dists >= 0).all()
    assert (dists.diagonal() == 0).all()
    assert np.array_equal(dists, dists.T)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("block", [1, 17, 4096])
def test_identical_rows_are_at_distance_zero_and_alike_to_all_others(dtype, block):
    G = random_rows(9, 203, dtype=dtype)
    G[7] = G[2]
    G[4] = G[2]
    G[8] = G[0]
    dists = Dense(G, block=block).sq_dists()
    for same in ([2, 4, 7], [0, 8]):
        assert bool((dists[same][:, same] == 0).all())
        for row in same[1:]:
            assert torch.equal(dists[row], dists[same[0]])
            assert torch.equal(dists[:, row], dists[:, same[0]])
    assert int((dists == 0).sum()) == 9 + 6 + 2


@pytest.mark.parametrize(("n", "twins"), [(6, 2), (12, 4), (30, 5)])
def test_rounding_does_not_tell_identical_rows_apart(n, twins):
    """Shares of a row and its twins that sum to 1 are that row again, up to the last bits."""
    generator = torch.Generator().manual_seed(0)
    for seed in range(40):
        G = 3 * random_rows(1, 501, seed=seed) + random_rows(n, 501, seed=seed + 100)
        G[:twins] = G[0].clone()
        shares = torch.rand(twins, generator=generator, dtype=torch.float64)
        M = torch.eye(n, dtype=torch.float64)
        M[1] = 0
        M[1, :twins] = shares / shares.sum()
        dists = Dense(G).mix(M).sq_dists()
        assert bool((dists[:twins, :twins] == 0).all())
        assert all(torch.equal(dists[0], dists[twin]) for twin in range(twins))
        assert int((dists == 0).sum()) == n - twins + twins**2


def test_rows_that_differ_in_the_sixth_digit_are_not_identical():
    G = random_rows(1, 20_000, seed=1) + 1e-6 * random_rows(6, 20_000, seed=2)
    dists, exact = Dense(G).sq_dists(), torch.from_numpy(exact_sq_dists(G))
    torch.testing.assert_close(dists, exact, rtol=0.1, atol=0)  # 1e-12 of their squares, of which 1e-16 is rounding


def test_rows_all_zero_or_all_equal():
    assert bool((Dense(torch.zeros(5, 40)).sq_dists() == 0).all())
    assert bool((Dense(random_rows(1, 40).expand(5, 40)).sq_dists() == 0).all())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("row", [0, 3, 5])
def test_a_nonfinite_row_leaves_the_others_exact(bad, row):
    G = random_rows(d=1000)
    clean = Dense(G, block=64)
    hostile = G.clone()
    hostile[row, 500] = bad
    updates = Dense(hostile, block=64)
    others = [i for i in range(N) if i != row]
    assert torch.equal(updates.gram()[others][:, others], clean.gram()[others][:, others])
    assert torch.equal(updates.norms()[others], clean.norms()[others])
    assert not bool(updates.norms()[row].isfinite())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, 1e200])
@pytest.mark.parametrize("row", [0, 3])
def test_distances_between_the_others_survive_a_row_without_a_norm(bad, row):
    """The row itself may be at any distance, but must not make the others look alike."""
    G = random_rows()
    others = [i for i in range(N) if i != row]
    for columns in (slice(None), slice(50, 51)):
        hostile = G.clone()
        hostile[row, columns] = bad
        dists = Dense(hostile).sq_dists()
        assert torch.equal(dists[others][:, others], Dense(G).sq_dists()[others][:, others])
        assert not bool((dists[row, others] == 0).any())


def test_rows_too_long_for_the_sum_of_their_squares_are_not_identical():
    G = random_rows(5, 16)
    G[1], G[3] = 2.5e153, -2.5e153  # squared norms of 1e308
    dists = Dense(G).sq_dists()
    assert bool(Dense(G).norms().isfinite().all())
    assert float(dists[1, 3]) != 0
    assert int((dists == 0).sum()) == 5


def test_norms_of_rows_of_1e30():
    G = torch.full((2, 100), 1e30)
    torch.testing.assert_close(Dense(G).norms(), torch.full((2,), 1e31, dtype=torch.float64), rtol=1e-6, atol=0)


# --- outputs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_combine_and_columns(dtype):
    G = random_rows(dtype=dtype)
    weights = torch.tensor([0.5, 0, 0.25, 0, 0, -1], dtype=torch.float64)
    wide = (weights @ G.double()).to(dtype)
    for updates in (Dense(G, block=7), layered(G, [30], block=7)):
        out = updates.combine(weights)
        assert out.dtype == dtype
        torch.testing.assert_close(out, wide, rtol=1e-2 if dtype == torch.bfloat16 else 1e-6, atol=1e-6)
        assert torch.equal(updates.columns(lambda block: block.amax(0)), G.amax(0))
        assert bool((updates.combine(torch.zeros(N, dtype=torch.float64)) == 0).all())


def test_combine_never_multiplies_rows_of_weight_zero():
    G = random_rows()
    G[1] = torch.nan
    G[4] = torch.inf
    weights = torch.tensor([0.5, 0, 0.25, 0.25, 0, 1], dtype=torch.float64)
    kept = [0, 2, 3, 5]
    for updates in (Dense(G, block=7), layered(G, [30], block=7)):
        torch.testing.assert_close(updates.combine(weights), weights[kept] @ G[kept])


def test_half_precision_is_summed_in_single():
    G = torch.full((1000, 3), 1.0, dtype=torch.bfloat16)
    G[0] = 256.0  # in bfloat16, 256 + 1 is 256
    output = Dense(G).combine(torch.ones(1000, dtype=torch.float64))
    assert torch.equal(output, torch.full((3,), 1255.0).bfloat16())
