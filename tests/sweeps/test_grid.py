"""Tables of settings become cells."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from fedward.experiments.spec import SpecError
from fedward.sweeps import Sweep, make_sweep, read_sweep

TINY: dict[str, Any] = {"data": "fashion-mnist-subset", "model": "linear", "clients": 12, "byzantine": 2, "rounds": 4}


def names(sweep: Sweep) -> list[str]:
    return [cell.name for cell in sweep.cells]


def made(**keys: Any) -> Sweep:
    return make_sweep({**TINY, **keys}, name="tiny")


def refused(match: str, **keys: Any) -> None:
    with pytest.raises(SpecError, match=match):
        made(**keys)


def test_lists_are_crossed_seeds_outermost_and_rules_innermost() -> None:
    rules = ["mean", "median", "krum"]
    sweep = made(rule=rules, lr=[0.1, 0.2], attack=["alie", "no-attack"], seed=[0, 1])
    expected = [
        (seed, lr, attack, rule) for seed, lr, attack, rule in product([0, 1], [0.1, 0.2], ["alie", "no-attack"], rules)
    ]
    assert [(c.spec.seed, c.spec.lr, c.spec.attack, c.spec.rule) for c in sweep.cells] == expected
    assert names(sweep)[:2] == ["mean under alie, lr=0.1", "median under alie, lr=0.1"]
    assert names(sweep)[-1] == "krum under no-attack, lr=0.2, seed 1"
    assert sweep.axes == {"lr": (0.1, 0.2), "attack": ("alie", "no-attack"), "rule": tuple(rules), "seed": (0, 1)}


def test_one_of_everything_is_one_cell() -> None:
    sweep = made(rule="mean", title="One")
    assert (names(sweep), sweep.title, sweep.axes) == (["mean under alie"], "One", {})


def test_byzantine_clients_by_number_and_by_name() -> None:
    assert [c.spec.byzantine for c in made(byzantine=[3, 4]).cells] == [(3, 4)]
    sweep = made(byzantine=[[3, 4], "2"], rule="mean")
    assert [c.spec.byzantine for c in sweep.cells] == [(3, 4), 2]
    assert names(sweep) == ["mean under alie, byzantine=3,4", "mean under alie, byzantine=2"]


def test_lists_that_go_together() -> None:
    sweep = made(clients=[12, 20], byzantine=["2", "4"], rule=["mean", "krum"], zip=[["clients", "byzantine"]])
    pairs = [(c.spec.clients, c.spec.byzantine, c.spec.rule) for c in sweep.cells]
    assert pairs == [(12, 2, "mean"), (12, 2, "krum"), (20, 4, "mean"), (20, 4, "krum")]
    refused("clients has 2, byzantine has 1", clients=[12, 20], zip=[["clients", "byzantine"]])
    refused("lr has no values", zip=[["clients", "lr"]])
    refused("unknown key 'client'; did you mean 'clients'", zip=[["client", "lr"]])
    refused("lr is named twice", zip=[["lr", "clients"], ["lr", "seed"]])
    refused("zip: lists of keys", zip=["clients", "byzantine"])


def test_exclusions() -> None:
    keys: dict[str, Any] = {"rule": ["mean", "krum:f=3"], "attack": ["no-attack", "alie:z=1"]}
    assert names(made(**keys, exclude=[{"rule": "mean", "attack": "alie"}])) == [
        "mean under no-attack",
        "krum:f=3 under no-attack",
        "krum:f=3 under alie:z=1",
    ]
    refused("exclude 1: no cell has rule = krumm: rule is mean, krum:f=3", **keys, exclude=[{"rule": "krumm"}])
    refused("exclude 1: unknown key 'rul'; did you mean 'rule'", **keys, exclude=[{"rul": "krum"}])
    refused("no cell is left", **keys, exclude=[{"rule": ["mean", "krum"]}])


KRUM3 = {"name": "krum", "f": 3}


@pytest.mark.parametrize(
    ("meant", "left"),
    [
        ("krum", ["mean"]),
        ("krum:f=3", ["mean", "krum", "krum:f=4"]),
        (KRUM3, ["mean", "krum", "krum:f=4"]),
        ({"f": 3, "name": "krum"}, ["mean", "krum", "krum:f=4"]),
        ({"name": "krum"}, ["mean"]),
        ({"name": "krum", "f": 4}, ["mean", "krum", "krum:f=3"]),
    ],
    ids=str,
)
def test_rules_as_tables_are_meant_like_text(meant: Any, left: list[str]) -> None:
    """By exclude, [[cell]] match and --only, whichever of the two is the table."""
    keys: dict[str, Any] = {"rule": ["mean", "krum", "krum:f=4", KRUM3], "attack": "no-attack"}
    assert names(made(**keys, exclude=[{"rule": meant}])) == [f"{rule} under no-attack" for rule in left]
    own = made(**keys, cell=[{"match": {"rule": meant}, "lr": 0.5}])
    assert [cell.name.partition(" ")[0] for cell in own.cells if cell.spec.lr is None] == left
    if isinstance(meant, str):
        only = make_sweep({**TINY, **keys}, name="x", only=[f"rule={meant}"])
        assert {*names(only), *(f"{rule} under no-attack" for rule in left)} == set(names(made(**keys)))


def test_tables_are_told_as_text() -> None:
    refused("no cell has rule = krum:f=1: rule is mean, krum:f=3", rule=["mean", KRUM3], exclude=[{"rule": "krum:f=1"}])


def test_numbers_are_meant_whatever_their_size() -> None:
    refused("exclude 1: no cell has lr = 1000", rule="mean", lr=[0.1, 0.2], exclude=[{"lr": 10**400}])
    seeds = [2**63, 2**63 + 1]
    sweep = made(rule="mean", seed=seeds, exclude=[{"seed": 2**63 + 1}])
    assert [cell.spec.seed for cell in sweep.cells] == seeds[:1]


@pytest.mark.parametrize("cost", [float("inf"), float("nan"), -1, 10**400, True, "1"], ids=str)
def test_a_cost_is_a_number_of_seconds(cost: Any) -> None:
    refused("^cost: seconds that a round takes", rule="mean", cost=cost)
    refused(r"^\[\[runs\]\] 1: cost: seconds", runs=[{"rule": "mean", "cost": cost}])
    refused(r"^\[\[cell\]\] 1: cost: seconds", rule="mean", cell=[{"match": {"rule": "mean"}, "cost": cost}])


def test_what_some_cells_have_of_their_own() -> None:
    keys: dict[str, Any] = {"rule": ["mean", "krum"], "seed": [0, 1]}
    sweep = made(**keys, cell=[{"match": {"rule": "krum"}, "lr": 0.05, "cost": 2}])
    assert [(c.spec.lr, c.cost) for c in sweep.cells] == [(None, None), (0.05, 2), (None, None), (0.05, 2)]
    refused(r"\[\[cell\]\] 1: lr takes one value", **keys, cell=[{"match": {"rule": "krum"}, "lr": [1, 2]}])
    refused("seed is one of the axes", **keys, cell=[{"match": {"rule": "krum"}, "seed": 3}])
    refused(r"\[\[cell\]\] 1: match: write which cells", **keys, cell=[{"lr": 0.05}])
    refused("no cell has rule = median", **keys, cell=[{"match": {"rule": "median"}, "lr": 0.05}])


def test_groups_are_grids_of_their_own() -> None:
    groups = [{"group": "long", "rounds": 8, "rule": ["mean", "median"]}, {"rule": "krum", "cost": 3}]
    sweep = made(runs=groups, attack="no-attack", cost=1)
    assert names(sweep) == ["long/mean under no-attack", "long/median under no-attack", "krum under no-attack"]
    assert [c.spec.rounds for c in sweep.cells] == [8, 8, 4]
    assert [c.cost for c in sweep.cells] == [1, 1, 3]
    assert [c.group for c in sweep.cells] == ["long", "long", ""]
    refused("several runs are called mean under alie", runs=[{"rule": "mean"}, {"rule": "mean", "lr": 0.2}])


def test_profiles_and_numbers_of_seeds_replace_what_groups_say_too() -> None:
    table = {
        **TINY,
        "rule": ["mean", "median"],
        "runs": [{"group": "a", "rounds": 900, "seed": 5}, {"group": "b", "exclude": [{"rule": "median"}]}],
        "profiles": {"short": {"rounds": 2, "rule": "mean"}},
    }
    sweep = make_sweep(table, name="x", profile="short", seeds=2)
    assert [(c.name, c.spec.rounds) for c in sweep.cells] == [
        ("a/mean under alie", 2),
        ("a/mean under alie, seed 1", 2),
        ("b/mean under alie", 2),
        ("b/mean under alie, seed 1", 2),
    ]
    with pytest.raises(SpecError, match="unknown profile 'shrt'; did you mean 'short'"):
        make_sweep(table, name="x", profile="shrt")
    with pytest.raises(SpecError, match="0 seeds make no cell"):
        make_sweep(table, name="x", seeds=0)


def test_only_some_cells() -> None:
    table = {**TINY, "rule": ["mean", "krum"], "attack": ["alie:z=1", "no-attack"], "lr": [0.1, 0.2]}
    sweep = make_sweep(table, name="x", only=["attack=alie", "lr=0.10", "rule=mean", "rule=krum"])
    assert names(sweep) == ["mean under alie:z=1, lr=0.1", "krum under alie:z=1, lr=0.1"]
    for only, match in (
        ("attack=aile", "no cell has attack = aile: attack is alie:z=1, no-attack"),
        ("atack=alie", "unknown key 'atack'; did you mean 'attack'"),
        ("attack", "key=value"),
    ):
        with pytest.raises(SpecError, match=match):
            make_sweep(table, name="x", only=[only])


def test_unknown_keys_and_values_are_told_with_what_is_near(tmp_path: Path) -> None:
    refused("unknown key 'rul'; did you mean 'rule'", rul="mean")
    refused("mean under aile: .*'alie'", rule=["mean"], attack=["alie", "aile"])
    refused(r"\[\[runs\]\] 1: unknown key 'exclud'; did you mean 'exclude'", runs=[{"exclud": []}])
    refused(r"\[profiles.short\]: unknown key 'round'; did you mean 'rounds'", profiles={"short": {"round": 3}})
    refused(r"rule = \[\]: a grid over no value", rule=[])
    refused("title: takes one text", title=["a", "b"])
    refused("cost: seconds that a round takes", cost=[1, 2])
    refused(r"\[\[runs\]\]: a table each", runs={"rule": "mean"})
    file = tmp_path / "own.toml"
    file.write_text('rule = ["mean"\n')
    with pytest.raises(SpecError, match=r"own\.toml: not a TOML file"):
        read_sweep(file)
    file.write_text('rule = "mean"\nseeds = 3\n')
    with pytest.raises(SpecError, match=r"own\.toml: unknown key 'seeds'; did you mean 'seed'"):
        read_sweep(file)


def test_values_that_are_there_twice_are_one() -> None:
    assert names(made(rule=["mean", "mean"], seed=[0, 0, 1])) == ["mean under alie", "mean under alie, seed 1"]
