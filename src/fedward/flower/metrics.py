"""What nodes say about themselves (losses, accuracies), put together so that one of them cannot decide it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from logging import INFO, getLogger
from typing import Any, cast

import numpy as np
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords

from .answers import shown

MetricsFunction = Callable[[list[RecordDict], str], MetricRecord]
_MOST_SAID = 20
_logger = getLogger("flwr")
_LARGEST = 1e30
"""Beyond it, a metric is as good as none: its powers and sums are no numbers."""


class LeftOut:
    """Says once a run of each metric that it is left out; of so many, for a node may make up new ones every round."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, name: str, count: int, nodes: int) -> None:
        """Write to Flower's log that so many of the nodes have sent it."""
        if name not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(name)
            text = "the metric %s is left out: %d of %d nodes sent it, finite and in one form, and more than half must"
            _logger.log(INFO, text, shown(name, 64), count, nodes)


def summarise(
    metrics: Sequence[Mapping[str, Any]],
    leave_out: str,
    weights: Sequence[float] | None = None,
    left_out: LeftOut | None = None,
) -> MetricRecord:
    """One value for each metric that more than half of the nodes sent, in the same form and finite.

    Args:
        metrics: the entries of each node's MetricRecord: numbers, and lists of them.
        leave_out: the key of the number of examples, which is no metric.
        weights: of the nodes, for their mean; if None, the median, to which every node counts the same.
        left_out: is told of metrics that no more than half of the nodes sent.
    """
    summary = MetricRecord()
    names = dict.fromkeys(name for entries in metrics for name in entries if name != leave_out)
    for name in names:
        finite = {i: value for i, entries in enumerate(metrics) if (value := _finite(entries.get(name))) is not None}
        shapes = Counter(value.shape for value in finite.values()).most_common(1)
        count = shapes[0][1] if shapes else 0
        if 2 * count <= len(metrics):
            if left_out is not None:
                left_out.say(name, count, len(metrics))
            continue
        shape = shapes[0][0]
        chosen = {i: value for i, value in finite.items() if value.shape == shape}
        values = np.stack(list(chosen.values()))
        with np.errstate(over="ignore"):
            if weights is None:
                summary[name] = np.median(values, axis=0).tolist()
            else:
                summary[name] = np.average(values, axis=0, weights=[weights[i] for i in chosen]).tolist()
    return summary


def _finite(value: Any) -> np.ndarray | None:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError):
        return None
    return array if np.isfinite(array).all() else None


def kind_of(value: object, *, is_loss: bool = False) -> str:
    """A number or a list of so many, and whether a mean of them would be a number; of a loss, a power."""
    values = value if isinstance(value, list) else [value]
    usual = all(isinstance(v, int | float) and -_LARGEST < v < _LARGEST for v in values)
    kind = f"list of {len(values)}" if isinstance(value, list) else "number"
    if usual and is_loss and min(values, default=0) < 0:
        return f"{kind}, below 0"
    return kind if usual else f"{kind}, not finite"


def function_of(strategy: Any, name: str) -> MetricsFunction | None:
    """The user's function for metrics, taken out of the strategy; None where it has Flower's own."""
    function = cast(MetricsFunction, getattr(strategy, name))
    setattr(strategy, name, aggregate_metricrecords)
    return None if function is aggregate_metricrecords else function
