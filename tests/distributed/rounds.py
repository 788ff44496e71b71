"""Every registered rule for a few rounds, on a stack in one process or shared out among several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import fedward as fw
from fedward import mixers, rules
from fedward.distributed import Sharded
from fedward.stack import Dense, Updates
from fedward.testing.rounds import next_round
from fedward.testing.stacks import COLUMNS, colluding, random_stack, sparse

WIDTHS = {2: (COLUMNS - 3, 3), 4: (70, 1, 130, 2)}
"""How many columns each process holds where that is for the test to choose: uneven, and across blocks."""


def midrange(G: torch.Tensor) -> torch.Tensor:
    """Halfway between the extremes of each column, and a number that only one process holds."""
    return (G.amin(0) + G.amax(0)) / 2 + G[0, 0]


CHAINS = [
    mixers.ClipNorm(radius="median") >> rules.SignGuard(),
    mixers.Normalize() >> rules.GeometricMedian(),
    mixers.ARC(f=1) >> rules.TrimmedMean(f=1),
    mixers.NNM(f=1) >> rules.TrimmedMean(f=1),
    mixers.Bucketing(s=2) >> mixers.NNM(f=1) >> rules.MultiKrum(f=1),
    mixers.SequentialBucketing(s=2) >> rules.CenteredClipping(radius=3.0),
    mixers.GroupMajority(r=2) >> rules.FedSECA(momentum=0.5),
    rules.SignGuard() >> rules.TrimmedMean(f=0.2),
    rules.SignGuard(variant="official") >> rules.Median(),
    rules.FLDetector(window=1, momentum=0.5),
    rules.SignGuardSim(warmup=1),
    rules.SignGuardDist(warmup=1),
    rules.ClassWise(base=rules.FLTrust()),
    rules.DnC(f=1, subsample=60, iterations=3),
    fw.rule(midrange),
]


SOME = {"mean", "median", "krum", "bulyan", "dnc", "ties", "fedseca", "lasa", "flame", "fltrust", "zeno", "fldetector"}
"""Rules that four processes try: of every way to read rows one."""


def cases(size: int) -> dict[str, fw.Rule]:
    """What so many processes try, by name."""
    rules = {entry.name: entry.build() for entry in fw.catalogue("rule", packaged=True)}
    if size == 2:
        return rules | {repr(rule): rule for rule in CHAINS}
    return {name: rules[name] for name in sorted(SOME)} | {repr(rule): rule for rule in CHAINS[:2]}


def stacks(rule: fw.Rule) -> list[torch.Tensor]:
    """The rows of three rounds; in the second one is not finite."""
    broken = random_stack(rule)
    broken[2, 100] = torch.nan
    return [colluding(rule), broken, sparse(rule)]


def told(result: fw.Result[torch.Tensor]) -> dict[str, Any]:
    """What a round came to, as it can be told to another process."""
    return {
        "output": result.output,
        "weights": result.weights,
        "accepted": result.accepted,
        "reasons": [str(reason) for reason in result.reasons],
        "scores": dict(result.scores),
        "note": result.note,
    }


def played(rule: fw.Rule, stack: Callable[[torch.Tensor], Updates]) -> list[dict[str, Any]]:
    """What the rounds came to."""
    aggregator = fw.Aggregator(rule, seed=3, trimmed=True)
    rounds = []
    for G in stacks(rule):
        shared = stack(G)
        result = next_round(aggregator, shared)
        rounds.append(told(shared.gather(result) if isinstance(shared, Sharded) else result))
    return rounds


def alone() -> dict[str, list[dict[str, Any]]]:
    """All rules in one process."""
    return {name: played(rule, Dense) for name, rule in cases(2).items()}


def together(rank: int) -> dict[str, list[dict[str, Any]]]:
    """All rules in several processes, which hold columns or, where they are two, are handed rows."""
    size = torch.distributed.get_world_size()

    def columns(G: torch.Tensor) -> Updates:
        return Sharded.of_columns(torch.split(G, WIDTHS[size], 1)[rank])

    def rows(G: torch.Tensor) -> Updates:
        return Sharded.of_rows(G[: len(G) // 3] if rank == 0 else G[len(G) // 3 :])

    return {name: played(rule, rows if size == 2 else columns) for name, rule in cases(size).items()}
