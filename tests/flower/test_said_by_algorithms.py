"""What a client algorithm says travels as it is said, fractions too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from flwr.app import Message

from fedward import clients
from fedward.clients import Answer, LocalModel, Task
from fedward.flower import RobustFedAvg

from .federation import arrays_of
from .test_algorithms import nodes, plain, prepared


@dataclass(frozen=True, kw_only=True)
class Telling(clients.LocalSGD):
    """Local SGD that says how sure it is."""

    def work(self, model: LocalModel, task: Task) -> Answer:
        answer = super().work(model, task)
        return replace(answer, messages={**answer.messages, "sure": 0.75, "honest": True, "many": 3})


def test_fractions_are_not_cut_off() -> None:
    heard: list[dict[str, Any]] = []

    class Listening(RobustFedAvg):
        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            messages: list[Message] = list(replies)
            heard.extend(dict(message.content["metrics"]) for message in messages)
            return super().aggregate_train(server_round, messages)

    grid = nodes(Telling(steps=1, batch_size=5, lr=0.1), prepared(plain))
    Listening(rule="median", fraction_evaluate=0.0).start(grid, arrays_of(plain().state_dict()), num_rounds=1)
    assert [(said["sure"], said["honest"], said["many"]) for said in heard] == [(0.75, 1, 3)] * len(grid.nodes)
    assert heard
