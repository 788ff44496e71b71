"""Rounds of rules, with all that a rule may ask for beside the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..core import Aggregator, Context, Messages, Plan, Result, Rule
from ..rules import Mean
from ..stack import Updates
from .stacks import root_data, said


def next_round(
    aggregator: Aggregator, G: Any, ids: Sequence[Any] | None = None, messages: Messages | None = None
) -> Result[Tensor]:
    """The next round of an aggregator."""
    n, d = (G.n, G.d) if isinstance(G, Updates) else G.shape
    if messages is None:
        messages = said(range(n) if ids is None else ids)
    result: Result[Tensor] = aggregator(G, ids, messages, evaluator=root_data(aggregator.rule, d))
    return result


def verdict(rule: Rule, G: Any, messages: Messages | None = None) -> Result[Tensor]:
    """The first round of a rule."""
    return next_round(Aggregator(rule), G, messages=messages)


def output_of(rule: Rule, G: Any) -> Any:
    """The first output of a rule, of the kind of its input."""
    return rule(G, messages=said(range(len(G))), evaluator=root_data(rule, G.shape[1]))


def averaging(updates: Updates) -> Plan:
    """The plan of the simplest defence, for attacks that ask theirs."""
    return Mean().decide(updates, {}, Context())
