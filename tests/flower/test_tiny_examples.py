"""A node that claims next to no examples, and that a rule keeps alone, costs nobody the round."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedward.flower import RobustFedAvg
from fedward.flower.testing import InProcess

NODES = [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("claimed", [5e-324, 1e-320, 1e-300, 2.0**-53, 2.0**53])
@pytest.mark.parametrize("rule", ["krum:f=1", "mean"])
def test_the_model_moves_as_the_others_say(rule: str, claimed: float) -> None:
    arrays = ArrayRecord({"a": Array(np.zeros(3, np.float32))})
    settings = {"fraction_train": 1.0, "fraction_evaluate": 1.0, "min_available_nodes": len(NODES)}
    strategy = RobustFedAvg(rule=rule, trust_examples=True, **settings)  # type: ignore[arg-type]
    replies = []
    for request in strategy.configure_train(1, arrays, ConfigRecord(), InProcess(None, NODES)):  # type: ignore[arg-type]
        examples = claimed if request.metadata.dst_node_id == 1 else 10
        sent = {"a": Array(np.ones(3, np.float32))}
        metrics = MetricRecord({"num-examples": examples, "loss": 0.5})
        replies.append(Message(RecordDict({"arrays": ArrayRecord(sent), "metrics": metrics}), reply_to=request))
    replies.sort(key=lambda reply: reply.metadata.src_node_id)  # of equals Krum keeps the first: the one who lies
    made, said = strategy.aggregate_train(1, replies)
    assert made is not None
    assert said is not None
    np.testing.assert_allclose(made["a"].numpy(), 1, rtol=1e-6)
    assert said["loss"] == pytest.approx(0.5)
    assert ("fedward-dropped-wrong-examples" in said) == (claimed < 2.0**-53)
