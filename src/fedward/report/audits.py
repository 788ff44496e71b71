"""Reading the audit of a Flower federation: JSON lines, one a round, as `fedward.flower` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..disk import json_of, read_bounded
from ..sim import Record
from ..sim.forms import FormError, brief, read_back
from ..sim.record import RoundNumber, Seconds, share
from .runs import ReportError, RunData, decided

AUDIT = "audit.jsonl"
"""The name under which an audit is looked for in a folder."""

_FORMAT = 1
"""Of the lines that are read here; those of before there was a number are of this format too."""

_ABSENT = ("missing",)


def find_audit(path: Path) -> Path | None:
    """The audit that a path names, itself or as a folder; None if it names something else."""
    if path.is_file():
        return path
    return path / AUDIT if (path / AUDIT).is_file() and not (path / "run.json").exists() else None


def load_audit(file: Path) -> RunData:
    """Read an audit as a run of which nobody knows who is byzantine.

    Clients are the nodes in the order of their ids; the configuration lists them. A line that a kill cut short is left
    out and noted; a round that is on record twice counts once, with the later line.

    Raises:
        ReportError: the file cannot be read, is of another format, or has no complete round.
    """
    rounds, broken = _entries(file)
    if not rounds:
        raise ReportError(f"{file}: no complete round of an audit; give the file that RobustFedAvg(audit=...) wrote")
    nodes = sorted({node.node for entry in rounds.values() for node in entry.nodes}, key=lambda n: (len(n), n))
    if not nodes:
        raise ReportError(f"{file}: no round of it has a node; give the file that RobustFedAvg(audit=...) wrote")
    numbers = {node: number for number, node in enumerate(nodes)}
    records = tuple(_record(rounds[number], numbers) for number in sorted(rounds))
    notes = ["Who is byzantine is not known to a federation's server; reasons say whom the rule dropped, and why."]
    if broken:
        notes.append(f"Lines that cannot be read, and were left out: {broken}.")
    notes += decided(records)
    last = rounds[max(rounds)]
    return RunData(
        name=file.stem,
        config={"rule": last.rule, "attack": "unknown", "nodes": nodes},
        byzantine_ids=(),
        records=records,
        versions={},
        folder=file.resolve().parent.name,
        notes=tuple(notes),
        byzantine_known=False,
    )


@dataclass(frozen=True, kw_only=True)
class _Node:
    """What became of a node in a round."""

    node: str
    accepted: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class _Round:
    """What is read of a line."""

    round: RoundNumber
    nodes: tuple[_Node, ...]
    rule: str = ""
    skipped: str | None = None
    seconds: Seconds = 0.0
    note: str | None = None


def _entries(file: Path) -> tuple[dict[int, _Round], int]:
    """The rounds of an audit by number, and how many lines are none."""
    try:
        lines = [line for line in read_bounded(file).split(b"\n") if line.strip()]
    except OSError as error:
        raise ReportError(f"{file}: cannot be read ({error.strerror}); check its type and permissions") from error
    rounds: dict[int, _Round] = {}
    broken = 0
    for line in lines:
        try:
            entry = json_of(line)
            read = read_back(_Round, entry)
            if len({node.node for node in read.nodes}) < len(read.nodes):
                raise FormError("a node is there twice")
        except ValueError:
            broken += 1
            continue
        made_as = entry.get("format", _FORMAT)
        if made_as != _FORMAT:
            raise ReportError(
                f"{file}: round {read.round} is of format {brief(made_as)}, but this version of fedward reads format "
                f"{_FORMAT}; use the version of fedward that wrote it"
            )
        rounds[read.round] = read
    return rounds, broken


def _record(entry: _Round, numbers: Mapping[str, int]) -> Record:
    """A round of an audit; a node that did not answer took no part in it."""
    accepted: list[bool | None] = [None] * len(numbers)
    reasons: dict[int, str] = {}
    for node in entry.nodes:
        client = numbers[node.node]
        if node.accepted:
            accepted[client] = True
        elif node.reason not in _ABSENT:
            accepted[client] = False
            reasons[client] = node.reason
    return Record(
        round=entry.round,
        accepted=tuple(accepted),
        honest_accepted=share([verdict for verdict in accepted if verdict is not None]),
        reasons=reasons,
        seconds={"aggregate": entry.seconds},
        skipped=entry.skipped or None,
        note=entry.note or None,
    )
