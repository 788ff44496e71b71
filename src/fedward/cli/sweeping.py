"""What the command `sweep` does: read a table of settings, carry its cells out, show what came of them."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import typer

from .. import published
from ..experiments.load import names_in_config
from ..experiments.pool import cores_of
from ..experiments.spec import SpecError, file_name
from ..experiments.store import RunFolder
from ..experiments.versions import versions
from ..registry.naming import unknown
from ..report.pieces import numbered
from ..sweeps import Cell, Local, Row, Sweep, make_sweep, plan, read_sweep, run_sweep
from ..sweeps.choices import CHOICES, Choice, write_choices
from ..sweeps.grammar import text_of
from ..sweeps.leftover import left_over_told
from ..sweeps.origin import LIBRARIES, forget_all, forget_others, made_by_others
from ..sweeps.pace import expected
from ..sweeps.pattern import by_reason
from ..sweeps.slurm import Share, job_script
from ..sweeps.store import state_of
from ..sweeps.trials import trials
from ..sweeps.tune import carried_out, trial_sweep
from ..sweeps.work import Engine, Planned, begun
from . import display
from .imports import is_own
from .progress import SweepProgress, duration
from .sweep_end import how_figures_are_read, notes_of_cells, sweep_table
from .terminal import say_error


def sweep(
    what: str,
    *,
    profile: str | None,
    only: Sequence[str],
    seeds: int | None,
    workers: int | None,
    ray: str | None,
    array: bool,
    task: str | None,
    dry_run: bool,
    redo: bool,
    out: Path | None,
    trust_imports: bool,
    as_json: bool,
) -> None:
    """One sweep: planned, carried out or resumed, and shown."""
    options: dict[str, Any] = {"profile": profile, "seeds": seeds, "trust_imports": trust_imports}
    whole = _read(what, **options)
    chosen = _read(what, only=only, **options) if only else whole
    path = out or Path("sweeps") / file_name("-".join(filter(None, (whole.name, profile))))
    _check_together(array=array, ray=ray, task=task, workers=workers)
    if array:
        typer.echo(job_script(_again(what, profile, only, seeds, path, trust_imports, redo), chosen))
        return
    if dry_run:
        if whole.tune:
            tried = plan(trial_sweep(chosen, trials(chosen)), path / "trials")
            _show_plan(tried, cores_of(workers), as_json, chosen.cells)
        else:
            names = [cell.name for cell in chosen.cells]
            _show_plan(plan(whole, path, only=names), cores_of(workers), as_json)
        return
    carried = partial(
        _carry_out,
        engine=_engine(workers, ray),
        workers=cores_of(workers),
        forget=forget_others if redo else None,
    )
    _perform(whole, chosen, path, carried, task=Share.of(task) if task else None, as_json=as_json)


def of_values(table: Mapping[str, Any], typed: Mapping[str, Any], config: Path | None, trust: bool) -> Sweep:
    """The sweep of keys with several values each, of which the configuration may have said some.

    Args:
        table: all keys, those of the configuration included.
        typed: those of the command line.
        config: the file of the others.
        trust: whether import paths in it are followed.

    Raises:
        SpecError: as `make_sweep`.
    """
    try:
        with nullcontext() if config is None else names_in_config(typed=typed.values(), trust_imports=trust):
            sweep = make_sweep(table, name=text_of(table, "name") or "")
    except SpecError as error:
        raise error if config is None else SpecError(f"{config}: {error}") from None
    name, heading = sweep.told_by_values
    return replace(sweep, name=sweep.name or name, title=sweep.title or heading)


def run_values(
    sweep: Sweep, parent: Path, out: Path | None, *, fresh: bool, workers: int | None, as_json: bool
) -> None:
    """The sweep of a command that gave several values: carried out or resumed, and shown.

    Args:
        sweep: the sweep.
        parent: where single runs lie; the sweep's folder is there as well if no other is given.
        out: its folder.
        fresh: whether to start anew.
        workers: how many cells are worked at at once; all cores if None.
        as_json: for programs.
    """
    path = out or parent / file_name(sweep.name)
    if out is None and not path.exists():
        _tell_of_runs(sweep, parent)
    carried = partial(
        _carry_out,
        engine=_engine(workers, None),
        workers=cores_of(workers),
        forget=forget_all if fresh else None,
    )
    _perform(sweep, sweep, path, carried, as_json=as_json)


def _first_same(sweep: Sweep) -> str:
    """One of the combinations that another cell is already, and whether there are more."""
    name, cell = next(iter(sweep.same.items()))
    return f"{name} is {cell}" + (", and others" if len(sweep.same) > 1 else "")


def _tell_of_runs(sweep: Sweep, parent: Path) -> None:
    """That cells were run before, each alone, which counts for nothing here."""
    alone = [place for cell in sweep.cells if RunFolder(place := parent / cell.spec.name()).head.exists()]
    if alone:
        were = "was run before in a folder of its own" if len(alone) == 1 else "were run before in folders of their own"
        display.say(
            f"{numbered(len(alone), 'cell')} {were}, such as {alone[0]}: what is there stays and is not taken over; "
            f"fedward report {shlex.quote(str(parent))} compares all",
            display.err,
        )


def _perform(
    whole: Sweep,
    chosen: Sweep,
    path: Path,
    carried: Callable[[Planned, Share | None], list[Row]],
    *,
    task: Share | None = None,
    as_json: bool,
) -> None:
    """Carry a sweep out, after its trials if it has any, and show what came of it.

    Args:
        whole: all of its cells.
        chosen: those that are to be done now.
        path: its folder.
        carried: does what is planned, or a share of it.
        task: the share of the cells.
        as_json: for programs.
    """
    if not whole.tune:
        planned = plan(whole, path, only=[cell.name for cell in chosen.cells])
        _show(chosen, planned, carried(planned, task), (), as_json)
        return
    tuned, choices = carried_out(chosen, lambda trials: carried(plan(trials, path / "trials"), None))
    path.mkdir(parents=True, exist_ok=True)
    write_choices(choices, path / CHOICES)
    planned = plan(tuned, path)
    _show(tuned, planned, carried(planned, task), choices, as_json)


def _read(what: str, *, trust_imports: bool, **options: Any) -> Sweep:
    """The sweep of a file, or of what is published under a name."""
    file = Path(what)
    if file.suffix == ".toml" or file.exists():
        found = read_sweep(file, trust_imports=trust_imports or (file.exists() and is_own(file)), **options)
        if found.published is not None and found.published not in published.names():
            near = unknown("published table", found.published, published.names(), "fedward list published")
            raise SpecError(f"{file}: published: {near}")
        return found
    if what not in published.names():
        near = unknown("published table", what, published.names(), "fedward list published")
        raise SpecError(f"{near}; a table of your own is a file that ends in .toml")
    return published.read(what, **options)


def _check_together(*, array: bool, ray: str | None, task: str | None, workers: int | None) -> None:
    """That no option is given that another one makes idle."""
    if array and (ray is not None or task is not None):
        raise SpecError(
            f"--array prints a script for SLURM, which has no {'--ray' if ray else '--task'}; leave one out"
        )
    if workers is not None and ray not in (None, "local"):
        raise SpecError(f"--workers is for this machine; of {ray} all cores are used: leave --workers out")


def _engine(workers: int | None, address: str | None) -> Engine:
    if address is None:
        return Local(workers=cores_of(workers))
    from ..sweeps.ray import Ray

    return Ray(address=address, workers=workers)


def _again(
    what: str,
    profile: str | None,
    only: Sequence[str],
    seeds: int | None,
    path: Path,
    trust_imports: bool,
    redo: bool,
) -> list[str]:
    """The command that carries out a share of the same sweep."""
    words = ["fedward", "sweep", what, "--out", str(path), "--workers", "1"]
    words += ["--profile", profile] if profile else []
    words += [word for choice in only for word in ("--only", choice)]
    words += ["--seeds", str(seeds)] if seeds is not None else []
    return words + ["--trust-imports"] * trust_imports + ["--redo"] * redo


def _carry_out(
    planned: Planned, task: Share | None, *, engine: Engine, workers: int, forget: Callable[[Planned], None] | None
) -> list[Row]:
    planned = begun(planned)
    if forget is not None:
        forget(planned)
    for line in left_over_told(planned):
        display.say(line, display.err)
    with SweepProgress(planned, workers) as progress:
        return run_sweep(
            planned,
            engine,
            on_progress=progress,
            on_done=progress.done,
            share=task.of_cells if task is not None else None,
        )


# --- what is shown ------------------------------------------------------------------------------------------


def _show_plan(planned: Planned, workers: int, as_json: bool, then: Sequence[Cell] = ()) -> None:
    """What there is to do, and about how long it takes.

    Args:
        planned: a sweep, or the trials of one.
        workers: how many cells are worked at at once.
        as_json: for programs.
        then: cells that are run once or twice after the trials.
    """
    jobs = planned.jobs()
    seconds = expected(planned)
    cells: list[dict[str, Any]] = [
        {
            "cell": head.name,
            "key": head.key,
            "status": state_of(planned.folder.place(head), head.key, cell.spec.rounds).status,
            "rounds": cell.spec.rounds,
            "why": planned.no_data.get(head.name, ""),
        }
        for cell, head in planned.cells
        if head.name in planned.chosen
    ]
    others = _others_told(planned)
    if as_json:
        known = [each for each in seconds.values() if each is not None]
        told: dict[str, Any] = {"cells": cells, "to_do": len(jobs), "core_seconds": sum(known)}
        told |= {"of_unknown_length": len(jobs) - len(known), "made_by_others": others}
        typer.echo(json.dumps(told | ({"cells_after_trials": len(then)} if then else {}), indent=1))
        return
    for cell in cells:
        display.say(f"{'no data' if cell['why'] else cell['status']}: {cell['cell']}, {cell['rounds']} rounds")
    what = "trials" if then else "cells"
    display.say(f"{len(jobs)} of {len(cells)} {what} to do{_how_long(list(seconds.values()), workers)}")
    for why, count in Counter(planned.no_data.values()).items():
        display.say(f"{numbered(count, 'cell')} cannot be run before the data are there: {why}")
    if then:
        rounds = sum(cell.spec.rounds for cell in then)
        display.say(
            f"Then {numbered(len(then), 'cell')}, {rounds} rounds in all, with what the trials have chosen: once where "
            "the same is best without attack and under the worst, else twice"
        )
    for line in others:
        display.say(line)


def _how_long(seconds: Sequence[float | None], workers: int) -> str:
    """Of what is to be done, after a colon."""
    known = [each for each in seconds if each is not None]
    lost = len(seconds) - len(known)
    if not seconds:
        return ""
    if not known:
        return "; how long that takes is not known before the first of them is done"
    unknown_ones = f", and {lost} of unknown length" if lost else ""
    longest = max(sum(known) / workers, *known)
    return f": about {duration(sum(known))} of a core, {duration(longest)} on {workers}{unknown_ones}"


def _others_told(planned: Planned) -> list[str]:
    """How many cells are there that other versions of the libraries have made, a line for each of these."""
    now = versions()
    here = ", ".join(f"{name} {now[name]}" if now[name] else f"no {name}" for name in LIBRARIES)
    return [
        f"{numbered(count, 'cell')} of other versions count as well, made with {theirs} (here: {here}); "
        "--redo makes them anew"
        for theirs, count in Counter(made_by_others(planned).values()).items()
    ]


def _show(sweep: Sweep, planned: Planned, rows: Sequence[Row], choices: Sequence[Choice], as_json: bool) -> None:
    """The table, where it is, and what failed, with the exit status that goes with it."""
    path = planned.folder.path
    failed = {row.cell: row.error for row in rows if row.status == "failed"}
    failed |= {row.cell: row.in_vain for row in rows if row.in_vain}
    left = [str(place) for place in planned.folder.left_over()]
    others = _others_told(planned)
    others_to_do = sum(row.status != "done" and row.cell not in planned.chosen for row in planned.folder.rows())
    if as_json:
        cells = [row.flat() for row in rows]
        told: dict[str, Any] = {
            "sweep": sweep.name,
            "folder": str(path),
            "cells": cells,
            "failed": failed,
            "left_over": left,
        }
        told |= {"made_by_others": others, "same": dict(sweep.same), "others_to_do": others_to_do}
        typer.echo(json.dumps(told, indent=1, default=str))
    else:
        for choice in choices:
            display.say(choice.told())
        display.out.print(sweep_table(sweep, rows, whole=display.out.whole))
        display.say(how_figures_are_read(rows))
        for line in notes_of_cells(rows, whole=display.out.whole):
            display.say(line)
        waiting = sum(row.status in ("waiting", "running") for row in rows)
        if waiting:
            display.say(f"{waiting} of {len(rows)} cells are not done; the same command resumes.")
        if others_to_do:
            are = "that is not chosen is" if others_to_do == 1 else "that are not chosen are"
            display.say(f"{numbered(others_to_do, 'cell')} {are} not done.")
        if sweep.same:
            display.say(f"{numbered(len(sweep.same), 'cell')} left out that others are already: {_first_same(sweep)}")
        if left:
            display.say(f"{numbered(len(left), 'cell')} of an earlier table or of other code kept: {path / 'cells'}")
        for line in others:
            display.say(line)
        display.say(f"Table: {path / 'sweep.csv'}. Page: fedward report {shlex.quote(str(path))}")
    for sentence in by_reason(failed):
        say_error(sentence)
    if failed:
        raise typer.Exit(1)
