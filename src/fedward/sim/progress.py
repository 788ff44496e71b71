"""`Progress`: where a simulation stands, in memory and in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from ..clients import Answer
from ..core import State
from .record import Record


@dataclass(frozen=True, eq=False, kw_only=True)
class Progress:
    """All that the next round depends on. Each round makes a new one, so an interrupt leaves the last one whole."""

    round: int
    parameters: Tensor
    velocity: Tensor | None = None
    server_state: State = field(default_factory=dict)
    """What the server's optimiser remembers besides its last direction."""
    told: State = field(default_factory=dict)
    """What the server tells clients besides its model."""
    buffers: Tensor | None = None
    rule_state: State = field(default_factory=dict)
    attack_state: State = field(default_factory=dict)
    client_states: Mapping[int, State] = field(default_factory=dict)
    late: Mapping[int, Answer] = field(default_factory=dict)
    """Answers of the last round that arrive in this one."""
    records: tuple[Record, ...] = ()

    def memory(self) -> dict[str, int]:
        """Bytes that outlast the round, by whose they are (`Record.memory`)."""
        model = {"parameters": self.parameters, "velocity": self.velocity, "buffers": self.buffers}
        return {
            "server": _size(model) + _size(self.server_state) + _size(self.told),
            "rule": _size(self.rule_state),
            "attacker": _size(self.attack_state),
            "clients": sum(map(_size, self.client_states.values())),
        }

    def to_saved(self) -> dict[str, Any]:
        """As a checkpoint has it."""
        return {
            "round": self.round,
            "parameters": self.parameters,
            "velocity": self.velocity,
            "server_state": dict(self.server_state),
            "told": dict(self.told),
            "buffers": self.buffers,
            "rule_state": dict(self.rule_state),
            "attack_state": dict(self.attack_state),
            "client_states": {client: dict(state) for client, state in self.client_states.items()},
            "late": {client: _saved_answer(answer) for client, answer in self.late.items()},
            "records": [record.to_json() for record in self.records],
        }

    @classmethod
    def of_saved(cls, saved: Mapping[str, Any], device: torch.device) -> Progress:
        """What `to_saved` was called on, its tensors on a device."""

        def here(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {k: here(v) for k, v in value.items()}
            return value.to(device) if isinstance(value, Tensor) else value

        return cls(
            round=saved["round"],
            parameters=here(saved["parameters"]),
            velocity=here(saved["velocity"]),
            server_state=here(saved.get("server_state", {})),
            told=here(saved.get("told", {})),
            buffers=here(saved["buffers"]),
            rule_state=here(saved["rule_state"]),
            attack_state=here(saved["attack_state"]),
            client_states=here(saved["client_states"]),
            late={client: Answer(**here(answer)) for client, answer in saved["late"].items()},
            records=tuple(Record.from_json(r) for r in saved["records"]),
        )


_LATER = frozenset({"server_state", "told"})
"""What checkpoints of earlier versions lack, which had nothing of the kind."""

SAVED = tuple(field.name for field in fields(Progress) if field.name not in _LATER)
"""What a checkpoint holds at least."""


def _saved_answer(answer: Answer) -> dict[str, Any]:
    """Without what the client remembers: that is saved beside it."""
    return {"row": answer.row, "loss": answer.loss, "messages": dict(answer.messages), "buffers": answer.buffers}


def _size(state: Mapping[str, Tensor | None]) -> int:
    """Bytes of all tensors of a state."""
    return sum(value.nbytes for value in state.values() if value is not None)
