"""What an attack sees in a simulation."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

import fedward as fw
from fedward.attacks import Attack, View
from fedward.sim import Dataset, Split, federate


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
