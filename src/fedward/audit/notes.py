"""What is to be said beside the verdicts: what the panel cannot see, and what was left out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ..core import Rule
from ..failures import tamed
from ..registry.notation import describe
from ..stack import Gram, SqNorms, nearness
from .evidence import Evidence
from .gather import ClientModels
from .panel import Opinion

_AGAINST = -0.05
"""Cosine to the median of all below which a client is said to be turned against the others: what two digits show."""
_NAMED = 5
TAKEN_AS_UPDATES = "no --base: what was sent is taken as updates"
"""Where neither a base was given nor that there is none."""
_SAME = 1e-12
"""What 1 - cos of two rows, and the difference of their lengths, is below where they differ by rounding alone."""


def doubt_of_base(gathered: ClientModels) -> str:
    """A sentence where changes are so much alike that the base may not be what clients started from; else ""."""
    if gathered.base is None:
        return ""
    gathered.stack.compute(SqNorms(), Gram())  # in one pass, if they are not known yet
    if (share := nearness(gathered.stack)) is None:
        return ""
    return (
        f"changes of most clients are nearly the same (they differ by {share:.1%} of their length): is the base the "
        "model they started from? If it is not, rules see what clients have in common and nothing of what each changed"
    )


def notes_of(
    gathered: ClientModels,
    opinions: Sequence[Opinion],
    accepted: Sequence[bool],
    votes: Sequence[int],
    usable: int,
    evidence: Evidence | None,
    options: Callable[[int], str],
) -> tuple[str, ...]:
    """All notes of an audit but the doubt of its base, the gravest first.

    Args:
        gathered: the models.
        opinions: of the rules.
        accepted, votes: of all clients.
        usable: how many of them rules could look at and hold against each other.
        evidence: of these; None where angles to the median say nothing.
        options: what to type so that rules are told of so many byzantine clients.
    """
    names = gathered.names
    notes = []
    if evidence is not None:
        notes += _turned(
            opinions, dict(zip(names, accepted, strict=True)), dict(zip(names, votes, strict=True)), evidence
        )
    unusable = len(names) - usable
    suspected = len(names) - sum(accepted) - unusable
    notes += _told(opinions, usable, suspected, options)
    of = f" ({usable} of {len(names)} clients are usable)" if unusable and usable else ""
    notes += [f"{o.name} could not decide: {o.refused}{of}" for o in opinions if o.refused]
    notes += gathered.remarks
    if gathered.assumed:
        notes.append(TAKEN_AS_UPDATES)
    return tuple(notes)


def copies_in(evidence: Evidence) -> list[str]:
    """Who sent the same as others did, in a note for each such group."""
    norms = evidence.norms
    longer = torch.maximum(norms[:, None], norms)
    near = (norms[:, None] - norms).abs() <= _SAME * longer
    near &= (1 - evidence.cosines <= _SAME) | (longer == 0)  # nothing has an angle to nothing
    first = near.double().argmax(1).tolist()  # of each the first that sent the same, itself if nobody before it did
    groups: dict[int, list[str]] = {}
    for name, leader in zip(evidence.ids, first, strict=True):
        groups.setdefault(leader, []).append(tamed(name))
    notes = []
    for group in groups.values():
        if len(group) > 1:
            more = f" and {len(group) - _NAMED} more" if len(group) > _NAMED else ""
            named = ", ".join(group[:_NAMED]) + more
            notes.append(f"{named} sent the same: copies, or one sender under several names")
    return notes if len(notes) <= _NAMED else [*notes[:_NAMED], f"{len(notes) - _NAMED} more groups sent the same"]


def _turned(
    opinions: Sequence[Opinion], accepted: dict[str, bool], votes: dict[str, int], evidence: Evidence
) -> list[str]:
    """Who is accepted though turned against the others."""
    heard = sum(not opinion.refused for opinion in opinions)
    notes = []
    for name, cosine in zip(map(str, evidence.ids), evidence.to_median.tolist(), strict=True):
        if accepted[name] and cosine < _AGAINST:
            by = f"{heard - votes[name]} of {heard} rules"
            notes.append(f"{tamed(name)} is accepted by {by}, but turned against the others: cosine {cosine:.2f}")
    more = len(notes) - _NAMED
    return notes if more <= 0 else [*notes[:_NAMED], f"{more} more are accepted and turned against the others"]


def telling(rules: Sequence[Rule]) -> Callable[[int], str]:
    """What to type for `fedward audit` so that these rules, or the usual ones if none, are told of so many."""

    def options(f: int) -> str:
        more = [replace(rule, f=f) if _is_told(rule) else rule for rule in rules]
        return shlex.join([word for rule in more for word in ("--rule", describe(rule))] or ["--f", str(f)])

    return options


def _is_told(rule: Rule) -> bool:
    f = getattr(rule, "f", None)
    return isinstance(f, int) and f > 0


def _fits(rule: Rule, f: int, n: int) -> bool:
    """Whether the rule can decide on n rows when it is told of f."""
    try:
        replace(rule, f=f).check(n)
    except ValueError:
        return False
    return True


def _told(opinions: Sequence[Opinion], usable: int, suspected: int, options: Callable[[int], str]) -> list[str]:
    """What rules were told of byzantine clients, and whether there are as many, which may be more."""
    if not usable:
        return []
    rules = {o.member.idea: o.member.rule for o in opinions if _is_told(o.member.rule) and not o.refused}
    told: dict[str, int] = {idea: getattr(rule, "f", 0) for idea, rule in rules.items()}
    if not told:
        return []
    most = max(told.values())
    notes = []
    if suspected >= most:
        more = suspected + 1
        fits = all(_fits(rule, more, usable) for rule in rules.values())
        many = "as many are suspected as" if suspected == most else f"more are suspected ({suspected}) than"
        others = f", or tell the rules of more ({options(more)})" if fits else ""
        notes.append(
            f"{many} the rules were told (f = {most}), so that there may be more: audit the others without them{others}"
        )
    numbers = " and ".join(map(str, sorted(set(told.values()))))
    typed = f" ({options(most)})" if len(set(told.values())) == 1 else ""
    notes.append(
        f"{', '.join(tamed(idea) for idea in told)}: told of f = {numbers}{typed} among {usable} usable clients"
    )
    return notes
