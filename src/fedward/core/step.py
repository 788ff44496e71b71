"""`step`: one round of a rule, from a stack and what it remembers to a verdict and what it remembers next."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ..failures import ContractError
from ..stack import Updates
from ..stack.reference import Agreed
from .context import Context
from .neutral import neutral
from .plan import Plan
from .rule import BoundError, Rule, apply, asked
from .state import State
from .verdict import Result, judge


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """A round that a rule decided: the verdict, and what the rule remembers."""

    result: Result[Tensor]
    state: State


@dataclass(frozen=True, eq=False, kw_only=True)
class Skipped:
    """A round that a rule could not decide: why. The rule remembers what it did before."""

    why: str
    state: State


@neutral()
def step(rule: Rule, updates: Updates, state: State, context: Context, *, trimmed: bool = False) -> Step:
    """One round of a rule; pure. ``trimmed``: as `apply`.

    Raises:
        BoundError: too few (finite, well-formed) rows; the message says who was lost.
        ValueError: the rule needs root data and the context has no evaluator.
        ContractError: the rule decided on something that is no plan.
        Exception: whatever the rule raises.
    """
    try:
        outcome = apply(rule, updates, state, context, trimmed=trimmed)
    except BoundError as error:
        if updates.agreed and updates.agreed.malformed:
            raise BoundError(f"{error} ({_malformed(updates.n, updates.agreed)})") from None
        raise
    placed = replace(outcome, output=updates.placed(outcome.output))
    return Step(result=judge(updates, placed, judges=rule.traits().judges), state=outcome.state)


def step_or_skip(rule: Rule, updates: Updates, state: State, context: Context) -> Step | Skipped:
    """One round of a rule, where nothing that clients send may end the run.

    Raises:
        ContractError: the rule decided on something that is no plan, which is no fault of the clients'.
    """
    try:
        return step(rule, updates, state, context)
    except ContractError:
        raise
    except BoundError as error:
        return Skipped(why=str(error), state=state)
    except Exception as error:  # the rule stumbled over what clients sent
        return Skipped(why=_stumbled(rule, error), state=state)


def decision(rule: Rule, updates: Updates, state: State, context: Context) -> Plan:
    """What the rule would decide, for an attack that tries rows against it.

    Raises:
        BoundError: too few rows, or rows that the rule stumbles over, which are not decided on either.
    """
    try:
        return asked(rule, updates, state, context)
    except BoundError:
        raise
    except Exception as error:
        raise BoundError(_stumbled(rule, error)) from error


def _malformed(n: int, agreed: Agreed) -> str:
    """How many of all clients sent updates at all, and what is wrong with the first other one."""
    name, fault = next(iter(agreed.malformed.items()))
    return f"{n} of {len(agreed.sent)} clients sent well-formed updates; client {name!r}: {fault}"


def _stumbled(rule: Rule, error: Exception) -> str:
    return f"{rule!r} raised {type(error).__name__}: {error}"
