"""A run's folder: its specification, one record a line, and a checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from ..sim import Record, Simulation
from .spec import RunSpec
from .versions import versions

_FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """Where a run lives: ``run.json``, ``records.jsonl`` and ``checkpoint.pt``."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """What the run is gone on from."""
        return self.path / "checkpoint.pt"

    @property
    def records(self) -> Path:
        """One JSON object a round."""
        return self.path / "records.jsonl"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that a run writes."""
        return self.head, self.records, self.checkpoint

    def holdings(self) -> str:
        """What is there of an earlier run, in words."""
        names = [file.name for file in self.files if file.exists()]
        rounds = lines_in(self.records)
        return f"{', '.join(names)} in {self.path}" + (f" ({rounds} rounds)" if rounds else "")

    def clear(self) -> None:
        """Forget an earlier run in this folder, and nothing else that may lie there."""
        for file in self.files:
            file.unlink(missing_ok=True)

    @property
    def head(self) -> Path:
        """What the run is, as JSON."""
        return self.path / "run.json"

    def describe(self, spec: RunSpec, simulation: Simulation, done: int) -> None:
        """Write down what the run is, and by which code its rounds are made.

        ``versions`` are those of the last rounds. Where earlier rounds were made by another code, ``earlier`` says
        by which, and up to which round.

        Args:
            spec: what is run.
            simulation: the run.
            done: rounds that were there already, made by the code that the folder names.
        """
        made = self._made()
        if done >= spec.rounds and made:  # nothing is added: it stays what another code has made
            now, earlier = made["versions"], made.get("earlier", [])
        else:
            now, earlier = versions(), _earlier(made, done)
        head: dict[str, Any] = {
            "format": _FORMAT,
            "name": self.path.name,
            "config": spec.resolved(),
            "byzantine_ids": sorted(simulation.byzantine),
            "versions": now,
        }
        if earlier:
            head["earlier"] = earlier
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.head, json.dumps(head, indent=1) + "\n")

    def _made(self) -> dict[str, Any]:
        """What the folder says already; nothing where it says nothing."""
        try:
            made = json.loads(self.head.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return made if isinstance(made, dict) and "versions" in made else {}

    def write_records(self, records: Iterable[Record]) -> None:
        """Write all records anew."""
        write_whole(self.records, "".join(map(_line, records)))

    def append(self, file: TextIOWrapper, record: Record) -> None:
        """Add one record."""
        file.write(_line(record))
        file.flush()


def _earlier(made: dict[str, Any], done: int) -> list[dict[str, Any]]:
    """By which other code the rounds so far were made; nothing where all code is the same.

    A run that was killed may go on from a checkpoint of fewer rounds than the folder speaks of.
    """
    parts: list[dict[str, Any]] = []
    for part in [*made.get("earlier", []), {"rounds": done, "versions": made.get("versions")}]:
        if not parts or parts[-1]["rounds"] < done:
            parts.append({**part, "rounds": min(part["rounds"], done)})
    while parts and (parts[-1]["versions"] == versions() or not parts[-1]["rounds"]):
        parts.pop()
    return parts


def _line(record: Record) -> str:
    return json.dumps(record.to_json(), separators=(",", ":")) + "\n"


def lines_in(path: Path) -> int:
    """How many whole lines a file has; 0 if it is not there."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def write_whole(path: Path, text: str) -> None:
    """Write beside, then move: a reader sees the old file or the new one."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
