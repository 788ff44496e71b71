"""What the command line shows: progress while runs go on, tables when they are done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from .experiments.run import Summary
from .experiments.spec import RunSpec
from .registry import Entry
from .rule import Reason
from .sim import Record

out = Console()
err = Console(stderr=True)


def percent(share: float | None, digits: int = 1) -> str:
    """A share as text; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def summary_table(summaries: Sequence[Summary], title: str | None = None) -> Table:
    """Rule x attack: accuracies and accepted rates."""
    table = Table(title=title)
    for heading in ("attack", "rule"):
        table.add_column(heading, no_wrap=True)
    for heading in ("best\naccuracy", "final\naccuracy", "byzantine\naccepted", "honest\naccepted", "s/round"):
        table.add_column(heading, justify="right")
    before = None
    for s in summaries:
        if before not in (None, s.attack):
            table.add_section()
        before = s.attack
        rates = (percent(s.byzantine_accepted), percent(s.honest_accepted))
        accuracies = (percent(s.best_accuracy), percent(s.final_accuracy))
        table.add_row(s.attack, s.rule, *accuracies, *rates, f"{s.seconds_per_round:.2f}")
    return table


def catalogue_table(kind: str, entries: Sequence[Entry]) -> Table:
    """Rules, mixers or attacks."""
    table = Table(title=f"{kind}s")
    table.add_column("name", no_wrap=True)
    table.add_column("arguments")
    table.add_column("what it does")
    table.add_column("paper")
    if kind == "rule":
        for heading in ("needs", "reads", "cost"):
            table.add_column(heading)
    for e in entries:
        arguments = ", ".join(k if default is ... else f"{k}={default}" for k, default in e.arguments.items())
        row = [e.name, arguments, e.summary, e.paper]
        if kind == "rule":
            row += [e.bound, ", ".join(e.statistics) or "columns", e.complexity]
        table.add_row(*row)
    return table


class RunProgress:
    """One line for a run: round, accuracy, who was filtered, time left; where there is no terminal, a line a test."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.accuracy: float | None = None
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("round"),
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
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
        self.accuracy = self.accuracy if record.accuracy is None else record.accuracy
        text = f"accuracy {percent(self.accuracy)}  accepted: {percent(record.honest_accepted, 0)} of honest"
        if record.byzantine_accepted is not None:
            text += f", {percent(record.byzantine_accepted, 0)} of byzantine"
        if dropped := most_common(record.reasons):
            text += f"  ({dropped})"
        if err.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task("", total=self.spec.rounds, completed=record.round - 1)
            self._bar.update(self._task, completed=record.round, description=text)
        elif record.accuracy is not None:
            err.print(f"round {record.round}/{self.spec.rounds}  {text}", soft_wrap=True, highlight=False)


def most_common(reasons: Mapping[int, Reason]) -> str:
    """The most frequent reason for which clients were dropped, with its number."""
    if not reasons:
        return ""
    counts = {reason: list(reasons.values()).count(reason) for reason in reasons.values()}
    reason = max(counts, key=lambda r: counts[r])
    return f"{counts[reason]} {reason}"


@contextmanager
def grid_progress(jobs: Mapping[Path, RunSpec]) -> Iterator[Progress]:
    """A line a run; its tasks are in the order of the jobs."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
    )
    with bar:
        for spec in jobs.values():
            config = spec.resolved()
            bar.add_task(f"{config['rule']} under {config['attack']}", total=spec.rounds)
        yield bar
