"""Sweeps for tests: rows and records that were made up, of cells that are real."""

import math

from fedward.report import of_sweep
from fedward.sim import Record
from fedward.sweeps import Row, make_sweep
from fedward.sweeps.measures import of_run, with_impacts
from fedward.sweeps.rows import accuracies

BASE = {"data": "fashion-mnist-subset", "rounds": 40, "evaluate_every": 10, "clients": 50, "title": "A sweep"}
LONG = "random-schedule:attacks=(no-attack | random | noise | label-flip | alie | min-max),every={}"


def records(levels, every=10):
    return [
        Record(round=every * i, accuracy=level, loss=1.0, accepted=(True,) * 4, honest_accepted=1.0)
        for i, level in enumerate(levels, 1)
    ]


def made_up(table, level=None, left_out=(), published=None):
    """A sweep whose cells reach what `level` says of them; those that are left out failed."""
    sweep = make_sweep({**BASE, **table}, name="made-up") if published is None else published
    rows, kept = [], {}
    for number, cell in enumerate(sweep.cells):
        config = cell.spec.resolved()
        reached = 0.5 + 0.4 * math.sin(number) if level is None else level(cell)
        failed = reached is None or cell.name in left_out
        tests = [] if failed else records([0.5 * reached, 0.8 * reached, 0.9 * reached, reached])
        best, last = accuracies(tests)
        rows.append(
            Row(
                cell=cell.name,
                key="",
                group=cell.group,
                status="failed" if failed else "done",
                config=config,
                rounds_done=10 * len(tests),
                best=best,
                last=last,
                seconds=12.0,
                error="its data are not there; fetch them" if failed else "",
                measures=of_run(tests),
            )
        )
        if tests:
            kept[cell.name] = tests
    return of_sweep(sweep, with_impacts(rows), kept)
