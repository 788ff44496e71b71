"""One attack against one rule, on captured rounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isnan
from statistics import fmean
from typing import Annotated, Any

import torch
from torch import Tensor

from ..attacks import Attack, NoAttack, View
from ..attacks.base import mixable, poisons
from ..core import Context, Rule, Skipped, State, Step, decision, neutral, step_or_skip
from ..experiments.spec import SpecError
from ..registry.notation import describe
from ..sim.cohort import byzantine_ids
from ..sim.forms import Form, FormError, read_number, read_rate
from ..sim.record import mean_of_known
from ..sim.running import Statistics, Vote, forged_statistics, mean_buffers, running_after
from ..stack import Dense, Updates, materialise
from ..stack.buffers import EPS
from ..stack.layout import is_variance, variance_beside
from .capture import Captured, Normalised

_MOST = 1e300  # what is beyond is as bad, and JSON has no infinity


def _read_harm(value: Any) -> float:
    number = read_number(value)
    if isnan(number):
        raise FormError("must be a number, got NaN")
    return min(max(number, -_MOST), _MOST)


Harm = Annotated[float, Form(write=float, read=_read_harm)]
Share = Annotated[float, Form(write=float, read=read_rate)]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one attack did to a rule, on average over the captured rounds in which it attacked.

    Attributes:
        attack: as text.
        kappa: squared distance of the output from the honest mean, in units of the honest rows' mean squared distance
            from it: the kappa of (f, kappa)-robustness, as far as this attack shows it.
        progress: <output, mean> / |mean|^2 with the honest mean; 1 without harm, below 0 the model moves back.
        byzantine_accepted: share of the byzantine rows that got weight; None where there were none, and of rules that
            say nothing of single clients (`Traits.judges`).
        honest_accepted: share of the honest ones.
        refused: rounds in which the rule had too few finite rows, or raised; the server stays where it is.
        refused_why: in words, in the first of them; None in files of before that was noted.
        accuracy: after a short training run under the attack, where one was made.
        statistics: how far the server's running statistics end from the honest clients' mean if they are forged beside
            the rows: root mean square over entries, in standard deviations of the layer for means, in variances for
            variances. None of a model without any.
        undecided: rounds that the rule must have seen before it decides by what it is (`Traits.learns`), where fewer
            were captured: what is above is of its first rounds then, and no measure of the rule. 0 where it decided.
    """

    attack: str
    kappa: Harm
    progress: Harm
    byzantine_accepted: Share | None
    honest_accepted: Share | None
    refused: int = 0
    refused_why: str | None = None
    accuracy: Share | None = None
    statistics: Harm | None = None
    undecided: int = 0


@dataclass(frozen=True, kw_only=True)
class _Round:
    """What came of one round; no share where there are no such rows or nobody knows, and why the rule refused if so."""

    kappa: float
    progress: float
    byzantine_accepted: float | None
    honest_accepted: float | None
    refused: str | None
    statistics: float | None = None


