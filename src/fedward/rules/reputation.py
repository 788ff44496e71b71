"""Rules that trust clients by what they sent in earlier rounds: FoolsGold and RFFL."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core import Context, Plan, Reason, Rule, State, Traits
from ..core.state import NUMBERS, ROWS, entries, key, recall, remember, updated
from ..registry.bounds import Count, Decay, Natural, Positive
from ..registry.entries import register
from ..stack import Gram, Offset, SqNorms, Statistic, Updates, collected, cosines, cosines_to, evened, row_slices
from .mixers import clip_factors
from .remembered import remember_rows, safe_unit


@register("fools-gold", paper="Fung et al. 2020", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class FoolsGold(Rule):
    """Lower the weights of clients whose updates, summed over all rounds, point the same way as another's: Sybils.

    cs_ij = cos(H_i, H_j) of the sums H of each client's updates, cs_ii = 0; v_i = max_j cs_ij. Pardon: for v_i < v_j,
    cs_ij <- cs_ij v_i / v_j. alpha_i = 1 - max_j cs_ij, clipped to [0, 1], divided by the greatest; 1 becomes 0.99;
    alpha_i <- confidence (ln(alpha_i / (1 - alpha_i)) + 0.5), clipped to [0, 1]. Output (1/n) sum_i alpha_i x_i.

    Fung, Yoon & Beschastnikh, "The limitations of federated learning in Sybil settings", RAID 2020, Algorithm 1, whose
    sum over clients is a mean here. It needs clients with different data: honest ones that agree are taken for Sybils.
    Memory: one row a client, of the ``remember`` clients seen last.

    Who is forgotten starts anew: with few rounds behind it, its sum is its last update. Who may choose ids gets rid of
    his past by a new one in any case; with more new ids than ``remember`` he also makes the rule forget others.

    Use when: one attacker may be many identities (Sybils), each client's data differ from the others', and ids
    last.

    Args:
        confidence: the paper's kappa.
        remember: how many ids, at least 1; those of a round are always remembered until the next.

    Raises:
        ValueError: parameters out of bounds.
    """

    confidence: Positive = 1.0
    remember: Count = ROWS
    declared = Traits(
        history=True, by_client=True, passes=4, properties=frozenset({"permutation", "scale", "columns", "rotation"})
    )

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        alpha = foolsgold_weights(_history(updates, state, safe_unit(updates)).gram(), self.confidence)
        reasons = [Reason.DISTRUSTED] * updates.n
        return Plan(updates, alpha / updates.n, scores={"trust": alpha}, reasons=reasons)

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        sums = remember_rows("sum", _history(plan.updates, state))
        return updated(state, sums, plan.updates.ids, self.remember)


def _history(updates: Updates, state: State, unit: float = 1.0) -> Updates:
    """The sum of each client's updates, this round's included, times a unit."""
    return Offset(updates, [state.get(key("sum", client)) for client in updates.ids], unit=unit)


def foolsgold_weights(gram: Tensor, confidence: float) -> Tensor:
    """FoolsGold's alpha from the inner products of the histories: (n,)."""
    cs = cosines(gram).fill_diagonal_(0)
    v = cs.amax(1)
    most = v.clamp_min(torch.finfo(v.dtype).tiny)

    def pardoned(rows: slice) -> Tensor:
        mine = v[rows, None]
        return torch.where(mine < v, cs[rows] * mine / most, cs[rows]).amax(1)

    alpha = (1 - collected(len(cs), map(pardoned, row_slices(len(cs))))).clamp(0, 1)
    alpha = torch.where(alpha < 1e-12, 0.0, alpha)  # the same direction but for rounding
    if float(alpha.amax()) == 0:
        return alpha
    alpha = alpha / alpha.amax()
    alpha = torch.where(alpha > 1 - 1e-12, 0.99, alpha)
    return (confidence * (alpha.logit() + 0.5)).clamp(0, 1)


