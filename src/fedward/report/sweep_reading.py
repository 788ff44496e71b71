"""A sweep as its runs lie in folders, put beside the specification that it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..experiments.load import names_in_config
from ..experiments.spec import SpecError, make_spec
from ..experiments.worth import in_vain
from ..failures import tamed
from ..sim.record import skips
from ..sweeps import Row, Sweep
from ..sweeps.measures import of_run, with_impacts
from ..sweeps.rows import accuracies
from .own_code import edited_notes, rows_apart
from .runs import ReportError, RunData, load_run
from .sweep_table import SweepData, of_sweep

_BESIDE = frozenset({"data_path", "device", "confidence"})
"""Keys that do not make another run: where data lie, what computes, and how a given f was arrived at."""


def run_folders(path: Path) -> list[Path]:
    """The folders below a folder that hold a run; itself if it does. A folder of a run holds no other."""
    if (path / "run.json").is_file():
        return [path]
    return sorted(file.parent for file in path.rglob("run.json"))


def is_of_several(path: Path) -> bool:
    """Whether a path is a folder of run folders."""
    return path.is_dir() and not (path / "run.json").is_file() and next(path.rglob("run.json"), None) is not None


def read_sweep_runs(paths: Sequence[Path], title: str, sweep: Sweep | None = None) -> SweepData:
    """The runs in some folders as a sweep.

    A folder that cannot be read is left out and noted.

    Args:
        paths: run folders, or folders of them.
        title: a heading.
        sweep: that they are of: cells have its names and groups, those that are not there yet wait, and what is of no
            cell is noted. If None they are what they are.

    Raises:
        ReportError: no run can be read.
    """
    runs: list[RunData] = []
    notes = []
    for path in paths:
        there = run_folders(path)
        if not there:
            more = "; of an audit there is only a page, -o report.html" if path.suffix == ".jsonl" else ""
            raise ReportError(
                f"{path}: no run folder, and none in it; give a folder that fedward run has written{more}"
            )
        for folder in there:
            try:
                runs.append(load_run(folder))
            except ReportError as error:
                notes.append(f"Left out: {tamed(error, 1000)}")
    if not runs:
        raise ReportError(f"nothing can be read of {', '.join(map(str, paths))}: {notes[0].removeprefix('Left out: ')}")
    data = _as_found(runs, title, notes) if sweep is None else _beside_cells(runs, sweep, notes)
    return replace(data, edited=tuple(edited_notes([run.edited for run in runs], "run")))


def row_of(run: RunData, cell: str, group: str = "") -> Row:
    """What came of a run; a key that its version did not have yet has its default."""
    best, last = accuracies(run.records)
    return Row(
        cell=cell,
        key="",
        group=group,
        status="done" if run.finished else "running",
        config=_resolved(run.config),
        rounds_done=run.rounds,
        best=best,
        last=last,
        seconds=sum(sum(record.seconds.values()) for record in run.records),
        code=run.versions.get("code"),
        torch=run.versions.get("torch"),
        measures=of_run(run.records),
        own=run.own,
        imported=run.imported,
        in_vain=in_vain(run.records, run.byzantine_ids),
        skips=skips(run.records),
    )


def _as_found(runs: Sequence[RunData], title: str, notes: Sequence[str]) -> SweepData:
    rows = []
    records = {}
    names = [run.name for run in runs]
    for number, run in enumerate(runs, 1):
        cell = run.name if names.count(run.name) == 1 else f"{run.name} #{number}"
        rows.append(row_of(run, cell))
        records[cell] = run.records
    return SweepData(title=title, rows=tuple(with_impacts(rows_apart(rows))), records=records, notes=tuple(notes))


def _beside_cells(runs: Sequence[RunData], sweep: Sweep, notes: list[str]) -> SweepData:
    """Each cell with the run that has its settings; of several the longest."""
    found: dict[tuple[tuple[str, str], ...], RunData] = {}
    for run in sorted(runs, key=lambda run: run.rounds):
        found[_settings(_resolved(run.config))] = run
    rows = []
    records = {}
    taken: list[RunData] = []
    for cell in sweep.cells:
        config = cell.spec.resolved()
        its = found.get(_settings(config))
        if its is None:
            rows.append(Row(cell=cell.name, key="", group=cell.group, status="waiting", config=config))
            continue
        taken.append(its)
        rows.append(row_of(its, cell.name, cell.group))
        records[cell.name] = its.records
    if not taken:
        raise ReportError(f"none of {len(runs)} runs is a cell of {sweep.name}; give the folder of its runs")
    if others := len([run for run in runs if not any(run is one for one in taken)]):
        notes.append(f"Runs that are no cell of {sweep.name}, and not shown: {others}.")
    return of_sweep(sweep, with_impacts(rows_apart(rows)), records, notes=tuple(notes))


def _resolved(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration as this version writes it; as it stands where this version does not know it.

    A folder may be anybody's, so no module is imported because one names it.
    """
    try:
        with names_in_config():
            return make_spec(config).resolved()
    except SpecError:
        return config


def _settings(config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, repr(value)) for key, value in config.items() if key not in _BESIDE))
