"""Rules that judge clients by data of the server's own, through `Context.evaluator`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..core import (
    WHOLE,
    Bound,
    Compound,
    Context,
    Evaluator,
    Plan,
    Reason,
    Rule,
    State,
    Traits,
    average_of,
    noted,
    rows_judged,
    smallest,
)
from ..registry.bounds import Byzantine, NotNegative
from ..registry.entries import register
from ..stack import Dense, Dots, SqNorms, Statistic, Updates, cosines_to, held_like
from .coordinate import Mean
from .remembered import zero_row


@register("fltrust", paper="Cao et al. 2021")
@dataclass(frozen=True, kw_only=True)
class FLTrust(Rule):
    """Average of the rows, scaled to the length of the server's own update and weighted by their cosine to it.

    With the update g of the server's own data: t_i = max(0, cos(x_i, g)); output sum_i t_i x_i |g| / |x_i| over
    sum_i t_i. Nobody trusted: the zero vector. Cao, Fang, Liu & Gong, "FLTrust: Byzantine-robust federated learning
    via trust bootstrapping", NDSS 2021, Algorithm 2. The paper's root data are 100 samples.

    Use when: the server has a small clean set of its own that looks like the clients' data. Then byzantine clients
    may be more than half.

    Raises:
        ValueError: no evaluator, or its update is not finite or of another size.
    """

    declared = Traits(selects=True, root_data=True, properties=frozenset({"permutation"}))

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        if context.evaluator is None:
            return (SqNorms(),)
        return (SqNorms(), Dots(rows=context.evaluator.update()))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        own = context.root_data().update()
        norms = updates.norms()
        length = float(updates.share.norm(own))
        cosine = cosines_to(updates.compute(Dots(rows=own))[0][:, 0], norms, length)
        trust = cosine.clamp_min(0)
        scales = torch.where(norms > 0, length / norms, 0.0)
        weights = trust / trust.sum() * scales if trust.sum() > 0 else torch.zeros_like(trust)
        return Plan(updates, weights, scores={"cosine": cosine}, reasons=[Reason.DISTRUSTED] * updates.n)


@register("zeno", paper="Xie et al. 2019", example={"rho": 5e-4})
@dataclass(frozen=True, kw_only=True)
class Zeno(Rule):
    """Mean of the n - f rows that would lower the loss on the server's data most, long ones at a price.

    score_i = loss(now) - loss(after taking x_i) - rho |x_i|^2. Xie, Koyejo & Gupta, "Zeno: distributed stochastic
    gradient descent with suspicion-based fault-tolerance", ICML 2019, Definition 3. The published code has
    rho = lr / 200 and |x_i|^2 / d; this is the paper's norm.

    Use when: the server has labelled samples of its own, on which a step along each row can be tried, and f is an
    upper bound. Then byzantine clients may be more than half. ``rho`` is to be tuned.

    Args:
        f: rows to leave out, at least as many as there are byzantine clients.
        rho: price of a row's squared norm.

    Raises:
        ValueError: negative rho, or no evaluator.
    """

    f: Byzantine
    rho: NotNegative
    declared = Traits(
        selects=True,
        bound=Bound(1, 1),
        passes=3,
        root_data=True,
        properties=frozenset({"permutation", "mean"}),
    )

    def most_accepted(self, n: int) -> int:
        return n - self.f_of(n)

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(),)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        evaluator = context.root_data()
        now = evaluator.losses(_nothing(updates))[0]
        scores = now - evaluator.losses(updates) - self.rho * updates.norms().square()
        scores = scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        kept = smallest(-scores, self.most_accepted(updates.n))
        note = self.note(updates.n)
        return average_of(updates, kept, scores={"zeno": scores}, reason=Reason.HARMFUL, note=note)


def _nothing(updates: Updates) -> Updates:
    """One row of zeros: the server stays where it is."""
    return held_like(updates, Dense(zero_row(updates)[None]))


Measures = dict[str, Callable[[Updates], Tensor]]


@dataclass(frozen=True, kw_only=True)
class _Rejection(Compound):
    """Leave out the f clients without whom the base rule's aggregate would do best on the server's data."""

    f: Byzantine
    base: Rule = field(default_factory=Mean)
    declared = replace(
        WHOLE,
        bound=Bound(1, 1),
        passes=None,  # one aggregate for each client
        root_data=True,
        properties=frozenset({"permutation", "mean"}),
    )

    @property
    def parts(self) -> tuple[Rule, ...]:
        return (self.base,)

    def traits(self) -> Traits:
        return replace(super().traits(), selects=True)  # whatever the base rule makes of the others

    def most_accepted(self, n: int) -> int:
        return n - self.f_of(n)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base.traits().history:
            raise ValueError(f"the base rule must decide from one round alone, got {self.base!r}")

    def check(self, n: int) -> None:
        Rule.check(self, n)
        self.base.check(n - self.f_of(n))  # nobody is left out where f is 0, or a share that rounds to it

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return self.base.statistics({}, context.fold("base"))

    @abstractmethod
    def measures(self, evaluator: Evaluator) -> Measures:
        """By what to judge; a client must pass all of them."""

    def _measured(self, updates: Updates, measures: Measures, context: Context) -> Tensor:
        """What each measure says of the base rule's aggregate of these rows: (number of measures,)."""
        aggregate = held_like(updates, Dense(self.base.decide(updates, {}, context).execute()[None]))
        return torch.cat([measure(aggregate) for measure in measures.values()])

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        below = context.fold("base")
        scores = self._impacts(updates, below) if self.f_of(updates.n) > 0 else {}
        kept = torch.ones(updates.n, dtype=torch.bool)
        for impact in scores.values():
            kept[smallest(-impact, self.f_of(updates.n))] = False
        survivors = kept.nonzero().flatten()
        if len(survivors) == 0:
            return average_of(updates, survivors, scores=scores, reason=Reason.HARMFUL, note=self.note(updates.n))
        plan = self.base.decide(updates.take(survivors), {}, below)

        # The plan speaks of the survivors, or of fewer rows; what it says is spread over all that came in.
        judged = rows_judged(plan, updates)
        reasons = [plan.reason_at(i) if i >= 0 else Reason.HARMFUL for i in judged.tolist()]
        note = noted(self.note(updates.n), plan.note)
        return replace(plan, scores=scores | plan.scores_at(judged), reasons=reasons, judged=updates, note=note)

    def _impacts(self, updates: Updates, context: Context) -> dict[str, Tensor]:
        """How much worse each measure is with each client than without: (n,) each."""
        measures = self.measures(context.root_data())
        before = self._measured(updates, measures, context)
        everyone = torch.arange(updates.n)
        without = []
        for i in everyone:  # one aggregate at a time is in memory
            others = updates.take(everyone[everyone != i])
            without.append(self._measured(others, measures, context))
        impacts = {}
        for name, now, after in zip(measures, before, torch.stack(without, 1), strict=True):
            # Who takes the loss to infinity or beyond is the worst; who cannot keep it from there, innocent.
            impacts[name] = torch.where(after.isfinite(), now.nan_to_num(nan=torch.inf) - after, -torch.inf)
        return impacts


