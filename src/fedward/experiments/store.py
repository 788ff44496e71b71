"""A run's folder: its specification, one record a line, and a checkpoint."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..sim import Record, Simulation
from .spec import RunSpec

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
        return self.path / "run.json", self.records, self.checkpoint

    def holdings(self) -> str:
        """What is there of an earlier run, in words."""
        names = [file.name for file in self.files if file.exists()]
        rounds = lines_in(self.records)
        return f"{', '.join(names)} in {self.path}" + (f" ({rounds} rounds)" if rounds else "")

    def clear(self) -> None:
        """Forget an earlier run in this folder, and nothing else that may lie there."""
        for file in self.files:
            file.unlink(missing_ok=True)

    def describe(self, spec: RunSpec, simulation: Simulation) -> None:
        """Write down what the run is."""
        head: dict[str, Any] = {
            "format": _FORMAT,
            "name": self.path.name,
            "config": spec.resolved(),
            "byzantine_ids": sorted(simulation.byzantine),
            "versions": {"fedward": __version__, "torch": torch.__version__, "python": platform.python_version()},
        }
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / "run.json", json.dumps(head, indent=1) + "\n")

    def write_records(self, records: Iterable[Record]) -> None:
        """Write all records anew."""
        write_whole(self.records, "".join(map(_line, records)))

    def append(self, file: TextIOWrapper, record: Record) -> None:
        """Add one record."""
        file.write(_line(record))
        file.flush()


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
