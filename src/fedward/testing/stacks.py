"""Stacks to try rules on, and a stand-in for the server's own data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from ..core import EXAMPLES, BoundError, Messages, Rule, rows_of
from ..stack import Updates

COLUMNS = 203  # not a multiple of any block size tried


def fewest(rule: Rule) -> int:
    """The smallest n that the rule accepts."""
    for n in range(1, 1000):
        try:
            rule.check(n)
        except BoundError:
            continue
        return n
    raise AssertionError(f"{rule!r} accepts no n below 1000")


def random_stack(rule: Rule, seed: int = 0, extra: int = 5, d: int = COLUMNS) -> Tensor:
    """Rows around a common direction: (fewest + extra, d) float64."""
    generator = torch.Generator().manual_seed(seed)
    n = fewest(rule) + extra
    common = torch.randn(d, generator=generator, dtype=torch.float64)
    return common + 0.8 * torch.randn(n, d, generator=generator, dtype=torch.float64)


def byzantine(rule: Rule, at_least: int = 1) -> int:
    """How many rows to forge: the rule's f, or more."""
    return max(rule.f_of(fewest(rule) + 5), at_least)


def without_byzantine(rule: Rule) -> Rule:
    """The rule with f = 0, if it has an f."""
    return replace(rule, f=0) if hasattr(rule, "f") else rule


def heavy_tailed(rule: Rule) -> Tensor:
    """Rows of which f are of Cauchy's distribution."""
    G = random_stack(rule, seed=1)
    f = byzantine(rule)
    G[:f] = 10 * torch.tan(torch.linspace(-1.55, 1.55, COLUMNS, dtype=torch.float64))
    G[: f // 2] *= -3
    return G


def colluding(rule: Rule) -> Tensor:
    """Rows of which f are one and the same, against the mean of all."""
    G = random_stack(rule, seed=2)
    G[: byzantine(rule)] = -2 * G.mean(0)
    return G


def sparse(rule: Rule) -> Tensor:
    """Rows with many zeros."""
    G = random_stack(rule, seed=3)
    G[G.abs() < 0.4] = 0
    return G


def tiny(rule: Rule) -> Tensor:
    """As few rows as the rule takes, of few columns."""
    return random_stack(rule, seed=4, extra=0, d=7)


def on_bounds(rule: Rule) -> Tensor:
    """Rows of one direction, so that all that is compared is equal or a round multiple: (fewest + 5, d) float64.

    Lengths are 3 and a tenth of the median length, which float64 has exactly, twice that, and that.
    """
    n = fewest(rule) + 5
    row = torch.zeros(COLUMNS, dtype=torch.float64)
    row[:64] = 1.25  # of length 10
    factors = torch.ones(n, dtype=torch.float64)
    factors[1] = 3.0
    factors[2] = 0.1
    factors[n - 1] = 2.0
    return factors[:, None] * row


STACKS: Mapping[str, Callable[[Rule], Tensor]] = {
    "random": random_stack,
    "heavy-tailed": heavy_tailed,
    "colluding": colluding,
    "sparse": sparse,
    "tiny": tiny,
    "on bounds": on_bounds,
}
"""Makers of stacks of different kinds, by name."""


def example_stacks(rule: Rule) -> dict[str, Tensor]:
    """Stacks of different kinds, by name: random, heavy-tailed, colluding, sparse, tiny and on bounds."""
    return {name: make(rule) for name, make in STACKS.items()}


def call_of(stack: str) -> str:
    """One of the example stacks, as a message has it: what makes its rows once more."""
    return f"fedward.testing.example_stacks(rule)[{stack!r}]"


def rows_of_both(h: int, m: int, d: int) -> tuple[Tensor, Tensor]:
    """Rows of h honest and m byzantine clients to try an attack on: (h, d) and (m, d) float64."""
    generator = torch.Generator().manual_seed(0)
    honest = 1 + torch.randn(h, d, generator=generator, dtype=torch.float64)
    own = 1 + torch.randn(m, d, generator=generator, dtype=torch.float64)
    return honest, own


class QuadraticEvaluator:
    """Root data with the loss |x - target|^2 / (2 d) of an aggregate x, and an error rate that grows with it.

    The target is a fixed random direction, so every rule that judges by root data has something to judge by.
    """

    def __init__(self, d: int = COLUMNS, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.target = torch.randn(d, generator=generator, dtype=torch.float64)

    def update(self) -> Tensor:
        """The best aggregate."""
        return self.target

    def losses(self, steps: Updates) -> Tensor:
        """The loss of each row: (n,)."""
        return torch.stack([(row.double().cpu() - self.target).square().mean() / 2 for row in rows_of(steps)])

    def error_rates(self, steps: Updates) -> Tensor:
        """loss / (1 + loss) of each row: (n,)."""
        return 1 - 1 / (1 + self.losses(steps))


def root_data(rule: Rule, d: int) -> QuadraticEvaluator | None:
    """The server's own data, for rules that need it."""
    return QuadraticEvaluator(d) if rule.traits().root_data else None


def said(ids: Iterable[Any]) -> Messages:
    """What clients say besides their rows: how many samples they have."""
    return {client: {EXAMPLES: 1 + crc32(repr(client).encode()) % 99} for client in ids}
