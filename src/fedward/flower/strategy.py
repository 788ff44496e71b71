"""`Robust`: a rule of fedward's between the nodes of a Flower federation and its model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from logging import INFO, WARNING
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, FedAvgM
from torch import Tensor

from ..core import Aggregator, Evaluator, Rule
from ..registry.notation import parse
from ..registry.parameters import check_value
from ..sim.holding import Hold
from ..stack import Policy
from ..stack.layout import Buffers, Integers
from .algorithms import CLASS
from .answers import Reply
from .audit import Audit
from .audit_file import AuditFile
from .checks import NO_MAJORITY, barely_enough, no_majority
from .metrics import LeftOut, MetricsFunction, function_of, summarise
from .model import SentModel, arrays_in, record_of
from .names import Naming, NodeNames
from .optimisers import check_strategy
from .replies import online, screen
from .resume import check_same, finite_memory, memory_of, optimiser_settings
from .rounds import KeptError, Memory, Rounds
from .saving import STOP_THE_OTHER, CheckpointFile
from .screened import Screened, log_audit, log_error, log_left_out, logger, remembered, take_back
from .server_model import finite, fixed
from .skips import OnSkip, too_few


class Robust(Screened):
    """A Flower strategy whose mean of the replies is replaced by a rule.

    1. Every reply is held against the model that was sent out; one that does not fit is dropped with a reason.
    2. The rule aggregates what the others changed, ``reply - model``, rows in the order of nodes' names. Counters (of
       BatchNorm's batches) and running statistics have no columns.
    3. The strategy makes its step from model + aggregate: FedAvg takes it, FedAdam adapts, and so on. Counters stay as
       the server has them; running statistics are not adapted (``batch_norm``).

    A round that cannot be judged keeps the model: too few replies for the rule, an error in the rule, the evaluator or
    the strategy's step, a model that would not be finite. Audit and log say why. Rule and optimiser remember nothing of
    such a round, and the rule does not count it. ``Robust(FedAdam(eta=0.01), rule=rules.Krum(f=2))``.

    Metrics of the nodes come together as medians of those kept, or by the strategy's own ``train_metrics_aggr_fn`` and
    ``evaluate_metrics_aggr_fn``, which see only replies that are sound, with what nodes claim in them.

    Args:
        strategy: FedAvg, FedAvgM, FedProx, FedAdam, FedYogi, FedAdagrad or one derived from these.
        rule: a rule, ``mixer >> rule``, or either as text such as ``"nnm:f=2 >> multi-krum:f=2"``.
        seed: of the rule's random choices.
        audit: file for one line of JSON a round, which ``fedward report`` reads; none is written if None.
        checkpoint: file to write model, rule and optimiser to after every round, and to resume from if it is there.
        fresh: whether to begin anew where there is a checkpoint, which is replaced after the first round.
        evaluator: for rules with root data: from the model's tensors by name to an `Evaluator` at that model.
        classes: for rules that go class by class (`rules.ClassWise`): round r, counted from 0, is about class r modulo
            this many; nodes are told in the configuration, as ``fedward-class``. One class if None.
        trust_examples: whether a row counts by the number of examples that its node claims, after the rule has chosen,
            and metrics likewise; for federations whose nodes cannot lie about that. A rule that uses examples itself
            (``rules.Mean(weighted=True)``) is told of them in any case, so it is not to be said beside one.
        max_share: the most of the weight of all accepted nodes that the claim of one can give to it, above 0; greater
            claims are cut. A rule that goes by examples itself is refused without it; 1 believes every claim.
        buffers: which arrays are running statistics: "auto", those called running_mean and running_var; names, these
            too; None, none at all, so that the rule weighs every floating-point array.
        integers: "refuse" integer arrays that are no counters (without dimensions, or called num_batches_tracked), for
            quantised weights would never move; or take them for "counters", which stay as the server has them.
        batch_norm: what becomes of running statistics: "robust", bounded medians (`Running`); "mean" of accepted
            nodes', which a liar among them moves where it likes; "frozen", they stay as the server has them.
        on_skip, max_skipped, metricrecord_key: see `Screened`. With "raise" a rule that cannot decide on as many nodes
            as the first round asks is refused before any of them trains.
        names: what nodes are called, in the audit and in the rule's memory, instead of by ids that Flower draws anew:
            "claimed", by names registered at the SuperLink, else what they say; "registered", by those alone; "ids".
        verdict_metrics: whether the metrics of a round say who was kept and dropped, with weights and scores, or only
            whether it was skipped: Flower's log has them all. `audits` and an audit file have them in any case.

    Attributes:
        round: rounds completed, those before a restart included.
        arrays: the model after the last of them; None before the first.
        audits: what was decided, every round since the start of this process.

    Raises:
        TypeError, ValueError: a strategy that aggregates by itself or a rule that cannot be used so.
        CheckpointError: the checkpoint is damaged or of another rule, seed or strategy; it is left as it is.
    """

    def __init__(
        self,
        strategy: FedAvg,
        *,
        rule: Rule | str,
        seed: int = 0,
        audit: str | Path | None = None,
        checkpoint: str | Path | None = None,
        evaluator: Callable[[Mapping[str, Tensor]], Evaluator] | None = None,
        classes: int | None = None,
        trust_examples: bool = False,
        max_share: float | None = None,
        buffers: Buffers = "auto",
        integers: Integers = "refuse",
        batch_norm: Policy = "robust",
        on_skip: OnSkip = "raise",
        max_skipped: int = 3,
        metricrecord_key: str = "metrics",
        fresh: bool = False,
        names: Naming = "claimed",
        verdict_metrics: bool = True,
    ) -> None:
        check_strategy(strategy)
        made = cast(Rule, parse(rule, "rule")) if isinstance(rule, str) else rule
        self._rounds = Rounds(
            made,
            seed=seed,
            evaluator=evaluator,
            classes=classes,
            trust_examples=trust_examples,
            weighted_by_key=strategy.weighted_by_key,
            batch_norm=check_value(type(self).__name__, "batch_norm", batch_norm, Policy),
            max_share=max_share,
            names=check_value(type(self).__name__, "names", names, Naming),
            trimmed=audit is not None,
        )
        self._optimiser = own = copy.copy(strategy)  # its metric functions are called here, so not once more in there
        super().__init__(own, on_skip=on_skip, max_skipped=max_skipped, metricrecord_key=metricrecord_key)
        self._train_metrics = function_of(own, "train_metrics_aggr_fn")
        self._evaluate_metrics = function_of(own, "evaluate_metrics_aggr_fn")
        self._buffers = fixed(buffers)
        self._integers: Integers = check_value(type(self).__name__, "integers", integers, Integers)
        self._settings = {
            "integers": self._integers,
            "classes": classes,
            "trust_examples": trust_examples,
            "max_share": max_share,
            **optimiser_settings(own),
        }
        self._left_out = LeftOut()
        self._verdict_metrics = check_value(type(self).__name__, "verdict_metrics", verdict_metrics, bool)
        self.audits: list[Audit] = []
        self._file = None if audit is None else AuditFile(audit)
        self._checkpoint = None if checkpoint is None else CheckpointFile(Path(checkpoint), fresh=fresh)
        files = [None if file is None else Path(file) for file in (checkpoint, audit)]
        self._hold = Hold(files, STOP_THE_OTHER)
        self.round = 0
        self.arrays: ArrayRecord | None = None
        if self._checkpoint is not None:
            found = self._checkpoint.load(self._identity(), self._settings, self.aggregator, own)
            self.round, self.arrays = found
        self._before = self.round
        self._configured = self._settled = self.round
        self._at_first: tuple[Memory, dict[str, Any]] | None = None

    @property
    def aggregator(self) -> Aggregator:
        """The rule with its memory."""
        return self._rounds.aggregator

    def summary(self) -> None:
        """Log the rule and the strategy's settings."""
        claimed = self._rounds.claims()
        by = "node, whatever examples they claim" if claimed is None else f"claimed '{claimed}'"
        logger.log(INFO, "\t├──> Rule: %s (rows by %s)", self._rounds.rule, by)
        if self.round:
            logger.log(INFO, "\t├──> Resuming after round %d", self.round)
        super().summary()

    def begin(self) -> None:
        """Another start is another run; with a checkpoint it goes on from there."""
        super().begin()
        self._hold.take()
        if self._checkpoint is not None:
            self._checkpoint.check_own()
        else:
            self.round = 0
            self.arrays = None
            self._at_first = self._at_first or (self.memory(), memory_of(self._optimiser))
            self.go_back(self._at_first[0])
            vars(self._optimiser).update(self._at_first[1])
        self._before = self._configured = self._settled = self.round
        self._rounds.names = NodeNames(self._rounds.names.naming)
        self._left_out = LeftOut()
        self._note(self.round, lambda file: file.begin(self.round))

    def end(self) -> None:
        """Others may have this run's files."""
        self._hold.let_go()

    def resumed(self) -> tuple[int, ArrayRecord | None]:
        return self.round, self.arrays

    def memory(self) -> Memory:
        return self._rounds.memory()

    def go_back(self, before: Memory) -> None:
        self._rounds.go_back(before)

    # --- training -------------------------------------------------------------------------------------------

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """See `Screened`; rounds count on after a restart.

        Raises:
            ValueError: the checkpoint's model has other arrays than this one; or it is another model, which would
                replace the checkpoint's; or the rule cannot decide on as many nodes.
            CheckpointError: there is a checkpoint by now that this strategy does not go on from.
            LockedError: another process writes the checkpoint or the audit.
        """
        number = self._before + server_round
        self.settle(number - 1, arrays)
        if not self._leads and number <= self._configured:  # what is around starts once more
            self.begin()
            number = self._before + server_round
        if self.arrays is not None:
            check_same(self.arrays, arrays)
        first = self._configured == self._before
        self._hold.take()
        if first and self._checkpoint is not None and not self._leads:
            self._checkpoint.check_own()
            self._checkpoint.check_model(self.arrays, arrays)
        if isinstance(self._optimiser, FedAvgM):
            self._optimiser.current_arrays = None  # or it would use its own, without what `SentModel.settled` mended
        if (group := self._rounds.group(number)) is not None:
            config = ConfigRecord({**config, CLASS: group})
        messages = super().configure_train(number, arrays, config, grid)
        if self._rounds.names.naming != "ids":
            self._rounds.names.look_up(online(grid))
        if first and self._asked and (text := too_few(self.aggregator.rule, len(self._asked))):
            if self._skips.on_skip == "raise":
                raise ValueError(text)
            logger.log(WARNING, "%s", text)
        elif first and self._asked:
            self._warn_once(barely_enough(self.aggregator.rule, len(self._asked)))
        self._configured = number
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The model after this round, None if it stays as it was, and the nodes' metrics with the audit."""
        start = perf_counter()
        model = self._sent_model()
        messages = list(replies)
        if not messages and not self._asked:
            return None, None  # fraction_train is 0
        sound, drops = screen(messages, self._asked, model, self._rounds.claims(), self._names)
        self._help(sound)
        number = self._before + server_round
        before = remembered(self._optimiser)

        def step(target: Mapping[str, Tensor]) -> Mapping[str, np.ndarray]:
            return self._step(number, target, next(m for m in messages if m.has_content()))

        try:
            judged = self._rounds.judge(number, sound=sound, drops=drops, model=model, step=step)
        except BaseException:
            take_back(before)
            raise
        if judged.arrays is None:
            take_back(before)
        if judged.error is not None:
            log_error(judged.error)
        audit = Audit(
            round=number,
            rule=self._rounds.rule,
            verdicts=judged.verdicts,
            skipped=judged.skipped,
            seconds=perf_counter() - start,
            note=judged.note,
        )
        metrics = self._summary(self._train_metrics, [r for r in sound if r.node in set(audit.kept)])
        arrays = None if judged.arrays is None else record_of(judged.arrays)
        self._keep(audit, arrays, model)
        if 0 < len(audit.judged) < NO_MAJORITY:
            self._warn_once(no_majority(self.aggregator.rule))
        self._skips.count(audit, own=judged.error is not None)
        return arrays, MetricRecord({**metrics, **audit.metrics(whole=self._verdict_metrics)})

    def _model_of(self, arrays: ArrayRecord) -> SentModel:
        return SentModel(arrays, self._buffers, self._integers)

    def _step(self, number: int, target: Mapping[str, Tensor], message: Message) -> Mapping[str, np.ndarray]:
        """What the strategy makes of model + aggregate, the one reply that it gets; FedAvg takes that as it is."""
        moved = {name: tensor.numpy() for name, tensor in target.items()}
        if type(self._optimiser).aggregate_train is FedAvg.aggregate_train:
            return moved
        reply = copy.copy(message)
        key = self._optimiser.weighted_by_key
        reply.content = RecordDict({"arrays": record_of(moved), "metrics": MetricRecord({key: 1.0})})
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of that is looked at
            arrays, _ = self._optimiser.aggregate_train(number, [reply])
        assert arrays is not None  # of one reply
        made = arrays_in(arrays)
        weighed = {name: made[name] for name in self._sent_model().layout.names}
        if not (finite(weighed) and finite_memory(self._optimiser)):
            raise KeptError(f"{type(self._optimiser).__name__}'s step or memory is not finite")
        return made

    def _keep(self, audit: Audit, arrays: ArrayRecord | None, model: SentModel) -> None:
        """The round is done: log it, write it down."""
        self.round = audit.round
        self.arrays = arrays if arrays is not None else model.arrays
        self.audits.append(audit)
        log_audit(audit)
        if self._leads:  # before the audit: a full disk must not cost the round
            self._save()
        self._note(audit.round, lambda file: file.append(audit))

    def settle(self, number: int, arrays: ArrayRecord) -> None:
        """A round is over, and this became of the model: what is around this strategy may have changed it since."""
        if self._leads or number != self._configured or number <= self._settled:
            return
        self._settled = self.round = number
        self.arrays = arrays
        self._save()

    def _save(self) -> None:
        if self._checkpoint is not None and self.arrays is not None:
            self._checkpoint.save(
                self.round,
                identity=self._identity(),
                arrays=self.arrays,
                aggregator=self.aggregator,
                strategy=self._optimiser,
                settings=self._settings,
            )

    def _note(self, number: int, write: Callable[[AuditFile], None]) -> None:
        """Write to the audit's file, if there is one; a full disk must not cost the run."""
        if self._file is None:
            return
        try:
            write(self._file)
        except OSError as error:
            logger.log(WARNING, "the audit of round %d is not in %s: %s", number, self._file.path, error)

    # --- evaluation -----------------------------------------------------------------------------------------

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """See `Screened`; rounds count on after a restart."""
        self.settle(self._before + server_round, arrays)
        return super().configure_evaluate(self._before + server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Metrics of the nodes whose replies are sound."""
        trusted = self._rounds.weighted_by_key if self._rounds.trust_examples else None
        sound, drops = screen(replies, self._asked_to_evaluate, None, trusted, self._names)
        self._rounds.names.evaluated(sound, drops)
        log_left_out(drops, self._rounds.names)
        if not sound:
            return None
        metrics = self._summary(self._evaluate_metrics, sound)
        number = self._before + server_round
        self._note(number, lambda f: f.append_evaluation(number, "clients", metrics, sound, self._rounds.names))
        return metrics

    def evaluated(self, number: int, found: MetricRecord | None) -> None:
        """The server evaluated the model after a round."""
        if found is not None:
            self._note(number, lambda file: file.append_evaluation(number, "server", found))

    def _summary(self, function: MetricsFunction | None, replies: Sequence[Reply]) -> MetricRecord:
        key = self._rounds.weighted_by_key
        if function is None or not replies:
            weights = [*self._rounds.claimed(replies).values()] if self._rounds.trust_examples else None
            return summarise([reply.metrics for reply in replies], key, weights, self._left_out)
        try:
            return MetricRecord(dict(function([reply.content for reply in replies], key)))
        except Exception as error:  # the user's function met what a node made up, or gave back no metrics
            logger.log(WARNING, "no metrics in this round: %s raised %r", function, error)
            return MetricRecord()

    # --- restarts -------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        return {
            "rule": repr(self.aggregator.rule),
            "seed": self.aggregator.seed,
            "buffers": self._buffers,
            "strategy": type(self._optimiser).__name__,
            "batch norm": self._rounds.running.policy,
        }
