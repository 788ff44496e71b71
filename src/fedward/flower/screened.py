"""`Screened`: any Flower strategy, behind a door that lets sound replies through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from logging import INFO, WARNING, getLogger
from time import perf_counter
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from ..core import Reason
from .answers import Drop, Fault, Reply, nonfinite, shown
from .audit import PREFIX, Audit, Verdict, verdicts
from .model import SentModel
from .replies import screen
from .rounds import text_of

logger = getLogger("flwr")
_LARGEST = 1e30
"""Beyond it, a metric is as good as none: its powers and sums are no numbers."""


class Screened(Strategy):
    """A strategy of Flower's that only ever sees sound replies.

    Flower's own strategies raise, and end the run, when one node sends an array of the wrong shape or one record too
    many. Here every reply is held against the model that was sent out and dropped with a reason if it does not fit;
    the strategy continues with the others: those whose records and metrics have the names and kinds that most have
    (numbers, lists of so many), with a number of examples that can be summed. If it raises all the same, or makes a
    model that is not finite or of other arrays, the round is as if it had not been. Values are not judged: that is what
    `Robust` is for.

    Put it around differential privacy, which looks into replies before any rule does:
    ``Screened(DifferentialPrivacyServerSideFixedClipping(RobustFedAvg(rule=...), ...))``.

    Args:
        strategy: what to protect.
    """

    def __init__(self, strategy: Strategy) -> None:
        super().__init__()
        if not isinstance(strategy, Strategy):
            raise TypeError(f"a strategy of flwr.serverapp.strategy is needed, got {strategy!r}")
        self.strategy = strategy
        self._model: SentModel | None = None
        self._asked: list[int] = []
        self._asked_to_evaluate: list[int] = []

    def summary(self) -> None:
        """Log the strategy's settings."""
        self.strategy.summary()

    # --- training -------------------------------------------------------------------------------------------

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Remember the model and who is asked: replies hold neither."""
        model = self._model_of(arrays)  # first: one that cannot be used is refused before any node is asked for
        messages = list(self.strategy.configure_train(server_round, arrays, config, grid))
        self._model = model
        self._asked = [message.metadata.dst_node_id for message in messages]
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Hand the strategy the replies that fit the model, finite ones with the metrics that most of them have."""
        start = perf_counter()
        model = self._sent_model()
        messages = list(replies)
        sound, drops = screen(messages, self._asked, model, self._claimed(messages))
        sound = _alike(_finite(_ordered(sound, drops, model), drops), drops)
        passed = {reply.node for reply in sound}
        found = (*verdicts(drops), *(Verdict(node=node, accepted=True, reason=Reason.ACCEPTED) for node in passed))
        arrays: ArrayRecord | None = None
        metrics: MetricRecord | None = None
        skipped: str | None = "no node sent a sound reply"
        before = remembered(self.strategy)
        try:
            if passed:
                arrays, metrics = self.strategy.aggregate_train(server_round, _of(messages, passed))
                skipped = None if arrays is None else model.misfit(arrays)
        except Exception as error:  # what one of Flower's makes of what nodes sent must not end the run
            log_error(error)
            skipped = text_of(error)
        if skipped is not None:
            arrays = metrics = None
            take_back(before)
        audit = Audit(
            round=server_round, rule="screened", verdicts=found, skipped=skipped, seconds=perf_counter() - start
        )
        log_audit(audit)
        metrics = MetricRecord() if metrics is None else metrics
        metrics[f"{PREFIX}screened-skipped"] = int(skipped is not None)
        for reason in dict.fromkeys(v.reason for v in audit.dropped):
            metrics[f"{PREFIX}screened-{reason}"] = [v.node for v in audit.dropped if v.reason == reason]
        return arrays, metrics

    def _claimed(self, messages: Sequence[Message]) -> str | None:
        """The metric that the strategy weighs replies by, if most of them have it."""
        key = next((s.weighted_by_key for s in all_within(self.strategy) if hasattr(s, "weighted_by_key")), None)
        having = [m for m in messages if m.has_content() and any(key in r for r in m.content.metric_records.values())]
        return key if 2 * len(having) > sum(message.has_content() for message in messages) else None

    def _model_of(self, arrays: ArrayRecord) -> SentModel:
        """All floating-point arrays alike: the strategy inside sees to what it aggregates."""
        return SentModel(arrays, buffers=None, integers="counters")

    def _sent_model(self) -> SentModel:
        if self._model is None:
            raise RuntimeError("aggregate_train needs the model that configure_train was given: call that first")
        return self._model

    # --- evaluation -----------------------------------------------------------------------------------------

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Remember who is asked."""
        messages = list(self.strategy.configure_evaluate(server_round, arrays, config, grid))
        self._asked_to_evaluate = [message.metadata.dst_node_id for message in messages]
        return messages

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Hand the strategy the replies with the metrics that most of them have."""
        messages = list(replies)
        sound, drops = screen(messages, self._asked_to_evaluate, None, self._claimed(messages))
        sound = _alike(sound, drops)
        log_left_out(drops)
        passed = {reply.node for reply in sound}
        try:
            return self.strategy.aggregate_evaluate(server_round, _of(messages, passed)) if passed else None
        except Exception as error:  # as in training
            logger.log(WARNING, "no evaluation in this round: %r", error)
            return None


