"""Rules that group rows by the angles between them, and keep the largest group."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from ..core import Context, Plan, Reason, State, Traits, average_of, median_of
from ..registry.bounds import AtLeast, Below, Count
from ..registry.entries import register
from ..stack import Updates, by_rows, cosines, row_slices
from .distance import FromGram
from .mixers import clip_factors

Linkage = Literal["single", "complete", "average"]
# Distances 1 - cos are rounded to twelve places, and their averages are as good.
_SAME_HEIGHT = 1e-11


@register("cosine-clustering", paper="Sattler et al. 2020", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class CosineClustering(FromGram):
    """Mean of the larger of two groups, split so that no two rows across the split are very alike.

    The split minimises the largest cosine between the groups: single linkage on 1 - cos, cut into two. Sattler, Müller,
    Wiegand & Samek, "On the Byzantine robustness of clustered federated learning", ICASSP 2020. Of groups of one size
    the more alike is kept; where the split is not unique, the group with more than half of the rows; all rows where
    that does not decide. Zero rows are alike, and like no other row.

    The criterion that the paper prints is single linkage, the default; the authors' notebook has complete linkage, and
    that is the "Clustering" of DeSGD's tables. Single linkage alone defeats ALIE with identical rows: there a group is
    as near as its nearest row, so that honest rows of clients with different classes are joined one after the other,
    and the forged ones are cut off. By complete or average linkage the forged rows are the seed of the larger group.

    Use when: clients fall into two camps by the direction of their updates, as where colluders send rows that are
    alike, and the larger camp is honest. It does not look at lengths: clip before it.

    Args:
        linkage: "single", the paper's criterion; "complete", as in the authors' notebook; or "average".

    Raises:
        ValueError: another linkage.
    """

    linkage: Linkage = "single"
    declared = Traits(
        selects=True,
        properties=frozenset({"permutation", "scale", "columns", "rotation", "unanimity", "box"}),
    )

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        cos = cosines(updates.gram())
        kept = larger_group(cos, updates.norms(), self.linkage)
        return average_of(updates, kept, scores={"cosine": _mean_over(kept, cos)}, reason=Reason.DIRECTION_OUTLIER)


def _mean_over(kept: Tensor, cos: Tensor) -> Tensor:
    """The mean of each row's cosines with those kept: (n,)."""
    return by_rows(cos, lambda rows: rows[:, kept].mean(1))


