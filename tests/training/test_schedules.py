"""Learning rates by round, against PyTorch's schedulers and formulas."""

from __future__ import annotations

from math import cos, pi
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

import fedward as fw
from fedward.training import Cosine, MultiStep, TorchSchedule, WarmUp


def stepped(make: Any, lr: float, rounds: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros((), requires_grad=True)], lr, momentum=0.9)
    scheduler = make(optimizer)
    found = []
    for _ in range(rounds):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


CASES = {
    "multi-step": (MultiStep(milestones=(3, 7), gamma=0.2), lambda o: lr_scheduler.MultiStepLR(o, [3, 7], 0.2)),
    "cosine": (Cosine(rounds=20, least=0.01), lambda o: lr_scheduler.CosineAnnealingLR(o, 20, 0.01)),
    "warm-up": (WarmUp(rounds=5, begin=0.2), lambda o: lr_scheduler.LinearLR(o, 0.2, 1.0, 5)),
    "step": (
        TorchSchedule(of="StepLR", arguments="step_size=4,gamma=0.5"),
        lambda o: lr_scheduler.StepLR(o, 4, 0.5),
    ),
    "restarts": (
        TorchSchedule(of="CosineAnnealingWarmRestarts", arguments="T_0=3, T_mult=2"),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rates_are_pytorch_s(name: str) -> None:
    schedule, make = CASES[name]
    expected = stepped(make, 0.3, 20)
    assert [schedule.at(0.3, round) for round in range(20)] == pytest.approx(expected, rel=1e-12, abs=1e-15)
    # In any order, and from text.
    assert schedule.at(0.3, 11) == pytest.approx(expected[11], rel=1e-12)
    assert fw.parse(fw.describe(schedule), "schedule") == schedule


@pytest.mark.parametrize(
    "arguments",
    [
        "max_lr=0.4,total_steps=5",
        "max_lr=0.4,total_steps=8",
        "max_lr=0.4,epochs=4,steps_per_epoch=2",
        "max_lr=0.4,total_steps=5,three_phase=True",
        "max_lr=0.4,total_steps=5,anneal_strategy='linear'",
        "max_lr=0.4,total_steps=1",
        "max_lr=0.4,total_steps=2",
    ],
)
def test_a_schedule_that_is_over_stays_where_it_ended(arguments: str) -> None:
    """PyTorch's gives one more rate than it has steps, at which it climbs again, before it raises an error."""
    schedule = TorchSchedule(of="OneCycleLR", arguments=arguments)
    given = eval(f"dict({arguments})")
    steps = given.get("total_steps", 8)
    expected = stepped(lambda o: lr_scheduler.OneCycleLR(o, **given), 0.3, steps)
    rates = [schedule.at(0.3, round) for round in range(20)]
    assert rates == [*expected, *[expected[-1]] * (20 - steps)]
    assert rates[-1] <= 1e-4
    assert [schedule.at(0.3, round) for round in reversed(range(20))] == rates[::-1]


def test_a_wave_that_is_over_stays_at_its_least() -> None:
    assert Cosine(rounds=5, least=0.1).at(1.0, 9) == 0.1


def test_one_after_another() -> None:
    schedule = WarmUp(rounds=4, begin=0.5, then=Cosine(rounds=6))
    rates = [schedule.at(0.2, round) for round in range(12)]
    assert rates[:4] == pytest.approx([0.1, 0.125, 0.15, 0.175])
    assert rates[4:10] == pytest.approx([0.1 * (1 + cos(pi * t / 6)) for t in range(6)])
    assert rates[10:] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: TorchSchedule(of="StepL"), "did you mean .StepLR"),
        (lambda: TorchSchedule(of="ReduceLROnPlateau"), "unknown schedule of PyTorch"),
        (lambda: TorchSchedule(of="StepLR"), "StepLR does not take .*step_size"),
        (lambda: TorchSchedule(of="StepLR", arguments="size=3"), "StepLR does not take .*size"),
        (lambda: TorchSchedule(of="StepLR", arguments="3"), "write arguments by name"),
        (lambda: TorchSchedule(of="StepLR", arguments="step_size=f()"), r"does not take 'step_size=f\(\)'"),
        (lambda: TorchSchedule(of="StepLR", arguments="*"), "does not take"),
        (lambda: MultiStep(milestones=(5, 3)), r"rounds that grow, got \(5, 3\)"),
        (lambda: MultiStep(milestones=(3, 3)), "rounds that grow"),
        (lambda: Cosine(rounds=0), "Cosine: rounds is a whole number of at least 1"),
        (lambda: WarmUp(rounds=2, begin=0.0), "begin is a number above 0"),
    ],
)
def test_what_makes_no_schedule_is_refused(make: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make()
