"""Which rule holds out? Five rules under three attacks, each with three seeds.

``python examples/compare_rules.py``: the mean of the final accuracies, plus or minus their standard deviation over
seeds, and the worst of each rule. The same from a shell, kept, resumed and as a page: ``fedward sweep``.
"""

from __future__ import annotations

import time
from statistics import mean, stdev

import torch

import fedward as fw
from fedward import attacks, clients, mixers, rules, sim

CLIENTS, BYZANTINE, ROUNDS = 12, 2, 40
SEEDS = (0, 1, 2)
RULES = {
    "Mean": rules.Mean(),
    "Median": rules.Median(),
    "TrimmedMean": rules.TrimmedMean(f=BYZANTINE),
    "NNM >> MultiKrum": mixers.NNM(f=BYZANTINE) >> rules.MultiKrum(f=BYZANTINE),
    "SignGuard": rules.SignGuard(),
}
ATTACKS = {
    "SignFlip": attacks.SignFlip(scale=5.0),
    "ALIE": attacks.ALIE(z=1.5),
    "MinMax": attacks.MinMax(),
}


def accuracy(rule: fw.Rule, attack: attacks.Attack, seed: int) -> float:
    """Of the model after the last round, in per cent."""
    simulation = fw.Simulation(
        model=sim.MODELS["linear"],
        data=sim.federate(sim.load("fashion-mnist-subset"), clients=CLIENTS, seed=seed),
        rule=rule,
        attack=attack,
        byzantine=BYZANTINE,
        clients=clients.Gradient(batch_size=16),
        server=fw.ServerSGD(lr=0.05, momentum=0.9),
        seed=seed,  # of batches, attacks and the rule
        threads=1,
    )
    *_, last = simulation.run(rounds=ROUNDS, evaluate_every=ROUNDS)
    return 100 * (last.accuracy or 0.0)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    print(f"Final accuracy in per cent: {CLIENTS} clients, {BYZANTINE} byzantine, {ROUNDS} rounds, {len(SEEDS)} seeds")
    print(f"{'':18}" + "".join(f"{attack:>14}" for attack in ATTACKS) + f"{'worst':>10}")
    for name, rule in RULES.items():
        runs = {attack: [accuracy(rule, ATTACKS[attack], seed) for seed in SEEDS] for attack in ATTACKS}
        cells = "".join(f"{mean(found):8.1f} ± {stdev(found):3.1f}" for found in runs.values())
        print(f"{name:18}{cells}{min(map(mean, runs.values())):10.1f}", flush=True)
    print(f"({time.perf_counter() - begun:.0f} s)")


if __name__ == "__main__":
    main()
