"""Flower's QFedAvg behind `Screened`: a model that it cannot take is refused, one node's loss costs nobody a round."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import QFedAvg

from fedward.flower import Screened
from tests.flower.federation import InProcess, floats, model


@pytest.fixture(autouse=True)
def _little_to_collect() -> Iterator[None]:
    """QFedAvg collects garbage for every reply, in all that has been loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


def screened() -> Screened:
    return Screened(QFedAvg(client_learning_rate=0.1))


def reply(request: Message, arrays: ArrayRecord, loss: float) -> Message:
    moved = ArrayRecord({name: Array(array.numpy() + np.float32(1)) for name, array in arrays.items()})
    metrics = MetricRecord({"num-examples": 10, "train_loss": loss})
    return Message(RecordDict({"arrays": moved, "metrics": metrics}), reply_to=request)


def test_whole_numbers_are_refused_before_any_node_is_asked() -> None:
    with pytest.raises(ValueError, match=r"QFedAvg .*a\.num_batches_tracked is int64"):
        screened().configure_train(1, model(), ConfigRecord(), InProcess(None))


@pytest.mark.parametrize("loss", [-1.0, -1e-3, float("nan"), 1e308])
def test_a_loss_that_is_none_is_dropped(loss: float) -> None:
    strategy = screened()
    for number in (1, 2):
        requests = list(strategy.configure_train(number, floats(), ConfigRecord(), InProcess(None)))
        replies = [reply(request, floats(), loss if k == 3 else 0.5) for k, request in enumerate(requests)]
        arrays, metrics = strategy.aggregate_train(number, replies)
        assert arrays is not None
        assert metrics is not None
        assert metrics["fedward-screened-wrong-keys"] == [requests[3].metadata.dst_node_id]
