"""SIREN: clients raise alarms, and the server finds out which of them to believe."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from ..core import Context, Plan, Reason, Rule, State, Traits, finite_copy, smallest
from ..core.state import NUMBERS, entries, recall, remember, updated
from ..registry.bounds import Count, NotNegative, Share, Words
from ..registry.entries import register
from ..registry.parameters import Variant
from ..stack import Gram, Statistic, Updates
from .messages import alarms, by_examples

NO_ALARM, FALSE, TRUE = "no alarm", "false alarms", "true alarms"
DIVERGENT, SINGLE = "divergent alarms", "single alarm"

_COUNT, _BANNED, _BACK, _STREAK = "malicious index", "banned", "way back", "rollbacks in a row"
_SLACK = 1e-9  # accuracies are fractions of few samples: a difference of exactly 10 points must not hang on rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class _Books:
    """What a decision means for the next round."""

    clients: Sequence[Hashable]
    counts: Tensor
    banned: Tensor
    asks: bool
    """Whether the round asks for a step back."""
    stepped_back: bool
    """Whether it makes one: the authors' code does so in every other round that asks."""


_AwardWhen = Annotated[
    Literal["examined", "alarm rounds", "quiet rounds"],
    Words("award says when a banned client is judged benign; the amount C_a is award_by"),
]


