"""Of rules that say nothing of single clients nobody claims to know whom they accepted; who was excluded is known."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.core import Context, Reason, apply, judge
from fedward.experiments.spec import make_spec
from fedward.redteam import play
from fedward.redteam.capture import capture
from fedward.sim import Record
from fedward.stack import as_updates
from tests.sweeps.test_store import SMALL


def middle(G: Tensor) -> Tensor:
    return G.median(0).values


def sent() -> Tensor:
    rows = torch.randn(6, 9, generator=torch.Generator().manual_seed(1))
    rows[4, 0] = torch.nan
    return rows


@dataclass(frozen=True, kw_only=True)
class Silent(fw.Rule):
    """A class that does what a function does."""

    declared = fw.Traits(judges=False, properties=frozenset())

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return fw.Plan(updates, torch.full((updates.n,), 1 / updates.n))


FUNCTION = fw.rule(middle)
SILENT = [
    FUNCTION,
    Silent(),
    mixers.ClipNorm(radius=1.0) >> FUNCTION,
    rules.Hierarchical(base=FUNCTION),
    rules.RobustTailor(rules=(rules.Median(), FUNCTION)),
]
TELLING = [rules.Mean(), rules.Median(), rules.Krum(f=1) >> FUNCTION, rules.MultiKrum(f=1)]


@pytest.mark.parametrize("rule", SILENT, ids=repr)
def test_who_was_given_is_not_judged_and_who_was_not_is_known(rule: fw.Rule) -> None:
    assert not rule.traits().judges
    result = fw.Aggregator(rule)(sent())
    assert result.accepted.tolist() == [True] * 4 + [False, True]
    assert result.reasons[4] is Reason.NONFINITE
    assert {*result.reasons} == {Reason.NONFINITE, Reason.NOT_JUDGED}
    told = json.loads(json.dumps(result.to_json()))
    assert told["accepted"] == [None] * 4 + [False, None]
    lines = result.table().splitlines()[2:8]
    assert [" -  " in line and line.endswith("not-judged") for line in lines] == [True] * 4 + [False, True]
    assert " no " in lines[4]
    assert "yes" not in result.table()


@pytest.mark.parametrize("rule", TELLING, ids=repr)
def test_others_say_whom_they_accept(rule: fw.Rule) -> None:
    assert rule.traits().judges
    result = fw.Aggregator(rule)(sent())
    assert Reason.NOT_JUDGED not in result.reasons
    assert Reason.ACCEPTED in result.reasons
    assert None not in result.to_json()["accepted"]


def test_a_plan_alone_is_judged_as_before() -> None:
    updates = as_updates(sent()[:4])
    assert {*judge(updates, apply(FUNCTION, updates, {}, Context())).reasons} == {Reason.ACCEPTED}


def test_records_have_no_rates_but_who_was_excluded() -> None:
    spec = make_spec({**SMALL, "rounds": 2, "attack": "non-finite"})
    for record in spec.simulation(rule=FUNCTION).run(rounds=2):
        assert (record.honest_accepted, record.byzantine_accepted) == (None, None)
        assert record.accepted.count(False) == 1
        assert not record.judged
        assert not Record.from_json(record.to_json()).judged
        assert [*record.reasons.values()] == [Reason.NONFINITE]
        assert record.to_json()["honest_accepted"] is None
    for record in spec.simulation(rule=rules.Median()).run(rounds=2):
        assert (record.honest_accepted, record.byzantine_accepted) == (1.0, 0.0)


def test_the_red_team_has_no_shares() -> None:
    captured = capture(make_spec({**SMALL, "rounds": 1}), 0, 2)
    found = play(FUNCTION, fw.attacks.SignFlip(), captured, byzantine=1)
    assert (found.honest_accepted, found.byzantine_accepted) == (None, None)
    known = play(rules.Median(), fw.attacks.SignFlip(), captured, byzantine=1)
    assert (known.honest_accepted, known.byzantine_accepted) == (1.0, 1.0)
    assert replace(found, honest_accepted=1.0, byzantine_accepted=1.0).kappa == found.kappa
