"""FLDetector: clients are suspected by how badly their updates were predicted from their earlier ones."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..core import Context, Plan, Reason, Rule, State, Traits, average_of, finite_copy
from ..core.state import ROWS, entries, key, updated
from ..registry.bounds import AtLeast, Count, Decay
from ..registry.entries import register
from ..registry.parameters import Variant
from ..stack import Dense, Joined, Offset, Updates, held_like
from .remembered import remember_rows, safe_unit

_FLOOR = 1e-12  # of sums of squares, before their logarithm


@register("fldetector", paper="Zhang et al. 2022")
@dataclass(frozen=True, kw_only=True)
class FLDetector(Rule[Tensor]):
    """Average of all clients but those whose updates have long been far from what was to be expected of them.

    1. Expected of client i: its last update plus H v, v the model's last step and H the integrated Hessian, by L-BFGS
       from the last ``window`` steps S and differences Y of successive aggregates.
    2. d_i = |expected - received|, scaled to add up to 1 over the k clients of the round that have an earlier update;
       the suspicion is the mean of a client's last ``window`` d_i, each times its round's k over the k of this round.
    3. If the gap statistic finds more than one cluster of suspicions, 2-means splits them, and the clients of the
       upper cluster are left out. This starts once ``window`` pairs and score vectors have been made.

    Zhang, Cao, Jia & Gong, "FLDetector: defending federated learning against model poisoning attacks via detecting
    malicious clients", KDD 2022, Algorithms 1 and 2. There training starts anew without the clients detected; here
    they are left out round by round. Clients without an earlier update have no score, and are kept. In the paper all
    clients take part, and k is the same in all rounds. Where it is not, the d_i of few clients are large for that
    alone, and whoever answers in such a round would be suspected for it.

    Steps are taken as -lr times the aggregate with the server's momentum; a constant lr cancels in H v. Memory: one
    row a client, of the ``remember`` clients seen last, and up to 2 (window + 1) aggregates.

    What repeats itself is predicted best. A single client that sends one and the same row in every round ends up alone
    in the lower cluster: everybody else is left out, and its row is the output, from the first round that detects.
    `attacks.Repeat` does that. And a client that was forgotten has no score, as a new one, and is kept: who may choose
    ids is never detected, and with more new ids than ``remember`` he has the scores of others forgotten.

    Use when: the same clients come back in every round under ids that they cannot choose, training is smooth enough
    to predict what each sends next, and it may take ``window`` rounds until anybody is dropped.

    Args:
        window: the paper's N.
        clusters: the most that the gap statistic tries.
        momentum: of the server that the model's steps follow from.
        remember: how many ids, at least 1; those of a round are always remembered until the next.
        variant: "paper"; "official" has ln mean W* for mean ln W* in the gap statistic, as the authors' code.

    Raises:
        ValueError: parameters out of bounds.
    """

    window: Count = 10
    clusters: Annotated[int, AtLeast(2)] = 7
    momentum: Decay = 0.0
    variant: Variant = "paper"
    remember: Count = ROWS
    declared = Traits(
        selects=True,
        history=True,
        by_client=True,
        passes=4,
        properties=frozenset({"permutation", "translation", "scale", "columns", "rotation", "unanimity", "box"}),
    )

    def traits(self) -> Traits:
        # The first pair is there after two rounds, and the first score in the third.
        return replace(super().traits(), learns=self.window + 1)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan[Tensor]:
        deviations = self._deviations(updates, state)
        suspicions = self._suspicions(updates, state, deviations)
        tested = (~suspicions.isnan()).nonzero().flatten()
        made = int(state.get("vectors", 0)) + bool((~deviations.isnan()).any())
        kept = torch.ones(updates.n, dtype=torch.bool)
        if min(int(state.get("pairs", 0)), made) >= self.window and len(tested) > 0:
            draws = torch.rand(10, len(tested), generator=context.generator("references"), dtype=torch.float64)
            bad = suspicious(suspicions[tested].numpy(), self.clusters, draws.numpy(), self.variant == "official")
            kept[tested[torch.from_numpy(bad)]] = False
        scores = {"suspicion": suspicions, "deviation": deviations}
        rows = kept.nonzero().flatten()
        return average_of(updates, rows, scores=scores, reason=Reason.DISTRUSTED, memo=deviations)

    def _deviations(self, updates: Updates, state: State) -> Tensor:
        """The d_i of this round: (n,); NaN without an earlier update, or before there is a pair."""
        nobody = torch.full((updates.n,), torch.nan, dtype=torch.float64)
        if int(state.get("pairs", 0)) == 0:
            return nobody
        expected = [state.get(key("row", client)) for client in updates.ids]
        known = torch.tensor([row is not None for row in expected])
        change = predicted_change(updates, state["aggregates"], state.get("steps"))
        distances = Offset(updates, expected, factor=-1.0, shift=-change, unit=safe_unit(updates)).norms()
        total = distances[known].sum()
        shares = distances / total if total > 0 else 0 * distances  # what is not finite becomes NaN: no score
        return torch.where(known, shares, nobody)

    def _suspicions(self, updates: Updates, state: State, deviations: Tensor) -> Tensor:
        """The mean of each client's deviations in the last rounds that had any: (n,)."""
        empty = torch.full((self.window,), torch.nan, dtype=torch.float64)
        table = torch.stack([state.get(key("scores", client), empty).cpu() for client in updates.ids])
        known = self._known(state, deviations)
        place = int(state.get("vectors", 0)) % self.window
        if bool((~deviations.isnan()).any()):
            table[:, place] = deviations
        else:
            place -= 1  # the last round that had any
        return (table * (known / known[place].clamp_min(1))).nanmean(1)

    def _known(self, state: State, deviations: Tensor) -> Tensor:
        """How many clients had a deviation in each of the last rounds that had any, this one included: (window,)."""
        if "known" in state:
            known = state["known"].cpu().clone()
        else:  # before the first round with any; or a state of an earlier version, which did not count them
            known = torch.zeros(self.window, dtype=torch.float64)
            for table in entries(state, "scores").values():
                known += ~table.cpu().isnan()
        now = (~deviations.isnan()).sum()
        if now > 0:
            known[int(state.get("vectors", 0)) % self.window] = now
        return known

    def advance(self, state: State, plan: Plan[Tensor], output: Tensor, context: Context) -> State:
        updates = plan.updates
        # Steps add up with the momentum, which half precision would not follow.
        aggregate = finite_copy(output.to(torch.promote_types(output.dtype, torch.float32)))
        past = state.get("aggregates", aggregate.new_empty(0, len(output)))
        new = {"aggregates": torch.cat([past[-self.window :], aggregate[None]])}
        new["pairs"] = torch.tensor(int(state.get("pairs", 0)) + (len(past) > 0))
        if self.momentum > 0:
            steps = state.get("steps", past)
            step = finite_copy(aggregate + self.momentum * steps[-1]) if len(steps) else aggregate
            new["steps"] = torch.cat([steps[-self.window :], step[None]])
        new |= self._remembered_scores(state, updates.ids, plan.memo)
        new |= remember_rows("row", updates)
        return updated(state, new, updates.ids, self.remember)

    def _remembered_scores(self, state: State, clients: Sequence[Hashable], deviations: Tensor) -> dict[str, Tensor]:
        """Everybody's last deviations, (window,) each, those of this round in the place of the oldest."""
        if bool(deviations.isnan().all()):
            return {}
        made = int(state.get("vectors", 0))
        place = made % self.window
        tables = {name: table.clone() for name, table in entries(state, "scores").items()}
        for table in tables.values():
            table[place] = torch.nan  # of whoever is absent
        for client, deviation in zip(clients, deviations, strict=True):
            name = key("scores", client)
            if name not in tables:
                tables[name] = torch.full((self.window,), torch.nan, dtype=torch.float64)
            tables[name][place] = deviation
        return {**tables, "vectors": torch.tensor(made + 1), "known": self._known(state, deviations)}


