"""`Rule`, `Plan`: the decision, as data.

A rule looks at statistics of a stack and returns a `Plan`: weights of rows, or a kernel over columns. It touches no
data. `apply` is the one place where a rule meets a stack: it computes the statistics that the rule declares in a
single pass, keeps rows with NaN or Inf away from it, and carries out its plan in a second pass.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, overload

import numpy as np
from torch import Tensor

from ..failures import ContractError, MendableError
from ..registry.component import Component
from ..stack import SqNorms, Stack, Statistic, Updates, as_updates
from .context import Context, Messages, heard
from .evaluator import Evaluator, Once
from .neutral import neutral
from .plan import Plan
from .state import State


class BoundError(MendableError, ValueError):
    """Too few clients for what a rule claims to withstand."""


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