@register("error-rate-rejection", paper="Fang et al. 2020", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class ErrorRateRejection(_Rejection):
    """Leave out the f clients whose presence raises the error rate on the server's data most.

    impact_i = error(base rule on all) - error(base rule on all but i); the base rule on those left. Fang, Cao, Jia &
    Gong, "Local model poisoning attacks to Byzantine-robust federated learning", USENIX Security 2020, section 5 (ERR).

    Use when: the server has labelled samples of its own, clients are few (it aggregates and tests n + 1 times a
    round), and wrong predictions are what counts.

    Args:
        f: clients to leave out.
        base: the rule that aggregates, without memory.

    Raises:
        ValueError: a base rule with memory, or no evaluator.
    """

    def measures(self, evaluator: Evaluator) -> Measures:
        return {"error impact": evaluator.error_rates}


@register("loss-rejection", paper="Fang et al. 2020", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class LossRejection(_Rejection):
    """Leave out the f clients whose presence raises the loss on the server's data most.

    impact_i = loss(base rule on all) - loss(base rule on all but i); the base rule on those left. Fang et al. 2020,
    section 5 (LFR).

    Use when: the server has labelled samples of its own, clients are few (it aggregates and tests n + 1 times a
    round), and the loss on those samples is what counts.

    Args:
        f: clients to leave out.
        base: the rule that aggregates, without memory.

    Raises:
        ValueError: a base rule with memory, or no evaluator.
    """

    def measures(self, evaluator: Evaluator) -> Measures:
        return {"loss impact": evaluator.losses}


@register("union-rejection", paper="Fang et al. 2020", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class UnionRejection(_Rejection):
    """Leave out clients that `ErrorRateRejection` or `LossRejection` would leave out.

    Fang et al. 2020, section 5 (Union): the base rule on those that both keep. Nobody left: the zero vector.

    Use when: as for `ErrorRateRejection` and `LossRejection`, where dropping up to 2f clients is better than
    keeping one too many.

    Args:
        f: clients that each of the two leaves out.
        base: the rule that aggregates, without memory.

    Raises:
        ValueError: a base rule with memory, or no evaluator.
    """

    def check(self, n: int) -> None:
        super().check(n)
        self.base.check(max(n - 2 * self.f_of(n), 1))

    def measures(self, evaluator: Evaluator) -> Measures:
        return {"error impact": evaluator.error_rates, "loss impact": evaluator.losses}
