"""Reading a run folder: ``run.json`` says what was run, ``records.jsonl`` holds a line a round."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..failures import MendableError

FORMAT = 1
"""The one version of the run folder that this code reads."""

Shares = tuple[float, float, float]
"""Shares of positive, zero and negative signs."""


class ReportError(MendableError, ValueError):
    """A run folder that cannot be read; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Record:
    """One completed round. Rates, shares and accuracies lie in [0, 1]; None where nothing was measured."""

    round: int
    accepted: str
    """One character a client: 1 accepted, 0 dropped, - did not take part."""
    accuracy: float | None
    loss: float | None
    confidence: float | None
    """With which the model takes the samples that an attack is after for what the attack wants."""
    train_loss: float | None
    honest_accepted: float | None
    byzantine_accepted: float | None
    honest_signs: Shares | None
    byzantine_signs: Shares | None
    reasons: Mapping[int, str]
    """Why a client was not accepted, by client index."""
    seconds: Mapping[str, float]
    """Time spent, by phase."""
    note: str | None = None
    """How the rule decided the round, where it has several ways."""
    scores: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    """What the rule had put on record, by name: one number a client, None for those that took no part."""


@dataclass(frozen=True)
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
    byzantine_known: bool = True
    """Whether it is known who was byzantine: in a simulation, but not in a federation."""

    @property
    def clients(self) -> int:
        """Number of clients, whether or not they all took part."""
        return len(self.records[0].accepted)

    @property
    def rounds(self) -> int:
        """Number of completed rounds on record."""
        return len(self.records)

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
    if not folder.is_dir():
        raise ReportError(f"{folder}: no such run folder; give the folder that holds run.json and records.jsonl")
    head = _read_head(folder / "run.json")
    records, notes = _read_records(folder / "records.jsonl")
    byzantine = tuple(sorted(set(head["byzantine_ids"])))
    clients = len(records[0].accepted)
    if byzantine and not 0 <= byzantine[0] <= byzantine[-1] < clients:
        raise ReportError(
            f"{folder / 'run.json'}: byzantine_ids must lie in 0..{clients - 1}, as records.jsonl has "
            f"{clients} clients, got {byzantine[0]}..{byzantine[-1]}; are both files of the same run?"
        )
    diverged = [r.round for r in records if r.train_loss is not None and not math.isfinite(r.train_loss)]
    if diverged:
        more = f" and {len(diverged) - 1} more" if len(diverged) > 1 else ""
        notes.append(f"The training loss is not finite in round {diverged[0]}{more}.")
    for part in head.get("earlier", []):
        notes.append(f"Rounds up to {part['rounds']} were made by other code than the last ones: {part['versions']}.")
    return RunData(
        name=head["name"],
        config=head["config"],
        byzantine_ids=byzantine,
        records=tuple(records),
        versions={str(key): str(value) for key, value in head.get("versions", {}).items() if value is not None},
        folder=folder.resolve().name,
        notes=tuple(notes),
    )


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise ReportError(f"{file}: no such file; a run folder holds run.json and records.jsonl") from None
    except OSError as error:
        raise ReportError(f"{file}: cannot be read ({error.strerror}); check its type and permissions") from error


def _read_head(file: Path) -> dict[str, Any]:
    try:
        head = json.loads(_read_bytes(file).decode())
    except ValueError as error:
        if isinstance(error, ReportError):
            raise
        raise ReportError(f"{file}: not valid JSON ({error}); restore the file or run again") from error
    if not isinstance(head, dict) or "format" not in head:
        raise ReportError(f"{file}: no format number, so not a run of fedward; give a folder that fedward wrote")
    if head["format"] != FORMAT:
        raise ReportError(
            f"{file}: format {head['format']!r}, but this version of fedward reads format {FORMAT}; "
            "use the version of fedward that wrote the run (see its versions entry)"
        )
    ids = head.get("byzantine_ids")
    wrong = [
        key
        for key, valid in {
            "name": isinstance(head.get("name"), str),
            "config": isinstance(head.get("config"), dict),
            "byzantine_ids": isinstance(ids, list) and all(type(i) is int for i in ids),
            "versions": isinstance(head.get("versions", {}), dict),
            "earlier": _parts(head.get("earlier", [])),
        }.items()
        if not valid
    ]
    if wrong:
        raise ReportError(f"{file}: {', '.join(wrong)} missing or of the wrong type; restore the file or run again")
    return head


