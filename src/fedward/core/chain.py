"""`Mixer`, `Chain`: what can stand before a rule, and the whole of it as a rule.

A mixer is a matrix M, decided from statistics; the rule after it sees M @ G, lazily. Statistics of mixed rows follow
from those of the rows beneath wherever they can, so a chain reads the data no more often than its rule does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, overload

import torch
from torch import Tensor

from ..registry.component import Component
from ..registry.traits import WHOLE, Traits, merged
from ..stack import MixedByClient, Statistic, Updates
from .compound import Compound
from .context import Context
from .linking import no_link
from .plan import Plan, how_many_said, noted
from .rule import BoundError, Rule
from .state import State, finite_copy

# Where a chain keeps it for its mixers. The rule's own entries stand beside it as they would without a chain, and not
# under a part's name: several mixers, or chains in chains, share the one copy.
_PREVIOUS = "previous aggregate"


class Mixer(Component):
    """A pre-aggregation: an (m, n) matrix M, decided from statistics; the rule then sees M @ G."""

    kind: ClassVar[str] = "mixer"

    def check(self, n: int) -> None:
        """Raise `BoundError` if n clients are too few for this mixer."""

    def rows(self, n: int) -> int:
        """How many rows come out for n that go in."""
        return n

    def note(self, n: int) -> str:
        """What the plan on n rows says of this mixer: f, where that is a share of them."""
        return how_many_said(getattr(self, "f", 0), n)

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        """The statistics that `matrix` will ask for."""
        return ()

    @abstractmethod
    def matrix(self, updates: Updates, context: Context) -> Tensor:
        """The mixing matrix: (m, n) float64."""

    def view(self, updates: Updates, context: Context) -> Updates:
        """The mixed stack, lazily."""
        M = self.matrix(updates, context)
        return MixedByClient(updates, M) if self.traits().keeps_clients else updates.mix(M)

    @overload
    def __rshift__(self, then: Rule) -> Chain: ...
    @overload
    def __rshift__(self, then: Mixer) -> Mixers: ...
    def __rshift__(self, then: Rule | Mixer) -> Chain | Mixers:
        # Chains are flat, so that however one was put together it is the same, random streams included.
        if isinstance(then, Chain):
            return Chain(mixer=self >> then.mixer, rule=then.rule)
        if isinstance(then, Rule):
            return Chain(mixer=self, rule=then)
        if isinstance(then, Mixer):
            return Mixers(parts=(*_parts(self), *_parts(then)))
        return no_link(then)


def _parts(mixer: Mixer) -> tuple[Mixer, ...]:
    return mixer.parts if isinstance(mixer, Mixers) else (mixer,)


class ScalingMixer(Mixer):
    """A mixer that only scales each row: M is diagonal, so signs and directions stay exact."""

    declared: ClassVar[Traits] = Traits(diagonal=True, keeps_clients=True)

    @abstractmethod
    def factors(self, updates: Updates, context: Context) -> Tensor:
        """How much to scale each row by: (n,) float64, at least 0."""

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        return torch.diag(self.factors(updates, context))

    def view(self, updates: Updates, context: Context) -> Updates:
        return updates.scale(self.factors(updates, context))


def _beneath(mixer: Mixer, statistics: Sequence[Statistic]) -> list[Statistic]:
    """The statistics of a stack from which those of the mixed stack follow."""
    diagonal = mixer.traits().diagonal
    before = (s.before(diagonal=diagonal) for s in statistics)
    return [s for s in before if s is not None]


@dataclass(frozen=True, kw_only=True)
class Mixers(Mixer):
    """One mixer after another: ``a >> b``."""

    parts: tuple[Mixer, ...]

    def traits(self) -> Traits:
        return self._merged

    @cached_property  # as in `Whole`
    def _merged(self) -> Traits:
        context = Context()
        whole = merged(WHOLE, *(part.traits() for part in self.parts))
        passes = whole.extra_passes
        for k, part in enumerate(self.parts):
            # What does not follow from the unmixed stack costs a pass over the rows as they are mixed by then.
            passes += len(self._beneath(k, context)) < len(part.statistics(context))
        return replace(whole, extra_passes=passes)

    def links(self) -> tuple[Mixer, ...]:
        return self.parts

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.parts))

    def check(self, n: int) -> None:
        for k, part in enumerate(self.parts):
            _check_after(self.parts[:k], part, n)

    def rows(self, n: int) -> int:
        for part in self.parts:
            n = part.rows(n)
        return n

    def note(self, n: int) -> str:
        said = []
        for part in self.parts:
            said.append(part.note(n))
            n = part.rows(n)
        return noted(*said)

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        found: list[Statistic] = []
        for k in range(len(self.parts)):
            found += self._beneath(k, context)
        return tuple(found)

    def _beneath(self, k: int, context: Context) -> Sequence[Statistic]:
        """The statistics of the unmixed stack from which those that part k reads follow."""
        statistics: Sequence[Statistic] = self.parts[k].statistics(context.fold(str(k)))
        for part in reversed(self.parts[:k]):
            statistics = _beneath(part, statistics)
        return statistics

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        M = torch.eye(updates.n, dtype=torch.float64)
        for k, part in enumerate(self.parts):
            M = part.matrix(updates, context.fold(str(k))) @ M
            updates = part.view(updates, context.fold(str(k)))
        return M

    def view(self, updates: Updates, context: Context) -> Updates:
        for k, part in enumerate(self.parts):
            updates = part.view(updates, context.fold(str(k)))
        return updates


@dataclass(frozen=True, kw_only=True)
class Chain(Compound):
    """A rule on mixed rows: ``mixer >> rule``."""

    mixer: Mixer
    rule: Rule
    declared: ClassVar[Traits] = replace(WHOLE, properties=frozenset({"columns"}))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rule.traits().by_client and not self.mixer.traits().keeps_clients:
            raise ValueError(
                f"{self.rule!r} uses the clients' ids, and after {self.mixer!r} rows stand for no single one: "
                "put a mixer there that keeps clients apart, such as NNM or ClipNorm"
            )

    def __repr__(self) -> str:
        return f"{self.mixer!r} >> {self.rule!r}"

    @property
    def parts(self) -> tuple[Rule, ...]:
        return (self.rule,)

    def traits(self) -> Traits:
        return self._with_mixer

    @cached_property  # as in `Whole`
    def _with_mixer(self) -> Traits:
        whole = super().traits()
        mixer = self.mixer.traits()
        passes = None
        if whole.passes is not None:
            # What follows from statistics of the rows beneath is read in their first pass; the rest takes one more.
            statistics = self.rule.statistics({}, Context())
            derived = len(_beneath(self.mixer, statistics)) == len(statistics)
            passes = mixer.extra_passes + whole.passes + (not derived)
        history, by_client = whole.history or mixer.history, whole.by_client or mixer.by_client
        return replace(whole, history=history, by_client=by_client, passes=passes)

    def links(self) -> tuple[Component, ...]:
        return (*_parts(self.mixer), self.rule)

    def check(self, n: int) -> None:
        self.mixer.check(n)
        _check_after(_parts(self.mixer), self.rule, n)

    def steps(self, n: int) -> float:
        return self.rule.steps(self.mixer.rows(n))

    def check_classes(self, rows: Mapping[int | None, int]) -> None:
        n = sum(rows.values())
        self.mixer.check(n)
        mixed = self.mixer.rows(n)
        if len(rows) == 1:  # mixed or not, they are of that class
            rows = dict.fromkeys(rows, mixed)
        elif not self.mixer.traits().keeps_clients:
            rows = {None: mixed}
        with _after(_parts(self.mixer), n):
            self.rule.check_classes(rows)

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        after = self.rule.statistics(state, self._after(context))
        return (*self.mixer.statistics(self._before(state, context)), *_beneath(self.mixer, after))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        mixed = self.mixer.view(updates, self._before(state, context))
        after = self._after(context)
        mixed.compute(*self.rule.statistics(state, after))  # what must be read is read together
        plan = self.rule.decide(mixed, state, after)
        said = self.mixer.note(updates.n)
        return replace(plan, note=noted(said, plan.note)) if said else plan

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        after = self.rule.advance(state, plan, output, self._after(context))
        if not self.mixer.traits().history:
            return after
        return {**after, _PREVIOUS: finite_copy(output)}

    def _after(self, context: Context) -> Context:
        """The rule's context. Mixed rows are numbered, and the class of client 3 is not that of the third of them."""
        within = context.fold("rule")
        if isinstance(context.group, Mapping) and not self.mixer.traits().keeps_clients:
            return replace(within, group={})
        return within

    def _before(self, state: State, context: Context) -> Context:
        return replace(context.fold("mixer"), previous=state.get(_PREVIOUS))


def _check_after(mixers: Sequence[Mixer], then: Rule | Mixer, n: int) -> None:
    rows = n
    for mixer in mixers:
        rows = mixer.rows(rows)
    with _after(mixers, n):
        then.check(rows)


@contextmanager
def _after(mixers: Sequence[Mixer], n: int) -> Iterator[None]:
    """Where too few rows are left by these mixers, the error says of how many clients they are."""
    try:
        yield
    except BoundError as error:
        if not mixers:
            raise
        raise BoundError(f"{error} ({n} clients after {' >> '.join(map(repr, mixers))})") from None


def reads(component: Component) -> tuple[str, ...]:
    """What a rule or a mixer reads at first, apart from the norms behind the finite check: names of statistics.

    "the whole stack" where that is the rows themselves, all at once (`Traits.in_memory`).
    """
    statistics: Sequence[Statistic] = ()
    if isinstance(component, Rule):
        statistics = component.statistics({}, Context())
    elif isinstance(component, Mixer):
        statistics = component.statistics(Context())
    names = [statistic.name for statistic in statistics]
    return tuple(dict.fromkeys([*names, *["the whole stack"] * component.traits().in_memory]))
