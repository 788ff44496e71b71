"""Following an audit while its federation runs: what was added since, and where every node stands."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from ..core.verdict import kept_or_given
from ..disk import open_regular
from ..failures import tamed
from .audit_lines import AuditLine, EvaluationEntry, NodeEntry, RoundEntry, absent, natural, read_line, shown_name

_PIECE = 1 << 22
"""Bytes that are read at a time, if they hold a line."""
_LONGEST = 1 << 26
"""Bytes of a line; a longer one is left out."""
_JSON_LINES = (
    "each line of one is JSON of a round (what fedward audit --json prints is none: --report makes a page of its own)"
)
_MOST_NODES = 2000
_MOST_NUMBERS = 8
_RECENT = 40
_STOPS = frozenset(',;()"')


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What was added to a file.

    Attributes:
        lines: in order, those that could be read.
        offset: of the first byte that has not been read.
        file: which file it was: another one has another text.
        again: whether the file is another one than it was, or was cut, so that it was read from its beginning.
        more: whether there is more to read at once.
        broken: lines that could not be read.
        why: what is wrong with the first of these, or with what begins the last line, which is not whole yet.
    """

    lines: tuple[AuditLine, ...]
    offset: int
    file: str
    again: bool
    more: bool
    broken: int
    why: str = ""


class Repeats:
    """Rounds that are on record once more: those of a run only go up, so that another one wrote there as well."""

    def __init__(self) -> None:
        self._last = 0
        self.rounds = 0

    def take(self, piece: Piece) -> int:
        """What was added: how many there are in it."""
        if piece.again:
            self._last = self.rounds = 0
        before = self.rounds
        for line in piece.lines:
            if isinstance(line, RoundEntry):
                self.rounds += line.round <= self._last
                self._last = max(self._last, line.round)
        return self.rounds - before


def no_audit(piece: Piece) -> str:
    """Why a file of which this is the beginning is no audit; "" if it is one, or is too short to tell."""
    if piece.lines or not piece.why:
        return ""
    return f"is no audit of a federation, which RobustFedAvg(audit=...) writes: {piece.why}"


def read_from(path: Path, offset: int = 0, file: str = "") -> Piece:
    """The whole lines of an audit from an offset on, as many as fit into a few megabytes.

    Args:
        path: the audit.
        offset: where the last piece ended.
        file: which file that was; empty for whichever it is.

    Raises:
        OSError: it cannot be read.
    """
    with open_regular(path) as opened:
        found = os.fstat(opened.fileno())
        now = f"{found.st_dev:x}-{found.st_ino:x}"
        again = bool(file) and (now != file or not _continues(opened, offset, found.st_size))
        start = 0 if again else offset
        opened.seek(start)
        content = opened.read(_PIECE)
        while (end := content.rfind(b"\n") + 1) == 0 and len(content) < _LONGEST:
            added = opened.read(_PIECE)
            if not added:
                break
            content += added
        position = start + end
        too_long = end == 0 and len(content) >= _LONGEST
        while too_long and (added := opened.read(_PIECE)):  # to where the next line begins, if there is one
            if b"\n" in added:
                position = opened.tell() - len(added) + added.index(b"\n") + 1
                break
        size = os.fstat(opened.fileno()).st_size
    lines: list[AuditLine] = []
    broken = int(position > start + end)
    why = f"a line has more than {_LONGEST:,} bytes" if broken else ""
    for line in content[:end].split(b"\n"):
        if line.strip():
            try:
                lines.append(read_line(line))
            except JSONDecodeError:
                broken += 1
                why = why or f"{_JSON_LINES}; here a line begins with {tamed(repr(line[:16]))}"
            except ValueError as error:
                broken += 1
                why = why or tamed(error)
    why = why or _begins_wrong(content[end:])
    more = start < position < size
    return Piece(lines=tuple(lines), offset=position, file=now, again=again, more=more, broken=broken, why=why)


def _begins_wrong(part: bytes) -> str:
    """What is wrong with the beginning of a line that is not whole yet."""
    began = part.lstrip()
    return "" if not began or began.startswith(b"{") else f"a line begins with {tamed(repr(began[:16]))}"


def _continues(opened: Any, offset: int, size: int) -> bool:
    """Whether what lies before the offset ends a line, as it did."""
    if offset == 0:
        return True
    if offset > size:
        return False
    opened.seek(offset - 1)
    return bool(opened.read(1) == b"\n")


# --- for programs, and for the page -----------------------------------------------------------------------------


def line_told(line: AuditLine) -> dict[str, Any]:
    """A line as plain values: bounded, and without what a terminal or a page would obey."""
    if isinstance(line, EvaluationEntry):
        return {"round": line.round, "evaluated": line.evaluated, "metrics": _numbers(line.metrics)}
    return {
        "round": line.round,
        "rule": tamed(line.rule),
        "skipped": tamed(line.skipped) if line.skipped else None,
        "note": tamed(line.note) if line.note else None,
        "seconds": line.seconds,
        "nodes": [_node_told(node) for node in _by_name(line.nodes)[:_MOST_NODES]],
        "left_out": max(len(line.nodes) - _MOST_NODES, 0),
    }


