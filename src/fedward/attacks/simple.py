"""Attacks by formula that look at nobody else's rows: noise, constants, rows scaled or turned around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from ..core import Context
from ..registry.bounds import AtLeast, NotNegative
from ..registry.entries import register
from ..stack import Dense, Updates, materialise
from .base import Attack, View

Factor = Annotated[float, AtLeast(0, "SignFlip turns rows around")]
"""What rows are multiplied by."""


@register("no-attack", paper="-")
@dataclass(frozen=True, kw_only=True)
class NoAttack(Attack):
    """Byzantine clients behave.

    Shows: what a rule costs when nobody attacks: the baseline of every comparison.
    """

    def forge(self, view: View) -> Updates:
        return view.own

    def acts(self, context: Context) -> bool:
        return False


@register("random", paper="Xu et al. 2022")
@dataclass(frozen=True, kw_only=True)
class Random(Attack):
    """Rows of independent noise, N(mean, std^2) in each column.

    Shows: how a rule copes with rows of noise that has no plan. Every defence should pass.

    Args:
        std: standard deviation of each entry, in units of the rows.
        mean: of each entry.
    """

    std: NotNegative = 0.5
    mean: float = 0.0

    def forge(self, view: View) -> Updates:
        return Dense(self.mean + self.std * _normal(view))


@register("gaussian", paper="Fang et al. 2020")
@dataclass(frozen=True, kw_only=True)
class Gaussian(Random):
    """`Random` with the standard deviation of the DeSGD experiments: N(mean, std^2) in each column.

    Shows: how a rule copes with long rows of noise without any plan. Every defence should pass.
    """

    std: NotNegative = 2.0


@register("noise", paper="Xu et al. 2022")
@dataclass(frozen=True, kw_only=True)
class Noise(Attack):
    """Each client's own row plus noise, N(0, std^2) in each column.

    Shows: how much noise on honest rows (bad sensors, privacy) a rule takes before it drops who sends it.

    Args:
        std: standard deviation of the noise in each entry, in units of the rows.
    """

    std: NotNegative = 0.5

    def forge(self, view: View) -> Updates:
        return Dense(materialise(view.own) + self.std * _normal(view))


@register("sign-flip", paper="Li et al. 2019")
@dataclass(frozen=True, kw_only=True)
class SignFlip(Attack):
    """Each client's own row times -scale; with a scale above 1, the reverse attack.

    Shows: whether a rule notices clients that climb the loss, at ordinary length or at a multiple.

    Args:
        scale: the factor, without its sign.
    """

    scale: float = 1.0

    def forge(self, view: View) -> Updates:
        return view.own.mix(-self.scale * torch.eye(view.own.n, dtype=torch.float64))


@register("scaling", paper="Bagdasaryan et al. 2020")
@dataclass(frozen=True, kw_only=True)
class Scaling(Attack):
    """Each client's own row times a factor.

    With ``factor=None`` it is model replacement: n / m for m byzantine of n clients, so that a mean of all ends up at
    the byzantine clients' own mean once the others have converged. Bagdasaryan, Veit, Hua, Estrin & Shmatikov, "How to
    backdoor federated learning", AISTATS 2020, equation 3.

    Shows: whether length alone buys influence, as in model replacement.

    Args:
        factor: at least 0; None for n / m.

    Raises:
        ValueError: a negative or infinite factor.
    """

    factor: Factor | None = 10.0

    def forge(self, view: View) -> Updates:
        m = view.own.n
        factor = (view.honest.n + m) / m if self.factor is None else self.factor
        return view.own.scale(torch.full((m,), factor, dtype=torch.float64))


@register("constant", paper="Shi et al. 2023")
@dataclass(frozen=True, kw_only=True)
class Constant(Attack):
    """Rows with the same value in every column.

    Shows: the plainest nonsense, as of a broken client: long rows, all alike, that point nowhere. Every defence
    should pass.

    Args:
        value: of every entry, in units of the rows.
    """

    value: float = 5.0

    def forge(self, view: View) -> Updates:
        return _same(view, self.value)


@register("zero", paper="-")
@dataclass(frozen=True, kw_only=True)
class Zero(Attack):
    """Rows of zeros: clients that do nothing.

    Shows: whether a rule notices clients that send nothing, and what they cost.
    """

    def forge(self, view: View) -> Updates:
        return _same(view, 0.0)


@register("non-finite", paper="-")
@dataclass(frozen=True, kw_only=True)
class NonFinite(Attack):
    """Rows of NaN or infinity: what a crashed, or a malicious, client sends.

    Shows: whether a NaN ends a run or reaches the model. Here no rule ever sees such a row.

    Args:
        value: "nan", "inf" or "-inf".

    Raises:
        ValueError: another value.
    """

    value: Literal["nan", "inf", "-inf"] = "nan"

    def __post_init__(self) -> None:
        if isinstance(self.value, float):  # as text they are read as numbers
            object.__setattr__(self, "value", str(self.value))
        super().__post_init__()

    def forge(self, view: View) -> Updates:
        return _same(view, float(self.value))


@register("free-rider", paper="Lin et al. 2019")
@dataclass(frozen=True, kw_only=True)
class FreeRider(Attack):
    """Send the server's last step back, as if it were the result of work; zeros in the first round.

    Lin, Du & Liu, "Free-riders in federated learning: attacks and defenses", 2019: the delta weights attack.

    Shows: whether clients that do no work are told from those that do; a question of fairness more than of harm.
    """

    def forge(self, view: View) -> Updates:
        if view.previous is None:
            return _same(view, 0.0)
        return Dense(view.previous.to(view.own.device).expand(view.own.n, -1))


def _same(view: View, value: float) -> Updates:
    """Rows with one value everywhere; no memory but that of a number."""
    number = torch.tensor(value, dtype=view.own.dtype, device=view.own.device)
    return Dense(number.expand(view.own.n, view.own.d))


def _normal(view: View) -> Tensor:
    shape = (view.own.n, view.own.d)
    device = view.own.device
    dtype = torch.promote_types(view.own.dtype, torch.float32)
    generator = view.context.generator("noise", device)
    return torch.randn(shape, generator=generator, dtype=dtype, device=device)
