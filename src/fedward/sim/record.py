"""What is known about a round afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from ..core import Reason, Result

Shares = tuple[float, float, float]


@dataclass(frozen=True)
class Record:
    """One round.

    Attributes:
        round: rounds completed, 1 after the first.
        accuracy, loss: on the test set, in the rounds that are evaluated.
        train_loss: mean over the honest clients' batches.
        byzantine_accepted, honest_accepted: share of those that took part who were accepted; None if none took part.
        accepted: per client; None for those that did not take part.
        reasons: why clients were not accepted, by client.
        confidence: mean probability of the labels that a targeted attack wants, on the samples it is after, likewise.
        signs: shares of positive, zero and negative entries of "honest" and "byzantine" rows, in evaluated rounds.
        seconds: wall time by phase.
        skipped: why the model was left as it was, if it was.
        note: how the rule decided the round, where it has several ways.
        scores: what the rule has to be kept on record (`Traits.recorded`), by name and client; None for those that did
            not take part.
    """

    round: int
    accuracy: float | None
    loss: float | None
    train_loss: float
    byzantine_accepted: float | None
    honest_accepted: float | None
    accepted: tuple[bool | None, ...]
    reasons: Mapping[int, Reason]
    signs: Mapping[str, Shares | None] | None
    seconds: Mapping[str, float]
    confidence: float | None = None
    skipped: str | None = None
    note: str | None = None
    scores: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it: clients as one character each, 1 accepted, 0 not, - absent."""
        accepted = "".join("-" if a is None else str(int(a)) for a in self.accepted)
        return {
            **asdict(self),
            "accepted": accepted,
            "reasons": {str(k): str(v) for k, v in self.reasons.items()},
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Record:
        """The record that `to_json` was made of."""
        accepted = tuple(None if c == "-" else c == "1" for c in saved["accepted"])
        reasons = {int(k): Reason(v) for k, v in saved["reasons"].items()}
        signs = saved["signs"] and {k: v and (v[0], v[1], v[2]) for k, v in saved["signs"].items()}
        scores = {k: tuple(v) for k, v in saved["scores"].items()}
        return cls(**{**saved, "accepted": accepted, "reasons": reasons, "signs": signs, "scores": scores})


def share(accepted: list[bool]) -> float | None:
    """Share of the accepted; None of nobody."""
    return sum(accepted) / len(accepted) if accepted else None


def by_client(n: int, active: Sequence[int], accepted: Sequence[bool]) -> tuple[bool | None, ...]:
    """Verdicts in the order of all clients; None for those that did not take part."""
    verdicts: list[bool | None] = [None] * n
    for client, ok in zip(active, accepted, strict=True):
        verdicts[client] = ok and verdicts[client] is not False  # of several rows, all
    return tuple(verdicts)


def reasons_of(active: Sequence[int], result: Result[Tensor] | None) -> dict[int, Reason]:
    """Why clients were not accepted, by client."""
    if result is None:
        return {}
    verdicts = zip(active, result.reasons, result.accepted.tolist(), strict=True)
    return {client: reason for client, reason, ok in verdicts if not ok}
