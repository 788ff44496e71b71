"""An audit: what a panel of rules says of clients' files, and why."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from ..core import Context, Reason
from ..failures import tamed
from ..stack import CENTRES, SqNorms, Updates
from ..stack.based import FromBase
from .calibrate import Calibration, OnAttack, calibrate
from .checkpoints import Checkpoints
from .clients import AuditError
from .evidence import Evidence, evidence_of
from .gather import ClientModels
from .lowrank import LowRank
from .notes import copies_in, doubt_of_base, notes_of, telling
from .panel import UNUSABLE, Opinion, PanelMember, ask, tally, votes_needed

_MOST_PAIRS = 1000
"""Clients up to which JSON has the cosine of each pair."""
_SHARE = 5
"""One in so many of the accepted rows is forged in a calibration, where nobody was dropped."""
NOT_JUDGED = "not-judged"
"""Of a client that no rule can hold against another."""
_TELLING = (
    Reason.NORM_TOO_LARGE,
    Reason.NORM_TOO_SMALL,
    Reason.SIGN_OUTLIER,
    Reason.DIRECTION_OUTLIER,
    Reason.SPECTRAL_OUTLIER,
)
"""Reasons that say more of a client than all others, the most telling first.

A norm is out of bounds only beyond three times or a tenth of the usual one; directions of nearly nothing say little.
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClientAudit:
    """What came of an audit, for all clients in the order of ``names``.

    Attributes:
        names: of the clients.
        base: what their weights were taken as differences from; "" if they sent updates.
        accepted: (n,) bool: usable, held against others, and suspected by fewer rules than it takes.
        reasons: why, of each: "accepted", "malformed", "nonfinite", "overflow", "not-judged" where rules had nobody to
            hold it against, or the most telling of what those say who suspect it.
        details: a sentence on those that were dropped.
        votes: how many rules suspect each.
        needed: how many it takes.
        opinions: of the rules.
        evidence: what there is to see of those whose rows are finite; None of fewer than two.
        calibration: what the panel would have caught of known attacks, if that was asked for.
        doubt: why the base may not be what clients started from; "" without a doubt.
        notes: what else was found, the doubt first.
        paths: where each client's model is.
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

    def is_judged(self, i: int) -> bool:
        """Whether rules could look at a client's model, and hold it against others'."""
        return self.reasons[i] not in (*UNUSABLE, NOT_JUDGED)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Who was not accepted."""
        return tuple(name for name, ok in zip(self.names, self.accepted, strict=True) if not ok)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it; numbers that are none are null."""
        return {
            "base": self.base,
            "needed": self.needed,
            "panel": [_opinion_json(opinion) for opinion in self.opinions],
            "clients": [self._client_json(i) for i in range(len(self.names))],
            "layers": [] if self.evidence is None else list(self.evidence.layers),
            "cosines": {} if self.evidence is None else _cosines_json(self.evidence),
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "notes": list(self.notes),
        }

    def _client_json(self, i: int) -> dict[str, Any]:
        name = self.names[i]
        suspecting = [opinion.member.idea for opinion in self.opinions if bool(opinion.suspects[i])]
        told: dict[str, Any] = {
            "id": name,
            "path": self.paths[i] if self.paths else None,
            "accepted": self.accepted[i],
            "reason": self.reasons[i],
            "detail": self.details.get(name, ""),
            "votes": self.votes[i],
            "suspected_by": suspecting,
            "scores": {o.member.idea: {k: number(float(s[i])) for k, s in o.scores.items()} for o in self.opinions},
        }
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


def audit_of(
    gathered: ClientModels,
    members: Sequence[PanelMember],
    *,
    base: str = "",
    seed: int = 0,
    votes: int | None = None,
    calibrated: bool = False,
    weights: Tensor | None = None,
    on_attack: OnAttack | None = None,
    options: Callable[[int], str] | None = None,
) -> ClientAudit:
    """Ask a panel about clients' models.

    Args:
        gathered: the models.
        members: the panel.
        base: what it is called.
        seed: of everything random.
        votes: how many rules must suspect a client; two of five if None.
        calibrated: whether to play known attacks on what was accepted.
        weights: of an aggregate that clients are held against, by client, (n,); the mean of the accepted if None.
        on_attack: told of the calibration's attacks.
        options: what to type so that rules are told of so many byzantine clients; --f if None.

    Raises:
        AuditError: a calibration of too few accepted rows; or more votes than there are rules.
    """
    if votes is not None and votes > len(members):
        raise AuditError(f"--votes {votes} of {len(members)} rules: nobody could be suspected; take fewer")
    stack = gathered.stack
    context = Context(seed=seed)
    names = gathered.names
    # All that the panel reads is read in one pass.
    stack.compute(SqNorms(), *(s for member in members for s in member.rule.statistics({}, context)))
    opinions = tuple(ask(member, stack, context) for member in members)
    counted = tally(opinions, len(names))
    needed = votes_needed(opinions, votes)
    unusable = unusable_in(gathered)
    suspected = counted >= needed
    usable = len(names) - len(unusable)
    heard = sum(not opinion.refused for opinion in opinions)
    judged = usable > 1 and heard >= needed
    accepted = [judged and name not in unusable and not bool(suspected[i]) for i, name in enumerate(names)]
    not_judged = _not_judged(usable, heard, len(opinions), needed)
    reasons, details = [], {}
    for i, name in enumerate(names):
        reason, detail = unusable.get(name) or (_suspicion(opinions, i, accepted[i]) if judged else not_judged)
        reasons.append(reason)
        if detail and not accepted[i]:
            details[name] = detail
    finite = [k for k, name in enumerate(stack.ids) if name not in unusable]
    rows = stack.take(torch.tensor(finite, dtype=torch.long)) if finite else None
    kept = [k for k, name in enumerate(stack.ids) if accepted[names.index(str(name))]]
    evidence = _evidence(rows, names, accepted, weights)
    centred = gathered.base is None and base in CENTRES
    if evidence is not None and centred and base == "median-of-clients":
        # Changes from the median of clients have the median 0, to which nothing has an angle.
        evidence = replace(evidence, to_median=torch.full_like(evidence.to_median, torch.nan))
    doubt = doubt_of_base(gathered)
    seen = None if centred else evidence
    notes = notes_of(
        gathered, opinions, accepted, counted.tolist(), usable if judged else 0, seen, options or telling(())
    )
    notes = (*(copies_in(evidence) if evidence is not None else ()), *notes)
    return ClientAudit(
        names=names,
        base=base,
        accepted=tuple(accepted),
        reasons=tuple(reasons),
        details=details,
        votes=tuple(counted.tolist()),
        needed=needed,
        opinions=opinions,
        evidence=evidence,
        calibration=_calibration(stack, kept, members, context, votes, len(finite), on_attack) if calibrated else None,
        doubt=doubt,
        notes=(doubt, *notes) if doubt else notes,
        paths=tuple(str(place.path) for place in gathered.found.places),
    )


def describe_nonfinite(gathered: ClientModels, name: Hashable) -> str:
    """In which tensors of a client's there is NaN or Inf."""
    stack = gathered.stack
    row = stack.ids.index(name)
    rows = stack.rows if isinstance(stack, FromBase) else stack
    assert isinstance(rows, LowRank | Checkpoints)
    bad = [tamed(key, 80) for key in rows.nonfinite(row)]
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"NaN or Inf in {', '.join(bad[:3])}{more}"


