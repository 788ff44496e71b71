"""Mixers: pre-aggregations as row-mixing matrices, decided from statistics."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor

from ..core import Bound, BoundError, Context, Mixer, ScalingMixer, Traits, how_many, median_of, smallest
from ..failures import tamed
from ..registry.bounds import Byzantine, Count, Natural, Positive
from ..registry.entries import register
from ..stack import Distances, Dots, Gram, SqNorms, Statistic, Updates, cosines_to

__all__ = ["ARC", "NNM", "Bucketing", "ClipNorm", "GroupMajority", "Normalize", "SequentialBucketing"]


@register("clip-norm", paper="Sun et al. 2019", example={"radius": "median"})
@dataclass(frozen=True, kw_only=True)
class ClipNorm(ScalingMixer):
    """Scale rows that are longer than the radius down to it.

    x_i min(1, radius / |x_i|); a zero row stays. ``ClipNorm(radius="median") >> Mean()`` is ClipMean.

    Use when: nobody's row shall be longer than a known length, or than the median: before weighted means and before
    rules that look at directions alone.

    Args:
        radius: a length, or "median" for the median norm of the rows.

    Raises:
        ValueError: a radius that is neither positive nor "median".
    """

    radius: Positive | Literal["median"]

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(),)

    def factors(self, updates: Updates, context: Context) -> Tensor:
        norms = updates.norms()
        radius = median_of(norms) if self.radius == "median" else self.radius
        return clip_factors(norms, radius)


def clip_factors(norms: Tensor, radius: float) -> Tensor:
    """min(1, radius / norm), and 1 for a zero row: (n,)."""
    return torch.where(norms > radius, radius / norms, torch.ones_like(norms))


@register("normalize", paper="FedNGA, in Geo Benjamin et al. 2025")
@dataclass(frozen=True, kw_only=True)
class Normalize(ScalingMixer):
    """Scale every row to length 1.

    x_i / |x_i|; a zero row stays.

    Use when: directions are what counts, and lengths say nothing or are lied about. The output is at most 1 long:
    choose the learning rate to it.
    """

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(),)

    def factors(self, updates: Updates, context: Context) -> Tensor:
        norms = updates.norms()
        return torch.where(norms > 0, 1 / norms, 1.0)


@register("arc", paper="Allouah et al. 2025")
@dataclass(frozen=True, kw_only=True)
class ARC(ScalingMixer):
    """Clip the longest rows, about 2f of them, to the length of the next one ("adaptive robust clipping").

    k = floor(2 (f / n) (n - f)); the radius is the norm of the (k + 1)-th longest row. Allouah, Guerraoui, Gupta,
    Jellouli, Rizk & Stephan, "Adaptive gradient clipping for robust federated learning", ICLR 2025, Algorithm 2.

    Use when: f is known, and the lengths of honest rows vary too much from round to round for a fixed radius. A
    robust rule comes after it.
    """

    f: Byzantine

    def check(self, n: int) -> None:
        _at_least(self, n, how_many(self.f, n), Bound(2, 1))

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(),)

    def factors(self, updates: Updates, context: Context) -> Tensor:
        norms = updates.norms()
        f = how_many(self.f, updates.n)
        clipped = 2 * f * (updates.n - f) // updates.n
        return clip_factors(norms, float(norms.sort(descending=True).values[clipped]))


@register("nnm", paper="Allouah et al. 2023", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class NNM(Mixer):
    """Replace every row by the mean of its n - f nearest rows, itself included ("nearest neighbour mixing").

    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot & Stephan, "Fixing by mixing: a recipe for optimal Byzantine ML under
    heterogeneity", AISTATS 2023, Algorithm 2. No mixed row is ever formed: Gram(M G) = M Gram(G) M^T.

    Use when: clients' data differ and f is known: rows become more alike before any rule that looks at distances or
    values. It compares all pairs.
    """

    f: Byzantine
    declared = Traits(keeps_clients=True)

    def check(self, n: int) -> None:
        _at_least(self, n, how_many(self.f, n), Bound(1, 1))

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        return (Gram(),)

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        M = torch.zeros(updates.n, updates.n, dtype=torch.float64)
        near = updates.n - how_many(self.f, updates.n)
        rows = iter(M)
        for block in Distances(updates.gram()).blocks():
            for dists in block:
                next(rows)[smallest(dists, near)] = 1 / near
        return M


@register("bucketing", paper="Karimireddy et al. 2022", example={"s": 2})
@dataclass(frozen=True, kw_only=True)
class Bucketing(Mixer):
    """Means of random buckets of s rows; the last may be smaller.

    Karimireddy, He & Jaggi, "Byzantine-robust learning on heterogeneous datasets via bucketing", ICLR 2022,
    Algorithm 1. Up to f of the ceil(n / s) buckets hold a byzantine row, so the rule that follows has the same f.

    Use when: clients' data differ, so that the rule after it would take honest rows for forged ones: means of
    buckets are more alike. f stays while rows become fewer, so mind the rule's bound.

    Args:
        s: rows in a bucket.
    """

    s: Count

    def rows(self, n: int) -> int:
        return -(-n // self.s)

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        order = torch.randperm(updates.n, generator=context.generator("buckets"))
        return _means(torch.split(order, self.s), updates.n)


@register("sequential-bucketing", paper="Özfatura et al. 2023", example={"s": 2})
@dataclass(frozen=True, kw_only=True)
class SequentialBucketing(Mixer):
    """Means of buckets of s rows, one from each of s clusters of rows by their cosine to the previous aggregate.

    Rows are sorted by the cosine and cut into s clusters; bucket t has the t-th row of every cluster, each shuffled.
    Özfatura, Özfatura, Küpçü & Gündüz, "Byzantines can also learn from history: fall of centered clipping in federated
    learning", 2023. In the first round, without a previous aggregate, clusters are by row order.

    Use when: as for `Bucketing`, with buckets that hold rows of all angles to the last aggregate instead of random
    ones.

    Args:
        s: rows in a bucket, and clusters.
    """

    s: Count
    declared = Traits(history=True)

    def rows(self, n: int) -> int:
        return -(-n // self.s)

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(),) if context.previous is None else (SqNorms(), Dots(rows=context.previous))

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        alike = torch.zeros(updates.n, dtype=torch.float64)
        if context.previous is not None:
            dots = updates.compute(Dots(rows=context.previous))[0][:, 0]
            alike = cosines_to(dots, updates.norms(), float(updates.share.norm(context.previous)))
        return _means(sequential_buckets(alike, self.s, context.generator("buckets")), updates.n)


def sequential_buckets(alike: Tensor, s: int, generator: torch.Generator) -> list[Tensor]:
    """Row numbers of each bucket: one row of each of s clusters of rows in ascending order of ``alike``, shuffled."""
    order = alike.round(decimals=12).argsort(stable=True)
    length = -(-len(order) // s)
    clusters = [c[torch.randperm(len(c), generator=generator)] for c in torch.split(order, length)]
    return [torch.stack([c[t] for c in clusters if t < len(c)]) for t in range(length)]


@register("group-majority", paper="Rajput et al. 2019", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class GroupMajority(Mixer):
    """The most frequent row of each group of r neighbouring clients, which were given the same batch to work on.

    Of rows that are equally frequent, the first one; rows whose distance float64 cannot tell from 0 are the same. The
    first stage of DETOX: ``GroupMajority(r=3) >> Bucketing(s=2) >> GeometricMedian()``. Rajput, Wang, Charles &
    Papailiopoulos, "DETOX: a redundancy-based framework for faster and more robust gradient aggregation", NeurIPS 2019.

    Clients 0 to r - 1 are a group, r to 2r - 1 the next: whose id is a whole number is in the group (id - first) // r,
    whoever else is absent or sent NaN. Ids of another kind say nothing of groups, and their rows go by their places
    among those that are left: number clients where any may be missing.

    Use when: r neighbouring clients compute the same batch, so that honest rows are equal to the last bit. Where
    everybody computes something else it does nothing but drop rows.

    Args:
        r: clients in a group, successive ones.
        first: the number of the first client.

    Raises:
        BoundError: r or more clients, none of whose numbers are of one group, so that nobody can be outvoted.
    """

    r: Count = 3
    first: Natural = 0
    declared = Traits(by_client=True)

    def rows(self, n: int) -> int:
        return -(-n // self.r)

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        return (Gram(),)

    def _groups(self, ids: Sequence[Hashable]) -> list[Tensor]:
        """The places of the rows of each group."""
        found: dict[tuple[int, Hashable], list[int]] = {}
        for place, id in enumerate(ids):
            client, of = id if isinstance(id, tuple) and len(id) == 2 else (id, None)  # in rounds of several classes
            number = int(client) - self.first if isinstance(client, Integral) else place
            found.setdefault((number // self.r, of), []).append(place)
        if self.r > 1 and len(found) == len(ids) >= self.r:
            raise BoundError(
                f"{self!r}: no two of {len(ids)} clients, {', '.join(map(tamed, ids[:3]))} and so on, have numbers of "
                f"one group of {self.r} successive ones, so that nobody can be outvoted: number clients by their groups"
            )
        return [torch.tensor(found[key]) for key in sorted(found, key=lambda key: (key[0], found[key]))]

    def _chosen(self, updates: Updates) -> Tensor:
        dists = Distances(updates.gram())
        groups = self._groups(updates.ids)
        same = ((dists.of(group)[:, group] == 0).int() for group in groups)
        return torch.stack([group[alike.sum(1).argmax()] for group, alike in zip(groups, same, strict=True)])

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        return torch.eye(updates.n, dtype=torch.float64)[self._chosen(updates)]

    def view(self, updates: Updates, context: Context) -> Updates:
        return updates.take(self._chosen(updates))


def _means(buckets: Sequence[Tensor], n: int) -> Tensor:
    """The matrix that averages each bucket of rows."""
    M = torch.zeros(len(buckets), n, dtype=torch.float64)
    for row, bucket in zip(M, buckets, strict=True):
        row[bucket] = 1 / len(bucket)
    return M


def _at_least(mixer: Mixer, n: int, f: int, bound: Bound) -> None:
    if n < bound.minimum(f):
        raise BoundError(f"{mixer!r} needs {bound} = {bound.minimum(f)} clients, got {n}{bound.allowed(n)}")
