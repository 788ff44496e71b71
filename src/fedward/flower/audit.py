"""The audit: of every round, which node was kept or dropped, why and with what score."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from logging import INFO, getLogger
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..core import Result
from ..disk import check_folder, json_line, json_of, open_regular, open_to_append, set_aside
from .answers import Drop, Fault, Reply, shown
from .names import NodeNames

FORMAT = 1
"""Of the lines of an audit file; `fedward.report.audits` reads them."""

PREFIX = "fedward-"
"""Begins the names of the audit's metrics, which nodes cannot set."""

_MOST_METRICS = 16
"""Of what a node says of itself, that an audit has."""
_LONGEST_METRIC = 64
_LONGEST_LINE = 1 << 26
_logger = getLogger("flwr")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one node in one round.

    Attributes:
        node: its id.
        name: what it is called (`NodeNames`); empty if it has no name.
        accepted: whether its update took part in the aggregate.
        reason: a `fedward.Reason` where the rule judged it, else a `Fault`.
        detail: what exactly was wrong with a reply, where the reason does not say it.
        weight: of its row in the aggregate; None where the rule gives none.
        scores: what the rule looked at; of rules that trim columns, in an audit file, the share of the columns in
            which the node's entry has no part in the output, as "trimmed".
        metrics: what it says of itself, numbers alone.
    """

    node: int
    name: str = ""
    accepted: bool
    reason: str
    detail: str = ""
    weight: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """The node as people speak of it."""
        return f"{self.name} ({self.node})" if self.name else str(self.node)


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

    def metrics(self) -> dict[str, int | list[int] | list[float]]:
        """The round as numbers, for Flower's result: ids of the nodes kept, and dropped by reason; weights and scores.

        Lists of weights and scores are in the order of ``fedward-nodes``.
        """
        record: dict[str, int | list[int] | list[float]] = {}
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
                **({"name": v.name} if v.name else {}),
                "accepted": v.accepted,
                "reason": str(v.reason),
                **({"detail": v.detail} if v.detail else {}),
                "weight": plain(v.weight),
                "scores": {name: plain(score) for name, score in v.scores.items()},
                **({"metrics": dict(v.metrics)} if v.metrics else {}),
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
        rest = [f"\t> dropped node {v.called}: {v.reason}{': ' * bool(v.detail)}{v.detail}" for v in self.dropped]
        return [head, *rest]


def verdicts(
    drops: Sequence[Drop],
    result: Result[Tensor] | Sequence[Drop] = (),
    sound: Sequence[Reply] = (),
    names: NodeNames | None = None,
) -> tuple[Verdict, ...]:
    """Verdicts on the nodes that were dropped and on those that a rule judged, in the order of ids.

    Args:
        drops: replies that do not count.
        result: the rule's; or more drops, where it judged nobody.
        sound: the replies that the result is about.
        names: what nodes are called.
    """
    dropped = [*drops] if isinstance(result, Result) else [*drops, *result]
    replies: dict[Hashable, Reply] = {reply.client: reply for reply in sound}
    said = {reply.node: told_numbers(reply.metrics) for reply in sound}
    called = names or NodeNames("ids")
    found = [
        Verdict(
            node=drop.node,
            name=called.of(drop.node),
            accepted=False,
            reason=drop.fault,
            detail=drop.detail,
            metrics=said.get(drop.node, {}),
        )
        for drop in dropped
    ]
    if isinstance(result, Result):
        weights = [None] * len(result.ids) if result.weights is None else result.weights.tolist()
        scores = {name: values.tolist() for name, values in result.scores.items()}
        for i, client in enumerate(result.ids):
            reply = replies[client]
            found.append(
                Verdict(
                    node=reply.node,
                    name=reply.name,
                    accepted=bool(result.accepted[i]),
                    reason=result.reasons[i],
                    detail=result.details.get(client, ""),
                    weight=weights[i],
                    scores={name: values[i] for name, values in scores.items()},
                    metrics=said[reply.node],
                )
            )
    return tuple(sorted(found, key=lambda v: v.node))


def told_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among metrics, not too many of them: whoever sent them may have sent anything."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if len(found) == _MOST_METRICS:
            break
        if isinstance(value, int | float) and abs(value) < 1e300:
            found[shown(name, _LONGEST_METRIC)] = float(value)
    return found


class AuditFile:
    """JSON lines on disk, added as rounds end: what became of the nodes in each, and what the model was found to be.

    A file holds one run. Where another one's rounds are there already, that file gets another name, audit-1.jsonl,
    and the log says so; a run that resumes from a checkpoint continues its file.

    Raises:
        OSError: the file cannot be written to, or its folder is not there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        check_folder(self.path)
        with open_to_append(self.path):
            pass  # before a round is spent on it
        self._done: int | None = None
        """After how many rounds the run began, if it said so."""
        self._last: int | None = None
        """The last round that is in it; None until something is to be written."""
        self._evaluated = -1

    def begin(self, done: int) -> None:
        """A run begins, or resumes after so many rounds; an earlier run's file is left until this one has a line."""
        self._done, self._last = done, None

    def _start(self, done: int) -> None:
        """Before the first line of a run that has done so many rounds."""
        last, evaluated = _rounds_in(self.path)
        if last > done or (done == 0 and last >= 0):
            aside = set_aside(self.path)
            _logger.log(INFO, "the audit of an earlier run, %s, is now %s", self.path, aside)
            last, evaluated = -1, -1
        elif last >= 0:
            _logger.log(INFO, "the audit continues in %s, after round %d", self.path, last)
        self._last = last
        self._evaluated = evaluated

    def append(self, audit: Audit) -> None:
        """Add one round."""
        if self._last is None or audit.round <= self._last:
            self._start(audit.round - 1 if self._done is None or self._last is not None else self._done)
        self._add(audit.to_json())
        self._last = audit.round

    def append_evaluation(
        self,
        number: int,
        by: Literal["server", "clients"],
        metrics: Mapping[str, Any],
        replies: Sequence[Reply] = (),
        names: NodeNames | None = None,
    ) -> None:
        """Add what the model after a round was found to be, 0 before the first: by the server, or by clients together.

        Args:
            number: of the round.
            by: whom.
            metrics: what was found.
            replies: each client's own, with its metrics.
            names: what they are called.
        """
        if self._last is None:
            self._start(number if self._done is None else self._done)
        if by == "server":
            if number <= self._evaluated:
                return  # a run that resumes evaluates once more what it had at the end
            self._evaluated = number
        called = names or NodeNames("ids")
        nodes = [
            {
                "node": str(reply.node),
                **({"name": called.of(reply.node)} if called.of(reply.node) else {}),
                "metrics": told_numbers(reply.metrics),
            }
            for reply in replies
        ]
        line = {"format": FORMAT, "round": number, "evaluated": by, "metrics": told_numbers(metrics)}
        self._add({**line, **({"nodes": nodes} if nodes else {})})

    def _add(self, entry: Mapping[str, Any]) -> None:
        with open_to_append(self.path) as file:
            if file.tell() and not _ends_a_line(file):
                file.write(b"\n")  # a line that a kill cut short must not swallow this one
            file.write(json_line(entry).encode())


def _ends_a_line(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _rounds_in(path: Path) -> tuple[int, int]:
    """The last round of an audit, and the last one that its server evaluated; -1 where there is none."""
    last, evaluated = -1, -1
    if not path.exists():
        return last, evaluated
    for line in _lines(path):
        try:
            entry = json_of(line)
            number = int(entry["round"])
        except (ValueError, TypeError, KeyError, OverflowError):
            continue  # cut short, or of something else
        last = max(last, number)
        if entry.get("evaluated") == "server":
            evaluated = max(evaluated, number)
    return last, evaluated


def _lines(path: Path) -> Iterator[bytes]:
    with open_regular(path) as file:
        while line := file.readline(_LONGEST_LINE):
            yield line