def number(value: float) -> float | None:
    """A number as JSON has it."""
    return value if isfinite(value) else None


def unusable_in(gathered: ClientModels) -> dict[str, tuple[str, str]]:
    """Clients that no rule is asked about: reason and sentence."""
    found = {str(name): (str(Reason.MALFORMED), why) for name, why in gathered.malformed.items()}
    stack = gathered.stack
    finite = stack.compute(SqNorms())[0].isfinite().tolist()
    for row, name in enumerate(stack.ids):
        if finite[row]:
            continue
        if stack.sent_finite(row):
            found[str(name)] = (str(Reason.OVERFLOW), "finite, but its squared norm exceeds float64")
        else:
            found[str(name)] = (str(Reason.NONFINITE), describe_nonfinite(gathered, name))
    return found


def _suspicion(opinions: Sequence[Opinion], i: int, accepted: bool) -> tuple[str, str]:
    """Why a client is suspected: the most telling of what is said by those who suspect it, and who they are."""
    against = [o for o in opinions if bool(o.suspects[i])]
    said = [(o.member.idea, str(o.verdict.reasons[i])) for o in against if o.verdict is not None]
    told = ", ".join(f"{idea} ({reason})" if reason != idea else idea for idea, reason in said)
    detail = f"suspected by {len(against)} of {len(opinions)}: {told}" if against else ""
    if accepted or not said:
        return str(Reason.ACCEPTED), detail
    return min((reason for _, reason in said), key=_rank), detail


def _rank(reason: str) -> int:
    return _TELLING.index(Reason(reason)) if reason in _TELLING else len(_TELLING)


def _not_judged(usable: int, heard: int, rules: int, needed: int) -> tuple[str, str]:
    if usable == 1:
        why = "it is the only usable client"
    elif heard:
        why = f"{heard} of {rules} rules could decide, and {needed} must suspect"
    else:
        why = "no rule could decide on so few"
    return NOT_JUDGED, f"cannot be judged: {why}; rules hold clients against each other"


def _evidence(
    rows: Updates | None, names: Sequence[str], accepted: Sequence[bool], weights: Tensor | None
) -> Evidence | None:
    if rows is None or rows.n < 2:
        return None
    places = [names.index(str(name)) for name in rows.ids]
    if weights is None:
        weights = torch.tensor(accepted, dtype=torch.float64)
    return evidence_of(rows, weights[places].double())


def _calibration(
    stack: Updates,
    kept: Sequence[int],
    members: Sequence[PanelMember],
    context: Context,
    votes: int | None,
    finite: int,
    on_attack: OnAttack | None,
) -> Calibration:
    """As many forge as were suspected, or a fifth; never half."""
    rows = stack.take(torch.tensor(kept, dtype=torch.long))
    suspected = finite - len(kept)
    forgers = min(max(suspected, len(kept) // _SHARE, 1), max((len(kept) - 1) // 2, 1))
    return calibrate(members, rows, context.fold("calibration"), forgers=forgers, votes=votes, on_attack=on_attack)


def _opinion_json(opinion: Opinion) -> dict[str, Any]:
    limits = {name: [number(low), number(high)] for name, (low, high) in opinion.limits.items()}
    told = {"idea": opinion.member.idea, "rule": opinion.name, "thresholds": limits, "refused": opinion.refused}
    return {**told, "note": "" if opinion.verdict is None else opinion.verdict.note}


def _cosines_json(evidence: Evidence) -> dict[str, Any]:
    if len(evidence.ids) > _MOST_PAIRS:
        return {}
    ids = [str(name) for name in evidence.ids]
    return {"ids": ids, "values": [[round(value, 6) for value in row] for row in evidence.cosines.tolist()]}
