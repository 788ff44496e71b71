"""A sweep as its own folder has it."""

from __future__ import annotations

from pathlib import Path

from ..experiments.spec import SpecError
from ..published import look_up
from ..published import names as published_names
from ..sweeps import SweepFolder
from ..sweeps.choices import CHOICES, Choice, read_choices
from ..sweeps.store import state_of
from .own_code import edited_here, edited_notes, made_by, rows_apart
from .pieces import count
from .sweep_table import SweepData


def is_sweep(path: Path) -> bool:
    """Whether a folder is one that `fedward sweep` has written."""
    return SweepFolder(path).head.is_file()


def read_stored(path: Path) -> SweepData:
    """The sweep in a folder, as far as it has come.

    Raises:
        FolderError: its files cannot be read.
    """
    folder = SweepFolder(path)
    head = folder.read_head()
    source = look_up(head.published) if head.published in published_names() else None
    left = folder.left_over()
    notes = []
    if left:
        notes.append(
            f"{count(len(left), 'cell')} of an earlier table or of other code: kept in {folder.cells}, not shown."
        )
    rows = folder.rows()
    choices: list[Choice] = []
    if (file := path / CHOICES).exists():
        try:
            choices = read_choices(file)
        except SpecError as error:
            notes.append(f"What was tuned is not shown: {error}")
    states = {cell.name: state_of(folder.place(cell), cell.key, 0) for cell in head.cells}
    return SweepData(
        title=head.title,
        rows=tuple(rows_apart(rows)),
        records={cell.name: records for cell in head.cells if (records := folder.records(cell))},
        settings={cell.name: cell.settings for cell in head.cells},
        numbers={} if source is None else {cell.name: source.numbers_of(cell) for cell in head.cells},
        source=source,
        profile=head.profile,
        notes=tuple(notes),
        edited=tuple(edited_notes([edited_here(made_by(row)) for row in rows if row.rounds_done], "cell")),
        choices=tuple(choices),
        failures={name: state.trace for name, state in states.items() if state.trace},
    )
