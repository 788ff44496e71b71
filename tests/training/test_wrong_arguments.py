"""Arguments that a scheduler of PyTorch's takes when it is made and stumbles over when it is stepped."""

from __future__ import annotations

import pytest

from fedward.training import TorchSchedule


@pytest.mark.parametrize(
    ("of", "arguments"),
    [
        ("StepLR", "step_size=0"),
        ("CosineAnnealingLR", "T_max=0"),
        ("ExponentialLR", "gamma='a'"),
        ("ExponentialLR", "gamma=[1]"),
    ],
)
def test_they_are_refused_and_not_taken_for_a_schedule_that_is_over(of: str, arguments: str) -> None:
    with pytest.raises(ValueError, match=f"torch-schedule: {of} does not take"):
        TorchSchedule(of=of, arguments=arguments)


def test_those_that_it_stumbles_over_late_are_an_error_then() -> None:
    schedule = TorchSchedule(of="StepLR", arguments="step_size=2,gamma='a'")
    with pytest.raises(ValueError, match="torch-schedule: StepLR does not take"):
        schedule.at(0.1, 2)
