"""How a sweep is told at its end: rules by attacks over seeds, and what that does not show."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..sweeps import Row, Sweep
from ..sweeps.measures import OverSeeds, over_seeds
from . import display

_ACCEPTED = ("byzantine_accepted", "honest_accepted")
_SHOWN = 40
"""Rows of a table that people still look at."""
_NOTES = 10
"""Sentences about single cells that people still read."""


def notes_of_cells(rows: Sequence[Row]) -> list[str]:
    """What the table does not show of cells."""
    notes = [f"{row.cell}: {note}" for row in rows if not row.in_vain for note in row.notes]
    more = len(notes) - _NOTES
    return [*notes[:_NOTES], *([f"and {more} more such notes"] if more > 0 else [])]


def sweep_table(sweep: Sweep, rows: Sequence[Row]) -> Table:
    """Best and last accuracy of each setting, over its seeds; then its impact if it is known, or else who was accepted.

    Of cells that are not done nothing counts. Where there are several seeds it has no room for who was accepted.
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
        alone = all(len(one.rows) == 1 for one in best)
        shares = dict(zip(display.ACCEPTED, _ACCEPTED, strict=True)) if alone else {}
    for head in ("seeds", "best", "last", *shares):
        table.add_column(head, justify="right", no_wrap=True)
    for one, end in list(zip(best, last, strict=True))[:_SHOWN]:
        names = [one.row.group] if grouped else []
        names += [str(one.row.config.get(key, "")) for key in keys]
        means = [_share(one.rows, measure) for measure in shares.values()]
        table.add_row(*names, f"{len(one.values)} of {len(one.rows)}", _mean(one), _mean(end), *means)
    if len(best) > _SHOWN:
        table.caption = f"and {len(best) - _SHOWN} more"
    return table


def _share(rows: Sequence[Row], measure: str) -> str:
    """The mean of a share over the seeds that are done, in per cent."""
    done = [row for row in rows if row.status == "done"]
    known = [share for row in done if isinstance(share := row.measures.get(measure), float)]
    return display.percent(fmean(known) if known else None)


def _mean(over: OverSeeds) -> str:
    """Mean and standard deviation over seeds, in per cent."""
    if over.mean is None:
        return "-"
    spread = "" if over.std is None else f" ± {100 * over.std:.1f}"
    return f"{100 * over.mean:.1f}{spread} %"
