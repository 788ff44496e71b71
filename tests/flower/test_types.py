"""The server's model says what type and shape everything has; no reply does, first or last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message
from flwr.serverapp.strategy import FedAdam, FedAvg

from fedward.flower import Robust

from .federation import NODES, InProcess, Quadratic, liars

TYPES = ["float16", "float32", "float64", ">f4"]


def typed(**types: str) -> ArrayRecord:
    return ArrayRecord({name: Array(np.zeros(3, dtype)) for name, dtype in types.items()})


def casting(dtype: str, *partitions: int) -> Any:
    """A mod whose nodes send everything in another type."""

    def mod(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        if liars(*partitions)(context):
            record = reply.content["arrays"]
            for name, array in list(record.items()):
                record[name] = Array(array.numpy().astype(dtype))
        return reply

    return mod


@pytest.mark.parametrize("sent", TYPES)
@pytest.mark.parametrize("odd", [(0,), (9,), (0, 1, 2, 3, 4, 5)], ids=["first", "last", "most"])
def test_who_sends_another_type_is_converted_and_decides_nothing(sent: str, odd: tuple[int, ...]) -> None:
    for types in ({"a": "float16", "b": "float32"}, {"a": "float64", "b": "float32"}, {"a": "float32", "b": "float32"}):
        for optimiser in (FedAvg(fraction_evaluate=0.0), FedAdam(fraction_evaluate=0.0)):
            strategy = Robust(optimiser, rule="median")
            result = strategy.start(InProcess(Quadratic([casting(sent, *odd)]).app), typed(**types), num_rounds=1)
            assert strategy.audits[0].kept == NODES
            assert {name: str(array.numpy().dtype) for name, array in result.arrays.items()} == types


@pytest.mark.parametrize("sent", ["int32", "int64", "bool", "complex64"])
def test_who_sends_no_floats_is_dropped(sent: str) -> None:
    strategy = Robust(FedAvg(fraction_evaluate=0.0), rule="median")
    grid = InProcess(Quadratic([casting(sent, 0, 1)]).app)
    strategy.start(grid, typed(a="float32", b="float64"), num_rounds=1)
    assert [(v.node, v.reason) for v in strategy.audits[0].dropped] == [(node, "wrong-dtype") for node in NODES[:2]]


def far(values: dict[int, float]) -> Any:
    """A mod whose nodes send nothing but one number."""

    def mod(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        value = values.get(int(context.node_config["partition-id"]))
        if value is not None:
            reply.content["arrays"]["a"] = Array(np.full(3, value))
        return reply

    return mod


def test_finite_numbers_that_are_too_large_are_not_called_infinite() -> None:
    mod = far({0: 1e200, 1: np.inf})
    for rule, judged in (("median", True), ("krum:f=4", False)):  # krum needs 11
        strategy = Robust(FedAvg(fraction_evaluate=0.0), rule=rule, on_skip="warn")
        strategy.start(InProcess(Quadratic([mod]).app), typed(a="float64"), num_rounds=1)
        first, second, *others = strategy.audits[0].verdicts
        assert (first.reason, second.reason) == ("overflow" if judged else "round-skipped", "nonfinite")
        assert "squared norm exceeds float64" in first.detail or not judged
        assert {v.reason for v in others} == {"accepted" if judged else "round-skipped"}
