"""Rounds of rules and attacks, with all that they may ask for beside the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..attacks import Attack, View
from ..core import Aggregator, Context, Messages, Plan, Result, Rule, State
from ..rules import Mean
from ..stack import Dense, Updates, materialise
from .stacks import root_data, said

ROUNDS = 5
"""Rounds of a rule that are enough to leave a warm-up behind."""


def next_round(
    aggregator: Aggregator, G: Any, ids: Sequence[Any] | None = None, messages: Messages | None = None
) -> Result[Tensor]:
    """The next round of an aggregator."""
    n, d = (G.n, G.d) if isinstance(G, Updates) else G.shape
    if messages is None:
        messages = said(range(n) if ids is None else ids)
    result: Result[Tensor] = aggregator(G, ids, messages, evaluator=root_data(aggregator.rule, d))
    return result


def verdict(rule: Rule, G: Any, ids: Sequence[Any] | None = None) -> Result[Tensor]:
    """The first round of a rule."""
    return next_round(Aggregator(rule), G, ids)


def output_of(rule: Rule, G: Any) -> Any:
    """The first output of a rule, of the kind of its input."""
    return rule(G, messages=said(range(len(G))), evaluator=root_data(rule, G.shape[1]))


def averaging(updates: Updates) -> Plan:
    """The plan of the simplest defence, for attacks that ask theirs."""
    return Mean().decide(updates, {}, Context())


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackRound:
    """What an attack saw, the tensors that its stacks are made of, what it sent, and what it remembers from then on."""

    view: View
    rows: tuple[Tensor, Tensor]
    sent: Tensor
    state: State


def attack_rounds(attack: Attack, honest: Tensor, own: Tensor, rounds: int) -> Iterator[AttackRound]:
    """Rounds of an attack with its memory, on rows that change from one to the next.

    The server's steps are drawn: who looks at them has not looked at the honest rows by that.
    """
    state: State = {}
    previous: Tensor | None = None
    for round in range(rounds):
        rows = (honest + round, own - round)
        view = View(
            honest=Dense(rows[0], block=7),
            own=Dense(rows[1], block=7),
            context=Context(round=round, seed=1),
            decide=averaging,
            previous=previous,
            state=state,
        )
        sent = materialise(attack.forged(view))
        state = attack.advance(view, sent)
        yield AttackRound(view=view, rows=rows, sent=sent, state=state)
        generator = torch.Generator().manual_seed(round)
        previous = torch.randn(honest.shape[1], generator=generator, dtype=honest.dtype)
