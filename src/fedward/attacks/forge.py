"""Attacks by formula on the rows that the adversary knows: a little is enough, inner products, the mean itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import floor
from statistics import NormalDist

import torch
from torch import Tensor

from ..core import WHOLE, Context, Knowledge
from ..registry.bounds import Natural, NotNegative, Share, whole_share
from ..registry.entries import register
from ..stack import Joined, Kernel, Updates
from .base import Around, Attack, View, jittered, mean_of, strayed


@register("alie", paper="Baruch et al. 2019")
@dataclass(frozen=True, kw_only=True)
class ALIE(Attack):
    """A little is enough: the honest mean, minus z honest standard deviations in each column.

    mean(G) - z sd(G), with divisor h - ddof; all byzantine clients send it. In rounds of one class (DeSGD) G are the
    momenta of that class: its class-wise form. Baruch, Baruch & Goldberg 2019, Algorithm 3.

    G are the rows as they are sent, and the sign counts: mean - z sd of gradients is mean + z sd of the updates that
    they make. FedSECA's code forges w_global - w_local, which has the other sign than what clients of local SGD send
    here, with the unbiased deviation of all clients: ``alie:z=-1,jitter=0.05,ddof=1,knows=all`` where they send
    updates, ``alie:z=1,jitter=0.05,ddof=1,knows=all`` where they send gradients.

    Shows: whether a rule that judges by distances or spread lets pass what hides within the honest deviation; raise
    z until it notices.

    Args:
        z: how far; negative ones stray the other way; None for z_max of `alie_z`.
        jitter: every byzantine client has a z of its own, uniform within z - jitter and z + jitter; 0.05 in FedSECA's
            code, drawn once for all rounds there and here.
        ddof: 0, or 1 for the unbiased deviation that some code uses.
        knows: whose rows G are: "honest", "all" (the code of SignGuard and FedSECA), or "own" (the paper, which has no
            others).

    Raises:
        ValueError: z=None where byzantine clients are so many that z_max is infinite; unknown ``knows``.
    """

    z: float | None = 0.3
    ddof: Natural = 0
    knows: Knowledge = "honest"
    jitter: NotNegative = 0.0

    def forge(self, view: View) -> Updates:
        z = jittered(z_or_greatest(self.z, view), self.jitter, view)
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

    FedSECA's code is ``ipm:epsilon=1.3,jitter=0.05,knows=all``, whatever sign rows have.

    Shows: whether the output can be turned against the honest direction: by small rows that hide, or by large ones.

    Args:
        epsilon: 0.1 in the DeSGD experiments, 1.3 in FedSECA's.
        knows: whose rows G are: "honest", "all" or "own".
        jitter: every byzantine client has an epsilon of its own, uniform within epsilon - jitter and epsilon + jitter.
    """

    epsilon: float = 0.1
    knows: Knowledge = "honest"
    jitter: NotNegative = 0.0

    def forge(self, view: View) -> Updates:
        stack = view.known(self.knows)
        epsilon = jittered(self.epsilon, self.jitter, view)
        return stack.mix(-epsilon[:, None] * mean_of(stack))


@register("byz-mean", paper="Xu et al. 2022")
@dataclass(frozen=True, kw_only=True)
class ByzMean(Around):
    """Some clients send another attack's row t, the others make the mean of all n rows exactly t.

    m1 = floor(split m) rows are t, at most m - 1; the m2 others are ((n - m1) t - sum of the honest rows) / m2.
    Xu et al. 2022, section III: split 0.5 in the ICDCS version, 0.8 in the arXiv version.

    Shows: what colluders do who steer the mean exactly, and are two kinds of rows at once.

    Args:
        inner: the attack that makes t, its first row.
        split: share of the byzantine clients that send t itself.
    """

    inner: Attack = field(default_factory=ALIE)
    split: Share = 0.5
    declared = replace(WHOLE, knows="honest")

    def acts(self, context: Context) -> bool:
        return True  # whatever t is, the mean becomes that

    def forge(self, view: View) -> Updates:
        h = view.honest.n
        m = view.own.n
        m1 = min(whole_share(self.split, m), m - 1)
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
    spread = (block - block.mean(0)).square_().sum(0).div_(n - ddof).sqrt_()
    if block.dtype != torch.float64 and not bool(spread.isfinite().all()) and bool(block.isfinite().all()):
        return deviation(block.double(), ddof).to(block.dtype)  # squares of finite numbers have overflowed
    return spread
