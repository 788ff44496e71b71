"""What is not about one rule: rounds of training, a search against a rule, the memory of a simulation."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.measure import SEED, SETTLE
from benchmarks.speed.process import ROOT, AnswerError, StoppedError, Worker, environment
from benchmarks.speed.rounds import BATCH, BYZANTINE, BYZFL, CLIENTS, OURS
from benchmarks.speed.rules import byzantine

N = 50


def rounds(ours: Worker, theirs: Worker | None, turns: int) -> dict[str, Any]:
    """Seconds of a round: ours, the plain loop's and ByzFL's in turns; the first of each is not counted."""
    going: list[tuple[str, str, Worker, dict[str, Any]]] = []
    found: dict[str, Any] = {"fedward": {}, "clients": CLIENTS, "byzantine": BYZANTINE, "batch": BATCH}
    ours.ask("round_start")
    going += [("fedward", name, ours, {"name": name}) for name in OURS]
    if theirs is not None:
        found["ByzFL"] = {}
        going += [("ByzFL", name, theirs, {"name": name}) for name in BYZFL]
        try:
            theirs.ask("round_start", clients=CLIENTS, byzantine=BYZANTINE, batch=BATCH, aggregators=list(BYZFL))
        except (StoppedError, AnswerError) as why:
            found["ByzFL"] = {name: {"stopped": str(why)} for name in BYZFL}
            going = going[: len(OURS)]
    taken: dict[tuple[str, str], list[float]] = {(library, name): [] for library, name, _, _ in going}
    for turn in range(turns + 1):
        for library, name, worker, asked in going:
            time.sleep(SETTLE)
            seconds = worker.ask("round", **asked)["seconds"]
            if turn:
                taken[library, name].append(seconds)
    for (library, name), each in taken.items():
        found[library][name] = {"min": min(each), "median": statistics.median(each), "turns": len(each)}
    return found


def adaptive(ours: Worker, d: int) -> dict[str, Any]:
    """The search against MultiKrum."""
    ours.hold(n=N, d=d, f=byzantine(N), seed=SEED)
    return {"adaptive": {**ours.ask("adaptive"), "n": N, "d": d}}


def resnet(threads: int, clients: int, rounds: int, memory: float) -> dict[str, Any]:
    """Peak memory of a simulation in a process of its own."""
    return {"clients": clients, **_alone("resnet", threads, memory, clients=clients, rounds=rounds)}


def disk(threads: int, gigabytes: float) -> dict[str, Any]:
    """Aggregation of rows that stay on disk, in a process of its own."""
    memory = float("inf")  # files that are mapped would count
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:  # not where temporary files may be kept in memory
        return _alone("disk", threads, memory, gigabytes=gigabytes, folder=folder)


def _alone(module: str, threads: int, memory: float, **options: object) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.speed.{module}", "--threads", str(threads)]
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(command, environment(threads, [ROOT, ROOT / "src"]), memory, Path(folder) / "log")
        try:
            return worker.ask("run")  # it heeds no question, it says what it found
        except (StoppedError, AnswerError) as why:
            return {"stopped": str(why)}
        finally:
            worker.close()
