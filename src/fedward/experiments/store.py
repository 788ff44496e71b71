"""A run's folder: ``run.json`` says what was run, ``records.jsonl`` holds a line a round, and there is a checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TypeVar

from ..disk import json_line, json_of, open_regular, read_bounded, remove_leftovers, write_whole
from ..failures import MendableError, tamed
from ..sim import CheckpointError, Record, Simulation
from ..sim.forms import FormError, brief, read_back, written
from .own_code import edited_since, imported_code, own_code
from .spec import RunSpec
from .versions import versions

FORMAT = 1
"""Of the folders that this code writes and reads. A record that gains a field with a default stays of this format."""

D = TypeVar("D")

Versions = Mapping[str, str | None]
"""What made figures, as `versions` has it."""


class FolderError(MendableError, ValueError):
    """A run folder that cannot be read; the message names the file, the line, what is wrong and the remedy."""

    asked = True


class DamagedError(FolderError):
    """A file of a folder that is not whole any more, or not as it was written."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """Rounds that other code has made.

    Attributes:
        rounds: up to this one.
        versions: of that code; None where nobody knows.
    """

    rounds: int
    versions: Versions | None


@dataclass(frozen=True, kw_only=True)
class RunHead:
    """What ``run.json`` says.

    Attributes:
        format: of the folder.
        name: of the run.
        config: its specification, resolved.
        byzantine_ids: which clients are byzantine.
        versions: what made the last rounds.
        earlier: what made those before, where that was other code, in the order of rounds.
        own: digests of the user's own files that the run is made of, by name.
        imported: of those that these import; None of a folder of before anybody took note of them.
    """

    format: int = FORMAT
    name: str
    config: Mapping[str, Any]
    byzantine_ids: tuple[int, ...]
    versions: Versions = field(default_factory=dict)
    earlier: tuple[Earlier, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    imported: Mapping[str, str] | None = None

    @property
    def codes(self) -> frozenset[str | None]:
        """Digests of the code that made it: one, unless another has gone on; None for what nobody knows."""
        return frozenset((made or {}).get("code") for made in (self.versions, *(e.versions for e in self.earlier)))

    def to_json(self) -> dict[str, Any]:
        """As JSON has it; ``earlier``, ``own`` and ``imported`` only where there is something to say."""
        unsaid = {"earlier": not self.earlier, "own": not self.own, "imported": self.imported is None}
        return {key: value for key, value in written(self).items() if not unsaid.get(key, False)}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The rounds of a folder, in order, each once; and what a reader of them should know."""

    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()


class RunFolder:
    """Where a run lives, and the one place that writes and reads it.

    Args:
        path: the folder, which need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def head(self) -> Path:
        """What the run is, as JSON."""
        return self.path / "run.json"

    @property
    def records(self) -> Path:
        """One JSON object a round."""
        return self.path / "records.jsonl"

    @property
    def checkpoint(self) -> Path:
        """What the run resumes from."""
        return self.path / "checkpoint.pt"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that a run writes."""
        return self.head, self.records, self.checkpoint

    @property
    def rounds(self) -> int:
        """Rounds on record: whole lines, whatever is in them."""
        return lines_in(self.records)

    def check_own(self, spec: RunSpec) -> None:
        """Refuse to go on with rounds that other code of the user's own has made.

        Raises:
            CheckpointError: a file of theirs was edited since.
        """
        found = self._head_if_readable()
        if found is None or not found.own or not self.rounds:
            return
        if edited := edited_since(found.own, found.imported, spec):
            names, were = tamed(", ".join(edited), 1000), "was" if len(edited) == 1 else "were"
            raise CheckpointError(
                f"{self.path} has {self.rounds} rounds of before {names} {were} edited, which would come out otherwise "
                "now; undo the edit, or give this run another place"
            )

    def holdings(self) -> str:
        """What is there of an earlier run, in words."""
        names = ", ".join(file.name for file in self.files if file.exists())
        rounds = self.rounds
        return f"{names} in {self.path} ({rounds} rounds)" if rounds else f"{names} in {self.path}"

    def clear(self) -> None:
        """Forget an earlier run in this folder, and nothing else that may lie there."""
        for file in self.files:
            file.unlink(missing_ok=True)
            remove_leftovers(file)

    # --- writing --------------------------------------------------------------------------------------------

    def describe(self, spec: RunSpec, simulation: Simulation, done: int) -> None:
        """Write down what the run is, and by which code its rounds are made.

        Args:
            spec: what is run.
            simulation: the run.
            done: rounds that were there already, made by the code that the folder names.
        """
        own = own_code(spec)
        head = RunHead(
            name=os.fsencode(self.path.name).decode(errors="replace"),  # names of files may be no text
            config=spec.resolved(),
            byzantine_ids=tuple(sorted(simulation.byzantine)),
            own=own,
            imported=imported_code(spec) if own else None,
        )
        found = self._head_if_readable()
        if found is not None and done >= spec.rounds:
            # No round is added, so the folder stays what the code that it names has made.
            head = replace(head, versions=found.versions, earlier=found.earlier, imported=found.imported)
        else:
            head = replace(head, versions=versions(), earlier=earlier_code(found, done))
        self.path.mkdir(parents=True, exist_ok=True)
        for file in self.files:
            remove_leftovers(file)
        write_whole(self.head, json.dumps(head.to_json(), indent=1) + "\n")

    def write_records(self, records: Iterable[Record]) -> None:
        """Write all records anew."""
        write_whole(self.records, "".join(map(_line, records)))

    def append(self, file: TextIOWrapper, record: Record) -> None:
        """Add one record."""
        file.write(_line(record))
        file.flush()

    # --- reading --------------------------------------------------------------------------------------------

    def read_head(self) -> RunHead:
        """What the run is.

        Raises:
            FolderError: the file is missing, unreadable or of another format.
        """
        return read_formatted(RunHead, self.head, "a run", format=FORMAT)

    def read_records(self) -> Recorded:
        """The rounds.

        A last line that was cut short (the run was killed while writing, or still writes) is left out and noted.
        A round that is on record twice, as after a resumed run, counts once, with the later line.

        Raises:
            FolderError: the file is missing, a line of it is no record, or there is no round in it yet.
        """
        notes: list[str] = []
        rounds: dict[int, Record] = {}
        repeated = 0
        for record in _records_in(self.records, notes):
            repeated += record.round in rounds
            rounds[record.round] = record
        if not rounds:
            raise FolderError(
                f"{self.records}: no complete round; wait for the first round to end, or leave this run out"
            )
        if repeated:
            notes.append(f"Lines replaced by a later line for the same round (a resumed run): {repeated}.")
        return Recorded(records=tuple(rounds[number] for number in sorted(rounds)), notes=tuple(notes))

    def _head_if_readable(self) -> RunHead | None:
        try:
            return self.read_head()
        except FolderError:
            return None


