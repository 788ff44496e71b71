"""Attacks that stray from the honest mean as far as they can without standing out, in closed form."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..core import Knowledge
from ..registry.bounds import Natural, NotNegative
from ..registry.entries import register
from ..stack import Kernel, Updates, squared_distances
from .base import Attack, View, jittered, strayed
from .forge import spread


def mean_column(block: Tensor) -> Tensor:
    """The mean of each column."""
    return block.mean(0)


def mean_sign(block: Tensor) -> Tensor:
    """The sign of the mean of each column."""
    return block.mean(0).sign()


@dataclass(frozen=True, kw_only=True)
class Directed(Attack):
    """mean(G) + gamma p with p = -sd(G), -mean(G) / |mean(G)| or -sgn(mean(G)).

    -p joins the known rows as one more row, computed as they are read.
    """

    direction: Literal["std", "unit", "sign"] = "std"
    ddof: Natural = 0
    knows: Knowledge = "honest"

    def _stack(self, view: View) -> tuple[Updates, float]:
        """The known rows with -p below them, and what -p is to be divided by."""
        kernels: dict[str, Kernel] = {"std": spread(self.ddof), "unit": mean_column, "sign": mean_sign}
        stack = view.beside(self.knows, kernels[self.direction])
        if self.direction != "unit":
            return stack, 1.0
        length = float(stack.gram()[-1, -1].sqrt())
        return stack, length or 1.0


@register("deviation", paper="Xu et al. 2022", aliases={"fang": {"direction": "sign", "gamma": 0.1}})
@dataclass(frozen=True, kw_only=True)
class Deviation(Directed):
    """The mean of the known rows, gamma away from it along a direction.

    mean(G) + gamma p, p = -sd(G), -mean(G) / |mean(G)| or -sgn(mean(G)) for ``direction`` "std", "unit" and "sign".
    With ``Maximise(Deviation, over="gamma")`` these are the three adaptive families in the repository of SignGuard's
    authors; the paper has none.

    ``fang`` is ``deviation:direction=sign,gamma=0.1``, mean(G) - 0.1 sgn(mean(G)): what FedSECA's tables call Fang, in
    its code ``fang:jitter=0.05,knows=all``, on weights, where a parameter that does not move counts as falling. It has
    no search and no rule in mind; the attacks of Fang et al. 2020 are `FangKrum` and `FangTrimmedMean`.

    Shows: how far a rule can be dragged along one direction.

    Args:
        gamma: how far, in lengths of p.
        direction, ddof: of p; only "std" has a divisor.
        knows: whose rows G are: "honest", "all" or "own".
        jitter: every byzantine client has a gamma of its own, uniform within gamma - jitter and gamma + jitter.
    """

    gamma: float = 1.0
    jitter: NotNegative = 0.0

    def forge(self, view: View) -> Updates:
        stack, length = self._stack(view)
        return strayed(stack, jittered(self.gamma, self.jitter, view) / length, view.own.n)


@dataclass(frozen=True, kw_only=True)
class _Farthest(Directed):
    """`Deviation` with the largest gamma that a constraint on distances allows: one pass and n x n work."""

    def forge(self, view: View) -> Updates:
        stack, length = self._stack(view)
        h = stack.n - 1
        scale = torch.ones(h + 1, dtype=torch.float64)
        scale[h] = 1 / length
        K = scale[:, None] * stack.gram() * scale
        sq_dists = squared_distances(K[:h, :h])
        # a_i = mean - x_i: its square follows from distances, its product with p = -K's last row from the Gram matrix.
        to_mean = (sq_dists.mean(1) - sq_dists.mean() / 2).clamp_min(0)
        along = K[:h, h] - K[:h, h].mean()
        square = float(K[h, h])
        gamma = self.largest(sq_dists, to_mean, along, square) if square > 0 else 0.0
        return strayed(stack, gamma / length, view.own.n)

    @abstractmethod
    def largest(self, sq_dists: Tensor, to_mean: Tensor, along: Tensor, square: float) -> float:
        """The largest gamma allowed.

        Args:
            sq_dists: |x_i - x_j|^2, (h, h).
            to_mean: |mean - x_i|^2, (h,).
            along: (mean - x_i) . p, (h,).
            square: |p|^2 > 0.
        """


@register("min-max", paper="Shejwalkar & Houmansadr 2021", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class MinMax(_Farthest):
    """As far from the honest mean as no honest row is farther from it than two honest rows are apart.

    Largest gamma with max_i |mean + gamma p - x_i| <= max_ij |x_i - x_j|: for each i the larger root of
    |p|^2 gamma^2 + 2 gamma p.(mean - x_i) + |mean - x_i|^2 = max distance^2, and the least of them.
    Shejwalkar & Houmansadr 2021, equation 4; their search by halving comes to the same up to its range of 20.

    Shows: the farthest that colluders get who do not know the rule and stay within the spread of honest rows.

    Args:
        direction: of p: "std", "unit" or "sign".
        ddof: 0, or 1 for the unbiased deviation of the released code.
        knows: whose rows those are: "honest", "all" or "own".
    """

    def largest(self, sq_dists: Tensor, to_mean: Tensor, along: Tensor, square: float) -> float:
        room = (sq_dists.max() - to_mean).clamp_min(0)
        roots = ((along.square() + square * room).sqrt() - along) / square
        return float(roots.min().clamp_min(0))


@register("min-sum", paper="Shejwalkar & Houmansadr 2021", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class MinSum(_Farthest):
    """As far from the honest mean as its summed squared distances to honest rows stay within an honest row's.

    Largest gamma with sum_i |mean + gamma p - x_i|^2 <= max_i sum_j |x_i - x_j|^2. Cross terms vanish, so
    gamma = sqrt((max_i sum_j |x_i - x_j|^2 - sum_i |mean - x_i|^2) / (h |p|^2)).
    Shejwalkar & Houmansadr 2021, equation 5; their released code bounds by the least row sum.

    Shows: as `MinMax`, in a tighter disguise.

    Args:
        direction: of p: "std", "unit" or "sign".
        ddof: 0, or 1 for the unbiased deviation of the released code.
        knows: whose rows those are: "honest", "all" or "own".
    """

    def largest(self, sq_dists: Tensor, to_mean: Tensor, along: Tensor, square: float) -> float:
        room = (sq_dists.sum(1).max() - to_mean.sum()).clamp_min(0)
        return float((room / (len(to_mean) * square)).sqrt())
