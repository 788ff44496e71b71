"""A second start of a strategy is another run: the same as that of a strategy that was made anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM

from fedward.flower import Robust

from .federation import InProcess, Quadratic, floats, vector


@pytest.mark.parametrize("rule", ["bucketing:s=3 >> median", "centered-clipping:radius=0.5"])
@pytest.mark.parametrize("optimiser", [FedAvg, FedAvgM, FedAdam])
def test_nothing_is_left_of_the_run_before(rule: str, optimiser: Any) -> None:
    strategy = Robust(optimiser(fraction_evaluate=0.0), rule=rule)
    first, second = (strategy.start(InProcess(Quadratic().app), floats(), num_rounds=3) for _ in range(2))
    np.testing.assert_array_equal(vector(first.arrays), vector(second.arrays))
    assert strategy.aggregator.round == strategy.round == 3


def test_what_the_rule_was_given_before_the_first_start_is_kept() -> None:
    rule = "bucketing:s=3 >> median"
    strategy = Robust(FedAvg(fraction_evaluate=0.0), rule=rule)
    fresh = strategy.start(InProcess(Quadratic().app), floats(), num_rounds=2)
    remembering = Robust(FedAvg(fraction_evaluate=0.0), rule=rule)
    remembering.aggregator.load_state_dict(strategy.aggregator.state_dict())
    later = remembering.start(InProcess(Quadratic().app), floats(), num_rounds=2)
    assert remembering.aggregator.round == 4
    assert (vector(fresh.arrays) != vector(later.arrays)).any()
