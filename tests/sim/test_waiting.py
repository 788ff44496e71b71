"""A rule that waits for more rows than there are clients is refused before the first round, wherever it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import fedward as fw
from fedward import Context, Plan, Rule, clients, mixers, rules
from fedward.core import BoundError, State
from fedward.experiments import RunSpec
from fedward.stack import Updates
from tests.sim.federations import federation, linear


@dataclass(frozen=True, kw_only=True)
class Patient(Rule):
    """Decides on the rows of any round, and never before it has heard of so many clients."""

    many: int

    def check_clients(self, clients: int) -> None:
        if clients < self.many:
            raise BoundError(f"patient waits for {self.many} clients, of {clients}")

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return fw.average_of(updates, range(updates.n))


def simulation(rule: Rule, **given: Any) -> fw.Simulation:
    return fw.Simulation(
        model=linear, data=federation(4), rule=rule, clients=clients.Gradient(batch_size=4), threads=1, **given
    )


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
