"""What can never work is refused before a run, as the user's mistake, with the value and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

import fedward as fw
from fedward import rules
from fedward.core import BoundError
from fedward.experiments.spec import SpecError, make_spec
from tests.sim.test_checkpoint import simulation

SUBSET = {"data": "fashion-mnist-subset", "model": "linear", "clients": 6, "byzantine": 1}
CLASSES = {"algorithm": "class-momentum:classes=2", "partition": "k-classes:k=5"}


@pytest.mark.parametrize("rule", ["nonsense", "class-wise:inner=krum", "krum:f=-1"])
def test_a_rule_misspelt_beside_rounds_of_several_classes(rule: str) -> None:
    with pytest.raises(SpecError, match=r"Valid names|at least 0"):
        make_spec({**SUBSET, **CLASSES, "rule": rule})


@pytest.mark.parametrize("text", [",", ",,", " , ", "3,,4"])
def test_byzantine_clients_without_names(text: str) -> None:
    with pytest.raises(SpecError, match="such as 3,4"):
        make_spec({**SUBSET, "byzantine": text})


@pytest.mark.parametrize("participation", [1.0, 0.5])
def test_a_rule_that_has_too_few_rows_even_of_all_clients(participation: float) -> None:
    values = {**SUBSET, "participation": participation, "byzantine": 3}
    with pytest.raises(SpecError, match=r"all 6 clients.* 9 clients.*got 6"):
        make_spec({**values, "rule": "de-moa:base=(krum)"})
    with pytest.raises(SpecError, match="all 6 clients"):
        make_spec({**values, "rule": "delayed:base=(de-moa:base=(krum:f=3)),start=1"})
    make_spec({**values, "rule": "de-moa:base=(krum:f=0.2)"})


def test_a_simulation_says_so_too() -> None:
    with pytest.raises(BoundError, match=r"all 6 clients.* 7 clients.*got 6"):
        simulation(rule=rules.DeMoA(base=rules.Krum(f=2)), clients=fw.clients.Gradient(batch_size=3))
    sim: Any = simulation(rule=rules.DeMoA(base=rules.Krum(f=1)), participation=0.5)
    assert sim.rule.base.f == 1


def test_nobody_named_is_nobody() -> None:
    spec = make_spec({**SUBSET, "byzantine": []})
    assert spec.byzantine == 0
    assert make_spec(spec.resolved()).resolved() == spec.resolved()
