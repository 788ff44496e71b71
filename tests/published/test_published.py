"""Published tables as sweeps: every cell can be run, in both profiles, and every published number has its cell."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import product

import pytest

from fedward import published
from fedward.experiments.spec import RunSpec, SpecError
from fedward.published.reading import FOLDER, SOURCE
from fedward.sweeps import Sweep

PROFILES = (None, "short")
CELLS = {
    "signguard-table1": 4 * 10 * 9,
    "signguard-table2": 3 * 5,
    "signguard-arxiv-table3": 8,
    "signguard-icdcs-table3": 6 * 3,
    "signguard-figure2": 2,
    "signguard-figure4": 5 * (10 * 4 - 2),  # Bulyan takes 10 byzantine clients of 50 at most
    "signguard-figure5": 10 + 1,
    "signguard-figure6": 3 * 10 * 6,
    "siren-figure4": 7,
    "siren-figures5-6": 2 * 3,
    "siren-figure7": 2 * (2 + (4 + 3 * 2) + (4 + 2 * 2)),
    "siren-figures8-10": 2 * (2 + (2 * 2 + 2) + (2 * 2 + 1)),
    "siren-figures11-14": 2 * 2 * 3,
    "siren-figure15": 2 * 2,
    "siren-figure16": 2 + (2 + 2) + 2,
    "siren-figure17": 3,
    "siren-table3": 1 + (3 * 2 + 2) + (2 * 2 + 2),
    "siren-targeted": 3,
    "desgd-table1": 15 * 8 + 1,
    "desgd-table2": 8 * 3 + 1,
    "desgd-figure2": 12 * 3,
    "desgd-figure3": 5,
    "fedseca-benchmark": (10 + 2) * 8,
    "fedseca-ablation": 8 * 3,
}
"""Cells of a seed: those of the paper's table, with what its caption or text adds."""
SEEDS = {"signguard-table1": 3, "desgd-table1": 3, "desgd-table2": 3}
"""In the published setting, where papers say that they average several runs."""
NUMBERS = {
    "signguard-table1": 4 * 10 * 9,
    "signguard-table2": 3 * 5 * 2,
    "signguard-arxiv-table3": 8,
    "signguard-icdcs-table3": 6 * 3,
    "siren-figure7": 24,
    "siren-figures8-10": 2,
    "siren-table3": 15,
    "siren-targeted": 2,
    "desgd-table1": 15 * 8 + 1,
    "desgd-table2": 8 * 3,
}
MOST = 600
"""Seconds of a quiet core that a cell of the short profile may take, as far as anybody has measured it."""


@cache
def sweep(name: str, profile: str | None) -> Sweep:
    return published.read(name, profile=profile)


def test_nothing_is_missing() -> None:
    assert set(published.names()) == set(CELLS)
    assert published.names().index("siren-figure4") < published.names().index("siren-figure15")
    assert {file.stem for file in FOLDER.glob("*.csv")} == set(NUMBERS)


@pytest.mark.parametrize(("name", "profile"), [*product(CELLS, PROFILES)], ids=str)
def test_every_cell_can_be_run_and_there_are_as_many_as_published(name: str, profile: str | None) -> None:
    found = sweep(name, profile)
    assert found.published == found.name == name
    seeds = SEEDS.get(name, 1) if profile is None else 1
    assert len(found.cells) == seeds * CELLS[name]
    assert len({repr(cell.spec.resolved()) for cell in found.cells}) == len(found.cells)
    assert all(isinstance(cell.spec, RunSpec) for cell in found.cells)
    assert {cell.settings["seed"] for cell in found.cells} == set(range(seeds))


@pytest.mark.parametrize(("name", "profile"), [*product(NUMBERS, PROFILES)], ids=str)
def test_every_published_number_has_its_cell(name: str, profile: str | None) -> None:
    numbers = published.look_up(name).numbers
    assert len(numbers) == NUMBERS[name]
    cells = sweep(name, profile).cells
    for number in numbers:
        of_it = [cell for cell in cells if number.of(cell)]
        assert of_it, number
        # Those are one run, with its seeds.
        assert Counter(cell.settings["seed"] for cell in of_it).most_common(1)[0][1] == 1, number
    about = Counter((n.group, n.rule, n.attack, n.figure, n.row, n.column, n.note) for n in numbers)
    assert set(about.values()) == {1}


def test_numbers_are_those_of_the_papers() -> None:
    def value(name: str, **cell: str) -> float:
        found = [n for n in published.look_up(name).numbers if all(getattr(n, key) == cell[key] for key in cell)]
        assert len(found) == 1, found
        return found[0].value

    table1 = {"name": "signguard-table1", "group": "fashion-mnist"}
    assert value(**table1, rule="mean", attack="no-attack") == 89.51
    assert value(**table1, rule="sign-guard-dist", attack="min-sum") == 88.38
    assert value("signguard-table1", group="cifar10", rule="multi-krum", attack="noise") == 92.81
    rates = {"rule": "sign-guard-sim", "attack": "sign-flip"}
    assert value("signguard-table2", **rates, figure="honest_accepted") == 0.7639
    assert value("signguard-table2", **rates, figure="byzantine_accepted") == 0.0981
    assert value("siren-table3", rule="siren", group="80", row="sign-flip, 80 %") == 45.5
    assert value("desgd-table1", row="Clustering+", column="ALIE") == 88.66
    assert value("desgd-table2", row="DnC + DeSGD", column="ALIE") == 5.22
    assert value("siren-figures8-10", note="alarms always; the text does not name the attack") == 84


def test_what_is_not_to_be_read_says_so() -> None:
    with pytest.raises(SpecError, match=r"unknown published .*signguard-tabel1.*signguard-table1"):
        published.read("signguard-tabel1")
    with pytest.raises(SpecError, match="shorter"):
        published.read("signguard-table1", profile="shorter")


@pytest.mark.parametrize("name", CELLS)
def test_sources_are_named(name: str) -> None:
    known = published.look_up(name)
    assert known.paper
    assert known.place
    assert known.title == sweep(name, None).title
    assert SOURCE not in sweep(name, None).table
    if name in NUMBERS:
        assert (FOLDER / f"{name}.csv").read_text().startswith("# ")
    else:
        assert "numbers" in known.note  # why there are none


@pytest.mark.parametrize("name", CELLS)
def test_short_is_short(name: str) -> None:
    for cell in sweep(name, "short").cells:
        assert cell.cost is None or cell.cost * cell.spec.rounds <= MOST
    assert max(c.spec.rounds for c in sweep(name, "short").cells) <= max(c.spec.rounds for c in sweep(name, None).cells)


def test_some_of_a_table_can_be_had() -> None:
    some = published.read("signguard-table1", only=["data=fashion-mnist", "attack=alie"], seeds=2)
    assert len(some.cells) == 10 * 2
    assert {cell.spec.data for cell in some.cells} == {"fashion-mnist"}
