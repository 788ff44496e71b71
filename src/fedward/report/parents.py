"""What a folder holds that a report can be about: runs, sweeps, audits, at whatever depth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..failures import tamed
from .audits import find_audit
from .pieces import count
from .runs import ReportError
from .sweep_store import is_sweep

_NAMED = 3
"""Folders that a message names."""
_PAGES = ("report.html",)


@dataclass(frozen=True, kw_only=True)
class Unfolded:
    """What a report is about whose folder holds what it is to be about.

    Attributes:
        paths: a sweep, audits, runs, or a folder whose runs are compared.
        note: a sentence on how they are taken, where that is not clear.
    """

    paths: tuple[Path, ...]
    note: str = ""


def unfolded(path: Path) -> Unfolded:
    """What lies in a folder, at whatever depth; a file, or what is itself a run, a sweep or an audit, as it is.

    The only sweep is taken as the sweep that it is; runs, those of several sweeps included, are compared; audits stand
    beside runs.

    Raises:
        ReportError: there is nothing in it, or audits and sweeps, which make no single page.
    """
    if not path.is_dir() or _is_one(path):
        return Unfolded(paths=(path,))
    there = list(_below(path))
    sweeps = [one for one in there if is_sweep(one)]
    audits = [one for one in there if not is_sweep(one) and find_audit(one) is not None]
    runs = [one for one in there if one not in sweeps and one not in audits]
    if not there:
        raise ReportError(_nothing(path))
    if len(there) == 1 or (audits and not sweeps):
        return Unfolded(paths=tuple(there))
    if not sweeps:
        return Unfolded(paths=(path,))
    kinds = [(sweeps, "sweep"), (audits, "audit"), (runs, "run")]
    told = ", ".join(f"{count(len(ones), kind)} ({_names(ones)})" for ones, kind in kinds if ones)
    named = _named(path)
    if audits:
        first = _named(there[0])
        raise ReportError(f"{named} holds {told}, which make no single page; name one of them, such as {first}")
    one = _named(sweeps[0])
    note = f"{named} holds {told}: their runs are compared; name one sweep, such as {one}, for its own page"
    return Unfolded(paths=(path,), note=note)


def _is_one(path: Path) -> bool:
    return (path / "run.json").exists() or is_sweep(path) or find_audit(path) is not None


def _below(path: Path) -> Iterator[Path]:
    """Folders below that are a run, a sweep or an audit; what lies in these is theirs. No link is followed."""
    for place, folders, _ in os.walk(path):
        here = Path(place)
        if here != path and _is_one(here):
            folders.clear()
            yield here
        folders.sort()


def _named(path: Path) -> str:
    """A path as a message has it: names below a folder may be a stranger's."""
    return tamed(path, 1000)


def _names(folders: Sequence[Path]) -> str:
    more = len(folders) - _NAMED
    return ", ".join(map(_named, folders[:_NAMED])) + (f" and {more} more" if more > 0 else "")


def _nothing(path: Path) -> str:
    """That there is nothing, and whether there is a page already, as the red team writes it."""
    pages = [path / name for name in _PAGES if (path / name).is_file()]
    if pages:
        return f"{_named(path)} holds no run, sweep or audit, but a page about what it holds: {_named(pages[0])}"
    return (
        f"{_named(path)} holds no run, sweep or audit, at whatever depth; a run folder holds run.json and "
        "records.jsonl, a sweep's sweep.json, and an audit is a file audit.jsonl"
    )