@neutral()
def play(
    rule: Rule, attack: Attack, captured: Sequence[Captured], byzantine: int | Iterable[int], seed: int = 0
) -> Finding:
    """One attack against one rule, over the captured rounds, with the memory of both.

    ``byzantine`` is how many clients are, the first ones, or which. In the first of several rounds they behave, in what
    they say too, so that a rule with memory has one to compare with; it does not count. A rule that must have seen more
    of them (`Traits.learns`) gets as many, if more are captured; if not, the finding says that it never decided. A
    defence that is switched on late is played against from then on. Rounds in which nobody attacks, since no byzantine
    client takes part or the attack behaves, do not count, but for no attack at all.

    Raises:
        ValueError: no captured round; the attack cannot be played among these clients, or not on captured rows
            (`check_played`); or no byzantine client answered in a round that would count.
    """
    if not captured:
        raise ValueError("at least one captured round is needed, got none")
    check_played(rule, attack, len(captured), seed)
    quiet = _quiet(rule, len(captured))
    n = 1 + max(client for now in captured for client in now.whose)
    members = byzantine_ids(byzantine, n)
    attack.check(range(n), members)
    rule_state: State = {}
    attack_state: State = {}
    played: list[_Round] = []
    for number, came in enumerate(captured):
        context = Context(rule.traits().starts + number, seed, group=came.group)
        now = came if attack.present(context.fold("attack")) else came.without(members)
        liars = [place for place, client in enumerate(now.whose) if client in members]
        others = [place for place, client in enumerate(now.whose) if client not in members and now.counting[place]]
        if not others:
            raise SpecError(
                "no honest client sent finite rows in a captured round: look for NaN or Inf in the model or the data, "
                "take a smaller learning rate, or let more of them take part"
            )
        counts = number >= quiet
        attacked = counts and bool(liars)
        stack = Dense(now.rows, ids=now.whose)
        honest = stack.take(torch.tensor(others))
        said = dict(now.messages)
        if attacked:
            lying = [now.whose[place] for place in liars]
            said |= {client: attack.say(said.get(client, {}), context.fold("attack")) for client in lying}
        within = replace(context, messages=said, evaluator=now.evaluator).fold("rule")
        sent = now.rows, None if now.normalised is None else now.normalised.sent
        if attacked:
            view = View(
                honest=honest,
                own=mixable(stack.take(torch.tensor(liars)), [now.counting[place] for place in liars]),
                context=context.fold("attack"),
                decide=partial(decision, rule, state=rule_state, context=within),
                previous=now.previous,
                state=attack_state,
                byzantine=sorted(members),
            )
            sent = _forged(attack, view, now, liars=liars, others=others)
            attack_state = attack.advance(view, sent[0][liars])
        rows, statistics = sent
        done = step_or_skip(rule, Dense(rows, ids=now.whose), rule_state, within)
        rule_state = done.state
        if (counts and isinstance(attack, NoAttack)) or (attacked and attack.acts(context.fold("attack"))):
            compared = _compared(done, honest, liars=liars, others=others)
            if not rule.traits().judges:
                compared = replace(compared, byzantine_accepted=None, honest_accepted=None)
            if now.normalised is not None and statistics is not None:
                compared = replace(compared, statistics=_strayed(done, rule, statistics, now.normalised, others))
            played.append(compared)
    if not played:
        raise ValueError(
            f"no byzantine client answered in a captured round in which {describe(attack)} attacks: capture more "
            "rounds, or let more clients take part"
        )
    return Finding(
        attack=describe(attack),
        kappa=fmean(r.kappa for r in played),
        progress=fmean(r.progress for r in played),
        byzantine_accepted=mean_of_known(r.byzantine_accepted for r in played),
        honest_accepted=mean_of_known(r.honest_accepted for r in played),
        refused=sum(r.refused is not None for r in played),
        refused_why=next((r.refused for r in played if r.refused is not None), None),
        statistics=mean_of_known(r.statistics for r in played),
        undecided=undecided(rule, len(captured)),
    )


def undecided(rule: Rule, captured: int) -> int:
    """Rounds that a rule must have seen before it decides by what it is, where fewer come before an attack; else 0."""
    learns = rule.traits().learns
    return learns if learns >= captured else 0


def _quiet(rule: Rule, captured: int) -> int:
    """How many of the captured rounds are honest and do not count."""
    learnt = 0 if undecided(rule, captured) else rule.traits().learns
    return max(learnt, min(captured - 1, 1))


def check_on_rows(attack: Attack) -> None:
    """Raise ValueError where an attack acts before there are rows, so that on captured ones it would be no attack."""
    if poisons(attack):
        name = describe(attack)
        raise ValueError(
            f"{name} poisons the data that clients train on, and the rows that attacks are played on are captured: it "
            f"would be played as no attack. Train under it: examine(..., also=[{name!r}]), or "
            f"fedward run --attack {name!r}"
        )