def larger_group(cos: Tensor, norms: Tensor, method: str) -> Tensor:
    """Row numbers of the larger of two groups of rows, by agglomeration on 1 - cos.

    Of two groups of one size the one whose rows are more alike. More than two groups equally far apart: the one that
    has most of the rows. All rows where that does not decide, so that their order never does.
    """
    n = len(cos)
    if n == 1:
        return torch.arange(1)
    groups = _top_groups(cos, norms, method)
    merits = [_merit(group, cos) for group in groups]
    best = max(merits)
    clear = merits.count(best) == 1 and (len(groups) == 2 or best[0] > n // 2)
    return groups[merits.index(best)].nonzero().flatten() if clear else torch.arange(n)


def _top_groups(cos: Tensor, norms: Tensor, method: str) -> list[Tensor]:
    """The groups that the last merge joins, and those before it at the same distance: (n,) bool each."""
    from scipy.cluster.hierarchy import fcluster, linkage

    n = len(cos)
    # What comes first is merged first where distances are equal: by length, then by how alike a row is to the others.
    order = torch.from_numpy(np.lexsort((cos.sum(1).numpy().round(9), norms.numpy())))
    # Zero rows, which come first, have no direction, and all the same one.
    tree = linkage(_condensed(cos, order, int((norms == 0).sum())), method)
    last = int((tree[:, 2] > tree[-1, 2] - _SAME_HEIGHT).sum())
    tree[:, 2] = np.arange(n - 1)  # to undo so many merges, whatever their distances
    labels = torch.empty(n, dtype=torch.int64)
    labels[order] = torch.from_numpy(fcluster(tree, n - 1.5 - last, "distance").astype(np.int64))
    return [labels == k for k in range(1, last + 2)]


def _merit(group: Tensor, cos: Tensor) -> tuple[int, float]:
    """What makes a group of rows preferable: its size, and how alike its rows are."""
    member = group.double()
    size = int(group.sum())
    own = cos.diagonal() @ member
    # The mean cosine of two different rows; that of a lone one with itself.
    alike = (member @ cos @ member - own) / (size * (size - 1)) if size > 1 else own
    return size, round(float(alike), 12)


def _condensed(cos: Tensor, order: Tensor, same: int = 0) -> np.ndarray:
    """The distances 1 - cos of the rows in an order, of which so many first ones are the same, as scipy has them.

    That is each row's distances to those after it. Rounding must not tell equal angles apart.
    """
    n = len(cos)
    condensed = torch.empty(n * (n - 1) // 2, dtype=torch.float64)
    end = 0
    for rows in row_slices(n):
        some, others = order[rows], order[rows.start :]
        there = _distances(cos[some][:, others])
        back = _distances(cos[others[:, None], some]).T
        both = (there + back).div_(2)
        both[: max(same - rows.start, 0), : max(same - rows.start, 0)] = 0
        after = both[torch.arange(len(others)) > torch.arange(len(some))[:, None]]
        start, end = end, end + len(after)
        condensed[start:end] = after
    return condensed.numpy()


def _distances(cos: Tensor) -> Tensor:
    return (1 - cos).round_(decimals=12).clamp_min_(0)


@register("clipped-clustering", paper="Li et al. 2024", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class ClippedClustering(FromGram):
    """`CosineClustering` with average linkage, the rows clipped to the median norm of all rows ever received.

    tau = median of the norms of this and every earlier round; mean over the larger group of x_i min(1, tau / |x_i|).
    Li, Ngai & Voigt, "An experimental study of Byzantine-robust aggregation schemes in federated learning", IEEE
    Transactions on Big Data 2024. "Ever" is the last ``remember`` norms here, or those of this round if they are more.

    Use when: less than half of the clients are byzantine and point another way than the others; lengths are held
    against those of all earlier rounds, so that one round of long rows does not raise the bar.

    Args:
        linkage: as for `CosineClustering`.
        remember: how many norms, at least 1.

    Raises:
        ValueError: parameters out of these bounds.
    """

    linkage: Linkage = "average"
    remember: Count = 100_000
    declared = Traits(
        selects=True,
        history=True,
        properties=frozenset({"permutation", "scale", "columns", "rotation", "unanimity"}),
    )

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        norms = updates.norms()
        cos = cosines(updates.gram())
        kept = larger_group(cos, norms, self.linkage)
        weights = torch.zeros(updates.n, dtype=torch.float64)
        radius = median_of(self._norms(updates, state))
        weights[kept] = clip_factors(norms, radius)[kept] / len(kept)
        scores = {"cosine": _mean_over(kept, cos), "norm": norms}
        return Plan(updates, weights, scores=scores, reasons=[Reason.DIRECTION_OUTLIER] * updates.n)

    def _norms(self, updates: Updates, state: State) -> Tensor:
        """The last ones, in order of size within a round, so that the order of clients does not say which are kept."""
        now = updates.norms().sort().values
        past = state["norms"].cpu() if "norms" in state else now[:0]
        return torch.cat([past, now])[-max(self.remember, updates.n) :]

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        return {"norms": self._norms(plan.updates, state)}


@register("flame", paper="Nguyen et al. 2022", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class FLAME(FromGram):
    """Mean of the majority cluster of directions, clipped to the median norm, with noise.

    1. HDBSCAN on 1 - cos with clusters of at least floor(n/2) + 1 rows. There can be only one such cluster: the first
       one of that size as single linkage joins ever more distant rows. 2. S = median norm of all rows; mean over the
       cluster of x_i min(1, S / |x_i|). 3. Plus noise N(0, (noise S)^2) in every column.

    Nguyen, Rieger et al., "FLAME: taming backdoors in federated learning", USENIX Security 2022, Algorithm 1. The paper
    clusters the clients' models; here, as everywhere in fedward, directions are those of the updates.

    Use when: more than half of the clients are honest and point the same way, and backdoors are what is feared:
    what passes the clustering is clipped and drowned in noise, which is to be tuned to the model.

    Args:
        noise: standard deviation of the noise in units of S (the paper's lambda).

    Raises:
        ValueError: negative noise.
    """

    noise: Annotated[float, AtLeast(0), Below(inf)] = 0.001
    declared = Traits(selects=True, server_rows=True, properties=frozenset({"permutation", "scale"}))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        norms = updates.norms()
        cos = cosines(updates.gram())
        S = median_of(norms)
        kept = majority_cluster(cos)
        weights = torch.zeros(updates.n, dtype=torch.float64)
        weights[kept] = clip_factors(norms, S)[kept] / len(kept)
        stack = updates
        if self.noise > 0:
            noise = torch.randn(updates.d, generator=context.generator("noise"), dtype=torch.float32)
            drawn = updates.share.part(noise)
            # As wide as the rows: the noise beside float64 rows may be longer than float32 has numbers for.
            wide = torch.promote_types(updates.dtype, torch.float32)
            stack = updates.anchored(drawn.to(updates.device, wide))
            weights = torch.cat([weights, torch.tensor([self.noise * S], dtype=torch.float64)])
        scores = {"cosine": _mean_over(kept, cos), "norm": norms}
        return Plan(stack, weights, scores=scores, reasons=[Reason.DIRECTION_OUTLIER] * updates.n, judged=updates)


def majority_cluster(cos: Tensor) -> Tensor:
    """Row numbers of the first cluster with more than half of the rows, as single linkage joins them by 1 - cos."""
    n = len(cos)
    if n == 1:
        return torch.arange(1)
    from scipy.cluster.hierarchy import fcluster, linkage

    tree = linkage(_condensed(cos, torch.arange(n)), "single")
    joined = tree[tree[:, 3] > n // 2][0]
    labels = fcluster(tree, joined[2], "distance")
    return torch.from_numpy(np.flatnonzero(labels == np.bincount(labels).argmax()))
