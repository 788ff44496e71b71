"""A sweep with hyper-parameters that are chosen first: its trials, and what is run when they are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..experiments.spec import SpecError
from .choices import PURPOSES, Choice, choose
from .grid import Cell, Sweep
from .rows import Row
from .trials import TrialRun, contest_of, trials, with_values


def tuned(sweep: Sweep, choices: Iterable[Choice]) -> Sweep:
    """The sweep with what was chosen, on all training data and the test set.

    Every cell is there twice, in groups that end in ``tuned-clean`` and ``tuned-worst``; or once, in one that ends in
    ``tuned``, where the same candidate won both.

    Raises:
        SpecError: a cell for which nothing was chosen.
    """
    chosen: dict[str, dict[str, Choice]] = {}
    for choice in choices:
        chosen.setdefault(choice.contest, {})[choice.purpose] = choice
    cells: dict[str, Cell] = {}
    for purpose in PURPOSES:
        for cell in sweep.cells:
            won = chosen.get(contest_of(cell))
            if won is None:
                raise SpecError(f"tune: nothing was chosen for {contest_of(cell)}; run its trials first")
            same = won["clean"].values == won["worst"].values
            made = _chosen_cell(cell, won[purpose].values, "tuned" if same else f"tuned-{purpose}")
            cells[made.name] = made
    return replace(sweep, cells=tuple(cells.values()), tune={})


def _chosen_cell(cell: Cell, values: Mapping[str, Any], how: str) -> Cell:
    group = f"{cell.group}/{how}" if cell.group else how
    plain = cell.name.removeprefix(f"{cell.group}/") if cell.group else cell.name
    return replace(
        cell,
        name=f"{group}/{plain}",
        group=group,
        spec=with_values(cell.spec, values, cell.name),
        settings={**cell.settings, **values},
    )


def trial_sweep(sweep: Sweep, tried: Sequence[TrialRun]) -> Sweep:
    """The trials as a sweep of their own, beside that which they are for."""
    return replace(
        sweep,
        name=f"{sweep.name}-trials",
        title=f"{sweep.title}: trials on a validation split",
        cells=tuple(trial.cell for trial in tried),
        published=None,
        tune={},
    )


def carried_out(sweep: Sweep, run: Callable[[Sweep], Iterable[Row]]) -> tuple[Sweep, list[Choice]]:
    """Try, choose, and say what is to be run then.

    Args:
        sweep: one that has something to choose.
        run: carries a sweep out, or resumes it, and returns the rows of its cells.

    Raises:
        SpecError: as `trials` and `choose`.
    """
    tried = trials(sweep)
    choices = choose(tried, run(trial_sweep(sweep, tried)))
    return tuned(sweep, choices), choices
