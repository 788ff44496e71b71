"""The audit: of every round, which node was kept or dropped, why and with what score."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from torch import Tensor

from ..core import Reason, Result
from ..core.verdict import kept_or_given
from .answers import NONFINITE, Drop, Fault, Reply, shown
from .names import NodeNames, row_order

FORMAT = 1
"""Of the lines of an audit file; `fedward.report.audits` reads them."""

PREFIX = "fedward-"
"""Begins the names of the audit's metrics, which nodes cannot set."""

_MOST_METRICS = 16
"""Of what a node says of itself, that an audit has."""
_LONGEST_METRIC = 64


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one node in one round.

    Attributes:
        node: its id.
        name: what it is called (`NodeNames`); empty if it has no name.
        accepted: whether its update took part in the aggregate; whose a rule that says nothing of single clients was
            given (`Reason.NOT_JUDGED`) all did, and null in JSON.
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

    @property
    def judged(self) -> list[Verdict]:
        """Those whose replies reached the rule."""
        return [v for v in self.verdicts if v.reason not in set(Fault)]

    def metrics(self, *, whole: bool = True) -> dict[str, int | list[int] | list[float]]:
        """The round as numbers, for Flower's result: ids of the nodes kept, and dropped by reason; weights and scores.

        Lists of weights and scores are in the order of ``fedward-nodes``. Not ``whole``, only whether it was skipped.
        """
        record: dict[str, int | list[int] | list[float]] = {}
        judged = self.judged
        record[f"{PREFIX}skipped"] = int(self.skipped is not None)
        if not whole:
            return record
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
                "accepted": None if v.reason == Reason.NOT_JUDGED else v.accepted,
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
        head = f"{self.rule}: {len(self.kept)} of {asked} nodes {kept_or_given(v.reason for v in self.verdicts)}"
        if self.skipped is not None:
            head = f"{self.rule}: the model stays as it was: {self.skipped}"
        elif self.note:
            head += f": {self.note}"
        dropped = sorted(self.dropped, key=lambda v: row_order(v.name, v.node))
        rest = [f"\t> dropped node {v.called}: {v.reason}{': ' * bool(v.detail)}{v.detail}" for v in dropped]
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
                    detail=result.details.get(client, NONFINITE if result.reasons[i] is Reason.NONFINITE else ""),
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
