"""`Aggregator`: a rule with its memory, from whatever clients sent to an output and a verdict on each client."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Generic, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from .evaluator import Evaluator
from .parameters import check_parameters
from .rule import Context, Outcome, Reason, Rule, State, apply
from .stack import Layers, Layout, Stack, Updates, as_updates

A = TypeVar("A", Tensor, np.ndarray)


@dataclass(frozen=True, eq=False)
class Result(Generic[A]):
    """An aggregate and the verdict on each client, in the order and of the kind (tensor or array) of the input.

    Attributes:
        output: (d,), dtype and device of the input.
        weights: (n,) float64 with ``output == weights @ G``; None for coordinate-wise rules. Where a rule adds
            something of the server's own (`Rule.server_rows`: a previous aggregate, noise), that comes on top.
        accepted: (n,) bool, weight > 0; for coordinate-wise rules, rows that took part at all.
        reasons: why, per client.
        scores: what the rule looked at, by name: (n,) float64, NaN for rows it never saw.
        ids: who.
        note: how the whole round was decided, where a rule has several ways.
    """

    output: A
    weights: A | None
    accepted: A
    reasons: tuple[Reason, ...]
    scores: Mapping[str, A]
    ids: tuple[Hashable, ...]
    layout: Layout | None = None
    counters: Mapping[str, Tensor] | None = None
    note: str = ""

    def state_dict(self) -> dict[str, Tensor]:
        """The output as named tensors, in the shapes and dtypes of the clients' state dicts.

        Integer entries, which no rule weighs, are the lower median over the accepted clients.

        Raises:
            ValueError: the input had no names.
        """
        if self.layout is None:
            raise ValueError("the input had no names and shapes; aggregate state dicts to get one back")
        named = self.layout.unflatten(torch.as_tensor(self.output))
        return {**named, **(self.counters or {})}

    def table(self) -> str:
        """One line a client: id, weight, accepted, first score, reason."""
        score = next(iter(self.scores), "score")
        rows: list[tuple[str, ...]] = [("id", "weight", "accepted", score, "reason")]
        for i, name in enumerate(self.ids):
            weight = "" if self.weights is None else f"{float(self.weights[i]):.4f}"
            value = float(self.scores[score][i]) if self.scores else float("nan")
            shown = "" if isnan(value) else f"{value:.4g}"
            rows.append((str(name), weight, "yes" if self.accepted[i] else "no", shown, str(self.reasons[i])))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

        def line(cells: Sequence[str]) -> str:
            return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

        return "\n".join([line(rows[0]), line(["-" * width for width in widths]), *map(line, rows[1:])])


class Aggregator:
    """A rule with its memory: call it once a round.

    ``Aggregator(mixers.ClipNorm(radius="median") >> rules.Mean(), seed=0)``. The round counter and the rule's state
    are in `state_dict`; resuming from it gives bitwise the same outputs. A call that raises changes neither.
    """

    def __init__(self, rule: Rule, *, seed: int = 0) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(f"an Aggregator needs a rule, such as rules.Median(), got {rule!r}")
        check_parameters(rule)  # once more for classes whose own __post_init__ leaves it out
        self.rule = rule
        self.seed = seed
        self.round = 0
        self.state: State = {}

    def __repr__(self) -> str:
        return f"Aggregator({self.rule!r}, seed={self.seed})"

    @overload
    def __call__(
        self,
        G: np.ndarray,
        ids: Sequence[Hashable] | None = ...,
        messages: Mapping[Hashable, Any] | None = ...,
        evaluator: Evaluator | None = ...,
        group: int | Mapping[Hashable, int] | None = ...,
    ) -> Result[np.ndarray]: ...
    @overload
    def __call__(
        self,
        G: Tensor | Sequence[Any] | Updates,
        ids: Sequence[Hashable] | None = ...,
        messages: Mapping[Hashable, Any] | None = ...,
        evaluator: Evaluator | None = ...,
        group: int | Mapping[Hashable, int] | None = ...,
    ) -> Result[Tensor]: ...
    def __call__(
        self,
        G: Stack,
        ids: Sequence[Hashable] | None = None,
        messages: Mapping[Hashable, Any] | None = None,
        evaluator: Evaluator | None = None,
        group: int | Mapping[Hashable, int] | None = None,
    ) -> Result[Tensor] | Result[np.ndarray]:
        """Aggregate one round.

        Args:
            G: an (n, d) tensor or array, a sequence of (d,) rows, a sequence of state dicts, or `Updates`.
            ids: names of the clients, distinct; 0 to n - 1 if not given. Memory per client goes by these.
            messages: what clients sent besides their rows, by id.
            evaluator: the server's own data, for rules that judge by it.
            group: the class that this round is about, for `rules.ClassWise`; or that of each row, by id.

        Raises:
            BoundError: too few (finite) rows for the rule; nothing has changed, keep the previous model.
            ValueError, TypeError: not a stack of updates, or no evaluator for a rule that needs one.
        """
        updates = as_updates(G, ids)
        context = Context(self.round, self.seed, messages or {}, evaluator=evaluator, group=group)
        outcome = apply(self.rule, updates, self.state, context)
        result = judge(updates, outcome)
        self.state, self.round = outcome.state, self.round + 1
        return _to_numpy(result) if isinstance(G, np.ndarray) else result

    def state_dict(self) -> dict[str, Any]:
        """All that the next round depends on, for `torch.save`."""
        return {"rule": repr(self.rule), "seed": self.seed, "round": self.round, "state": dict(self.state)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken.

        Raises:
            ValueError: it was taken from another rule or seed.
        """
        for key, own in (("rule", repr(self.rule)), ("seed", self.seed)):
            if saved.get(key) != own:
                raise ValueError(
                    f"this state was saved with {key} {saved.get(key)!r}, but this aggregator has {own!r}; "
                    "make the aggregator as it was then, or start afresh"
                )
        self.round, self.state = int(saved["round"]), dict(saved["state"])


