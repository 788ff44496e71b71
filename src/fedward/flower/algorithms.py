"""fedward's client algorithms in a ClientApp: the very code of the simulator, on the nodes of a federation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable, Mod
from torch import Tensor, nn

from ..clients import Client, LocalModel, Shard, Task, carry_out
from ..clients.siren import VARIANTS, raises_alarm
from ..core import Context as Round
from ..core import State
from .mods import only_arrays, training

CLASS = "fedward-class"
"""The class that a round is about, in the configuration of a message."""

_ALGORITHM = "fedward-algorithm"
_OWN = "fedward-own-model"
_NOTHING = 1  # the code of an app's own errors


def train_with(
    algorithm: Client, prepare: Callable[[Context], tuple[nn.Module, Shard]], *, lr: float = 1.0, seed: int = 0
) -> Callable[[Message, Context], Message]:
    """A training function for a ClientApp that computes what one of `fedward.clients` does.

    ``app.train()(train_with(clients.ClassMomentum(batch_size=50), prepare, lr=0.1))`` is DeSGD's worker; the strategy
    says the class of each round (``RobustFedAvg(rule=rules.ClassWise(...), classes=10)``). A node that has nothing to
    send, for it holds no sample of that class, answers with an error that says so. What the algorithm remembers is in
    ``context.state``, and gone after a restart.

    Args:
        algorithm: what a client computes. One that sends gradients g moves the node's model by -lr g.
        prepare: from a node's context to its module, with the names of the model's arrays, and its data.
        lr: for algorithms that send gradients.
        seed: of batches and dropout, together with the node's id.

    Raises:
        ValueError: lr not positive; an algorithm that the server tells more than its model (SCAFFOLD); rounds of
            several classes, since a reply holds one model; or of random ones, since the strategy says the class of
            each round, all in turn.
    """
    if not lr > 0:
        raise ValueError(f"lr > 0 is needed, got {lr}")
    if algorithm.traits().by_class > 1:
        raise ValueError(f"a node's reply holds one model, of one class: use classes=1, got {algorithm!r}")
    if algorithm.traits().draw == "random":
        raise ValueError(
            f"the strategy says the class of each round, all in turn: use draw='cyclic', got {algorithm!r}"
        )

    if algorithm.tell({}, torch.zeros(1), 1.0, 0):
        raise ValueError(
            f"{algorithm!r} needs more of the server than its model, and a strategy sends nothing else: "
            "simulate it, or use local-sgd or fed-prox"
        )

    def train(message: Message, context: Context) -> Message:
        module, shard = prepare(context)
        module.load_state_dict({k: torch.from_numpy(a.numpy()) for k, a in only_arrays(message).items()})
        model = LocalModel(module)
        start = model.read()
        buffers = model.read_buffers()
        task = Task(
            client=context.node_id,
            parameters=start,
            shard=shard,
            context=_round(message, seed),
            state=_recalled(context),
            buffers=buffers,
        )
        answer = carry_out(algorithm, model, task)
        _remember(context, answer.state)
        if answer.row is None:
            return Message(Error(_NOTHING, f"{algorithm!r} has nothing to send in this round"), reply_to=message)
        model.load(start + (answer.row if algorithm.traits().sends == "delta" else -lr * answer.row), answer.buffers)
        arrays = ArrayRecord({k: Array(v.cpu().numpy()) for k, v in model.module.state_dict().items()})
        said = {name: value if isinstance(value, float) else int(value) for name, value in answer.messages.items()}
        metrics = MetricRecord({"loss": float(answer.loss), **said})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    return train


def siren_mod(
    evaluate: Callable[[Mapping[str, np.ndarray], Context], float],
    *,
    tolerance: float = 0.04,
    variant: str = "tolerant",
) -> Mod:
    """SIREN's client around any app: alarm where the server's model does worse than the node's, train the better one.

    Algorithm 1 of `fedward.clients.Siren`; the strategy's rule is ``rules.SIREN()``. The alarm travels as the metric
    ``alarm``, 0 or 1; the reply's arrays are the node's new model, so that the update is its change from the server's.
    A node that was restarted has no model of its own, and raises no alarm in its first round.

    Args:
        evaluate: accuracy, 0 to 1, of a model on data that the node holds out and never trains on.
        tolerance: the paper's C_c.
        variant: "tolerant", "printed" or "official".

    Raises:
        ValueError: tolerance outside 0 to 1, or an unknown variant.
    """
    if not 0 <= tolerance <= 1 or variant not in VARIANTS:
        raise ValueError(
            f"0 <= tolerance <= 1 and one of {', '.join(VARIANTS)} are needed, got {tolerance}, {variant!r}"
        )

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        if not training(message):
            return call_next(message, context)
        server = only_arrays(message)
        alarm = False
        own = _own_model(context, server)
        if own is not None:
            theirs = evaluate(_arrays_of(server), context)
            mine = evaluate(_arrays_of(own), context)
            alarm = raises_alarm(theirs, mine, tolerance, variant)
        if alarm and own is not None:
            for name, array in own.items():
                server[name] = array  # the app trains on from there
        reply = call_next(message, context)
        if reply.has_error():
            return reply
        trained = only_arrays(reply)
        context.state[_OWN] = ArrayRecord(dict(trained.items()))
        next(iter(reply.content.metric_records.values()))["alarm"] = int(alarm)
        return reply

    return mod


def _round(message: Message, seed: int) -> Round:
    config = next(iter(message.content.config_records.values()), ConfigRecord())
    number = config.get("server-round", 1)
    group = config.get(CLASS)
    return Round(
        round=max(int(number) - 1, 0) if isinstance(number, int) else 0,
        seed=seed,
        group=group if isinstance(group, int) else None,
    )


def _recalled(context: Context) -> State:
    record = context.state.get(_ALGORITHM)
    if not isinstance(record, ArrayRecord):
        return {}
    return {name: torch.from_numpy(np.array(array.numpy())) for name, array in record.items()}


def _remember(context: Context, state: Mapping[str, Tensor]) -> None:
    context.state[_ALGORITHM] = ArrayRecord({name: Array(np.array(t.cpu().numpy())) for name, t in state.items()})


def _own_model(context: Context, like: ArrayRecord) -> ArrayRecord | None:
    """The node's last model; None if it has none, or one of another kind."""
    record = cast(object, context.state.get(_OWN))
    if not isinstance(record, ArrayRecord):
        return None
    same = {k: tuple(a.shape) for k, a in record.items()} == {k: tuple(a.shape) for k, a in like.items()}
    return record if same else None


def _arrays_of(record: ArrayRecord) -> dict[str, np.ndarray]:
    return {name: array.numpy() for name, array in record.items()}
