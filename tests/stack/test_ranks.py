"""Entries of a given rank, and masks of rows by quantiles, against NumPy's sort."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedward.rules.election import row_floors
from fedward.stack import Dense, Layers, Updates, magnitude_of_rank

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
Make = Callable[[np.random.Generator, int, int], np.ndarray]


def ties(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.integers(-3, 4, size=(n, d)) / 4


def constant(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return np.ones((n, d)) * rng.normal(size=(n, 1)) * rng.choice([-1, 1], size=(n, d))


def nearly_constant(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return 1 + 1e-5 * rng.random(size=(n, d))


def zeros(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return np.where(rng.random((n, d)) < 0.9, rng.choice([0.0, -0.0], size=(n, d)), rng.normal(size=(n, d)))


def denormal(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    tiny = rng.choice([1e-42, 3e-45, 5e-320, 5e-324, 6e-8, 0.0, -1e-40], size=(n, d))
    return tiny * rng.integers(1, 50, size=(n, d))


def wide(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.choice([-1.0, 1.0], size=(n, d)) * 10 ** rng.uniform(-30, 4, size=(n, d))


def normal(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.normal(size=(n, d)) * 10 ** rng.uniform(-3, 3, size=(n, 1))


def powers(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return 2.0 ** rng.integers(-14, 15, size=(n, d))


MAKERS: list[Make] = [ties, constant, nearly_constant, zeros, denormal, wide, normal, powers]


def check(updates: Updates, ranks: list[int]) -> None:
    magnitudes = np.sort(updates.read(0, updates.d).double().abs().numpy(), axis=1)
    for rank in ranks:
        values, counts = magnitude_of_rank(updates, rank)
        assert (values.dtype, counts.dtype) == (torch.float64, torch.int64)
        np.testing.assert_array_equal(values.numpy(), magnitudes[:, rank], err_msg=f"rank {rank}")
        np.testing.assert_array_equal(counts.numpy(), (magnitudes <= values.numpy()[:, None]).sum(1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("make", MAKERS)
def test_every_rank_is_that_of_sort(make: Make, dtype: torch.dtype) -> None:
    for seed, d in enumerate((1, 2, 7, 60)):
        G = torch.from_numpy(make(np.random.default_rng(seed), 4, d)).to(dtype)
        check(Dense(G, block=13), list(range(d)))
        for block in (1, 1000):
            check(Dense(G, block=block), sorted({0, d // 2, d - 1}))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("make", MAKERS)
def test_long_rows_whose_entries_are_nearly_all_alike(make: Make, dtype: torch.dtype) -> None:
    d = 9001  # more than are read at once
    G = torch.from_numpy(make(np.random.default_rng(0), 3, d)).to(dtype)
    check(Dense(G, block=2000), [0, 1, 450, 4500, 8100, d - 2, d - 1])


def test_rows_of_every_kind_beside_each_other() -> None:
    rng = np.random.default_rng(0)
    G = torch.from_numpy(np.concatenate([make(rng, 2, 6000) for make in MAKERS]))
    for stack in (G, G.float()):
        check(Dense(stack, block=999), [0, 600, 3000, 5400, 5999])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_largest_and_the_smallest_numbers(dtype: torch.dtype) -> None:
    info = torch.finfo(dtype)
    row = [info.max, -info.max, info.tiny, -info.tiny, 0.0, -0.0, info.tiny / 2, 1.0, 1 + info.eps, 1 - info.eps / 2]
    G = torch.tensor([row, row[::-1]], dtype=dtype)
    check(Dense(G, block=3), list(range(len(row))))


@settings(max_examples=150)
@given(
    seed=st.integers(0, 10_000),
    make=st.sampled_from(MAKERS),
    dtype=st.sampled_from(DTYPES),
    n=st.integers(1, 6),
    d=st.integers(1, 200),
    block=st.integers(1, 210),
    steps=st.lists(st.sampled_from(["take", "scale", "mix", "anchor"]), max_size=3),
    known=st.booleans(),
)
def test_views_have_the_ranks_of_what_they_are(
    seed: int, make: Make, dtype: torch.dtype, n: int, d: int, block: int, steps: list[str], known: bool
) -> None:
    rng = np.random.default_rng(seed)
    updates: Updates = Dense(torch.from_numpy(make(rng, n, d)).to(dtype), block=block)
    if seed % 2:
        updates = Layers([[row[: d // 2], row[d // 2 :]] for row in updates.read(0, d).to(dtype)], block=block)
    if known:
        magnitude_of_rank(updates, 0)  # what is below a view may have been counted already
    for step in steps:
        if step == "take":
            updates = updates.take(torch.from_numpy(rng.permutation(updates.n)[: rng.integers(1, updates.n + 1)]))
        elif step == "scale":
            updates = updates.scale(torch.from_numpy(rng.choice([0.0, 0.5, 1.0, 1e-3, 1 / 3], size=updates.n)))
        elif step == "mix":
            M = rng.choice([0.0, 0.5, 1 / 3, -1.0], size=(int(rng.integers(1, 4)), updates.n))
            updates = updates.mix(torch.from_numpy(M))
        else:
            updates = updates.anchored(torch.from_numpy(make(rng, 1, d)[0]))
    check(updates, sorted({0, d - 1, d // 2, int(rng.integers(d))}))


def test_rows_left_out_may_be_anything() -> None:
    G = torch.randn(5, 300, generator=torch.Generator().manual_seed(0))
    G[1, 4], G[3] = torch.nan, torch.inf
    check(Dense(G, block=70).take(torch.tensor([4, 0, 2])), [0, 17, 150, 299])


def test_a_rank_among_many_is_read_in_a_second_pass() -> None:
    updates = Dense(torch.randn(4, 50_000, generator=torch.Generator().manual_seed(0)), block=5000)
    magnitude_of_rank(updates, 45_000)
    assert updates.columns_read <= 2 * updates.d


# --- masks --------------------------------------------------------------------------------------------------


def kept(updates: Updates, order: float | None, strict: bool) -> np.ndarray:
    floors = row_floors(updates, order, strict=strict)
    if floors is None:
        return np.ones((updates.n, updates.d), dtype=bool)
    return np.concatenate([floors.kept(block.rows).numpy() for block in updates.blocks()], axis=1)


def expected(X: np.ndarray, order: float, strict: bool) -> np.ndarray:
    magnitude = np.abs(X)
    bound = np.quantile(magnitude, order, axis=1)[:, None]
    return magnitude > bound if strict else magnitude >= bound


@settings(max_examples=300)
@given(
    seed=st.integers(0, 10_000),
    make=st.sampled_from([ties, constant, zeros, normal, powers, wide]),
    dtype=st.sampled_from(DTYPES),
    d=st.integers(1, 150),
    block=st.integers(1, 160),
    order=st.one_of(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.9, 0.95, 1.0]), st.floats(0, 1)),
    strict=st.booleans(),
    scaled=st.booleans(),
)
def test_masks_are_those_of_quantiles(
    seed: int, make: Make, dtype: torch.dtype, d: int, block: int, order: float, strict: bool, scaled: bool
) -> None:
    rng = np.random.default_rng(seed)
    updates: Updates = Dense(torch.from_numpy(make(rng, 3, d)).to(dtype), block=block)
    if scaled:
        updates = updates.scale(torch.tensor([1.0, 0.3, 0.5], dtype=torch.float64))
    place = order * (d - 1)
    assume(place == round(place) or abs(place - round(place)) > 1e-6)  # NumPy rounds where the rule does not
    X = updates.read(0, d).double().numpy()
    np.testing.assert_array_equal(kept(updates, order, strict), expected(X, order, strict))


@pytest.mark.parametrize("order", [0.0, 0.29, 0.57, 0.58, 0.9, 1.0])
def test_a_quantile_at_a_rank_is_that_entry_whatever_the_rounding(order: float) -> None:
    X = np.stack([np.random.default_rng(k).permutation(101) - 50.0 * k for k in range(3)])  # 0.29 * 100 < 29
    ranked = np.sort(np.abs(X), axis=1)[:, round(100 * order)][:, None]
    for block in (7, 200):
        updates = Dense(torch.from_numpy(X), block=block)
        np.testing.assert_array_equal(kept(updates, order, True), np.abs(X) > ranked)
        np.testing.assert_array_equal(kept(updates, order, False), np.abs(X) >= ranked)


def test_masks_at_the_ends() -> None:
    G = torch.tensor([[0.0, -1.0, 2.0, -2.0]])
    assert kept(Dense(G), 0.0, True).tolist() == [[False, True, True, True]]
    assert kept(Dense(G), 0.0, False).all()
    assert not kept(Dense(G), 1.0, True).any()
    assert kept(Dense(G), 1.0, False).tolist() == [[False, False, True, True]]
    assert kept(Dense(G), None, True).all()
    assert not kept(Dense(torch.full((2, 5), -3.0)), 0.5, True).any()
    assert kept(Dense(torch.full((2, 5), -3.0)), 0.5, False).all()


def test_neighbouring_numbers_are_told_apart() -> None:
    one = torch.tensor(1.0)
    above = torch.nextafter(one, torch.tensor(2.0))
    G = torch.stack([one, above, one, above])[None]
    for stack in (G, G.double()):
        assert kept(Dense(stack), 0.5, True).tolist() == [[False, True, False, True]]
        assert kept(Dense(stack), 0.5, False).tolist() == [[False, True, False, True]]
        assert kept(Dense(stack), 0.4, True).tolist() == [[False, True, False, True]]
        assert kept(Dense(stack), 0.2, False).all()
