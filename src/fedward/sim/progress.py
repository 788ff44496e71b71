"""`Progress`: where a simulation stands, in memory and in its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..clients import Answer
from ..core import State
from .forms import FormError, brief
from .record import Record

K = TypeVar("K")


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

    def unlike(self, other: Progress) -> str:
        """In which way the model is another one than of ``other``; nothing if it is not."""
        for name in ("parameters", "buffers"):
            own, due = getattr(self, name), getattr(other, name)
            if (own is None) != (due is None) or (own is not None and (own.shape, own.dtype) != (due.shape, due.dtype)):
                found, expected = (None if t is None else (tuple(t.shape), t.dtype) for t in (own, due))
                return f"{name} are {found}, the model's are {expected}"
        return ""

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
        """What `to_saved` was called on, its tensors on a device.

        Raises:
            ValueError: something in it is not what it should be; the message begins with its name.
        """

        def tensor(name: str) -> Tensor:
            return _checked(name, saved[name], Tensor).to(device)

        def state(name: str, held: Any) -> State:
            _checked(name, held, dict)
            return {_checked(name, k, str): _checked(name, v, Tensor).to(device) for k, v in held.items()}

        def each(name: str) -> Iterator[tuple[int, Any]]:
            for client, held in _checked(name, saved[name], dict).items():
                yield _checked(name, client, int), held

        records = tuple(Record.from_json(r) for r in _checked("records", saved["records"], list))
        if type(saved["round"]) is not int or saved["round"] != len(records):
            raise FormError(f"round must be {len(records)}, as there are records, got {brief(saved['round'])}")
        return cls(
            round=saved["round"],
            parameters=tensor("parameters"),
            velocity=None if saved["velocity"] is None else tensor("velocity"),
            server_state=state("server_state", saved.get("server_state", {})),
            told=state("told", saved.get("told", {})),
            buffers=None if saved["buffers"] is None else tensor("buffers"),
            rule_state=state("rule_state", saved["rule_state"]),
            attack_state=state("attack_state", saved["attack_state"]),
            client_states={client: state("client_states", held) for client, held in each("client_states")},
            late={client: _read_answer(held, device) for client, held in each("late")},
            records=records,
        )


_LATER = frozenset({"server_state", "told"})
"""What checkpoints of earlier versions lack, which had nothing of the kind."""

SAVED = tuple(field.name for field in fields(Progress) if field.name not in _LATER)
"""What a checkpoint holds at least."""


def _checked(name: str, value: Any, kind: type[K]) -> K:
    if not isinstance(value, kind):
        raise FormError(f"{name} must hold a {kind.__name__}, got {brief(type(value).__name__)}")
    return value


def _read_answer(held: Any, device: torch.device) -> Answer:
    """What `_saved_answer` was called on."""
    if _checked("late", held, dict).keys() != {"row", "loss", "messages", "buffers"}:
        raise FormError(f"late must hold row, loss, messages and buffers, got {brief(list(held))}")
    row, loss, buffers = held["row"], held["loss"], held["buffers"]
    said = _checked("late", held["messages"], dict)
    return Answer(
        row=None if row is None else _checked("late", row, Tensor).to(device),
        loss=loss.to(device) if isinstance(loss, Tensor) else _checked("late", loss, float),
        messages={_checked("late", name, str): _here(value, device) for name, value in said.items()},
        buffers=None if buffers is None else _checked("late", buffers, Tensor).to(device),
    )


def _here(value: Any, device: torch.device) -> Any:
    if isinstance(value, Mapping):
        return {k: _here(v, device) for k, v in value.items()}
    return value.to(device) if isinstance(value, Tensor) else value


def _saved_answer(answer: Answer) -> dict[str, Any]:
    """Without what the client remembers: that is saved beside it."""
    return {"row": answer.row, "loss": answer.loss, "messages": dict(answer.messages), "buffers": answer.buffers}


def _size(state: Mapping[str, Tensor | None]) -> int:
    """Bytes of all tensors of a state."""
    return sum(value.nbytes for value in state.values() if value is not None)
