"""Carrying a sweep out: finished cells are skipped, interrupted ones resumed, and one that fails stops no other."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ..data.sources import DataError
from ..experiments.lock import LockedError, is_locked, one_writer
from ..experiments.pool import Failed, StoppedError, run_jobs, stop_if_asked
from ..experiments.run import execute_unlocked
from ..experiments.spec import RunSpec
from ..experiments.store import RunFolder
from ..failures import sentence
from ..sim import Record
from .grid import Cell, Sweep
from .key import key_of
from .memory import peak, reset_peak
from .rows import Row
from .store import CellHead, CellState, SweepFolder, state_of, write_state

_LOOK = 1.0
"""Seconds between looks at a cell that somebody else works at."""


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What came of a cell that another process works at: nothing yet."""


Outcome = CellState | Elsewhere | Failed
"""What came of a cell; `Failed` where its process was killed again and again."""

Jobs = Mapping[Path, tuple[RunSpec, Path, str]]
"""By the folder of a cell, the arguments of `work_on`."""


OnProgress = Callable[[Mapping[Path, int]], None]
"""Called twice a second with the rounds completed in each folder."""

OnDone = Callable[[Path, Outcome], None]
"""Called with the folder of each cell and what came of it, as soon as it is there."""


class Engine(Protocol):
    """Where cells are worked at."""

    def work(self, jobs: Jobs, *, on_progress: OnProgress | None, on_done: OnDone) -> None:
        """Do `work_on` for every job, and tell what came of each as soon as it is there."""
        ...


