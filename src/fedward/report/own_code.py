"""What a page says of code of the user's own that was edited: between its runs, or since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ..experiments.own_code import others_here
from ..failures import tamed
from ..sweeps import Row
from ..sweeps.apart import CodeOfRun, told_apart, with_code


def made_by(row: Row) -> CodeOfRun:
    """What a cell was made by."""
    return CodeOfRun(config=row.config, own=row.own, imported=row.imported)


def rows_apart(rows: Sequence[Row]) -> list[Row]:
    """The rows, with what tells those of other code apart from the rest of their settings among these."""
    words = told_apart([made_by(row) for row in rows])
    return [
        replace(row, config=with_code(row.config, told)) if told else row for row, told in zip(rows, words, strict=True)
    ]


def edited_here(made: CodeOfRun) -> tuple[str, ...]:
    """Names of the user's own files of which there are others here than those that made a run.

    Of files that are not here nothing is known. No module is imported.
    """
    return tuple(others_here(made.own, made.imported, made.config)) if made.own else ()


def edited_told(names: Sequence[str]) -> str:
    """That figures are of before these were edited."""
    files, were = tamed(", ".join(names), 1000), "was" if len(names) == 1 else "were"
    return f"made before {files} {were} edited as it is here: the figures are those of before"


def edited_notes(runs: Sequence[tuple[str, ...]], noun: str) -> list[str]:
    """A sentence for each set of files, with the number of runs that are of before it was edited.

    Args:
        runs: what `edited_here` says of each.
        noun: what they are called, in the singular.
    """
    nouns = noun if len(runs) == 1 else f"{noun}s"
    return [
        f"{number} of {len(runs)} {nouns} {'was' if number == 1 else 'were'} {edited_told(names)}."
        for names, number in Counter(runs).items()
        if names
    ]
