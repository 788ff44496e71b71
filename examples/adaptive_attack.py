"""An attack that asks the rule: as far off as each defence still lets through.

``python examples/adaptive_attack.py``: byzantine clients send the honest mean minus z honest standard deviations
(ALIE), and try on the defence itself, in each round, which z moves its output furthest from the honest mean. The table
says against which rules it pays to ask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

import fedward as fw
from fedward import attacks, clients, rules, sim

ROUNDS = 40


@dataclass(frozen=True, kw_only=True)
class AskingALIE(attacks.Attack):
    """ALIE with the z, of some, that does most harm to the rule at hand."""

    tried: tuple[float, ...] = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)

    def forge(self, view: attacks.View) -> fw.Updates:
        """The rows to send."""
        return max((attacks.ALIE(z=z) for z in self.tried), key=lambda alie: self.harm(view, alie)).forge(view)

    def harm(self, view: attacks.View, alie: attacks.ALIE) -> float:
        """How far the defence's output is from the honest mean when these rows are sent."""
        if view.decide is None:  # an adversary who does not know the rule
            return 0.0
        try:
            plan = view.decide(view.sent(alie.forge(view)))  # what the server would get, and do with it
        except fw.BoundError:  # it would skip the round
            return 0.0
        mean = view.honest.combine(torch.full((view.honest.n,), 1 / view.honest.n))
        return float((plan.execute() - mean).norm())


def accuracy(rule: fw.Rule, attack: attacks.Attack) -> float:
    """Of a model that ten clients train, two of them byzantine, in per cent; the simulation tells attacks the rule."""
    simulation = fw.Simulation(
        model=sim.MODELS["linear"],
        data=sim.federate(sim.load("fashion-mnist-subset"), clients=10),
        rule=rule,
        attack=attack,
        byzantine=2,
        clients=clients.Gradient(batch_size=16),
        server=fw.ServerSGD(lr=0.05, momentum=0.9),
        threads=1,
    )
    *_, last = simulation.run(rounds=ROUNDS, evaluate_every=ROUNDS)
    return 100 * (last.accuracy or 0.0)


def main() -> None:
    """Compare an adversary who asks with one who does not, rule by rule."""
    torch.set_num_threads(1)
    print(f"Accuracy in per cent after {ROUNDS} rounds, 2 of 10 clients byzantine")
    print(f"{'rule':14}{'no attack':>12}{'ALIE, z = 1':>14}{'z asked for':>14}")
    for rule in (rules.Mean(), rules.Median(), rules.TrimmedMean(f=2), rules.MultiKrum(f=2), rules.SignGuard()):
        cells = [accuracy(rule, attack) for attack in (attacks.NoAttack(), attacks.ALIE(z=1.0), AskingALIE())]
        print(f"{type(rule).__name__:14}{cells[0]:12.1f}{cells[1]:14.1f}{cells[2]:14.1f}", flush=True)


if __name__ == "__main__":
    main()