def _parts(earlier: Any) -> bool:
    """Whether these are rounds with the versions that they were made by."""
    if not isinstance(earlier, list):
        return False
    return all(isinstance(part, dict) and {"rounds", "versions"} <= part.keys() for part in earlier)


def _read_records(file: Path) -> tuple[list[Record], list[str]]:
    lines = [(number, line) for number, line in enumerate(_read_bytes(file).split(b"\n"), 1) if line.strip()]
    notes: list[str] = []
    rounds: dict[int, Record] = {}
    repeated = 0
    clients: int | None = None
    for position, (number, line) in enumerate(lines):
        try:
            entry = json.loads(line.decode())
        except ValueError as error:
            if position == len(lines) - 1:
                notes.append(f"The last line of records.jsonl (line {number}) is cut short and was left out.")
                break
            raise ReportError(
                f"{file}, line {number}: not valid JSON ({error}); delete the line, or resume the run from "
                "its checkpoint"
            ) from error
        try:
            record = _record(entry)
            if clients is not None and len(record.accepted) != clients:
                raise ValueError(f"accepted has {len(record.accepted)} clients, the lines before have {clients}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"no entry {error}" if isinstance(error, KeyError) else str(error)
            raise ReportError(f"{file}, line {number}: not a record of a round ({what}); delete the line") from error
        clients = len(record.accepted)
        repeated += record.round in rounds
        rounds[record.round] = record
    if not rounds:
        raise ReportError(f"{file}: no complete round; wait for the first round to end, or leave this run out")
    if repeated:
        notes.append(f"Lines replaced by a later line for the same round (a resumed run): {repeated}.")
    return [rounds[key] for key in sorted(rounds)], notes


def _record(entry: Any) -> Record:
    if not isinstance(entry, dict):
        raise TypeError("expected a JSON object")
    number, accepted = entry["round"], entry["accepted"]
    if type(number) is not int:
        raise TypeError(f"round must be a whole number, got {number!r}")
    if not isinstance(accepted, str) or not accepted or set(accepted) - set("10-"):
        raise ValueError("accepted must hold one of 1, 0 and - for each client")
    signs = entry.get("signs") or {}
    return Record(
        round=number,
        accepted=accepted,
        accuracy=_rate(entry, "accuracy"),
        loss=_number(entry.get("loss"), "loss"),
        confidence=_rate(entry, "confidence"),
        train_loss=_number(entry.get("train_loss"), "train_loss"),
        honest_accepted=_rate(entry, "honest_accepted"),
        byzantine_accepted=_rate(entry, "byzantine_accepted"),
        honest_signs=_shares(signs.get("honest")),
        byzantine_signs=_shares(signs.get("byzantine")),
        reasons={int(client): str(reason) for client, reason in (entry.get("reasons") or {}).items()},
        seconds={
            str(phase): seconds
            for phase, value in (entry.get("seconds") or {}).items()
            if (seconds := _number(value, "seconds")) is not None
        },
        note=None if entry.get("note") is None else str(entry["note"]),
        scores={str(name): _scores(values, len(accepted)) for name, values in (entry.get("scores") or {}).items()},
    )


def _scores(values: Any, clients: int) -> list[float | None]:
    if not isinstance(values, list) or len(values) != clients:
        raise ValueError(f"a score must have a number or null for each of {clients} clients, got {values!r}")
    return [_number(value, "scores") for value in values]


def _number(value: Any, what: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number or null, got {value!r}")
    return float(value)


def _rate(entry: Mapping[str, Any], key: str) -> float | None:
    value = _number(entry.get(key), key)
    if value is None or math.isnan(value):
        return None
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{key} must lie in 0..1, got {value!r}")
    return value


def _shares(value: Any) -> Shares | None:
    if value is None:
        return None
    plus, zero, minus = (_number(share, "signs") for share in value)
    if plus is None or zero is None or minus is None:
        raise TypeError("signs must hold three shares")
    return plus, zero, minus
