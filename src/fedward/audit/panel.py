"""Rules side by side: what each makes of the same rows, and how many of them suspect whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

import torch
from torch import Tensor

from ..core import BoundError, Context, Reason, Result, Rule, State, decide_on, judge
from ..core.rule import Outcome
from ..failures import ContractError
from ..registry.notation import describe, parse
from ..stack import Updates

QUORUM = 0.4
"""The share of a panel that must suspect a client: two of five ideas."""
UNUSABLE = frozenset({Reason.MALFORMED, Reason.NONFINITE, Reason.OVERFLOW})
"""Reasons that no rule has a say in."""
_STANDS_APART = 3.5
"""Robust standard deviations beyond which a score stands apart (Iglewicz & Hoaglin 1993)."""
Side = Literal["high", "low", "both"]


@dataclass(frozen=True, kw_only=True)
class PanelMember:
    """A rule of a panel, and the idea that it stands for.

    A rule that drops somebody in any case (f rows, or the smaller of two groups) suspects those alone whose ``score``
    stands apart from the scores of all: by 3.5 robust standard deviations, 1.4826 times the median distance from the
    median, of at least ``least`` of the median: rows that are all but equal have none. None: its verdict is the
    suspicion. A score that is a square (``squared``) is judged as its root: squares of honest rows have a long tail,
    which the mark would take for liars in most rounds.

    Raises:
        ValueError: the rule would have a vote, and says nothing of single clients (`Traits.judges`).
    """

    idea: str
    rule: Rule
    score: str | None = None
    side: Side = "high"
    """Which scores are suspicious."""
    least: float = 0.05
    squared: bool = False
    votes: bool = True
    """Whether its suspicion counts: not that of the rule that decided, beside which the panel is asked."""

    def __post_init__(self) -> None:
        if self.votes and not self.rule.traits().judges:
            raise ValueError(
                f"{describe(self.rule)} is or has a plain function, which says nothing of single clients: a panel asks "
                "rules that do, such as sign-guard; fedward aggregate takes functions, too"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Opinion:
    """What one rule makes of the rows.

    Attributes:
        member: who says so.
        suspects: (n,) bool, of all clients.
        verdict: the rule's own; None where it could not decide.
        scores: what it looked at, by name: (n,).
        limits: least and greatest of each score among the rows that are not suspected.
        refused: why it could not decide.
    """

    member: PanelMember
    suspects: Tensor
    verdict: Result[Tensor] | None = None
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    refused: str = ""

    @property
    def name(self) -> str:
        """The rule as text."""
        return describe(self.member.rule)


def usual_panel(n: int, f: int | None = None) -> tuple[PanelMember, ...]:
    """Five rules with different ideas: norm, sign, distance, spectral, clustering.

    Args:
        n: rows.
        f: byzantine clients that rules which must be told are told; a fifth of the rows, at least one, if None.
    """
    told = max(n // 5, 1) if f is None else f
    clusters = _rule("cosine-clustering:linkage=average")
    return (
        PanelMember(idea="norm", rule=_rule("sign-guard:cluster=false")),
        PanelMember(
            idea="sign", rule=_rule("sign-guard:lower=0,upper=inf,fraction=1.0"), score="positive", side="both"
        ),
        PanelMember(idea="distance", rule=_rule(f"multi-krum:f={told}"), score="krum", squared=True, least=0.1),
        PanelMember(idea="spectral", rule=_rule(f"dnc:f={told}"), score="outlier", squared=True, least=0.2),
        PanelMember(idea="clustering", rule=clusters, score="cosine", side="low", least=0.2),
    )


def members_of(rules: Sequence[Rule], *, votes: bool = True) -> tuple[PanelMember, ...]:
    """A panel of the rules that somebody named: their verdicts are their suspicions, which count or not."""
    return tuple(PanelMember(idea=describe(rule), rule=rule, votes=votes) for rule in rules)


def ask(member: PanelMember, updates: Updates, context: Context) -> Opinion:
    """What one rule makes of the rows, without an output; no opinion where it stumbles over them.

    Raises:
        ContractError: the rule decided on something that is no plan, which is no fault of the clients'.
    """
    n = updates.n if updates.agreed is None else len(updates.agreed.sent)
    nobody = torch.zeros(n, dtype=torch.bool)
    try:
        verdict = verdict_of(member.rule, updates, context)
    except (BoundError, ValueError) as error:
        return Opinion(member=member, suspects=nobody, refused=str(error))
    except ContractError:
        raise
    except Exception as error:  # what one rule makes of the rows costs no other its hearing
        return Opinion(member=member, suspects=nobody, refused=f"{type(error).__name__}: {error}")
    finite = torch.tensor([reason not in UNUSABLE for reason in verdict.reasons])
    suspects = ~verdict.accepted & finite
    if member.score is not None:
        score = verdict.scores[member.score]
        suspects &= stand_apart(score.clamp_min(0).sqrt() if member.squared else score, member.side, member.least)
    sound = ~suspects & finite
    limits = {}
    for name, score in verdict.scores.items():
        known = score[sound & score.isfinite()]
        if len(known):
            limits[name] = (float(known.min()), float(known.max()))
    return Opinion(member=member, suspects=suspects, verdict=verdict, scores=verdict.scores, limits=limits)


def verdict_of(rule: Rule, updates: Updates, context: Context, state: State | None = None) -> Result[Tensor]:
    """A rule's verdict on each row without its output, which would take another pass.

    Of rules that trim columns the scores have the share of the columns in which each row was trimmed.

    Raises:
        BoundError: too few rows.
        ValueError: the rule needs what there is not.
    """
    decided = decide_on(rule, updates, state or {}, context)
    plan = decided.plan.with_trimmed()
    outcome = Outcome(plan=plan, output=torch.empty(0), finite=decided.finite, state={})
    return judge(updates, outcome, judges=rule.traits().judges)


def stand_apart(scores: Tensor, side: Side, least: float) -> Tensor:
    """Which scores are far beyond the median on the suspicious side: (n,) bool; see `PanelMember`."""
    known = scores[scores.isfinite()]
    if len(known) == 0:
        return torch.zeros(len(scores), dtype=torch.bool)
    median = known.quantile(0.5)
    spread = 1.4826 * (known - median).abs().quantile(0.5)
    reach = _STANDS_APART * torch.maximum(spread, least * median.abs())
    above = scores - median
    beyond = {"high": above, "low": -above, "both": above.abs()}[side]
    return (beyond > reach) & scores.isfinite()


def votes_needed(opinions: Sequence[Opinion], votes: int | None = None) -> int:
    """How many rules must suspect a client for it to be dropped: two of five, or as many as are asked for."""
    return max(ceil(QUORUM * voices(opinions)), 1) if votes is None else votes


def voices(opinions: Sequence[Opinion]) -> int:
    """How many rules have a vote and could decide."""
    return sum(opinion.member.votes and not opinion.refused for opinion in opinions)


def tally(opinions: Sequence[Opinion], n: int) -> Tensor:
    """How many rules suspect each row: (n,) whole numbers."""
    votes = torch.zeros(n, dtype=torch.int64)
    for opinion in opinions:
        if opinion.member.votes:
            votes += opinion.suspects
    return votes


def _rule(text: str) -> Rule:
    rule = parse(text, "rule")
    assert isinstance(rule, Rule)
    return rule
