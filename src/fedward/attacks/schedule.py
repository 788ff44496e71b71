"""Attacks made of attacks: one after another, drawn at random, one for each group of clients, from some round on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import reduce
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core import WHOLE, Context, State
from ..core.state import placed, within
from ..registry.bounds import Count, Natural
from ..registry.entries import register
from ..stack import Joined, Updates
from .base import Around, Attack, Batch, CompoundAttack, View, check_some, client_of, hands_on, poisons
from .forge import ALIE
from .optimised import MinMax
from .simple import NoAttack


# What these are made of comes without its name: `Schedule({0: ALIE()})`, `Groups([ALIE(), SignFlip()])`.
@dataclass(frozen=True)
class _Composite(CompoundAttack):
    """An attack that is another one in each round; every part keeps a memory and random streams of its own."""

    @abstractmethod
    def part(self, context: Context) -> tuple[str, Attack]:
        """The name and the attack of this round."""

    def _seen(self, view: View) -> tuple[str, Attack, View]:
        """The name and the attack of this round, and what that attack sees."""
        name, attack = self.part(view.context)
        return name, attack, narrowed(view, name)

    def forge(self, view: View) -> Updates:
        _, attack, seen = self._seen(view)
        return attack.forged(seen)

    def unsent(self, view: View) -> Updates | None:
        _, attack, seen = self._seen(view)
        return attack.unsent(seen)

    def played(self, context: Context) -> Attack:
        name, attack = self.part(context)
        return attack.played(context.fold(name))

    def acts(self, context: Context) -> bool:
        name, attack = self.part(context)
        return attack.acts(context.fold(name))

    def advance(self, view: View, forged: Tensor) -> State:
        name, attack, seen = self._seen(view)
        return placed(view.state, name, attack.advance(seen, forged))

    @hands_on
    def poison(self, batch: Batch, context: Context) -> Batch:
        name, attack = self.part(context)
        return attack.poison(batch, context.fold(name))

    def say(self, messages: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        name, attack = self.part(context)
        return attack.say(messages, context.fold(name))

    def present(self, context: Context) -> bool:
        name, attack = self.part(context)
        return attack.present(context.fold(name))


def narrowed(view: View, name: str) -> View:
    """The view of a part: its own memory and random streams, the same rows."""
    return replace(view, context=view.context.fold(name), state=within(view.state, name))


_BEFORE = NoAttack()  # what is played before a schedule begins


@register("schedule", paper="-", example={"attacks": {0: NoAttack(), 50: MinMax()}})
@dataclass(frozen=True)
class Schedule(_Composite):
    """One attack after another: each from its round on, until the next.

    ``Schedule({0: NoAttack(), 50: MinMax(), 80: NoAttack()})``: clients that behave at first, attack, and behave again.
    Before the first one they behave. Rounds are counted from 0.

    Shows: what a rule that remembers makes of clients that behave, attack, and behave again.

    Args:
        attacks: attacks by their first round; as text ``(0: no-attack | 50: min-max)``.

    Raises:
        ValueError: no attacks, or a negative round.
    """

    attacks: Mapping[int, Attack] | tuple[tuple[int, Attack], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        pairs = self.attacks.items() if isinstance(self.attacks, Mapping) else self.attacks
        check_some(pairs)
        starts = [start for start, _ in pairs]
        if min(starts) < 0 or len(set(starts)) < len(starts):
            raise ValueError(f"a schedule has attacks by their first round, 0 or later, each once, got {starts}")
        object.__setattr__(self, "attacks", tuple(sorted(pairs, key=lambda pair: pair[0])))

    def _pairs(self) -> tuple[tuple[int, Attack], ...]:
        assert isinstance(self.attacks, tuple)
        return self.attacks

    @property
    def parts(self) -> Sequence[Attack]:
        attacks = [attack for _, attack in self._pairs()]
        first, _ = self._pairs()[0]
        return attacks if first == 0 else [_BEFORE, *attacks]

    def part(self, context: Context) -> tuple[str, Attack]:
        begun = [(str(start), attack) for start, attack in self._pairs() if start <= context.round]
        return begun[-1] if begun else ("before", _BEFORE)


@register("random-schedule", paper="Xu et al. 2022", example={"attacks": (NoAttack(), ALIE())})
@dataclass(frozen=True)
class RandomSchedule(_Composite):
    """An attack drawn anew every so many rounds, all alike: SignGuard's time-varying experiment.

    Xu, Huang, Song & Lan, ICDCS 2022, section V: nine strategies, none included, redrawn every epoch.

    Shows: whether a rule holds when tactics change faster than it can settle on one.

    Args:
        attacks: to draw from; as text ``(no-attack | alie | min-max)``.
        every: rounds between draws, the paper's epoch (20 of its rounds).

    Raises:
        ValueError: no attacks, or every below 1.
    """

    attacks: Sequence[Attack]
    _: KW_ONLY
    every: Count = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some(self.attacks)

    @property
    def parts(self) -> Sequence[Attack]:
        return self.attacks

    def part(self, context: Context) -> tuple[str, Attack]:
        generator = replace(context, round=context.round // self.every).generator("attack")
        k = int(torch.randint(len(self.attacks), (), generator=generator))
        return str(k), self.attacks[k]


@register("groups", paper="-", example={"attacks": (ALIE(), NoAttack())})
@dataclass(frozen=True)
class Groups(CompoundAttack):
    """A different attack for each group of byzantine clients, at the same time.

    All byzantine clients are dealt to the groups in order, near-equally, the first ones larger; whoever is absent or
    late stays in the same group. A group knows the honest rows and its own, and of one that is not there in a round
    nothing is sent.

    Shows: what several tactics at the same time do to rules that expect one kind of outlier, or one group of
    colluders.

    Args:
        attacks: one for each group; as text ``(alie | sign-flip)``.

    Raises:
        ValueError: no attacks, or one that changes what clients say or when they take part.
    """

    attacks: Sequence[Attack]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some(self.attacks)
        for attack in self.attacks:
            if attack.traits().protocol:
                raise ValueError(
                    f"{attack!r} is for all byzantine clients at once, since they speak and stay away together: put it "
                    "around the groups"
                )

    @property
    def parts(self) -> Sequence[Attack]:
        return self.attacks

    def _members(self, m: int) -> list[Tensor]:
        """Which of m byzantine clients are in each group, of those that are not empty."""
        return [part for part in torch.tensor_split(torch.arange(m), len(self.attacks)) if len(part)]

    def _views(self, view: View) -> list[tuple[str, Attack, View, Tensor]]:
        """Of each group that sends anything its name, its attack, what it sees, and the places of its rows."""
        liars = view.liars
        senders = [client_of(id) for id in view.own.ids]
        groups = []
        for k, (members, attack) in enumerate(zip(self._members(len(liars)), self.attacks, strict=False)):
            dealt = [liars[i] for i in members.tolist()]
            rows = torch.tensor([i for i, client in enumerate(senders) if client in dealt], dtype=torch.int64)
            if len(rows):
                part = replace(narrowed(view, str(k)), own=view.own.take(rows), byzantine=dealt, _stacks={})
                groups.append((str(k), attack, part, rows))
        return groups

    def forge(self, view: View) -> Updates:
        views = self._views(view)
        forged = reduce(Joined, [attack.forged(part) for _, attack, part, _ in views])
        places = torch.cat([rows for *_, rows in views])
        # Rows are in the order of clients, as groups are, unless ids came in another one.
        return forged if bool((places.diff() > 0).all()) else forged.take(places.argsort())

    def unsent(self, view: View) -> Updates | None:
        looked_at = [attack.unsent(part) for _, attack, part, _ in self._views(view)]
        there = [rows for rows in looked_at if rows is not None]
        return reduce(Joined, there) if there else None

    def acts(self, context: Context) -> bool:
        return any(attack.acts(context.fold(str(k))) for k, attack in enumerate(self.attacks))

    def advance(self, view: View, forged: Tensor) -> State:
        state = view.state
        for name, attack, part, rows in self._views(view):
            state = placed(state, name, attack.advance(part, forged[rows]))
        return state

    @hands_on
    def poison(self, batch: Batch, context: Context) -> Batch:
        for k, (members, attack) in enumerate(zip(self._members(batch.members), self.attacks, strict=False)):
            first = int(members[0])
            if first <= batch.member <= int(members[-1]):
                place = replace(batch, member=batch.member - first, members=len(members))
                poisoned = attack.poison(place, context.fold(str(k)))
                return replace(poisoned, member=batch.member, members=batch.members)
        return batch


@register("sybils", paper="Fung et al. 2020")
@dataclass(frozen=True, kw_only=True)
class Sybils(Around):
    """Byzantine clients that join late: they take no part before a round, then they attack.

    Shows: whether memory by client, or a warm-up that is over, leaves the door open to those who join late.

    Args:
        inner: what they do then.
        join: their first round, counted from 0.
    """

    inner: Attack = field(default_factory=ALIE)
    join: Natural = 10
    declared = replace(WHOLE, protocol=True)

    def present(self, context: Context) -> bool:
        return context.round >= self.join and super().present(context)


@dataclass(frozen=True, kw_only=True)
class _Alarms(Around):
    """Byzantine clients say the same of SIREN's alarm in every round."""

    inner: Attack = field(default_factory=NoAttack)
    alarm: ClassVar[bool]
    declared = replace(WHOLE, protocol=True)

    def acts(self, context: Context) -> bool:
        return True  # what it says is a lie, whatever is sent

    def say(self, messages: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        return {**super().say(messages, context), "alarm": self.alarm}


@register("false-alarms", paper="Guo et al. 2021")
@dataclass(frozen=True, kw_only=True)
class FalseAlarms(_Alarms):
    """Byzantine clients raise SIREN's alarm in every round, whatever they send.

    Guo, Wang et al., "SIREN: Byzantine-robust federated learning via proactive alarming", SoCC 2021, section 5.

    Shows: whether a rule that hears alarms (`rules.SIREN`) is led by those who cry wolf.

    Args:
        inner: what they send.
    """

    alarm = True


@register("silent-alarms", paper="Guo et al. 2021")
@dataclass(frozen=True, kw_only=True)
class SilentAlarms(_Alarms):
    """Byzantine clients never raise SIREN's alarm, whatever they send and see.

    Shows: what becomes of a rule that hears alarms (`rules.SIREN`) when byzantine clients never raise one.

    Args:
        inner: what they send.
    """

    alarm = False


@register("virtual", paper="Xu et al. 2022")
@dataclass(frozen=True, kw_only=True)
class Virtual(Around):
    """Nobody attacks; what ``inner`` would have forged is looked at in the rounds that are tested, and not sent.

    The records of these rounds have the signs of the "virtual" rows beside those of the honest ones (`Record.signs`).
    Xu, Huang, Song & Lan, ICDCS 2022, figure 2.

    Shows: how alike honest and forged rows are in their signs, without disturbing the training.

    Args:
        inner: whose rows are looked at.

    Raises:
        ValueError: it remembers what it sent, poisons data, speaks or stays away: nothing is sent, and nobody acts.
    """

    inner: Attack = field(default_factory=ALIE)
    declared = replace(WHOLE, knows="own")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inner.traits().history:
            raise ValueError(f"{self.inner!r} remembers rows that it sent, and virtual rows are not sent: take another")
        if self.inner.traits().protocol or poisons(self.inner) or _aims(self.inner):
            raise ValueError(f"{self.inner!r} does more than send rows, and nobody acts here: take one of rows alone")

    def forge(self, view: View) -> Updates:
        return view.own

    def unsent(self, view: View) -> Updates | None:
        return self.inner.forged(view)

    def played(self, context: Context) -> Attack:
        return self  # nothing of it is sent, whatever it looks at

    def acts(self, context: Context) -> bool:
        return False


def _aims(attack: Attack) -> bool:
    """Whether an attack, or one that it is made of, is after some samples."""
    if isinstance(attack, CompoundAttack):
        return any(map(_aims, attack.parts))
    return type(attack).aim is not Attack.aim
