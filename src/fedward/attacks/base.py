"""`Attack`: what byzantine clients send, from what they know."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, ClassVar, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from ..core import Context, Plan, State, Whole, neutral
from ..core.neutral import reproducible
from ..failures import ContractError
from ..registry.component import Component
from ..registry.parameters import parameters_of
from ..stack import Dense, Extended, Joined, Kernel, Rooted, Updates, as_updates, materialise, one_mix, parts


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What the adversary knows.

    Attributes:
        honest: the rows of the honest clients.
        own: what the byzantine clients would honestly send.
        context: round and random streams.
        decide: the defence's decision on a stack, if known; it is pure, and its memory is out of reach.
        previous: the server's last step, in the units and with the sign of the rows: (d,); None in the first round.
        state: what the attack remembers (`Attack.advance`).
        byzantine: every byzantine client, in order, also those that send nothing now; of none, those of ``own``.
    """

    honest: Updates
    own: Updates
    context: Context = field(default_factory=Context)
    decide: Callable[[Updates], Plan] | None = None
    previous: Tensor | None = None
    state: State = field(default_factory=dict)
    byzantine: Sequence[Hashable] = ()
    _stacks: dict[Any, Updates] = field(default_factory=dict, repr=False)

    @property
    def liars(self) -> list[Hashable]:
        """Every byzantine client, once and in order, whoever of them takes part in this round."""
        return list(dict.fromkeys((*self.byzantine, *map(client_of, self.own.ids))))

    def known(self, knows: str) -> Updates:
        """The rows that an attack of this knowledge uses, always the same stack, so that statistics are shared."""
        if knows == "honest":
            return self.honest
        if knows == "own":
            return self.own
        return self._stacks.setdefault("all", Joined(self.honest, self.own))

    def sent(self, forged: Updates) -> Updates:
        """What the server would get: the honest rows with the forged ones below them, as clients.

        Forged rows that are mixes of the same rows share what follows from inner products: a search costs one pass.
        """
        stack = Joined(self.honest, forged)
        lasting = {*parts(self.honest), *parts(self.own), *self._stacks.values()}
        # Rows that were made for this candidate alone (noise) are not kept for the next ones.
        known = self._stacks if parts(stack).keys() <= lasting else None
        return Rooted(one_mix(stack, known), (*self.honest.ids, *self.own.ids))

    def beside(self, knows: str, kernel: Kernel) -> Updates:
        """The known rows with one more below them that the kernel makes of their columns.

        The same stack for the same kernel: a search over mixes of it reads the data once.
        """
        key = (knows, kernel)
        if key not in self._stacks:
            self._stacks[key] = Extended(self.known(knows), kernel)
        return self._stacks[key]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """What a byzantine client trains on.

    Attributes:
        inputs, labels: samples, and what they are taught as.
        classes: how many the data have.
        member, members: it is the ``member``-th of ``members`` byzantine clients, in the order of `View.liars`; those
            count that are absent from this round, too, so that it stays so.
        client: its id, as of its rows (`client_of`); None where that is not known.
    """

    inputs: Tensor
    labels: Tensor
    classes: int
    member: int = 0
    members: int = 1
    client: Hashable | None = None


def client_of(id: Hashable) -> Hashable:
    """Whose row this is: in rounds of several classes ids are pairs of a client and a class."""
    return id[0] if isinstance(id, tuple) else id


Poison = TypeVar("Poison", bound=Callable[..., Batch])

_HARMLESS: set[Callable[..., Batch]] = set()
"""The `Attack.poison` of attacks that change no data, or have their parts do it."""


def hands_on(poison: Poison) -> Poison:
    """Say of an `Attack.poison` that it changes no data itself: at most it hands them on to an attack's parts."""
    _HARMLESS.add(poison)
    return poison


