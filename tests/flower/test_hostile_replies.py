"""Replies that are broken, claim too much, or come twice: who sent them is dropped, and the others go on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord

from fedward.flower import hostile
from tests.flower.strategies import quiet

from .federation import NODES, InProcess, Quadratic, liars, model, vector, weights

DROPPED = {
    "wrong-shape": "wrong-shape",
    "wrong-dtype": "wrong-dtype",
    "wrong-keys": "wrong-keys",
    "nan": "nonfinite",
    "huge": "norm-too-large",
    "garbage": "unreadable",
    "bomb": "wrong-shape",
    "cut": "unreadable",
    "no-metrics": "wrong-records",
    "crash": "error",
}
HARMLESS = ("extra-arrays", "extra-metrics", "extra-metric", "many-examples", "no-examples", "nan-loss")
STATISTICS = ("nan-statistics", "huge-statistics", "negative-variances")  # see test_statistics


def test_every_way_to_break_a_reply_is_tried() -> None:
    assert {*DROPPED, *HARMLESS, *STATISTICS} == set(hostile.WAYS)


@pytest.mark.parametrize(("how", "reason"), DROPPED.items())
def test_a_broken_reply_is_dropped_with_a_reason_and_the_others_go_on(how: str, reason: str) -> None:
    app = Quadratic([hostile.reply_mod(how, liars(2, 5))], spread=0.01).app
    strategy = quiet("sign-guard:cluster=false")
    result = strategy.start(InProcess(app), model(), num_rounds=3)
    for audit in strategy.audits:
        assert [(v.node, v.reason) for v in audit.dropped] == [(NODES[2], reason), (NODES[5], reason)]
        assert result.train_metrics_clientapp[audit.round][f"fedward-dropped-{reason}"] == [NODES[2], NODES[5]]
    assert len(result.train_metrics_clientapp) == 3
    expected = quiet("sign-guard:cluster=false").start(
        InProcess(Quadratic(spread=0.01).app, lost=lambda node, _: node in (NODES[2], NODES[5])), model(), num_rounds=3
    )
    if how == "huge":  # these the rule saw, so the median norm it clips to is another
        assert 0.8 < weights(result.arrays).mean() < 1.2
    else:
        np.testing.assert_allclose(vector(result.arrays), vector(expected.arrays), rtol=1e-6)


@pytest.mark.parametrize("how", HARMLESS)
def test_what_only_metrics_say_changes_nothing(how: str) -> None:
    app = Quadratic([hostile.reply_mod(how, liars(2, 5))], spread=0.01).app
    result = quiet("sign-guard:cluster=false").start(InProcess(app), model(), num_rounds=3)
    expected = quiet("sign-guard:cluster=false").start(InProcess(Quadratic(spread=0.01).app), model(), num_rounds=3)
    np.testing.assert_array_equal(vector(result.arrays), vector(expected.arrays))
    metrics = result.train_metrics_clientapp[3]
    assert 3 <= float(metrics["loss"]) <= 6
    assert "never-heard-of" not in metrics


def test_a_wrappers_prefix_before_every_name_is_what_is_told() -> None:
    def wrap(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if context.node_config["partition-id"] == 2:
            reply.content["arrays"] = ArrayRecord({f"module.{k}": a for k, a in reply.content["arrays"].items()})
        return reply

    strategy = quiet("sign-guard:cluster=false")
    strategy.start(InProcess(Quadratic([wrap], spread=0.01).app), model(), num_rounds=1)
    (verdict,) = strategy.audits[0].dropped
    assert (verdict.node, verdict.reason) == (NODES[2], "wrong-keys")
    assert verdict.detail == "has 'module.' before each name, and the server's model has not"


def test_replies_made_of_anything_never_end_a_run() -> None:
    """Bytes of arrays and records changed at random."""
    generator = np.random.default_rng(0)

    def mangle(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if context.node_config["partition-id"] > 2:
            return reply
        record = reply.content["arrays"]
        for name, array in list(record.items()):
            data = bytearray(array.data)
            for place in generator.integers(0, len(data), generator.integers(0, 4)):
                data[place] = generator.integers(0, 256)
            record[name] = Array(array.dtype, array.shape, array.stype, bytes(data))
        if generator.random() < 0.2:
            reply.content.pop(generator.choice(list(reply.content)))
        if generator.random() < 0.2:
            reply.content["metrics"] = MetricRecord({"loss": [1.0, 2.0], "num-examples": [3]})
        return reply

    strategy = quiet("median")
    with np.errstate(all="ignore"):
        strategy.start(InProcess(Quadratic([mangle]).app), model(), num_rounds=60)
    assert strategy.round == 60
    reasons = {v.reason for audit in strategy.audits for v in audit.dropped}
    assert {"unreadable", "wrong-records"} <= reasons
    honest = set(NODES[3:])
    assert all(honest <= set(audit.kept) for audit in strategy.audits)


def test_nodes_that_answer_twice_or_unasked_do_not_count() -> None:
    class Forging(InProcess):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            messages = list(messages)
            if not messages:
                return []
            twice = [m for m in messages if m.metadata.dst_node_id == NODES[1]]
            unasked = Message(messages[0].content, 1234, "train")
            self.contexts[1234] = self.contexts[NODES[0]]
            return super().send_and_receive([*messages, *twice, unasked], timeout=timeout)

    strategy = quiet("mean")
    strategy.start(Forging(Quadratic().app), model(), num_rounds=1)
    assert [(v.node, v.reason) for v in strategy.audits[0].dropped] == [(1234, "not-asked"), (NODES[1], "second-reply")]


def test_the_error_that_stands_for_a_dead_node_comes_under_another_id() -> None:
    class Dying(InProcess):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            messages = list(messages)
            replies = super().send_and_receive(messages, timeout=timeout)
            nobody = [Message(m.content, 1, "train") for m in messages if m.metadata.dst_node_id == NODES[3]]
            return [*replies, *(Message(Error(code=3, reason="unavailable"), reply_to=m) for m in nobody)]

    strategy = quiet("mean")
    grid = Dying(Quadratic().app, lost=lambda node, _: node == NODES[3])
    strategy.start(grid, model(), num_rounds=1)
    assert [(v.node, v.reason) for v in strategy.audits[0].dropped] == [(NODES[3], "missing")]


def test_text_of_a_node_cannot_break_the_log() -> None:
    strategy = quiet("mean")
    strategy.start(InProcess(Quadratic([hostile.reply_mod("crash", liars(0))]).app), model(), num_rounds=1)
    (dropped,) = strategy.audits[0].dropped
    assert dropped.detail == "code 1: this node sends nothing\\nbut an error"
