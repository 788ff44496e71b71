"""The reading of what is published: ``NAME.toml`` is the sweep and its source, ``NAME.csv`` the paper's numbers."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from ..experiments.spec import SpecError
from ..registry.naming import unknown
from ..sweeps import Cell, Sweep, read_sweep
from ..sweeps.store import CellHead

FOLDER = Path(__file__).parent
SOURCE = "source"
"""The table of a specification that says where it is from, and is nothing of the sweep."""

Figure = Literal["best", "last", "drop", "honest_accepted", "byzantine_accepted", "seconds_rule"]
"""What a number is of: accuracies in per cent, drops in points below the baseline, shares, seconds of a round."""

Relation = Literal["=", "<", ">", ">="]
"""What a paper says: a number, or a bound."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """One published number.

    Attributes:
        group, rule, attack: of its cells, as the specification has them.
        figure: what it is of.
        relation: whether it is the number or a bound.
        text: as it is printed.
        clean: what the paper has for the mean in this setting without attack, in per cent; None where it says nothing.
        row, column: where it stands, in the paper's words.
        note: what should be known of it.
    """

    group: str
    rule: str
    attack: str
    figure: Figure
    relation: Relation
    text: str
    clean: float | None = None
    row: str
    column: str
    note: str = ""

    @property
    def value(self) -> float:
        """As a number."""
        return float(self.text)

    def of(self, cell: Cell | CellHead) -> bool:
        """Whether it is about this cell, whatever its seed."""
        settings = cell.settings
        return (self.group, self.rule, self.attack) == (cell.group, settings.get("rule"), settings.get("attack"))


@dataclass(frozen=True, kw_only=True)
class Published:
    """A table or a figure of a paper.

    Attributes:
        name: what ``fedward sweep`` takes.
        title: a heading.
        paper: authors, title, where and when.
        place: in the paper.
        arxiv: its id there; empty if it has none.
        note: what should be known of it.
        numbers: none where they are curves.
    """

    name: str
    title: str
    paper: str
    place: str
    arxiv: str = ""
    note: str = ""
    numbers: tuple[Number, ...] = ()

    def numbers_of(self, cell: Cell | CellHead) -> tuple[Number, ...]:
        """Those that are about a cell."""
        return tuple(number for number in self.numbers if number.of(cell))


def names() -> list[str]:
    """What is there, figure 4 before figure 15."""
    found = [file.stem for file in FOLDER.glob("*.toml")]
    return sorted(found, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def read(name: str, *, profile: str | None = None, only: Sequence[str] = (), seeds: int | None = None) -> Sweep:
    """The sweep of a published table or figure.

    Args:
        name: one of `names`.
        profile: None for the published setting, "short" for minutes a cell on two cores.
        only: as in `fedward.sweeps.read_sweep`.
        seeds: so many, in place of the published ones.

    Raises:
        SpecError: nothing is published under this name; no such profile; no cell is left.
    """
    file = _file(name)
    return read_sweep(file, name=name, profile=profile, only=only, seeds=seeds, beside=(SOURCE,))


def look_up(name: str) -> Published:
    """The paper's numbers, and where they are from.

    Raises:
        SpecError: nothing is published under this name.
    """
    whole = tomllib.loads(_file(name).read_text(encoding="utf-8"))
    source = whole[SOURCE]
    numbers = FOLDER / f"{name}.csv"
    lines = numbers.read_text(encoding="utf-8").splitlines() if numbers.exists() else []
    return Published(
        name=name,
        title=whole["title"],
        paper=source["paper"],
        place=source["place"],
        arxiv=source.get("arxiv", ""),
        note=source.get("note", ""),
        numbers=tuple(_numbers(line for line in lines if not line.startswith("#"))),
    )


def _numbers(lines: Iterable[str]) -> Iterable[Number]:
    for row in csv.DictReader(lines):
        yield Number(
            group=row["group"],
            rule=row["rule"],
            attack=row["attack"],
            figure=cast(Figure, row["figure"]),
            relation=cast(Relation, row["relation"]),
            text=row["value"],
            clean=float(row["clean"]) if row["clean"] else None,
            row=row["row"],
            column=row["column"],
            note=row["note"],
        )


def _file(name: str) -> Path:
    if name not in names():
        raise SpecError(unknown("published table or figure", name, names(), "fedward list published"))
    return FOLDER / f"{name}.toml"