@dataclass(frozen=True, kw_only=True)
class Local:
    """Processes of this machine, one thread each.

    Args:
        workers: how many; all cores if None.
    """

    workers: int | None = None

    def work(self, jobs: Jobs, *, on_progress: OnProgress | None, on_done: OnDone) -> None:
        """See `Engine`."""
        run_jobs(work_on, jobs, workers=self.workers, progress=rounds_in, on_progress=on_progress, on_done=on_done)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A sweep, and where its cells will lie.

    Attributes:
        sweep: the whole of it.
        folder: where.
        cells: what is written down of each.
        chosen: names of the cells that are to be done now.
        no_data: of cells whose data are not there, why; these are not run.
    """

    sweep: Sweep
    folder: SweepFolder
    cells: tuple[tuple[Cell, CellHead], ...]
    chosen: frozenset[str]
    no_data: Mapping[str, str]

    def jobs(self) -> dict[Path, tuple[RunSpec, Path, str]]:
        """What is left to do."""
        found = {}
        for cell, head in self.cells:
            place = self.folder.place(head)
            if head.name not in self.chosen or not head.key:
                continue
            if state_of(place, head.key, cell.spec.rounds).status != "done":
                found[place] = (cell.spec, place, head.key)
        return found


def plan(sweep: Sweep, path: Path, *, only: Collection[str] | None = None) -> Planned:
    """What a sweep is in a folder. Nothing is written.

    Args:
        sweep: the whole of it.
        path: the folder.
        only: names of the cells that are to be done now; all if None. The data of others are not looked for: of those
            whose data no chosen cell has, what the folder says stays, as long as it is of this code.

    Raises:
        FolderError: the folder holds runs that are no cells, or something else under the name of a sweep.
    """
    folder = SweepFolder(path)
    folder.check_alone()
    chosen = frozenset(cell.name for cell in sweep.cells) if only is None else frozenset(only)
    written = folder.written_head()
    before = {} if written is None else {head.name: head for head in written.cells}
    places = folder.folders()  # a cell that goes by another name now is still the same
    keys, missing = _keys(sweep, chosen)
    no_data = {
        cell.name: missing[_data_of(cell)] for cell in sweep.cells if cell.name in chosen and _data_of(cell) in missing
    }
    cells = []
    for cell in sweep.cells:
        key = keys.get(cell.name, "")
        head = CellHead.of(cell, key, places.get(key), no_data.get(cell.name, ""))
        if key:
            places[key] = head.folder  # for another cell that is the same run
        known = before.get(cell.name)
        # What is not chosen and was made by other code is not what it was: it waits, or a table would mix the two.
        same = known is not None and (known.config, known.code) == (head.config, head.code)
        cells.append((cell, known if known is not None and same and not key and cell.name not in chosen else head))
    return Planned(sweep=sweep, folder=folder, cells=tuple(cells), chosen=chosen, no_data=no_data)


def _data_of(cell: Cell) -> tuple[str, str | None]:
    return cell.spec.data, cell.spec.data_path


def _keys(sweep: Sweep, chosen: Collection[str]) -> tuple[dict[str, str], dict[tuple[str, str | None], str]]:
    """The keys of cells, by name, and why data are not there: those of chosen cells alone are looked for.

    Each is looked for once: a download may be tried, and take its time.
    """
    keys: dict[str, str] = {}
    missing: dict[tuple[str, str | None], str] = {}
    wanted = {_data_of(cell) for cell in sweep.cells if cell.name in chosen}
    for cell in sweep.cells:
        if _data_of(cell) in wanted and _data_of(cell) not in missing:
            try:
                keys[cell.name] = key_of(cell.spec)
            except DataError as error:
                missing[_data_of(cell)] = sentence(error)
    return keys, missing


def begun(planned: Planned) -> Planned:
    """Write down in its folder what a sweep is; and the sweep with the folders that its cells have from then on.

    Raises:
        FolderError: the folder holds something else under the name of a sweep.
        LockedError: somebody else writes there, and does not come to an end.
    """
    heads = planned.folder.describe(planned.sweep, [head for _, head in planned.cells])
    cells = ((cell, head) for (cell, _), head in zip(planned.cells, heads, strict=True))
    return replace(planned, cells=tuple(cells))


def run_sweep(
    planned: Planned,
    engine: Engine,
    *,
    on_progress: OnProgress | None = None,
    on_done: OnDone | None = None,
    share: Callable[[Jobs], Jobs] | None = None,
) -> list[Row]:
    """Carry a sweep out, or resume it.

    Cells that another process works at are left to it, and taken over if it is gone before they are done. The table is
    written anew whenever a cell is done; where that cannot be, all cells are done before the error is raised.

    Args:
        planned: the sweep.
        engine: where cells are worked at.
        on_progress, on_done: told how far all have come, and what came of each cell.
        share: of the cells those that are this call's to do; all if None.

    Returns:
        A row for each of the cells that were to be done, in the order of the sweep.

    Raises:
        FolderError, LockedError: as `begun`.
        OSError: the table cannot be written.
    """
    planned = begun(planned)
    folder = planned.folder
    elsewhere: set[Path] = set()

    far: dict[Path, int] = {}

    def shown(rounds: Mapping[Path, int]) -> None:
        if on_progress is not None:
            far.update(rounds)
            far.update({place: rounds_in(place) for place in jobs if place in elsewhere or place not in far})
            on_progress({place: far[place] for place in jobs})

    def told(place: Path, outcome: Outcome) -> None:
        elsewhere.discard(place)
        if isinstance(outcome, Elsewhere):
            elsewhere.add(place)
            return
        if isinstance(outcome, Failed):
            _note_failure(place, planned, outcome)
        with suppress(Exception):  # it is written once more at the end, and what is wrong with it is told then
            folder.write_table()
        if on_done is not None:
            on_done(place, outcome)

    jobs = planned.jobs()
    if share is not None:
        jobs = dict(share(jobs))
    ready = set(jobs)
    try:
        while ready:
            engine.work(
                {place: jobs[place] for place in jobs if place in ready},
                on_progress=None if on_progress is None else shown,
                on_done=told,
            )
            ready = _left_by_others(elsewhere, lambda: shown({}))
    finally:
        folder.write_table()
    return [row for row in folder.rows() if row.cell in planned.chosen]


def work_on(spec: RunSpec, place: Path, key: str) -> CellState | Elsewhere:
    """Run a cell, or resume it, or find that it is done: in a worker.

    Raises:
        StoppedError: the whole is to end; what was done is saved.
    """
    try:
        with one_writer(place):
            return _attempt(spec, place, state_of(place, key, spec.rounds))
    except LockedError:
        return Elsewhere()


def _attempt(spec: RunSpec, place: Path, before: CellState) -> CellState:
    if before.status == "done":
        return before
    started = time.monotonic()
    begun = replace(before, status="running", attempts=before.attempts + 1, error="", trace="")
    reset_peak()

    def ended(status: str, error: str = "", trace: str = "") -> CellState:
        seconds = before.seconds + time.monotonic() - started
        held = max(filter(None, (before.memory, peak())), default=None)
        return replace(begun, status=status, seconds=seconds, memory=held, error=error, trace=trace)

    try:
        write_state(place, begun)
        execute_unlocked(spec, place, on_record=_watched)
        done = ended("done")
        write_state(place, done)
        return done
    except (StoppedError, KeyboardInterrupt):
        with suppress(OSError):  # on a full disk it counts as killed, and is resumed as well
            write_state(place, ended("waiting"))
        raise
    except Exception as error:
        failed = ended("failed", sentence(error), traceback.format_exc())
        with suppress(OSError):  # a full disk: what was saved before is there, and the outcome is told
            write_state(place, failed)
        return failed


def _watched(record: Record) -> None:
    stop_if_asked()


def rounds_in(place: Path) -> int:
    """How far a cell has come."""
    return RunFolder(place).rounds


def _note_failure(place: Path, planned: Planned, failed: Failed) -> None:
    """Write down that the process of a cell was killed, which it could not do itself."""
    cells = ((cell.spec.rounds, head.key) for cell, head in planned.cells if planned.folder.place(head) == place)
    rounds, key = next(cells)
    with suppress(LockedError, OSError), one_writer(place):
        state = state_of(place, key, rounds)
        if state.status != "done":  # else somebody has taken the cell over meanwhile, and finished it
            write_state(place, replace(state, status="failed", error=failed.why, trace=failed.trace))


def _left_by_others(places: set[Path], look: Callable[[], None]) -> set[Path]:
    """Of the cells that others work at those that these have left, as soon as there are any; none where there are none.

    It takes a moment at least: where locks are not seen from here, as on another machine, a cell seems to be left that
    whoever then tries it finds taken.
    """
    left: set[Path] = set()
    while places and not left:
        time.sleep(_LOOK)
        look()
        left = {place for place in places if not is_locked(place)}
    return left