@register("rffl", paper="Xu & Lyu 2021", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class RFFL(Rule):
    """Weigh clients by a reputation: how well their updates went with the aggregate, round after round.

    u = sum_i r_i x_i with the reputations r of those present, which add up to 1; r_i <- decay r_i +
    (1 - decay) cos(x_i, u), at least 0. From round ``warmup`` on, whoever's share is below a third of the average is
    removed for good. Clients that are absent keep theirs, and new ones start with the average. Xu & Lyu, "A reputation
    mechanism is all you need: collaborative fairness and adversarial robustness in federated learning", 2021,
    Algorithm 1, without the part in which clients download less than the whole update.

    Without a clip the longest row decides alone where the aggregate points, whom it goes well with, and in the end who
    is removed. The default is the paper's for MNIST; choose it to the length of honest rows.

    A client that was forgotten comes back as a new one, with the average reputation, even if it was removed. Who may
    choose ids needs no such thing: a new id is a new client.

    Use when: the same clients come back under ids that they cannot choose, who contributes is to be credited over
    rounds, and the length of honest rows is known well enough to set ``clip``.

    Args:
        decay: how much of a reputation stays (the paper's alpha).
        clip: rows are clipped to this norm, as the paper's clients do; None for no bound.
        warmup: rounds in which nobody is removed.
        remember: of how many ids, those seen last, at least 1; those of a round are always remembered until the next.

    Raises:
        ValueError: parameters out of bounds.
    """

    decay: Decay = 0.95
    clip: Positive | None = 0.5
    warmup: Natural = 10
    remember: Count = NUMBERS
    declared = Traits(
        selects=True,
        history=True,
        by_client=True,
        properties=frozenset({"permutation", "columns", "rotation"}),
    )

    def traits(self) -> Traits:
        # Whoever is removed at the end of round ``warmup`` is missing from the next one.
        return replace(super().traits(), learns=self.warmup + 1)

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(), Gram())

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        reputations = self._reputations(updates, state)
        norms = updates.norms()
        factors = clip_factors(norms, self.clip) if self.clip is not None else torch.ones_like(norms)
        reasons = [Reason.DISTRUSTED] * updates.n
        return Plan(updates, _shares(reputations) * factors, scores={"reputation": reputations}, reasons=reasons)

    def _reputations(self, updates: Updates, state: State) -> Tensor:
        """Those of the clients present: (n,)."""
        alive = _alive(state)
        average = sum(alive) / len(alive) if alive else 1.0
        return recall(state, "reputation", updates.ids, average)

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        updates = plan.updates
        before = self._reputations(updates, state)
        present = before >= 0
        if not bool(present.any()):
            return updated(state, {}, updates.ids, self.remember)
        after = (self.decay * _shares(before) + (1 - self.decay) * _agreement(plan)).clamp_min(0) * present
        if not bool((after > 0).any()):
            after = present.double()  # nobody went well with the aggregate: all alike
        # Their sum stays, so that those who are absent lose and gain nothing.
        after = torch.where(present, after / after.sum() * before[present].sum(), _REMOVED)
        merged = updated(state, remember("reputation", updates.ids, after), updates.ids, self.remember)
        alive = _alive(merged)
        if context.round >= self.warmup and sum(alive) > 0:
            bad = present & (after / sum(alive) < (1 / 3) / len(alive))
            if int(bad.sum()) < len(alive):
                merged |= remember("reputation", updates.ids, torch.where(bad, _REMOVED, after))
        return merged


def _agreement(plan: Plan) -> Tensor:
    """Cosines of the rows with the weighted sum of them: (n,), 0 with a zero row or sum."""
    assert plan.weights is not None
    gram, _ = evened(plan.updates.gram())
    dots = gram @ plan.weights
    lengths = gram.diagonal().clamp_min(0).sqrt()
    return cosines_to(dots, lengths, (plan.weights @ dots).clamp_min(0).sqrt())


_REMOVED = -1.0  # the reputation of a client that was removed


def _alive(state: State) -> list[float]:
    """The reputations of all clients known that were not removed."""
    return [float(reputation) for reputation in entries(state, "reputation").values() if reputation >= 0]


def _shares(reputations: Tensor) -> Tensor:
    """Reputations of those that were not removed, scaled to add up to 1; uniform if all are 0."""
    present = reputations >= 0
    kept = torch.where(present, reputations, 0.0)
    total = kept.sum()
    if total > 0:
        return kept / total
    return present / present.sum().clamp_min(1).double()
