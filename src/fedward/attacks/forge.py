"""Attacks by formula on the rows that the adversary knows: a little is enough, inner products, the mean itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import floor
from statistics import NormalDist

import torch
from torch import Tensor

from ..core import WHOLE, Knowledge
from ..registry.bounds import Natural, Share
from ..registry.entries import register
from ..stack import Joined, Kernel, Updates
from .base import Around, Attack, View, copies, mean_of, strayed


@register("alie", paper="Baruch et al. 2019")
@dataclass(frozen=True, kw_only=True)
class ALIE(Attack):
    """A little is enough: the honest mean, minus z honest standard deviations in each column.

    mean(G) - z sd(G), with divisor h - ddof; all byzantine clients send it. In rounds of one class (DeSGD) G are the
    momenta of that class: its class-wise form. Baruch, Baruch & Goldberg 2019, Algorithm 3.

    Args:
        z: how far; None for z_max of `alie_z`.
        ddof: 0, or 1 for the unbiased deviation that some code uses.
        knows: whose rows G are: "honest", "all" (SignGuard's code), or "own" (the paper, which has no others).

    Raises:
        ValueError: z=None where byzantine clients are so many that z_max is infinite; unknown ``knows``.
    """

    z: float | None = 0.3
    ddof: Natural = 0
    knows: Knowledge = "honest"

    def forge(self, view: View) -> Updates:
        z = z_or_greatest(self.z, view)
        return strayed(view.beside(self.knows, spread(self.ddof)), z, view.own.n)


def alie_z(n: int, f: int) -> float:
    """z_max = sup{z : Phi(z) < (n - floor(n / 2 + 1)) / (n - f)}: how far a row can stray among n, f of them forged."""
    ratio = (n - floor(n / 2 + 1)) / (n - f)
    if not 0 < ratio < 1:
        return torch.inf if ratio >= 1 else -torch.inf
    return NormalDist().inv_cdf(ratio)


def z_or_greatest(z: float | None, view: View) -> float:
    """The z that was asked for, or z_max of `alie_z`.

    Raises:
        ValueError: z_max was asked for and is infinite.
    """
    if z is not None:
        return z
    m = view.own.n
    n = view.honest.n + m
    greatest = alie_z(n, m)
    if abs(greatest) == torch.inf:
        raise ValueError(f"z_max is {greatest} for {m} byzantine of {n} clients: give z, for example z=0.3")
    return greatest


@register("ipm", paper="Xie et al. 2020")
@dataclass(frozen=True, kw_only=True)
class IPM(Attack):
    """Inner product manipulation: the honest mean, turned around and scaled by epsilon.

    -epsilon mean(G). Small ones (0.1) hide among the honest rows and slow training, large ones turn the mean around.
    Xie, Koyejo & Gupta, "Fall of empires: breaking Byzantine-tolerant SGD by inner product manipulation", UAI 2020.

    Args:
        epsilon: 0.1 in the DeSGD experiments, 1.3 in FedSECA's.
        knows: whose rows G are: "honest", "all" or "own".
    """

    epsilon: float = 0.1
    knows: Knowledge = "honest"

    def forge(self, view: View) -> Updates:
        stack = view.known(self.knows)
        return copies(stack, -self.epsilon * mean_of(stack), view.own.n)


@register("byz-mean", paper="Xu et al. 2022")
@dataclass(frozen=True, kw_only=True)
class ByzMean(Around):
    """Some clients send another attack's row t, the others make the mean of all n rows exactly t.

    m1 = floor(split m) rows are t, at most m - 1; the m2 others are ((n - m1) t - sum of the honest rows) / m2.
    Xu et al. 2022, section III: split 0.5 in the ICDCS version, 0.8 in the arXiv version.

    Args:
        inner: the attack that makes t, its first row.
        split: share of the byzantine clients that send t itself.
    """

    inner: Attack = field(default_factory=ALIE)
    split: Share = 0.5
    declared = replace(WHOLE, knows="honest")

    def forge(self, view: View) -> Updates:
        h = view.honest.n
        m = view.own.n
        m1 = min(floor(self.split * m), m - 1)
        m2 = m - m1
        stack = Joined(view.honest, self.inner.forged(view))
        M = torch.zeros(m, stack.n, dtype=torch.float64)
        M[:m1, h] = 1
        M[m1:, :h] = -1 / m2
        M[m1:, h] = (h + m2) / m2
        return stack.mix(M)


@lru_cache(maxsize=4)
def spread(ddof: Natural) -> Kernel:
    """The kernel of the standard deviation of each column; one function per ddof, so that stacks are shared."""
    return lambda block: deviation(block, ddof)


def deviation(block: Tensor, ddof: Natural = 0) -> Tensor:
    """Standard deviation of each column, with divisor n - ddof: (n, b) to (b,)."""
    n = len(block)
    if n <= ddof:
        return torch.zeros_like(block[0])
    return (block - block.mean(0)).square_().sum(0).div_(n - ddof).sqrt_()
