"""A rule that waits for more rows than there are clients is refused before the first round, wherever it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import fedward as fw
from fedward import Context, Plan, Rule, clients, mixers, rules
from fedward.core import BoundError, State
from fedward.data.partition import KClasses
from fedward.experiments import RunSpec
from fedward.sim import federate
from fedward.stack import Updates
from tests.sim.federations import federation, linear


@dataclass(frozen=True, kw_only=True)
class Patient(Rule):
    """Decides on the rows of any round, and never before it has heard of so many clients."""

    many: int

    def check_clients(self, clients: int, answers: int | None = None) -> None:
        if clients < self.many:
            raise BoundError(f"patient waits for {self.many} clients, of {clients}")

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return fw.average_of(updates, range(updates.n))


def simulation(rule: Rule, **given: Any) -> fw.Simulation:
    usual = {"data": federation(4), "clients": clients.Gradient(batch_size=4)}
    return fw.Simulation(model=linear, rule=rule, threads=1, **(usual | given))


@pytest.mark.parametrize(
    "around",
    [
        lambda rule: rule,
        lambda rule: rules.Delayed(base=rule, start=1),
        lambda rule: mixers.ClipNorm(radius=1.0) >> rule,
        lambda rule: rules.SignGuard() >> rule,
        lambda rule: rules.RobustTailor(rules=(rules.Median(), rule)),
        lambda rule: rules.Delayed(base=mixers.ClipNorm(radius=1.0) >> rule, start=2),
    ],
    ids=["itself", "wrapped", "after a mixer", "after a filter", "one of several", "deep"],
)
def test_who_waits_forever_is_refused(around: Any) -> None:
    simulation(around(Patient(many=4)))
    with pytest.raises(BoundError, match="patient waits for 5 clients, of 4"):
        simulation(around(Patient(many=5)))


def test_de_moa_waits_for_the_rows_of_all_clients() -> None:
    simulation(rules.DeMoA(base=rules.Krum(f=0)), participation=0.5)
    with pytest.raises(BoundError, match=r"de-moa has the rows of all 4 clients at most, and would wait forever: Krum"):
        simulation(rules.Delayed(base=rules.DeMoA(base=rules.Krum(f=1))), participation=0.5)
    with pytest.raises(ValueError, match="would wait forever"):
        RunSpec(rule="de-moa:base=(krum:f=3)", clients=4, byzantine=0, participation=0.5)


def test_where_rounds_have_classes_those_that_hold_one_are_all_there_are() -> None:
    """Twelve clients, four for each class: seven rows of one never come together."""
    data = federate(federation(4).dataset, 12, partition=KClasses(k=1))
    momentum = clients.ClassMomentum(classes=1, batch_size=4)
    for around in (lambda rule: rule, lambda rule: rules.ClassWise(base=rule)):
        simulation(around(rules.DeMoA(base=rules.MultiKrum(f=0))), data=data, clients=momentum)
        with pytest.raises(BoundError, match=r"class 0 \(4 rows.*de-moa has the rows of all 4 clients at most"):
            simulation(around(rules.DeMoA(base=rules.MultiKrum(f=2))), data=data, clients=momentum)


def test_rows_that_grow_old_are_those_of_a_few_rounds() -> None:
    young = rules.DeMoA(base=rules.Krum(f=1), age=1)
    simulation(young, data=federation(8), participation=0.375)
    with pytest.raises(BoundError, match=r"de-moa has the rows of 2 rounds of 2 at most.* or a larger age"):
        simulation(young, data=federation(8), participation=0.25)
    RunSpec(rule="de-moa:age=9,base=(krum:f=10)", clients=100, byzantine=0, participation=0.05)
    with pytest.raises(ValueError, match=r"rows of 3 rounds of 5 at most"):
        RunSpec(rule="de-moa:age=2,base=(krum:f=10)", clients=100, byzantine=0, participation=0.05)
