"""The plumbing of the benchmark: what it makes of numbers, and that a tiny run goes through."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.speed import judge, measure, parts, peers, process, report, worker
from benchmarks.speed.rules import Line, lines

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "evidence" / "speed.md"
RESULT = ROOT / "results" / "speed" / "speed.json"


def span(seconds: float) -> dict[str, float]:
    return {"min": seconds, "median": 1.1 * seconds, "turns": 3}


def record(name: str, n: int, d: int, seconds: float, **more: Any) -> dict[str, Any]:
    found = {"name": name, "rule": name, "f": n // 5, "note": "", "gram_needed": name == "krum", "history": False}
    found |= {"n": n, "d": d, "read": span(0.1), "gram": span(1.0), "seconds": span(seconds), "peers": []}
    return {**found, "extra_bytes": 10**6, "state_bytes": 0, **more}


def data(*records: dict[str, Any], **more: Any) -> dict[str, Any]:
    machine = {"processor": "P", "cores": 2, "caches": {"L2": "1M"}, "memory_gib": 8, "system": "S", "threads": 2}
    machine |= {"python": "3", "torch": "2", "numpy": "2", "date": "2000-01-01", "commit": "abc"}
    return {"machine": machine, "settings": {"most": 9, "limit": 40, "memory": 8}, "lines": list(records), **more}


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_the_exponent_of_a_power_is_found(power: float) -> None:
    assert judge.exponent((x, 3e-4 * x**power) for x in (10, 50, 100, 1000)) == pytest.approx(power)


def test_one_size_has_no_exponent() -> None:
    assert judge.exponent([(10, 1.0), (10, 2.0)]) is None
    assert judge.exponent([]) is None


def test_growth_is_fitted_in_rows_and_in_columns_apart() -> None:
    rows = [record("median", n, judge.COLUMNS, 1e-6 * n**2) for n in (10, 100)]
    columns = [record("median", 50, d, 1e-9 * d) for d in (10**6, 10**7)]
    in_n, in_d = judge.growth(data(*rows, *columns), "median")
    assert (in_n, in_d) == (pytest.approx(2), pytest.approx(1))


@pytest.mark.parametrize(("seconds", "word"), [(0.8, "met"), (0.81, "NOT MET")])
def test_a_budget_of_readings(seconds: float, word: str) -> None:
    verdict = judge.verdicts(data(record("median", 50, 10**7, seconds)))[0]
    assert (verdict.what, verdict.word) == ("median", word)
    assert "x read" in verdict.found


def test_a_budget_of_products_and_readings() -> None:
    of = {v.what: v for v in judge.verdicts(data(record("krum", 50, 10**7, 2.79)))}
    assert of["krum"].met
    assert str(judge.BUDGETS["krum"]) == "2.5 x gram + 3 x read"
    assert of["median"].word == "not measured"


def test_what_was_stopped_misses_its_budget() -> None:
    stopped = record("median", 50, 10**7, 1.0)
    del stopped["seconds"]
    stopped["stopped"] = "more than 40 s"
    verdict = judge.verdicts(data(stopped))[0]
    assert (verdict.word, verdict.found) == ("NOT MET", "more than 40 s")
    assert "more than 40 s" in report.page(data(stopped), "x.json")


def test_memory_over_the_bound_is_named() -> None:
    found = data(record("mean", 50, 10**6, 0.1), record("krum", 50, 10**6, 1.0, extra_bytes=10**9))
    verdict = next(v for v in judge.verdicts(found) if v.what.startswith("extra memory"))
    assert verdict.met is False
    assert "over: krum" in verdict.found


def test_the_rest_of_the_budget() -> None:
    rounds = {"fedward": {"plain loop": span(0.2), "SignGuard": span(0.1)}}
    search = {"candidates": 40, "one": [1.0, 1.1], "search": [1.3]}
    resnet = {"clients": 50, "peak_bytes": 4.9e9}
    taken = {"seconds": 4.0, "extra_bytes": 5e8}
    disk = {"bytes": 22e9, "read": 2.0, "rules": {"mean": taken, "median": dict(taken)}}
    verdicts = judge.verdicts(data(rounds=rounds, adaptive=search, resnet=resnet, disk=disk))[-4:]
    assert [v.met for v in verdicts] == [True, True, False, True]
    disk["rules"]["median"]["extra_bytes"] = 3e9
    assert not next(v for v in judge.verdicts(data(disk=disk)) if "files" in v.what).met
    assert not next(v for v in judge.verdicts(data(disk={"stopped": "no room"})) if "files" in v.what).met


def test_the_floor_has_products_only_where_they_are_needed() -> None:
    assert judge.multiple(record("median", 50, 10, 0.2)) == pytest.approx(2)
    assert judge.multiple(record("krum", 50, 10, 2.2)) == pytest.approx(2)


def peer(seconds: float | None, differs: str = "", distance: float | None = 1e-7) -> dict[str, Any]:
    found = {"library": "ByzFL", "what": "Median", "differs": differs, "distance": distance}
    more = {"stopped": "more than 40 s"} if seconds is None else {"seconds": span(seconds), "extra_bytes": 2e8}
    return {**found, **more}


def test_a_row_for_every_peer() -> None:
    small = record("median", 50, judge.COLUMNS, 0.1, peers=[peer(0.5)])
    large = record("median", 50, 10**7, 1.0, peers=[peer(None, distance=None)])
    rows = report.peer_rows(data(small, large))
    assert rows == [["median", "ByzFL Median", "5 x", "more than 40 s", "200 MB", "same"]]
    assert report.library_rows(data(small, large)) == [["ByzFL", "1", "5 x", "0 of 1 measurements", "1 of 2"]]


def test_another_output_is_reported() -> None:
    assert report.agreement([peer(1.0, distance=0.3)]) == "another output, by up to 3.0e-01"
    assert report.agreement([peer(1.0, "wider", distance=0.3)]) == "wider (another output)"
    assert report.agreement([peer(1.0, "wider")]) == "wider (same output here)"


@pytest.mark.parametrize(
    ("value", "shown"), [(12.34, "12.3 s"), (0.0123, "12.3 ms"), (0.5, "500 ms"), (4e-5, "40 us"), (None, "")]
)
def test_seconds_have_three_digits(value: float | None, shown: str) -> None:
    assert report.seconds(value) == shown


def test_the_page_in_docs_is_made_from_the_results() -> None:
    found = json.loads(RESULT.read_text())
    assert PAGE.read_text(encoding="utf-8") == report.page(found, str(RESULT.relative_to(ROOT))), (
        "docs/evidence/speed.md is not current: python -m benchmarks.speed --page"
    )
    assert (ROOT / "docs" / "evidence" / "speed.svg").exists()


def test_distance_is_relative() -> None:
    a = np.full(10, 2.0, np.float32)
    assert measure.distance(a, a) == 0
    assert measure.distance(a, 1.5 * a) == pytest.approx(0.5)
    assert measure.distance(a, a[:5]) is None


def test_a_line_for_every_rule_with_an_f_that_it_can_do_with() -> None:
    found = {line.name: line for line in lines(10)}
    assert set(judge.BUDGETS) <= found.keys()
    assert {peer.rule for peer in peers.PEERS} <= found.keys()
    assert (found["krum"].f, found["bulyan"].f) == (2, 1)
    assert found["bulyan"].note
    assert found["krum"].gram_needed
    assert not found["median"].gram_needed


def test_the_peers_side_needs_nothing_of_fedward() -> None:
    code = (
        "import sys, benchmarks.speed.peers, benchmarks.speed.byzfl_round, benchmarks.speed.worker;"
        "sys.exit('fedward' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_a_module_is_imported_past_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "broken_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError")
    (package / "whole.py").write_text("value = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert parts.part("broken_package", "whole").value == 1
    for name in ("broken_package", "broken_package.whole"):
        del sys.modules[name]


class Doubling:
    """A contender that keeps nothing."""

    def prepare(self, G: torch.Tensor) -> worker.Call:
        return lambda: 2 * G[0]

    def state_bytes(self) -> int:
        return 0


def test_a_bench_calls_its_contenders(tmp_path: Path) -> None:
    bench = worker.Bench(lambda what, n, f: Doubling(), torch.get_num_threads())
    bench.stack(4, 8, 1, seed=0)
    out = tmp_path / "out.npy"
    assert bench.first("a", "a", 1, str(out))["seconds"] > 0
    assert np.load(out) == pytest.approx(2 * bench.G[0].numpy())
    assert bench.again("a")["seconds"] > 0
    assert torch.equal(bench.G[-1], -1.5 * bench.G[0])
    assert set(bench.floor(True)) == {"read", "gram"}
    bench.drop()
    with pytest.raises(KeyError, match="called first"):
        bench.again("a")


SLEEPER = """
import sys, time
from benchmarks.speed.worker import serve
def fail(): raise ValueError("no such thing")
serve({"sleep": lambda s: time.sleep(s) or {"slept": s}, "fail": fail, "leave": lambda: sys.exit(3)})
"""


def test_a_worker_is_stopped_and_started_again(tmp_path: Path) -> None:
    env = process.environment(1, [ROOT])
    one = process.Worker([sys.executable, "-c", SLEEPER], env, 8e9, tmp_path / "log")
    try:
        assert one.ask("sleep", s=0.0) == {"slept": 0.0}
        with pytest.raises(process.AnswerError, match="ValueError: no such thing"):
            one.ask("fail")
        with pytest.raises(process.StoppedError, match=r"more than 0\.2 s"):
            one.ask("sleep", 0.2, s=60)
        assert one.process is None
        with pytest.raises(process.StoppedError, match="code 3"):
            one.ask("leave")
        one.memory = 1.0
        with pytest.raises(process.StoppedError, match="of memory"):
            one.ask("sleep", s=60)
    finally:
        one.close()


class Slow:
    """A worker whose every first call is stopped."""

    process = None
    asked = 0

    def hold(self, **stack: int) -> None:
        """Nothing to hold."""

    def ask(self, do: str, limit: float = 0, **arguments: Any) -> dict[str, Any]:
        self.asked += 1
        raise process.StoppedError("more than 40 s")


def test_what_was_stopped_is_not_tried_on_larger_stacks(tmp_path: Path) -> None:
    slow = Slow()
    options = measure.Options(seconds=0.1, limit=1, most=2)
    bench = measure.Bench(slow, None, options=options, folder=tmp_path, tell=lambda text: None)  # type: ignore[arg-type]
    line = Line(name="median", rule="median", f=1, note="", gram_needed=False, history=False)
    assert bench._line(line, 10, 100)["stopped"] == "more than 40 s"
    assert bench._line(line, 10, 1000)["stopped"] == "was stopped at n = 10, d = 100"
    assert bench._line(line, 5, 1000)["stopped"] == "more than 40 s"
    assert slow.asked == 2


def test_a_tiny_run_goes_through(tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    arguments = "--no-peers --only-rules --threads 1 --seconds 0.01 --sizes 10x500 50x400 50x4000 --rules median krum"
    command = [sys.executable, "-m", "benchmarks.speed", *arguments.split(), "nnm >> krum"]
    command += ["--json", str(file), "--docs", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]), "COLUMNS": "200"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert [(r["name"], r["n"]) for r in found["lines"][:3]] == [("krum", 10), ("median", 10), ("nnm >> krum", 10)]
    assert all(r["seconds"]["min"] > 0 for r in found["lines"])
    assert found["machine"]["threads"] == 1
    assert "## The budget" in (tmp_path / "speed.md").read_text()
    assert (tmp_path / "speed.svg").read_text().startswith("<?xml")
    assert {verdict.what for verdict in judge.verdicts(found)} >= {"krum", "median"}
    for verdict in judge.verdicts(found):
        assert re.search(rf"{re.escape(verdict.what)} .*{verdict.word}", done.stdout), verdict
