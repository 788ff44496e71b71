"""Whether the figures of a run are of anything that was learned from honest clients."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ..core import Reason
from ..sim import Record
from ..sim.record import why_skipped

_NO_NUMBERS = frozenset({Reason.NONFINITE, Reason.OVERFLOW})
"""Why a row is left out whose numbers, or their squares, are not finite."""


def none_finite(records: Iterable[Record], byzantine: Collection[int]) -> int:
    """How many rounds were decided although no honest client of those that answered sent finite numbers.

    Args:
        records: of rounds.
        byzantine: which clients are; they alone have decided such a round, whatever the model's accuracy is after it.
    """
    return sum(record.skipped is None and _none_finite(record, byzantine) for record in records)


def _none_finite(record: Record, byzantine: Collection[int]) -> bool:
    honest = honest_that_answered(record, byzantine)
    return bool(honest) and all(record.reasons.get(client) in _NO_NUMBERS for client in honest)


def honest_that_answered(record: Record, byzantine: Collection[int]) -> list[int]:
    """The honest clients that took part in a round.

    Args:
        record: of the round.
        byzantine: which clients are.
    """
    return [i for i, ok in enumerate(record.accepted) if ok is not None and i not in byzantine]


def in_vain(records: Sequence[Record], byzantine: Collection[int]) -> str:
    """Why a run shows nothing, in a sentence: no round changed the model, or none by finite numbers of honest clients.

    Args:
        records: of the run; of none there is nothing to say.
        byzantine: which clients are.
    """
    skipped = sum(record.skipped is not None for record in records)
    if records and skipped == len(records):
        return f"no round changed the model: {why_skipped(records)}"
    if not records or skipped + none_finite(records, byzantine) < len(records):
        return ""
    return (
        "no honest client sent finite numbers in any round that was decided, so that the accuracy is of nothing that "
        "was learned: look for NaN or Inf in the model or the data, or take a smaller learning rate"
    )
