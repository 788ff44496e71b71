"""The cells of a sweep that one can open: seeds, figures, measures, and the command that runs them again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..experiments.spec import RunSpec
from ..sweeps import Row
from .curves import Curve, Panel, panels_section
from .grid import plain
from .pieces import NONE, NOTHING_LEARNED, breakable, count, per_cent, table, three_digits
from .sweep_heat import Marks, mark
from .sweep_table import Crossing, SweepData

_MEASURES = {
    "attack_impact": ("attack impact", True),
    "worst_class": ("worst class", True),
    "worst_client": ("worst client", True),
    "calibration_error": ("calibration error", True),
    "attack_confidence": ("success of the attack", True),
    "stability": ("spread of the last tests", True),
    "rounds_to_target": ("rounds to 85%", False),
    "honest_accepted": ("honest accepted", True),
    "byzantine_accepted": ("byzantine accepted", True),
    "seconds_rule": ("rule, s a round", False),
    "seconds_server": ("server, s a round", False),
    "seconds_attacker": ("attacker, s a round", False),
    "memory_server": ("server, MB", False),
    "memory_attacker": ("attacker, MB", False),
}
"""What `fedward.sweeps.measures` names, in words, and whether it is a share; any other goes by its name."""


def command(config: Mapping[str, Any]) -> str:
    """What runs a cell again: ``fedward run`` with every key that is not at its default."""
    given = []
    for key, field in RunSpec.model_fields.items():
        value = config.get(key)
        if value is not None and value != field.default:
            # A flag has no value.
            given += [_option(key, value)] if isinstance(value, bool) else [_option(key), _argument(key, value)]
    return " ".join(["fedward run", *map(shlex.quote, given)])


def _option(key: str, value: Any = True) -> str:
    name = key.replace("_", "-")
    return f"--{name}" if value else f"--no-{name}"


def _argument(key: str, value: Any) -> str:
    if key == "byzantine" and isinstance(value, list | tuple):
        return ",".join(map(str, value)) + ("," if len(value) == 1 else "")
    return plain(value)


def cell_sections(data: SweepData, places: Sequence[Crossing], marks: Marks, grid: str) -> str:
    """Every place of a grid, folded up."""
    return "".join(_section(data, place, marks, grid) for place in places)


def _section(data: SweepData, place: Crossing, marks: Marks, grid: str) -> str:
    over = place.over
    done = sum(row.status == "done" for row in over.rows)
    facts = [f"{done} of {count(len(over.rows), 'seed')} done"]
    if over.mean is not None:
        spread = "" if over.std is None else f" ± {over.std:.2%}"
        facts.insert(0, f"best {over.mean:.2%}{spread}")
    of = mark(marks, {"grid": grid, "rule": place.rule, "attack": place.attack, **place.settings})
    return (
        f'<details class="run" id="run-{place.number}"{of}>'
        f'<summary><span class="name">{breakable(place.title)}</span>'
        f'<span class="facts">{" &middot; ".join(facts)}</span></summary>\n<div class="body">\n'
        + _seeds(over.rows)
        + "".join(_failure(data, row) for row in over.rows if row.error)
        + f"<h3>{'Again' if len(over.rows) == 1 else 'Again, seed by seed'}</h3>\n"
        + "".join(f'<pre class="command">{escape(command(row.config))}</pre>\n' for row in over.rows)
        + _curves(data, place)
        + "</div></details>\n"
    )


def _seeds(rows: Sequence[Row]) -> str:
    known = [name for name in _named(rows) if any(row.measures.get(name) is not None for row in rows)]
    head = ["Seed", "Status", "Best", "Last", "Rounds", "Seconds", "MB"]
    head += [escape(_MEASURES.get(name, (name, False))[0]) for name in known]
    lines = []
    for row in rows:
        lines.append(
            [
                escape(plain(row.config.get("seed", 0))),
                escape(row.status) + f", {NOTHING_LEARNED}" * bool(row.in_vain),
                per_cent(row.best, 2),
                per_cent(row.last, 2),
                f"{row.rounds_done:,} of {escape(plain(row.config.get('rounds', '?')))}",
                NONE if row.seconds is None else f"{row.seconds:,.0f}",
                NONE if row.memory is None else f"{row.memory:,.0f}",
                *(_measure(name, row.measures.get(name)) for name in known),
            ]
        )
    return table(head, lines, 2, "wide")


def _named(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys([*_MEASURES, *(name for row in rows for name in row.measures)]))


def _measure(name: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return NONE if value is None else escape(value)
    return per_cent(value, 2) if _MEASURES.get(name, ("", False))[1] else three_digits(value)


def _failure(data: SweepData, row: Row) -> str:
    whole = data.failures.get(row.cell, "")
    trace = f"<details><summary>Traceback</summary><pre>{escape(whole)}</pre></details>" if whole else ""
    return (
        f'<div class="note">Seed {escape(plain(row.config.get("seed", 0)))} failed: {escape(row.error)}{trace}</div>\n'
    )


def _curves(data: SweepData, place: Crossing) -> str:
    """The tests of every seed by itself, and what the rule made of the clients."""
    seeds = []
    for row in place.over.rows:
        if records := data.records.get(row.cell):
            name = f"seed {row.config.get('seed', 0)}"
            seeds.append(Curve(name=name, label=f"{place.title}, {name}", runs=(records,)))
    names = [curve.name for curve in seeds]
    panel = Panel(title="Test accuracy", curves=tuple(seeds))
    return panels_section(f"cell-{place.number}", [panel], names, key=f"seed-{place.number}")
