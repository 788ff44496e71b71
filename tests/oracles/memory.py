"""Reference rules that remember clients (FoolsGold, RFFL), float64 NumPy.

Row i of ``X`` (n, d) is the message of client ``ids[i]``.  Classes keep what they remember under the client's
id and count their rounds from 0.  Ties go to the lowest row index.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from tests.oracles.rules import Matrix, Vector, as_rows, cosine, norm

COSINE_ONE = 1e-12


def check_ids(X: Matrix, ids: Sequence[Hashable]) -> list[Hashable]:
    """Return the ids as a list; raise unless there is one per row, without repeats."""
    names = list(ids)
    if len(names) != X.shape[0] or len(set(names)) != len(names):
        raise ValueError("one id per row, without repeats")
    return names


# --- FoolsGold ----------------------------------------------------------------------------------------


def foolsgold(X: ArrayLike, H: ArrayLike, confidence: float = 1.0) -> tuple[Vector, Vector]:
    """Fung et al. 2020, Algorithm 1: (1/n) sum alpha_i x_i and alpha, from the summed updates H (n, d).

    cs_ij = cos(H_i, H_j), cs_ii = 0; v_i = max_j cs_ij; pardoning cs_ij <- cs_ij v_i / v_j where v_i < v_j;
    alpha_i = 1 - max_j cs_ij in [0, 1], divided by its maximum (all 0 if that is 0), 0.99 where it is 1, then
    confidence * (ln(alpha_i / (1 - alpha_i)) + 0.5) in [0, 1].  A cosine within 1e-12 of 1 counts as 1.
    """
    rows, history = as_rows(X), as_rows(H)
    if rows.shape != history.shape:
        raise ValueError("X and H must have the same shape")
    n = rows.shape[0]
    cs = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                cs[i, j] = cosine(history[i], history[j])
                if cs[i, j] > 1.0 - COSINE_ONE:
                    cs[i, j] = 1.0
    v = [max(cs[i]) for i in range(n)]
    for i in range(n):
        for j in range(n):
            if i != j and v[i] < v[j]:
                cs[i, j] = cs[i, j] * v[i] / v[j]
    alpha = np.array([min(1.0, max(0.0, 1.0 - max(cs[i]))) for i in range(n)])
    top = max(alpha)
    if top == 0.0:
        return np.zeros(rows.shape[1]), np.zeros(n)
    for i in range(n):
        a = alpha[i] / top
        if a == 1.0:
            a = 0.99
        logit = math.log(a / (1.0 - a)) if a > 0.0 else -math.inf
        alpha[i] = min(1.0, max(0.0, confidence * (logit + 0.5)))
    out = np.zeros(rows.shape[1])
    for i in range(n):
        out = out + alpha[i] * rows[i]
    return out / n, alpha


class FoolsGold:
    """FoolsGold in rounds: each client's updates are summed under its id; only the present are compared."""

    def __init__(self, confidence: float = 1.0) -> None:
        self.confidence = confidence
        self.history: dict[Hashable, Vector] = {}

    def round(self, X: ArrayLike, ids: Sequence[Hashable]) -> tuple[Vector, Vector]:
        """Add this round's rows to the memory, then ``foolsgold``: the output and the weights alpha."""
        rows = as_rows(X)
        names = check_ids(rows, ids)
        for i, name in enumerate(names):
            self.history[name] = self.history.get(name, np.zeros(rows.shape[1])) + rows[i]
        return foolsgold(rows, np.array([self.history[name] for name in names]), self.confidence)


# --- RFFL ---------------------------------------------------------------------------------------------


@dataclass
class RFFLState:
    """Reputations by id (0 once removed), the removed ids and the number of rounds so far."""

    reputation: dict[Hashable, float] = field(default_factory=dict)
    removed: set[Hashable] = field(default_factory=set)
    rounds: int = 0

    def alive(self) -> list[Hashable]:
        """Known ids that were not removed."""
        return [name for name in self.reputation if name not in self.removed]


def rffl_round(
    X: ArrayLike,
    ids: Sequence[Hashable],
    state: RFFLState,
    alpha: float = 0.95,
    clip: float | None = None,
    warmup: int = 10,
) -> tuple[Vector, list[Hashable]]:
    """u = sum rho_i x_i with rho the reputations of the present alive, normalised to sum 1; and their ids.

    Xu & Lyu 2021, Algorithm 1.

    A new client starts with the mean reputation of the alive known ones (1 if none).  Then
    r_i = max(0, alpha rho_i + (1 - alpha) cos(x_i, u)), uniform if all are 0, scaled to the sum that the
    present had before.  From round ``warmup`` on, present clients with r_i / (sum over alive) < (1/3) / |alive| are
    removed, unless nobody would be left alive.  Rows are first clipped to norm ``clip``.  Changes ``state``.
    """
    rows = as_rows(X)
    names = check_ids(rows, ids)
    if clip is not None:
        for i in range(rows.shape[0]):
            size = norm(rows[i])
            if size > clip:
                rows[i] = rows[i] * (clip / size)
    r = state.reputation
    known = [r[name] for name in state.alive()]
    first = math.fsum(known) / len(known) if known else 1.0
    for name in names:
        if name not in r:
            r[name] = first
    present = [i for i, name in enumerate(names) if name not in state.removed]
    u = np.zeros(rows.shape[1])
    if present:
        before = math.fsum(r[names[i]] for i in present)
        share = {i: r[names[i]] / before if before > 0.0 else 1.0 / len(present) for i in present}
        for i in present:
            u = u + share[i] * rows[i]
        new = {i: max(0.0, alpha * share[i] + (1.0 - alpha) * cosine(rows[i], u)) for i in present}
        if all(value == 0.0 for value in new.values()):
            new = dict.fromkeys(present, 1.0)
        total = math.fsum(new.values())
        for i in present:
            r[names[i]] = before * new[i] / total
    if state.rounds >= warmup:
        alive = state.alive()
        everything = math.fsum(r[name] for name in alive)
        bad = [names[i] for i in present if everything > 0.0 and r[names[i]] / everything < (1.0 / 3.0) / len(alive)]
        if len(bad) < len(alive):
            for name in bad:
                state.removed.add(name)
                r[name] = 0.0
    state.rounds += 1
    return u, [names[i] for i in present]


class RFFL:
    """Xu & Lyu 2021, Algorithm 1 in rounds: ``rffl_round`` with its own state."""

    def __init__(self, alpha: float = 0.95, clip: float | None = None, warmup: int = 10) -> None:
        self.alpha = alpha
        self.clip = clip
        self.warmup = warmup
        self.state = RFFLState()

    def round(self, X: ArrayLike, ids: Sequence[Hashable]) -> tuple[Vector, list[Hashable]]:
        """One round: the output and the ids averaged, in row order."""
        return rffl_round(X, ids, self.state, self.alpha, self.clip, self.warmup)
