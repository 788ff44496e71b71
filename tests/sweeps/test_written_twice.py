"""One setting that is written in two ways is one cell, and counts as one seed."""

from __future__ import annotations

from typing import Any

from fedward.sweeps import Row, make_sweep
from fedward.sweeps.measures import over_seeds, references

BASE = {"data": "fashion-mnist-subset", "model": "linear", "clients": 10, "byzantine": 2, "rounds": 1}


def test_two_ways_of_writing_are_one_cell() -> None:
    rules = ["trimmed-mean", "trimmed-mean:f=2", "sign-guard", "signguard"]
    sweep = make_sweep({**BASE, "rule": rules, "attack": ["alie", "alie:z=0.3"], "seed": [0, 1]}, name="twice")
    found = [(cell.settings["rule"], cell.settings["attack"], cell.settings["seed"]) for cell in sweep.cells]
    assert sorted(found) == [(rule, "alie", seed) for rule in ("sign-guard", "trimmed-mean") for seed in (0, 1)]
    names = {cell.name for cell in sweep.cells}
    assert len(sweep.same) == 12
    assert set(sweep.same.values()) == names
    assert not names & sweep.same.keys()


def test_what_is_the_same_in_some_cells_alone_stays_in_the_others() -> None:
    sweep = make_sweep({**BASE, "rule": ["trimmed-mean", "trimmed-mean:f=2"], "byzantine": ["1", "2"]}, name="some")
    assert len(sweep.cells) == 3


def test_groups_may_have_the_same_run() -> None:
    groups = [{"group": "one"}, {"group": "two"}]
    sweep = make_sweep({**BASE, "rule": "mean", "runs": groups}, name="groups")
    assert (len(sweep.cells), sweep.same) == (2, {})


def test_a_run_that_is_there_twice_counts_once() -> None:
    def row(cell: str, best: float | None, **config: Any) -> Row:
        config = {"rule": "mean", "attack": "no-attack", **config}
        return Row(cell=cell, key="k", group="", status="done", config=config, best=best)

    rows = [row("a", None, seed=0), row("b", 0.5, seed=0), row("c", 0.5, seed=0), row("d", 0.8, seed=1)]
    (over,) = over_seeds(rows)
    assert over.values == (0.5, 0.8)
    assert [one.cell for one in over.rows] == ["b", "d"]
    assert list(references(rows).values()) == [0.65]
