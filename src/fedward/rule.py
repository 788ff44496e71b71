"""`Rule`, `Plan`: the decision, as data.

A rule looks at statistics of a stack and returns a `Plan`: weights of rows, or a kernel over columns. It touches no
data. `apply` is the one place where a rule meets a stack: it computes the statistics that the rule declares in a
single pass, keeps rows with NaN or Inf away from it, and carries out its plan in a second pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, overload
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from .evaluator import Evaluator, Once
from .failures import ContractError, MendableError
from .guard import neutral
from .parameters import check_parameters
from .stack import Kernel, SqNorms, Stack, Statistic, Updates, as_updates

State = Mapping[str, Tensor]
"""What a rule remembers between rounds."""

Messages = Mapping[Hashable, Any]
"""What clients say besides their rows, by id."""

EXAMPLES = "num-examples"
"""Under what name a client says how many samples it has, as in Flower."""


class Reason(StrEnum):
    """Why a client was accepted or not."""

    ACCEPTED = "accepted"
    NONFINITE = "nonfinite"
    OVERFLOW = "overflow"
    MALFORMED = "malformed"
    NORM_TOO_SMALL = "norm-too-small"
    NORM_TOO_LARGE = "norm-too-large"
    SIGN_OUTLIER = "sign-outlier"
    DIRECTION_OUTLIER = "direction-outlier"
    SPECTRAL_OUTLIER = "spectral-outlier"
    DISTRUSTED = "distrusted"
    HARMFUL = "harmful"
    INACCURATE = "inaccurate"
    FALSE_ALARM = "false-alarm"
    NO_ALARM = "no-alarm"
    NO_EXAMPLES = "no-examples"
    BANNED = "banned"
    FAR = "far"
    NOT_SELECTED = "not-selected"


class BoundError(MendableError, ValueError):
    """Too few clients for what a rule claims to withstand."""


@dataclass(frozen=True)
class Context:
    """What a decision may depend on besides the rows: the round, the seed, what clients said, the server's own data.

    Random choices come from `generator`, which starts afresh at every call: deciding twice gives the same plan,
    and every rank of a distributed run draws the same numbers. ``previous`` is the last aggregate, for mixers; rules
    keep what they need in their state. ``group`` is the class that this round is about, where rounds have one (DeSGD);
    for rounds of several, the class of each row by its id. ``rounds_per_epoch`` is how many rounds go through the
    samples of a client that takes part in them, where that is known.
    """

    round: int = 0
    seed: int = 0
    messages: Messages = field(default_factory=dict)
    path: tuple[str, ...] = ()
    evaluator: Evaluator | None = None
    previous: Tensor | None = None
    group: int | Mapping[Hashable, int] | None = None
    rounds_per_epoch: float | None = None

    def fold(self, name: str) -> Context:
        """The same context with random streams of its own, for a part of a composition."""
        return replace(self, path=(*self.path, name))

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
    Reasons count only for rows that end up without weight. ``note`` says in a word or two how the whole round was
    decided, where a rule has several ways.
    """

    updates: Updates
    weights: Tensor | None = None
    kernel: Kernel | None = None
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    reasons: Sequence[Reason] | None = None
    judged: Updates | None = None
    note: str = ""

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
        check_parameters(self)


class Rule(Component):
    """An aggregation rule: statistics in, plan out.

    A subclass is a frozen dataclass with keyword-only parameters that overrides `decide`, states its ``bound``, and
    names the statistics it reads in `statistics`, so that they are computed in one pass with the finite check.
    """

    kind: ClassVar[str] = "rule"
    bound: ClassVar[Bound] = Bound()
    passes: ClassVar[int | None] = 2
    """Passes over the data at most: one for the statistics, one for the output. None where it grows with n."""
    properties: ClassVar[frozenset[str]] = frozenset({"permutation", "scale"})
    """Claims that `fedward.testing.check_rule` tries: permutation, translation, scale, columns, rotation,
    unanimity, mean (equal to Mean when f = 0), box (output within the range of each column), breakdown (colluders up to
    `withstands`, whatever they send, leave the output near the others). Where rows that differ tie in all that a rule
    looks at, as rows of signs alone do in their norms, the first ones count, whatever is claimed of permutations."""
    history: ClassVar[bool] = False
    """Whether decisions depend on earlier rounds."""
    root_data: ClassVar[bool] = False
    """Whether decisions need the server's own data, through `Context.evaluator`."""
    by_client: ClassVar[bool] = False
    """Whether it goes by the clients' ids: memory per client, a client trusted by name."""
    server_rows: ClassVar[bool] = False
    """Whether the output holds something besides the clients' rows: a previous aggregate, noise."""
    recorded: ClassVar[tuple[str, ...]] = ()
    """Names of scores that a run's records keep."""

    def check(self, n: int) -> None:
        """Raise `BoundError` if n clients are too few for this rule."""
        f = getattr(self, "f", 0)
        if n < self.bound.minimum(f):
            formula = f"{self.bound} = " if self.bound.per_f else "n >= "
            raise BoundError(f"{self!r} needs {formula}{self.bound.minimum(f)} clients, got {n}")

    def withstands(self, n: int) -> int:
        """How many of n rows may be anything while the output stays near the others, by the claim "breakdown"."""
        return getattr(self, "f", 0)

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
    def __call__(  # type: ignore[overload-overlap]  # an array is an iterable as well
        self, G: np.ndarray, *, messages: Messages | None = ..., evaluator: Evaluator | None = ...
    ) -> np.ndarray: ...
    @overload
    def __call__(
        self,
        G: Tensor | Iterable[Any] | Updates,
        *,
        messages: Messages | None = ...,
        evaluator: Evaluator | None = ...,
    ) -> Tensor: ...
    @neutral()
    def __call__(
        self, G: Stack, *, messages: Messages | None = None, evaluator: Evaluator | None = None
    ) -> Tensor | np.ndarray:
        """Aggregate once, without memory: (n, d) in, (d,) out; NumPy in, NumPy out.

        Args:
            G: the stack.
            messages: what clients sent besides their rows, by id; rows without names are 0 to n - 1.
            evaluator: the server's own data, for rules that judge by it.

        Raises:
            BoundError: too few (finite) rows.
            ValueError, TypeError: not a stack of updates; see `fedward.stack.as_updates`.
            ValueError: the rule needs root data and no evaluator is given.
        """
        updates = as_updates(G)
        context = Context(messages=heard({} if messages is None else messages, updates), evaluator=evaluator)
        output = apply(self, updates, {}, context).output
        return output.numpy() if isinstance(G, np.ndarray) else output


