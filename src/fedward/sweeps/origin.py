"""By which libraries the cells of a sweep were made, and making those anew that others have made.

A cell's key does not hang on them: an upgrade of PyTorch, which may change the last digits of every figure, must not
throw days of work away without a word. So cells that were done with other versions count, are told of, and can be made
anew where that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ..experiments.lock import LockedError, one_writer
from ..experiments.store import FolderError, RunFolder, Versions
from ..experiments.versions import versions
from .store import CellState, state_of, write_state
from .work import Planned

LIBRARIES = ("torch", "numpy", "numba")
"""Whose version, or absence, can change the last digits of a figure."""


def made_by_others(planned: Planned) -> dict[Path, str]:
    """Of the cells that are to be done now and have rounds, those whose libraries were others: which, in words."""
    found = {}
    for _, head in planned.cells:
        place = planned.folder.place(head)
        if head.key and head.name in planned.chosen and (theirs := "; ".join(_others(place))):
            found[place] = theirs
    return found


def forget_others(planned: Planned) -> None:
    """Forget the rounds of `made_by_others`. What somebody works at right now is left to him."""
    _forget(planned, made_by_others(planned))


def forget_all(planned: Planned) -> None:
    """Forget the rounds of all cells that are to be done now. What somebody works at right now is left to him."""
    _forget(planned, [planned.folder.place(h) for _, h in planned.cells if h.key and h.name in planned.chosen])


def _forget(planned: Planned, places: Iterable[Path]) -> None:
    keys = {planned.folder.place(head): (head.key, cell.spec.rounds) for cell, head in planned.cells}
    for place in places:
        key, rounds = keys[place]
        with suppress(LockedError), one_writer(place):
            begun = any(file.exists() for file in RunFolder(place).files)
            if begun or state_of(place, key, rounds).attempts:  # which may have been lost, and the rounds not
                write_state(place, CellState(key=key))
                RunFolder(place).clear()


def _others(place: Path) -> Iterator[str]:
    """The libraries of a run that are others now: of all that have made rounds of it."""
    try:
        head = RunFolder(place).read_head()
    except FolderError:
        return
    now = versions()
    for made_by in dict.fromkeys(_told(by, now) for by in (head.versions, *(part.versions for part in head.earlier))):
        if made_by:
            yield made_by


def _told(theirs: Versions | None, now: Mapping[str, str | None]) -> str:
    """The versions that differ; nothing where nothing is known, or all are the same."""
    known = {name: theirs[name] for name in LIBRARIES if name in theirs} if theirs else {}
    differ = {name: version for name, version in known.items() if version != now[name]}
    return ", ".join(f"{name} {version}" if version else f"no {name}" for name, version in differ.items())
