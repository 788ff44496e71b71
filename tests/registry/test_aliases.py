"""Aliases: names with some arguments chosen, understood wherever names are, and written as what they stand for."""

import json
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

import fedward as fw
from fedward import attacks
from fedward.cli.app import app
from fedward.experiments import RunSpec
from fedward.registry.entries import catalogue, find
from fedward.registry.notation import short_for

ALIASES = {alias: entry for entry in catalogue() for alias in entry.aliases}
FANG = attacks.Deviation(direction="sign", gamma=0.1)


def test_fang_is_what_fedseca_calls_fang():
    assert set(ALIASES) >= {"fang"}
    assert fw.build("fang") == fw.parse("fang") == fw.parse("Fang", "attack") == fw.parse({"name": "fang"}) == FANG
    assert fw.parse("byz-mean:inner=fang").inner == FANG
    assert fw.parse("schedule:attacks=(0: fang | 3: alie)").attacks[0][1] == FANG
    assert RunSpec(attack="fang").make_attack() == FANG
    assert RunSpec(attack="fang").resolved() == RunSpec(attack="deviation:direction=sign,gamma=0.1").resolved()


def test_arguments_count_before_those_of_the_alias():
    assert fw.parse("fang:gamma=0.2,jitter=0.05") == attacks.Deviation(direction="sign", gamma=0.2, jitter=0.05)
    assert fw.build("fang", direction="std") == attacks.Deviation(gamma=0.1)
    with pytest.raises(ValueError, match="unknown argument of deviation 'lambda'"):
        fw.build("fang", **{"lambda": 0.1})


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_written_as_what_it_stands_for(alias):
    made = find(alias).build()
    text = fw.describe(made)
    assert text.partition(":")[0] == ALIASES[alias].name
    assert fw.parse(text) == made
    assert made != ALIASES[alias].build()  # or it would be a second name for the same


def test_lists_say_what_aliases_are_short_for():
    text = "deviation:direction=sign,gamma=0.1"
    assert short_for(find("deviation")) == {"fang": text}
    listed = CliRunner().invoke(app, ["list", "attacks", "--json"])
    assert {line["name"]: line for line in json.loads(listed.stdout)}["deviation"]["aliases"] == {"fang": text}
    assert f"fang is {text}" in " ".join(CliRunner().invoke(app, ["list", "attacks"]).output.split())


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_no_line_of_its_own_and_yet_offered(alias):
    assert alias not in {entry.name for entry in catalogue()}
    with pytest.raises(ValueError, match=f"did you mean {alias!r}"):
        fw.build(f"{alias}q")


def test_nobody_else_takes_an_alias():
    @dataclass(frozen=True, kw_only=True)
    class Mine(fw.Rule):
        """Mine."""

        def decide(self, updates, state, context):
            raise NotImplementedError

    with pytest.raises(ValueError, match=r"the name 'fang' is taken by fedward\.attacks\.optimised\.Deviation"):
        fw.register("fang")(Mine)
    with pytest.raises(ValueError, match="the name 'krum' is taken by"):
        fw.register("short", aliases={"krum": {}})(Mine)
    with pytest.raises(ValueError, match="unknown name 'short'"):
        find("short")
