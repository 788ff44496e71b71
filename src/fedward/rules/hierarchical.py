"""Groups of clients, groups of groups, and so on: any rule for more clients than it can look at together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor

from ..core import WHOLE, BoundError, Compound, Context, Plan, Reason, Rule, State, Traits, noted, rows_judged
from ..registry.bounds import AtLeast
from ..registry.entries import register
from ..stack import Aggregates, Apart, Group, Updates
from ..stack.kernels import only_row
from .coordinate import Median


@dataclass(frozen=True, eq=False, kw_only=True)
class _Decided:
    """A group of rows of the stack beneath, what was decided on it, and what that says of each of its rows."""

    group: Group
    reasons: Sequence[Reason]
    scores: Mapping[str, Tensor]
    note: str


@register("hierarchical", paper="-", example={"base": Median(), "size": 4}, complexity="O(n s d)")
@dataclass(frozen=True, kw_only=True)
class Hierarchical(Compound):
    """A rule on groups of clients, then on what came of the groups, and so on until one is left.

    n rows are dealt at random into m = ceil(n / s) groups of nearly the same size, s at most; ``base`` aggregates each
    group, and the m aggregates are rows once more, which ``then`` aggregates in the same way. Whatever is computed of
    pairs of rows is n s numbers instead of n^2. A client is accepted if its group accepts it, that group is accepted,
    and so on to the top; who is not has the reason of the first that refused.

    **How many byzantine clients it stands.** Let t_l be how many rows of a group the rule of level l stands,
    `Rule.withstands`, at the least over the sizes of groups there. Then f is at most prod_l (t_l + 1) - 1, whoever they
    are and however groups are dealt: for two levels f <= (t_1 + 1)(t_2 + 1) - 1, with t_1 of a group's clients and t_2
    of the groups. Proof: call a client's row bad if the client is byzantine, and what comes of a group bad if more than
    t_l of its rows are. What is not bad is near good rows, which is what the level's rule claims. A bad row above level
    l has c_l = prod_(k <= l) (t_k + 1) byzantine clients beneath it at least: t_l + 1 bad rows with c_(l-1) each, and
    none twice, as groups are disjoint. So with fewer than c_L clients the top is not bad. It stands no more where its
    rules stand no more: c_L clients may happen to be dealt so that t_1 + 1 of them are in a group, t_2 + 1 such groups
    in one, and so on to the top. With t of s at each of L levels that is (t + 1)^L - 1 of s^L clients, a share of about
    (t / s)^L: the price of looking at groups alone. Of more clients than that, most deals stand many more; none is
    promised.

    Use when: clients are thousands, and the rule that you want compares all pairs. Groups cost robustness: count
    with the bound above.

    Args:
        base: the rule of the first level.
        size: of a group at most, s, at least 2.
        then: the rule of all further levels; ``base`` if None.

    Raises:
        ValueError: a rule that remembers earlier rounds or adds rows of the server's own, which groups that are dealt
            anew each round have none of; ``then`` goes by clients' ids.
        BoundError: a group is too small for its rule.
    """

    base: Rule
    size: Annotated[int, AtLeast(2, "groups of one are no groups")] = 50
    then: Rule | None = None

    # Which rows are in one group is drawn, and a mean of means of groups of different sizes is not the mean.
    declared = WHOLE.without("permutation", "mean")

    def __post_init__(self) -> None:
        super().__post_init__()
        for rule in self.parts:
            traits = rule.traits()
            if traits.history or traits.server_rows or traits.recalls:
                raise ValueError(
                    f"{rule!r} remembers earlier rounds or adds rows of the server's own, and the groups of "
                    "Hierarchical are dealt anew in each round: give it a rule that decides on the rows of a round"
                )
        if self._above.traits().by_client:
            raise ValueError(
                f"{self._above!r} uses the clients' ids, and what comes of a group stands for no single one: give "
                "Hierarchical another rule for groups of groups, such as then=Median()"
            )

    @property
    def _above(self) -> Rule:
        return self.base if self.then is None else self.then

    @property
    def parts(self) -> tuple[Rule, ...]:
        return (self.base,) if self.then is None else (self.base, self.then)

    def traits(self) -> Traits:
        # A pass for each level, of which there are more for more clients.
        return replace(super().traits(), passes=None)

    # --- how many ---------------------------------------------------------------------------------------------

    def levels(self, n: int) -> list[list[int]]:
        """The sizes of the groups of each level, from the clients to the one group at the top."""
        found: list[list[int]] = []
        while not found or n > 1:
            count = -(-n // self.size)
            found.append([n // count + (k < n % count) for k in range(count)])
            n = count
        return found

    def _rule_of(self, level: int) -> Rule:
        return self._above if level else self.base

    def check(self, n: int) -> None:
        for level, sizes in enumerate(self.levels(n)):
            for size in {sizes[0], sizes[-1]}:
                try:
                    self._rule_of(level).check(size)
                except BoundError as error:
                    if n <= self.size:
                        raise
                    raise BoundError(f"{error} ({n} clients in {self._told(n)}; another size gives others)") from None

    def steps(self, n: int) -> float:
        return sum(self._rule_of(level).steps(size) for level, sizes in enumerate(self.levels(n)) for size in sizes)

    def check_classes(self, rows: Mapping[int | None, int]) -> None:
        self.check(sum(rows.values()))

    def withstands(self, n: int) -> int:
        cost = 1
        for level, sizes in enumerate(self.levels(n)):
            cost *= 1 + min(self._rule_of(level).withstands(size) for size in {sizes[0], sizes[-1]})
        return cost - 1

    def most_accepted(self, n: int) -> int:
        most = 1
        for level, sizes in enumerate(self.levels(n)):
            most *= max(self._rule_of(level).most_accepted(size) for size in {sizes[0], sizes[-1]})
        return min(most, n)

    def _told(self, n: int) -> str:
        """The groups of each level in words: "200 groups of 50, 4 groups of 50, 1 group of 4"."""
        said = []
        for sizes in self.levels(n):
            range_ = f"{sizes[-1]}" if sizes[0] == sizes[-1] else f"{sizes[-1]} or {sizes[0]}"
            said.append(f"{len(sizes)} group{'s' if len(sizes) > 1 else ''} of {range_}")
        return ", ".join(said)

    # --- deciding ---------------------------------------------------------------------------------------------

    def decide(self, updates: Updates, state: State, context: Context) -> Plan[Any]:
        tiers: list[list[_Decided]] = []
        stack = updates
        for level, sizes in enumerate(self.levels(updates.n)):
            within = context.fold(str(level))
            if level and isinstance(within.group, Mapping):  # what comes of a group is of no class
                within = replace(within, group={})
            order = torch.randperm(stack.n, generator=within.generator("groups"))
            groups = [rows.sort().values for rows in torch.split(order, sizes)]
            rule = self._rule_of(level)
            tiers.append([_decided(rule, stack, rows, within.fold(str(k))) for k, rows in enumerate(groups)])
            stack = Aggregates(stack, [each.group for each in tiers[-1]])
        assert isinstance(stack, Aggregates)
        plan = partial(
            Plan[Any],
            stack,
            scores=_scores(tiers),
            reasons=_reasons(tiers),
            judged=updates,
            note=noted(self._told(updates.n), *(each.note for tier in tiers for each in tier)),
        )
        one = torch.ones(1, dtype=torch.float64)
        return plan(one) if stack.linear else plan(kernel=only_row)


def _decided(rule: Rule, stack: Updates, rows: Tensor, context: Context) -> _Decided:
    part = Apart(stack, rows)
    part.compute(*rule.statistics({}, context))  # what must be read is read together
    plan = rule.decide(part, {}, context)
    shares = plan.accepted().double()
    if plan.weights is not None:
        shares = plan.updates.to_clients(plan.weights)
    judged = rows_judged(plan, part)
    reasons = [
        Reason.ACCEPTED if ok else plan.reason_at(row)
        for ok, row in zip((shares > 0).tolist(), judged.tolist(), strict=True)
    ]
    group = Group(rows=rows, updates=plan.updates, weights=plan.weights, kernel=plan.kernel, shares=shares)
    return _Decided(group=group, reasons=reasons, scores=plan.scores_at(judged), note=plan.note)


def _reasons(tiers: Sequence[Sequence[_Decided]]) -> list[Reason]:
    """Of each client: that of the first level that refused it, or what its group belongs to."""
    above = [Reason.ACCEPTED]
    for tier in reversed(tiers):
        found = [Reason.ACCEPTED] * sum(len(each.reasons) for each in tier)
        for each, group in zip(tier, above, strict=True):
            for row, reason in zip(each.group.rows.tolist(), each.reasons, strict=True):
                found[row] = group if reason is Reason.ACCEPTED else reason
        above = found
    return above


def _scores(tiers: Sequence[Sequence[_Decided]]) -> dict[str, Tensor]:
    """Scores of each client: those of the lowest level that has one of that name, where a group's are its clients'."""
    found: dict[str, Tensor] = {}
    row_of = torch.arange(sum(len(each.reasons) for each in tiers[0]))  # the row of a level that a client is in
    for tier in tiers:
        group_of = torch.empty(sum(len(each.reasons) for each in tier), dtype=torch.int64)
        for k, each in enumerate(tier):
            group_of[each.group.rows] = k
        for name in tier[0].scores:
            if name not in found and all(name in each.scores for each in tier):
                found[name] = _joined(tier, name, len(group_of))[row_of]
        row_of = group_of[row_of]
    return found


def _joined(tier: Sequence[_Decided], name: str, n: int) -> Tensor:
    """A score of each row of a level."""
    score = torch.empty(n, dtype=torch.float64)
    for each in tier:
        score[each.group.rows] = each.scores[name]
    return score