def heard(messages: Messages, updates: Updates) -> Messages:
    """Messages, with the numbers of examples that came with updates, unless a message has that key itself.

    Raises:
        TypeError: no mapping of clients.
    """
    if not isinstance(messages, Mapping):
        raise TypeError(
            f"messages are what clients said, by id, {{0: {{{EXAMPLES!r}: 250}}, ...}}; got {type(messages).__name__}: "
            "hand over dict(zip(ids, messages))"
        )
    if not updates.agreed or not updates.agreed.examples:
        return messages
    all_said = dict(messages)
    for name, examples in updates.agreed.examples.items():
        said = all_said.get(name)
        all_said[name] = {EXAMPLES: examples, **(said if isinstance(said, Mapping) else {})}
    return all_said


@dataclass(frozen=True, eq=False)
class Outcome:
    """A plan carried out."""

    plan: Plan
    output: Tensor
    finite: Tensor
    state: State


@neutral()
def apply(rule: Rule, updates: Updates, state: State, context: Context) -> Outcome:
    """Statistics, finite guard, decision, output: at most ``rule.passes`` passes over the data.

    Raises:
        BoundError: too few rows, or too few without NaN or Inf.
        ValueError: the rule needs root data and the context has no evaluator.
        ContractError: the rule decided on something that is no plan.
    """
    rule.check(updates.n)
    if rule.root_data and context.evaluator is None:
        raise ValueError(
            f"{rule!r} judges clients by data of the server's own: pass evaluator=fedward.RootEvaluator(...) to the "
            "aggregator, or root=... to a Simulation"
        )
    if context.evaluator is not None:
        context = replace(context, evaluator=Once(context.evaluator))
    sq_norms, *_ = updates.compute(SqNorms(), *rule.statistics(state, context))
    finite = sq_norms.isfinite()
    kept = int(finite.sum())
    if kept < updates.n:
        lost = f"{kept} of {updates.n} clients sent finite rows"
        if kept == 0:
            raise BoundError(
                f"every one of the {updates.n} clients sent NaN or Inf, or a norm beyond 1e154: keep the previous model"
            )
        try:
            rule.check(kept)
        except BoundError as error:
            raise BoundError(f"{error} ({lost})") from None
        updates = updates.take(finite.nonzero().flatten())
    plan = rule.decide(updates, state, context)
    if not isinstance(plan, Plan):
        raise ContractError(
            f"the rule {rule!r} decided on {type(plan).__name__}; it must return fedward.Plan(updates, weights), or "
            "fedward.average_of(updates, rows)"
        )
    output = plan.execute()
    return Outcome(plan, output, finite, rule.advance(state, plan, output, context))


def stumbled(rule: Rule, error: Exception) -> str:
    """Why a round was skipped that made its rule raise something unforeseen."""
    return f"{rule!r} raised {type(error).__name__}: {error}"


def smallest(scores: Tensor, k: int, *then: Tensor) -> Tensor:
    """Indices of the k smallest scores, best first; of equal ones those smallest by ``then``, or else the first rows.

    Numbers within 1e-12 of their size of the next are equal: rounding must not decide between identical rows.
    """
    order = torch.arange(len(scores))
    for key in reversed((scores, *then)):
        order = order[levels(key)[order].argsort(stable=True)]
    return order[:k]


def levels(values: Tensor) -> Tensor:
    """The rank of each number among those that differ, 0 for the smallest, as `smallest` tells them apart: (n,)."""
    ranked, order = values.double().sort(stable=True)
    slack = torch.where(ranked.isfinite(), 1e-12 * ranked.abs(), 0.0)
    gaps = ranked[1:] > ranked[:-1] + slack[1:].minimum(slack[:-1])
    level = torch.cat([torch.zeros(1, dtype=torch.int64), gaps.long().cumsum(0)])
    return torch.empty_like(level).index_copy_(0, order, level)


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
