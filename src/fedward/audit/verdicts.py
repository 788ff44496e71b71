"""An audit: what a panel of rules says of clients' files, and why."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core import Context, Reason, Result, Rule
from ..failures import tamed
from ..registry.notation import describe
from ..stack import CENTRES, SqNorms, Updates
from ..stack.based import FromBase
from .calibrate import Calibration, OnAttack, calibrate
from .checkpoints import Checkpoints
from .client_audit import NOT_JUDGED, ClientAudit
from .clients import AuditError
from .evidence import Evidence, evidence_of
from .gather import ClientModels
from .lowrank import LowRank
from .notes import at_odds, copies_in, doubt_of_base, notes_of, taken_by, taken_for_updates, telling, turned
from .panel import Opinion, PanelMember, ask, tally, voices, votes_needed

_SHARE = 5
"""One in so many of the accepted rows is forged in a calibration, where nobody was dropped."""
_LEAST = 3
"""Usable clients that the usual panel can judge: of two neither stands apart, whatever the other sent."""
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
class Ruling:
    """What an aggregation decided, beside which a panel is asked."""

    rule: Rule
    result: Result[Tensor]


def audit_of(
    gathered: ClientModels,
    members: Sequence[PanelMember],
    *,
    base: str = "",
    seed: int = 0,
    votes: int | None = None,
    calibrated: bool = False,
    decided: Ruling | None = None,
    usual: bool = False,
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
        decided: what a rule decided on these clients, if they were aggregated: the verdicts are its own then, and the
            panel's stand beside them. Clients are held against its aggregate; else against the mean of the accepted.
        usual: whether the panel is the usual one, which can judge no two clients, and few ones hardly.
        on_attack: told of the calibration's attacks.
        options: what to type so that rules are told of so many byzantine clients; --f if None.

    Raises:
        AuditError: a calibration of too few accepted rows; or more votes than there are rules.
    """
    if votes is not None and votes > len(members):
        raise AuditError(f"--votes {votes} of {len(members)} rules: nobody could be suspected; take fewer")
    stack = gathered.stack
    context = Context(seed=seed)
    # All that the panel reads is read in one pass.
    stack.compute(SqNorms(), *(s for member in members for s in member.rule.statistics({}, context)))
    opinions = tuple(ask(member, stack, context) for member in members)
    panel = _by_panel(gathered, opinions, votes_needed(opinions, votes), _LEAST if usual else 2)
    found = panel if decided is None else _by_rule(panel, decided)
    weights = None if decided is None else decided.result.weights
    evidence = _evidence(gathered, base, panel, weights)
    doubt = doubt_of_base(gathered)
    centred = gathered.base is None and base in CENTRES
    notes = _notes(gathered, panel, found, evidence, decided, options or telling(()), usual=usual, centred=centred)
    kept = [k for k, name in enumerate(stack.ids) if panel.accepted[panel.names.index(str(name))]]
    finite = stack.n - sum(str(name) in panel.unusable for name in stack.ids)
    return ClientAudit(
        names=panel.names,
        base=base,
        accepted=found.accepted,
        reasons=found.reasons,
        details=found.details,
        votes=panel.votes,
        needed=panel.needed,
        opinions=opinions,
        evidence=evidence,
        calibration=_calibration(stack, kept, members, context, votes, finite, on_attack) if calibrated else None,
        doubt=doubt,
        notes=(doubt, *notes) if doubt else notes,
        paths=tuple(str(place.path) for place in gathered.found.places),
        rule="" if decided is None else describe(decided.rule),
        taken=taken_for_updates(gathered),
        by_panel=() if decided is None else panel.alone(),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Verdicts:
    """What is said of each client, by the panel or in its stead by a rule; and what the panel knows beside."""

    names: tuple[str, ...]
    opinions: tuple[Opinion, ...]
    accepted: tuple[bool, ...]
    reasons: tuple[str, ...]
    details: Mapping[str, str]
    votes: tuple[int, ...]
    needed: int
    judged: bool
    unusable: Mapping[str, tuple[str, str]]

    def alone(self) -> tuple[bool | None, ...]:
        """What the panel alone says of each; None where it cannot judge."""
        known = [self.judged and name not in self.unusable for name in self.names]
        return tuple(ok if judged else None for ok, judged in zip(self.accepted, known, strict=True))


def _by_panel(gathered: ClientModels, opinions: tuple[Opinion, ...], needed: int, least: int) -> _Verdicts:
    """What a panel says, of ``least`` usable clients or more."""
    names = gathered.names
    votes = tuple(tally(opinions, len(names)).tolist())
    unusable = unusable_in(gathered)
    usable = len(names) - len(unusable)
    judged = usable >= least and voices(opinions) >= needed
    accepted = [judged and name not in unusable and votes[i] < needed for i, name in enumerate(names)]
    not_judged = _not_judged(usable, least, opinions, needed)
    reasons, details = [], {}
    for i, name in enumerate(names):
        reason, detail = unusable.get(name) or (_suspicion(opinions, i, accepted[i]) if judged else not_judged)
        reasons.append(reason)
        if detail and not accepted[i]:
            details[name] = detail
    return _Verdicts(
        names=names,
        opinions=opinions,
        accepted=tuple(accepted),
        reasons=tuple(reasons),
        details=details,
        votes=votes,
        needed=needed,
        judged=judged,
        unusable=unusable,
    )


def _by_rule(panel: _Verdicts, decided: Ruling) -> _Verdicts:
    """The verdicts of the rule that decided; sentences of the panel's on those whom it left out, and its own."""
    result = decided.result
    left_out = [name for name, ok in zip(panel.names, result.accepted, strict=True) if not ok]
    told = {name: panel.details[name] for name in left_out if name in panel.details}
    return replace(
        panel,
        accepted=tuple(bool(ok) for ok in result.accepted),
        reasons=tuple(map(str, result.reasons)),
        details={**told, **{str(name): detail for name, detail in result.details.items()}},
    )


def _notes(
    gathered: ClientModels,
    panel: _Verdicts,
    found: _Verdicts,
    evidence: Evidence | None,
    decided: Ruling | None,
    options: Callable[[int], str],
    *,
    usual: bool,
    centred: bool,
) -> tuple[str, ...]:
    """All notes but the doubt of the base."""
    notes = []
    if decided is not None:
        rule = describe(decided.rule)
        notes.append(f"verdicts are those of {rule}; the panel's votes stand beside them")
        notes += at_odds(panel.names, found.accepted, panel.alone(), decided.rule)
        by = dict.fromkeys(panel.names, f"{taken_by(decided.rule)} {rule}")
    else:
        of = voices(panel.opinions)
        by = {
            name: f"accepted by {of - count} of {of} rules"
            for name, count in zip(panel.names, panel.votes, strict=True)
        }
    if evidence is not None:
        cosines = dict(zip(map(str, evidence.ids), evidence.to_median.tolist(), strict=True))
        if not centred:
            notes += turned(cosines, dict(zip(panel.names, found.accepted, strict=True)), by)
        notes += copies_in(list(cosines), evidence.norms, evidence.cosines)
    usable = len(panel.names) - len(panel.unusable) if panel.judged else 0
    return (*notes, *notes_of(gathered, panel.opinions, panel.accepted, usable, options, usual=usual))


def describe_nonfinite(gathered: ClientModels, name: Hashable) -> str:
    """In which tensors of a client's there is NaN or Inf."""
    stack = gathered.stack
    row = stack.ids.index(name)
    rows = stack.rows if isinstance(stack, FromBase) else stack
    assert isinstance(rows, LowRank | Checkpoints)
    bad = [tamed(key, 80) for key in rows.nonfinite(row)]
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"NaN or Inf in {', '.join(bad[:3])}{more}"


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
    against = [o for o in opinions if o.member.votes and bool(o.suspects[i])]
    said = [(o.member.idea, str(o.verdict.reasons[i])) for o in against if o.verdict is not None]
    told = ", ".join(f"{idea} ({reason})" if reason != idea else idea for idea, reason in said)
    detail = f"suspected by {len(against)} of {voices(opinions)}: {told}" if against else ""
    if accepted or not said:
        return str(Reason.ACCEPTED), detail
    return min((reason for _, reason in said), key=_rank), detail


def _rank(reason: str) -> int:
    return _TELLING.index(Reason(reason)) if reason in _TELLING else len(_TELLING)


def _not_judged(usable: int, least: int, opinions: Sequence[Opinion], needed: int) -> tuple[str, str]:
    of = voices(opinions)
    if usable == 1:
        why = "it is the only usable client"
    elif usable < least:
        why = f"of {usable} usable clients none stands apart from the others"
    elif of:
        why = f"{of} of {sum(o.member.votes for o in opinions)} rules could decide, and {needed} must suspect"
    else:
        why = "no rule could decide on so few"
    return NOT_JUDGED, f"cannot be judged: {why}; rules hold clients against each other"


def _evidence(gathered: ClientModels, base: str, panel: _Verdicts, weights: Tensor | None) -> Evidence | None:
    """What there is to see of usable clients; of fewer than two nothing."""
    stack = gathered.stack
    finite = [k for k, name in enumerate(stack.ids) if str(name) not in panel.unusable]
    if len(finite) < 2:
        return None
    rows = stack.take(torch.tensor(finite, dtype=torch.long))
    places = [panel.names.index(str(name)) for name in rows.ids]
    if weights is None:
        weights = torch.tensor(panel.accepted, dtype=torch.float64)
    evidence = evidence_of(rows, weights[places].double())
    if gathered.base is None and base == "median-of-clients":
        # Changes from the median of clients have the median 0, to which nothing has an angle.
        return replace(evidence, to_median=torch.full_like(evidence.to_median, torch.nan))
    return evidence


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
