"""`Result`: an aggregate and the verdict on each client; `judge` finds them in a plan that was carried out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from math import isfinite, isnan
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..failures import tamed
from ..stack import Layout, Updates, lost_clients, lower_median, mean_of_running
from ..stack.reference import ROW, Agreed
from ..stack.running import settled_statistics
from ..stack.written import save_tensors
from .plan import Plan, Reason
from .rule import Outcome

A = TypeVar("A", Tensor, np.ndarray)
_LONGEST = 2000  # characters of a detail in a table
_TOO_LARGE = "finite, but too large: its squared norm exceeds float64, or an entry the dtype"


@dataclass(frozen=True, eq=False, kw_only=True)
class Result(Generic[A]):
    """An aggregate and the verdict on each client, in the order and of the kind (tensor or array) of the input.

    Attributes:
        output: (d,), of the dtype and on the device that most clients' rows have, or in the dtype of ``like``.
        weights: (n,) float64 with ``output == weights @ G``, or with a base ``base + weights @ (G - base)``; None for
            coordinate-wise rules. Where a rule adds
            something of the server's own (`Traits.server_rows`: a previous aggregate, noise), that comes on top.
        accepted: (n,) bool, weight > 0; for coordinate-wise rules, rows that took part at all, and of those that weigh
            votes (FedSECA) the clients whose vote counted; for plain functions, rows that they were given.
        reasons: why, per client; "not-judged" of rows that were given to a rule that says nothing of single clients.
        scores: what the rule looked at, by name: (n,) float64, NaN for rows it never saw.
        ids: who.
        note: how the whole round was decided, where a rule has several ways, and whether that was beyond the bound of
            its theorem.
        details: what is wrong with what a client sent, by id, where a reason does not say it all.
        layout: names and shapes of what the output is made of, where the input had names.
        aside: what has no columns, by name: running statistics, as ``Aggregator(batch_norm=...)`` says (in files,
            ``Files(batch_norm=...)``), lower medians of counters over the accepted clients, and entries of ``like``
            that are no tensors.
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

        Running statistics are what ``batch_norm`` of the `Aggregator`, or of the `Files`, makes of them. Counters are
        the lower median over the accepted clients. No rule weighs either, and both are taken as they are: clients send
        their values, not how far they moved.

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

    def to_json(self) -> dict[str, Any]:
        """The verdicts as JSON has them, without the output; numbers that are none are null."""
        weights = None if self.weights is None else [float(weight) for weight in self.weights]
        return {
            "ids": [name if isinstance(name, str | int) else str(name) for name in self.ids],
            "accepted": [None if self._not_judged(i) else bool(ok) for i, ok in enumerate(self.accepted)],
            "reasons": [str(reason) for reason in self.reasons],
            "weights": weights,
            "scores": {name: [_number(float(value)) for value in score] for name, score in self.scores.items()},
            "details": {str(name): detail for name, detail in self.details.items()},
            "note": self.note,
        }

    def save(self, path: str | PathLike[str]) -> Path:
        """Write `state_dict` in the format of the suffix, ``.safetensors``, ``.pt`` or ``.npz``; a row as ``output``.

        The file appears when all of it is written.

        Raises:
            ValueError: another suffix, a type that the format lacks, or as `state_dict`.
            OSError: it cannot be written.
        """
        tensors = {"output": torch.as_tensor(self.output)} if self.layout is None else self.state_dict()
        others = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
        if others:
            raise ValueError(f"{', '.join(others)} is no tensor, and files hold nothing else: leave it out of like=")
        return save_tensors(path, tensors)

    def report(self, path: str | PathLike[str], title: str = "Verdicts") -> Path:
        """Write a page about the verdicts, one HTML file that needs no network; return its path.

        Raises:
            ReportError: plotly is not installed.
        """
        # Pages are made above this package, which is complete without them: one is looked up when it is asked for.
        pages = import_module("fedward.report.verdicts")
        return Path(pages.write_result(self, Path(path), title))

    def table(self) -> str:
        """One line a client: id, weight, accepted, first score, reason; then the details, and the note on the round.

        Clients may be called anything, and a terminal obeys none of it: `to_json` has their names as they are.
        """
        score = next(iter(self.scores), "score")
        rows: list[tuple[str, ...]] = [("id", "weight", "accepted", score, "reason")]
        for i, name in enumerate(self.ids):
            weight = "" if self.weights is None else f"{float(self.weights[i]):.4f}"
            value = float(self.scores[score][i]) if self.scores else float("nan")
            shown = "" if isnan(value) else f"{value:.4g}"
            accepted = "-" if self._not_judged(i) else "yes" if self.accepted[i] else "no"
            rows.append((tamed(name), weight, accepted, shown, str(self.reasons[i])))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

        def line(cells: Sequence[str]) -> str:
            return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

        details: list[str] = [f"{tamed(name)}: {tamed(detail, _LONGEST)}" for name, detail in self.details.items()]
        if self.note:
            details.append(tamed(self.note, _LONGEST))
        return "\n".join([line(rows[0]), line(["-" * width for width in widths]), *map(line, rows[1:]), *details])

    def _not_judged(self, i: int) -> bool:
        """Whether nobody knows what part a client has in the output: its row was given to a plain function."""
        return bool(self.accepted[i]) and self.reasons[i] is Reason.NOT_JUDGED


