"""Attacks over time, which use what earlier rounds showed: Mimic, PoisonedFL, Repeat and ROP."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass, replace
from math import cos, radians, sin, sqrt
from zlib import crc32

import torch
from torch import Tensor

from ..core import State, Traits, finite_copy
from ..registry.bounds import Count, Natural, Positive, Share
from ..registry.entries import register
from ..registry.parameters import parameters_of
from ..stack import Dense, Updates, materialise, power_above
from .base import Attack, View, client_of, copies, mean_of
from .forge import z_or_greatest

_FIRST_ROUND = "first-round"


@register("mimic", paper="Karimireddy et al. 2022", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class Mimic(Attack):
    """All byzantine clients send a copy of one honest row, so that its peculiarities are counted many times.

    Whose: in the first ``warmup`` rounds t, mu <- (t mu + mean) / (1 + t), a = normalised
    sum_i ((g_i - mu) . z)(g_i - mu), z <- normalised (t z + a) / (1 + t), from a random z; the target is
    argmax_i g_i . z, the row that sticks out most along the direction of largest variance, and stays the last one
    chosen. Karimireddy, He & Jaggi, "Byzantine-robust learning on heterogeneous datasets via bucketing", ICLR 2022,
    section 3.2 and appendix.

    Later rows depend on what the server made of the first ones, so that two rules, or two models, may have different
    clients copied: to compare rules, fix the target. Whose row it is decides what the attack does: in a federation of
    5, a row and its 2 copies are a majority, and one whose data are rare or few decides for all.

    Shows: whether one honest client can be made to count many times: rows are genuine, and no test for outliers
    sees them. It is made for clients whose data differ.

    Args:
        warmup: rounds in which the direction is learned; 0 for the first honest row ever after.
        target: who is copied, by id, in every round; "first-round" for the one that is learned from the rows of the
            first round that is played, which in a simulation are the same whatever the rule is: argmax_i g_i . z with z
            the direction of largest variance itself, the eigenvector of sum_i (g_i - mean)(g_i - mean)^T of largest
            eigenvalue, turned towards a random direction of the seed; None to learn in ``warmup`` rounds. While the
            target is away, the first honest client of the round is copied.

    Raises:
        ValueError: the target is byzantine, or (`check`, asked before a simulation) no client.
    """

    warmup: Natural = 5
    target: int | str | None = None
    declared = Traits(history=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target is not None and self.warmup != parameters_of(Mimic)["warmup"].default:
            raise ValueError(
                f"with target={self.target!r} nothing is learned in warmup={self.warmup} rounds: leave it out"
            )

    def traits(self) -> Traits:
        return replace(self.declared, history=self.target in (None, _FIRST_ROUND))

    def check(self, clients: Collection[Hashable], byzantine: Collection[Hashable]) -> None:
        if self.target in (None, _FIRST_ROUND):
            return
        honest = [client for client in clients if client not in byzantine]
        if self.target not in honest:
            what = "byzantine" if self.target in byzantine else "no client"
            shown = ", ".join(map(repr, honest[:20])) + (", ..." if len(honest) > 20 else "")
            raise ValueError(f"Mimic copies an honest client, and target={self.target!r} is {what}: one of {shown}")

    def forge(self, view: View) -> Updates:
        if self._learning(view):
            target, *_ = self._learn(view)
        else:
            target = self._kept(view)
        return view.honest.take(torch.full((view.own.n,), target))

    def advance(self, view: View, forged: Tensor) -> State:
        if not self._learning(view):
            return view.state
        target, stack, mean, direction = self._learn(view)
        chosen = {
            "rounds": torch.tensor(_rounds(view) + 1),
            "target": torch.tensor(_name(client_of(view.honest.ids[target]))),
        }
        if self.target == _FIRST_ROUND:
            return chosen
        return {
            **chosen,
            "mean": finite_copy(stack.combine(mean)),
            "direction": finite_copy(stack.combine(direction)),
        }

    def _learning(self, view: View) -> bool:
        if self.target is None:
            return _rounds(view) < self.warmup
        return self.target == _FIRST_ROUND and _rounds(view) == 0

    def _kept(self, view: View) -> int:
        """The row of the client that is copied; the first one if that client is not there."""
        if self.target not in (None, _FIRST_ROUND):
            return self._place(view)
        if "target" not in view.state:
            return 0
        target = int(view.state["target"])
        names = [_name(client_of(id)) for id in view.honest.ids]
        if target not in names:  # in the memory of earlier versions it may be a client's row of one class
            names = [_name(id) for id in view.honest.ids]
        return names.index(target) if target in names else 0

    def _place(self, view: View) -> int:
        """The row of the client with the id that was given."""
        honest = [client_of(id) for id in view.honest.ids]
        if self.target in honest:
            return honest.index(self.target)
        byzantine = [client_of(id) for id in view.own.ids]
        if self.target in byzantine:
            self.check((*honest, *byzantine), byzantine)
        return 0

    def _learn(self, view: View) -> tuple[int, Updates, Tensor, Tensor]:
        """The target, and the new mean and direction as mixes of a stack: the rows, and mu and z below them."""
        t = _rounds(view)
        h = view.honest.n
        if t == 0:
            generator = replace(view.context, round=0).generator("direction")
            z = torch.randn(view.honest.d, generator=generator, dtype=torch.float32).to(view.honest.device)
            below = torch.stack([torch.zeros_like(z), z])
        else:
            below = torch.stack([view.state["mean"], view.state["direction"]])
        stack = view.honest.anchored(below)
        K = stack.gram()
        rows = torch.eye(h + 2, dtype=torch.float64)
        mean = (t * rows[h] + rows[:h].mean(0)) / (1 + t)
        away = rows[:h] - mean
        if self.target == _FIRST_ROUND:
            direction = _of_most_variance(away, rows[h + 1], K)
        else:
            a = _normalised((away @ K @ rows[h + 1]) @ away, K)
            # In the first round z is random, and not to be averaged with.
            direction = _normalised((t * rows[h + 1] + a) / (1 + t), K) if t > 0 else a
        return int((rows[:h] @ K @ direction).argmax()), stack, mean, direction


def _of_most_variance(away: Tensor, towards: Tensor, K: Tensor) -> Tensor:
    """The direction of largest variance, of the two the one that points towards a row: all as mixes of one stack.

    With A the rows away from their mean and c the eigenvector of A A^T of largest eigenvalue it is A^T c, normalised:
    where power iteration ends that starts from the row.
    """
    _, vectors = torch.linalg.eigh(away @ K @ away.T)
    direction = _normalised(vectors[:, -1] @ away, K)
    return -direction if float(direction @ K @ towards) < 0 else direction


def _name(client: Hashable) -> int:
    """A client as a number, since a memory is made of tensors."""
    return crc32(repr(client).encode())


def _normalised(mix: Tensor, K: Tensor) -> Tensor:
    length = float((mix @ K @ mix).clamp_min(0).sqrt())
    unit: Tensor = mix / length if length > 0 else mix
    return unit


def _rounds(view: View) -> int:
    return int(view.state.get("rounds", 0))


@register("poisonedfl", paper="Xie et al. 2025")
@dataclass(frozen=True, kw_only=True)
class PoisonedFL(Attack):
    """Push every parameter one fixed, random way, round after round, hidden in the size of the server's own steps.

    With s in {-1, 1}^d drawn once, H the server's last step and m the last row sent: v = |H - m |H| / |m||, normalised,
    all alike in the first round; all send c |H| v * s. Every ``every`` rounds c becomes 0.7 c, unless that is below
    0.5, if fewer parameters moved along s than the 99% quantile of Binomial(d, 1/2). It needs no knowledge of other
    clients. Xie, Fang & Gong, "Model poisoning attacks to federated learning via multi-round consistency", CVPR
    2025.

    Shows: what the same small push does round after round, each of which looks harmless, by attackers who know
    nothing of other clients.

    Args:
        c: size of the rows in units of the server's steps.
        every: rounds between two looks at the progress.

    Raises:
        ValueError: c not positive.
    """

    c: Positive = 8.0
    every: Count = 50
    declared = Traits(history=True)

    def forge(self, view: View) -> Updates:
        return Dense(self._row(view).expand(view.own.n, -1))

    def _row(self, view: View) -> Tensor:
        H = view.previous
        if H is None:
            return torch.zeros(view.own.d, dtype=view.own.dtype, device=view.own.device)
        unit = float(power_above(H.abs().amax()))  # divided by it no square overflows or vanishes
        H = H / unit
        size = H.norm()
        if "sent" in view.state and float(view.state["sent"].norm()) > 0:
            sent = view.state["sent"]
            sent = sent / float(power_above(sent.abs().amax()))
            v = (H - sent * (size / sent.norm())).abs()
            v = v / v.norm() if float(v.norm()) > 0 else v
        else:
            v = torch.full_like(H, 1 / sqrt(len(H)))
        row: Tensor = float(view.state.get("c", self.c)) * size * v * self._signs(view).to(H)
        return finite_copy(row * unit)

    def _signs(self, view: View) -> Tensor:
        generator = replace(view.context, round=0).generator("signs")
        return torch.randint(0, 2, (view.own.d,), generator=generator) * 2 - 1

    def advance(self, view: View, forged: Tensor) -> State:
        if view.previous is None:
            return view.state
        rounds = _rounds(view) + 1
        c = float(view.state.get("c", self.c))
        moved = view.state.get("moved", torch.zeros_like(view.previous)) + view.previous
        if rounds % self.every == 0:
            from scipy.stats import binom

            along = int((moved.sign() == self._signs(view).to(moved)).sum())
            if along < binom.ppf(0.99, len(moved), 0.5) and 0.7 * c >= 0.5:
                c *= 0.7
            moved = torch.zeros_like(moved)
        # The row is worked out once more: what was sent may have lost precision.
        return {
            "sent": self._row(view),
            "c": torch.tensor(c, dtype=torch.float64),
            "moved": finite_copy(moved),
            "rounds": torch.tensor(rounds),
        }


@register("repeat", paper="-")
@dataclass(frozen=True, kw_only=True)
class Repeat(Attack):
    """Some byzantine clients send the same row in every round; the others behave.

    It is the row that the first of them would have sent when it first took part. They are the first ones that take
    part, and stay so: where only some clients are drawn for a round, nobody else stands in for them, and rounds
    without them are honest. No single round shows anything. But
    what never changes is predicted without error: `FLDetector`, which suspects whom it cannot predict, keeps such a
    client and leaves everybody else out.

    Shows: whether a rule that predicts clients from their past is fooled by one that never changes.

    Args:
        clients: how many, the first ones that take part, at least 1.

    Raises:
        ValueError: clients below 1.
    """

    clients: Count = 1
    declared = Traits(history=True)

    def forge(self, view: View) -> Updates:
        m = view.own.n
        chosen = self._chosen(view)
        who = torch.tensor([m if name in chosen else i for i, name in enumerate(_senders(view))])
        return view.own if bool((who < m).all()) else view.own.anchored(self._row(view)).take(who)

    def advance(self, view: View, forged: Tensor) -> State:
        return {"row": self._row(view), "clients": torch.tensor(self._chosen(view))}

    def _chosen(self, view: View) -> list[int]:
        """Who repeats, by name: those of earlier rounds, then as many more of those present as are wanted."""
        known = view.state["clients"].tolist() if "clients" in view.state else []
        return list(dict.fromkeys((*known, *_senders(view))))[: self.clients]

    def _row(self, view: View) -> Tensor:
        if "row" in view.state:
            return view.state["row"]
        return finite_copy(materialise(view.own.take(torch.arange(1)))[0])


def _senders(view: View) -> list[int]:
    """Whose the byzantine rows are, by name."""
    return [_name(client_of(id)) for id in view.own.ids]


@register("rop", paper="Ozfatura et al. 2023")
@dataclass(frozen=True, kw_only=True)
class ROP(Attack):
    """Relocated orthogonal perturbation: start from the server's last step, and step aside from where training goes.

    With H the server's last step and mu the honest mean, the row is a + z (sin(angle) p + cos(angle) u / |u|), where
    a = relocate H + (1 - relocate) mu, u = reference H + (1 - reference) mu, and p is the part of (1, ..., 1)
    orthogonal to u, normalised. In the first round H is 0 and u is mu. Made against `CenteredClipping`,
    which measures distances from H. Ozfatura, Ozfatura, Kupcu & Gunduz, "Byzantines can also learn from history: fall
    of centered clipping in federated learning", IEEE TIFS 2024, as their library has it (angle 270 there, 90 here).

    Shows: how far rows that stay near the server's last step, but askew, lead a rule that measures from there.

    Args:
        z: length of the perturbation; None for z_max of `alie_z`, which their library takes.
        relocate: 1 to start from the server's last step, 0 from the honest mean.
        reference: share of the server's last step in what the perturbation is orthogonal to.
        angle: in degrees; 90 is orthogonal, 180 straight against the reference.

    Raises:
        ValueError: a share outside 0 to 1; z=None where z_max is infinite.
    """

    z: float | None = 1.0
    relocate: Share = 1.0
    reference: Share = 0.9
    angle: float = 90.0

    def forge(self, view: View) -> Updates:
        z = z_or_greatest(self.z, view)
        ones = torch.ones(view.honest.d, dtype=view.honest.dtype, device=view.honest.device)
        last = torch.zeros_like(ones) if view.previous is None else view.previous.to(ones)
        stack = view.honest.anchored(torch.stack([last, ones]))
        K = stack.gram()
        mean = mean_of(stack, extra=2)
        H, side = torch.eye(stack.n, dtype=torch.float64)[-2:]
        share = 0.0 if view.previous is None else self.reference
        u = _normalised(share * H + (1 - share) * mean, K)
        p = _normalised(side - (side @ K @ u) * u, K)
        turned = sin(radians(self.angle)) * p + cos(radians(self.angle)) * u
        return copies(stack, self.relocate * H + (1 - self.relocate) * mean + z * turned, view.own.n)