def read_formatted(
    cls: type[D], file: Path, what: str, *, format: int, remedy: str = "restore the file or run again"
) -> D:
    """A dataclass that was written with the number of its format.

    Args:
        cls: of the dataclass.
        file: its path.
        what: is in it, in words.
        format: that is read.
        remedy: for a file that is damaged.

    Raises:
        DamagedError: the file is there and not whole.
        FolderError: it is missing, or of something else or another format.
    """
    content = _bytes_of(file)
    try:
        entry = json_of(content)
    except ValueError as error:
        raise DamagedError(f"{file}: not valid JSON ({tamed(error)}); {remedy}") from error
    if not isinstance(entry, dict) or "format" not in entry:
        raise FolderError(f"{file}: no format number, so not {what} of fedward; give a folder that fedward wrote")
    if entry["format"] != format:
        raise FolderError(
            f"{file}: format {brief(entry['format'])}, but this version of fedward reads format {format}; "
            "use the version of fedward that wrote it (a run's versions entry says which), or take another folder"
        )
    try:
        return read_back(cls, entry)
    except FormError as error:
        fields = ", ".join(error.fields)
        raise DamagedError(f"{file}: {fields} missing or of the wrong type; {remedy}") from error


def earlier_code(head: RunHead | None, done: int) -> tuple[Earlier, ...]:
    """What made the first ``done`` rounds of a folder; nothing where all of it is the code that runs now.

    A run that was killed may resume from a checkpoint of fewer rounds than the folder speaks of.
    """
    named = [] if head is None else [*head.earlier, Earlier(rounds=done, versions=head.versions)]
    parts: list[Earlier] = []
    for part in named or [Earlier(rounds=done, versions=None)]:
        if not parts or parts[-1].rounds < done:
            parts.append(replace(part, rounds=min(part.rounds, done)))
    while parts and (parts[-1].versions == versions() or not parts[-1].rounds):
        parts.pop()
    return tuple(parts)


def _records_in(file: Path, notes: list[str]) -> Iterator[Record]:
    """The records of a file as they stand there; a last line that was cut short becomes a note."""
    lines = [(number, line) for number, line in enumerate(_bytes_of(file).split(b"\n"), 1) if line.strip()]
    clients: int | None = None
    for number, line in lines:
        try:
            entry = json_of(line)
        except ValueError as error:
            if number == lines[-1][0]:
                notes.append(f"The last line of {file.name} (line {number}) is cut short and was left out.")
                return
            raise FolderError(
                f"{file}, line {number}: not valid JSON ({tamed(error)}); delete the line, or resume the run from "
                "its checkpoint"
            ) from error
        try:
            record = Record.from_json(entry)
            if clients is not None and len(record.accepted) != clients:
                raise FormError(f"accepted has {len(record.accepted)} clients, the lines before have {clients}")
        except ValueError as error:
            raise FolderError(f"{file}, line {number}: not a record of a round ({error}); delete the line") from error
        clients = len(record.accepted)
        yield record


def _bytes_of(file: Path) -> bytes:
    try:
        return read_bounded(file)
    except FileNotFoundError:
        raise FolderError(f"{file}: no such file; a run folder holds run.json and records.jsonl") from None
    except OSError as error:
        raise FolderError(f"{file}: cannot be read ({error.strerror}); check its type and permissions") from error


def _line(record: Record) -> str:
    return json_line(record.to_json())


def lines_in(path: Path) -> int:
    """How many whole lines a file has; 0 if it is not there."""
    try:
        with open_regular(path) as file:
            return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return 0
