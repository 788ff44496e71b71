"""Progress: bars on a terminal, elsewhere a line now and then, with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn
from rich.table import Column

from ..experiments.pool import Failed
from ..experiments.spec import RunSpec
from ..experiments.store import FolderError, RunFolder
from ..experiments.worth import in_vain
from ..report.pieces import numbered
from ..sim import Record
from ..sweeps.work import Outcome, Planned
from .consoles import HarmlessColumn
from .display import err, percent, say

_QUIET = 15.0
"""Seconds without a line after which there is one."""
_SHARE = 0.05
"""The share of the time so far that passes between two lines, so that a day has no more than hours have."""
_TESTS = 1.0
"""Seconds between two lines about tests."""


class NowAndThen:
    """When the next line is due: the longer it takes, the rarer they are."""

    def __init__(self) -> None:
        self._since = self._last = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since it all began."""
        return time.monotonic() - self._since

    def due(self, least: float = _QUIET) -> bool:
        """Whether enough time has passed since the last line."""
        return time.monotonic() - self._last >= max(least, _SHARE * self.elapsed)

    def told(self) -> None:
        """Note that there was a line."""
        self._last = time.monotonic()

    def left(self, done: float, of: float) -> str:
        """How long the rest takes at the pace so far, to be put after a line; nothing where nobody knows.

        Args:
            done: how much was done since it all began.
            of: how much there was to be done then.
        """
        if done <= 0 or done >= of:
            return ""
        return f" (about {duration(self.elapsed * (of - done) / done)} left)"

    def so_far(self) -> str:
        """How long it has taken, where nothing can be said of the rest."""
        return f" ({duration(self.elapsed)} so far)" if self.elapsed >= 1 else ""


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class RunProgress:
    """One line for a run: round, accuracy, who was filtered, time left; where there is no terminal, a line a test."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.accuracy: float | None = None
        self._task: TaskID | None = None
        self._first: int | None = None
        self._skipped = False
        self._lines = NowAndThen()
        self._bar = Progress(
            MofNCompleteColumn(table_column=Column(min_width=2 * len(str(spec.rounds)) + 1)),
            BarColumn(bar_width=10, table_column=Column(min_width=10)),
            TimeRemainingColumn(compact=True, table_column=Column(min_width=5)),
            HarmlessColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=err,
            disable=not err.is_terminal,
        )

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def __call__(self, record: Record) -> None:
        """Show a round."""
        if record.accuracy is not None:
            self.accuracy = record.accuracy
        if record.skipped is not None and not self._skipped:  # who has to mend a rule need not wait for the end
            self._skipped = True
            say(f"round {record.round} left the model as it was: {record.skipped}", err)
        if err.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task("", total=self.spec.rounds, completed=record.round - 1)
            self._bar.update(self._task, completed=record.round, description=self._told(record))
            return
        if self._first is None:
            self._first = record.round
            self._lines = NowAndThen()
        if self._worth_a_line(record):
            done, of = record.round - self._first, self.spec.rounds - self._first
            left = self._lines.left(done, of)
            say(f"round {record.round}/{self.spec.rounds}  {self._told(record)}{left}", err)
            self._lines.told()

    def _worth_a_line(self, record: Record) -> bool:
        """Tests are, unless they are many a second, and the last one in any case; other rounds are if all is quiet."""
        if record.accuracy is None:
            return self._lines.due()
        return self._lines.due(_TESTS) or record.round >= self.spec.rounds

    def _told(self, record: Record) -> str:
        text = f"{percent(self.accuracy)} accuracy"
        if record.honest_accepted is not None:
            text += f", kept {percent(record.honest_accepted, 0)} honest"
        if record.byzantine_accepted is not None:
            text += f", {percent(record.byzantine_accepted, 0)} byzantine"
        if dropped := most_common(record.reasons):
            text += f" ({dropped})"
        return text


def most_common(reasons: Mapping[int, str]) -> str:
    """The most frequent reason for which clients were dropped, with its number."""
    if not reasons:
        return ""
    counts = {reason: list(reasons.values()).count(reason) for reason in reasons.values()}
    reason = max(counts, key=lambda r: counts[r])
    return f"{counts[reason]} {reason}"


class JobsProgress:
    """A bar for each of several jobs; where there is no terminal, a line now and then about all.

    Args:
        jobs: by folder or file what a job is called, and how many rounds or results it has in all.
        even: whether steps take about the same time each. Where they do not, the first ones say nothing of the time
            that the last ones take, and nothing is told of it before a job is done.
    """

    def __init__(self, jobs: Mapping[Path, tuple[str, int]], *, even: bool = True) -> None:
        self._bar = Progress(
            HarmlessColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=err,
            disable=not err.is_terminal,
        )
        self._even = even
        self._titles = {path: title for path, (title, _) in jobs.items()}
        self._totals = {path: total for path, (_, total) in jobs.items()}
        self._tasks = {path: self._bar.add_task(title, total=total) for path, (title, total) in jobs.items()}
        self._before: Mapping[Path, int] | None = None
        self._lines = self._pace = NowAndThen()

    def __enter__(self) -> JobsProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def __call__(self, done: Mapping[Path, int]) -> None:
        """Show how far all have come."""
        for path, count in done.items():
            self._bar.update(self._tasks[path], completed=count)
        self._tell(done, "")

    def follow(self, path: Path, what: str, done: int, *, even: bool = False) -> None:
        """Show how far one has come, and what is being done for it.

        Args:
            path: which.
            what: is being done.
            done: how many steps are.
            even: whether all steps from here on take about the same time each.
        """
        self._bar.update(self._tasks[path], completed=done, description=f"{self._titles[path]}: {what}")
        if even and not self._even and self._before is not None:
            self._even, self._before, self._pace = True, {path: done}, NowAndThen()
        self._tell({path: done}, f", {what}")

    def _tell(self, done: Mapping[Path, int], what: str) -> None:
        """A line about all, where there is no terminal; of several the first one at once."""
        if err.is_terminal:
            return
        first = self._before is None
        if self._before is None:
            self._before = dict(done)
            self._lines = NowAndThen()
        if all(count <= self._before.get(path, 0) for path, count in done.items()):
            self._pace = NowAndThen()  # while processes start nothing moves, which is no pace
        whole = [path for path, count in done.items() if count >= self._totals[path]]
        if len(whole) == len(self._totals) or not (self._lines.due() or (first and len(self._totals) > 1)):
            return  # a single one may be done before anybody wonders
        steps, of = sum(min(count, self._totals[path]) for path, count in done.items()), sum(self._totals.values())
        before = sum(self._before.values())
        known = self._even or any(self._before[path] < self._totals[path] for path in whole)
        left = (self._pace.left(steps - before, of - before) if known else "") or self._lines.so_far()
        if len(self._totals) == 1:
            [title] = self._titles.values()
            say(f"{title}: {steps} of {of}{what}{left}", err)
        else:
            say(f"{len(whole)} of {len(self._totals)} done, {percent(steps / of, 0)} of all{left}", err)
        self._lines.told()


def _in_vain(place: Path) -> str:
    """Why a run that is done shows nothing; empty where it does, or its folder cannot be read."""
    folder = RunFolder(place)
    try:
        return in_vain(folder.read_records().records, folder.read_head().byzantine_ids)
    except FolderError:
        return ""


def _processes(count: int) -> str:
    return "one process" if count == 1 else f"{count} processes"


class SweepProgress:
    """How far a sweep has come and how long the rest takes: bars on a terminal, elsewhere a line a cell.

    Where cells take long there are lines between.

    Args:
        planned: the sweep.
        workers: how many cells are worked at at once.
    """

    def __init__(self, planned: Planned, workers: int) -> None:
        self._folder = planned.folder
        jobs = planned.jobs()
        self._names = {planned.folder.place(head): head.name for _, head in planned.cells}
        self._rounds = {place: spec.rounds for place, (spec, _, _) in jobs.items()}
        self._done_before = len(planned.chosen) - len(jobs) - len(planned.no_data)
        self._workers = workers
        self._made = 0
        self._seen: Mapping[Path, int] = {}
        self._start: Mapping[Path, int] = {}
        self._lines = self._pace = NowAndThen()
        self._bar = Progress(
            HarmlessColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=err,
            disable=not err.is_terminal,
        )
        self._task = self._bar.add_task("rounds", total=sum(self._rounds.values()))

    def __enter__(self) -> SweepProgress:
        self._bar.start()
        if not err.is_terminal and self._rounds:
            found = f", {self._done_before} are done" if self._done_before else ""
            say(f"{numbered(len(self._rounds), 'cell')} to do on {_processes(self._workers)}{found}", err)
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def __call__(self, rounds: Mapping[Path, int]) -> None:
        """Show how far all have come."""
        self._start = self._start or rounds
        self._seen = rounds
        if sum(rounds.values()) <= sum(self._start.values()):
            self._pace = NowAndThen()  # while processes start nothing moves, which is no pace
        self._bar.update(self._task, completed=sum(rounds.values()))
        if not err.is_terminal and self._lines.due():
            made, of = sum(rounds.values()), sum(self._rounds.values())
            left = self._left() or self._lines.so_far()
            say(f"{self._made}/{len(self._rounds)} done, {made:,} of {of:,} rounds{left}", err)
            self._lines.told()

    def done(self, place: Path, outcome: Outcome) -> None:
        """Say what came of a cell."""
        self._made += 1
        failed = isinstance(outcome, Failed) or getattr(outcome, "status", "") == "failed"
        said = "failed" if failed else "done"
        line = f"{self._made}/{len(self._rounds)} {said}: {self._names[place]}{self._left()}"
        if not failed and (why := _in_vain(place)):
            line += f"; {why}"
        if err.is_terminal:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            say(line, err)
            self._lines.told()

    def _left(self) -> str:
        """How long the rest takes, at the pace so far."""
        before = sum(self._start.values())
        return self._pace.left(sum(self._seen.values()) - before, sum(self._rounds.values()) - before)
