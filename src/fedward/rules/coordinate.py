"""Means, and rules that look at each column on its own: kernels, not weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..core import Bound, Context, Plan, Reading, Reason, Rule, State, Traits, median_of
from ..registry.bounds import Byzantine
from ..registry.entries import register
from ..stack import Kernel, SqNorms, Statistic, Updates
from ..stack import kernels as columns
from .messages import by_examples
from .mixers import clip_factors

_COLUMNWISE = frozenset({"permutation", "translation", "scale", "columns", "unanimity", "box"})


@register("mean", paper="McMahan et al. 2017")
@dataclass(frozen=True, kw_only=True)
class Mean(Rule):
    """Average of all rows: no defence, the baseline.

    (1/n) sum_i x_i; with ``weighted`` sum_i n_i x_i / sum_i n_i, n_i the samples that client i says it has (federated
    averaging, McMahan et al. 2017). Anybody can say anything, so that nothing is weighted by default.

    Use when: everybody is trusted, or as the baseline that every other rule is compared with; ``weighted`` only
    where what clients say of their samples is true.

    Args:
        weighted: by the samples that clients say they have (``messages={id: {"num-examples": 250}}``, as in Flower;
            ``num_examples`` and ``samples`` are read as well). Those that say nothing sensible while others do have
            weight 0, with `Reason.NO_EXAMPLES`.

    Raises:
        ValueError: weighted, and nobody says anything sensible.
    """

    weighted: bool = False

    declared = Traits(properties=_COLUMNWISE | {"rotation", "mean"})

    def traits(self) -> Traits:
        return replace(self.declared.without("mean"), by_client=True) if self.weighted else self.declared

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        if self.weighted:
            weights = by_examples(updates.ids, context)
            return Plan(updates, weights, reasons=[Reason.NO_EXAMPLES] * updates.n)
        return Plan(updates, torch.full((updates.n,), 1 / updates.n, dtype=torch.float64))


@register("clip-mean", paper="Sun et al. 2019")
@dataclass(frozen=True, kw_only=True)
class ClipMean(Rule):
    """Average of all rows, the longer ones scaled down to the median norm.

    (1/n) sum_i x_i min(1, M / |x_i|), M = median norm: what ``ClipNorm(radius="median") >> Mean()`` is.

    Use when: all honest clients should be heard, f is unknown, and it is enough that nobody counts for more than a
    row of median length.
    """

    declared = Traits(properties=frozenset({"permutation", "scale", "columns", "rotation", "unanimity"}))

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(),)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        norms = updates.norms()
        return Plan(updates, clip_factors(norms, median_of(norms)) / updates.n, scores={"norm": norms})


@register("median", paper="Yin et al. 2018", complexity="O(d n log^2 n)")
@dataclass(frozen=True, kw_only=True)
class Median(Rule):
    """Middle value of each column; the mean of the two middle ones for even n.

    Yin et al. 2018, Definition 1. Some published code takes the lower of the two.

    Use when: f is unknown, less than half of the clients lie, every column may be attacked on its own, or clients
    are thousands and memory is tight.
    """

    declared = Traits(properties=_COLUMNWISE | {"breakdown"})

    def withstands(self, n: int) -> int:
        return (n - 1) // 2

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return Plan(updates, kernel=columns.median, counts=_in_the_middle)


@register("trimmed-mean", paper="Yin et al. 2018", complexity="O(d n log^2 n)")
@dataclass(frozen=True, kw_only=True)
class TrimmedMean(Rule):
    """Mean of each column without its f smallest and f largest values.

    Yin et al. 2018, Definition 2, with f = beta n. Values are dropped by rank, never by subtraction from a sum.

    Use when: f is known, every column may be attacked on its own, or clients are thousands and memory is tight.
    """

    f: Byzantine
    declared = Traits(bound=Bound(2, 1), properties=_COLUMNWISE | {"mean", "breakdown"})

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        f = self.f_of(updates.n)
        kernel = partial(columns.trimmed_mean, f=f)
        return Plan(updates, kernel=kernel, note=self.note(updates.n), counts=partial(_between, below=f))


@register("mea-med", paper="Xie et al. 2018", complexity="O(d n log^2 n)")
@dataclass(frozen=True, kw_only=True)
class MeaMed(Rule):
    """Mean of the n - f values of each column that are closest to its median ("mean around median").

    Xie, Koyejo & Gupta, "Generalized Byzantine-tolerant SGD", 2018, Definition 6. Of two values at the same distance
    the smaller one counts first.

    Use when: f is known, every column may be attacked on its own, and more than the two middle values shall count.

    Args:
        f: byzantine clients.
        bound: "theorem" for n >= 2f + 1; "definition" for the n >= f + 1 of one value to average, where nothing is
            promised.
    """

    f: Byzantine
    bound: Reading = "theorem"
    declared = Traits(bound=Bound(2, 1), definition=Bound(1, 1), properties=_COLUMNWISE | {"mean", "breakdown"})

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        count = updates.n - self.f_of(updates.n)
        kernel = partial(columns.mean_around_median, count=count)
        counts = partial(_near, centre=columns.median, count=count)
        return Plan(updates, kernel=kernel, note=self.note(updates.n), counts=counts)


@register("phocas", paper="Xie et al. 2018", complexity="O(d n log^2 n)")
@dataclass(frozen=True, kw_only=True)
class Phocas(Rule):
    """Mean of the n - f values of each column that are closest to its f-trimmed mean.

    Xie, Koyejo & Gupta, "Phocas: dimensional Byzantine-resilient stochastic gradient descent", 2018. Of two values at
    the same distance the smaller one counts first.

    Use when: as for `MeaMed`, with the trimmed mean for a centre in the place of the median.
    """

    f: Byzantine
    declared = Traits(bound=Bound(2, 1), properties=_COLUMNWISE | {"mean", "breakdown"})

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        f = self.f_of(updates.n)
        kernel = partial(columns.mean_around_trimmed_mean, f=f)
        counts = partial(_near, centre=partial(columns.trimmed_mean, f=f), count=updates.n - f)
        return Plan(updates, kernel=kernel, note=self.note(updates.n), counts=counts)


# --- which entries count: equal values are equally in or out, so that no column is held against one of them --------


def _between(block: Tensor, below: int) -> Tensor:
    """Entries that are not among the ``below`` smallest and as many largest of their column."""
    ranked = block.sort(0).values
    return (block >= ranked[below]) & (block <= ranked[len(block) - 1 - below])


def _in_the_middle(block: Tensor) -> Tensor:
    """Entries that are the middle value of their column, or one of the two."""
    return _between(block, (len(block) - 1) // 2)


def _near(block: Tensor, centre: Kernel, count: int) -> Tensor:
    """Entries that are no farther from a centre of their column than the ``count`` nearest."""
    gaps = (block - centre(block)).abs()
    return gaps <= gaps.sort(0).values[count - 1]
