"""What an attack sees in a simulation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
import torch

import fedward as fw
from fedward.attacks import Attack, View
from fedward.sim import Dataset, Split, federate

from .engine import DATA, data, simulation


@dataclass(frozen=True, kw_only=True)
class Spy(Attack):
    """Behaves, and takes notes."""

    seen: list = field(default_factory=list, compare=False)

    def forge(self, view: View):
        plan = view.decide(view.honest)
        self.seen.append((view.honest.n, view.own.n, plan.weights.nonzero().flatten().tolist(), plan.execute()))
        return view.own


def test_an_attack_sees_honest_rows_its_own_and_what_the_defence_would_decide() -> None:
    generator = torch.Generator().manual_seed(0)
    split = Split(inputs=torch.randn(80, 1, 2, 3, generator=generator), labels=torch.arange(80) % 4)
    spy = Spy()
    simulation = fw.Simulation(
        model=lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 4)),
        data=federate(Dataset(name="tiny", train=split, test=split, classes=4), 8),
        rule=fw.rules.Krum(f=1),
        attack=spy,
        byzantine=[1, 4],
        clients=fw.clients.Gradient(batch_size=5),
    )
    list(simulation.run(3))
    assert [(h, m, len(chosen)) for h, m, chosen, _ in spy.seen] == [(6, 2, 1)] * 3
    assert all(output.shape == (28,) for *_, output in spy.seen)


def spoiled(*clients: int):
    """A federation of which some clients have NaN in all their samples."""
    whole = data()
    train = whole.dataset.train
    inputs = train.inputs.clone()
    for client in clients:
        inputs[whole.shards[client]] = torch.nan
    return replace(whole, dataset=replace(whole.dataset, train=replace(train, inputs=inputs)))


def reasons_of_liars(attack: Attack, federation) -> list[list[str | None]]:
    run = simulation(attack=attack, byzantine=[1, 4], data=federation)
    return [[record.reasons.get(client) for client in (1, 4)] for record in run.run(3)]


@pytest.mark.parametrize("attack", [entry.build() for entry in fw.catalogue("attack")], ids=repr)
def test_an_honest_client_with_nan_disarms_nobody(attack: Attack) -> None:
    """The server leaves its row out: whatever liars mix of it would be left out as well, and every rule look safe."""
    if fw.Reason.NONFINITE not in {reason for each in reasons_of_liars(attack, DATA) for reason in each}:
        found = {reason for each in reasons_of_liars(attack, spoiled(0, 6)) for reason in each}
        assert fw.Reason.NONFINITE not in found


@pytest.mark.parametrize("attack", [entry.build() for entry in fw.catalogue("attack")], ids=repr)
def test_a_liar_with_nan_disarms_no_other(attack: Attack) -> None:
    """What its training made of its data is in every mix of the rows of byzantine clients."""
    found = {reason for _, reason in reasons_of_liars(attack, spoiled(1))}
    assert found == {reason for _, reason in reasons_of_liars(attack, DATA)} or fw.Reason.NONFINITE not in found


@pytest.mark.parametrize("attack", [fw.attacks.SignFlip(), fw.attacks.IPM(knows="all"), fw.attacks.ALIE(knows="own")])
def test_a_liar_with_nan_forges_as_one_that_learned_nothing(attack: Attack) -> None:
    for with_nan, _ in reasons_of_liars(attack, spoiled(1)):
        assert with_nan is not fw.Reason.NONFINITE


def test_a_liar_with_nan_that_forges_nothing_sends_it() -> None:
    for with_nan, _ in reasons_of_liars(fw.attacks.NoAttack(), spoiled(1)):
        assert with_nan is fw.Reason.NONFINITE


def test_where_every_honest_client_has_nan_byzantine_ones_send_what_they_would() -> None:
    run = simulation(attack=fw.attacks.ALIE(), byzantine=[1, 4], data=spoiled(0, 2, 3, 5, 6, 7))
    for record in run.run(2):
        assert [client for client, ok in enumerate(record.accepted) if ok] == [1, 4]
