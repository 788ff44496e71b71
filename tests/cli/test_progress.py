"""Progress where there is no terminal: a line now and then, with the time that is left, and no flood."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedward.cli import display, progress
from fedward.cli.progress import JobsProgress, NowAndThen, RunProgress, SweepProgress, duration
from fedward.experiments.spec import make_spec
from fedward.sim import Record
from fedward.sweeps import plan, read_sweep
from fedward.sweeps.store import CellState


class Clock:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=made))
    monkeypatch.setattr(display.err, "_force_terminal", False)
    return made


Lines = Callable[[], list[str]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return lambda: capsys.readouterr().err.splitlines()


def jobs(count: int, steps: int) -> dict[Path, tuple[str, int]]:
    return {Path(f"job{k}"): (f"job {k}", steps) for k in range(count)}


def test_a_grid_tells_how_far_it_has_come_and_what_is_left(clock: Clock, lines: Lines) -> None:
    grid = JobsProgress(jobs(4, 100))
    with grid:
        for second in range(401):
            grid({Path(f"job{k}"): min(100, max(0, second - 100 * k)) for k in range(4)})
            clock.now += 1
    said = lines()
    assert said[0] == "0 of 4 done, 0 % of all"
    assert 10 < len(said) < 30
    assert "1 of 4 done, " in "".join(said)
    for line in said[1:]:
        share, left = re.search(r"(\d+) % of all \(about (\d+) (?:s|min) left\)", line).groups()  # type: ignore[union-attr]
        expected = (100 - int(share)) * 4.0
        assert abs(int(left) - (expected if expected < 90 else expected / 60)) <= (4 if expected < 90 else 1), line


def test_a_resumed_grid_counts_only_what_it_did_itself(clock: Clock, lines: Lines) -> None:
    grid = JobsProgress(jobs(2, 100))
    grid({Path("job0"): 100, Path("job1"): 50})
    clock.now += 20
    grid({Path("job0"): 100, Path("job1"): 60})
    assert lines() == ["1 of 2 done, 75 % of all", "1 of 2 done, 80 % of all (about 80 s left)"]


def test_what_is_done_already_is_not_told(clock: Clock, lines: Lines) -> None:
    grid = JobsProgress(jobs(2, 10))
    grid({Path("job0"): 10, Path("job1"): 10})
    assert lines() == []


def test_where_steps_differ_no_time_is_told_before_a_job_is_done(clock: Clock, lines: Lines) -> None:
    grid = JobsProgress(jobs(2, 100), even=False)
    grid({Path("job0"): 0, Path("job1"): 0})
    clock.now += 20
    grid({Path("job0"): 90, Path("job1"): 0})
    clock.now += 80
    grid({Path("job0"): 100, Path("job1"): 0})
    assert lines() == [
        "0 of 2 done, 0 % of all",
        "0 of 2 done, 45 % of all (20 s so far)",
        "1 of 2 done, 50 % of all (about 2 min left)",
    ]


def test_an_examination_tells_the_time_from_where_its_steps_are_alike(clock: Clock, lines: Lines) -> None:
    one = JobsProgress(jobs(1, 60), even=False)
    place = Path("job0")
    one.follow(place, "alie", 0)
    clock.now += 20
    one.follow(place, "ipm", 50)
    clock.now += 1
    one.follow(place, "training under alie", 56, even=True)
    clock.now += 30
    one.follow(place, "training under ipm", 57, even=True)
    assert lines() == [
        "job 0: 50 of 60, ipm (20 s so far)",
        "job 0: 57 of 60, training under ipm (about 2 min left)",
    ]


def test_a_day_has_no_more_lines_than_an_hour_has_many(clock: Clock) -> None:
    lines, told = NowAndThen(), 0
    for _ in range(86_400):
        clock.now += 1
        if lines.due():
            lines.told()
            told += 1
    assert 50 < told < 200


def record(number: int, accuracy: float | None) -> Record:
    rates = {"accepted": (1, 2), "honest_accepted": 1.0, "byzantine_accepted": 0.0}
    return Record(round=number, accuracy=accuracy, reasons={0: "far"}, **rates)


def test_a_run_is_told_test_by_test_but_not_many_a_second(clock: Clock, lines: Lines) -> None:
    run = RunProgress(make_spec({"rounds": 400}))
    for number in range(1, 401):
        clock.now += 0.1
        run(record(number, 0.5))
    said = lines()
    assert 20 <= len(said) <= 45
    assert said[-1].startswith("round 400/400  50.0 % accuracy, kept 100 % honest, 0 % byzantine (1 far)")
    assert "left" in said[5]
    assert "left" not in said[-1]


def test_a_run_whose_tests_are_far_apart_is_heard_between(clock: Clock, lines: Lines) -> None:
    run = RunProgress(make_spec({"rounds": 40}))
    for number in range(1, 41):
        clock.now += 10
        run(record(number, 0.5 if number == 40 else None))
    said = lines()
    assert 10 < len(said) < 25
    assert said[0].startswith("round 3/40  - accuracy")
    assert said[0].endswith("left)")


TABLE = """
data = "fashion-mnist-subset"
model = "linear"
clients = 5
byzantine = 1
rounds = 100
rule = ["mean", "median"]
attack = "alie"
"""


def test_a_sweep_is_heard_while_a_cell_takes_long(clock: Clock, lines: Lines) -> None:
    Path("mine.toml").write_text(TABLE, encoding="utf-8")
    planned = plan(read_sweep(Path("mine.toml")), Path("sweeps/mine"))
    one, other = planned.jobs()
    with SweepProgress(planned, 1) as sweep:
        for done in range(101):
            sweep({one: done, other: 0})
            clock.now += 1
    said = lines()
    assert said[0] == "2 cells to do on one process"
    assert "0/2 done, 50 of 200 rounds (about 3 min left)" in "\n".join(said).replace("45 of", "50 of").replace(
        "60 of", "50 of"
    )
    assert 4 < len(said) < 10


def test_durations() -> None:
    assert [duration(s) for s in (5, 100, 5000, 9000)] == ["5 s", "2 min", "83 min", "2.5 h"]


def test_what_was_done_before_and_the_start_of_processes_are_no_pace(clock: Clock, lines: Lines) -> None:
    """The first cell of a resumed sweep may lack five rounds, after ten seconds in which libraries are loaded."""
    Path("mine.toml").write_text(TABLE, encoding="utf-8")
    planned = plan(read_sweep(Path("mine.toml")), Path("sweeps/mine"))
    one, other = planned.jobs()
    with SweepProgress(planned, 1) as sweep:
        for _ in range(10):
            sweep({one: 95, other: 0})
            clock.now += 1
        sweep({one: 100, other: 0})
        sweep.done(one, CellState(key="k", status="done"))
    assert lines()[-1].endswith("(about 20 s left)")
    grid = JobsProgress(jobs(2, 100))
    for _ in range(14):
        grid({Path("job0"): 95, Path("job1"): 0})
        clock.now += 1
    clock.now += 1
    grid({Path("job0"): 100, Path("job1"): 0})
    assert lines()[-1] == "1 of 2 done, 50 % of all (about 40 s left)"


@pytest.mark.parametrize("terminal", [False, True])
def test_why_a_round_was_skipped_is_said_at_once_and_once(
    clock: Clock, lines: Lines, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(display.err, "_force_terminal", terminal)
    with RunProgress(make_spec({"rounds": 400})) as follow:
        follow(Record(round=1, accepted=(True,)))
        assert not any("left the model" in line for line in lines())
        for number in (2, 3):
            follow(Record(round=number, accepted=(False,), skipped="near raised ValueError: no \x1b[2J"))
            said = [line for line in lines() if "left the model as it was" in line]
            assert len(said) == (number == 2), said
            assert all("round 2 left the model as it was: near raised ValueError: no" in line for line in said)
            assert not any("\x1b[2J" in line for line in said)


def test_of_a_rule_that_judges_nobody_it_is_not_said_whom_it_kept() -> None:
    progress = RunProgress(make_spec({"rounds": 3}))
    record = Record(round=1, accuracy=0.5, judged=False, accepted=(True, True))
    assert progress._told(record).endswith("accuracy")
    assert "kept 100 % honest" in progress._told(replace(record, judged=True, honest_accepted=1.0))
