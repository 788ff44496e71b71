"""`RobustFedAvg` for Flower's older API: ``flwr.server.strategy``, NumPyClient, ServerAppComponents, start_simulation.

A thin face of `fedward.flower.RobustFedAvg`: what came is put into the form of its messages, and what it decided into
the older one. Screening, rule, audit, skipped rounds and checkpoint are the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from logging import WARNING
from pathlib import Path
from typing import Any, cast

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from torch import Tensor, nn

try:
    from flwr.common import EvaluateIns, EvaluateRes, FitIns, FitRes, Parameters, Scalar
    from flwr.server.client_manager import ClientManager
    from flwr.server.client_proxy import ClientProxy
    from flwr.server.strategy import FedAvg
except ImportError as error:
    raise ImportError(
        "fedward.flower.legacy needs Flower's older API, flwr.server.strategy.Strategy, which is not in "
        f"flwr {version('flwr')}: use fedward.flower.RobustFedAvg, or an older flwr",
        name="flwr.server.strategy",
    ) from error

from ..core import EXAMPLES, Aggregator, Evaluator, Rule
from ..stack import Policy
from ..stack.layout import Buffers, Integers
from .answers import shown
from .audit import Audit
from .checks import check_names
from .names import Naming
from .older import (
    LOSS,
    Asked,
    Came,
    Chosen,
    as_newer,
    failed_reply,
    grid_of,
    in_older_words,
    node_of,
    numbers_in,
    packed,
    scalars_of,
    with_loss,
)
from .replies import array_of
from .resume import check_same
from .screened import logger
from .skips import OnSkip
from .strategy import Robust

_Results = Sequence[tuple[ClientProxy, FitRes]] | Sequence[tuple[ClientProxy, EvaluateRes]]
_Failures = (
    Sequence[tuple[ClientProxy, FitRes] | BaseException] | Sequence[tuple[ClientProxy, EvaluateRes] | BaseException]
)


class RobustFedAvg(FedAvg):
    """Federated averaging of Flower's older API, with a rule in the place of the mean.

    ``RobustFedAvg(rule="multi-krum:f=2", keys=list(net.state_dict()), fraction_fit=0.5)`` where
    ``flwr.server.strategy.FedAvg(fraction_fit=0.5)`` was; clients need no change. See `Robust` for what a round does.

    The audit comes back among the metrics of `aggregate_fit`, lists of it as JSON text. The older API does not tell a
    strategy when a run ends: it is ended after ``max_skipped`` rounds in a row that left the model as it was, and a
    shorter one says so in the log alone. After a restart it goes on from the checkpoint's model, whatever
    ``initial_parameters`` are, and counts its rounds on: give ``ServerConfig`` the rounds that are left,
    ``num_rounds=20 - strategy.round``.

    Args:
        rule, seed, audit, checkpoint, evaluator, classes, trust_examples, max_share, buffers, integers, batch_norm,
            names, verdict_metrics, on_skip, max_skipped, fresh: see `Robust`.
        keys: names of the arrays in the order that clients send them, ``list(net.state_dict())``: they tell which are
            running statistics. Without them arrays are called 0, 1, ..., and a model with counters is refused, for
            next to those there are statistics that a rule must not weigh.
        fedavg: all arguments of ``flwr.server.strategy.FedAvg``, by name.

    Raises:
        TypeError, ValueError: a rule that cannot be used so; ``accept_failures=False``, with which one client that
            raises would stop every round.
        CheckpointError: the checkpoint is damaged or of another rule or seed.
    """

    def __init__(
        self,
        *,
        rule: Rule | str,
        keys: Sequence[str] | None = None,
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
        names: Naming = "claimed",
        verdict_metrics: bool = True,
        on_skip: OnSkip = "raise",
        max_skipped: int = 3,
        fresh: bool = False,
        **fedavg: Any,
    ) -> None:
        check_names(RobustFedAvg, FedAvg, fedavg)
        super().__init__(**fedavg)
        if not self.accept_failures:
            raise ValueError(
                "accept_failures=False lets one client that raises stop every round: leave it out, and let "
                "min_fit_clients and the rule's bound say how many replies a round needs"
            )
        if isinstance(keys, str | nn.Module):
            raise TypeError(f"keys=list(net.state_dict()) is needed, got {shown(keys)}")
        self._keys = None if keys is None else list(keys)
        self._unnamed = keys is None and buffers == "auto"
        self.robust = Robust(
            Chosen(
                train_metrics_aggr_fn=as_newer(self.fit_metrics_aggregation_fn),
                evaluate_metrics_aggr_fn=with_loss(as_newer(self.evaluate_metrics_aggregation_fn), trust_examples),
            ),
            rule=rule,
            seed=seed,
            audit=audit,
            checkpoint=checkpoint,
            evaluator=evaluator,
            classes=classes,
            trust_examples=trust_examples,
            max_share=max_share,
            buffers=buffers,
            integers=integers,
            batch_norm=batch_norm,
            names=names,
            verdict_metrics=verdict_metrics,
            on_skip=on_skip,
            max_skipped=max_skipped,
            fresh=fresh,
        )
        self._before = self.round
        self._asked: list[int] = []
        self._asked_to_evaluate: list[int] = []

    def __repr__(self) -> str:
        return f"RobustFedAvg(rule={self.aggregator.rule!r})"

    @property
    def round(self) -> int:
        """Rounds completed, those before a restart included."""
        return self.robust.round

    @property
    def audits(self) -> list[Audit]:
        """What was decided, every round since the start of this process."""
        return self.robust.audits

    @property
    def aggregator(self) -> Aggregator:
        """The rule with its memory."""
        return self.robust.aggregator

    # --- a run ----------------------------------------------------------------------------------------------

    def initialize_parameters(self, client_manager: ClientManager) -> Parameters | None:
        """A run begins: from the checkpoint's model if there is one."""
        given = super().initialize_parameters(client_manager)
        self.robust.begin()
        self._before, kept = self.robust.resumed()
        if kept is None:
            return given
        if given is not None:
            check_same(kept, self._record(given))
        return packed(kept)

    def evaluate(self, server_round: int, parameters: Parameters) -> tuple[float, dict[str, Scalar]] | None:
        """See FedAvg; rounds count on after a restart. The round before is done: what ends the run here costs none."""
        number = self._before + server_round
        if server_round:
            self.robust.settle(number, self._record(parameters))
        found = super().evaluate(number, parameters)
        if found is not None:
            self.robust.evaluated(number, MetricRecord({**numbers_in(found[1]), LOSS: float(found[0])}))
        return found

    # --- training -------------------------------------------------------------------------------------------

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Remember the model and who is asked.

        Raises:
            ValueError: the model is not the checkpoint's, has other arrays than ``keys``, or the rule cannot decide on
                as many clients.
        """
        arrays = self._record(parameters)
        chosen = super().configure_fit(self._before + server_round, parameters, client_manager)
        self._asked = [node_of(proxy) for proxy, _ in chosen]
        with in_older_words():
            sent = list(self.robust.configure_train(server_round, arrays, ConfigRecord(), grid_of(self._asked)))
        told = {} if not sent else cast(dict[str, Scalar], dict(cast(Asked, sent[0]).config))
        return [(proxy, FitIns(ins.parameters, {**ins.config, **told})) for proxy, ins in chosen]

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """The model after this round, None if it stays as it was, and the clients' metrics with the audit.

        Raises:
            SkippedError: see ``on_skip``.
        """
        replies = self._replies(results, failures, self._asked)
        with in_older_words():
            arrays, metrics = self.robust.aggregate_train(server_round, replies)
        return None if arrays is None else packed(arrays), scalars_of(metrics)

    # --- evaluation -----------------------------------------------------------------------------------------

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Remember who is asked; the round before is done, and its model is what is given."""
        chosen = super().configure_evaluate(self._before + server_round, parameters, client_manager)
        self._asked_to_evaluate = [node_of(proxy) for proxy, _ in chosen]
        grid = grid_of(self._asked_to_evaluate)
        self.robust.configure_evaluate(server_round, self._record(parameters), ConfigRecord(), grid)
        return chosen

    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Loss and metrics of the clients whose replies are sound."""
        replies = self._replies(results, failures, self._asked_to_evaluate)
        scalars = scalars_of(self.robust.aggregate_evaluate(server_round, replies))
        loss = scalars.pop(LOSS, None)
        return None if loss is None else float(loss), scalars

    # --- from the older form to the newer -------------------------------------------------------------------

    def _record(self, parameters: Parameters) -> ArrayRecord:
        """The server's model with names."""
        count = len(parameters.tensors)
        if self._keys is not None and len(self._keys) != count:
            raise ValueError(f"the model has {count} arrays, and keys={shown(self._keys)} has {len(self._keys)}")
        record = self._named(parameters, self._keys or [str(place) for place in range(count)])
        counters = [name for name, array in record.items() if not array.shape and array.numpy().dtype.kind in "iu"]
        if self._unnamed and counters:
            raise ValueError(
                f"the model has a counter (array {counters[0]}), as BatchNorm has beside its running statistics, which "
                "a rule must not weigh: pass keys=list(net.state_dict()); or buffers=None, to weigh every array"
            )
        return record

    @staticmethod
    def _named(parameters: Parameters, names: Sequence[str]) -> ArrayRecord:
        if len(parameters.tensors) != len(names):  # which are left out or added cannot be told: none of them fits
            names = [f"array {k} of {len(parameters.tensors)}" for k in range(len(parameters.tensors))]
        kind = parameters.tensor_type
        return ArrayRecord({name: array_of(data, kind) for name, data in zip(names, parameters.tensors, strict=True)})

    def _replies(self, results: _Results, failures: _Failures, asked: Sequence[int]) -> list[Message]:
        """What came, and what failed, as messages.

        An exception does not say whose it is. If there are as many as clients of which nothing came, they are theirs.
        """
        came = [self._reply(node_of(proxy), result) for proxy, result in results]
        raised = [failure for failure in failures if isinstance(failure, BaseException)]
        for failure in failures:
            if not isinstance(failure, BaseException):
                proxy, result = failure
                came.append(failed_reply(node_of(proxy), f"{result.status.code.name}: {result.status.message}"))
        heard = {reply.metadata.src_node_id for reply in came}
        silent = [node for node in asked if node not in heard]
        if raised and len(raised) == len(silent):
            text = "; ".join(dict.fromkeys(f"{type(error).__name__}: {error}" for error in raised))
            came += [failed_reply(node, text) for node in silent]
        else:
            for error in raised:
                logger.log(WARNING, "a client failed, and it is not said which: %s", shown(repr(error)))
        return [cast(Message, reply) for reply in came]

    def _reply(self, node: int, result: FitRes | EvaluateRes) -> Came:
        try:
            metrics: dict[str, Any] = {**numbers_in(result.metrics), EXAMPLES: result.num_examples}
            content = RecordDict({"told": ConfigRecord(cast(Any, dict(result.metrics)))})
            if isinstance(result, FitRes):
                names = self._keys or [str(place) for place in range(len(result.parameters.tensors))]
                content["arrays"] = self._named(result.parameters, names)
            else:
                metrics[LOSS] = float(result.loss)
            content["metrics"] = MetricRecord(metrics)
        except Exception as error:  # whatever a client's result may be
            return failed_reply(node, f"its result cannot be read: {type(error).__name__}: {error}")
        return Came.of(node, content)
