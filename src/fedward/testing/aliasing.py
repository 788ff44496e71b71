"""Tensors and stacks that several hold: what one of them writes or asks changes nothing for the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..attacks import Attack
from ..core import Aggregator, Rule, State
from ..stack import Dense, Gram, Joined, Rooted, SignConcordance, SignCounts, SqNorms, materialise
from .compare import close, equal, same
from .rounds import attack_rounds, next_round, verdict
from .stacks import byzantine, random_stack

_ROUNDS = 4


def check_result_is_the_callers(rule: Rule) -> None:
    """what the caller writes into a result, or into the rows after the call, changes no later round"""
    if not rule.traits().history:
        return
    left_alone = Aggregator(rule, seed=1)
    written_into = Aggregator(rule, seed=1)
    for round in range(_ROUNDS):
        G = random_stack(rule, seed=round, d=24)
        rows = G.clone()
        expected = next_round(left_alone, G)
        result = next_round(written_into, rows)
        close(result.output, expected.output, rtol=0)
        written: list[Tensor] = [result.output, rows, *result.scores.values()]
        if result.weights is not None:
            written.append(result.weights)
        for tensor in written:
            tensor.fill_(torch.pi)


def check_shared(rule: Rule) -> None:
    """decides on the rows that arrive, whatever an attack asked of the stack that it made them of"""
    G = random_stack(rule, seed=7)
    m = min(byzantine(rule), len(G) - 1)
    before = Dense(G)
    before.compute(SqNorms(), SignCounts(), Gram(), SignConcordance())
    honest = before.take(torch.arange(m, len(G)))
    turned = torch.full((m, honest.n), -10 / honest.n, dtype=torch.float64)
    sent = Joined(honest.mix(turned), honest)
    sent.compute(SqNorms(), Gram())
    arrived = Rooted(sent, tuple(range(len(G))))
    fresh = Dense(materialise(sent))
    same(verdict(rule, arrived), verdict(rule, fresh))


CHECKS = (check_result_is_the_callers, check_shared)


def check_attack_keeps_copies(attack: Attack, honest: Tensor, own: Tensor) -> None:
    """Raise AssertionError if what an attack remembers changes with the rows, the sent ones, or the server's step."""
    for round in attack_rounds(attack, honest, own, _ROUNDS):
        others = [*round.rows, round.sent]
        if round.view.previous is not None:
            others.append(round.view.previous)
        check_owned(round.state, others, f"in round {round.view.context.round}")


def check_owned(state: State, others: Sequence[Tensor], when: str) -> None:
    """Write to tensors that others hold; raise AssertionError if a memory changes by that."""
    before = {name: value.clone() for name, value in state.items()}
    for tensor in others:
        if tensor.is_floating_point():
            tensor.fill_(-77.0)
    for name, value in before.items():
        message = f"it remembers {name} by a tensor that others write to, {when}: copy it"
        assert equal(state[name], value), message
