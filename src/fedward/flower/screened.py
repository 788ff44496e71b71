"""`Screened`: any Flower strategy, behind a door that lets sound replies through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from logging import INFO, WARNING, getLogger
from time import perf_counter
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from ..core import Reason
from .answers import Drop, Reply, shown
from .audit import PREFIX, Audit, Verdict, verdicts
from .model import SentModel
from .names import NodeNames
from .numbering import counting_on
from .qfedavg import check_multiplied, losses_of
from .replies import Names, fitted, screen
from .resume import check_same
from .rounds import as_told
from .skips import OnSkip, SkippedError, Skips
from .uniform import finite_ones, of, of_usual_form, ordered

logger = getLogger("flwr")
EvaluateFunction = Callable[[int, ArrayRecord], MetricRecord | None]


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

    Put it around a strategy with a checkpoint, and a restart goes on from the model that was really sent out, noise and
    all.

    Args:
        strategy: what to protect.
        on_skip: what to do when ``max_skipped`` rounds in a row, or all rounds of a run, left the model as it was:
            "raise" a `SkippedError` that says why, or "warn" in the log.
        max_skipped: how many rounds in a row, of those in which at least half of the replies were of no use or
            something of the server's own raised an error: no minority of nodes ends a run.
        metricrecord_key: which MetricRecord of a reply counts, where it has several; of several ArrayRecords it is the
            strategy's ``arrayrecord_key``.

    Raises:
        TypeError, ValueError: something else than these.
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        on_skip: OnSkip = "raise",
        max_skipped: int = 3,
        metricrecord_key: str = "metrics",
    ) -> None:
        super().__init__()
        if not isinstance(strategy, Strategy):
            raise TypeError(f"a strategy of flwr.serverapp.strategy is needed, got {strategy!r}")
        self.strategy = strategy
        self._model: SentModel | None = None
        self._asked: list[int] = []
        self._asked_to_evaluate: list[int] = []
        self._skips = Skips(on_skip, max_skipped)
        arrays = next((s.arrayrecord_key for s in all_within(strategy) if hasattr(s, "arrayrecord_key")), "arrays")
        self._names = Names(arrays=arrays, metrics=metricrecord_key)
        self._helped: set[str] = set()
        self._leads = False

    def summary(self) -> None:
        """Log the strategy's settings."""
        self.strategy.summary()

    # --- a run ----------------------------------------------------------------------------------------------

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: EvaluateFunction | None = None,
    ) -> Result:
        """Run until ``num_rounds`` rounds are done in all, as every strategy of Flower's.

        If a strategy within has a checkpoint, from its model instead of ``initial_arrays``, and with its rounds counted
        in.

        Raises:
            SkippedError: see ``on_skip``.
            ValueError: the checkpoint is of a model with other arrays than ``initial_arrays``.
            CheckpointError: another run has written the checkpoint since the strategy was made.
            LockedError: another process writes the checkpoint or the audit.
        """
        within = [strategy for strategy in all_within(self) if isinstance(strategy, Screened)]
        with _begun(within):
            return self._run(
                within,
                evaluate_fn,
                initial_arrays,
                num_rounds,
                grid=grid,
                timeout=timeout,
                train_config=train_config,
                evaluate_config=evaluate_config,
            )

    def _run(
        self,
        within: Sequence[Screened],
        evaluate_fn: EvaluateFunction | None,
        initial_arrays: ArrayRecord,
        num_rounds: int,
        **start: Any,
    ) -> Result:
        """The rounds of a run that has begun, those that are left of it."""
        done, kept = next((found for s in within if (found := s.resumed())[1] is not None), (0, None))
        if kept is not None:
            check_same(kept, initial_arrays)
        first = initial_arrays if kept is None else kept
        left = max(num_rounds - done, 0)
        if done and not left:
            logger.log(WARNING, "nothing is left to do of %d rounds: the checkpoint is of round %d", num_rounds, done)

        if done and (around := _around(within)):
            text = (
                "%s: what they remember themselves, as epsilon that is spent, is not in the checkpoint and begins anew"
            )
            logger.log(WARNING, text, ", ".join(type(strategy).__name__ for strategy in around))

        def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord | None:
            found = None if evaluate_fn is None else evaluate_fn(number + done, arrays)
            for strategy in within:
                strategy.evaluated(number + done, found)
            return found

        self._leads = True
        try:
            with counting_on(logger, done):
                told = None if evaluate_fn is None else evaluate
                result = super().start(initial_arrays=first, num_rounds=left, evaluate_fn=told, **start)
        finally:
            self._leads = False
        if self._skips.skipped:
            text = "%d of %d rounds left the model as it was, the last because: %s"
            logger.log(WARNING, text, self._skips.skipped, left, self._skips.last)
        if not done:
            self._skips.end()
        if not result.arrays:
            result.arrays = first  # no round changed it
        for name in ("train_metrics_clientapp", "evaluate_metrics_clientapp", "evaluate_metrics_serverapp"):
            setattr(result, name, {number + done: record for number, record in getattr(result, name).items()})
        return result

    def begin(self) -> None:
        """Another start is another run."""
        self._skips.begin()

    def end(self) -> None:
        """The run is over, however it ended."""

    def evaluated(self, number: int, found: MetricRecord | None) -> None:
        """The server evaluated the model after a round, 0 before the first."""

    def resumed(self) -> tuple[int, ArrayRecord | None]:
        """Rounds that are done, and the model after the last of them; None if there is none to go on from."""
        return 0, None

    def memory(self) -> Any:
        """What a round changes in place, as it is now."""

    def go_back(self, before: Any) -> None:
        """Take back what has changed since."""

    def _help(self, sound: Sequence[Reply]) -> None:
        """Say once how replies were made to fit."""
        said = [
            f"nodes send {sent} where the model is {due}: converted" for r in sound for sent, due in sorted(r.casts)
        ]
        if sound and sound[0].local:
            names = shown(sorted(sound[0].local))
            said.append(f"most nodes keep {names} to themselves: these arrays stay as the server has them")
        several = Counter(name for r in sound for name in r.content.array_records if name != r.record)
        said += [
            f"the ArrayRecord {shown(name)!r} of most nodes is not aggregated, only {self._names.arrays!r} is"
            for name, count in several.items()
            if sound[0].record and 2 * count > len(sound)
        ]
        for text in said:
            self._warn_once(f"aggregate_train: {text}")

    def _warn_once(self, text: str) -> None:
        """Say what is no less true in the next round, unless there is nothing to say."""
        if text and text not in self._helped:
            self._helped.add(text)
            logger.log(WARNING, "%s", text)

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
        sound, drops = screen(messages, self._asked, model, self._claimed(messages), self._names)
        self._help(sound)
        sound = of_usual_form(
            finite_ones(ordered(sound, drops, model), drops), drops, losses_of(all_within(self.strategy))
        )
        passed = {reply.node: reply for reply in sound}
        found = (*verdicts(drops), *(Verdict(node=node, accepted=True, reason=Reason.ACCEPTED) for node in passed))
        arrays: ArrayRecord | None = None
        metrics: MetricRecord | None = None
        skipped: str | None = "no node sent a sound reply"
        raised = False
        before = remembered(self.strategy)
        try:
            if passed:
                arrays, metrics = self.strategy.aggregate_train(
                    server_round, [fitted(m, passed[m.metadata.src_node_id], model) for m in of(messages, passed)]
                )
                skipped = None if arrays is None else model.misfit(arrays)
        except SkippedError:  # of the rule within
            raise
        except Exception as error:  # what one of Flower's makes of what nodes sent must not end the run
            log_error(error)
            skipped, raised = as_told(error), True
        if skipped is not None:
            arrays = metrics = None
            take_back(before)
        audit = Audit(
            round=server_round, rule="screened", verdicts=found, skipped=skipped, seconds=perf_counter() - start
        )
        log_audit(audit)
        self._skips.count(audit, own=raised)
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
        check_multiplied(arrays, losses_of(all_within(self.strategy)))
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
        sound, drops = screen(messages, self._asked_to_evaluate, None, self._claimed(messages), self._names)
        sound = of_usual_form(sound, drops)
        log_left_out(drops)
        passed = {reply.node for reply in sound}
        try:
            return self.strategy.aggregate_evaluate(server_round, of(messages, passed)) if passed else None
        except Exception as error:  # as in training
            logger.log(WARNING, "no evaluation in this round: %r", error)
            return None


