"""Every statistic of every view, derived or read, is that of the rows that the view has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from fedward.stack import (
    Aggregates,
    Apart,
    Dense,
    Dots,
    Extended,
    Gathered,
    Gram,
    Group,
    Joined,
    LayerMixed,
    MagnitudeCounts,
    MixedByClient,
    Offset,
    Rooted,
    Sample,
    SignConcordance,
    SignCounts,
    Single,
    SqNorms,
    Statistic,
    Updates,
    View,
    Widened,
    materialise,
)
from fedward.stack.beside import _Beside
from fedward.stack.shards import WholeRows
from fedward.stack.updates import Mixed

N, D = 5, 23
F64 = torch.float64


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


SAMPLE = Sample(seed=3, count=7)
STATISTICS: list[Statistic] = [
    SqNorms(),
    Gram(),
    Gram(sample=SAMPLE),
    Dots(rows=normal(2, D, seed=10)),
    Dots(rows=normal(D, seed=11)),
    SignCounts(),
    SignCounts(sample=SAMPLE),
    SignConcordance(),
    MagnitudeCounts(),
    _Beside(work=lambda block: None),
]
ANCHORS = normal(2, D, seed=12)


# No factor is 0, 1 or its own square, and no matrix is symmetric, orthogonal or of sums of 1: a statistic that is
# derived with another power of them, or with the wrong side of the matrix, is another number.
def scaled(base: Updates) -> Updates:
    return base.scale(torch.linspace(0.3, 3.1, base.n, dtype=F64))


def scaled_to_zero(base: Updates) -> Updates:
    factors = torch.linspace(0.3, 3.1, base.n, dtype=F64)
    factors[1] = 0
    return base.scale(factors)


def mixed(base: Updates) -> Updates:
    return base.mix(normal(4, base.n, seed=base.n))


def mixed_to_more(base: Updates) -> Updates:
    return base.mix(normal(base.n + 2, base.n, seed=base.n + 1))


def aggregated(base: Updates, *, linear: bool = True) -> Updates:
    """Groups by weights, of which the last is 0 where there are several; or every other one by a kernel."""
    groups = torch.arange(base.n).tensor_split(min(4, base.n))
    makers = (weighed, weighed if linear else greatest)
    return Aggregates(base, [makers[k % 2](base, chosen) for k, chosen in enumerate(groups)])


def weighed(base: Updates, chosen: Tensor) -> Group:
    weights = torch.linspace(0.7, 0, len(chosen), dtype=F64)
    return Group(rows=chosen, updates=Apart(base, chosen), weights=weights, kernel=None, shares=weights)


def greatest(base: Updates, chosen: Tensor) -> Group:
    shares = torch.ones(len(chosen), dtype=F64)
    return Group(
        rows=chosen, updates=Apart(base, chosen), weights=None, kernel=lambda block: block.amax(0), shares=shares
    )


VIEWS: dict[str, Callable[[Updates], Updates]] = {
    "scaled": scaled,
    "scaled to zero": scaled_to_zero,
    "mixed": mixed,
    "mixed to more": mixed_to_more,
    "mixed by client": lambda base: MixedByClient(base, normal(3, base.n, seed=19)[torch.arange(base.n) % 3]),
    "taken": lambda base: base.take(torch.tensor([3, 0, 3, 1])),
    "anchored": lambda base: base.anchored(ANCHORS),
    "anchored by one": lambda base: base.anchored(ANCHORS[0]),
    "joined": lambda base: Joined(base, Dense(normal(2, D, seed=13))),
    "extended": lambda base: Extended(base, lambda block: block.mean(0)),
    "rooted": Rooted,
    "widened": Widened,
    "single": lambda base: Single(base, normal(D, seed=17)),
    "whole": WholeRows,
    "apart": lambda base: Apart(base, torch.arange(base.n).flip(0)[1:]),
    "aggregated": aggregated,
    "aggregated by a kernel": lambda base: aggregated(base, linear=False),
    "gathered": lambda base: Gathered([scaled(base), mixed(base)]),
    "offset": lambda base: Offset(
        base, [None, *normal(base.n - 1, D, seed=14)], factor=0.7, shift=normal(D, seed=15), unit=0.5
    ),
    "mixed by layer": lambda base: LayerMixed(base, [(0, 9), (9, D)], normal(base.n, 2, seed=16).abs()),
}


def rows() -> Tensor:
    G = normal(N, D, seed=0)
    G[G.abs() < 0.2] = 0
    return G


def kinds(cls: type) -> Iterator[type]:
    for kind in cls.__subclasses__():
        yield from kinds(kind)
        if kind.__module__.startswith("fedward.") and not kind.__subclasses__():
            yield kind


def check(view: Updates, statistics: list[Statistic], what: str) -> None:
    """Each statistic of the view, and of a stack that has its rows, computed there afresh."""
    for statistic, derived in zip(statistics, view.compute(*statistics), strict=True):
        fresh = Dense(materialise(view)).compute(statistic)[0]
        atol = 1e-12 * float(fresh.abs().max())
        torch.testing.assert_close(
            derived, fresh, rtol=1e-9, atol=atol, msg=lambda told, s=statistic: f"{s} {what}: {told}"
        )


def test_none_is_missing() -> None:
    assert set(kinds(Statistic)) == {type(statistic) for statistic in STATISTICS}
    assert {*kinds(View), Mixed} == {type(view(Dense(rows()))) for view in VIEWS.values()}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_of_a_stack(name: str) -> None:
    for statistic in STATISTICS:
        check(VIEWS[name](Dense(rows(), block=12)), [statistic], "asked for alone")
    check(VIEWS[name](Dense(rows(), block=12)), STATISTICS, "asked for together")
    for statistic in STATISTICS:
        for known in STATISTICS:
            base = Dense(rows(), block=12)
            base.compute(known)
            check(VIEWS[name](base), [statistic], f"beside {known} of the stack")
            view = VIEWS[name](Dense(rows(), block=12))
            view.compute(known)
            check(view, [statistic], f"beside {known}")


@pytest.mark.parametrize("then", VIEWS)
@pytest.mark.parametrize("first", VIEWS)
def test_a_view_of_a_view(first: str, then: str) -> None:
    base = VIEWS[first](Dense(rows(), block=12))
    if base.n == 1:  # too few to take some of
        base = Joined(base, Dense(rows(), block=12))
    check(VIEWS[then](base), STATISTICS, f"of {then} after {first}")
    for statistic in STATISTICS:
        check(VIEWS[then](base), [statistic], f"of {then} after {first}, alone")


# --- the precision of blocks --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", VIEWS)
def test_no_block_is_in_half_precision(name: str, dtype: torch.dtype) -> None:
    view = VIEWS[name](Dense(rows().to(dtype), block=12))
    assert view.read(3, 20).dtype in (torch.float32, F64)
    assert view.read(3, 20, torch.tensor([0])).dtype in (torch.float32, F64)


# What a kernel or a mix by layer makes of float32 blocks is in float32.
@pytest.mark.parametrize("name", sorted({*VIEWS} - {"extended", "mixed by layer"}))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_calculated_rows_are_not_rounded(name: str, dtype: torch.dtype) -> None:
    G = rows().to(dtype)
    view, exact = VIEWS[name](Dense(G, block=12)), VIEWS[name](Dense(G.double(), block=12))
    for chosen in (None, torch.tensor([0])):
        torch.testing.assert_close(view.read(0, D, chosen).double(), exact.read(0, D, chosen), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_row_of_a_function_s_is_not_read_in_half_precision(dtype: torch.dtype) -> None:
    assert Single(Dense(rows().float()), rows()[0].to(dtype)).read(0, D).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("pieces", [2, 5])
def test_what_is_gathered_is_summed_before_it_is_rounded(dtype: torch.dtype, pieces: int) -> None:
    """An output in half precision is the exact sum, rounded once; rows of weight 0 may be anything."""
    G = normal(30, 500, seed=3).to(dtype)
    G[7] = torch.nan
    weights = normal(30, seed=4).abs()
    weights[7] = 0
    sound = G.double().nan_to_num(0)
    stack = Gathered([Dense(G, block=64).take(part) for part in torch.arange(30).chunk(pieces)])
    assert torch.equal(stack.combine(weights), (weights @ sound).to(dtype))


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_what_is_gathered_of_plain_rows_is_the_sum_of_what_each_view_gives(pieces: int) -> None:
    G = normal(30, 500, seed=3).float()
    weights = normal(30, seed=4)
    views = [Dense(G, block=64).take(part) for part in torch.arange(30).chunk(pieces)]
    stack = Gathered(views)
    total = torch.zeros(500)
    for view, part in zip(views, stack.split(weights), strict=True):
        total = total + view.combine(part)
    assert torch.equal(stack.combine(weights), total)
    assert stack.read(0, 500).dtype == torch.float32
    assert torch.equal(stack.read(0, 500), G)


# --- samples of columns -------------------------------------------------------------------------------------


# Each is drawn in a way of its own: nearly none, few, most, all but a few, all of the columns.
@pytest.mark.parametrize(("d", "k"), [(10_000, 150), (1000, 300), (1000, 700), (10_000, 9_900), (50, 50)])
def test_a_sample_has_its_size_and_no_column_twice(d: int, k: int) -> None:
    for seed in range(20):
        columns = Sample(seed=seed, count=k).coordinates(d)
        assert len(columns) == k
        assert bool((columns.diff() > 0).all()), "not in ascending order, or a column twice"
        assert 0 <= int(columns[0]) <= int(columns[-1]) < d
