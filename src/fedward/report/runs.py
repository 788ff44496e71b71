"""Runs as pages need them, read from their folders."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core import BEYOND
from ..experiments.store import FolderError, RunFolder
from ..experiments.worth import honest_that_answered, in_vain, none_finite
from ..failures import MendableError
from ..sim import Record
from ..sim.record import beyond_theorem, nobody_accepted, why_skipped
from ..sweeps.apart import CodeOfRun
from .own_code import edited_here, edited_told


class ReportError(MendableError, ValueError):
    """A page that cannot be made, such as of a run folder that cannot be read; the message has the remedy."""

    asked = True


NOT_JUDGED = "The rule is or has a plain function, which says nothing of single clients: nobody knows whom it left out."
"""What a page says in the place of rates of who was accepted (`not_judged`)."""


@dataclass(frozen=True, kw_only=True)
class RunData:
    """A run as it was read: its configuration and its rounds in order."""

    name: str
    config: Mapping[str, Any]
    byzantine_ids: tuple[int, ...]
    records: tuple[Record, ...]
    versions: Mapping[str, str]
    folder: str
    """Name of the folder, without its path."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers should know, such as a last line cut short."""
    own: Mapping[str, str] = field(default_factory=dict)
    """Digests of the user's own files that made it, by name."""
    imported: Mapping[str, str] | None = None
    """Of those that these import; None where nobody took note of them."""

    edited: tuple[str, ...] = ()
    """Names of those of these files of which there are others now where this is read."""

    @property
    def made(self) -> CodeOfRun:
        """What tells whether another run is a seed of the same thing."""
        return CodeOfRun(config=self.config, own=self.own, imported=self.imported)

    @property
    def clients(self) -> int:
        """Number of clients, whether or not they all took part."""
        return len(self.records[0].accepted)

    @property
    def rounds(self) -> int:
        """Number of completed rounds on record."""
        return len(self.records)

    @property
    def finished(self) -> bool:
        """Whether all rounds that were planned are on record; of a run that does not say how many, those it has are."""
        planned = self.config.get("rounds")
        return not isinstance(planned, int) or self.rounds >= planned

    @property
    def in_vain(self) -> str:
        """Why it shows nothing, in a sentence; empty where it does."""
        return in_vain(self.records, self.byzantine_ids)

    @property
    def evaluated(self) -> list[Record]:
        """The rounds whose test accuracy was measured."""
        return [record for record in self.records if record.accuracy is not None]

    @property
    def best(self) -> Record | None:
        """The round of the best test accuracy, the first of equals; None if nothing was evaluated."""
        return max(self.evaluated, key=lambda record: record.accuracy or 0.0, default=None)


def load_run(folder: str | Path) -> RunData:
    """Read one run folder.

    A last line that was cut short (the run was killed while writing, or still writes) is left out and noted.
    A round that is on record twice, as after a resumed run, counts once, with the later line.

    Raises:
        ReportError: a file is missing, unreadable or of another format.
    """
    folder = Path(folder)
    if folder.suffix == ".jsonl" and not folder.exists():
        raise ReportError(
            f"{folder}: no such file; give the audit that RobustFedAvg(audit=...) wrote, or the folder of a run"
        )
    if not folder.is_dir():
        raise ReportError(f"{folder}: no such run folder; give the folder that holds run.json and records.jsonl")
    place = RunFolder(folder)
    try:
        head = place.read_head()
        recorded = place.read_records()
    except FolderError as error:
        raise ReportError(str(error)) from error
    byzantine = tuple(sorted(set(head.byzantine_ids)))
    clients = len(recorded.records[0].accepted)
    if byzantine and not 0 <= byzantine[0] <= byzantine[-1] < clients:
        raise ReportError(
            f"{place.head}: byzantine_ids must lie in 0..{clients - 1}, as {place.records.name} has "
            f"{clients} clients, got {byzantine[0]}..{byzantine[-1]}; are both files of the same run?"
        )
    notes = [*recorded.notes, *_diverged(recorded.records, byzantine), *decided(recorded.records, byzantine)]
    for part in head.earlier:
        notes.append(f"Rounds up to {part.rounds} were made by other code than the last ones: {part.versions}.")
    edited = edited_here(CodeOfRun(config=head.config, own=head.own, imported=head.imported))
    if edited:
        notes.append(f"This run was {edited_told(edited)}.")
    return RunData(
        name=head.name,
        config=head.config,
        byzantine_ids=byzantine,
        records=recorded.records,
        versions={name: version for name, version in head.versions.items() if version is not None},
        folder=folder.resolve().name,
        notes=tuple(notes),
        own=head.own,
        imported=head.imported,
        edited=edited,
    )


def not_judged(run: RunData) -> bool:
    """Whether the rule says nothing of single clients, so that nobody knows whom it accepted of those that answered."""
    return not all(record.judged for record in run.records)


def decided(records: Sequence[Record], byzantine: Collection[int] | None = None) -> list[str]:
    """Notes on rounds that the rule could not decide, and on those that it decided on less than it should have.

    Args:
        records: of a run.
        byzantine: which clients are; None where nobody knows.
    """
    notes = []
    skipped = [record.round for record in records if record.skipped is not None]
    if skipped:
        first = f"{len(skipped)}, the first round {skipped[0]}"
        notes.append(f"Rounds that left the model as it was: {first} ({why_skipped(records)}).")
    if beyond := beyond_theorem(records):
        notes.append(f"Rounds that were decided {BEYOND}: {beyond} of {len(records)}. Nothing is promised there.")
    if nobody := nobody_accepted(records):
        notes.append(f"Rounds in which nobody was accepted: {nobody} of {len(records)}.")
    if byzantine is not None and (lost := none_finite(records, byzantine)):
        notes.append(
            f"Rounds in which no honest client sent finite numbers: {lost} of {len(records)}. What byzantine clients "
            "sent alone decided them."
        )
    return notes


def _diverged(records: Sequence[Record], byzantine: Collection[int]) -> list[str]:
    """A note on rounds whose training loss is not finite, if there are any."""
    # Files have null where it was not finite; of runs that know no training loss all rounds have, and of others those
    # that no honest client answered.
    known = any(r.train_loss is not None for r in records)
    answered = [r for r in records if known and honest_that_answered(r, byzantine)]
    rounds = [r.round for r in answered if r.train_loss is None or not math.isfinite(r.train_loss)]
    if not rounds:
        return []
    more = f" and {len(rounds) - 1} more" if len(rounds) > 1 else ""
    return [f"The training loss is not finite in round {rounds[0]}{more}."]
