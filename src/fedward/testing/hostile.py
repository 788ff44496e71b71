"""What every rule must do beside colluders of any number and size, on rows that are nearly alike, and after both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..aggregator import Aggregator, Result
from ..rule import Rule
from ..stack import Updates
from .compare import close
from .stacks import QuadraticEvaluator, fewest, random_stack

D = 24  # columns of these stacks: many are tried
SIZES: dict[torch.dtype, tuple[float, ...]] = {
    torch.float32: (1e4, 1e20, 1e30, 1e38),
    torch.float64: (1e4, 1e30, 1e78, 1e140, 1e152, 1e153),
}
SPREADS = tuple(10.0**-k for k in range(1, 13))
FAR = 100.0
"""An output longer than this many times the longest honest row is not sensible."""


def next_round(aggregator: Aggregator, G: Any) -> Result[Tensor]:
    """The next round of an aggregator, with data of the server's own if its rule needs them."""
    rule = aggregator.rule
    d = G.d if isinstance(G, Updates) else G.shape[1]
    result: Result[Tensor] = aggregator(G, evaluator=QuadraticEvaluator(d) if rule.root_data else None)
    return result


def most_colluders(rule: Rule, n: int) -> int:
    """How many colluders a rule is tried with: its own bound, or else any minority."""
    claimed = rule.withstands(n)
    return claimed if claimed else getattr(rule, "f", 0) or (n - 1) // 2


def colluding_stacks(rule: Rule, dtype: torch.dtype, most: int, n: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A name, n rows and the honest ones among them, for every number of colluders up to ``most`` and every size.

    Colluders send one row, or each another one. They come last: a rule may trust the first client by name.
    """
    generator = torch.Generator().manual_seed(0)
    G = random_stack(rule, seed=7, extra=n - fewest(rule), d=D).to(dtype)
    for m in range(1, most + 1):
        for size in SIZES[dtype]:
            for same in (True, False):
                evil = size * (2 * torch.rand(1 if same else m, D, generator=generator, dtype=torch.float64) - 1)
                stack = torch.cat([G[: n - m], evil.to(dtype).expand(m, -1)])
                kind = "one row" if same else "rows of their own"
                yield f"{m} of {n} colluders send {kind} of {size:g} in {dtype}", stack, G[: n - m]


def examined(rule: Rule) -> list[tuple[int, int]]:
    """Numbers of clients to try a rule with, and of colluders among them at most."""
    sizes = {max(fewest(rule), 3), fewest(rule) + 5}
    return [(n, most_colluders(rule, n)) for n in sorted(sizes)]


def finite(result: Result[Tensor], aggregator: Aggregator, name: str) -> None:
    """The output, the weights and what is remembered are finite; what was never known may be NaN from the start."""
    assert bool(result.output.isfinite().all()), f"the output is not finite: {name}"
    assert result.weights is None or bool(result.weights.isfinite().all()), f"a weight is not finite: {name}"
    for key, value in aggregator.state.items():
        unknown = value.isnan() if key.startswith("scores of ") else torch.zeros_like(value, dtype=torch.bool)
        assert bool((value.isfinite() | unknown).all()), f"the memory {key!r} is not finite: {name}"


def check_colluders(rule: Rule) -> None:
    """colluders of every number up to the bound and every size leave output, weights and memory finite"""
    for dtype in SIZES:
        for n, most in examined(rule):
            for name, stack, _ in colluding_stacks(rule, dtype, most, n):
                aggregator = Aggregator(rule)
                finite(next_round(aggregator, stack), aggregator, name)


def check_alike(rule: Rule) -> None:
    """rows that are nearly alike give an output near them"""
    for spread in SPREADS:
        G = random_stack(rule, seed=8, d=D)
        G = G[0] + spread * (G - G[0])
        for dtype in SIZES:
            aggregator, stack = Aggregator(rule), G.to(dtype)
            for round in range(2):
                result = next_round(aggregator, stack)
                finite(result, aggregator, f"spread {spread:g} in {dtype}, round {round}")
                if "box" in rule.properties:
                    slack = 8 * torch.finfo(dtype).eps * stack.abs().amax(0)
                    inside = (result.output >= stack.amin(0) - slack) & (result.output <= stack.amax(0) + slack)
                    assert bool(inside.all()), f"rows with spread {spread:g} in {dtype}: the output is not among them"
                if "unanimity" in rule.properties:
                    close(result.output, stack[0], rtol=10 * spread + 8 * torch.finfo(dtype).eps)


def check_recovery(rule: Rule) -> None:
    """memory recovers: honest rounds after hostile ones give outputs of honest size"""
    if not rule.history:
        return
    n = fewest(rule) + 5
    for dtype in SIZES:
        for name, stack, honest in colluding_stacks(rule, dtype, most_colluders(rule, n), n):
            aggregator, sensible = Aggregator(rule), True
            longest = float(honest.double().norm(dim=1).max())
            for round in range(4):
                result = next_round(
                    aggregator, stack if round in (1, 2) else random_stack(rule, seed=round, d=D).to(dtype)
                )
                finite(result, aggregator, f"{name}, round {round}")
                short = float(result.output.double().norm()) <= FAR * longest
                sensible = sensible and (short or round == 3)
            # A rule that gave in to the colluders has not been asked to forget them at once.
            assert short or not sensible, f"hostile rounds spoil the honest one after them: {name}"


def breakdown(rule: Rule, G: Tensor) -> None:
    """Claim: m <= withstands(n) colluders keep the output within 2 (n - m) / (n - 2m) diameters of the honest mean."""
    for dtype in SIZES:
        for n in (fewest(rule), len(G)):
            for name, stack, honest in colluding_stacks(rule, dtype, rule.withstands(n), n):
                output, honest = next_round(Aggregator(rule), stack).output.double(), honest.double()
                h = len(honest)
                most = 2 * h / (2 * h - n) * max(float(torch.cdist(honest, honest).max()), 1e-300)
                off = float((output - honest.mean(0)).norm())
                assert off <= most, f"the output is {off:.3g} from the honest mean, {most:.3g} is claimed: {name}"


CHECKS = (check_colluders, check_alike, check_recovery)
