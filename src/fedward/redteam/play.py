"""One attack against one rule, on captured rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import torch
from torch import Tensor

from ..attacks import Attack, View
from ..core import BoundError, Context, Plan, Rule, State, apply, judge, neutral, stumbled
from ..registry.notation import describe
from ..stack import Dense, Updates, materialise
from .capture import Captured

_MOST = 1e300  # what is beyond is as bad, and JSON has no infinity


@dataclass(frozen=True)
class Finding:
    """What one attack did to a rule, on average over the captured rounds.

    Attributes:
        attack: as text.
        kappa: squared distance of the output from the honest mean, in units of the honest rows' mean squared distance
            from it: the kappa of (f, kappa)-robustness, as far as this attack shows it.
        progress: <output, mean> / |mean|^2 with the honest mean; 1 without harm, below 0 the model moves back.
        byzantine_accepted: share of the byzantine rows that got weight.
        honest_accepted: share of the honest ones.
        refused: rounds in which the rule had too few finite rows, or raised; the server stays where it is.
        accuracy: after a short training run under the attack, where one was made.
    """

    attack: str
    kappa: float
    progress: float
    byzantine_accepted: float
    honest_accepted: float
    refused: int = 0
    accuracy: float | None = None


@dataclass(frozen=True)
class _Round:
    """What came of one round."""

    kappa: float
    progress: float
    byzantine_accepted: float
    honest_accepted: float
    refused: bool


@neutral()
def play(rule: Rule, attack: Attack, captured: Sequence[Captured], byzantine: int, seed: int = 0) -> Finding:
    """One attack against one rule, over the captured rounds, with the memory of both.

    The first ``byzantine`` clients are the byzantine ones. In the first of several rounds they behave, so that a rule
    with memory has one to go by; it does not count.

    Raises:
        ValueError: no captured round.
    """
    if not captured:
        raise ValueError("at least one captured round is needed, got none")
    rule_state: State = {}
    attack_state: State = {}
    played: list[_Round] = []
    for number, now in enumerate(captured):
        attacks = number > 0 or len(captured) == 1
        stack, own = Dense(now.rows), torch.arange(byzantine)
        honest, rows = stack.take(torch.arange(byzantine, stack.n)), now.rows.clone()
        context = Context(number, seed)
        within = Context(number, seed, now.messages, evaluator=now.evaluator).fold("rule")
        if attacks:
            decide = partial(_decide, rule, rule_state, within)
            view = View(honest, stack.take(own), context.fold("attack"), decide, now.previous, attack_state)
            rows[:byzantine] = materialise(attack.forged(view)).to(rows.dtype)
            attack_state = attack.advance(view, rows[:byzantine])
        outcome, rule_state = _aggregate(rule, Dense(rows), honest, rule_state, within)
        if attacks:
            played.append(outcome)
    return Finding(
        attack=describe(attack),
        kappa=fmean(r.kappa for r in played),
        progress=fmean(r.progress for r in played),
        byzantine_accepted=fmean(r.byzantine_accepted for r in played),
        honest_accepted=fmean(r.honest_accepted for r in played),
        refused=sum(r.refused for r in played),
    )


def _decide(rule: Rule, state: State, context: Context, updates: Updates) -> Plan:
    """The rule's decision, with the memory and the streams of a round."""
    try:
        return rule.decide(updates, state, context)
    except BoundError:
        raise
    except Exception as error:
        raise BoundError(stumbled(rule, error)) from error


def _aggregate(rule: Rule, updates: Dense, honest: Updates, state: State, context: Context) -> tuple[_Round, State]:
    """Aggregate, and compare the output with the honest mean."""
    mean = honest.combine(torch.full((honest.n,), 1 / honest.n, dtype=torch.float64)).double()
    m = updates.n - honest.n
    try:
        outcome = apply(rule, updates, state, context)
    except Exception:  # too few finite rows, or rows that the rule stumbles over
        return _Round(*_harm(torch.zeros_like(mean), mean, honest), 0.0, 0.0, True), state
    accepted = judge(updates, outcome).accepted.double()
    shares = float(accepted[:m].mean()) if m else 0.0, float(accepted[m:].mean())
    return _Round(*_harm(outcome.output.double(), mean, honest), *shares, False), outcome.state


def _harm(output: Tensor, mean: Tensor, honest: Updates) -> tuple[float, float]:
    """Kappa and progress."""
    square = float(mean @ mean)
    spread = max(float(honest.gram().diagonal().mean()) - square, 1e-300)
    kappa = float((output - mean).square().sum()) / spread
    return min(kappa, _MOST) if kappa == kappa else _MOST, float(output @ mean) / max(square, 1e-300)
