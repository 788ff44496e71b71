"""The audit: of every round, which node was kept or dropped, why and with what score."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from flwr.app import MetricRecord
from torch import Tensor

from ..core import Result
from ..disk import json_line, open_to_append
from .answers import Drop, Fault

FORMAT = 1
"""Of the lines of an audit file; `fedward.report.audits` reads them."""

PREFIX = "fedward-"
"""Begins the names of the audit's metrics, which nodes cannot set."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one node in one round.

    Attributes:
        node: its id.
        accepted: whether its update took part in the aggregate.
        reason: a `fedward.Reason` where the rule judged it, else a `Fault`.
        detail: what exactly was wrong with a reply, where the reason does not say it.
        weight: of its row in the aggregate; None where the rule gives none.
        scores: what the rule looked at.
    """

    node: int
    accepted: bool
    reason: str
    detail: str = ""
    weight: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Audit:
    """One round: who was asked, what became of each, why the model stayed as it was, if it did, and the rule's note."""

    round: int
    rule: str
    verdicts: tuple[Verdict, ...]
    skipped: str | None = None
    seconds: float = 0.0
    note: str = ""

    @property
    def kept(self) -> list[int]:
        """Ids of the nodes whose updates took part."""
        return [v.node for v in self.verdicts if v.accepted]

    @property
    def dropped(self) -> list[Verdict]:
        """Those that did not."""
        return [v for v in self.verdicts if not v.accepted]

    def metrics(self) -> MetricRecord:
        """The round as numbers, for Flower's result: ids of the nodes kept, and dropped by reason; weights and scores.

        Lists of weights and scores are in the order of ``fedward-nodes``.
        """
        record = MetricRecord()
        judged = [v for v in self.verdicts if v.reason not in set(Fault)]
        record[f"{PREFIX}skipped"] = int(self.skipped is not None)
        record[f"{PREFIX}kept"] = self.kept
        for reason in dict.fromkeys(v.reason for v in self.dropped):
            record[f"{PREFIX}dropped-{reason}"] = [v.node for v in self.dropped if v.reason == reason]
        record[f"{PREFIX}nodes"] = [v.node for v in judged]
        if judged and all(v.weight is not None for v in judged):
            record[f"{PREFIX}weight"] = [float(v.weight or 0) for v in judged]
        for name in judged[0].scores if judged else ():
            record[f"{PREFIX}score-{name}"] = [v.scores[name] for v in judged]
        return record

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; ids as text, for they are beyond what a float can hold."""

        def plain(value: float | None) -> float | None:
            return value if value is not None and isfinite(value) else None

        nodes = [
            {
                "node": str(v.node),
                "accepted": v.accepted,
                "reason": str(v.reason),
                **({"detail": v.detail} if v.detail else {}),
                "weight": plain(v.weight),
                "scores": {name: plain(score) for name, score in v.scores.items()},
            }
            for v in self.verdicts
        ]
        return {
            "format": FORMAT,
            "round": self.round,
            "rule": self.rule,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 6),
            **({"note": self.note} if self.note else {}),
            "nodes": nodes,
        }

    def lines(self) -> list[str]:
        """For a log: one line on all, one on each node that was dropped."""
        asked = len(self.verdicts)
        head = f"{self.rule}: {len(self.kept)} of {asked} nodes kept"
        if self.skipped is not None:
            head = f"{self.rule}: the model stays as it was: {self.skipped}"
        elif self.note:
            head += f": {self.note}"
        rest = [f"\t> dropped node {v.node}: {v.reason}{': ' * bool(v.detail)}{v.detail}" for v in self.dropped]
        return [head, *rest]


def verdicts(drops: Sequence[Drop], result: Result[Tensor] | Sequence[Drop] = ()) -> tuple[Verdict, ...]:
    """Verdicts on the nodes that were dropped beforehand and on those that a rule judged, in the order of ids."""
    dropped = [*drops] if isinstance(result, Result) else [*drops, *result]
    found = [Verdict(node=drop.node, accepted=False, reason=drop.fault, detail=drop.detail) for drop in dropped]
    if isinstance(result, Result):
        weights = [None] * len(result.ids) if result.weights is None else result.weights.tolist()
        scores = {name: values.tolist() for name, values in result.scores.items()}
        for i, node in enumerate(result.ids):
            assert isinstance(node, int)
            of_node = {name: values[i] for name, values in scores.items()}
            accepted = bool(result.accepted[i])
            detail = result.details.get(node, "")
            found.append(
                Verdict(
                    node=node,
                    accepted=accepted,
                    reason=result.reasons[i],
                    detail=detail,
                    weight=weights[i],
                    scores=of_node,
                )
            )
    return tuple(sorted(found, key=lambda v: v.node))


class AuditFile:
    """JSON lines on disk, one a round, added as rounds end. What is there already stays.

    Raises:
        OSError: the file cannot be written to.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open_to_append(self.path) as file:
            if file.tell() and not self._ends_a_line(file):
                file.write(b"\n")  # a line that a kill cut short must not swallow the next

    @staticmethod
    def _ends_a_line(file: Any) -> bool:
        file.seek(-1, os.SEEK_END)
        return bool(file.read(1) == b"\n")

    def append(self, audit: Audit) -> None:
        """Add one round."""
        with open_to_append(self.path) as file:
            file.write(json_line(audit.to_json()).encode())
