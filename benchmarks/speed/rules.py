"""Our side: what is measured, and the process that runs it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import fedward as fw
from benchmarks.memory import INSTEAD, Streamed
from benchmarks.modes import Mode, modes
from benchmarks.speed.worker import Bench, Call, Handler, serve
from fedward import attacks, stack
from fedward.attacks.adaptive import OBJECTIVES, Trial
from fedward.core import BoundError, Context, Rule
from fedward.registry.entries import Entry

CANDIDATES = 40


@dataclass(frozen=True, kw_only=True)
class Line:
    """A rule as it is measured with n clients.

    Attributes:
        name: the same for every n; of a mixer, with the rule after it; of a mode, with that.
        rule: as text.
        f: the number of byzantine clients that it is told of, or that there are.
        note: where it is not what the name says, why.
        gram_needed: whether it needs the products of all rows, so that its floor is ``gram + read`` and not ``read``.
        history: whether it remembers earlier rounds.
        before: rounds that go before the first one that is measured.
    """

    name: str
    rule: str
    f: int
    note: str
    gram_needed: bool
    history: bool
    before: int = 0


def byzantine(n: int) -> int:
    """One client in five."""
    return n // 5


def lines(n: int) -> Iterator[Line]:
    """Every rule of the catalogue, and every mixer before Mean and before Krum."""
    for entry in fw.catalogue("rule", packaged=True):
        for mode in modes(entry.name):
            yield _line(entry, n, None, mode)
    for entry in fw.catalogue("mixer", packaged=True):
        for then in ("mean", "krum"):
            yield _line(entry, n, then, Mode())


def _line(entry: Entry, n: int, then: str | None, mode: Mode) -> Line:
    name = mode.named(entry.name) if then is None else f"{entry.name} >> {then}"
    instead, note = INSTEAD.get(entry.name, ({}, ""))
    if "f" in instead:  # what is tried here anyway, for every number of clients
        instead, note = {}, ""
    for f in range(byzantine(n), -1, -1):
        rule = _built(entry, then, f, {**instead, **mode.arguments})
        try:
            rule.check(n)
        except BoundError:
            continue
        if f < byzantine(n) and not note:
            note = f"f = {f}, with more it refuses"
        gram = "gram" in statistics_in(rule, n, mode.rounds)
        return Line(
            name=name,
            rule=fw.describe(rule),
            f=f,
            note=note,
            gram_needed=gram,
            history=rule.traits().history,
            before=mode.rounds,
        )
    raise ValueError(f"{name} cannot do with {n} clients")


def statistics_in(rule: Rule, n: int, rounds: int) -> set[str]:
    """The names of the statistics that a rule asks for after so many rounds."""
    aggregator, evaluator = fw.Aggregator(rule), Streamed(4) if rule.traits().root_data else None
    for _ in range(rounds):
        rows = torch.randn(n, 4, generator=torch.Generator().manual_seed(aggregator.round))
        aggregator(rows, evaluator=evaluator)
    return {statistic.name for statistic in rule.statistics(aggregator.state, Context(aggregator.round))}


def _built(entry: Entry, then: str | None, f: int, instead: dict[str, Any]) -> Rule:
    made: Any = entry.build(**({"f": f} if entry.needs_f else {}) | instead)
    if then is None:
        return made  # type: ignore[no-any-return]  # an entry of kind rule
    return made >> (fw.rules.Mean() if then == "mean" else fw.rules.Krum(f=f))  # type: ignore[no-any-return]


class Ours:
    """A rule with its memory, called round after round."""

    def __init__(self, rule: str) -> None:
        self.aggregate = fw.Aggregator(fw.parse(rule), seed=0)
        self.evaluator: Streamed | None = None

    def prepare(self, G: Tensor) -> Call:
        if self.aggregate.rule.traits().root_data and self.evaluator is None:
            self.evaluator = Streamed(G.shape[1])
        return lambda: self.aggregate(G, evaluator=self.evaluator).output

    def state_bytes(self) -> int:
        storages = [value.untyped_storage() for value in self.aggregate.state.values()]
        return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def adaptive(G: Tensor, f: int) -> dict[str, Any]:
    """Seconds of a search among candidates, and of judging one, against MultiKrum: each from new statistics."""
    rule: Rule = fw.rules.MultiKrum(f=f)

    def view() -> attacks.View:
        rows = stack.Dense(G)
        honest, own = torch.arange(len(G) - f), torch.arange(len(G) - f, len(G))
        return attacks.View(
            honest=rows.take(honest), own=rows.take(own), decide=lambda sent: rule.decide(sent, {}, Context())
        )

    def one() -> float:
        seen = view()
        sent = seen.sent(attacks.IPM(epsilon=1.0).forge(seen))
        assert seen.decide is not None
        return OBJECTIVES["distance"](Trial(plan=seen.decide(sent), stack=sent, honest=seen.honest.n))

    search = attacks.Maximise(attacks.IPM, over="epsilon", bounds=(0.0, 10.0), candidates=CANDIDATES, zooms=0)
    found: dict[str, list[float]] = {"one": [], "search": []}
    for _ in range(3):
        for name, call in (("one", one), ("search", lambda: search.best(view()))):
            start = time.perf_counter()
            call()
            found[name].append(time.perf_counter() - start)
    return {"candidates": CANDIDATES, **found}


def main() -> None:
    """Serve."""
    from benchmarks.speed.rounds import Rounds  # its imports are no part of what the rules need

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    bench = Bench(lambda rule, n, f: Ours(rule), parser.parse_args().threads)
    rounds = Rounds()
    more: dict[str, Handler] = {
        "adaptive": lambda: adaptive(bench.G, bench.f),
        "round_start": rounds.start,
        "round": rounds.step,
    }
    serve({**bench.handlers, **more})


if __name__ == "__main__":
    main()
