"""Order decides nothing, not even among clients so few that two of them are always alike in some way."""

from __future__ import annotations

import torch

from ..aggregator import Aggregator
from ..rule import Rule
from .compare import close
from .hostile import next_round
from .stacks import fewest, random_stack

_ROUNDS = 2


def check_few_in_any_order(rule: Rule) -> None:
    """the output for few clients does not depend on their order"""
    if "permutation" not in rule.properties:
        return
    for n in range(max(fewest(rule), 2), fewest(rule) + 3):
        for seed in range(4):
            generator = torch.Generator().manual_seed(seed)
            order = torch.arange(n).flip(0) if seed == 0 else torch.randperm(n, generator=generator)
            one, other = Aggregator(rule), Aggregator(rule)
            for round in range(_ROUNDS if rule.history else 1):
                G = random_stack(rule, seed=10 * seed + round, extra=n - fewest(rule), d=5 + 20 * (seed % 2))
                a, b = next_round(one, G, range(n)), next_round(other, G[order], order.tolist())
                close(b.output, a.output)
                assert torch.equal(a.accepted[order], b.accepted), f"other clients of {n} are accepted in another order"


CHECKS = (check_few_in_any_order,)
