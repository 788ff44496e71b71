"""What is remembered must be nobody else's: whoever holds the rows may write to them."""

from __future__ import annotations

from torch import Tensor

from ..attacks import Attack, View
from ..rule import Context, State
from ..stack import Dense, materialise

_ROUNDS = 4


def check_attack_keeps_copies(attack: Attack, honest: Tensor, own: Tensor) -> None:
    """Raise AssertionError if what an attack remembers changes with the rows, the sent ones, or the server's step."""
    state: State = {}
    previous: Tensor | None = None
    for round in range(_ROUNDS):
        rows, mine = honest + round, own - round
        view = View(Dense(rows), Dense(mine), Context(round=round, seed=1), None, previous, state)
        sent = materialise(attack.forge(view))
        state, step = attack.advance(view, sent), rows.mean(0)
        unwritten(state, [rows, mine, sent, *([] if previous is None else [previous])], f"in round {round}")
        previous = step


def unwritten(state: State, others: list[Tensor], when: str) -> None:
    """Write to tensors of other holders, and see that none of it is in the state."""
    before = {name: value.clone() for name, value in state.items()}
    for tensor in others:
        if tensor.is_floating_point():
            tensor.fill_(-77.0)
    for name, value in before.items():
        same = bool(((state[name] == value) | (value != value)).all())
        assert same, f"it remembers {name} by a tensor that others write to, {when}: copy it"
