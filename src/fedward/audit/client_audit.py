"""What came of an audit, and how JSON has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from .calibrate import Calibration
from .evidence import Evidence
from .made import Made
from .panel import UNUSABLE, Opinion, voices

_MOST_PAIRS = 1000
"""Clients up to which JSON has the cosine of each pair."""
NOT_JUDGED = "not-judged"
"""Of a client that no rule can hold against another."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClientAudit:
    """What came of an audit, for all clients in the order of ``names``.

    Attributes:
        names: of the clients.
        base: what their weights were taken as differences from; "" if they sent updates.
        accepted: (n,) bool: usable, held against others, and suspected by fewer rules than it takes; or what ``rule``
            decided.
        reasons: why, of each: "accepted", "malformed", "nonfinite", "overflow", "not-judged" where rules had nobody to
            hold it against or a plain function decided, or the most telling of what those say who suspect it.
        details: a sentence on those that were dropped.
        votes: how many rules suspect each.
        needed: how many it takes.
        opinions: of the rules.
        evidence: what there is to see of those whose rows are finite; None of fewer than two.
        calibration: what the panel would have caught of known attacks, if that was asked for.
        doubt: why the base may not be what clients started from; "" without a doubt.
        notes: what else was found, the doubt first.
        taken: the warning that what was sent is taken as updates though it may be whole models; "" without cause.
        paths: where each client's model is.
        made: when, by what and from which files.
        rule: whose verdicts these are, where clients were aggregated; "" where they are the panel's.
        by_panel: there, whether the panel accepts each, None where it cannot judge; else nothing.
    """

    names: tuple[str, ...]
    base: str
    accepted: tuple[bool, ...]
    reasons: tuple[str, ...]
    details: Mapping[str, str]
    votes: tuple[int, ...]
    needed: int
    opinions: tuple[Opinion, ...]
    evidence: Evidence | None
    calibration: Calibration | None = None
    doubt: str = ""
    notes: tuple[str, ...] = field(default=())
    paths: tuple[str, ...] = field(default=())
    taken: str = ""
    made: Made | None = None
    rule: str = ""
    by_panel: tuple[bool | None, ...] = field(default=())

    @property
    def heard(self) -> int:
        """How many rules have a vote and could decide: what votes are counted of."""
        return voices(self.opinions)

    def is_judged(self, i: int) -> bool:
        """Whether rules could look at a client's model, and hold it against others'."""
        if self.rule:
            return self.by_panel[i] is not None
        return self.reasons[i] not in (*UNUSABLE, NOT_JUDGED)

    def was_given(self, i: int) -> bool:
        """Whether a client's model was given to a plain function, so that nobody knows what part it has."""
        return bool(self.accepted[i]) and self.reasons[i] == NOT_JUDGED

    def suspected_by(self, i: int) -> tuple[str, ...]:
        """The ideas of those rules with a vote that suspect a client."""
        return tuple(o.member.idea for o in self.opinions if o.member.votes and bool(o.suspects[i]))

    @property
    def dropped(self) -> tuple[str, ...]:
        """Who was not accepted."""
        return tuple(name for name, ok in zip(self.names, self.accepted, strict=True) if not ok)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it; numbers that are none are null."""
        return {
            "base": self.base,
            "rule": self.rule or None,
            "needed": self.needed,
            "panel": [_opinion_json(opinion) for opinion in self.opinions],
            "clients": [self._client_json(i) for i in range(len(self.names))],
            "layers": [] if self.evidence is None else list(self.evidence.layers),
            "cosines": {} if self.evidence is None else _cosines_json(self.evidence),
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "notes": list(self.notes),
            "made": None if self.made is None else self.made.to_json(),
        }

    def _client_json(self, i: int) -> dict[str, Any]:
        name = self.names[i]
        told: dict[str, Any] = {
            "id": name,
            "path": self.paths[i] if self.paths else None,
            "accepted": None if self.was_given(i) else self.accepted[i],
            "reason": self.reasons[i],
            "detail": self.details.get(name, ""),
            "votes": self.votes[i],
            "suspected_by": list(self.suspected_by(i)),
            "scores": {o.member.idea: {k: number(float(s[i])) for k, s in o.scores.items()} for o in self.opinions},
        }
        if self.rule:
            told["accepted_by_panel"] = self.by_panel[i]
        e = self.evidence
        if e is not None and name in e.ids:
            row = e.ids.index(name)
            told["evidence"] = {
                "norm": number(float(e.norms[row])),
                "layer_norms": [number(value) for value in e.layer_norms[row].tolist()],
                "cosine_to_median": number(float(e.to_median[row])),
                "cosine_to_aggregate": None if e.to_aggregate is None else number(float(e.to_aggregate[row])),
                "signs": dict(zip(("positive", "zero", "negative"), e.signs[row].tolist(), strict=True)),
                "neighbours": [str(e.ids[k]) for k in e.neighbours[row]],
                "cluster": e.clusters[row],
            }
        return told


def number(value: float) -> float | None:
    """A number as JSON has it."""
    return value if isfinite(value) else None


def _opinion_json(opinion: Opinion) -> dict[str, Any]:
    limits = {name: [number(low), number(high)] for name, (low, high) in opinion.limits.items()}
    told = {"idea": opinion.member.idea, "rule": opinion.name, "thresholds": limits, "refused": opinion.refused}
    return {**told, "note": "" if opinion.verdict is None else opinion.verdict.note}


def _cosines_json(evidence: Evidence) -> dict[str, Any]:
    if len(evidence.ids) > _MOST_PAIRS:
        return {}
    ids = [str(name) for name in evidence.ids]
    return {"ids": ids, "values": [[round(value, 6) for value in row] for row in evidence.cosines.tolist()]}
