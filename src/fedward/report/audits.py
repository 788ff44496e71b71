"""Reading the audit of a Flower federation: JSON lines, as `fedward.flower` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..disk import read_bounded
from ..sim import Record
from .audit_lines import EvaluationEntry, NodeEntry, OtherFormatError, RoundEntry, absent, natural, read_line
from .following import no_audit, read_from
from .runs import ReportError, RunData, decided

AUDIT = "audit.jsonl"
"""The name under which an audit is looked for in a folder."""


@dataclass(frozen=True, kw_only=True)
class AuditData:
    """An audit that was read.

    Attributes:
        name: of the file, without its ending.
        rounds: in order.
        evaluations: what the model was found to be, in the order of rounds.
        who: nodes by name, or by id where they have none, as people sort them.
        ids: the node ids of each, several where the server was restarted.
        run: who was accepted, as a run of which nobody knows who is byzantine, clients in the order of ``who``.
        notes: what a reader should know.
    """

    name: str
    rounds: tuple[RoundEntry, ...]
    evaluations: tuple[EvaluationEntry, ...]
    who: tuple[str, ...]
    ids: Mapping[str, tuple[str, ...]]
    run: RunData
    notes: tuple[str, ...]

    @property
    def rule(self) -> str:
        """The rule of the last round."""
        return self.rounds[-1].rule

    def entries(self) -> Iterator[tuple[RoundEntry, str, NodeEntry]]:
        """Every verdict, with its round and whom it is about."""
        called = {node: name for name, nodes in self.ids.items() for node in nodes}
        for entry in self.rounds:
            for node in entry.nodes:
                yield entry, called[node.node], node


def find_audit(path: Path) -> Path | None:
    """The audit that a path names, itself or as a folder; None if it names something else."""
    if path.is_file():
        return path
    return path / AUDIT if (path / AUDIT).is_file() and not (path / "run.json").exists() else None


def load_audit(file: Path) -> AuditData:
    """Read an audit.

    A line that a kill cut short is left out and noted; of a round that is on record twice the later line counts.

    Raises:
        ReportError: the file cannot be read, is of another format, or has no complete round.
    """
    found = _Lines()
    try:
        content = read_bounded(file)
    except OSError as error:
        raise ReportError(f"{file}: cannot be read ({error.strerror}); check its type and permissions") from error
    for line in content.split(b"\n"):
        if line.strip():
            try:
                found.take(line)
            except OtherFormatError as error:
                raise ReportError(f"{file}: {error}") from error
    if not found.rounds:
        if why := no_audit(read_from(file)):
            raise ReportError(f"{file}: {why}")
        raise ReportError(
            f"{file}: no complete round of an audit is in it yet; give the file that RobustFedAvg(audit=...) wrote, "
            "once it has one"
        )
    rounds = tuple(found.rounds[number] for number in sorted(found.rounds))
    ids = who_is_who(rounds)
    if not ids:
        raise ReportError(f"{file}: no round of it has a node; give the file that RobustFedAvg(audit=...) wrote")
    who = tuple(sorted(ids, key=natural))
    places = {name: place for place, name in enumerate(who)}
    numbers = {node: places[name] for name, nodes in ids.items() for node in nodes}
    records = tuple(_record(entry, numbers, len(who)) for entry in rounds)
    run = RunData(
        name=file.stem,
        config={"rule": rounds[-1].rule, "nodes": list(who)},
        byzantine_ids=(),
        records=records,
        versions={},
        folder=file.resolve().parent.name,
    )
    return AuditData(
        name=file.stem,
        rounds=rounds,
        evaluations=tuple(found.evaluations[key] for key in sorted(found.evaluations)),
        who=who,
        ids=ids,
        run=run,
        notes=(*found.notes(), *decided(records), *strangers(rounds)),
    )


class _Lines:
    """The lines of an audit, by round."""

    def __init__(self) -> None:
        self.rounds: dict[int, RoundEntry] = {}
        self.evaluations: dict[tuple[int, str], EvaluationEntry] = {}
        self.broken = 0
        self.twice = 0

    def take(self, line: bytes) -> None:
        """Add a line, or count it.

        Raises:
            OtherFormatError: of a later format.
        """
        try:
            entry = read_line(line)
        except OtherFormatError:
            raise
        except ValueError:
            self.broken += 1
            return
        if isinstance(entry, EvaluationEntry):
            self.evaluations[entry.round, entry.evaluated] = entry
        else:
            self.twice += entry.round in self.rounds
            self.rounds[entry.round] = entry

    def notes(self) -> list[str]:
        """What is the matter with the file."""
        notes = []
        if self.broken:
            notes.append(f"Lines that cannot be read, and were left out: {self.broken}.")
        if self.twice:
            notes.append(f"Rounds on record twice, as if of two runs, of which the later line counts: {self.twice}.")
        return notes


def who_is_who(rounds: tuple[RoundEntry, ...]) -> dict[str, tuple[str, ...]]:
    """Node ids by name; a node without one goes by its id."""
    names: dict[str, str] = {}
    for entry in rounds:
        for node in entry.nodes:
            if node.name or node.node not in names:
                names[node.node] = node.name or node.node
    ids: dict[str, tuple[str, ...]] = {}
    for node_id, name in names.items():
        ids[name] = (*ids.get(name, ()), node_id)
    return ids


def strangers(rounds: Sequence[RoundEntry]) -> list[str]:
    """A note where a federation went on with nodes of which none had been there before, as after a restart."""
    if any(node.name for entry in rounds for node in entry.nodes):
        return []
    last = {node.node: at for at, entry in enumerate(rounds) for node in entry.nodes}
    until = 0  # the last round with any of the nodes so far
    for at, entry in enumerate(rounds):
        if at > until:
            return [
                f"From round {entry.round} on there are nodes of other ids alone, which may be the same nodes after a "
                "restart: ids are new in every run of a simulation. With fedward.flower.name_mod in the client app "
                "nodes keep their names."
            ]
        until = max([until, *(last[node.node] for node in entry.nodes)])
    return []


def _record(entry: RoundEntry, numbers: Mapping[str, int], clients: int) -> Record:
    """A round of an audit; a node that did not answer took no part in it, nor did one that nobody decided about."""
    accepted: list[bool | None] = [None] * clients
    reasons: dict[int, str] = {}
    for node in entry.nodes:
        client = numbers[node.node]
        if node.kept:
            accepted[client] = True
        elif not absent(node):
            accepted[client] = False
            reasons[client] = node.reason
    return Record(
        round=entry.round,
        accepted=tuple(accepted),
        judged=all(node.judged for node in entry.nodes),
        reasons=reasons,
        seconds={"aggregate": entry.seconds},
        skipped=entry.skipped or None,
        note=entry.note or None,
    )
