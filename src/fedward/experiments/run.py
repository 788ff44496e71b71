"""Carrying runs out: one here, or a grid of them on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from statistics import fmean

from ..disk import open_to_append
from ..sim import CheckpointError, Record
from ..sim.cohort import byzantine_ids
from ..sim.record import beyond_theorem, mean_of_known, nobody_accepted, why_skipped
from .lock import one_writer
from .pool import Failed, run_jobs, stop_if_asked
from .spec import RunSpec
from .store import RunFolder
from .worth import in_vain, none_finite


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What came of a run.

    Attributes:
        folder: of the run.
        rule, attack: as text, in full.
        asked: rounds that were asked for.
        rounds: that there are; more than were asked for if the folder held them already.
        best_accuracy, final_accuracy: of the tests; None where there was none.
        byzantine_accepted, honest_accepted: rates, means over rounds.
        seconds_per_round: in the mean.
        skipped: rounds that left the model as it was, and ``skipped_why`` in words.
        beyond: rounds that the rule decided on fewer rows than its theorem needs.
        nobody: rounds in which it accepted nobody.
        none_finite: rounds that it decided although no honest client sent finite numbers.
        in_vain: why the run shows nothing, in a sentence; empty where it does.
    """

    folder: str
    rule: str
    attack: str
    asked: int
    rounds: int
    best_accuracy: float | None
    final_accuracy: float | None
    byzantine_accepted: float | None
    honest_accepted: float | None
    seconds_per_round: float
    skipped: int
    skipped_why: str | None
    beyond: int = 0
    nobody: int = 0
    none_finite: int = 0
    in_vain: str = ""

    @classmethod
    def of(cls, spec: RunSpec, folder: Path, records: Sequence[Record]) -> Summary:
        """Of the records of a run, one at least."""
        config = spec.resolved()
        byzantine = byzantine_ids(spec.byzantine, spec.clients)
        accuracies = [r.accuracy for r in records if r.accuracy is not None]
        return cls(
            folder=str(folder),
            rule=config["rule"],
            attack=config["attack"],
            asked=spec.rounds,
            rounds=len(records),
            best_accuracy=max(accuracies, default=None),
            final_accuracy=accuracies[-1] if accuracies else None,
            byzantine_accepted=mean_of_known(r.byzantine_accepted for r in records),
            honest_accepted=mean_of_known(r.honest_accepted for r in records),
            seconds_per_round=fmean(sum(r.seconds.values()) for r in records),
            skipped=sum(r.skipped is not None for r in records),
            skipped_why=why_skipped(records),
            beyond=beyond_theorem(records),
            nobody=nobody_accepted(records),
            none_finite=none_finite(records, byzantine),
            in_vain=in_vain(records, byzantine),
        )


def execute(
    spec: RunSpec,
    path: Path,
    *,
    on_record: Callable[[Record], None] | None = None,
    threads: int = 1,
    fresh: bool = False,
) -> Summary:
    """Run a specification in a folder, or resume it there.

    Args:
        spec: what to run.
        path: the run's folder; an unfinished run of the same specification in it is resumed.
        on_record: called after each round.
        threads: clients that are worked at at once; results do not depend on it.
        fresh: delete an earlier run in the folder, once it is certain that this one can begin.

    Raises:
        LockedError: somebody else writes in the folder.
        SpecError: the specification does not fit its data.
        CheckpointError: the folder holds a run of another specification; it is left as it is.
        DataError: data files are missing or damaged.
    """
    with one_writer(path):
        return execute_unlocked(spec, path, on_record=on_record, threads=threads, fresh=fresh)


def execute_unlocked(
    spec: RunSpec,
    path: Path,
    *,
    on_record: Callable[[Record], None] | None = None,
    threads: int = 1,
    fresh: bool = False,
) -> Summary:
    """As `execute`, for whoever holds the lock of the folder."""
    folder = RunFolder(path)
    simulation = spec.simulation(threads=threads)
    if fresh:
        folder.clear()
    run = simulation.run(spec.rounds, evaluate_every=spec.evaluate_every, checkpoint=folder.checkpoint)
    # However this ends, the last round is in the checkpoint by then.
    with closing(run) as rounds:
        # An old checkpoint is refused here, before anything in the folder has changed.
        first = _begun(rounds, folder, spec)
        new = 0 if first is None else 1
        folder.describe(spec, simulation, done=len(simulation.records) - new)
        folder.write_records(simulation.records)
        if first is not None and on_record is not None:
            on_record(first)
        with TextIOWrapper(open_to_append(folder.records), encoding="utf-8") as file:
            for record in rounds:
                folder.append(file, record)
                if on_record is not None:
                    on_record(record)
    return Summary.of(spec, path, simulation.records)


def run_grid(
    jobs: Mapping[Path, RunSpec],
    *,
    workers: int | None = None,
    fresh: bool = False,
    on_progress: Callable[[Mapping[Path, int]], None] | None = None,
) -> dict[Path, Summary | Failed]:
    """Run many specifications, one process a core with one thread each; one that fails stops no other.

    Args:
        jobs: specifications by folder.
        workers: processes; all cores if None.
        fresh: as in `execute`.
        on_progress: called twice a second with the rounds completed in each folder.
    """
    work = {path: (spec, path, fresh) for path, spec in jobs.items()}
    return run_jobs(_work, work, workers=workers, progress=_rounds_in, on_progress=on_progress)


def _rounds_in(path: Path) -> int:
    return RunFolder(path).rounds


def _begun(rounds: Iterator[Record], folder: RunFolder, spec: RunSpec) -> Record | None:
    """The first new round, if there is one; where an earlier run is in the way, what the user can do about it."""
    try:
        folder.check_own(spec)
        return next(rounds, None)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}, such as --out {folder.path}-2. (--fresh would delete {folder.holdings()}, and start anew there.)"
        ) from error


def _work(spec: RunSpec, path: Path, fresh: bool) -> Summary:
    def watched(record: Record) -> None:
        stop_if_asked()

    return execute(spec, path, on_record=watched, fresh=fresh)
