"""`Rule`: from a stack to a decision, as data; and `apply`, which carries it out.

A rule looks at statistics of a stack and returns a `Plan`: weights of rows, or a kernel over columns. It touches no
data. `apply` is the one place where a rule meets a stack: it computes the statistics that the rule declares in a
single pass, keeps rows with NaN or Inf away from it, and carries out its plan in a second pass.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from ..failures import ContractError, MendableError
from ..registry.component import Component
from ..registry.traits import Traits
from ..stack import (
    RowsLostError,
    RowSource,
    SqNorms,
    Stack,
    Statistic,
    Unread,
    Updates,
    as_updates,
    lost_rows,
    output_beside_norms,
)
from .context import Context, Messages, heard
from .evaluator import Evaluator, Once
from .linking import linked
from .neutral import neutral, reproducible
from .plan import M, Plan, how_many, how_many_said, noted
from .state import State

T = TypeVar("T")

BEYOND = "beyond the bound of its theorem"
"""What a plan says that was decided on fewer rows than the theorem about its rule needs."""


class BoundError(MendableError, ValueError):
    """Too few clients for what a rule claims to withstand."""


class CostWarning(UserWarning):
    """A decision will take minutes or more."""


_MANY_STEPS = 1e11


class Rule(Component, Generic[M]):
    """An aggregation rule: statistics in, plan out.

    A subclass is a frozen dataclass with keyword-only parameters that overrides `decide`, declares its
    `Traits`, and names the statistics it reads in `statistics`, so that they are computed in one pass with the finite
    check.

    Examples:
        >>> from dataclasses import dataclass
        >>> import torch
        >>> import fedward as fw
        >>> @dataclass(frozen=True, kw_only=True)
        ... class ShortRows(fw.Rule):
        ...     f: int
        ...     def decide(self, updates, state, context):
        ...         return fw.average_of(updates, fw.smallest(updates.norms(), updates.n - self.f))
        >>> ShortRows(f=1)(torch.tensor([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]))
        tensor([0.5000, 0.5000])
    """

    kind: ClassVar[str] = "rule"

    def check(self, n: int) -> None:
        """Raise `BoundError` if n clients are too few for this rule."""
        bound = self.traits().bound
        f = self.f_of(n)
        fewest = bound.minimum(f)
        if n >= fewest:
            return
        formula = f"{bound} = " if bound.per_f else "n >= "
        said = how_many_said(getattr(self, "f", 0), n)
        definition = self.declared.definition
        remedy = ""
        if definition is not None and n >= definition.minimum(f):
            remedy = f" ({definition} = {definition.minimum(f)} with bound='definition')"
        got = f"got {n}" + (f" ({said})" if said else "") + bound.allowed(n)
        raise BoundError(f"{self!r} needs {formula}{fewest} clients{remedy}, {got}")

    def f_of(self, n: int) -> int:
        """How many of n rows are byzantine at most, as the parameter f says it, if there is one: see `how_many`."""
        return how_many(getattr(self, "f", 0), n)

    def check_classes(self, rows: Mapping[int | None, int]) -> None:
        """Raise `BoundError` if a round with so many rows of each class is too small for this rule.

        Rows are counted by class, `Context.group`; those that a mixer made of several clients' are nobody's, and stand
        under None.
        """
        self.check(sum(rows.values()))

    def check_clients(self, clients: int, answers: int | None = None) -> None:
        """Raise `BoundError` if it would wait forever for more rows than so many clients have, which is all of them.

        In rounds of classes these are the clients that hold a class; ``answers`` is how many answer in a round at most,
        where that is known.

        A rule that decides on the rows of a round waits for none.
        """

    def traits(self) -> Traits:
        """What others must know of it; its bound is the one that its parameter ``bound`` names, if it has one."""
        traits = super().traits()
        if traits.definition is None or getattr(self, "bound", "theorem") == "theorem":
            return traits
        return replace(traits, bound=traits.definition)

    def beyond(self, n: int) -> str:
        """What a plan on n rows says, as its note, where they are fewer than the rule's theorem needs; else nothing."""
        declared = self.declared
        if declared.definition is None or n >= declared.bound.minimum(self.f_of(n)):
            return ""
        return BEYOND

    def note(self, n: int) -> str:
        """What a plan on n rows says, as its note: f, where that is a share of them, and what `beyond` says."""
        return noted(how_many_said(getattr(self, "f", 0), n), self.beyond(n))

    def withstands(self, n: int) -> int:
        """How many of n rows may be anything while the output stays near the others, by the claim "breakdown".

        None of fewer rows than the rule's theorem needs.
        """
        return 0 if self.beyond(n) else self.f_of(n)

    def most_accepted(self, n: int) -> int:
        """How many of n rows a rule that drops some (`Traits.selects`) accepts at most."""
        return n

    def steps(self, n: int) -> float:
        """About how many elementary steps `decide` takes on n rows, where they are more than a few n^2; else 0."""
        return 0

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        """The statistics that `decide` will ask for."""
        return ()

    @abstractmethod
    def decide(self, updates: Updates, state: State, context: Context) -> Plan[M]:
        """The decision; pure, and free of data passes when `statistics` is complete."""

    def advance(self, state: State, plan: Plan[M], output: Tensor, context: Context) -> State:
        """What to remember for the next round; ``plan`` is what `decide` returned, its ``memo`` included."""
        return state

    @overload
    def __rshift__(self, then: Rule) -> Rule: ...
    @overload
    def __rshift__(self, then: Any) -> Any: ...
    def __rshift__(self, then: Any) -> Any:
        """``rule >> then``: what follows on the rows that this rule accepts, see `Filtered`."""
        return linked(then, self)

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
        output = updates.placed(apply(self, updates, {}, context).output)
        return output.numpy() if isinstance(G, np.ndarray) else output


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """A plan carried out."""

    plan: Plan
    output: Tensor
    finite: Tensor
    state: State


