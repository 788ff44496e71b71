"""Every registered rule on hostile stacks, with compiled loops and without: the same verdict, and never a NaN."""

from __future__ import annotations

import random

import torch
from torch import Tensor

import fedward as fw
from fedward.core import BoundError, Reason
from fedward.stack import Dense, loops_from
from fedward.testing import fewest
from fedward.testing.rounds import next_round
from tests.fuzz.mutations import attempt, in_time
from tests.fuzz.table import Tried

SURFACE = "rules on hostile stacks"
WEIGHT = 0.5
_ROUNDS = 2
_SECONDS = 120.0  # loops are compiled within the first ones


def try_inputs(count: int, seed: int) -> Tried:
    """So many rules with stacks, each rule in turn."""
    rng = random.Random(seed)
    tried = Tried()
    rules = [entry.build() for entry in fw.catalogue("rule", packaged=True)]
    for number in range(count):
        rule = rules[number % len(rules)]
        n = fewest(rule) + rng.choice((0, 0, 1, 2, 5))
        d = rng.choice((1, 2, 3, 17, 64))
        dtype = rng.choice((torch.float32, torch.float64))
        stacks = [_stack(rng, n, d).to(dtype) for _ in range(_ROUNDS)]

        def work(rule: fw.Rule = rule, stacks: list[Tensor] = stacks) -> str | None:
            with in_time(_SECONDS):
                return _unsound(rule, stacks)

        attempt(tried, f"seed {seed}, stack {number}, {rule!r}, {n} x {d} {dtype}", work, (), _SECONDS)
    return tried


def _stack(rng: random.Random, n: int, d: int) -> Tensor:
    """Rows around a common direction, and among them a few that somebody made up."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    G = torch.randn(d, generator=generator) + 0.8 * torch.randn(n, d, generator=generator)
    for _ in range(rng.choice((0, 1, 1, 2, n // 2))):
        row, column = rng.randrange(n), rng.randrange(d)
        way = rng.randrange(9)
        if way == 0:
            G[row, column] = rng.choice((torch.nan, torch.inf, -torch.inf))
        elif way == 1:
            G[row] = rng.choice((torch.nan, torch.inf))
        elif way == 2:
            G[row] = 0
        elif way == 3:
            G[row] = G[rng.randrange(n)]
        elif way == 4:
            G[row] *= rng.choice((-1, 1e3, 1e6, 1e-6))
        elif way == 5:
            G[row] = rng.choice((1e18, -1e18, 1e-30, 1.0))
        elif way == 6:
            G[row, column] = rng.choice((1e18, -1e18, 0.0, -0.0))
        elif way == 7:
            G[:, column] = rng.choice((0.0, 1.0))
        else:
            G[row] = -G.nan_to_num(0, 0, 0).mean(0)
    return G


def _unsound(rule: fw.Rule, stacks: list[Tensor]) -> str | None:
    """What is wrong with a rule's verdicts over rounds; None if nothing is."""
    looped, plain = fw.Aggregator(rule), fw.Aggregator(rule)
    for number, G in enumerate(stacks):
        before = G.clone()
        with loops_from(1):
            first = _verdict(looped, G)
        with loops_from(None):
            second = _verdict(plain, G)
        if not torch.equal(G.nan_to_num(1e38, 2e38, 3e38), before.nan_to_num(1e38, 2e38, 3e38)):
            return "the input was changed"
        if isinstance(first, str) or isinstance(second, str):
            if first != second:
                return f"round {number}: with loops {first}, without {second}"
            continue
        wrong = _wrong(rule, G, first) or _apart(G, first, second)
        if wrong:
            return f"round {number}: {wrong}"
    return None


def _verdict(aggregate: fw.Aggregator, G: Tensor) -> fw.Result[Tensor] | str:
    """The verdict, or in a sentence why there is none."""
    try:
        return next_round(aggregate, Dense(G, block=7))
    except BoundError as error:
        return str(error)


def _wrong(rule: fw.Rule, G: Tensor, result: fw.Result[Tensor]) -> str | None:
    finite = G.isfinite().all(1)
    if not result.output.isfinite().all():
        return f"the output is {result.output}"
    if (result.accepted & ~finite).any():
        return "a row with NaN or Inf is accepted"
    if any((reason is Reason.NONFINITE) == bool(ok) for reason, ok in zip(result.reasons, finite, strict=True)):
        return f"reasons are {result.reasons}, finite are {finite}"
    if result.weights is None:
        return None
    if not result.weights.isfinite().all():
        return f"weights are {result.weights}"
    if rule.traits().server_rows:
        return None
    combined = result.weights @ G.nan_to_num(0, 0, 0).double()
    size = (result.weights.abs() @ G.nan_to_num(0, 0, 0).double().abs()).max()
    far = (combined - result.output.double()).abs().max()
    return None if far <= 1e-5 * size + 1e-30 else f"the output is {far:g} from what the weights make, of {size:g}"


def _apart(G: Tensor, first: fw.Result[Tensor], second: fw.Result[Tensor]) -> str | None:
    """In what the verdicts with and without loops differ."""
    if (first.reasons != second.reasons or not torch.equal(first.accepted, second.accepted)) and not _tied(
        first, second
    ):
        return f"with loops {first.reasons}, without {second.reasons}"
    far = (first.output.double() - second.output.double()).abs().max()
    size = second.output.double().abs().max()
    rows = G[first.accepted].double().abs()  # what cancels is as exact as these are
    scale = float(rows.max()) if rows.numel() else 0.0
    return None if far <= 1e-4 * size + 1e-6 * scale else f"outputs are {far:g} apart, of {size:g}"


def _tied(first: fw.Result[Tensor], second: fw.Result[Tensor]) -> bool:
    """Whether rows that verdicts differ in have scores that only rounding tells apart: identical rows, vast ones."""
    pairs = zip(first.reasons, second.reasons, strict=True)
    rows = [row for row, (one, other) in enumerate(pairs) if one != other]
    for scores in first.scores.values():
        known = scores[scores.isfinite()].abs()
        among = scores[rows]
        if rows and among.isfinite().all() and float(among.max() - among.min()) <= 1e-6 * float(known.max()):
            return True
    return False
