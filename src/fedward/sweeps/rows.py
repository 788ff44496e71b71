"""A sweep as one tidy table: a row a cell, a column for every key and every figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..disk import write_whole
from ..experiments.spec import RunSpec
from ..sim import Record

_FIRST = ("cell", "group", "status")
_FIGURES = ("rounds_done", "skipped", "in_vain", "best", "last")
_LAST = ("seconds", "memory", "attempts", "code", "commit", "torch", "numba", "key", "error")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of a cell.

    Attributes:
        cell: its name.
        key: what it is (`fedward.sweeps.key`); empty where that cannot be told, because its data are not there.
        group: that it belongs to.
        status: done, failed, running, or waiting.
        config: every key of the run, resolved.
        rounds_done: rounds on record.
        best, last: accuracy, in the tests that there were so far; in [0, 1].
        seconds: that it took, of all attempts.
        memory: the most that its process held meanwhile, in megabytes.
        attempts: how often it was begun or resumed.
        code: a digest of the code that made it.
        commit: of that code, where it was in a git checkout.
        torch: the version of PyTorch that made it.
        numba: that of numba; None where it was not installed.
        error: why it failed, in a sentence.
        measures: further figures by name (`fedward.sweeps.measures`).
        notes: what a reader of the figures should know, in sentences without a subject; in no table.
        in_vain: why the run shows nothing, so that its figures do not count, in a sentence; empty where they do.
        skips: why rounds left the model as it was, and how many did so; ``skipped`` in a table is their number.
        own: digests of the user's own files that made it, by name, and ``imported`` of those that these import, as
            `fedward.experiments.store.RunHead` has them. In no table, either.
    """

    cell: str
    key: str
    group: str
    status: str
    config: Mapping[str, Any]
    rounds_done: int = 0
    best: float | None = None
    last: float | None = None
    seconds: float | None = None
    memory: float | None = None
    attempts: int = 0
    code: str | None = None
    commit: str | None = None
    torch: str | None = None
    numba: str | None = None
    error: str = ""
    measures: Mapping[str, float | str | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    imported: Mapping[str, str] | None = None
    in_vain: str = ""
    skips: Mapping[str, int] = field(default_factory=dict)

    @property
    def skipped(self) -> int:
        """How many rounds left the model as it was."""
        return sum(self.skips.values())

    @property
    def counts(self) -> bool:
        """Whether its figures count beside others.

        What a run that failed or goes on has reached so far is none, and neither is what a model is worth that learned
        nothing from anybody.
        """
        return self.status == "done" and not self.in_vain

    def flat(self) -> dict[str, Any]:
        """By column; a measure that no other row has is a column as well."""
        return {
            **self.config,
            **{name: getattr(self, name) for name in _FIRST},
            **{name: getattr(self, name) for name in _FIGURES},
            **self.measures,
            **{name: getattr(self, name) for name in _LAST},
        }


def accuracies(records: Iterable[Record]) -> tuple[float | None, float | None]:
    """The best accuracy of a run's tests, and the last; None where nothing was tested yet."""
    measured = [record.accuracy for record in records if record.accuracy is not None]
    return max(measured, default=None), measured[-1] if measured else None


def columns(rows: Sequence[Row]) -> list[str]:
    """The columns of a table of these rows, in order, each once; measures as they first appear.

    So do keys that this version does not know: a folder may be of a later one.
    """
    measures = dict.fromkeys(name for row in rows for name in row.measures)
    known = {*_FIRST, *RunSpec.model_fields, *_FIGURES, *measures, *_LAST}
    later = dict.fromkeys(key for row in rows for key in row.config if key not in known)
    return [*_FIRST, *RunSpec.model_fields, *later, *_FIGURES, *measures, *_LAST]


def as_csv(rows: Sequence[Row]) -> str:
    """The table as text with commas; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row.flat())
    return text.getvalue()


def write_rows(rows: Sequence[Row], folder: Path, name: str = "sweep") -> tuple[Path, ...]:
    """Write the table into a folder: CSV, and Parquet where pyarrow is installed.

    Returns:
        The files.
    """
    file = folder / f"{name}.csv"
    write_whole(file, as_csv(rows))
    parquet = folder / f"{name}.parquet"
    return (file, parquet) if _write_parquet(rows, parquet) else (file,)


def _write_parquet(rows: Sequence[Row], file: Path) -> bool:
    """Write it if that can be done here; a file of before that would be out of date goes away otherwise."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        file.unlink(missing_ok=True)
        return False
    flat = [row.flat() for row in rows]
    table = pyarrow.table({name: _column([row.get(name) for row in flat], pyarrow) for name in columns(rows)})
    content = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, content)
    write_whole(file, content.getvalue().to_pybytes())
    return True


def _column(values: list[Any], pyarrow: Any) -> Any:
    """Values of one type: text, where a key has numbers in some rows and text in others, or what no type holds.

    Seeds go up to 2^64, twice as far as the type that pyarrow takes for whole numbers.
    """
    kinds = {type(value) for value in values if value is not None}
    types = [None, pyarrow.uint64()] if kinds == {int} else [None] if kinds <= {int, float} or len(kinds) <= 1 else []
    for due in types:
        with suppress(OverflowError, pyarrow.ArrowException):
            return pyarrow.array(values, due)
    return pyarrow.array([None if value is None else str(value) for value in values])
