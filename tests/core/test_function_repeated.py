"""Functions that do not return the same for the same rows are warned of, once, where they are first used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward.core import FunctionWarning
from fedward.experiments.spec import make_spec
from fedward.redteam import play
from fedward.redteam.capture import capture
from tests.sweeps.test_store import SMALL

Function = Callable[..., Any]


def remembering() -> Function:
    """The mean of the means of all calls: of the same rows alone it would always be the same."""
    memory: list[Tensor] = []

    def remembers(G: Tensor) -> Tensor:
        memory.append(G.mean(0))
        return torch.stack(memory).mean(0)

    return remembers


def clipping() -> Function:
    """To the median norm of all calls, whatever the signs were."""
    norms: list[float] = []

    def clips(G: Tensor) -> Tensor:
        norms.append(float(G.norm(dim=1).median()))
        mean = G.mean(0)
        return mean * min(1.0, float(np.mean(norms)) / (2 * float(mean.norm())))

    return clips


def noisy(G: Tensor) -> Tensor:
    """From a generator that nobody seeds."""
    return G.mean(0) + torch.from_numpy(np.random.default_rng().normal(size=G.shape[1])).to(G.dtype)


def failing() -> Function:
    """The third time: a generator that has ended, say."""
    left = iter(range(2))

    def fails(G: Tensor) -> Tensor:
        next(left)
        return G.mean(0)

    return fails


def rounding() -> Function:
    """Of which nobody knows the last bits, as of sums on a GPU."""
    calls = iter(range(1000))
    return lambda G: G.mean(0) * (1 + 1e-7 * next(calls))


def seeded(G: Tensor) -> Tensor:
    return G.mean(0) + torch.rand(G.shape[1]) + float(np.random.rand())


def middle(G: Tensor) -> Tensor:
    return G.median(0).values


def particular(G: Tensor) -> Tensor:
    """It takes none but the rows that came, and so raises of others."""
    if bool((G < 0).any()):
        raise ValueError("no such rows")
    return G.mean(0)


def rows(n: int = 5, d: int = 7) -> Tensor:
    return torch.rand(n, d, generator=torch.Generator().manual_seed(0)) + 0.5


@pytest.mark.parametrize("make", [remembering, clipping, failing, lambda: lambda G: noisy(G)])
def test_what_is_not_the_same_again_is_warned_of_once(make: Callable[[], Function]) -> None:
    rule = fw.rule(make())
    aggregator = fw.Aggregator(rule)
    with pytest.warns(FunctionWarning, match=r"gave something else for the same rows.*check_rule") as warned:
        aggregator(rows())
    assert len(warned) == 1
    assert rule.spoken in str(warned[0].message)
    assert warned[0].filename == __file__, "the line that is printed is the function's, not the package's"
    if make is not failing:
        aggregator(rows())  # warnings are errors here


@pytest.mark.parametrize("function", [seeded, middle, particular, rounding()])
@pytest.mark.parametrize("scale", [1.0, 1e30, 1e-40])
def test_what_is_the_same_is_not(function: Function, scale: float) -> None:
    copied = _copied(function)
    assert fw.rule(copied)(rows() * scale).shape == (7,)


def _copied(function: Function) -> Function:
    """Another function, which was never tried."""
    return lambda G: function(G)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 3e37, 1e-44])
def test_the_same_rows_are_the_same_to_the_bit(dtype: torch.dtype, scale: float) -> None:
    seen: list[Tensor] = []

    def watches(G: Tensor) -> Tensor:
        seen.append(G.clone())
        return G[0]

    given = (rows() * (scale if dtype is not torch.float16 else 1.0)).to(dtype)
    rule = fw.rule(watches)
    rule(given)
    first, between, again = seen
    assert torch.equal(first, again)
    assert not torch.equal(first, between)
    rule(given)
    assert len(seen) == 4  # once a process


def test_what_counts_is_what_was_returned_first() -> None:
    calls: list[int] = []

    def numbered(G: Tensor) -> Tensor:
        calls.append(1)
        return torch.full_like(G[0], float(len(calls)))

    with pytest.warns(FunctionWarning):
        assert fw.rule(numbered)(rows()).unique().tolist() == [1.0]


def test_arrays_and_attacks_are_tried_likewise() -> None:
    before = [0.0]

    def creeping(honest: np.ndarray, own: np.ndarray) -> np.ndarray:
        before[0] += float(np.abs(honest).sum())
        return np.full_like(own, before[0])

    with pytest.warns(FunctionWarning, match="check_attack"):
        fw.attack(creeping, numpy=True)(rows(), rows(2))
    assert fw.attack(lambda honest, own: -honest.mean(0))(rows(), rows(2)).shape == (2, 7)


def test_a_simulation_and_the_red_team_try_it() -> None:
    spec = make_spec({**SMALL, "rounds": 1})
    with pytest.warns(FunctionWarning, match="remembers"):
        list(spec.simulation(rule=fw.rule(remembering())).run(rounds=1))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        play(fw.rule(remembering()), fw.attacks.NoAttack(), capture(spec, 0, 2), byzantine=1)
    assert [each.category for each in said] == [FunctionWarning]
