"""What is known about a round afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from statistics import fmean
from typing import Annotated, Any

from torch import Tensor

from ..core import BEYOND, Reason, Result
from .forms import Form, FormError, brief, read_back, read_number, read_rate, read_whole, written

_LAST = 2**53
"""The number that a round may have at most; a float tells it from the next."""
_REASONS = 3
"""Of the reasons for which rounds were skipped, how many are told."""

_SHARE = Form(write=float, read=read_rate)
Shares = tuple[Annotated[float, _SHARE], Annotated[float, _SHARE], Annotated[float, _SHARE]]
"""Shares of positive, zero and negative signs."""


def _read_rate(value: Any) -> float | None:
    if value is None:
        return None
    return None if isnan(read_number(value)) else read_rate(value)


def _read_round(value: Any) -> int:
    number = read_whole(value)
    if not 1 <= number <= _LAST:
        raise FormError(f"must lie in 1..{_LAST}, got {brief(value)}")
    return number


def _read_seconds(value: Any) -> float:
    seconds = read_number(value)
    if not 0 <= seconds < inf:
        raise FormError(f"must be a number of seconds, got {seconds!r}")
    return seconds


def _marks(accepted: Sequence[bool | None]) -> str:
    return "".join("-" if verdict is None else str(int(verdict)) for verdict in accepted)


def _read_marks(value: Any) -> tuple[bool | None, ...]:
    if not isinstance(value, str) or not value or set(value) - set("10-"):
        raise FormError("must hold one of 1, 0 and - for each client")
    return tuple(None if mark == "-" else mark == "1" for mark in value)


def _read_reason(value: Any) -> str:
    if not isinstance(value, str):
        raise FormError(f"must be text, got {brief(value)}")
    try:
        return Reason(value)
    except ValueError:
        return str(value)


_RATE = Form(write=lambda rate: rate, read=_read_rate)
_ROUND = Form(write=int, read=_read_round)
_SECONDS = Form(write=float, read=_read_seconds)
_MARKS = Form(write=_marks, read=_read_marks)
_REASON = Form(write=str, read=_read_reason)

RoundNumber = Annotated[int, _ROUND]
"""The number of a round, from 1."""
Seconds = Annotated[float, _SECONDS]
"""Seconds, at least 0."""
Rate = Annotated[float | None, _RATE]
"""A share in [0, 1]; None where nothing was measured."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One round. How each field is written to files, and read again, is in its annotation (`forms`).

    A field that is added here needs a default, so that files without it can still be read.

    Attributes:
        round: rounds completed, 1 after the first.
        accuracy: on the test set, in the rounds that are evaluated.
        balanced_accuracy, f1: likewise; the means over classes of recall and of F1 (`fedward.clients.Tally`).
        by_class: likewise, share of the test samples of each class that the model gets right; None of a class without.
        worst_client: likewise, the lowest accuracy of an honest client: on the test set, weighted by how many samples
            of each class the client trains on (clients that differ in more than their labels are not told apart).
        calibration_error: likewise, expected calibration error in 15 bins (`fedward.clients.Tally`).
        loss: likewise.
        train_loss: mean over the honest clients' batches; None in a round that none of them answers.
        byzantine_accepted: share of the byzantine clients that took part who were accepted; None if none took part, and
            where clients are not judged.
        honest_accepted: the same of the honest ones.
        judged: whether the rule says of single clients whom it accepts (`Traits.judges`).
        accepted: per client, and where they are not judged whose rows the rule was given; None for those that did not
            take part. In files one character each: 1, 0 or -.
        reasons: by client, why those that took part were not accepted: a `Reason`, or what a federation said.
        signs: shares of positive, zero and negative entries of "honest" and "byzantine" rows, in evaluated rounds; and
            of "virtual" rows, which an attack looks at and does not send (`fedward.attacks.Virtual`).
        seconds: wall time by phase.
        memory: bytes by whose they are, in evaluated rounds: of the "rows" of the round, and what outlasts it: of the
            "server" (model, momentum, what it tells clients), the "rule", the "attacker" and the "clients".
        attack: which attack was played, where that differs from round to round (`fedward.attacks.RandomSchedule`).
        confidence: of the model in the labels that a targeted attack wants, where there is one: the mean probability
            over the samples that the attack is after, in evaluated rounds.
        skipped: why the model was left as it was, if it was.
        note: how the rule decided the round, where it has several ways, and whether beyond the bound of its theorem.
        scores: what the rule wants kept (`Traits.recorded`), by name and client; None for those that did not take part.
    """

    round: RoundNumber
    accuracy: Rate = None
    balanced_accuracy: Rate = None
    f1: Rate = None
    by_class: tuple[Rate, ...] = ()
    worst_client: Rate = None
    calibration_error: Rate = None
    loss: float | None = None
    train_loss: float | None = None
    byzantine_accepted: Rate = None
    honest_accepted: Rate = None
    judged: bool = True
    accepted: Annotated[tuple[bool | None, ...], _MARKS]
    reasons: Mapping[int, Annotated[str, _REASON]] = field(default_factory=dict)
    signs: Mapping[str, Shares | None] | None = None
    seconds: Mapping[str, Seconds] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)
    attack: str | None = None
    confidence: Rate = None
    skipped: str | None = None
    note: str | None = None
    scores: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clients = len(self.accepted)
        for values in self.scores.values():
            if len(values) != clients:
                raise ValueError(
                    f"scores must have a number or null for each of {clients} clients, got {brief(values)}"
                )

    @property
    def worst_class(self) -> float | None:
        """Accuracy of the class that the model is worst at; None where it was not tested."""
        return min((share for share in self.by_class if share is not None), default=None)

    @property
    def marks(self) -> str:
        """A character a client: 1 accepted, 0 not, - absent."""
        return _marks(self.accepted)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return written(self)

    @classmethod
    def from_json(cls, saved: Any) -> Record:
        """The record that `to_json` was made of.

        Raises:
            ValueError: it is no record; the message says which entry is missing or wrong.
        """
        return read_back(cls, saved)


def skips(records: Iterable[Record]) -> Counter[str]:
    """Why rounds left the model as it was, in the words of the records, and how many did so."""
    return Counter(record.skipped for record in records if record.skipped is not None)


def why_skipped(records: Iterable[Record]) -> str | None:
    """The same in a sentence, the most frequent first; None if none did."""
    counts = skips(records)
    if len(counts) <= 1:
        return next(iter(counts), None)
    told = [f"{why} ({count} round{'s' * (count > 1)})" for why, count in counts.most_common(_REASONS)]
    others = len(counts) - len(told)
    return "; ".join([*told, *([f"{others} other reasons"] if others else [])])


def beyond_theorem(records: Iterable[Record]) -> int:
    """How many rounds the rule decided on fewer rows than its theorem needs."""
    return sum(record.note is not None and BEYOND in record.note for record in records)


def nobody_accepted(records: Iterable[Record]) -> int:
    """How many rounds the rule decided without accepting anybody."""
    return sum(record.skipped is None and True not in record.accepted for record in records)


def share(accepted: list[bool]) -> float | None:
    """Share of the accepted; None of nobody."""
    return sum(accepted) / len(accepted) if accepted else None


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Mean of what was measured; None if nothing was."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


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
