"""What functions and classes of one's own draw from global generators follows from the seed, and disturbs nobody."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks, mixers, rules, sim
from fedward.core import Context
from fedward.core.neutral import drawing
from fedward.failures import FunctionError
from fedward.sim.fitting import fitting_model

G = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))


def by_torch(G: Tensor) -> Tensor:
    return G.mean(0) + torch.randn(G.shape[1])


def by_numpy(G: Tensor) -> Tensor:
    return G.mean(0) + torch.from_numpy(np.random.randn(G.shape[1])).float()


def by_random(G: Tensor) -> Tensor:
    return G.mean(0) * random.random()


def by_dropout(G: Tensor) -> Tensor:
    return torch.nn.functional.dropout(G.mean(0), 0.5)


DRAWING = [by_torch, by_numpy, by_random, by_dropout]


@dataclass(frozen=True, kw_only=True)
class Noisy(fw.Rule):
    """As somebody writes it who does not know of `Context.generator`."""

    declared = fw.Traits(bound=fw.Bound(0, 1))

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return fw.Plan(updates, torch.rand(updates.n, dtype=torch.float64))


@dataclass(frozen=True, kw_only=True)
class NoisyAttack(attacks.Attack):
    def forge(self, view: attacks.View) -> fw.Updates:
        return view.honest.mix(torch.from_numpy(np.random.rand(view.own.n, view.honest.n)))


def mark_generators() -> list[object]:
    """What comes next of all of them, which draws from them."""
    return [torch.rand(3).tolist(), np.random.rand(3).tolist(), np.random.randn(), random.random()]


def unsettle(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    np.random.randn()  # which keeps the other of a pair of normal numbers


def outputs(rule: fw.Rule, unsettled: int, seed: int = 3) -> list[Tensor]:
    unsettle(unsettled)
    aggregator = fw.Aggregator(rule, seed=seed)
    return [aggregator(G).output for _ in range(3)]


WRAPPED: list[Callable[[fw.Rule], fw.Rule]] = [
    lambda rule: rule,
    lambda rule: mixers.NNM(f=1) >> rule,
    lambda rule: rules.MultiKrum(f=1) >> rule,
]


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("rule", [*map(fw.rule, DRAWING), Noisy()], ids=repr)
def test_one_seed_is_one_result(rule: fw.Rule, wrap: Callable[[fw.Rule], fw.Rule]) -> None:
    first, second = outputs(wrap(rule), 1), outputs(wrap(rule), 2)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])  # other numbers in another round
    assert not torch.equal(first[0], outputs(wrap(rule), 1, seed=4)[0])


@pytest.mark.parametrize("rule", [*map(fw.rule, DRAWING), Noisy(), rules.Median()], ids=repr)
def test_what_others_draw_afterwards_is_what_it_was(rule: fw.Rule) -> None:
    unsettle(5)
    expected = mark_generators()
    unsettle(5)
    fw.Aggregator(rule)(G)
    assert mark_generators() == expected


def test_a_function_that_fails_disturbs_nobody_either() -> None:
    def failing(G: Tensor) -> Tensor:
        torch.rand(1), np.random.rand(), random.random()
        raise ZeroDivisionError

    unsettle(5)
    expected = mark_generators()
    unsettle(5)
    with pytest.raises(FunctionError):
        fw.Aggregator(fw.rule(failing))(G)
    assert mark_generators() == expected


@pytest.mark.parametrize(
    "attack", [fw.attack(lambda honest, own: honest.mean(0) + torch.randn(honest.shape[1])), NoisyAttack()]
)
def test_attacks_as_rules(attack: attacks.Attack) -> None:
    sent = []
    for unsettled, round in ((1, 1), (2, 1), (1, 2)):
        unsettle(unsettled)
        sent.append(attack(G[:4], G[4:], context=Context(round, 7)))
    assert torch.equal(sent[0], sent[1])
    assert not torch.equal(sent[0], sent[2])


def test_a_simulation_is_the_same_however_many_threads_it_has() -> None:
    data = sim.federate(sim.load("fashion-mnist-subset"), clients=4)
    found = []
    for threads in (1, 3):
        unsettle(threads)
        one = fw.Simulation(
            model=lambda shape, classes: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, classes)),
            data=data,
            rule=fw.rule(by_torch),
            byzantine=1,
            threads=threads,
        )
        found.append([record.accuracy for record in one.run(rounds=2, evaluate_every=1)])
    assert found[0] == found[1]


def test_a_foreign_bit_generator_of_numpy_stays() -> None:
    mine, before = np.random.PCG64(3), np.random.get_bit_generator()
    np.random.set_bit_generator(mine)
    try:
        with drawing(4):
            first = np.random.rand()
        with drawing(4):
            assert np.random.rand() == first
        assert np.random.get_bit_generator() is mine
        assert np.random.rand() == np.random.RandomState(np.random.PCG64(3)).rand()
    finally:
        np.random.set_bit_generator(before)


def test_whoever_draws_at_the_same_time_leaves_no_generator_that_others_seed() -> None:
    """As two threads do, of which the second begins before the first has ended, and ends after it."""
    before = np.random.get_bit_generator()  # type: ignore[attr-defined]  # NumPy's stubs lack it
    try:
        one, other = drawing(1), drawing(2)
        one.__enter__()
        other.__enter__()
        one.__exit__(None, None, None)
        other.__exit__(None, None, None)
        left = str(np.random.get_state())
        with drawing(1), drawing(2), drawing(3):  # one within another, as a rule's parts are asked
            np.random.rand(3)
        assert str(np.random.get_state()) == left
    finally:
        np.random.set_bit_generator(before)  # type: ignore[attr-defined]


def test_a_model_whose_maker_draws_with_numpy_begins_the_same() -> None:
    def net(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        layer = torch.nn.Linear(784, classes)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.random.rand(*layer.weight.shape)))
        return torch.nn.Sequential(torch.nn.Flatten(), layer)

    data = sim.load("fashion-mnist-subset")
    unsettle(1)
    first = next(fitting_model(net, data, 3).parameters())
    unsettle(2)
    assert torch.equal(first, next(fitting_model(net, data, 3).parameters()))


@pytest.mark.parametrize("function", DRAWING)
def test_the_suite_has_nothing_against_it(function: Callable[[Tensor], Tensor]) -> None:
    fw.testing.check_rule(fw.rule(function))