@dataclass(frozen=True, eq=False, kw_only=True)
class Decided:
    """A plan that nobody has carried out yet, and which rows were finite."""

    plan: Plan
    finite: Tensor


@neutral()
def apply(rule: Rule, updates: Updates, state: State, context: Context, *, trimmed: bool = False) -> Outcome:
    """Statistics, finite guard, decision, output: at most ``rule.traits().passes`` passes over the data.

    ``trimmed`` takes one more of a rule that trims columns, and has it say how much of each row (`Plan.with_trimmed`).

    Raises:
        BoundError: too few rows, or too few without NaN or Inf.
        ValueError: the rule needs root data and the context has no evaluator.
        ContractError: the rule decided on something that is no plan.
    """

    def carried_out(lost: Tensor) -> Outcome:
        foreseen = None if bool(lost.any()) else _foreseen(rule, updates, state, ready)
        decided = _decided(rule, updates, state, ready, lost)
        plan = decided.plan.with_trimmed() if trimmed else decided.plan
        output = plan.execute() if foreseen is None or not bool(decided.finite.all()) else foreseen
        with reproducible(rule, ready, updates.device):
            after = rule.advance(state, plan, output, ready)
        return Outcome(plan=plan, output=output, finite=decided.finite, state=after)

    with updates.share.together():
        ready = _ready(rule, updates, context)
        return _without_lost(updates, carried_out)


@neutral()
def decide_on(rule: Rule, updates: Updates, state: State, context: Context) -> Decided:
    """Statistics, finite guard, decision: what `apply` does before the pass for the output.

    Raises:
        BoundError, ValueError, ContractError: as `apply`.
    """
    with updates.share.together():
        ready = _ready(rule, updates, context)
        return _without_lost(updates, lambda lost: _decided(rule, updates, state, ready, lost))


def asked(rule: Rule, updates: Updates, state: State, context: Context) -> Plan:
    """What a rule decides; what a class of the user's own draws from global generators follows from the context."""
    with reproducible(rule, context, updates.device):
        return rule.decide(updates, state, context)


