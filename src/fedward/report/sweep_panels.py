"""The training of a sweep, a panel an attack and setting: the same on pages and in figures for a paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .curves import Curve
from .sweep_axes import panel_title
from .sweep_table import Crossing, Grid, SweepData


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is compared in a panel.

    Attributes:
        title: the attack and the settings, and the grid where there are several.
        attack: under which all are.
        settings: that all have.
        curves: one a rule, over its seeds.
    """

    title: str
    attack: str
    settings: Mapping[str, str]
    curves: tuple[Curve, ...]


def trainings(data: SweepData, grid: Grid, titled: bool) -> Iterator[Training]:
    """All panels of a grid, which is named in their titles where it is one of several."""
    for attack in grid.attacks:
        together: dict[tuple[tuple[str, str], ...], list[Crossing]] = {}
        for line in grid.lines:
            if attack in line.places:
                together.setdefault(tuple(line.settings.items()), []).append(line.places[attack])
        for settings, places in together.items():
            yield Training(
                title=of_grid(grid, titled, panel_title(attack, dict(settings))),
                attack=attack,
                settings=dict(settings),
                curves=tuple(_curve(data, place) for place in places),
            )


def of_grid(grid: Grid, titled: bool, title: str) -> str:
    """A title, after that of its grid where there are several."""
    return f"{grid.title} · {title}" if titled else title


def _curve(data: SweepData, place: Crossing) -> Curve:
    runs = tuple(data.records[row.cell] for row in place.over.rows if row.cell in data.records)
    return Curve(name=place.rule, label=place.title, runs=runs)
