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
from benchmarks.speed.worker import Bench, Call, Handler, serve
from fedward import attacks, stack
from fedward.attacks.adaptive import OBJECTIVES, Trial
from fedward.registry import Entry
from fedward.rule import BoundError, Context, Rule

CANDIDATES = 40


@dataclass(frozen=True)
class Line:
    """A rule as it is measured with n clients.

    Attributes:
        name: the same for every n; of a mixer, with the rule after it.
        rule: as text.
        f: the number of byzantine clients that it is told of, or that there are.
        note: where it is not what the name says, why.
        gram_needed: whether it needs the products of all rows, so that its floor is ``gram + read`` and not ``read``.
        history: whether it remembers earlier rounds.
    """

    name: str
    rule: str
    f: int
    note: str
    gram_needed: bool
    history: bool


def byzantine(n: int) -> int:
    """One client in five."""
    return n // 5


def lines(n: int) -> Iterator[Line]:
    """Every rule of the catalogue, and every mixer before Mean and before Krum."""
    for entry in fw.catalogue("rule"):
        yield _line(entry, n, None)
    for entry in fw.catalogue("mixer"):
        for then in ("mean", "krum"):
            yield _line(entry, n, then)


def _line(entry: Entry, n: int, then: str | None) -> Line:
    name = entry.name if then is None else f"{entry.name} >> {then}"
    instead, note = INSTEAD.get(entry.name, ({}, ""))
    if "f" in instead:  # what is tried here anyway, for every number of clients
        instead, note = {}, ""
    for f in range(byzantine(n), -1, -1):
        rule = _built(entry, then, f, instead)
        try:
            rule.check(n)
        except BoundError:
            continue
        if f < byzantine(n) and not note:
            note = f"f = {f}, with more it refuses"
        gram = any(statistic.name == "gram" for statistic in rule.statistics({}, Context()))
        return Line(name, fw.describe(rule), f, note, gram, rule.history)
    raise ValueError(f"{name} cannot do with {n} clients")


def _built(entry: Entry, then: str | None, f: int, instead: dict[str, int]) -> Rule:
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
        if self.aggregate.rule.root_data and self.evaluator is None:
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
        return attacks.View(rows.take(honest), rows.take(own), decide=lambda sent: rule.decide(sent, {}, Context()))

    def one() -> float:
        seen = view()
        sent = seen.sent(attacks.IPM(epsilon=1.0).forge(seen))
        assert seen.decide is not None
        return OBJECTIVES["distance"](Trial(seen.decide(sent), sent, seen.honest.n))

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
