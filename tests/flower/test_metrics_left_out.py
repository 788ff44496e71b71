"""What half of the nodes or fewer say of themselves is left out, and that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message
from flwr.serverapp.strategy import FedAvg

from fedward.flower import Robust, RobustFedAvg

from .federation import InProcess, Quadratic, model


def test_a_metric_of_half_of_the_nodes_is_left_out_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """And a node that makes up new ones in every round does not fill the log with them."""

    def tell(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        place, number = context.node_config["partition-id"], int(message.content["config"]["server-round"])
        metrics = reply.content["metrics"]
        if int(place) < 5:
            metrics["f1"] = 0.5
        if int(place) == 0:
            metrics.update({f"made-up-{number}-{k}\x1b[31m": 1.0 for k in range(15)})
        metrics["lost"] = float("nan")
        return reply

    strategy = RobustFedAvg(rule="mean", fraction_evaluate=0.0)
    result = strategy.start(InProcess(Quadratic([tell]).app), model(), num_rounds=3)
    assert "loss" in result.train_metrics_clientapp[3]
    assert "f1" not in result.train_metrics_clientapp[3]
    said = [record.getMessage() for record in caplog.records if "is left out" in record.getMessage()]
    assert sum(text.startswith("the metric f1 is left out: 5 of 10 nodes sent it") for text in said) == 1
    assert sum(text.startswith("the metric lost is left out: 0 of 10") for text in said) == 1
    assert len(said) == 20
    assert not any("\x1b" in text for text in said)


@pytest.mark.parametrize("cls", [RobustFedAvg, Robust])
def test_verdicts_can_be_left_out_of_the_metrics(cls: Any, tmp_path: Path) -> None:
    """Flower writes them all to its log."""
    around = {"strategy": FedAvg(fraction_evaluate=0.0)} if cls is Robust else {"fraction_evaluate": 0.0}
    file = tmp_path / "audit.jsonl"
    strategy = cls(rule="sign-guard", audit=file, verdict_metrics=False, **around)
    result = strategy.start(InProcess(Quadratic().app), model(), num_rounds=1)
    assert set(result.train_metrics_clientapp[1]) == {"loss", "fedward-skipped"}
    assert [node.weight is not None for node in strategy.audits[0].judged] == [True] * 10
    assert "scores" in file.read_text()
    with pytest.raises(ValueError, match="verdict_metrics"):
        cls(rule="median", verdict_metrics="no", **around)