def log_error(error: Exception) -> None:
    """Write all of an error to Flower's log, of which an audit has the sentence."""
    logger.log(WARNING, "aggregate_train: what decides about the round raised an error", exc_info=error)


def all_within(strategy: Strategy) -> list[Strategy]:
    """A strategy and those that it is put around, the outermost first."""
    found = [strategy]
    for outer in found:
        found += [inner for inner in vars(outer).values() if isinstance(inner, Strategy) and inner not in found]
    return found


def remembered(strategy: Strategy) -> list[tuple[Strategy, dict[str, Any]]]:
    """The attributes of a strategy and of those within it, of which none are changed in place."""
    return [(each, dict(vars(each))) for each in all_within(strategy)]


def take_back(before: Iterable[tuple[Strategy, Mapping[str, Any]]]) -> None:
    """Give strategies the attributes that they had."""
    for strategy, attributes in before:
        vars(strategy).clear()
        vars(strategy).update(attributes)


def log_audit(audit: Audit) -> None:
    """Write the round to Flower's log."""
    level = INFO if audit.skipped is None else WARNING
    for line in audit.lines():
        logger.log(level, "aggregate_train: %s", line)


def log_left_out(drops: Iterable[Drop]) -> None:
    """Write to Flower's log whose evaluation does not count."""
    for drop in drops:
        logger.log(INFO, "\t> left out the evaluation of node %s: %s: %s", drop.node, drop.fault, drop.detail)


def _of(messages: Sequence[Message], nodes: set[int]) -> list[Message]:
    return sorted(
        (m for m in messages if m.metadata.src_node_id in nodes), key=lambda message: message.metadata.src_node_id
    )


def _ordered(sound: list[Reply], drops: list[Drop], model: SentModel) -> list[Reply]:
    """Those whose arrays are in the order of the model's: Flower's wrappers pair them by place, not by name."""
    ordered = []
    for reply in sound:
        (record,) = reply.content.array_records.values()
        if list(record) == list(model.types):
            ordered.append(reply)
        else:
            drops.append(
                Drop(node=reply.node, fault=Fault.WRONG_KEYS, detail="its arrays are in another order than the model's")
            )
    return ordered


def _finite(sound: list[Reply], drops: list[Drop]) -> list[Reply]:
    """Those without NaN or Inf."""
    finite = []
    for reply in sound:
        if reply.finite():
            finite.append(reply)
        else:
            drops.append(nonfinite(reply))
    return finite


def _alike(sound: list[Reply], drops: list[Drop]) -> list[Reply]:
    """Those whose records and metrics have the commonest names and kinds: Flower's strategies take no others."""
    forms = {reply.node: _form(reply) for reply in sound}
    if not forms:
        return []
    usual = Counter(forms.values()).most_common(1)[0][0]
    for node, form in forms.items():
        if form != usual:
            detail = f"its records and metrics are {shown(form)}, most others' {shown(usual)}"
            drops.append(Drop(node=node, fault=Fault.WRONG_KEYS, detail=detail))
    return [reply for reply in sound if forms[reply.node] == usual]


def _form(reply: Reply) -> tuple[Any, ...]:
    """What a reply holds, without values: records by name and kind, metrics by name and kind."""
    records = tuple((name, type(record).__name__) for name, record in reply.content.items())
    return records, tuple(sorted((name, _kind(value)) for name, value in reply.metrics.items()))


def _kind(value: object) -> str:
    """Of a metric: a number or a list of so many, and whether a mean of them would be a number."""
    values = value if isinstance(value, list) else [value]
    usual = all(isinstance(v, int | float) and -_LARGEST < v < _LARGEST for v in values)
    kind = f"list of {len(values)}" if isinstance(value, list) else "number"
    return kind if usual else f"{kind}, not finite"