@register("siren", paper="Guo et al. 2021", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class SIREN(Rule[_Books]):
    """Believe clients that raise alarms, or those that do not, by the accuracy of their models on the server's data.

    Made for `fedward.clients.Siren`: rows are changes Delta_i of the server's model g, and messages say who raises an
    alarm. Client i passes against r if acc_r - acc_i < threshold and Delta_i . Delta_r >= 0 (an angle of at most 90
    degrees), acc being that of g + Delta on root data, which is asked for only if there are alarms.

    - "no alarm": everybody is benign.
    - Every alarming client passes against the best of them, and some silent one does not do worse than that best one by
      more than the threshold: "false alarms". The silent clients that pass against the best of them are benign.
    - Else "true alarms", or "divergent alarms" if some alarming client does not pass: the alarming clients that pass
      against the best of them are benign, and the server steps back.

    The output is the mean of the benign rows. Who is judged malicious has its index raised by 1. Above C_p a client is
    banned, below C_p it is not, and at C_p it stays what it was: the row of a banned one is not used, nor its alarm,
    nor is it measured against. A banned client that is judged benign has its index lowered by ``award_by``. Bans count
    from the next round on. Guo, Wang et al., "SIREN: Byzantine-robust federated learning via proactive alarming", SoCC
    2021, Algorithm 2, sections 4.4 and 4.6.

    ``award`` is when a banned client is "regarded as benign by the server", of which the paper says no more:

    - "examined": in every round with a banned client the server tries all models. r is the best of those that are not
      banned; a banned client that passes against r has its index lowered, any other one has it raised by 1. In a round
      of banned clients alone there is no r, and nobody is examined. Beyond the letter, and the default: under attackers
      with honest alarms it alone of the three recovers as the paper reports.
    - "alarm rounds": by the decision above where there are alarms, and never without: the letter. An honest client that
      was banned wrongly, as happens where clients' data differ, can do little to come back.
    - "quiet rounds": the same, and a round without alarms counts everybody as benign. So attackers whose alarms are
      honest come back by keeping quiet while they are banned.

    ``divergent="printed"`` is the decision above, as published, and the default for that reason alone. It is a hole:
    two attackers that alarm with models unlike each other have every silent client thrown out. "best-of-all" has
    everybody, silent or not, measured against the best model of all in such a round, and is what to use outside of
    comparisons with what was published. It leaves a smaller hole: an attacker whose model is the best on the server's
    samples, which happens where these are few, has whoever does not pass against it thrown out in that round.

    ``rollback="printed"`` steps back as the paper prints it, from the previous model with changes that were measured
    from the present one: such a server oscillates and does not recover, because each change undoes the last step.
    "recovered" takes the mean of the benign clients' models g + Delta_i, which recovers at once.

    ``variant="official"`` is the authors' code as far as it differs: thresholds are relative (accuracy below
    (1 - threshold) acc_r, cosine <= 0); a single alarm has everybody judged against the best of all; steps back are as
    printed, after every round in which some row is not used, be its client rejected or banned, but of successive such
    rounds only after every other one; bans are for good, from an index of int(penalty rounds) on; any client whose row
    is used gets the award.

    A client that was forgotten is as a new one, its ban included. Who may choose ids is never banned for long: a new
    id is a new client; with more new ids than ``remember`` he has the bans of others forgotten as well.

    Use when: clients can hold out data and raise alarms, the server has samples of its own, and byzantine clients
    may be most. Among clients that raise no alarms it is a mean.

    Args:
        threshold: the paper's server threshold C_s.
        penalty: C_p as a share of what ``penalty_of`` says.
        penalty_of: "clients", C_p = penalty n with n clients in the round, as printed; or "rounds", C_p = penalty
            rounds, as in the authors' code. The printed C_p grows with the clients, 22.5 of 50 and 90 of 200, and an
            index by 1 a round at most: of 200 clients nobody is banned within 40 rounds, and of 50 the attackers in the
            last third of them (results/siren).
        award: "examined", "alarm rounds" or "quiet rounds".
        award_by: C_a.
        divergent: "printed" or "best-of-all".
        weight_analysis: False leaves the angles out of all comparisons, as in the paper's figures 5 and 6.
        rollback: "recovered" or "printed".
        weighted: weigh benign rows by the samples that clients say they have, as `Mean` does. Anybody can say anything.
        variant: "paper" or "official".
        remember: of how many ids, those seen last, at least 1; those of a round are always remembered until the next.
        rounds: that are planned for, where C_p counts them.

    Raises:
        ValueError: parameters out of bounds, or no evaluator; weighted, and nobody says how many samples it has;
            official, and award, divergent or penalty_of is not the default: the authors' code has its own way of each.
    """

    threshold: Share = 0.1
    penalty: NotNegative = 0.45
    penalty_of: Literal["clients", "rounds"] = "clients"
    award: _AwardWhen = "examined"
    award_by: NotNegative = 0.5
    divergent: Literal["printed", "best-of-all"] = "printed"
    weight_analysis: bool = True
    rollback: Literal["recovered", "printed"] = "recovered"
    weighted: bool = False
    variant: Variant = "paper"
    rounds: Count = 40
    remember: Count = NUMBERS
    declared = Traits(
        selects=True,
        passes=3,
        properties=frozenset({"permutation"}),
        history=True,
        root_data=True,
        by_client=True,
        recorded=(_COUNT,),
        hears_alarms=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.official:
            return
        for name in ("award", "divergent", "penalty_of"):
            value = getattr(self, name)
            if value != getattr(SIREN, name):
                raise ValueError(
                    f'{name}={value!r} is for variant="paper"; variant="official" does as the authors\' code does: '
                    f"leave {name} out"
                )

    @property
    def official(self) -> bool:
        """Whether to do as the authors' code does."""
        return self.variant == "official"

    def traits(self) -> Traits:
        return replace(self.declared, server_rows=self.official or self.rollback == "printed")

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        if not self.weight_analysis:
            return ()
        # Which of the banned take part is not known yet.
        examined = self._examines and any(bool(ban > 0) for ban in entries(state, _BANNED).values())
        alarmed = any(_raised(client, context) for client in context.messages)
        return (Gram(),) if examined or alarmed else ()

    @property
    def _examines(self) -> bool:
        """Whether banned clients are examined in every round."""
        return self.award == "examined" and not self.official

    def decide(self, updates: Updates, state: State, context: Context) -> Plan[_Books]:
        banned = recall(state, _BANNED, updates.ids, 0) > 0
        case = _Case(self, updates, context, raised=alarms(updates.ids, context), banned=banned)
        used = case.benign & ~banned
        weights = torch.zeros(updates.n, dtype=torch.float64)
        if bool(used.any()):
            weights = by_examples(updates.ids, context, used) if self.weighted else used.double() / used.sum()

        # A step back takes the last step once more, the other way: as one more row, with weight -1.
        asks = case.branch in (TRUE, DIVERGENT)
        if self.official:
            asks = _BACK in state and not bool(used.all())
        every_other = self.official and int(state.get(_STREAK, 0)) % 2 == 1
        stepped_back = asks and not every_other
        stack = updates
        if stepped_back and _BACK in state:
            stack = updates.anchored(state[_BACK])
            weights = torch.cat([weights, torch.tensor([-1.0], dtype=torch.float64)])

        counts, barred = self._book(recall(state, _COUNT, updates.ids, 0), case, banned, used)
        reasons = list(case.reasons)
        for i in case.benign.nonzero().flatten().tolist():  # who is benign and has no weight all the same
            reasons[i] = Reason.NO_EXAMPLES if bool(used[i]) else Reason.BANNED
        return Plan(
            stack,
            weights,
            scores={_COUNT: counts, "accuracy": case.accuracy},
            reasons=reasons,
            judged=updates,
            note=case.branch,
            memo=_Books(clients=updates.ids, counts=counts, banned=barred, asks=asks, stepped_back=stepped_back),
        )

    def _book(self, counts: Tensor, case: _Case, banned: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """Penalties and awards: the malicious index of each client, and who is banned from now on."""
        counts = counts + (~case.benign).double()
        if self.official:
            counts = counts - self.award_by * (used & (counts > 0))
            return counts, banned | (counts >= int(self.penalty * self.rounds))
        counts = counts - self.award_by * (case.benign & banned & case.judged)
        limit = self.penalty * (self.rounds if self.penalty_of == "rounds" else len(counts))
        return counts, torch.where((counts - limit).abs() <= _SLACK, banned, counts > limit)

    def advance(self, state: State, plan: Plan[_Books], output: Tensor, context: Context) -> State:
        books = plan.memo
        new = {
            **remember(_COUNT, books.clients, books.counts),
            **remember(_BANNED, books.clients, books.banned.double()),
        }
        after = updated(state, new, books.clients, self.remember)
        if not self.traits().server_rows:
            return after
        back = finite_copy(output.to(torch.promote_types(output.dtype, torch.float32)))
        if books.stepped_back and _BACK in state:  # the model that was stepped back from counts as never reached
            back = finite_copy(back + state[_BACK].to(back))
        streak = int(state.get(_STREAK, 0)) + 1 if books.asks else 0
        return {**after, _BACK: back, _STREAK: torch.tensor(streak)}


def _raised(client: object, context: Context) -> bool:
    return bool(alarms([client], context)[0])


class _Case:
    """Which branch of the decision a round is in, who is benign there, and why others are not.

    ``judged`` are those whose verdict counts for an award.
    """

    def __init__(self, rule: SIREN, updates: Updates, context: Context, *, raised: Tensor, banned: Tensor) -> None:
        self.rule = rule
        self.updates = updates
        self.context = context
        self.accuracy = torch.full((updates.n,), torch.nan, dtype=torch.float64)
        self.reasons = [Reason.NOT_SELECTED] * updates.n
        self.benign = torch.ones(updates.n, dtype=torch.bool)
        self.everybody = torch.ones(updates.n, dtype=torch.bool)
        if not rule._examines:
            self.branch = self._listen(raised, banned)
            without_alarms = self.branch == NO_ALARM and rule.award == "alarm rounds"
            self.judged = torch.zeros_like(banned) if without_alarms else self.everybody
            return
        # Banned clients have somebody to be measured against as long as not all are banned.
        self.judged = banned & (~banned).any()
        if bool(self.judged.any()):
            self._measure(self.everybody)  # at once, before parts of them are asked for
        self.branch = self._listen(raised, banned)
        if bool(self.judged.any()):
            self.benign |= banned
            self._accept(banned, self._best(~banned))

    def _listen(self, raised: Tensor, banned: Tensor) -> str:
        """The decision by the alarms of those that are not banned."""
        counted = raised & ~banned
        if not bool(counted.any()):
            return NO_ALARM
        if self.rule.official and int(counted.sum()) == 1:
            self._measure(self.everybody)
            self._accept(self.everybody, self._best(~banned))
            return SINGLE
        self._measure(raised)
        loudest = self._best(counted)
        silent = ~raised
        similar = bool(self._passing(loudest)[counted].all())
        if similar and bool((silent & ~banned).any()):
            self._measure(silent)
            calmest = self._best(silent & ~banned)
            if self._as_good(calmest, loudest):
                self._refuse(raised, Reason.FALSE_ALARM)
                self._accept(silent, calmest)
                return FALSE
        if not similar and self.rule.divergent == "best-of-all":
            self._measure(self.everybody)
            self._accept(self.everybody, self._best(~banned))
            return DIVERGENT
        self._refuse(silent, Reason.NO_ALARM)
        self._accept(raised, loudest)
        return TRUE if similar else DIVERGENT

    def _measure(self, whom: Tensor) -> None:
        """Accuracies of their models on the root data, of those that are not known yet."""
        rows = (whom & self.accuracy.isnan()).nonzero().flatten()
        if not len(rows):
            return
        wrong = self.context.root_data().error_rates(self.updates.take(rows))
        self.accuracy[rows] = (1 - wrong).nan_to_num(nan=0.0)

    def _best(self, among: Tensor) -> int:
        rows = among.nonzero().flatten()
        return int(rows[smallest(-self.accuracy[rows], 1)[0]])

    def _accurate(self, reference: int) -> Tensor:
        best = self.accuracy[reference]
        threshold = self.rule.threshold
        if self.rule.official:
            return self.accuracy >= (1 - threshold) * best - _SLACK
        return best - self.accuracy < threshold - _SLACK

    def _aligned(self, reference: int) -> Tensor:
        if not self.rule.weight_analysis:
            return self.everybody
        products = self.updates.gram()[reference]
        aligned = products > 0 if self.rule.official else products >= 0
        aligned[reference] = True
        return aligned

    def _passing(self, reference: int) -> Tensor:
        passing = self._accurate(reference) & self._aligned(reference)
        passing[reference] = True
        return passing

    def _as_good(self, calmest: int, loudest: int) -> bool:
        alarming = self.accuracy[loudest]
        threshold = self.rule.threshold
        worst = (1 - threshold) * alarming if self.rule.official else alarming - threshold
        return bool(self.accuracy[calmest] >= worst - _SLACK)

    def _refuse(self, whom: Tensor, reason: Reason) -> None:
        self.benign &= ~whom
        for i in whom.nonzero().flatten().tolist():
            self.reasons[i] = reason

    def _accept(self, whom: Tensor, reference: int) -> None:
        """Of these, those that pass against the reference."""
        accurate = self._accurate(reference)
        accurate[reference] = True
        self._refuse(whom & ~self._aligned(reference), Reason.DIRECTION_OUTLIER)
        self._refuse(whom & ~accurate, Reason.INACCURATE)
