"""Where a sweep lives: ``sweep.json`` says what it is, each cell has a run folder in ``cells/``, and there is a table.

A cell's folder is named for people and for its key, so that a cell that becomes another one gets another folder, and
what was made before stays. Beside what a run writes it holds ``cell.json``: how it went.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..disk import write_whole
from ..experiments.lock import is_locked, one_writer
from ..experiments.spec import file_name
from ..experiments.store import DamagedError, FolderError, RunFolder, RunHead, Versions, read_formatted
from ..experiments.worth import in_vain
from ..sim import Record
from ..sim.forms import written
from ..sim.record import skips
from .grid import Cell, Sweep
from .key import code_of
from .measures import decision_notes, of_run, with_impacts
from .rows import Row, accuracies, write_rows

FORMAT = 1
"""Of the folders of sweeps that this code writes and reads."""

_KEY = 8  # digits of the key in the name of a folder
_PATIENCE = 300.0
"""Seconds to wait for others who write in the folder of the sweep, a thousand perhaps."""


@dataclass(frozen=True, kw_only=True)
class CellHead:
    """What ``sweep.json`` says of a cell.

    Attributes:
        name, group, settings: as `Cell` has them.
        key: what it is; empty where its data were not there.
        folder: its name in ``cells``.
        config: the run, resolved.
        cost: seconds of a quiet core that a round is expected to take.
        no_data: why its data were not there; empty where they were.
        code: a digest of the code that it hangs on, which is a part of its key and needs no data; empty in folders of
            before that was noted.
    """

    name: str
    key: str
    folder: str
    group: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any]
    cost: float | None = None
    no_data: str = ""
    code: str = ""

    @classmethod
    def of(cls, cell: Cell, key: str, folder: str | None = None, no_data: str = "") -> CellHead:
        """Of a cell and its key, in a folder of its own, or in one that holds the same run under another name."""
        return cls(
            name=cell.name,
            key=key,
            folder=folder or f"{file_name(cell.name)}-{key[:_KEY] or 'no-data'}",
            group=cell.group,
            settings=dict(cell.settings),
            config=cell.spec.resolved(),
            cost=cell.cost,
            no_data=no_data,
            code=code_of(cell.spec),
        )


@dataclass(frozen=True, kw_only=True)
class SweepHead:
    """What ``sweep.json`` says.

    Attributes:
        format: of the folder.
        name, title, profile, published, table: as `Sweep` has them.
        cells: those that belong to it now.
    """

    format: int = FORMAT
    name: str
    title: str
    profile: str | None = None
    published: str | None = None
    table: Mapping[str, Any] = field(default_factory=dict)
    cells: tuple[CellHead, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CellState:
    """How a cell went: what ``cell.json`` says.

    Attributes:
        key: of the cell.
        status: of the last attempt: running, done or failed; waiting before the first, and where one was left.
        attempts: how often it was begun or resumed.
        seconds: that all attempts took; of one that was killed nothing is known.
        memory: the most that its process held, in megabytes; None where the system does not tell.
        error: why the last attempt failed, in a sentence.
        trace: where, as a traceback.
    """

    format: int = FORMAT
    key: str
    status: str = "waiting"
    attempts: int = 0
    seconds: float = 0.0
    memory: float | None = None
    error: str = ""
    trace: str = ""


class SweepFolder:
    """The folder of a sweep, and the one place that writes and reads it.

    Args:
        path: the folder, which need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._done: dict[str, tuple[CellHead, CellState, Row]] = {}  # by name: records of a done cell are read once

    @property
    def head(self) -> Path:
        """What the sweep is, as JSON."""
        return self.path / "sweep.json"

    @property
    def cells(self) -> Path:
        """Where the cells lie."""
        return self.path / "cells"

    def place(self, cell: CellHead) -> Path:
        """The folder of a cell."""
        return self.cells / cell.folder

    def check_alone(self) -> None:
        """Refuse a folder that runs lie in which are no cells: a report about it would be of the cells alone.

        Raises:
            FolderError: there are some, and no sweep yet; or as `written_head`.
        """
        if self.written_head() is not None:
            return
        runs = sorted(path.parent for path in (*self.path.glob("run.json"), *self.path.glob("*/run.json")))
        if runs:
            more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
            raise FolderError(
                f"{self.path} holds runs that are no cells of a sweep ({runs[0].name}{more}), such as an earlier "
                f"version made of several values; they stay as they are, and fedward report {self.path} shows them; "
                f"give the sweep a folder of its own, such as --out {self.path}-2"
            )

    def folders(self) -> dict[str, str]:
        """The name of each cell's folder that there is, by the cell's key."""
        found: dict[str, str] = {}
        # Of copies of a folder always the same one counts, which is that without more behind its name: two who work at
        # a sweep at once must look for a cell in one place.
        for place in sorted(self._folders(), reverse=True):
            with suppress(FolderError):
                found[read_formatted(CellState, place / "cell.json", "a cell", format=FORMAT).key] = place.name
        return found

    # --- writing --------------------------------------------------------------------------------------------

    def describe(self, sweep: Sweep, cells: Sequence[CellHead]) -> tuple[CellHead, ...]:
        """Write down what the sweep is, and take a folder for each cell. Cells of before stay where they are.

        Whoever comes first to a key takes a folder for it. So two who begin the same run at once, under two names
        perhaps, work in one folder, whose lock then keeps them apart.

        Returns:
            The cells with the folders that they have.

        Raises:
            FolderError: the folder holds a sweep of another format, or something else under that name.
            LockedError: somebody else writes there, and does not come to an end.
        """
        head = SweepHead(
            name=sweep.name,
            title=sweep.title,
            profile=sweep.profile,
            published=sweep.published,
            table=dict(sweep.table),
            cells=tuple(cells),
        )
        with self._alone():
            # A thousand tasks of a cluster may come here at once: all but the first find it done.
            before = self.written_head()
            if before is None or _text(before) != _text(head):
                head = replace(head, cells=self._taken(cells))
                self.cells.mkdir(parents=True, exist_ok=True)
                write_whole(self.head, _text(head))
        return head.cells

    def write_table(self) -> tuple[Path, ...]:
        """Write ``sweep.csv``, and Parquet where pyarrow is installed, of all cells as they are now.

        Of several who write it the last one has read all that the others have done.

        Raises:
            LockedError: somebody else writes in the folder, and does not come to an end.
        """
        self.rows()  # what takes long is read before, and kept
        with self._alone():
            return write_rows(self.rows(), self.path)

    def _alone(self) -> AbstractContextManager[None]:
        """For what takes a moment, and is nobody else's meanwhile."""
        return one_writer(self.path, wait=_PATIENCE)

    def _taken(self, cells: Iterable[CellHead]) -> tuple[CellHead, ...]:
        there = self.folders()
        taken = []
        for cell in cells:
            folder = there.get(cell.key, cell.folder)
            if cell.key and cell.key not in there:
                write_state(self.cells / folder, CellState(key=cell.key))
                there[cell.key] = folder
            taken.append(replace(cell, folder=folder))
        return tuple(taken)

    # --- reading --------------------------------------------------------------------------------------------

    def read_head(self) -> SweepHead:
        """What the sweep is.

        Raises:
            FolderError: the file is missing, unreadable or of another format.
        """
        if not self.head.exists():
            raise FolderError(f"{self.head}: no such file; give a folder that fedward sweep has written")
        remedy = "restore the file, or move it away and run the sweep again, which goes on with its cells"
        return read_formatted(SweepHead, self.head, "a sweep", format=FORMAT, remedy=remedy)

    def written_head(self) -> SweepHead | None:
        """What the sweep is; None where nobody has said so yet, or it must be said anew.

        All that a damaged file said follows from the table. It is written anew where cells beside it show that it was a
        sweep's, or where it is empty, so that nothing of anybody's is lost.

        Raises:
            FolderError: as `read_head`.
        """
        if not self.head.exists():
            return None
        try:
            return self.read_head()
        except DamagedError:
            if self.folders() or not self.head.stat().st_size:
                return None
            raise

    def rows(self) -> list[Row]:
        """A row a cell, in the order of the sweep.

        Raises:
            FolderError: as `read_head`.
        """
        return with_impacts([self._row(cell) for cell in self.read_head().cells])

    def records(self, cell: CellHead) -> tuple[Record, ...]:
        """The rounds of a cell so far; none where there are none."""
        try:
            return RunFolder(self.place(cell)).read_records().records
        except FolderError:
            return ()

    def left_over(self) -> list[Path]:
        """Folders of cells that are no part of the sweep any more, since its table or the code is another one."""
        mine = {cell.folder for cell in self.read_head().cells}
        return sorted(path for path in self._folders() if path.name not in mine and _is_begun(path))

    def _folders(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            yield from (path for path in self.cells.iterdir() if path.is_dir())

    def _row(self, cell: CellHead) -> Row:
        place = self.place(cell)
        rounds = cell.config.get("rounds")
        state = state_of(place, cell.key, rounds if isinstance(rounds, int) else 0)
        known = self._done.get(cell.name)
        if known is not None and known[:2] == (cell, state):
            return known[2]
        records = self.records(cell)
        best, last = accuracies(records)
        head = _head(place)
        versions: Versions = {} if head is None else head.versions
        byzantine = () if head is None else head.byzantine_ids
        row = Row(
            cell=cell.name,
            key=cell.key,
            group=cell.group,
            status="failed" if cell.no_data else _status(state, place),
            config=cell.config,
            rounds_done=len(records),
            best=best,
            last=last,
            seconds=state.seconds or None,
            memory=state.memory,
            attempts=state.attempts,
            code=versions.get("code"),
            commit=versions.get("commit"),
            torch=versions.get("torch"),
            numba=versions.get("numba"),
            own={} if head is None else head.own,
            imported=None if head is None else head.imported,
            error=cell.no_data or state.error,
            measures=of_run(records),
            notes=tuple(decision_notes(records, byzantine)),
            in_vain=in_vain(records, byzantine),
            skips=skips(records),
        )
        if state.status == "done":
            self._done[cell.name] = cell, state, row
        return row


def state_of(place: Path, key: str, rounds: int) -> CellState:
    """How a cell went so far; waiting where nothing is known of it.

    A file that cannot be read counts as none: the cell is resumed from what its run has saved. So is one that is done,
    but of whose rounds some are no longer on record.

    Args:
        place: its folder.
        key: what it is.
        rounds: that it has.
    """
    try:
        state = read_formatted(CellState, place / "cell.json", "a cell", format=FORMAT)
    except FolderError:
        return CellState(key=key)
    if state.key != key:
        return CellState(key=key)
    lost = state.status == "done" and RunFolder(place).rounds < rounds
    return replace(state, status="waiting") if lost else state


def write_state(place: Path, state: CellState) -> None:
    """Write down how a cell went."""
    place.mkdir(parents=True, exist_ok=True)
    write_whole(place / "cell.json", json.dumps(written(state), indent=1) + "\n")


def _text(head: SweepHead) -> str:
    return json.dumps(written(head), indent=1) + "\n"


def _is_begun(place: Path) -> bool:
    """Whether more is there than the word that the folder is taken."""
    if any(file.exists() for file in RunFolder(place).files):
        return True
    try:
        return read_formatted(CellState, place / "cell.json", "a cell", format=FORMAT).attempts > 0
    except FolderError:
        return False


def _status(state: CellState, place: Path) -> str:
    """Of now: what was running when its process was killed waits to be resumed."""
    return "waiting" if state.status == "running" and not is_locked(place) else state.status


def _head(place: Path) -> RunHead | None:
    try:
        return RunFolder(place).read_head()
    except FolderError:
        return None
