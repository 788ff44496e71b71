"""`Rule`, `Mixer`, `Plan`: the decision, as data.

A rule looks at statistics of a stack and returns a `Plan`: weights of rows, or a kernel over columns. It touches no
data. `apply` is the one place where a rule meets a stack: it computes the statistics that the rule declares in a
single pass, keeps rows with NaN or Inf away from it, and carries out its plan in a second pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Integral
from typing import Any, ClassVar, overload
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from .stack import Kernel, SqNorms, Stack, Statistic, Updates, as_updates

State = Mapping[str, Tensor]
"""What a rule remembers between rounds."""


class Reason(StrEnum):
    """Why a client was accepted or not."""

    ACCEPTED = "accepted"
    NONFINITE = "nonfinite"
    NORM_TOO_SMALL = "norm-too-small"
    NORM_TOO_LARGE = "norm-too-large"
    SIGN_OUTLIER = "sign-outlier"
    SPECTRAL_OUTLIER = "spectral-outlier"
    FAR = "far"
    NOT_SELECTED = "not-selected"


class BoundError(ValueError):
    """Too few clients for what a rule claims to withstand."""


@dataclass(frozen=True)
class Context:
    """What a decision may depend on besides the rows: the round, the seed, and what clients said.

    Random choices come from `generator`, which starts afresh at every call: deciding twice gives the same plan,
    and every rank of a distributed run draws the same numbers.
    """

    round: int = 0
    seed: int = 0
    messages: Mapping[Hashable, Any] = field(default_factory=dict)
    path: tuple[str, ...] = ()

    def fold(self, name: str) -> Context:
        """The same context with random streams of its own, for a part of a composition."""
        return Context(self.round, self.seed, self.messages, (*self.path, name))

    def draw_seed(self, name: str = "") -> int:
        """A seed for one purpose, by round, seed and name."""
        words = [self.seed, self.round, *(crc32(part.encode()) for part in (*self.path, name))]
        return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def generator(self, name: str = "", device: torch.device | str = "cpu") -> torch.Generator:
        """A fresh generator for one purpose."""
        return torch.Generator(device).manual_seed(self.draw_seed(name))


@dataclass(frozen=True, eq=False)
class Plan:
    """What to do with the rows: weigh them (``weights``) or run a kernel over their columns (``kernel``).

    ``updates`` is the stack that the weights or the kernel refer to, usually the one the rule was given, else a
    view of it. ``scores`` and ``reasons`` describe the rows of ``judged``, which is ``updates`` unless stated.
    Reasons count only for rows that end up without weight.
    """

    updates: Updates
    weights: Tensor | None = None
    kernel: Kernel | None = None
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    reasons: Sequence[Reason] | None = None
    judged: Updates | None = None

    def __post_init__(self) -> None:
        if (self.weights is None) == (self.kernel is None):
            raise ValueError("a plan has weights or a kernel, and not both")
        if self.weights is not None and self.weights.shape != (self.updates.n,):
            raise ValueError(f"{self.updates.n} rows need {self.updates.n} weights, got {tuple(self.weights.shape)}")

    def execute(self) -> Tensor:
        """The second pass: the (d,) output."""
        if self.weights is not None:
            return self.updates.combine(self.weights)
        assert self.kernel is not None
        return self.updates.columns(self.kernel)


@dataclass(frozen=True)
class Bound:
    """The fewest clients a rule works with, per_f * f + plus."""

    per_f: int = 0
    plus: int = 1

    def __str__(self) -> str:
        terms = [f"{self.per_f if self.per_f > 1 else ''}f"] if self.per_f else []
        terms += [str(self.plus)] if self.plus or not terms else []
        return "n >= " + " + ".join(terms)

    def minimum(self, f: int) -> int:
        """The fewest clients for this f."""
        return self.per_f * f + self.plus


class Component(ABC):
    """What rules, mixers and attacks share: a place in the catalogue, and parameters checked when made."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        f = getattr(self, "f", 0)
        if isinstance(f, bool) or not isinstance(f, Integral) or f < 0:
            raise ValueError(f"f counts byzantine clients, a whole number of at least 0, got {f!r}")