def check_played(rule: Rule, attack: Attack, captured: int, seed: int = 0) -> None:
    """Raise ValueError where an attack would be played as none on so many captured rounds (`check_on_rows`)."""
    check_on_rows(attack)
    first = rule.traits().starts
    rounds = range(first + _quiet(rule, captured), first + captured)
    each = [Context(round, seed).fold("attack") for round in rounds]
    attacks = [attack.present(now) and attack.acts(now) for now in each]
    if not any(attacks) and not isinstance(attack, NoAttack):
        told = f"round {rounds[0]}" if len(rounds) == 1 else f"rounds {rounds[0]} to {rounds[-1]}"
        raise ValueError(
            f"{describe(attack)} attacks in none of the rounds that count, {told}: have it attack earlier, or capture "
            "more rounds"
        )


def _forged(
    attack: Attack, view: View, now: Captured, *, liars: list[int], others: list[int]
) -> tuple[Tensor, Tensor | None]:
    """The rows of a round and the running statistics beside them, of which the liars' are forged."""
    forged = attack.forged(view)
    statistics = None
    if now.normalised is not None:
        statistics = now.normalised.sent.clone()
        known = Statistics.of(view, list(statistics[others]), list(statistics[liars]), now.normalised.before)
        statistics[liars] = forged_statistics(attack, view, forged, known)
    rows = now.rows.clone()
    if forged is not view.own:
        rows[liars] = materialise(forged).to(rows.dtype)
    return rows, statistics


def _strayed(done: Step | Skipped, rule: Rule, sent: Tensor, normalised: Normalised, others: Sequence[int]) -> float:
    """How far the server's running statistics end from the honest clients' mean; see `Finding`."""
    after = normalised.before
    if isinstance(done, Step):
        each = zip(sent, done.result.accepted.tolist(), strict=True)
        came = [Vote(client=k, buffers=row, accepted=ok) for k, (row, ok) in enumerate(each)]
        after = running_after(normalised.policy, normalised.layout, came, normalised.before, rule)
    honest = mean_buffers(normalised.layout, list(normalised.sent[list(others)]), normalised.before).double()
    scale = torch.ones_like(honest)
    slices = dict(normalised.layout.slices())
    for name, columns in slices.items():
        beside = variance_beside(name)
        if is_variance(name):
            scale[columns] = honest[columns] + EPS
        elif beside in slices:
            scale[columns] = (honest[slices[beside]] + EPS).sqrt()
    return min(float(((after.double() - honest) / scale).square().mean().sqrt()), _MOST)


def _compared(done: Step | Skipped, honest: Updates, *, liars: list[int], others: list[int]) -> _Round:
    """The output beside the honest mean; a round that the rule could not decide leaves the server where it is."""
    mean = honest.combine(torch.full((honest.n,), 1 / honest.n, dtype=torch.float64)).double()
    if isinstance(done, Skipped):
        kappa, progress = _harm(torch.zeros_like(mean), mean, honest)
        none = 0.0 if liars else None
        return _Round(kappa=kappa, progress=progress, byzantine_accepted=none, honest_accepted=0.0, refused=done.why)
    kappa, progress = _harm(done.result.output.double(), mean, honest)
    accepted = done.result.accepted.double()
    return _Round(
        kappa=kappa,
        progress=progress,
        byzantine_accepted=float(accepted[liars].mean()) if liars else None,
        honest_accepted=float(accepted[others].mean()),
        refused=None,
    )


def _harm(output: Tensor, mean: Tensor, honest: Updates) -> tuple[float, float]:
    """Kappa and progress."""
    square = float(mean @ mean)
    spread = max(float(honest.gram().diagonal().mean()) - square, 1e-300)
    kappa = float((output - mean).square().sum()) / spread
    progress = float(output @ mean) / max(square, 1e-300)
    return (_MOST if isnan(kappa) else min(kappa, _MOST)), (
        -_MOST if isnan(progress) else min(max(progress, -_MOST), _MOST)
    )