def _node_told(node: NodeEntry) -> dict[str, Any]:
    return {
        "node": shown_name(node.node),
        "name": shown_name(node.name),
        "mark": mark_of(node),
        "reason": tamed(node.reason, 40),
        "detail": tamed(node.detail, 300),
        "weight": node.weight,
        "scores": _numbers(node.scores),
        "metrics": _numbers(node.metrics),
    }


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    known = [(tamed(name, 40), value) for name, value in values.items() if value is not None]
    return dict(known[:_MOST_NUMBERS])


def mark_of(node: NodeEntry) -> str:
    """What became of a node: 1 accepted, g given to a rule that says nothing of single nodes, 0 dropped, - neither."""
    if node.kept:
        return "1" if node.judged else "g"
    return "-" if absent(node) else "0"


def round_in_words(entry: RoundEntry) -> str:
    """A round in a line of text."""
    asked = [node for node in entry.nodes if node.reason != "not-asked"]
    kept = sum(node.kept for node in entry.nodes)
    nodes = _by_name(entry.nodes)
    dropped = [_identified(n, tamed(n.reason, 40)) for n in nodes if mark_of(n) == "0"]
    silent = [_identified(n) for n in nodes if n.reason == "missing"]
    parts = [f"round {entry.round}: {kept} of {len(asked)} nodes {kept_or_given(node.reason for node in asked)}"]
    if entry.skipped:
        parts.append(f"the model stays as it was: {tamed(entry.skipped, 300)}")
    if dropped:
        parts.append(f"dropped {_listed(dropped)}")
    if silent:
        parts.append(f"no answer from {_listed(silent)}")
    return "; ".join(parts)


def evaluation_in_words(entry: EvaluationEntry) -> str:
    """What the model was found to be, in a line of text."""
    found = ", ".join(f"{name} {value:.4g}" for name, value in _numbers(entry.metrics).items())
    by = "server" if entry.evaluated == "server" else "nodes together"
    return f"after round {entry.round}, {by}: {found or 'nothing'}"


def _called(node: NodeEntry) -> str:
    return shown_name(node.name or node.node)


def _by_name(nodes: Iterable[NodeEntry]) -> list[NodeEntry]:
    return sorted(nodes, key=lambda node: (natural(_called(node)), node.node))


def _identified(node: NodeEntry, *told: str) -> str:
    """A node's name with its id, for a name may look like another's; and what is told of it."""
    name, own = _called(node), shown_name(node.node)
    if _STOPS & set(name):  # it must not read as the end of this one and the next
        name = f'"{name.replace(chr(34), chr(39))}"'
    beside = ", ".join([own, *told] if node.name else told)
    return f"{name} ({beside})" if beside else name


def _listed(names: list[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# --- where nodes stand ------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class NodeStanding:
    """A node over the rounds so far."""

    kept: int = 0
    dropped: int = 0
    silent: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=_RECENT))
    seen: int = 0
    """The last round that it was part of."""
    node: str = ""
    """Its id then, where it has a name as well."""

    @property
    def share(self) -> float | None:
        """Of the rounds in which it was judged, those in which it was accepted."""
        judged = self.kept + self.dropped
        return self.kept / judged if judged else None


class FederationStanding:
    """Where a federation stands, of bounded size however long it runs."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """The file is another one: forget all."""
        self.nodes: dict[str, NodeStanding] = {}
        self.last: RoundEntry | None = None
        self.found: dict[str, EvaluationEntry] = {}
        self.rounds = 0
        self.skipped = 0
        self.broken = 0
        self.repeats = Repeats()

    def take(self, piece: Piece) -> None:
        """What was added."""
        if piece.again:
            self.clear()
        self.repeats.take(piece)
        self.broken += piece.broken
        for line in piece.lines:
            if isinstance(line, EvaluationEntry):
                self.found[line.evaluated] = line
            else:
                self._round(line)

    def _round(self, entry: RoundEntry) -> None:
        self.last = entry
        self.rounds += 1
        self.skipped += bool(entry.skipped)
        for node in entry.nodes:
            self._node(entry.round, node)
        if len(self.nodes) > _MOST_NODES:
            longest_ago = sorted(self.nodes, key=lambda name: self.nodes[name].seen)
            for name in longest_ago[: len(self.nodes) - _MOST_NODES]:
                del self.nodes[name]

    def _node(self, number: int, node: NodeEntry) -> None:
        name = _called(node)
        own = shown_name(node.node)
        if node.name and own in self.nodes and name not in self.nodes:
            self.nodes[name] = self.nodes.pop(own)  # it had not said who it is
        standing = self.nodes.setdefault(name, NodeStanding())
        mark = mark_of(node)
        standing.seen = number
        standing.node = own if node.name else ""
        standing.recent.append(mark)
        standing.kept += mark == "1"
        standing.dropped += mark == "0"
        standing.silent += node.reason == "missing"
        if mark == "0":
            standing.reasons[tamed(node.reason, 40)] += 1
