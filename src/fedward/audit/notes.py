"""What is to be said beside the verdicts: what the panel cannot see, and what was left out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..core import Rule
from ..failures import tamed
from ..registry.notation import describe
from ..stack import Gram, SqNorms, cosines, nearness
from .evidence import cosines_to_median
from .gather import ClientModels
from .lowrank import LowRank
from .panel import Opinion
from .remarks import mixed_rounds

_AGAINST = -0.05
"""Cosine to the median of all below which a client is said to be turned against the others: what two digits show."""
_NEAR = 0.05
"""Cosine to the mean direction of the others below which a client may be turned against them, and is looked at."""
_NAMED = 5
_FEW = 5
"""Usable clients below which the panel often misses a liar where data differ: scripts/few_clients.py has how often."""
_MOST = 1000
"""Clients whose inner products are asked for where nothing else needs them: there are as many as pairs of clients."""
TAKEN_AS_UPDATES = "no --base: what was sent is taken as updates"
"""Where neither a base was given nor that there is none."""
_SAME = 1e-12
"""What 1 - cos of two rows, and the difference of their lengths, is below where they differ by rounding alone."""


def doubt_of_base(gathered: ClientModels) -> str:
    """A sentence where the base may not be what clients started from: of several rounds, or too much alike; else ""."""
    if gathered.base is not None:
        gathered.stack.compute(SqNorms(), Gram())  # in one pass, if they are not known yet
    if (rounds := mixed_rounds(gathered.found)) or gathered.base is None:
        return rounds
    if (share := nearness(gathered.stack)) is None:
        return ""
    return (
        f"changes of most clients are nearly the same (they differ by {share:.1%} of their length): is the base the "
        "model they started from? If it is not, rules see what clients have in common and nothing of what each changed"
    )


def taken_for_updates(gathered: ClientModels) -> str:
    """A warning where whole models would be judged by what they have in common; "" of adapters, which are changes."""
    if not gathered.assumed or isinstance(gathered.stack, LowRank):
        return ""
    return f"{TAKEN_AS_UPDATES}; whole models need --base, a file of what they started from or median-of-clients"


def notes_of(
    gathered: ClientModels,
    opinions: Sequence[Opinion],
    accepted: Sequence[bool],
    usable: int,
    options: Callable[[int], str],
    *,
    usual: bool,
) -> tuple[str, ...]:
    """What is to be said of a panel and of what was found, the gravest first.

    Args:
        gathered: the models.
        opinions: of the rules.
        accepted: whether the panel accepts, of all clients.
        usable: how many of them rules could look at and hold against each other.
        options: what to type so that rules are told of so many byzantine clients.
        usual: whether the panel is the usual one, which sees little of few clients.
    """
    names = gathered.names
    notes = []
    if usual and 0 < usable < _FEW:
        notes.append(_so_few(opinions, names, accepted, usable))
    unusable = len(names) - usable
    suspected = len(names) - sum(accepted) - unusable
    notes += _told(opinions, usable, suspected, options)
    of_all = f" ({usable} of {len(names)} clients are usable)" if unusable and usable else ""
    notes += [f"{o.name} could not decide: {o.refused}{of_all}" for o in opinions if o.refused]
    return (*notes, *found_notes(gathered))


def found_notes(gathered: ClientModels) -> tuple[str, ...]:
    """What was found among the files besides clients, and what was made of them without being told."""
    notes = [*gathered.remarks]
    if gathered.assumed:
        notes.append(TAKEN_AS_UPDATES)
    return tuple(notes)


def notes_on_accepted(gathered: ClientModels, accepted: Mapping[str, bool], rule: Rule, *, centred: bool) -> list[str]:
    """What an audit says of clients' changes, beside a rule that decided by itself: who is turned, who is a copy.

    It takes inner products. They are known where there is a base (`doubt_of_base`), or where it was looked at whether
    there ought to be one; else they are a pass, and among very many clients nothing is said. The median, one pass more,
    is asked for only if the angle of somebody who was accepted to the mean direction of the others gives cause.

    Args:
        gathered: the models.
        accepted: whom the rule accepted.
        rule: which.
        centred: whether changes are from a centre of the clients, to whose median nothing has an angle.
    """
    stack = gathered.stack
    finite = stack.compute(SqNorms())[0].isfinite().nonzero().flatten()
    known = gathered.base is not None or gathered.assumed
    if len(finite) < 2 or not (known or stack.n <= _MOST):
        return []
    rows = stack.take(finite)
    gram = rows.gram()
    between, names = cosines(gram), [str(name) for name in rows.ids]
    notes = []
    if not centred and any(
        accepted[name] for name, near in zip(names, _to_others(between), strict=True) if near < _NEAR
    ):
        by = dict.fromkeys(names, f"{taken_by(rule)} {describe(rule)}")
        notes += turned(dict(zip(names, cosines_to_median(rows).tolist(), strict=True)), accepted, by)
    return [*notes, *copies_in(names, gram.diagonal().clamp_min(0).sqrt(), between)]


def _to_others(between: Tensor) -> list[float]:
    """Cosine of each row to the sum of the others, all made equally long."""
    own = between.diagonal()
    dots = between.sum(1) - own
    square = between.sum() - 2 * dots - own  # of the sum of the others
    cosine: list[float] = torch.where(square > 0, dots / square.clamp_min(1e-30).sqrt(), 0.0).tolist()
    return cosine


def copies_in(ids: Sequence[Hashable], norms: Tensor, between: Tensor) -> list[str]:
    """Who sent the same as others did, by lengths and cosines, in a note for each such group."""
    longer = torch.maximum(norms[:, None], norms)
    near = (norms[:, None] - norms).abs() <= _SAME * longer
    near &= (1 - between <= _SAME) | (longer == 0)  # nothing has an angle to nothing
    first = near.double().argmax(1).tolist()  # of each the first that sent the same, itself if nobody before it did
    groups: dict[int, list[str]] = {}
    for name, leader in zip(ids, first, strict=True):
        groups.setdefault(leader, []).append(tamed(name))
    notes = [
        f"{_listed(group)} sent the same: copies, or one sender under several names"
        for group in groups.values()
        if len(group) > 1
    ]
    return notes if len(notes) <= _NAMED else [*notes[:_NAMED], f"{len(notes) - _NAMED} more groups sent the same"]


def at_odds(names: Sequence[str], accepted: Sequence[bool], by_panel: Sequence[bool | None], rule: Rule) -> list[str]:
    """In whom a panel and the rule that decided do not agree, in a note for either kind."""
    pairs = list(zip(names, accepted, by_panel, strict=True))
    kept = [tamed(name) for name, ok, panel in pairs if ok and panel is False]
    dropped = [tamed(name) for name, ok, panel in pairs if not ok and panel]
    text = describe(rule)
    took = "accepted" if rule.traits().judges else "was given"
    notes = [f"{text} {took} {_listed(kept)}, whom the panel suspects"] if kept else []
    return [*notes, f"{text} dropped {_listed(dropped)}, whom the panel accepts"] if dropped else notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _so_few(opinions: Sequence[Opinion], names: Sequence[str], accepted: Sequence[bool], usable: int) -> str:
    """That a panel sees little of few clients, and whom a single rule suspects all the same."""
    told = []
    for i, name in enumerate(names):
        against = [o.member.idea for o in opinions if o.member.votes and bool(o.suspects[i])]
        if accepted[i] and against:
            told.append(f"{tamed(name)} ({', '.join(map(tamed, against))})")
    look = f"; accepted, but suspected by a rule: {_listed(told)}" if told else ""
    return (
        f"the panel can hardly judge {usable} usable clients: below {_FEW} it misses liars where clients' data differ, "
        f"and two of them may be as many as the others{look}"
    )


def turned(cosine: Mapping[str, float], accepted: Mapping[str, bool], by: Mapping[str, str]) -> list[str]:
    """Who is accepted though turned against the others, and by whom: "accepted by krum"."""
    notes = [
        f"{tamed(name)} is {by[name]}, but turned against the others: cosine {value:.2f}"
        for name, value in cosine.items()
        if accepted[name] and value < _AGAINST  # which NaN is not
    ]
    more = len(notes) - _NAMED
    return notes if more <= 0 else [*notes[:_NAMED], f"{more} more are accepted and turned against the others"]


def taken_by(rule: Rule) -> str:
    """What a rule did with clients that it has not dropped: a plain function says nothing of single ones."""
    return "accepted by" if rule.traits().judges else "given to"


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
    rules = {
        o.member.idea: o.member.rule for o in opinions if o.member.votes and _is_told(o.member.rule) and not o.refused
    }
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
            f"{many} the rules were told (f = {most}), so that there may be more; but where clients' data differ these "
            f"may be honest, and so may be who is found next: look at each, audit the others without them{others}"
        )
    numbers = " and ".join(map(str, sorted(set(told.values()))))
    typed = f" ({options(most)})" if len(set(told.values())) == 1 else ""
    notes.append(
        f"{', '.join(tamed(idea) for idea in told)}: told of f = {numbers}{typed} among {usable} usable clients"
    )
    return notes
