"""What every rule must do beside colluders of any number and size, on rows that are nearly alike, and after both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from ..core import Aggregator, Result, Rule
from .compare import Named, close
from .rounds import next_round
from .stacks import fewest, random_stack

D = 24  # columns of these stacks: many are tried
SIZES: dict[torch.dtype, tuple[float, ...]] = {torch.float32: (1e4, 1e38), torch.float64: (1e78, 1e150)}
SPREADS = (1e-1, 1e-3, 1e-6, 1e-7, 1e-9, 1e-12)
FAR = 100.0
"""An output longer than this many times the longest honest row is none of honest size."""


def numbers_of_colluders(rule: Rule, n: int) -> Sequence[int]:
    """How many colluders a rule is tried with: all that it says it withstands; else one, and the largest minority."""
    withstood = rule.withstands(n)
    return range(1, withstood + 1) if withstood else sorted({1, (n - 1) // 2})


def colluding_stacks(rule: Rule, n: int, numbers: Sequence[int]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A name, n rows and the honest ones among them, for each of these numbers of colluders and every size.

    Colluders send one row, or each another one. They come last: a rule may trust the first client by name.
    """
    generator = torch.Generator().manual_seed(0)
    rows = random_stack(rule, seed=7, extra=n - fewest(rule), d=D)
    for dtype, sizes in SIZES.items():
        for m, size, same in product(numbers, sizes, (True, False)):
            evil = size * (2 * torch.rand(1 if same else m, D, generator=generator, dtype=torch.float64) - 1)
            G = torch.cat([rows[: n - m], evil.expand(m, -1)]).to(dtype)
            kind = "one row" if same else "rows of their own"
            yield f"{m} of {n} colluders send {kind} of {size:g} in {dtype}", G, G[: n - m]


def check_finite(result: Result[Tensor], aggregator: Aggregator, name: str) -> None:
    """The output, the weights and what is remembered are finite; a score that was never given is NaN."""
    assert bool(result.output.isfinite().all()), f"the output is not finite: {name}"
    assert result.weights is None or bool(result.weights.isfinite().all()), f"a weight is not finite: {name}"
    for key, value in aggregator.state.items():
        known = value[~value.isnan()] if key.rpartition("/")[2].startswith("scores of ") else value
        assert bool(known.isfinite().all()), f"the memory {key!r} is not finite: {name}"


def check_colluders(rule: Rule) -> None:
    """colluders of every number and size leave output and memory finite, and honest rounds after them honest outputs"""
    f = getattr(rule, "f", 0)
    f = f if isinstance(f, int) else 0  # a share has no largest number that it withstands
    n = max(fewest(rule), 2 * f + 1) if f else fewest(rule) + 6
    for name, hostile, honest in colluding_stacks(rule, n, numbers_of_colluders(rule, n)):
        aggregator = Aggregator(rule)
        given_in = False
        longest = float(honest.double().norm(dim=1).max())
        rounds = (False, True, True, False) if rule.traits().history else (True,)
        for round, attacked in enumerate(rounds):
            G = hostile if attacked else random_stack(rule, seed=round, extra=n - fewest(rule), d=D).to(hostile)
            result = next_round(aggregator, G)
            check_finite(result, aggregator, f"{name}, round {round}")
            far = float(result.output.double().norm()) > FAR * longest
            given_in = given_in or (attacked and far)
        # A rule that has given in to them may remember what it then made.
        assert rounds[-1] or given_in or not far, f"the honest round after hostile ones is not honest: {name}"


def check_alike(rule: Rule) -> None:
    """rows that are nearly alike give an output near them"""
    apart = random_stack(rule, seed=8, d=D)
    for spread, dtype in product(SPREADS, SIZES):
        aggregator = Aggregator(rule)
        G = (apart[0] + spread * (apart - apart[0])).to(dtype)
        rounding = 8 * torch.finfo(dtype).eps
        for round in range(5 if rule.traits().history else 1):
            result = next_round(aggregator, G)
            name = f"rows with spread {spread:g} in {dtype}, round {round}"
            check_finite(result, aggregator, name)
            if "box" in rule.traits().properties:
                slack = rounding * G.abs().amax(0)
                inside = (result.output >= G.amin(0) - slack) & (result.output <= G.amax(0) + slack)
                assert bool(inside.all()), f"the output is outside of the {name}"
            if "unanimity" in rule.traits().properties:
                with Named(name):
                    close(result.output, G[0], rtol=10 * spread + rounding)


def breakdown(rule: Rule, G: Tensor) -> None:
    """Claim: m <= withstands(n) colluders leave the output within 2 (n - m) / (n - 2m) diameters of the honest mean."""
    for n in {fewest(rule), max(fewest(rule), 3), len(G)}:
        for name, stack, honest in colluding_stacks(rule, n, range(1, rule.withstands(n) + 1)):
            output = next_round(Aggregator(rule), stack).output.double()
            honest = honest.double()
            off = float((output - honest.mean(0)).norm())
            diameter = float(torch.cdist(honest, honest).max())
            most = 2 * len(honest) / (2 * len(honest) - n) * diameter
            # A single honest row has no diameter.
            most += 1e-6 * float(honest.norm(dim=1).max())
            assert off <= most, f"the output is {off:.3g} from the honest mean, {most:.3g} is claimed: {name}"


CHECKS = (check_colluders, check_alike)
