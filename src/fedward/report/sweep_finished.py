"""What of a sweep is finished: exports for a paper count nothing else, and say how much that leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..failures import tamed
from ..sweeps import Row
from ..sweeps.measures import over_seeds
from ..sweeps.pattern import by_reason
from .sweep_skips import skips_told
from .sweep_table import SweepData, grids


def finished(data: SweepData) -> SweepData:
    """A sweep in which runs that do not count (`Row.counts`) have neither figures nor records; itself where all do.

    A figure of half a training looks like one of a whole one as soon as it is a number in a table, and that of a model
    which nobody has trained like one of a training.
    """
    if not any(map(_is_cut, data.rows)):
        return data
    cut = {row.cell for row in data.rows if _is_cut(row)}
    return replace(
        data,
        rows=tuple(map(_without_figures, data.rows)),
        records={cell: records for cell, records in data.records.items() if cell not in cut},
    )


def unfinished_told(data: SweepData) -> str:
    """How many runs exports leave out, those without a round too, in a sentence; nothing where there is none."""
    number = sum(row.status != "done" for row in _shown(data))
    if not number:
        return ""
    return (
        "1 run that is not finished is not counted."
        if number == 1
        else (f"{number:,} runs that are not finished are not counted.")
    )


def left_out(data: SweepData, ending: str) -> Iterator[str]:
    """What a file of a sweep lacks, in sentences: what could not be read, and what its format does not count.

    A page and a table of all rows show what is not finished as that.
    """
    yield from data.notes
    yield from data.edited
    yield from in_vain_told(data)
    if told := skips_told(grids(data)):
        yield told
    if ending.lower() not in (".html", ".csv", ".bib") and (told := unfinished_told(data)):
        yield told


def in_vain_told(data: SweepData) -> list[str]:
    """Of which runs the figures show nothing that was learned, and why: a sentence for each reason."""
    return [tamed(told, 1000) for told in by_reason({row.cell: row.in_vain for row in data.rows if row.in_vain})]


def _is_cut(row: Row) -> bool:
    """Whether there are rounds of a run, but not all of them, or none that anything was learned in."""
    return not row.counts and row.rounds_done > 0


def _without_figures(row: Row) -> Row:
    return replace(row, best=None, last=None, measures=dict.fromkeys(row.measures)) if _is_cut(row) else row


def _shown(data: SweepData) -> Iterator[Row]:
    """The rows that a table takes: of a run that is there twice, one."""
    for over in over_seeds(data.rows):
        yield from over.rows