def _ready(rule: Rule, updates: Updates, context: Context) -> Context:
    """The context for a decision, where there are rows enough and what the rule needs."""
    rule.check(updates.n)
    _warn_of(rule, updates.n)
    if rule.traits().root_data and context.evaluator is None:
        raise ValueError(
            f"{rule!r} judges clients by data of the server's own: pass evaluator=fedward.RootEvaluator(...) to the "
            "aggregator, or root=... to a Simulation"
        )
    if context.evaluator is not None:
        context = replace(context, evaluator=Once(context.evaluator, updates.share))
    return context


def _warn_of(rule: Rule, n: int) -> None:
    """Say it beforehand where a decision will take minutes or more, whatever the number of columns."""
    steps = rule.steps(n)
    if steps > _MANY_STEPS:
        warnings.warn(
            f"{rule!r} takes about {steps:.0e} steps for {n:,} rows, and there are about 1e+11 in a minute: take one "
            "that compares fewer rows at a time, hierarchical:base=... in groups, or MultiKrum",
            CostWarning,
            stacklevel=2,
        )


def _without_lost(updates: Updates, work: Callable[[Tensor], T]) -> T:
    """What comes of the rows that are not lost meanwhile; the work is told which are, (n,) bool."""
    # Statistics of an earlier call may be from before a row was lost. Rows that one of several processes lost are an
    # error on all of them.
    lost = lost_rows(updates) if updates.share.alone else torch.zeros(updates.n, dtype=torch.bool)
    while True:  # until no file has changed while its rows were read; each time there are fewer rows
        try:
            done = work(lost)
            updates.check_unwritten()
            return done
        except RowsLostError as error:
            lost |= error.among(updates) | lost_rows(updates)


def _foreseen(rule: Rule, updates: Updates, state: State, context: Context) -> Tensor | None:
    """The output of a rule that decides the same whatever the rows are, if they are finite; None for any other rule.

    It is made in the pass that looks for NaN and Inf, where passes are dear: rows on disk are read once.
    """
    if not isinstance(updates, RowSource) or not (updates.dear and updates.share.alone):
        return None
    if rule.statistics(state, context):
        return None
    unread = Unread(updates)
    try:
        plan = asked(rule, unread, state, context)
    except Exception:  # it looks at the rows, or refuses what it will refuse once more
        return None
    return output_beside_norms(updates, plan.weights, plan.kernel) if plan.updates is unread else None


def _decided(rule: Rule, updates: Updates, state: State, context: Context, lost: Tensor) -> Decided:
    """`decide_on` without those rows that are lost."""
    sq_norms, *_ = updates.compute(SqNorms(), *rule.statistics(state, context))
    finite = sq_norms.isfinite() & ~lost
    if not bool(finite.all()):
        _check_finite(rule, finite)
        updates = updates.take(finite.nonzero().flatten())
    plan = asked(rule, updates, state, context)
    if not isinstance(plan, Plan):
        raise ContractError(
            f"the rule {rule!r} decided on {type(plan).__name__}; it must return fedward.Plan(updates, weights), or "
            "fedward.average_of(updates, rows)"
        )
    odd = int((~plan.counted().isfinite()).sum())
    if odd:
        raise ValueError(
            f"{rule!r} weighed {odd} of {plan.updates.n} rows by NaN or Inf: something overflows, or divides by zero"
        )
    updates.share.agree(plan.counted())
    return Decided(plan=plan, finite=finite)


def _check_finite(rule: Rule, finite: Tensor) -> None:
    """Raise `BoundError` if too few rows are left without those that are not finite."""
    n = len(finite)
    kept = int(finite.sum())
    if kept == 0:
        raise BoundError(
            f"every one of the {n} clients sent NaN or Inf, or a norm beyond 1e154: keep the previous model"
        )
    try:
        rule.check(kept)
    except BoundError as error:
        raise BoundError(f"{error} ({kept} of {n} clients sent finite rows)") from None
