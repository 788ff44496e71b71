"""Rules that do something else in their first rounds than later: each of the two is measured as a line of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NEVER = 10**6  # a round that no measurement comes to


@dataclass(frozen=True, kw_only=True)
class Mode:
    """What a rule does in some of its rounds.

    Attributes:
        label: which ones, in words; nothing for what it does in the long run.
        arguments: that keep the rule in this mode.
        rounds: that go before the first one that is measured.
    """

    label: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 0

    def named(self, name: str) -> str:
        """The name of the line."""
        return f"{name} ({self.label})" if self.label else name


_WARMUP = (Mode(label="warm-up", arguments={"warmup": NEVER}), Mode(arguments={"warmup": 1}, rounds=1))

MODES: Mapping[str, tuple[Mode, ...]] = {
    "delayed": (Mode(label="before its start", arguments={"start": NEVER}), Mode(arguments={"start": 0})),
    "fldetector": (Mode(label="first rounds", rounds=1), Mode(rounds=12)),  # then its window of 10 is full
    "rffl": (
        Mode(label="nobody removed", arguments={"warmup": NEVER}, rounds=1),
        Mode(arguments={"warmup": 1}, rounds=2),
    ),
    "sign-guard-dist": _WARMUP,
    "sign-guard-sim": _WARMUP,
}

# They remember earlier rounds and do the same in every one, the first left aside.
SAME = frozenset(
    {
        "centered-clipping",
        "class-wise",
        "clipped-clustering",
        "de-moa",
        "fools-gold",
        "sequential-bucketing",
        "sequential-centered-clipping",
        "siren",  # as long as nobody alarms, as here
    }
)


def modes(name: str) -> tuple[Mode, ...]:
    """The modes of a rule or mixer of the catalogue, the first rounds first."""
    return MODES.get(name, (Mode(),))