def judge(updates: Updates, outcome: Outcome) -> Result[Tensor]:
    """The verdict on each client from a plan that was carried out."""
    plan = outcome.plan
    if plan.weights is not None:
        weights = plan.updates.to_clients(plan.weights)
        accepted = weights > 0
    else:
        weights = None
        accepted = plan.updates.to_clients(torch.ones(plan.updates.n, dtype=torch.float64)) > 0
    owner = (plan.judged or plan.updates).owner()
    scores = {k: torch.where(owner >= 0, s.double()[owner.clamp_min(0)], torch.nan) for k, s in plan.scores.items()}
    reasons = []
    for finite, ok, row in zip(outcome.finite.tolist(), accepted.tolist(), owner.tolist(), strict=True):
        if not finite:
            reasons.append(Reason.NONFINITE)
        elif ok:
            reasons.append(Reason.ACCEPTED)
        else:
            reasons.append(plan.reasons[row] if plan.reasons is not None and row >= 0 else Reason.NOT_SELECTED)
    counters = None
    if isinstance(updates, Layers) and updates.counters:
        chosen = accepted if bool(accepted.any()) else outcome.finite
        counters = {k: _lower_median(c[chosen.to(c.device)]) for k, c in updates.counters.items()}
    return Result(
        outcome.output, weights, accepted, tuple(reasons), scores, updates.ids, updates.layout, counters, plan.note
    )


def _lower_median(values: Tensor) -> Tensor:
    return values.sort(0).values[(len(values) - 1) // 2]


def _to_numpy(result: Result[Tensor]) -> Result[np.ndarray]:
    return Result(
        output=result.output.numpy(),
        weights=None if result.weights is None else result.weights.numpy(),
        accepted=result.accepted.numpy(),
        reasons=result.reasons,
        scores={k: s.numpy() for k, s in result.scores.items()},
        ids=result.ids,
        note=result.note,
    )
