"""No autocast, default dtype or default device of the calling program changes what is decided, sent or remembered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks, mixers, rules
from fedward.core import State
from fedward.redteam import Captured, play
from fedward.redteam.play import check_played
from fedward.stack import Dense, loops_from, materialise
from fedward.testing import QuadraticEvaluator

N, D = 11, 203


@contextmanager
def by_default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SURROUNDINGS = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default float64": lambda: by_default(torch.float64),
    "default bfloat16": lambda: by_default(torch.bfloat16),
    # Where there is no GPU, tensors without values show as well what was made on the default device.
    "default device": lambda: torch.device("meta"),
}
LOOPS = {"compiled loops": True, "torch alone": False}

RULES = [
    *(entry.build() for entry in fw.catalogue("rule", packaged=True)),
    *(entry.build() >> rules.Mean() for entry in fw.catalogue("mixer")),  # type: ignore[operator]  # mixers
    *(rules.CosineClustering(linkage=k) for k in ("complete", "average")),  # type: ignore[arg-type]  # words of a tuple
    rules.FLAME(noise=0.3),
    rules.SignGuard(variant="official"),
    *(cls(variant=v, warmup=1) for cls in (rules.SignGuardSim, rules.SignGuardDist) for v in ("paper", "official")),
    rules.FedSECA(momentum=0.5, vote="count"),
    rules.FedSECA(vote="mass"),
    rules.SIREN(rollback="printed"),
    rules.ClassWise(base=rules.Mean()),
    rules.CenteredClipping(radius=3.0, iterations=2),
    mixers.Bucketing(s=2) >> rules.LASA(),
    mixers.NNM(f=2) >> rules.FoolsGold(),
]


@pytest.fixture(params=LOOPS.values(), ids=LOOPS.keys())
def loops(request: pytest.FixtureRequest) -> Iterator[bool]:
    with nullcontext() if request.param else loops_from(None):
        yield bool(request.param)


def rows(t: int, n: int = N) -> Tensor:
    generator = torch.Generator().manual_seed(t)
    common = torch.randn(D, generator=torch.Generator().manual_seed(99), dtype=torch.float32)
    return common + 0.7 * torch.randn(n, D, generator=generator, dtype=torch.float32)


def same(one: Tensor | None, other: Tensor | None, what: str) -> None:
    if one is None or other is None:
        assert one is other, what
        return
    assert one.dtype == other.dtype, f"{what}: {one.dtype} became {other.dtype}"
    assert torch.equal(one.nan_to_num(), other.nan_to_num()), what
    assert torch.equal(one.isnan(), other.isnan()), what


def judged(rule: fw.Rule, surroundings: AbstractContextManager[Any]) -> list[dict[str, Tensor | None]]:
    evaluator = QuadraticEvaluator(D) if rule.traits().root_data else None
    stacks = [rows(t) for t in range(3)]
    messages = {i: {"alarm": i == 1, "num-examples": 5} for i in range(N)}
    aggregate, found = fw.Aggregator(rule, seed=3), []
    with surroundings:
        for t, G in enumerate(stacks):
            result = aggregate(G, messages=messages, evaluator=evaluator, group=t % 2)
            found.append({"output": result.output, "weights": result.weights, **result.scores, **aggregate.state})
    return found


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_rule_decides_the_same_anywhere(rule: fw.Rule, loops: bool) -> None:
    plain = judged(rule, nullcontext())
    for name, surroundings in SURROUNDINGS.items():
        for t, (one, other) in enumerate(zip(plain, judged(rule, surroundings()), strict=True)):
            assert one.keys() == other.keys()
            for what, value in one.items():
                same(value, other[what], f"{name}, round {t}: {what}")


def forged(attack: attacks.Attack, surroundings: AbstractContextManager[Any]) -> Tensor:
    G = rows(0)
    with surroundings:
        return attack(G[3:], G[:3], context=fw.Context(2, seed=1))


def played(attack: attacks.Attack, surroundings: AbstractContextManager[Any]) -> Any:
    captured = [Captured(rows=rows(t), previous=rows(t + 9)[0], evaluator=QuadraticEvaluator(D)) for t in range(4)]
    with surroundings:
        return play(rules.Median(), attack, captured, 3)


def acts_on_rows(attack: attacks.Attack) -> bool:
    """Whether the red team plays it on rows that were captured, in one of the first four rounds."""
    try:
        check_played(rules.Median(), attack, 4)
    except ValueError:
        return False
    return True


SHORT = {"maximise": {"candidates": 3, "zooms": 1}}
ATTACKS = [entry.build(**SHORT.get(entry.name, {})) for entry in fw.catalogue("attack", packaged=True)]


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_an_attack_sends_the_same_anywhere(attack: attacks.Attack, loops: bool) -> None:
    plain = forged(attack, nullcontext())
    for name, surroundings in SURROUNDINGS.items():
        same(plain, forged(attack, surroundings()), name)


@pytest.mark.parametrize("attack", [*filter(acts_on_rows, ATTACKS)], ids=repr)
def test_the_red_team_finds_the_same_anywhere(attack: attacks.Attack, loops: bool) -> None:
    plain = repr(played(attack, nullcontext()))
    for name, surroundings in SURROUNDINGS.items():
        assert plain == repr(played(attack, surroundings())), name


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.traits().history], ids=repr)
def test_an_attack_remembers_the_same_anywhere(attack: attacks.Attack) -> None:
    def memory(surroundings: AbstractContextManager[Any]) -> State:
        state: State = {}
        with surroundings:
            for t in range(3):
                G = rows(t)
                view = attacks.View(
                    honest=Dense(G[3:]), own=Dense(G[:3]), context=fw.Context(t), previous=rows(t + 9)[0], state=state
                )
                state = attack.advance(view, materialise(attack.forge(view)))
        return state

    plain = memory(nullcontext())
    for dtype in (torch.float64, torch.bfloat16):
        other = memory(by_default(dtype))
        assert plain.keys() == other.keys()
        for name, value in plain.items():
            same(value, other[name], f"{name}, default {dtype}")
