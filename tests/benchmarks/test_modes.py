"""What a rule costs may depend on the round: the benchmarks measure each mode by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import fedward as fw
from benchmarks import memory
from benchmarks.modes import MODES, SAME, modes
from benchmarks.speed import __main__ as speed
from benchmarks.speed import measure, report, worker
from benchmarks.speed.rules import Line, lines, statistics_in
from fedward.registry.entries import find

N, ROUNDS = 10, 14


def built(entry: Any) -> Any:
    return entry.build(f=2) if entry.needs_f else entry.build()


def test_every_rule_that_remembers_says_whether_it_has_modes() -> None:
    with_memory = {e.name for e in fw.catalogue("rule", packaged=True) if built(e).traits().history} | {
        e.name for e in fw.catalogue("mixer", packaged=True) if e.history
    }
    assert with_memory - MODES.keys() - SAME == set()
    assert MODES.keys() <= {e.name for e in fw.catalogue("rule", packaged=True)}
    assert MODES.keys().isdisjoint(SAME)


@pytest.mark.parametrize("name", sorted(SAME - {"sequential-bucketing"}))
def test_those_without_modes_ask_for_the_same_in_every_round(name: str) -> None:
    rule = built(find(name))
    assert len({frozenset(statistics_in(rule, N, rounds)) for rounds in range(1, ROUNDS, 4)}) == 1


@pytest.mark.parametrize("name", ["sign-guard-sim", "sign-guard-dist"])
def test_the_warm_up_multiplies_all_rows_and_later_rounds_do_not(name: str) -> None:
    first, later = (next(line for line in lines(N) if line.name == mode.named(name)) for mode in modes(name))
    assert first.name == f"{name} (warm-up)"
    assert (first.gram_needed, later.gram_needed) == (True, False)
    # However often they are called, at whatever size, they stay in their mode.
    for line in (first, later):
        rule, asked = fw.parse(line.rule), []
        for rounds in range(line.before, line.before + 9):
            asked.append(frozenset(statistics_in(rule, N, rounds)))
        assert len(set(asked)) == 1


def test_names_of_lines_are_told_apart() -> None:
    names = [line.name for line in lines(N)]
    assert len(names) == len(set(names))
    assert {f"{name} ({mode.label})" for name, both in MODES.items() for mode in both if mode.label} <= set(names)
    spoken = [mode.named(spec) for _, spec, _, mode in memory.contenders()]
    assert len(spoken) == len(set(spoken))


class Counting:
    """A contender that counts its calls."""

    calls = 0

    def prepare(self, G: torch.Tensor) -> worker.Call:
        def call() -> torch.Tensor:
            self.calls += 1
            return self.calls * G[0]

        return call

    def state_bytes(self) -> int:
        return 0


def test_rounds_go_before_the_first_one_that_is_measured(tmp_path: Path) -> None:
    bench = worker.Bench(lambda what, n, f: Counting(), torch.get_num_threads())

    class Here:
        process = None

        def hold(self, **stack: int) -> None:
            bench.stack(**stack)

        def ask(self, do: str, limit: float = 0, **arguments: Any) -> dict[str, Any]:
            return bench.handlers[do](**arguments)

    options = measure.Options(seconds=0.01, limit=1, most=2)
    taken = measure.Taken(worker=Here(), key="key")  # type: ignore[arg-type]
    line = Line(name="late", rule="late", f=1, note="", gram_needed=False, history=True, before=3)
    both = measure.Bench(Here(), None, options=options, folder=tmp_path, tell=lambda text: None)  # type: ignore[arg-type]
    both._first(taken, line, 4, 8)
    assert bench.live["key"].calls == 4  # type: ignore[attr-defined]
    bench.drop()
    both._first(taken, replace(line, before=0), 4, 8)
    assert bench.live["key"].calls == 1  # type: ignore[attr-defined]


def test_memory_is_measured_after_the_rounds_that_go_before(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[fw.Aggregator] = []

    class Kept(fw.Aggregator):
        def __init__(self, rule: fw.Rule, *, seed: int = 0) -> None:
            super().__init__(rule, seed=seed)
            made.append(self)

    monkeypatch.setattr(memory.fw, "Aggregator", Kept)
    monkeypatch.setattr(memory, "SMALL", 30)
    monkeypatch.setattr(memory, "peak_of", lambda call: (0, 1.0, call()))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    found = memory.measure("centered-clipping:radius=10.0", 40, 1, 2)
    assert [aggregator.round for aggregator in made] == [5, 5]  # on the small stack and on the one that counts
    assert found["third"]["state_bytes"] == 160


MACHINE = {"processor": "P", "cores": 2, "threads": 1, "date": "2001-01-01", "commit": "new", "code": "c2"}


def measured(commit: str, *names: str) -> dict[str, Any]:
    made = [{"name": name, "n": n, "d": d, "by": commit} for n, d in ((10, 57_620), (50, 57_620)) for name in names]
    return {
        "machine": {**MACHINE, "commit": commit},
        "settings": {"sizes": [[10, 57_620], [50, 57_620]]},
        "lines": made,
    }


def test_lines_that_are_measured_apart_say_so() -> None:
    before, now = measured("old", "krum", "mean", "median"), measured("new", "mean", "sign-guard-sim (warm-up)")
    found = speed.merged(before, now)
    assert found["machine"]["commit"] == "old"
    assert [(r["name"], r["n"], r["by"]) for r in found["lines"]][:4] == [
        ("krum", 10, "old"),
        ("mean", 10, "new"),
        ("median", 10, "old"),
        ("sign-guard-sim (warm-up)", 10, "new"),
    ]
    assert {r["made"]["commit"] for r in found["lines"] if "made" in r} == {"new"}
    assert report._apart(found) == ", but for these lines: mean, sign-guard-sim (warm-up) (2001-01-01, commit new)"
    assert report._apart(before) == ""
    other = {**now, "machine": {**MACHINE, "processor": "Q"}}
    with pytest.raises(SystemExit, match="measure everything anew"):
        speed.merged(before, other)


def test_rows_of_memory_that_are_measured_apart_say_so() -> None:
    size = {"n": 50, "d": 1000}
    before = {"machine": MACHINE, **size, "rows": [{"name": n, "rule": n} for n in ("krum", "rffl", "ties")]}
    now = {"machine": MACHINE, **size, "rows": [{"name": "rffl", "rule": r} for r in ("rffl (nobody removed)", "rffl")]}
    found = memory.merged(before, now)
    assert [row["rule"] for row in found["rows"]] == ["krum", "rffl (nobody removed)", "rffl", "ties"]
    assert [row["name"] for row in found["rows"] if "made" in row] == ["rffl", "rffl"]
    with pytest.raises(SystemExit, match="d was 1000, is 2000"):
        memory.merged(before, {**now, "d": 2000})
