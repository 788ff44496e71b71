"""Rounds of extreme numbers leave nothing behind that is not finite, and memory recovers from them."""

from __future__ import annotations

from math import isnan
from typing import Any

import pytest
import torch

import fedward as fw
from fedward import attacks, mixers, rules
from fedward.attacks import View
from fedward.core import BoundError, State
from fedward.stack import Dense, materialise
from fedward.testing import QuadraticEvaluator

N, D = 9, 9
LARGE = {torch.float32: (3e38,), torch.float64: (1e140, 1.3e154)}
CASES = [(dtype, size) for dtype, sizes in LARGE.items() for size in sizes]

MEMORIES = [
    *(entry.build() for entry in fw.catalogue("rule", packaged=True)),
    rules.FLDetector(window=2),
    rules.FLDetector(window=3, momentum=0.9),
    rules.RFFL(clip=None, warmup=1),
    rules.CenteredClipping(radius=1e300),
    rules.SequentialCenteredClipping(radius=1e300),
    rules.FedSECA(momentum=0.5),
    rules.SIREN(rollback="printed"),
    rules.SIREN(variant="official"),
    rules.ClassWise(base=rules.Mean()),
    rules.ClassWise(base=rules.FLDetector(window=2)),
    mixers.SequentialBucketing(s=2) >> rules.Mean(),
    mixers.SequentialBucketing(s=3) >> rules.CenteredClipping(radius=1e300),
    mixers.NNM(f=2) >> rules.FoolsGold(),
]
HISTORIES = [rule for rule in MEMORIES if rule.traits().history]


