"""What the red team plays: every attack, at several strengths, and searches against the rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..attacks import Attack, Maximise
from ..attacks.optimised import Deviation
from ..core import Rule
from ..registry.entries import name_of
from ..registry.notation import parse
from ..registry.strangers import names_in_file

ARSENAL: tuple[str, ...] = (
    "no-attack",
    *(f"alie:z={z}" for z in (0.1, 0.3, 0.6, 1.0, 1.5, 3.0, None)),
    "alie:z=1.0,jitter=0.05",
    *(f"ipm:epsilon={e}" for e in (0.1, 0.5, 1.0, 3.0, 10.0)),
    *(f"sign-flip:scale={s}" for s in (1.0, 4.0, 10.0)),
    *(f"scaling:factor={c}" for c in (3.0, 10.0, 100.0, None)),
    *(f"{name}:direction={d}" for name in ("min-max", "min-sum") for d in ("std", "unit", "sign")),
    *(f"byz-mean:split={s}" for s in (0.5, 0.8)),
    "byz-mean:inner=min-max",
    *(f"{name}:knows={k}" for name in ("fang-krum", "fang-trimmed-mean") for k in ("honest", "own")),
    *(f"gaussian:std={s}" for s in (0.001, 0.01, 0.1, 2.0)),
    *(f"noise:std={s}" for s in (0.01, 0.5)),
    *(f"constant:value={c}" for c in (0.01, 5.0)),
    *(f"rop:z={z}" for z in (0.1, 1.0, 10.0)),
    *(f"mimic:warmup={w}" for w in (0, 5)),
    "mimic:target=first-round",
    "zero",
    "free-rider",
    *(f"repeat:clients={c}" for c in (1, 10)),
    *(f"poisonedfl:c={c}" for c in (1.0, 8.0)),
    "groups:attacks=(alie:z=1.0 | sign-flip)",
    *(f"non-finite:value={v}" for v in ("nan", "inf")),
)
"""Attacks by formula; the first one, none at all, is what the others are measured against."""

ADAPTIVE: tuple[str, ...] = (
    *(
        f"maximise:attack=(deviation:direction={direction}),over=gamma,bounds=(0, {most}),"
        f"objective={objective},candidates=10,zooms=1"
        for direction, most in (("std", 5), ("unit", 5), ("sign", 0.05))
        for objective in ("distance", "regress")
    ),
    *(f"tailored-min-max:direction={d},tolerance={t}" for d, t in (("std", 0.01), ("unit", 0.01), ("sign", 0.0001))),
    "tailored-min-sum:tolerance=0.1",
    "maximise:attack=ipm,over=epsilon,bounds=(0, 10),objective=regress,candidates=10,zooms=1",
    "maximise:attack=scaling,over=factor,bounds=(0, 100),objective=distance,candidates=10,zooms=1",
)
"""Attacks that are searched against the rule: the three families of the SignGuard code, and four of the field."""

EVERYTHING = (*ARSENAL, *ADAPTIVE)
"""What an examination plays if nothing else is asked for."""

_BY_ALARM = (
    "no-attack",
    "alie",
    *(f"sign-flip:scale={s}" for s in (1.0, 4.0, 10.0)),
    # Two kinds of models among the alarming ones: SIREN as printed throws out whoever is silent.
    "groups:attacks=(sign-flip:scale=4.0 | sign-flip:scale=0.5)",
    "groups:attacks=(alie | sign-flip:scale=4.0)",
)
ALARMS: tuple[str, ...] = (
    *(f"false-alarms:inner=({inner})" for inner in _BY_ALARM),
    *(f"silent-alarms:inner=({inner})" for inner in ("alie", "sign-flip:scale=4.0")),
)
"""Attacks that lie in what they say, for rules that hear it: alarms without a cause, and silence where there is one."""


_SEARCH = re.compile(r"maximise:(?:.*,)?attack=\(?([\w.]+)")


def attacks_on(rule: Rule) -> tuple[str, ...]:
    """All that is played against a rule."""
    return (*EVERYTHING, *ALARMS) if rule.traits().hears_alarms else EVERYTHING


ALL_ATTACKS = "all"
"""What stands for all that is played against a rule, so that attacks of one's own may be played beside them."""


def played_on(rule: Rule, attacks: Sequence[str] | None) -> tuple[str, ...]:
    """The attacks that are asked for, as text, each once: all there are in the place of "all", or if None."""
    wanted = (ALL_ATTACKS,) if attacks is None else attacks
    each = (attacks_on(rule) if text == ALL_ATTACKS else (text,) for text in wanted)
    return tuple(dict.fromkeys(text for texts in each for text in texts))


def family(text: str) -> str:
    """The kind of an attack, whatever its strength: ``alie``; ``adaptive std`` for a search over that deviation.

    The text may stand in a file, so no import path in it is followed: whatever its user's own attack is, it is called
    by that.
    """
    attack: Attack | None = _registered(text)
    if isinstance(attack, Maximise):
        inner = attack.inner
        return f"adaptive {inner.direction if isinstance(inner, Deviation) else name_of(inner)}"
    if attack is None and (search := _SEARCH.match(text)):
        return f"adaptive {search[1]}"
    return (None if attack is None else name_of(attack)) or text.partition(":")[0]


def label(text: str) -> str:
    """An attack as tables have it: a search has its kind and objective for a name."""
    attack = _registered(text)
    return f"{family(text)}: {attack.objective}" if isinstance(attack, Maximise) else text


def registered_rule(text: str) -> Rule | None:
    """The rule, if all that its text names is registered."""
    rule: Rule | None = _registered(text, "rule")
    return rule


def _registered(text: str, kind: str = "attack") -> Any:
    """The attack or rule, if all that its text names is registered."""
    try:
        with names_in_file(remedy="it is only called by its text"):
            return parse(text, kind)
    except ValueError:
        return None