@contextmanager
def _begun(within: Sequence[Screened]) -> Iterator[None]:
    """A run of these strategies, which is over at the end."""
    try:
        for strategy in within:
            strategy.begin()
        yield
    finally:
        for strategy in within:
            strategy.end()


def log_error(error: Exception) -> None:
    """Write all of an error to Flower's log, of which an audit has the sentence."""
    logger.log(WARNING, "aggregate_train: what decides about the round raised an error", exc_info=error)


def all_within(strategy: Strategy) -> list[Strategy]:
    """A strategy and those that it is put around, the outermost first."""
    found = [strategy]
    for outer in found:
        found += [inner for inner in vars(outer).values() if isinstance(inner, Strategy) and inner not in found]
    return found


Remembered = list[tuple[Strategy, dict[str, Any], Any]]


def _around(screened: Sequence[Screened]) -> list[Strategy]:
    """Strategies of others that these are put around, and that are put around one of these."""
    inner = [strategy for outer in screened for strategy in all_within(outer) if not isinstance(strategy, Screened)]
    around = [strategy for strategy in inner if any(isinstance(s, Screened) for s in all_within(strategy))]
    return list(dict.fromkeys(around))


def remembered(strategy: Strategy) -> Remembered:
    """The attributes of a strategy and of those within it, and what is changed in place of fedward's own."""
    return [
        (each, dict(vars(each)), each.memory() if isinstance(each, Screened) else None) for each in all_within(strategy)
    ]


def take_back(before: Remembered) -> None:
    """Give strategies the attributes that they had."""
    for strategy, attributes, memory in before:
        vars(strategy).clear()
        vars(strategy).update(attributes)
        if isinstance(strategy, Screened):
            strategy.go_back(memory)


def log_audit(audit: Audit) -> None:
    """Write the round to Flower's log."""
    level = INFO if audit.skipped is None else WARNING
    for line in audit.lines():
        logger.log(level, "aggregate_train: %s", line)


def log_left_out(drops: Iterable[Drop], names: NodeNames | None = None) -> None:
    """Write to Flower's log whose evaluation does not count."""
    called = names or NodeNames("ids")
    for drop in drops:
        name = called.of(drop.node)
        node = f"{name} ({drop.node})" if name else str(drop.node)
        logger.log(INFO, "\t> left out the evaluation of node %s: %s: %s", node, drop.fault, drop.detail)