def honest(t: int, dtype: torch.dtype = torch.float64, n: int = N) -> torch.Tensor:
    generator = torch.Generator().manual_seed(t)
    common = torch.randn(D, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    return (common + 0.3 * torch.randn(n, D, generator=generator, dtype=torch.float64)).to(dtype)


def go_on(aggregate: fw.Aggregator, G: torch.Tensor, t: int) -> fw.Result[Any] | None:
    messages = {i: {"alarm": i == 1 and t % 3 == 0, "num-examples": 5} for i in range(len(G))}
    evaluator = QuadraticEvaluator(D) if aggregate.rule.traits().root_data else None
    try:
        return aggregate(G, messages=messages, evaluator=evaluator, group=t % 2)
    except BoundError:
        return None


def assert_finite(state: State) -> None:
    for name, value in state.items():
        numbers = value[~value.isnan()] if "scores of" in name else value  # FLDetector's NaN: no score in that round
        assert bool(numbers.isfinite().all()), f"{name} is not finite"


def hostile(kind: str, t: int, size: float, G: torch.Tensor) -> torch.Tensor:
    """Rows of norm ``size`` from the second round on: of some, turning round or not, or in every other round."""
    who = {"one": 1, "some": 3, "all": N}[kind.partition(" ")[0]]
    if t >= 2 and (t % 2 == 0 or "in turns" not in kind):
        signs = honest(100)[:who].sign() * (-1 if "turning" in kind and t % 4 > 1 else 1)
        G = G.clone()
        G[:who] = (signs * (size / D**0.5)).to(G.dtype)
    return G


@pytest.mark.parametrize("kind", ["one turning", "some", "all in turns"])
@pytest.mark.parametrize("rule", HISTORIES, ids=repr)
def test_memory_is_finite_and_recovers(rule: fw.Rule, kind: str) -> None:
    for dtype, size in CASES:
        aggregate = fw.Aggregator(rule)
        for t in range(7):
            result = go_on(aggregate, hostile(kind, t, size, honest(t, dtype)), t)
            assert_finite(aggregate.state)
            assert result is None or bool(result.output.isfinite().all()), f"{dtype}, {size}, round {t}"
            assert result is None or result.weights is None or bool(result.weights.isfinite().all())
        if kind == "one turning":
            for t in range(7, 20):
                result = go_on(aggregate, honest(t, dtype), t)
                assert_finite(aggregate.state)
            assert result is not None
            length = float(result.output.double().norm())
            assert length <= 3 * float(honest(19).norm(dim=1).max()), f"{dtype}, {size}: an output of length {length}"


@pytest.mark.parametrize("size", [1e140, 1.3e154])
def test_the_trust_of_fools_gold_in_others_survives(size: float) -> None:
    with_it, without = fw.Aggregator(rules.FoolsGold()), fw.Aggregator(rules.FoolsGold())
    for t in range(8):
        G = honest(t)
        large = G.clone()
        if t < 5:  # two that go their own ways
            G[:2] = 1e3 * honest(50)[:2] * torch.tensor([[1.0], [-1.0]])
            large[:2] = G[:2] / G[:2].norm(dim=1, keepdim=True) * size
        a, b = with_it(large), without(G)
        assert bool(a.weights.isfinite().all())
        torch.testing.assert_close(a.scores["trust"][2:], b.scores["trust"][2:], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("window", [1, 2, 3])
def test_fldetector_detects_after_the_numbers_are_ordinary_again(window: int) -> None:
    aggregate = fw.Aggregator(rules.FLDetector(window=window))
    for t in range(30):
        G = honest(t)
        if t < 8:
            G[:3] = G[:3] * 1e150 * (1 - 2 * (t % 2))
        else:
            G[3] = 30 * G[3] * (1 - 2 * (t % 2))
        result = aggregate(G)
    assert result.accepted.tolist() == [i != 3 for i in range(N)]


@pytest.mark.parametrize("clip", [0.5, None])
def test_rffl_with_and_without_the_published_clip(clip: float | None) -> None:
    rule = rules.RFFL(warmup=2) if clip else rules.RFFL(warmup=2, clip=None)
    aggregate = fw.Aggregator(rule)
    for t in range(12):
        G = honest(t)
        G[0] = 100 * honest(t + 40)[0] * torch.tensor([-1.0] * D)
        result = aggregate(G)
    honest_removed = (~result.accepted[1:]).sum()
    assert (honest_removed == 0) == (clip is not None)
    assert bool(result.accepted[0]) == (clip is None)


# --- attacks ------------------------------------------------------------------------------------------------

REMEMBERING = [entry.build() for entry in fw.catalogue("attack") if entry.build().traits().history] + [
    attacks.PoisonedFL(every=2),
    attacks.Groups([attacks.Mimic(warmup=9), attacks.PoisonedFL()]),
    attacks.Sybils(inner=attacks.Repeat(clients=2), join=0),
]


@pytest.mark.parametrize("attack", REMEMBERING, ids=repr)
@pytest.mark.parametrize(("dtype", "size"), [*CASES, (torch.float64, torch.nan), (torch.float32, torch.inf)])
def test_what_an_attack_remembers_is_finite(attack: attacks.Attack, dtype: torch.dtype, size: float) -> None:
    state: State = {}
    for t in range(6):
        G = honest(t, dtype)
        previous = honest(t + 20, dtype)[0]
        if t < 3:
            G[3:5] = hostile("some", 2, size, G)[:2]
            previous = G[3] if isnan(size) else G[3] / 3
        view = View(
            honest=Dense(G[3:]),
            own=Dense(G[:3] if t else G[3:6]),
            context=fw.Context(t),
            previous=previous,
            state=state,
        )
        forged = materialise(attack.forge(view))
        state = attack.advance(view, forged)
        for name, value in state.items():
            assert bool(value.isfinite().all()), f"{name} is not finite after round {t}"
    assert bool(forged.isfinite().all())


@pytest.mark.parametrize(
    "rule", [rules.FoolsGold(), rules.FLDetector(window=2), rules.RFFL(), rules.RFFL(clip=None)], ids=repr
)
def test_rows_as_long_as_they_can_be_are_no_trouble_beside_a_memory(rule: fw.Rule) -> None:
    aggregate = fw.Aggregator(rule)
    for t in range(6):
        G = honest(t)
        # Squares of these are finite, and those of anything longer are not.
        G[:3] = 0
        G[:3, 0] = 1.3407807929942596e154 * (1 if isinstance(rule, rules.FoolsGold) else (-1) ** t)
        result = go_on(aggregate, G, t)
        assert result is not None
        assert fw.Reason.NONFINITE not in result.reasons
        assert bool(result.weights.isfinite().all())
        assert not any(bool(score.isinf().any()) for score in result.scores.values())
        if t and "deviation" in result.scores and t > 1:
            assert not bool(result.scores["deviation"].isnan().any())
        assert_finite(aggregate.state)
