"""What a panel would have caught here: known attacks, forged from the very rows that it accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attacks import Attack, View
from ..core import Context
from ..registry.notation import parse
from ..stack import Updates
from .clients import AuditError
from .panel import PanelMember, ask, tally, votes_needed

PLAYED = (
    "no-attack",
    "sign-flip",
    "sign-flip:scale=4.0",
    "scaling:factor=3.0",
    "scaling:factor=10.0",
    "alie:z=0.3",
    "alie:z=1.0",
    "ipm:epsilon=0.5",
    "ipm:epsilon=10.0",
    "min-max",
    "min-sum",
    "fang-trimmed-mean",
    "zero",
    "mimic",
)
"""Attacks of known formulas, weak and strong."""
OnAttack = Callable[[str, int], None]
"""Told which attack is played next, and how many were."""


@dataclass(frozen=True, kw_only=True)
class Caught:
    """What came of one attack.

    Attributes:
        attack: as text.
        by_rule: share of the forged rows that each rule suspects, in the order of the panel; None where it could not
            decide.
        wrongly: share of the other rows that each suspects.
        together, wrongly_together: the same of the panel as a whole.
        by_any, wrongly_by_any: the same of a panel of which one rule is enough.
    """

    attack: str
    by_rule: tuple[float | None, ...]
    wrongly: tuple[float | None, ...]
    together: float
    wrongly_together: float
    by_any: float = 0.0
    wrongly_by_any: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a panel would have caught of known attacks.

    Attributes:
        forgers: how many of the accepted rows were replaced by forged ones.
        honest: how many were not.
        attacks: one for each attack.
    """

    forgers: int
    honest: int
    attacks: tuple[Caught, ...]


def calibrate(
    members: Sequence[PanelMember],
    accepted: Updates,
    context: Context,
    *,
    forgers: int,
    votes: int | None = None,
    attacks: Sequence[str] = PLAYED,
    on_attack: OnAttack | None = None,
) -> Calibration:
    """Play known attacks on the accepted rows, and ask the panel.

    ``forgers`` of the rows, drawn by the seed, are replaced by what an attacker makes of all others and of these.

    Args:
        members: the panel.
        accepted: rows that are taken for honest.
        context: of the seed.
        forgers: how many forge; below half of the rows.
        votes: how many rules must suspect a row for the panel to do so.
        attacks: as text.
        on_attack: told which attack is played next, and how many were.

    Raises:
        AuditError: too few rows for an attacker and those that he hides among.
    """
    if accepted.n < 3:
        raise AuditError(f"a calibration takes 3 accepted clients, and there are {accepted.n}; leave it out")
    if not 1 <= forgers < accepted.n - 1:
        raise AuditError(
            f"calibration takes 1 to {accepted.n - 2} forgers among {accepted.n} accepted rows, got {forgers}; "
            "leave it out"
        )
    order = torch.randperm(accepted.n, generator=context.generator("forgers"))
    honest = accepted.take(order[forgers:].sort().values)
    own = accepted.take(order[:forgers].sort().values)
    view = View(honest=honest, own=own, context=context.fold("attack"))
    found: list[Caught] = []
    for text in attacks:
        if on_attack is not None:
            on_attack(text, len(found))
        found.append(_caught(text, members, view, context, votes))
    return Calibration(forgers=forgers, honest=honest.n, attacks=tuple(found))


def _caught(text: str, members: Sequence[PanelMember], view: View, context: Context, votes: int | None) -> Caught:
    attack = parse(text, "attack")
    assert isinstance(attack, Attack)
    rows = view.sent(attack.forged(view))
    opinions = [ask(member, rows, context) for member in members]
    h = view.honest.n
    counted = tally(opinions, rows.n)

    def shares(suspects: Tensor) -> tuple[float, float]:
        return float(suspects[h:].double().mean()), float(suspects[:h].double().mean())

    by_rule = [None if opinion.refused else shares(opinion.suspects) for opinion in opinions]
    caught, wrongly = shares(counted >= votes_needed(opinions, votes))
    caught_by_any, wrongly_by_any = shares(counted >= 1)
    return Caught(
        attack=text,
        by_rule=tuple(None if pair is None else pair[0] for pair in by_rule),
        wrongly=tuple(None if pair is None else pair[1] for pair in by_rule),
        together=caught,
        wrongly_together=wrongly,
        by_any=caught_by_any,
        wrongly_by_any=wrongly_by_any,
    )