def _number(value: float) -> float | None:
    return value if isfinite(value) else None


def judge(updates: Updates, outcome: Outcome, *, judges: bool = True) -> Result[Tensor]:
    """The verdict on each client from a plan that was carried out; ``judges`` as the trait of the rule."""
    plan = outcome.plan
    weights = None if plan.weights is None else plan.updates.to_clients(plan.weights)
    accepted = plan.accepted()
    owner = (plan.judged or plan.updates).owner()
    rows = zip(outcome.finite.tolist(), accepted.tolist(), owner.tolist(), strict=True)
    taken_in = Reason.ACCEPTED if judges else Reason.NOT_JUDGED
    reasons = tuple(_reason(updates, plan, i, *row, taken_in) for i, row in enumerate(rows))
    overflown = [name for name, reason in zip(updates.ids, reasons, strict=True) if reason is Reason.OVERFLOW]
    result = Result(
        output=outcome.output,
        weights=weights,
        accepted=accepted,
        reasons=reasons,
        scores=plan.scores_at(owner),
        ids=updates.ids,
        layout=updates.layout,
        # Where nobody was accepted, a model needs its counters and running statistics all the same.
        aside=_aside(updates, accepted if bool(accepted.any()) else outcome.finite, outcome.finite),
        note=plan.note,
        details={**dict.fromkeys(overflown, _TOO_LARGE), **_spoiled(updates), **lost_clients(updates)},
    )
    return _with_malformed(result, updates.agreed) if updates.agreed and updates.agreed.malformed else result


def _reason(updates: Updates, plan: Plan, i: int, finite: bool, accepted: bool, row: int, taken_in: Reason) -> Reason:
    """Why client i was accepted or not; ``row`` is the one that the plan judges it by, -1 where there is none."""
    if updates.ids[i] in lost_clients(updates):
        return Reason.MALFORMED
    if not finite:
        return Reason.OVERFLOW if updates.sent_finite(i) else Reason.NONFINITE
    if accepted:
        return taken_in
    if row >= 0 and plan.judged is None and plan.counted()[row] > 0:
        return Reason.NOT_SELECTED  # what it is judged by counts, and has no part of its own row in it
    return plan.reason_at(row)


def _spoiled(updates: Updates) -> dict[Hashable, str]:
    """In which running statistics clients have NaN or Inf, where these are looked at."""
    if updates.agreed is None:
        return {}
    return {name: f"NaN or Inf in {', '.join(bad[:3])}" for name, bad in updates.agreed.spoiled.items() if bad}


def _aside(updates: Updates, accepted: Tensor, finite: Tensor) -> dict[str, Any]:
    """What becomes of tensors without columns: what the accepted clients sent, all usable ones, the server."""
    if updates.layout is None or updates.agreed is None:
        return {}
    agreed = updates.agreed
    chosen = [tensors for tensors, ok in zip(agreed.tensors, accepted.tolist(), strict=True) if ok]
    settled = settled_statistics(agreed, updates.layout, finite.tolist())
    aside = dict(agreed.kept)
    for name in (*updates.layout.buffers, *updates.layout.counters):
        if name not in agreed.model:
            continue
        due = agreed.model[name]
        if agreed.form == ROW:  # which holds no tensors but the columns
            value = due
        elif name in settled:
            value = settled[name]
        elif name in updates.layout.counters:
            value = lower_median((tensors[name] for tensors in chosen), due.dtype)
        else:
            mean = mean_of_running(name, (tensors[name] for tensors in chosen), due.dtype)
            value = due if mean is None else mean
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


def kept_or_given(reasons: Iterable[str]) -> str:
    """What is said of those who took part: kept, or given to a rule that says nothing of single clients."""
    return "given to the rule" if Reason.NOT_JUDGED in set(reasons) else "kept"


def to_numpy(result: Result[Tensor]) -> Result[np.ndarray]:
    """The result with arrays in the place of tensors, on the same memory."""
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
