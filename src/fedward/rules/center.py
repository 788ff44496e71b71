"""Rules that look for a centre of the rows by weighing them again and again: geometric medians, Huber, clipping.

Every distance from a mix of rows follows from the Gram matrix, so no iteration touches data.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Context, Plan, Rule, State, Traits, finite_copy
from ..registry.bounds import Count, Iterations, NotNegative, Positive
from ..registry.entries import register
from ..stack import Dots, Gram, Statistic, Updates, cosines
from .distance import FromGram
from .mixers import sequential_buckets
from .remembered import unrounded
from .weiszfeld import Reweighting, geometric_median, mix_distances


@register("geometric-median", paper="Weiszfeld 1937", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class GeometricMedian(FromGram):
    """The point with the least sum of distances to all rows.

    argmin_v sum_i |x_i - v|, whose unit vectors towards the rows cancel. If that is a row, it is found as one. Else by
    Weiszfeld's iteration, w_i = 1 / |x_i - v|, v = sum_i w_i x_i / sum_i w_i, with Anderson's acceleration, from
    weights 1 / r_i^2, where r_i is the distance within which row i has more than half of the rows: neither colluders
    nor the order of rows move that start. Whatever m < n/2 of n rows are, the median is at most 2 (n - m) / (n - 2m)
    times as far from the mean of the others as the farthest of those is. Where several points have the least sum (two
    clients, or an even number on a line) it is one between them. Weiszfeld, "Sur le point pour lequel la somme des
    distances de n points donnés est minimum", Tohoku Mathematical Journal 1937; in federated learning Pillutla et al.
    2022, whose budget of a few steps from zero is `RFA`.

    Use when: f is unknown, less than half of the clients lie, nobody is to be dropped, and a bound that is proven
    is wanted.

    Args:
        iterations: at most this many steps; ten to a hundred are common, and the last point is taken if they are not
            enough.
        tolerance: stop when no distance from v changes by a larger share in a step, or by more than float64 can tell;
            the unit vectors then add up to at most n times that.
    """

    iterations: Iterations = 1000
    tolerance: NotNegative = 1e-9
    declared = Traits(
        properties=frozenset(
            {"permutation", "translation", "scale", "columns", "rotation", "unanimity", "box", "breakdown"}
        )
    )

    def withstands(self, n: int) -> int:
        return (n - 1) // 2

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        weights, dists = geometric_median(updates.gram(), self.iterations, self.tolerance)
        return Plan(updates, weights, scores={"distance": dists})


@register("rfa", paper="Pillutla et al. 2022", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class RFA(FromGram):
    """A smoothed geometric median with a fixed budget: some steps of Weiszfeld's iteration from zero.

    v = 0; ``iterations`` times: w_i = (1/n) / max(|x_i - v|, nu), v = sum_i w_i x_i / sum_i w_i. Pillutla, Kakade &
    Harchaoui, "Robust aggregation for federated learning", 2022, Algorithm 2. nu = 0.1 with 3 steps is ByzFL's
    choice, with 8 that of epfml; FedSECA's experiments have nu = 1e-6 and 3 steps. The budget is the published rule: of
    colluders of any size it leaves about their share of the honest rows' lengths, not of their spread;
    `GeometricMedian` iterates to the end.

    Use when: results are compared with those published for RFA, or the number of steps must be fixed and small.
    Else take `GeometricMedian`, which iterates to the end.

    Args:
        nu: floor of the distances, in units of the rows.
        iterations: steps.
    """

    nu: Positive = 0.1
    iterations: Iterations = 3
    declared = Traits(properties=frozenset({"permutation", "columns", "rotation", "unanimity", "box"}))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        search = Reweighting(updates.gram())
        weights, dists = search.run(lambda dists: 1 / dists.clamp_min(self.nu), self.iterations)
        return Plan(updates, weights, scores={"distance": dists})


@register("huber", paper="Zhao et al. 2024", complexity="O(n^2 d)", example={"threshold": 2.0})
@dataclass(frozen=True, kw_only=True)
class Huber(FromGram):
    """The point with the least sum of Huber losses of its distances to the rows.

    phi(u) = u^2 / 2 up to the threshold T, T u - T^2 / 2 beyond: the mean for large T, the geometric median for small.
    w_i = min(1, T / max(|c - x_i|, 1e-6)), c = sum_i w_i x_i / sum_i w_i from c = 0, until c moves less than 1e-3,
    at most 100 times. Zhao, Yu & Wan, "A Huber loss minimization approach to Byzantine robust federated learning",
    AAAI 2024. FedSECA's experiments have T = 0.02.

    Use when: the usual distance of honest rows from their centre is known well enough to set a threshold: clients
    within it are averaged, those beyond count as in the geometric median.

    Args:
        threshold: T, in units of the rows.
        tolerance: how far c moves at most in the last step, in units of the rows.
        iterations: at most this many steps.
    """

    threshold: Positive
    tolerance: NotNegative = 1e-3
    iterations: Iterations = 100
    declared = Traits(properties=frozenset({"permutation", "columns", "rotation", "unanimity", "box"}))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        search = Reweighting(updates.gram())

        def weigh(dists: Tensor) -> Tensor:
            return (self.threshold / dists.clamp_min(1e-6)).clamp_max(1)

        def settled(before: Tensor | None, after: Tensor) -> bool:
            return search.moved(before, after) < self.tolerance

        weights, dists = search.run(weigh, self.iterations, settled)
        return Plan(updates, weights, scores={"distance": dists})


class _FromPrevious(Rule):
    """A rule whose centre starts from the previous aggregate."""

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        # The Gram matrix of the rows with the previous aggregate below them follows from these.
        return (Gram(), Dots(rows=state["previous"])) if "previous" in state else (Gram(),)

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        return {"previous": finite_copy(unrounded(plan, output))}


@register("centered-clipping", paper="Karimireddy et al. 2021", complexity="O(n^2 d)", example={"radius": 10.0})
@dataclass(frozen=True, kw_only=True)
class CenteredClipping(_FromPrevious):
    """Move the previous aggregate by the mean of the rows' differences from it, each clipped to a radius.

    v <- v + (1/n) sum_i (x_i - v) min(1, radius / |x_i - v|), ``iterations`` times, from the previous aggregate, in
    the first round from zero. Karimireddy, He & Jaggi, "Learning from history for Byzantine robust optimization",
    ICML 2021, equation 8. FedSECA's experiments have radius 100 and 3 steps; a radius is to be chosen to the length of
    the rows. What ends up on the previous aggregate is the server's own: the clients' weights add up to less than 1.

    Use when: clients send momenta or other rows that change slowly, and the length of their differences is known
    well enough to set a radius. It needs no f; a radius that is too large clips nobody.

    Args:
        radius: the farthest that one client moves the aggregate, times n, in units of the rows.
        iterations: steps.
    """

    radius: Positive
    iterations: Iterations = 1
    declared = Traits(history=True, server_rows=True, properties=frozenset({"permutation", "columns", "rotation"}))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        stack, weights = _from_previous(updates, state)
        for _ in range(self.iterations):
            weights = _clipped_step(stack.gram(), weights, torch.arange(updates.n), self.radius)
        return _centred_plan(updates, stack, weights)


@register(
    "sequential-centered-clipping", paper="Özfatura et al. 2023", complexity="O(n^2 d + n^3)", example={"radius": 10.0}
)
@dataclass(frozen=True, kw_only=True)
class SequentialCenteredClipping(_FromPrevious):
    """Centered clipping, one bucket of clients after the other, around a centre that moves with each.

    Clients are sorted by their cosine to the previous aggregate and cut into s clusters; bucket t has the t-th member
    of every cluster, each shuffled. v <- v + (1/|bucket|) sum over it of (x_i - v) min(1, radius / |x_i - v|).
    Özfatura, Özfatura, Küpçü & Gündüz, "Byzantines can also learn from history: fall of centered clipping in federated
    learning", 2023. In the first round v = 0, and clients are taken in their order.

    Use when: the published remedy for attacks that follow the server's last step (`attacks.ROP`) is to be compared
    with `CenteredClipping`.

    Args:
        radius: the farthest that one client moves the centre, times s, in units of the rows.
        s: clients in a bucket.
    """

    radius: Positive
    s: Count = 2
    declared = Traits(history=True, server_rows=True, properties=frozenset({"columns", "rotation"}))

    def steps(self, n: int) -> float:
        return float(n**3) / self.s  # each bucket is compared with the mix of all rows

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        stack, weights = _from_previous(updates, state)
        gram = stack.gram()
        alike = torch.zeros(updates.n, dtype=torch.float64)
        if stack is not updates:  # there is a previous aggregate, the last row
            alike = cosines(gram)[: updates.n, -1]
        for bucket in sequential_buckets(alike, self.s, context.generator("buckets")):
            weights = _clipped_step(gram, weights, bucket, self.radius)
        return _centred_plan(updates, stack, weights)


def _from_previous(updates: Updates, state: State) -> tuple[Updates, Tensor]:
    """The rows, the previous aggregate below them where there is one, and the weights that say "stay there"."""
    if "previous" not in state:
        return updates, torch.zeros(updates.n, dtype=torch.float64)
    weights = torch.zeros(updates.n + 1, dtype=torch.float64)
    weights[-1] = 1
    return updates.anchored(state["previous"]), weights


def _clipped_step(gram: Tensor, weights: Tensor, rows: Tensor, radius: float) -> Tensor:
    """The weights of v + mean over the rows of (x_i - v) min(1, radius / |x_i - v|), from those of v."""
    dists = mix_distances(gram, weights)[rows]
    shares = torch.where(dists > radius, radius / dists, torch.ones_like(dists)) / len(rows)
    moved = weights * (1 - shares.sum())
    return moved.index_add(0, rows, shares)


def _centred_plan(updates: Updates, stack: Updates, weights: Tensor) -> Plan:
    dists = mix_distances(stack.gram(), weights)[: updates.n]
    return Plan(stack, weights, scores={"distance": dists}, judged=updates)
