"""DeSGD: momentum by class on the workers, aggregation by class on the server, compensation by the other classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def desgd_local_momentum(gradient: ArrayLike, before: ArrayLike | None, beta: float, order: str = "usual") -> Vector:
    """m from g and the previous m, which is 0 at first. As printed, beta multiplies the new gradient."""
    g = np.asarray(gradient, dtype=np.float64)
    m = np.zeros_like(g) if before is None else np.asarray(before, dtype=np.float64)
    if order == "printed":
        return beta * g + (1 - beta) * m
    return (1 - beta) * g + beta * m


def desgd_worker(
    gradients: Mapping[int, ArrayLike], before: Mapping[int, Vector], beta: float, order: str, asked: int
) -> tuple[Vector | None, dict[int, Vector]]:
    """One round of a worker that holds these classes: what it sends for the class asked for, and its momenta."""
    after = {c: desgd_local_momentum(g, before.get(c), beta, order) for c, g in gradients.items()}
    return after.get(asked), after


@dataclass
class DeSGDServer:
    """The direction of each round; the model moves by -lr times it."""

    aggregate: Callable[[Matrix], Vector]
    beta: float = 0.9
    gamma: float = 0.5
    classes: int | None = None
    """Divide by this many classes; by those received so far if None."""
    momenta: dict[int, Vector] = field(default_factory=dict)

    def step(self, rows: ArrayLike, c: int) -> Vector:
        """Rows of the workers that hold class c."""
        return self.step_of_several({c: rows})

    def step_of_several(self, rows: Mapping[int, ArrayLike]) -> Vector:
        """Rows of the workers that hold each class of the round; what becomes of them is averaged."""
        received = {c: self.aggregate(np.asarray(X, dtype=np.float64)) for c, X in rows.items()}
        fresh = np.zeros_like(next(iter(received.values())))
        for aggregate in received.values():
            fresh = fresh + aggregate / len(received)
        total = np.zeros_like(fresh)
        for momentum in self.momenta.values():
            total = total + momentum
        divisor = len(self.momenta) if self.classes is None else self.classes
        average = total / divisor if self.momenta else np.zeros_like(fresh)
        for other in self.momenta:
            if other not in received:
                self.momenta[other] = self.beta * self.momenta[other]
        self.momenta.update(received)
        return (1 - self.gamma) * fresh + self.gamma * average
