"""Rules that elect a sign for every column: FedSECA, modified TIES, signSGD's majority vote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..core import Context, Plan, Reason, Rule, State, Traits, finite_copy, median_of
from ..registry.bounds import Decay, Share
from ..registry.entries import register
from ..registry.parameters import Variant
from ..stack import (
    ElectedMean,
    Floors,
    MagnitudeCounts,
    SignConcordance,
    SqNorms,
    Statistic,
    Updates,
    by_rows,
    magnitude_of_rank,
)
from .mixers import clip_factors
from .remembered import unrounded, zero_row

_ELECTIONS = frozenset({"permutation", "scale", "columns"})
_RATIO = "concordance"


@register("sign-majority", paper="Bernstein et al. 2019")
@dataclass(frozen=True, kw_only=True)
class SignMajority(Rule):
    """The sign of the sum of signs in every column; 0 for a tie.

    sgn(sum_i sgn(x_i)): the model moves by lr in every coordinate. Bernstein, Zhao, Azizzadenesheli & Anandkumar,
    "signSGD with majority vote is communication efficient and fault tolerant", ICLR 2019, Algorithm 1.

    Use when: clients can send signs alone, and lr is chosen for steps of one size in every coordinate.
    """

    declared = Traits(properties=frozenset({"permutation", "columns"}))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return Plan(updates, kernel=lambda block: block.sign().sum(0).sign())


@register("fedseca", paper="Geo Benjamin et al. 2025", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class FedSECA(Rule):
    """Elect a sign for every column, by clients weighted by how many others they agree with; average what has it.

    1. Concordance omega(a, b) = (1/d) sum_j sgn(a_j) sgn(b_j); concordance ratio of a client
       rho_k = max(0, (1/n) sum_l sgn(omega(g_k, g_l))), itself included.
    2. CRISE: s_j = sgn(sum_k rho_k sgn(g_kj)), on the raw rows.
    3. Variance-reduced sparse rows v: clip each row to the median norm; clamp each column to its median magnitude;
       keep an entry only where the raw magnitude is above the row's quantile of order ``sparsity``.
    4. RoCA: the mean of the v_kj that have sign s_j; 0 if none has.
    5. Server momentum: m <- momentum m + (1 - momentum) output, from 0.

    Geo Benjamin, Asokan, Yaqub & Nandakumar, "FedSECA: sign election and coordinate-wise aggregation of gradients for
    Byzantine tolerant federated learning", CVPR Workshops (FedVision) 2025. Its settings have sparsity 0.9 and momentum
    0.5. It does not use f, and is made for updates of local epochs, not for single noisy gradients.

    A client of ratio 0 is outvoted (`Reason.OUTVOTED`): it is not accepted, since nobody asks for its signs, but its
    entries that have the elected sign are averaged with the others'. Where all ratios are alike, CRISE is a plain
    majority of signs. Ratios are the score "concordance", which records of a run keep.

    ``variant="official"`` is what the authors' code does instead: lower medians; the clamp, whose bound comes from
    clipped rows, is applied to unclipped ones; magnitudes equal to the quantile are kept; votes, but not the ratios
    that weigh them, are of the sparsified rows.

    Every part can be left out or replaced, as in the paper's ablation. CRISE with a plain mean is
    ``FedSECA(clip=False, clamp=False, sparsity=None, merge="mean")``; RoCA alone with the mean's own sign is
    ``FedSECA(clip=False, clamp=False, sparsity=None, vote="mass")``.

    Use when: a few silos send the sum of many local steps, on whose signs honest clients agree, and f is unknown.

    Args:
        sparsity: order of the quantile, 0 to 1; None keeps every entry.
        momentum: of the server, at least 0 and below 1.
        clip, clamp: whether to do these steps.
        vote: "crise"; "count", every client's sign counts alike; "mass", the sign of sum_k v_kj; None, all signs.
        merge: "roca"; or "mean", which divides the same sum by n.
        variant: "paper" or "official".

    Raises:
        ValueError: parameters out of these bounds.
    """

    sparsity: Share | None = 0.9
    momentum: Decay = 0.0
    clip: bool = True
    clamp: bool = True
    vote: Literal["crise", "count", "mass"] | None = "crise"
    merge: Literal["roca", "mean"] = "roca"
    variant: Variant = "paper"
    declared = Traits(passes=3, properties=_ELECTIONS)

    def traits(self) -> Traits:
        recorded = (_RATIO,) if self.vote == "crise" else ()
        return replace(self.declared, history=self.momentum > 0, recorded=recorded)

    @property
    def official(self) -> bool:
        """Whether to do as the authors' code does."""
        return self.variant == "official"

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        counts = (MagnitudeCounts(),) if self.sparsity is not None else ()
        concordance = (SignConcordance(),) if self.vote == "crise" else ()
        return (SqNorms(), *counts, *concordance)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        norms = updates.norms()
        radius = median_of(norms, lower=self.official)
        agreeing = concordant(updates.compute(SignConcordance())[0]) if self.vote == "crise" else _alike(updates)
        kernel = ElectedMean(
            n=updates.n,
            factors=clip_factors(norms, radius) if self.clip else torch.ones_like(norms),
            floors=row_floors(updates, self.sparsity, strict=not self.official),
            votes=self._votes(agreeing),
            unscaled=self.official,
            clamp=self._clamp_by(),
            by_kept=self.official,
            shared=self.merge == "roca",
            momentum=self.momentum,
        )
        scores = {"norm": norms}
        if self.vote == "crise":
            scores = {_RATIO: agreeing / updates.n, **scores}
        stack = updates
        if self.momentum > 0:
            stack = updates.anchored(state.get("momentum", zero_row(updates)))
        voters = torch.ones(stack.n, dtype=torch.bool)  # the server's own row is not asked for
        voters[: updates.n] = agreeing > 0
        reasons = [Reason.OUTVOTED] * updates.n
        return Plan(stack, kernel=kernel, voters=voters, scores=scores, reasons=reasons, judged=updates)

    def _votes(self, agreeing: Tensor) -> Tensor | Literal["mass"] | None:
        """How much each client's sign counts, for the elections in which it does."""
        if self.vote == "mass":
            return "mass"
        return None if self.vote is None else agreeing

    def _clamp_by(self) -> Literal["lower", "median"] | None:
        """Which median of a column's magnitudes its entries are clamped to."""
        if not self.clamp:
            return None
        return "lower" if self.official else "median"

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        return {"momentum": finite_copy(unrounded(plan, output))} if self.momentum > 0 else state