def predicted_change(updates: Updates, aggregates: Tensor, steps: Tensor | None) -> Tensor:
    """H v by compact L-BFGS, with S = all steps but the last, v the last, Y = differences of aggregates: (d,).

    H v = sigma v - [sigma S, Y] inv([[sigma S'S, L], [L', -D]]) [sigma S'v; Y'v], sigma = y.s / s.s of the last pair,
    L = strict lower part of S'Y, D = diag(S'Y); Zhang et al. 2022, Algorithm 1. It is a mix of the given rows, so it
    follows from their Gram matrix. Without steps of their own, the aggregates are the steps. It is zero where float64
    does not hold the numbers: nothing is expected to change then. Of all of it there are the columns of the updates.
    """
    k = len(aggregates)
    rows: Updates = held_like(updates, Dense(aggregates))
    if steps is not None:
        rows = Joined(held_like(updates, Dense(steps)), rows)
    gram = rows.gram()

    # S, v and Y as weights of the rows: the steps come first, the aggregates last.
    eye = torch.eye(rows.n, dtype=torch.float64)
    S = eye[: k - 1]
    v = eye[k - 1]
    Y = eye[-k + 1 :] - eye[-k:-1]

    SS = S @ gram @ S.T
    SY = S @ gram @ Y.T
    sigma = SY[-1, -1] / SS[-1, -1] if SS[-1, -1] > 0 else torch.zeros((), dtype=torch.float64)
    L = SY.tril(-1)
    D = SY.diagonal().diag()
    middle = torch.cat([torch.cat([sigma * SS, L], 1), torch.cat([L.T, -D], 1)])
    right = torch.cat([sigma * (S @ gram @ v), Y @ gram @ v])

    # H does not depend on the lengths of the pairs, but whether the middle looks singular does.
    lengths = SS.diagonal().sqrt().repeat(2)
    scale = torch.where(lengths > 0, 1 / lengths, 1.0)
    scaled = scale[:, None] * middle * scale
    nothing = torch.zeros(rows.n, dtype=torch.float64)
    if not all(bool(numbers.isfinite().all()) for numbers in (middle, scaled, right)):
        return rows.combine(nothing)
    if int(torch.linalg.matrix_rank(scaled)) == len(scaled):
        solution = scale * torch.linalg.solve(scaled, scale * right)
    else:
        solution = torch.linalg.pinv(middle, rtol=len(middle) * torch.finfo(torch.float64).eps) @ right
    weights = sigma * v - (sigma * S).T @ solution[: k - 1] - Y.T @ solution[k - 1 :]
    if not bool(weights.isfinite().all()):
        weights = nothing
    return finite_copy(rows.combine(weights))


