"""How a sweep is told at its end: rules by attacks over seeds, and what that does not show."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..report.sweep_measures import best_of_tests
from ..sweeps import Row, Sweep
from ..sweeps.measures import OverSeeds, over_seeds
from . import display

_ACCEPTED = ("byzantine_accepted", "honest_accepted")
_SHOWN = 40
"""Rows of a table that people still look at."""
_NOTES = 10
"""Sentences about single cells that people still read."""


def notes_of_cells(rows: Sequence[Row], *, whole: bool = False) -> list[str]:
    """What the table does not show of cells; all of it, or so much as people still read."""
    notes = [f"{row.cell}: {note}" for row in rows if not row.in_vain for note in row.notes]
    more = 0 if whole else len(notes) - _NOTES
    if more <= 0:
        return notes
    return [*notes[:_NOTES], f"and {more} more such notes"]


def how_figures_are_read(rows: Sequence[Row]) -> str:
    """What best and the figures after a plus-minus sign are."""
    several = any(len(one.values) > 1 for one in over_seeds(rows))
    spread = "; ± is the standard deviation over seeds, with n - 1" if several else ""
    return f"best: {best_of_tests(rows)}{spread}."


def sweep_table(sweep: Sweep, rows: Sequence[Row], *, whole: bool = False) -> Table:
    """Best and last accuracy of each setting, over its seeds; then its impact if it is known, or else who was accepted.

    Of cells that are not done, or whose model learned nothing, nothing counts. Where there are several seeds a
    terminal has no room for who was accepted, and of many settings it shows the first ones.

    Args:
        sweep: what was run.
        rows: of its cells.
        whole: whether all that is known is in it.
    """
    keys = list(dict.fromkeys([*(key for key in sweep.axes if key != "seed"), "rule", "attack"]))
    best, last = over_seeds(rows), over_seeds(rows, lambda row: row.last)
    grouped = any(row.group for row in rows)
    heads = [*(["group"] if grouped else []), *keys]
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    shares = {"impact": "attack_impact"}
    if all(row.measures.get("attack_impact") is None for row in rows):
        shares = {}
    if whole or (not shares and all(len(one.rows) == 1 for one in best)):
        shares = {**dict(zip(display.ACCEPTED, _ACCEPTED, strict=True)), **shares}
    for head in ("seeds", "best", "last", *shares):
        table.add_column(head, justify="right", no_wrap=True)
    shown = len(best) if whole else _SHOWN
    for one, end in list(zip(best, last, strict=True))[:shown]:
        names = [one.row.group] if grouped else []
        names += [str(one.row.config.get(key, "")) for key in keys]
        means = [_share(one.rows, measure) for measure in shares.values()]
        table.add_row(*names, f"{len(one.values)} of {len(one.rows)}", _mean(one), _mean(end), *means)
    if len(best) > shown:
        table.caption = f"and {len(best) - shown} more"
    return table


def _share(rows: Sequence[Row], measure: str) -> str:
    """The mean of a share over the seeds that count, in per cent."""
    known = [share for row in rows if row.counts and isinstance(share := row.measures.get(measure), float)]
    return display.percent(fmean(known) if known else None)


def _mean(over: OverSeeds) -> str:
    """Mean and standard deviation over seeds, in per cent."""
    if over.mean is None:
        return "-"
    spread = "" if over.std is None else f" ± {100 * over.std:.1f}"
    return f"{100 * over.mean:.1f}{spread} %"