class Rule(Component):
    """An aggregation rule: statistics in, plan out.

    A subclass is a frozen dataclass with keyword-only parameters that overrides `decide`, states its ``bound``, and
    names the statistics it reads in `statistics`, so that they are computed in one pass with the finite check.
    """

    kind: ClassVar[str] = "rule"
    bound: ClassVar[Bound] = Bound()
    passes: ClassVar[int] = 2
    """Passes over the data at most: one for the statistics, one for the output."""
    properties: ClassVar[frozenset[str]] = frozenset({"permutation", "scale"})
    """Claims that `fedward.testing.check_rule` tries: permutation, translation, scale, columns, rotation,
    unanimity, mean (equal to Mean when f = 0), box (output within the range of each column)."""
    history: ClassVar[bool] = False
    """Whether decisions depend on earlier rounds."""

    def check(self, n: int) -> None:
        """Raise `BoundError` if n clients are too few for this rule."""
        f = getattr(self, "f", 0)
        if n < self.bound.minimum(f):
            formula = f"{self.bound} = " if self.bound.per_f else "n >= "
            raise BoundError(f"{self!r} needs {formula}{self.bound.minimum(f)} clients, got {n}")

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        """The statistics that `decide` will ask for."""
        return ()

    @abstractmethod
    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        """The decision; pure, and free of data passes when `statistics` is complete."""

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        """What to remember for the next round."""
        return state

    @overload
    def __call__(self, G: np.ndarray) -> np.ndarray: ...
    @overload
    def __call__(self, G: Tensor | Sequence[Any] | Updates) -> Tensor: ...
    def __call__(self, G: Stack) -> Tensor | np.ndarray:
        """Aggregate once, without memory: (n, d) in, (d,) out; NumPy in, NumPy out.

        Raises:
            BoundError: too few (finite) rows.
            ValueError, TypeError: not a stack of updates; see `fedward.stack.as_updates`.
        """
        output = apply(self, as_updates(G), {}, Context()).output
        return output.numpy() if isinstance(G, np.ndarray) else output


class Mixer(Component):
    """A pre-aggregation: an (m, n) matrix M, decided from statistics; the rule then sees M @ G."""

    kind: ClassVar[str] = "mixer"
    diagonal: ClassVar[bool] = False
    """Whether M is diagonal and at least 0."""
    passes: ClassVar[int] = 0
    """Passes over the data besides those of the rule that follows."""

    def check(self, n: int) -> None:
        """Raise `BoundError` if n clients are too few for this mixer."""

    def rows(self, n: int) -> int:
        """How many rows come out for n that go in."""
        return n

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        """The statistics that `matrix` will ask for."""
        return ()

    @abstractmethod
    def matrix(self, updates: Updates, context: Context) -> Tensor:
        """The mixing matrix: (m, n) float64."""

    def view(self, updates: Updates, context: Context) -> Updates:
        """The mixed stack, lazily."""
        return updates.mix(self.matrix(updates, context))

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
        return NotImplemented


def _parts(mixer: Mixer) -> tuple[Mixer, ...]:
    return mixer.parts if isinstance(mixer, Mixers) else (mixer,)


class ScalingMixer(Mixer):
    """A mixer that only scales each row: M is diagonal, so signs and directions stay exact."""

    diagonal: ClassVar[bool] = True

    @abstractmethod
    def factors(self, updates: Updates, context: Context) -> Tensor:
        """How much to scale each row by: (n,) float64, at least 0."""

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        return torch.diag(self.factors(updates, context))

    def view(self, updates: Updates, context: Context) -> Updates:
        return updates.scale(self.factors(updates, context))


def _beneath(mixer: Mixer, statistics: Sequence[Statistic]) -> list[Statistic]:
    """The statistics of a stack from which those of the mixed stack follow."""
    before = (s.before(diagonal=mixer.diagonal) for s in statistics)
    return [s for s in before if s is not None]


@dataclass(frozen=True, kw_only=True)
class Mixers(Mixer):
    """One mixer after another: ``a >> b``."""

    parts: tuple[Mixer, ...]

    @property
    def diagonal(self) -> bool:  # type: ignore[override]  # a class variable elsewhere; here it depends on the parts
        return all(part.diagonal for part in self.parts)

    @property
    def passes(self) -> int:  # type: ignore[override]
        context = Context()
        read = (len(self._beneath(k, context)) < len(part.statistics(context)) for k, part in enumerate(self.parts))
        return sum(read) + sum(part.passes for part in self.parts)

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.parts))

    def check(self, n: int) -> None:
        for k, part in enumerate(self.parts):
            _check_after(self.parts[:k], part, n)

    def rows(self, n: int) -> int:
        for part in self.parts:
            n = part.rows(n)
        return n

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        return tuple(s for k in range(len(self.parts)) for s in self._beneath(k, context))

    def _beneath(self, k: int, context: Context) -> Sequence[Statistic]:
        """The statistics of the unmixed stack from which those that part k reads follow."""
        statistics: Sequence[Statistic] = self.parts[k].statistics(context.fold(str(k)))
        for part in reversed(self.parts[:k]):
            statistics = _beneath(part, statistics)
        return statistics

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        M = torch.eye(updates.n, dtype=torch.float64)
        for k, part in enumerate(self.parts):
            M = part.matrix(updates.mix(M), context.fold(str(k))) @ M
        return M

    def view(self, updates: Updates, context: Context) -> Updates:
        for k, part in enumerate(self.parts):
            updates = part.view(updates, context.fold(str(k)))
        return updates