class Attack(Component):
    """A poisoning attack. Wherever it can be, a mix of the rows it knows, so that a search costs no pass over data."""

    kind: ClassVar[str] = "attack"
    traits_as_parameters: ClassVar[frozenset[str]] = frozenset({"knows"})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in parameters_of(type(self)):
            value = getattr(self, name)
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}; NonFinite sends what is not")

    @abstractmethod
    def forge(self, view: View) -> Updates:
        """The rows that the byzantine clients send instead of their own, lazily: one for each of their own."""

    def forged(self, view: View) -> Updates:
        """What `forge` returns.

        Raises:
            ContractError: that is not what it must be.
        """
        with reproducible(self, view.context, view.own.device):
            rows = self.forge(view)
        wanted = f"{view.own.n} rows of {view.own.d} columns, one for each row of view.own, as fedward.Updates"
        if not isinstance(rows, Updates):
            raise ContractError(f"the attack {self!r} forged {type(rows).__name__}; it must return {wanted}")
        if (rows.n, rows.d) != (view.own.n, view.own.d):
            raise ContractError(
                f"the attack {self!r} forged {rows.n} rows of {rows.d} columns; it must return {wanted}"
            )
        return rows

    def unsent(self, view: View) -> Updates | None:
        """Rows that it looks at and does not send, for the record (`fedward.attacks.Virtual`); None of most."""
        return None

    def played(self, context: Context) -> Attack:
        """The attack that is played in this round: another one where that is drawn or scheduled, else this one."""
        return self

    def acts(self, context: Context) -> bool:
        """Whether byzantine clients that take part in this round do anything but behave."""
        return True

    def advance(self, view: View, forged: Tensor) -> State:
        """What to remember, after the rows (m, d) were sent."""
        return view.state

    @hands_on
    def poison(self, batch: Batch, context: Context) -> Batch:
        """What a byzantine client makes of a batch of its data before it trains on it."""
        return batch

    def say(self, messages: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """What a byzantine client says besides its row, where it would honestly have said ``messages``."""
        return messages

    def present(self, context: Context) -> bool:
        """Whether the byzantine clients take part in this round."""
        return True

    def check(self, clients: Collection[Hashable], byzantine: Collection[Hashable]) -> None:
        """Raise ValueError if it cannot be played among these clients, of which those are byzantine."""
        return

    def aim(self, inputs: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor] | None:
        """Of test data, all or some, the samples that the attack is after, with the labels that it wants.

        None if it has no target, whatever the samples.
        """
        return None

    @overload
    def __call__(self, honest: np.ndarray, own: np.ndarray, *, context: Context | None = ...) -> np.ndarray: ...
    @overload
    def __call__(self, honest: Tensor, own: Tensor, *, context: Context | None = ...) -> Tensor: ...
    @neutral()
    def __call__(
        self, honest: Tensor | np.ndarray, own: Tensor | np.ndarray, *, context: Context | None = None
    ) -> Tensor | np.ndarray:
        """Forge rows: honest (h, d) and own (m, d) in, (m, d) out; NumPy in, NumPy out.

        Raises:
            ValueError: no honest row, no own row, or different numbers of columns.
        """
        view = View(
            honest=as_updates(honest, batch_norm=None),
            own=as_updates(own, batch_norm=None),
            context=context or Context(),
        )
        if view.honest.d != view.own.d:
            raise ValueError(f"honest rows have {view.honest.d} columns, own rows {view.own.d}; they must agree")
        rows = materialise(self.forged(view)).to(view.own.dtype)
        return rows.numpy() if isinstance(honest, np.ndarray) else rows


class CompoundAttack(Whole, Attack):
    """An attack made of others: it has the target of the first that has one.

    It uses honest rows alone if all of its parts do, own rows alone if all do that, else all.
    """

    @property
    @abstractmethod
    def parts(self) -> Sequence[Attack]:
        """Every attack that it is made of."""

    def aim(self, inputs: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor] | None:
        targets = (attack.aim(inputs, labels, classes) for attack in self.parts)
        return next((target for target in targets if target is not None), None)

    def check(self, clients: Collection[Hashable], byzantine: Collection[Hashable]) -> None:
        for attack in self.parts:
            attack.check(clients, byzantine)


class Around(CompoundAttack):
    """An attack around another one, ``inner``, which sees, poisons, speaks and remembers as it would alone."""

    inner: Attack

    @property
    def parts(self) -> Sequence[Attack]:
        return (self.inner,)

    def forge(self, view: View) -> Updates:
        return self.inner.forged(view)

    def unsent(self, view: View) -> Updates | None:
        return self.inner.unsent(view)

    def played(self, context: Context) -> Attack:
        inner = self.inner.played(context)
        return self if inner is self.inner else inner

    def acts(self, context: Context) -> bool:
        return self.inner.acts(context)

    def advance(self, view: View, forged: Tensor) -> State:
        return self.inner.advance(view, forged)

    @hands_on
    def poison(self, batch: Batch, context: Context) -> Batch:
        return self.inner.poison(batch, context)

    def say(self, messages: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        return self.inner.say(messages, context)

    def present(self, context: Context) -> bool:
        return self.inner.present(context)


def poisons(attack: Attack) -> bool:
    """Whether it changes the data that byzantine clients train on, or one that it is made of does."""
    if isinstance(attack, CompoundAttack) and any(map(poisons, attack.parts)):
        return True
    return type(attack).poison not in _HARMLESS


def mixable(own: Updates, finite: Sequence[bool]) -> Updates:
    """Own rows as attacks may mix them: zeros in the place of one with NaN, which would be in every mix."""
    if all(finite):
        return own
    return Dense(materialise(own).where(torch.tensor(finite, device=own.device)[:, None], 0), ids=own.ids)


def check_some(attacks: Collection[Any]) -> None:
    """Raise ValueError unless there is one."""
    if not attacks:
        raise ValueError("at least one attack is needed, got none")


def copies(stack: Updates, row: Tensor, m: int) -> Updates:
    """One mix of the stack's rows, (n,), sent m times."""
    return stack.mix(row.expand(m, -1))


def strayed(stack: Updates, gamma: float | Tensor, m: int) -> Updates:
    """The mean of all but the last row, minus gamma times that row: m rows, of one gamma or of one each, (m,)."""
    rows = mean_of(stack, extra=1).repeat(m, 1)
    rows[:, -1] = -gamma
    return stack.mix(rows)


def jittered(value: float, jitter: float, view: View) -> Tensor:
    """A parameter of each byzantine client, uniform between value - jitter and value + jitter: (m,).

    Every client draws once, by its id and the seed, and keeps what it drew in all rounds.
    """
    if not jitter:
        return torch.full((view.own.n,), value, dtype=torch.float64)
    lasting = replace(view.context, round=0)
    draws = [_draw(lasting.generator(f"jitter of {client!r}")) for client in map(client_of, view.own.ids)]
    return value + jitter * (2 * torch.tensor(draws, dtype=torch.float64) - 1)


def _draw(generator: torch.Generator) -> float:
    """Uniform in [0, 1)."""
    return float(torch.rand((), generator=generator, dtype=torch.float64))


def mean_of(stack: Updates, extra: int = 0) -> Tensor:
    """Weights of the mean of all but the last ``extra`` rows, whose weights are 0: (n,)."""
    n = stack.n - extra
    weights = torch.zeros(stack.n, dtype=torch.float64)
    weights[:n] = 1 / n
    return weights
