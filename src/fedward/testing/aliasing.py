"""What a rule hands out is the caller's: writing into it changes no later round."""

from __future__ import annotations

import torch
from torch import Tensor

from ..aggregator import Aggregator
from ..rule import Rule
from .compare import close
from .hostile import next_round
from .stacks import random_stack

_ROUNDS = 4


def check_result_is_the_callers(rule: Rule) -> None:
    """what the caller writes into a result, or into the rows after the call, changes no later round"""
    if not rule.history:
        return
    left_alone, written_into = Aggregator(rule, seed=1), Aggregator(rule, seed=1)
    for round in range(_ROUNDS):
        G = random_stack(rule, seed=round, d=24)
        rows = G.clone()
        expected, result = next_round(left_alone, G), next_round(written_into, rows)
        close(result.output, expected.output, rtol=0)
        written: list[Tensor] = [result.output, rows, *result.scores.values()]
        if result.weights is not None:
            written.append(result.weights)
        for tensor in written:
            tensor.fill_(torch.pi)


CHECKS = (check_result_is_the_callers,)