@dataclass(frozen=True, kw_only=True)
class Chain(Rule):
    """A rule on mixed rows: ``mixer >> rule``."""

    mixer: Mixer
    rule: Rule

    def __repr__(self) -> str:
        return f"{self.mixer!r} >> {self.rule!r}"

    @property
    def passes(self) -> int:  # type: ignore[override]  # as `Mixers.diagonal`
        statistics = self.rule.statistics({}, Context())
        derived = len(_beneath(self.mixer, statistics)) == len(statistics)
        return self.mixer.passes + self.rule.passes + (not derived)

    @property
    def history(self) -> bool:  # type: ignore[override]
        return self.rule.history

    @property
    def properties(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"columns"}) & self.rule.properties

    def check(self, n: int) -> None:
        self.mixer.check(n)
        _check_after(_parts(self.mixer), self.rule, n)

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        after = self.rule.statistics(state, context.fold("rule"))
        return (*self.mixer.statistics(context.fold("mixer")), *_beneath(self.mixer, after))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        mixed = self.mixer.view(updates, context.fold("mixer"))
        return self.rule.decide(mixed, state, context.fold("rule"))

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        return self.rule.advance(state, plan, output, context.fold("rule"))


def _check_after(mixers: Sequence[Mixer], then: Rule | Mixer, n: int) -> None:
    rows = n
    for mixer in mixers:
        rows = mixer.rows(rows)
    try:
        then.check(rows)
    except BoundError as error:
        if not mixers:
            raise
        raise BoundError(f"{error} ({n} clients after {' >> '.join(map(repr, mixers))})") from None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A plan carried out."""

    plan: Plan
    output: Tensor
    finite: Tensor
    state: State


def apply(rule: Rule, updates: Updates, state: State, context: Context) -> Outcome:
    """Statistics, finite guard, decision, output: at most ``rule.passes`` passes over the data.

    Raises:
        BoundError: too few rows, or too few without NaN or Inf.
    """
    rule.check(updates.n)
    sq_norms, *_ = updates.compute(SqNorms(), *rule.statistics(state, context))
    finite = sq_norms.isfinite()
    kept = int(finite.sum())
    if kept < updates.n:
        lost = f"{kept} of {updates.n} clients sent finite rows"
        if kept == 0:
            raise BoundError(f"every one of the {updates.n} clients sent NaN or Inf: keep the previous model")
        try:
            rule.check(kept)
        except BoundError as error:
            raise BoundError(f"{error} ({lost})") from None
        updates = updates.take(finite.nonzero().flatten())
    plan = rule.decide(updates, state, context)
    output = plan.execute()
    return Outcome(plan, output, finite, rule.advance(state, plan, output, context))


def smallest(scores: Tensor, k: int) -> Tensor:
    """Indices of the k smallest scores, best first; of equal ones the first row comes first.

    Scores within 1e-12 of their size of the next are equal: rounding must not decide between identical rows.
    """
    values, order = scores.double().sort(stable=True)
    gaps = values.diff() > 1e-12 * values[1:].abs()
    level = torch.cat([torch.zeros(1, dtype=torch.int64), gaps.long().cumsum(0)])
    rank = torch.empty_like(level).index_copy_(0, order, level)
    return rank.argsort(dim=0, stable=True)[:k]


def average_of(
    updates: Updates,
    rows: Tensor,
    *,
    scores: Mapping[str, Tensor] | None = None,
    reason: Reason = Reason.NOT_SELECTED,
) -> Plan:
    """The plan to average the rows at the given indices; the others get the given reason. No rows: the zero vector."""
    weights = torch.zeros(updates.n, dtype=torch.float64)
    weights[rows] = 1 / max(len(rows), 1)
    return Plan(updates, weights, scores=scores or {}, reasons=[reason] * updates.n)


def median(values: Tensor) -> float:
    """The middle value, or the mean of the two middle ones (`torch.median` returns the lower)."""
    ranked = values.double().sort().values
    return float((ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2)
