"""Running statistics of normalisation layers: what byzantine clients make of theirs, what the server makes of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..attacks import Attack, View
from ..core import Rule
from ..stack import Dense, Layout, Updates, carried, materialise, median_of_running
from ..stack.layout import is_variance, variance_beside

Forge = Literal["rows", "both", "statistics"]
"""What byzantine clients forge: their rows, their running statistics too, or these alone."""


# --- what byzantine clients send ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class Statistics:
    """The running statistics that the clients of an attack's view would honestly send, as changes of the server's.

    Attributes:
        honest, own: the changes by client, in the order of the view's rows: (h, b) and (m, b), float64.
        before: what the server has, (b,).
    """

    honest: Updates
    own: Updates
    before: Tensor

    @classmethod
    def of(
        cls, view: View, honest: Sequence[Tensor | None], own: Sequence[Tensor | None], before: Tensor
    ) -> Statistics:
        """What clients send; a client that has computed nothing (None) would change nothing."""

        def changes(sent: Sequence[Tensor | None], like: Updates) -> Updates:
            # Differences of float32 and float64 are exact here: who behaves sends the very statistics that it has.
            rows = [before if row is None else row for row in sent]
            return Dense(torch.stack(rows).double() - before.double(), ids=like.ids)

        return cls(honest=changes(honest, view.honest), own=changes(own, view.own), before=before)


def forged_statistics(attack: Attack, view: View, rows: Updates, known: Statistics) -> Tensor:
    """The running statistics that byzantine clients send beside the rows that they forged: (m, b).

    The server's statistics plus a forged change. Rows that are a mix of those known (`Updates.mix`, scaling, a kernel
    over columns) are made of the changes of the statistics likewise, with the weights and factors that the rows have:
    neither gamma of a search nor the client that is copied is looked for anew, so the rows are the same whether
    statistics are forged or not. An attack with rows of its own (noise, constants, the server's last step) is played
    once more on the changes, as it would be in its first round: it knows no defence there and remembers nothing.

    Args:
        attack: what forged the rows.
        view: what it saw.
        rows: what it made of that.
        known: the statistics that the same clients would honestly send.
    """
    forged = carried(rows, {view.honest: known.honest, view.own: known.own})
    if forged is None:
        alone = replace(view, honest=known.honest, own=known.own, decide=None, previous=None, state={}, _stacks={})
        forged = attack.forged(alone)
    return (known.before.double() + materialise(forged).double()).to(known.before.dtype)


# --- what the server makes of them --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class Vote:
    """The running statistics that came with a row, (b,), whose row it is, and whether the rule accepted that."""

    client: int
    buffers: Tensor
    accepted: bool


def running_after(policy: str, layout: Layout, sent: Sequence[Vote], before: Tensor, rule: Rule) -> Tensor:
    """The server's running statistics after a round, (b,).

    Of medians everybody has a vote, and one: rows that are like the others' say nothing of the statistics beside them,
    and of the few that a rule such as Krum accepts all may be liars, where of all clients a majority is honest. Only
    rules with data of their own expect no majority: there the accepted clients vote.

    Args:
        policy: "mean", of the accepted; "robust", medians; or "frozen".
        layout: of the statistics.
        sent: what came with each row.
        before: what the server has.
        rule: the rule.
    """
    if policy == "frozen":
        return before
    if policy == "mean":
        return mean_buffers(layout, [each.buffers for each in sent if each.accepted], before)
    votes: dict[int, Tensor] = {}
    for each in sent:
        if each.accepted or not rule.traits().root_data:
            votes.setdefault(each.client, each.buffers)
    return robust_buffers(layout, list(votes.values()), before)


def mean_buffers(layout: Layout, sent: Sequence[Tensor], before: Tensor) -> Tensor:
    """Mean of clients' running statistics, (b,) each: of those that are all finite, variances below 0 as 0.

    As ``before`` where nobody's are, and in entries that add up to infinity: one client must not end a model with
    statistics that it made up.
    """
    finite = [row for row in sent if bool(row.isfinite().all())]
    if not finite:
        return before
    rows = torch.stack(finite)
    for name, columns in layout.slices():
        if is_variance(name):
            rows[:, columns].clamp_(min=0)
    mean = rows.mean(0)
    return mean.where(mean.isfinite(), before)


def robust_buffers(layout: Layout, sent: Sequence[Tensor], before: Tensor) -> Tensor:
    """Medians of clients' running statistics, (b,) each, as far from ``before`` as `median_of_running` lets them be."""
    slices = dict(layout.slices())
    found = before.clone()
    for name, columns in slices.items():
        beside = variance_beside(name)
        variance = before[slices[beside]] if beside in slices else None
        median = median_of_running(name, [row[columns] for row in sent], before[columns], variance)
        if median is not None:
            found[columns] = median
    return found
