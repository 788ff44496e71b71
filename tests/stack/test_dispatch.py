"""Where it is decided between loops and torch, and what a new statistic, view, source or kernel has to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import rules
from fedward.stack import (
    Block,
    Dense,
    Extended,
    Gathered,
    Gram,
    Joined,
    LayerMixed,
    Offset,
    Rooted,
    SignCounts,
    Single,
    SqNorms,
    Statistic,
    View,
    kernels,
    loops_from,
    made_of,
    parts,
)
from fedward.stack.loops import Pair, dispatch, in_loops
from fedward.stack.sources import RowSource

F64 = torch.float64
N, D = 5, 300


def rows(n: int = N, d: int = D) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(n), dtype=F64)


# --- which formulation --------------------------------------------------------------------------------------

toy: Pair[Tensor, [], str] = Pair(
    loop=lambda block: "loop", torch=lambda block: "torch", most_rows=N, least_columns=100
)


@pytest.fixture
def numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it was installed: nothing is compiled here."""
    monkeypatch.setattr(dispatch, "numba", lambda: "numba")


@pytest.mark.parametrize(
    ("block", "chosen"),
    [
        (rows(), "loop"),
        (rows().float(), "loop"),
        (rows().bfloat16(), "torch"),
        (rows().half(), "torch"),
        (rows(N + 1), "torch"),
        (rows(N, 100), "loop"),
        (rows(N, 99), "torch"),
        (rows().to("meta"), "torch"),
    ],
)
def test_a_block_decides(block: Tensor, chosen: str, numba: None) -> None:
    with loops_from(0):
        assert toy(block) == chosen
    with loops_from(block.numel()):
        assert toy(block) == chosen
    with loops_from(block.numel() + 1):
        assert toy(block) == "torch"
    with loops_from(None):
        assert toy(block) == "torch"
    assert toy(block) == "torch", "small blocks are not worth a loop"


def test_without_numba_there_are_no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "numba", lambda: None)
    with loops_from(0):
        assert toy(rows()) == "torch"


# --- kernels ------------------------------------------------------------------------------------------------


def test_kernels_say_whether_they_call_loops_however_they_are_composed() -> None:
    trimmed = partial(kernels.trimmed_mean, f=1)

    @made_of(trimmed, kernels.median)
    def both(block: Tensor) -> Tensor:
        return trimmed(block) + kernels.median(block)

    @made_of(trimmed, lambda block: block.sum(0))
    def half(block: Tensor) -> Tensor:
        return trimmed(block) + block.sum(0)

    for kernel in (kernels.median, trimmed, both, partial(both)):
        assert in_loops(kernel, 1024)
        assert not in_loops(kernel, 1025)
    for kernel in (half, partial(half), lambda block: block.sum(0)):
        assert not in_loops(kernel, 3)


@pytest.mark.parametrize("base", [rules.TrimmedMean(f=1), rules.Median(), rules.FedSECA()], ids=repr)
def test_a_rule_around_a_rule_keeps_its_loops(base: rules.Rule) -> None:
    updates = Dense(rows(6), ids=range(6))
    several = {client: client % 2 for client in updates.ids}
    for context in (fw.Context(group=0), fw.Context(group=several)):
        plan = rules.ClassWise(base=base).decide(updates, {}, context)
        assert plan.kernel is not None
        assert in_loops(plan.kernel, plan.updates.n)


# --- statistics ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Extremes(Statistic):
    """Sums of absolute values, (n,); sums come along."""

    name: ClassVar[str] = "extremes"

    def partials(self, d: int, device: torch.device) -> Callable[[Block], Tensor]:
        return lambda block: torch.stack([block.wide.abs().sum(1), block.wide.sum(1)], 1)

    def value(self, total: Tensor) -> Tensor:
        return total[:, 0]

    def contains(self) -> Mapping[Statistic, Callable[[Tensor], Tensor]]:
        return {Sums(): lambda total: total[:, 1]}


@dataclass(frozen=True)
class Sums(Statistic):
    """Sums, (n,)."""

    name: ClassVar[str] = "sums"

    def partials(self, d: int, device: torch.device) -> Callable[[Block], Tensor]:
        raise AssertionError("was to come along")


def test_a_statistic_that_another_contains_is_not_computed() -> None:
    G = rows()
    for asked in ((Extremes(), Sums()), (Sums(), Extremes())):
        found = dict(zip(asked, Dense(G, block=70).compute(*asked), strict=True))
        torch.testing.assert_close(found[Extremes()], G.abs().sum(1))
        torch.testing.assert_close(found[Sums()], G.sum(1))
    later = Dense(G)
    later.compute(Extremes())
    torch.testing.assert_close(later.compute(Sums())[0], G.sum(1))
    assert later.columns_read == D


@pytest.mark.parametrize("whole", [Gram(), SignCounts()], ids=repr)
def test_norms_come_along(whole: Statistic) -> None:
    updates = Dense(rows())
    value = updates.compute(whole)[0]
    torch.testing.assert_close(updates.norms(), rows().norm(dim=1))
    updates.compute(SqNorms(), whole)
    assert updates.columns_read == D
    assert value.shape == ((N, N) if whole == Gram() else (N, 3))


# --- sources and views --------------------------------------------------------------------------------------


class Counting(RowSource):
    """The numbers from 0 on: what a source has to define."""

    def __init__(self, n: int, d: int) -> None:
        super().__init__(n=n, d=d, dtype=F64, device=torch.device("cpu"), ids=None, block=None)

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        chosen = torch.arange(self.n) if rows is None else rows
        return (chosen[:, None] * self.d + torch.arange(start, stop)).to(F64)


class Unheard(View):
    """Says nothing of its rows but what they are."""

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        return self.base.read(start, stop, rows)


def test_a_new_source_is_one_class() -> None:
    updates = Counting(N, 8)
    expected = torch.arange(N * 8, dtype=F64).reshape(N, 8)
    torch.testing.assert_close(fw.build("median")(updates), expected[2])
    torch.testing.assert_close(fw.build("mean")(updates), expected.mean(0))
    assert updates.gram()[0, 1] == expected[0] @ expected[1]
    assert list(updates.parts()) == [updates]


def test_a_view_that_does_not_say_what_it_is_made_of_is_no_root() -> None:
    unheard = Unheard(Dense(rows()), N)
    assert unheard.norms().shape == (N,)
    for stack in (unheard, unheard.scale(torch.ones(N)), Joined(Dense(rows()), unheard)):
        with pytest.raises(TypeError, match=r"Unheard has no parts\(full\)"):
            parts(stack)


def test_views_with_rows_of_their_own_say_so() -> None:
    base = Dense(rows())
    for view in (
        Rooted(base),
        Single(base, torch.ones(D)),
        Gathered([base, base]),
        Offset(base, [None] * N),
        LayerMixed(base, [(0, D)], torch.ones(N, 1)),
    ):
        ((root, weights),) = parts(view).items()
        assert root is view
        assert torch.equal(weights, torch.eye(view.n, dtype=F64))
    longer = Extended(base.scale(torch.full((N,), 2.0)), lambda block: block.mean(0))
    found = parts(longer)
    assert found.keys() == {base, longer}
    assert torch.equal(found[base], torch.eye(N + 1, N, dtype=F64) * 2)
    assert found[longer].nonzero().tolist() == [[N, N]]
