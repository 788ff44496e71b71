"""`Aggregator`: a rule with its memory, from whatever clients sent to an output and a verdict on each client."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from threading import RLock
from typing import Any, Generic, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from ..registry.parameters import check_parameters, check_value
from ..stack import (
    Buffers,
    Ids,
    Integers,
    Layout,
    Model,
    OnBad,
    Stack,
    Updates,
    as_updates,
    lower_median,
    mean_of_running,
)
from ..stack.reference import ROW, Agreed
from .context import Context, heard
from .evaluator import Evaluator
from .neutral import neutral
from .plan import Reason
from .rule import BoundError, Outcome, Rule, apply
from .state import State

A = TypeVar("A", Tensor, np.ndarray)


@dataclass(frozen=True, eq=False)
class Result(Generic[A]):
    """An aggregate and the verdict on each client, in the order and of the kind (tensor or array) of the input.

    Attributes:
        output: (d,), of the dtype and on the device that most clients' rows have, or in the dtype of ``like``.
        weights: (n,) float64 with ``output == weights @ G``; None for coordinate-wise rules. Where a rule adds
            something of the server's own (`Traits.server_rows`: a previous aggregate, noise), that comes on top.
        accepted: (n,) bool, weight > 0; for coordinate-wise rules, rows that took part at all.
        reasons: why, per client.
        scores: what the rule looked at, by name: (n,) float64, NaN for rows it never saw.
        ids: who.
        note: how the whole round was decided, where a rule has several ways.
        details: what is wrong with what a client sent, by id, where a reason does not say it all.
        layout: names and shapes of what the output is made of, where the input had names.
        aside: what has no columns, by name: means of running statistics and lower medians of counters over the accepted
            clients, and entries of ``like`` that are no tensors.
    """

    output: A
    weights: A | None
    accepted: A
    reasons: tuple[Reason, ...]
    scores: Mapping[str, A]
    ids: tuple[Hashable, ...]
    layout: Layout | None = None
    aside: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    details: Mapping[Hashable, str] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Tensor]:
        """The output as named tensors, in the shapes and dtypes of the clients' state dicts.

        Running statistics are the mean over the accepted clients whose values are finite, variances at least 0, or
        that of ``like`` if there are none; counters are the lower median over the accepted clients. No rule weighs
        either, and both are taken as they are: clients send their values, not how far they moved.

        Raises:
            ValueError: the input had no names, or no accepted client sent a finite value of a running statistic.
        """
        if self.layout is None:
            raise ValueError("the input had no names and shapes; aggregate state dicts to get one back, or pass like=")
        entries: dict[str, Any] = {**self.layout.unflatten(torch.as_tensor(self.output)), **self.aside}
        lost = [str(name) for name in self.layout.order if name not in entries]
        if lost:
            raise ValueError(
                f"no accepted client sent finite values of {', '.join(lost)}: keep what the model has, or pass it as "
                "like="
            )
        ordered = {name: entries.pop(name) for name in self.layout.order}
        return {**ordered, **entries}

    def table(self) -> str:
        """One line a client: id, weight, accepted, first score, reason; then the details."""
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

        details: list[str] = [f"{name}: {detail}" for name, detail in self.details.items()]
        return "\n".join([line(rows[0]), line(["-" * width for width in widths]), *map(line, rows[1:]), *details])


class Aggregator:
    """A rule with its memory: call it once a round.

    ``Aggregator(mixers.ClipNorm(radius="median") >> rules.Mean(), seed=0)``. The round counter and the rule's state
    are in `state_dict`; resuming from it gives bitwise the same outputs. A call that raises changes neither. Calls
    from several threads are rounds one after the other.
    """

    def __init__(self, rule: Rule, *, seed: int = 0) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(f"an Aggregator needs a rule, such as rules.Median(), got {rule!r}")
        # The text of any other class is an address, so that no saved state could be told from another rule's.
        if not hasattr(rule, "__dataclass_fields__"):
            cls = type(rule).__name__
            raise TypeError(
                f"a rule is a dataclass, and {cls} is none: write @dataclass(frozen=True) above class {cls}"
            )
        check_parameters(rule)  # once more for classes whose own __post_init__ leaves it out
        self.rule = rule
        self.seed: int = check_value("Aggregator", "seed", seed, int)
        self.round = 0
        self.state: State = {}
        self._lock = RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, saved: Mapping[str, Any]) -> None:
        vars(self).update(saved, _lock=RLock())

    def __repr__(self) -> str:
        return f"Aggregator({self.rule!r}, seed={self.seed})"

    @overload
    def __call__(  # type: ignore[overload-overlap]  # an array is an iterable as well
        self,
        G: np.ndarray,
        ids: Ids = ...,
        messages: Mapping[Hashable, Any] | None = ...,
        *,
        like: Model | None = ...,
        buffers: Buffers = ...,
        integers: Integers = ...,
        on_bad: OnBad = ...,
        evaluator: Evaluator | None = ...,
        group: int | Mapping[Hashable, int] | None = ...,
    ) -> Result[np.ndarray]: ...
    @overload
    def __call__(
        self,
        G: Tensor | Iterable[Any] | Mapping[Any, Any] | Updates,
        ids: Ids = ...,
        messages: Mapping[Hashable, Any] | None = ...,
        *,
        like: Model | None = ...,
        buffers: Buffers = ...,
        integers: Integers = ...,
        on_bad: OnBad = ...,
        evaluator: Evaluator | None = ...,
        group: int | Mapping[Hashable, int] | None = ...,
    ) -> Result[Tensor]: ...
    @neutral()
    def __call__(
        self,
        G: Stack,
        ids: Ids = None,
        messages: Mapping[Hashable, Any] | None = None,
        *,
        like: Model | None = None,
        buffers: Buffers = "auto",
        integers: Integers = "refuse",
        on_bad: OnBad = "raise",
        evaluator: Evaluator | None = None,
        group: int | Mapping[Hashable, int] | None = None,
    ) -> Result[Tensor] | Result[np.ndarray]:
        """Aggregate one round.

        Args:
            G: an (n, d) tensor or array, `Updates`, or for each client a (d,) row, a state dict, a list of layers, or
                a pair of a number of examples and one of these: in a list, from an iterator or as {id: row}.
            ids: names of the clients, distinct; 0 to n - 1, or the keys of a mapping, if not given. Memory per client
                goes by these.
            messages: what clients sent besides their rows, by id. The number of a pair goes there as num-examples.
            like: a state dict, a (d,) row or a list of layers, that fixes names, shapes and dtypes of the output; those
                that more than half of the clients sent if not given.
            buffers: running statistics, which have no columns and do not vote: "auto" knows running_mean and
                running_var; names, or a module, whose buffers are meant, come on top; None, all vote.
            integers: "refuse" integer tensors that are no counters, or take them for "counters".
            on_bad: "raise" where a client sent something that does not fit; or "drop" it, with `Reason.MALFORMED` and
                a line in the details.
            evaluator: the server's own data, for rules that judge by it.
            group: the class that this round is about, for `rules.ClassWise`; or that of each row, by id.

        Raises:
            BoundError: too few (finite, well-formed) rows for the rule; nothing has changed, keep the previous model.
            ValueError, TypeError: not a stack of updates, or no evaluator for a rule that needs one.
        """
        updates = as_updates(G, ids, like=like, buffers=buffers, integers=integers, on_bad=on_bad)
        with self._lock:
            context = Context(
                self.round,
                self.seed,
                heard({} if messages is None else messages, updates),
                evaluator=evaluator,
                group=group,
            )
            outcome = _applied(self.rule, updates, self.state, context)
            result = judge(updates, outcome)
            self.state, self.round = outcome.state, self.round + 1
        return _to_numpy(result) if isinstance(G, np.ndarray) else result

    def state_dict(self) -> dict[str, Any]:
        """All that the next round depends on, for `torch.save`."""
        with self._lock:
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
        with self._lock:
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
    reasons, details = [], {}
    for i, (finite, ok, row) in enumerate(zip(outcome.finite.tolist(), accepted.tolist(), owner.tolist(), strict=True)):
        if not finite:
            reasons.append(Reason.OVERFLOW if updates.sent_finite(i) else Reason.NONFINITE)
        elif ok:
            reasons.append(Reason.ACCEPTED)
        else:
            reasons.append(plan.reasons[row] if plan.reasons is not None and row >= 0 else Reason.NOT_SELECTED)
        if reasons[-1] is Reason.OVERFLOW:
            details[updates.ids[i]] = "finite, but too large: its squared norm exceeds float64, or an entry the dtype"
    aside = _aside(updates, accepted if bool(accepted.any()) else outcome.finite)
    result = Result(
        outcome.output,
        weights,
        accepted,
        tuple(reasons),
        scores,
        updates.ids,
        updates.layout,
        aside,
        plan.note,
        details,
    )
    return _with_malformed(result, updates.agreed) if updates.agreed and updates.agreed.malformed else result


def _aside(updates: Updates, accepted: Tensor) -> dict[str, Any]:
    """What becomes of tensors without columns: what the accepted clients sent, all clients, the server."""
    if updates.layout is None or updates.agreed is None:
        return {}
    agreed = updates.agreed
    chosen = [tensors for tensors, ok in zip(agreed.tensors, accepted.tolist(), strict=True) if ok]
    aside = dict(agreed.kept)
    names = (*updates.layout.buffers, *updates.layout.counters)
    for name in (name for name in names if name in agreed.model):
        value, due = None, agreed.model[name]
        if agreed.form == ROW:
            value = due
        elif name in updates.layout.counters:
            value = lower_median((tensors[name] for tensors in chosen), due.dtype)
        else:
            value = mean_of_running(name, (tensors[name] for tensors in chosen), due.dtype)
            value = due if value is None else value
        if not value.is_meta:  # of which nobody knows a value
            aside[name] = value
    return aside


def _with_malformed(result: Result[Tensor], agreed: Agreed) -> Result[Tensor]:
    """The result with those clients as well whose updates no rule ever saw."""
    places = torch.tensor([agreed.sent.index(name) for name in result.ids])

    def spread(values: Tensor, fill: float | bool) -> Tensor:
        return torch.full((len(agreed.sent),), fill, dtype=values.dtype).index_copy_(0, places, values)

    reasons = dict(zip(result.ids, result.reasons, strict=True))
    return replace(
        result,
        weights=None if result.weights is None else spread(result.weights, 0.0),
        accepted=spread(result.accepted, False),
        reasons=tuple(reasons.get(name, Reason.MALFORMED) for name in agreed.sent),
        scores={name: spread(score, torch.nan) for name, score in result.scores.items()},
        ids=agreed.sent,
        details={**agreed.malformed, **result.details},
    )


def _applied(rule: Rule, updates: Updates, state: State, context: Context) -> Outcome:
    """The rule applied; where that fails for want of clients, the error says who was malformed."""
    try:
        return apply(rule, updates, state, context)
    except BoundError as error:
        if not updates.agreed or not updates.agreed.malformed:
            raise
        (name, fault), n = next(iter(updates.agreed.malformed.items())), len(updates.agreed.sent)
        lost = f"{updates.n} of {n} clients sent well-formed updates; client {name!r}: {fault}"
        raise BoundError(f"{error} ({lost})") from None


def _to_numpy(result: Result[Tensor]) -> Result[np.ndarray]:
    return Result(
        output=result.output.numpy(),
        weights=None if result.weights is None else result.weights.numpy(),
        accepted=result.accepted.numpy(),
        reasons=result.reasons,
        scores={k: s.numpy() for k, s in result.scores.items()},
        ids=result.ids,
        layout=result.layout,
        aside=result.aside,
        note=result.note,
        details=result.details,
    )