def suspicious(scores: np.ndarray, most: int, references: np.ndarray, official: bool) -> np.ndarray:
    """Who is in the upper of two clusters, if the gap statistic finds more than one: (n,) bool."""
    nobody = np.zeros(len(scores), dtype=bool)
    spread = scores.max() - scores.min()
    if spread == 0 or clusters_by_gap((scores - scores.min()) / spread, most, references, official) == 1:
        return nobody
    upper = float(kmeans_1d(scores, 2)[1][1])
    bad: np.ndarray = scores >= upper
    return bad


def clusters_by_gap(scores: np.ndarray, most: int, references: np.ndarray, official: bool) -> int:
    """The gap statistic's number of clusters of numbers between 0 and 1, against uniform references (B, n).

    The first k with Gap(k) >= Gap(k + 1) - s_(k+1); Gap(k) = mean_b ln W*_kb - ln W_k, s = sd_b(ln W*) sqrt(1 + 1/B).
    Tibshirani, Walther & Hastie 2001.
    """
    most = min(most, len(scores) - 1)
    W = np.maximum(kmeans_1d(scores, most)[0], _FLOOR)
    others = np.maximum([kmeans_1d(row, most)[0] for row in references], _FLOOR)
    logs = np.log(others)
    expected = np.log(others.mean(0)) if official else logs.mean(0)
    gaps = expected - np.log(W)
    s = logs.std(0) * np.sqrt(1 + 1 / len(references))
    enough = gaps[:-1] >= gaps[1:] - s[1:]
    return int(enough.argmax()) + 1 if enough.any() else most


def kmeans_1d(values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact k-means on the line, by dynamic programming over the sorted values.

    Of partitions with the same sum of squares, the upper clusters take more values; equal values stay together.

    Returns:
        The least sums of squares for 1 to ``most`` clusters, and the least value of each of ``most`` clusters.
    """
    points, weights = np.unique(values, return_counts=True)
    m = len(points)
    clusters = min(most, m)
    centred = points - points.mean()
    # Sums over the first points, from which those over any run of them follow.
    count = np.concatenate([[0], weights.cumsum()])
    total = np.concatenate([[0], (weights * centred).cumsum()])
    square = np.concatenate([[0], (weights * centred**2).cumsum()])

    def cost(first: np.ndarray, last: int) -> np.ndarray:
        """Sum of squares of the cluster that ends with the last point, for each first one."""
        n = count[last + 1] - count[first]
        t = total[last + 1] - total[first]
        squares: np.ndarray = square[last + 1] - square[first] - t * t / n
        return squares.clip(0)

    # best[j]: the least sum of squares of the points up to j in c clusters; start[j]: where the last cluster begins.
    best = np.array([cost(np.zeros(1, dtype=int), j)[0] for j in range(m)])
    sums = [best[-1]]
    starts = [np.zeros(m, dtype=int)]
    for c in range(1, clusters):
        row = np.full(m, np.inf)
        start = np.zeros(m, dtype=int)
        for j in range(c, m):
            first = np.arange(c, j + 1)
            found = best[first - 1] + cost(first, j)
            # Of beginnings that rounding tells apart, the first: the upper cluster takes more.
            pick = int(np.argmax(found <= found.min() * (1 + 1e-12)))
            row[j] = found[pick]
            start[j] = first[pick]
        best = row
        sums.append(best[-1])
        starts.append(start)

    # Back from the last point, cluster by cluster.
    last = m - 1
    borders = []
    for start in reversed(starts):
        borders.append(points[start[last]])
        last = start[last] - 1
    return np.array(sums + [0.0] * (most - clusters)), np.array(borders[::-1])