def _alike(updates: Updates) -> Tensor:
    """One vote, or a factor of 1, for each row: (n,)."""
    return torch.ones(updates.n, dtype=torch.float64)


def concordant(concordance: Tensor) -> Tensor:
    """How many more rows agree with each row than disagree, itself included, at least 0: (n,)."""
    return by_rows(concordance, lambda rows: rows.sign().sum(1)).clamp_min(0)


def row_floors(updates: Updates, order: float | None, *, strict: bool) -> Floors | None:
    """What entries must exceed to be above their row's quantile of magnitudes of this order.

    The quantile lies between two entries of neighbouring rank, so comparing with the lower one is exact.

    Args:
        updates: the rows.
        order: 0 to 1; None is no bound at all.
        strict: whether entries equal to the quantile are left out.
    """
    if order is None:
        return None
    place = order * (updates.d - 1)
    rank = round(place) if abs(place - round(place)) < 1e-9 else int(place)
    values, at_most = magnitude_of_rank(updates, rank)
    # At the rank itself, or among entries equal to the next one, the quantile is the entry.
    exact = torch.full_like(at_most, rank == round(place) and abs(place - rank) < 1e-9, dtype=torch.bool)
    return Floors(values=values, inclusive=(exact | (at_most > rank + 1)) & (not strict))


@register("ties", paper="Yadav et al. 2023")
@dataclass(frozen=True, kw_only=True)
class TIES(Rule):
    """Trim each row to its largest entries, elect a sign for every column, average what has it.

    1. Trim: entries of magnitude below the row's quantile of order ``sparsity`` become 0.
    2. Elect: the sign of the sum of the trimmed rows' signs ("count", FedSECA's modification for hostile clients), or
       of their sum ("mass", the original, and FedSECA's published code).
    3. Merge: mean of the trimmed entries with that sign; 0 if none.

    Yadav, Tam, Choshen, Raffel & Bansal, "TIES-merging: resolving interference when merging models", NeurIPS 2023, as
    FedSECA (Geo Benjamin et al. 2025) compares with it. Not a defence against long rows.

    Use when: clients that are trusted have trained for different tasks and their changes are merged, or as the
    baseline of `FedSECA`.

    Args:
        sparsity: order of the quantile, 0 to 1.
        elect: "count" or "mass".

    Raises:
        ValueError: parameters out of bounds.
    """

    sparsity: Share = 0.9
    elect: Literal["count", "mass"] = "count"
    declared = Traits(passes=3, properties=_ELECTIONS)

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return (MagnitudeCounts(),)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        kernel = ElectedMean(
            n=updates.n,
            factors=_alike(updates),
            floors=row_floors(updates, self.sparsity, strict=False),
            votes=_alike(updates) if self.elect == "count" else "mass",
            by_kept=True,
        )
        return Plan(updates, kernel=kernel)
