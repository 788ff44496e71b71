"""Simulated rounds, ours and a plain PyTorch loop's, one at a time as they are asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.round import plain_loop, simulated
from fedward import rules, sim

CLIENTS, BYZANTINE, BATCH = 50, 10, 60
OURS = ("plain loop", "Mean", "MultiKrum", "SignGuard")
BYZFL = ("Average", "MultiKrum")


class Rounds:
    """Federations of the SignGuard paper's setting, by name."""

    def __init__(self) -> None:
        self.going: dict[str, Callable[[], None]] = {}

    def start(self) -> dict[str, Any]:
        """Make them."""
        data = sim.federate(sim.load("fashion-mnist-subset"), CLIENTS)
        defences = {"Mean": rules.Mean(), "MultiKrum": rules.MultiKrum(f=BYZANTINE), "SignGuard": rules.SignGuard()}
        self.going = {"plain loop": plain_loop(data, BATCH)}
        self.going |= {name: simulated(data, BATCH, rule) for name, rule in defences.items()}
        return {"clients": CLIENTS, "byzantine": BYZANTINE, "batch": BATCH}

    def step(self, name: str) -> dict[str, Any]:
        """One round of one of them."""
        start = time.perf_counter()
        self.going[name]()
        return {"seconds": time.perf_counter() - start}
