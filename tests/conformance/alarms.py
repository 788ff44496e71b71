"""Rounds of clients that raise alarms, and root data by which a model's distance to a target is its accuracy."""

from __future__ import annotations

import numpy as np
import torch

import fedward as fw
from fedward import rules
from fedward.core import rows_of

D = 6
IDS = ["a", "b", 3, 4, ("site", 5), "f", "g", "h"]


class Scorer:
    """Root data on which a model's accuracy is a function of its distance to a target."""

    def __init__(self, target: np.ndarray, model: np.ndarray) -> None:
        self.target, self.model, self.asked = target, model, 0

    def accuracy(self, model: np.ndarray) -> float:
        return round(float(np.exp(-np.linalg.norm(model - self.target) / 4)), 2)

    def update(self) -> torch.Tensor:
        raise AssertionError("SIREN trains nothing on its root data")

    losses = update

    def error_rates(self, steps: fw.Updates) -> torch.Tensor:
        self.asked += steps.n
        rates = [1 - self.accuracy(self.model + row.double().numpy()) for row in rows_of(steps)]
        return torch.tensor(rates, dtype=torch.float64)


GOOD, BAD = [1.0, 0.0], [-3.0, 0.0]


def one_round(rows: list, said: list[bool], state: fw.Aggregator | None = None, **changes: object) -> fw.Result:
    scorer = Scorer(np.array([2.0, 0.0]), np.zeros(2))
    aggregate = state or fw.Aggregator(rules.SIREN(**changes))
    messages = {i: {"alarm": alarm} for i, alarm in enumerate(said)}
    result: fw.Result = aggregate(np.array(rows), messages=messages, evaluator=scorer)
    return result


def with_a_ban(**changes: object) -> fw.Aggregator:
    """After a round of three clients in which client 2 came to be banned, at an index of 1."""
    aggregate = fw.Aggregator(rules.SIREN(penalty=0.2, **changes))  # banned above 0.2 * 3 = 0.6
    one_round([GOOD, GOOD, BAD], [True, True, False], aggregate)
    return aggregate
