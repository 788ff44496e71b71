"""Clients that send the same row in every round."""

from __future__ import annotations

import pytest
import torch

import fedward as fw
from fedward import attacks
from fedward.attacks import View
from fedward.core import State
from fedward.stack import Dense, materialise


@pytest.mark.parametrize("clients", [1, 2, 9])
def test_repeat_sends_its_first_row_for_ever_and_its_own_otherwise(clients: int) -> None:
    attack, first = attacks.Repeat(clients=clients), None
    state: State = {}
    for t in range(4):
        G = torch.randn(9, 30, generator=torch.Generator().manual_seed(t))
        view = View(honest=Dense(G[4:]), own=Dense(G[:4]), context=fw.Context(t), state=state)
        sent = materialise(attack.forge(view))
        state = attack.advance(view, sent)
        first = G[0] if first is None else first
        repeating = min(clients, 4)
        assert torch.equal(sent[:repeating], first.expand(repeating, -1))
        assert torch.equal(sent[repeating:], G[repeating:4])


def test_nobody_to_repeat_is_refused() -> None:
    with pytest.raises(ValueError, match="clients is a whole number of at least 1, got 0"):
        attacks.Repeat(clients=0)
