"""A line of a federation's audit, as `fedward.flower` writes it: a round, or what its model was found to be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from ..core import Reason
from ..disk import json_of
from ..failures import tamed
from ..sim.forms import Form, FormError, brief, read_back, read_number, read_whole
from ..sim.record import RoundNumber, Seconds

FORMAT = 1
"""Of the lines that are read here; those of before there was a number are of this format too."""
NO_ANSWER = ("missing", "not-asked")
"""Reasons of nodes that took no part in a round."""
UNUSED = "round-skipped"
"""The reason of a sound reply in a round in which nobody decided."""

_LAST = 2**53
_LARGEST = 1e300
_LONGEST_NAME = 64


class OtherFormatError(FormError):
    """A line that is complete, and of a format that this version does not read."""


def _read_from_0(value: Any) -> int:
    number = read_whole(value)
    if not 0 <= number <= _LAST:
        raise FormError(f"must lie in 0..{_LAST}, got {brief(value)}")
    return number


def _read_sane(value: Any) -> float | None:
    number = None if value is None else read_number(value)
    return number if number is not None and abs(number) <= _LARGEST else None


Number = Annotated[float | None, Form(write=lambda number: number, read=_read_sane)]
"""A number that can be drawn and added up; None of one that cannot."""


@dataclass(frozen=True, kw_only=True)
class NodeEntry:
    """What became of a node in a round."""

    node: str
    name: str = ""
    accepted: bool | None
    reason: str
    detail: str = ""
    weight: Number = None
    scores: Mapping[str, Number] = field(default_factory=dict)
    metrics: Mapping[str, Number] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """Whether the rule says of single nodes whom it accepts, where it was asked."""
        return self.reason != Reason.NOT_JUDGED

    @property
    def kept(self) -> bool:
        """Whether its update took part in the aggregate, or was given to a rule that says nothing of single nodes."""
        return self.accepted is not False


@dataclass(frozen=True, kw_only=True)
class RoundEntry:
    """A round of an audit."""

    round: RoundNumber
    nodes: tuple[NodeEntry, ...]
    rule: str = ""
    skipped: str | None = None
    seconds: Seconds = 0.0
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class NodeFound:
    """What a node says of the model after a round."""

    node: str
    name: str = ""
    metrics: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EvaluationEntry:
    """What the model after a round was found to be, by the "server" or by "clients" together; 0 before the first."""

    round: Annotated[int, Form(write=int, read=_read_from_0)]
    evaluated: str
    metrics: Mapping[str, Number] = field(default_factory=dict)
    nodes: tuple[NodeFound, ...] = ()


AuditLine = RoundEntry | EvaluationEntry


def read_line(line: bytes) -> AuditLine:
    """A line of an audit.

    Raises:
        OtherFormatError: of a later format.
        ValueError: anything else that is none.
    """
    entry = json_of(line)
    found: AuditLine
    if isinstance(entry, dict) and "evaluated" in entry:
        found = read_back(EvaluationEntry, entry)
        if found.evaluated not in ("server", "clients"):
            raise FormError(f"evaluated must be server or clients, got {brief(found.evaluated)}")
    else:
        found = read_back(RoundEntry, entry)
    if len({node.node for node in found.nodes}) < len(found.nodes):
        raise FormError("a node is there twice")
    named = [node.name for node in found.nodes if node.name]
    if len(set(named)) < len(named):
        raise FormError("a name is there twice")
    made_as = entry.get("format", FORMAT)
    if made_as != FORMAT:
        raise OtherFormatError(
            f"round {found.round} is of format {brief(made_as)}, but this version of fedward reads format {FORMAT}; "
            "use the version of fedward that wrote it"
        )
    return found


def shown_name(text: str) -> str:
    """The name or id of a node, as a page or a terminal may have it."""
    return tamed(text, _LONGEST_NAME)


def natural(name: str) -> list[tuple[int, str]]:
    """What names are sorted by: node-2 comes before node-10, and capitals do not matter."""
    parts = re.split("([0-9]+)", name.casefold())
    return [(len(part) if place % 2 else 0, part) for place, part in enumerate(parts)]


def absent(node: NodeEntry) -> bool:
    """Whether a node took no part in the decision about a round: no answer, or nobody decided."""
    return node.reason in NO_ANSWER or node.reason == UNUSED
