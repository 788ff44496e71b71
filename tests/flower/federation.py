"""Models and client apps that the tests make federations of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedward import sim
from fedward.flower.testing import InProcess as Nodes

NODES = [9_000_000_000_000_000_000 + 7 * k for k in range(10)]  # as large as Flower's, where floats are too coarse


class InProcess(Nodes):
    """Ten nodes, if not said otherwise."""

    def __init__(self, app: Any, nodes: list[int] = NODES, **arguments: Any) -> None:
        super().__init__(app, nodes, **arguments)


def arrays_of(state: dict[str, torch.Tensor]) -> ArrayRecord:
    return ArrayRecord({name: Array(tensor.numpy()) for name, tensor in state.items()})


def model(**extra: np.ndarray) -> ArrayRecord:
    """Two layers and what BatchNorm keeps."""
    arrays = {
        "a.weight": np.zeros((3, 4), np.float32),
        "a.running_mean": np.zeros(4, np.float32),
        "a.running_var": np.ones(4, np.float32),
        "a.num_batches_tracked": np.array(7, np.int64),
        "b.bias": np.zeros(5, np.float32),
    }
    return ArrayRecord({name: Array(array) for name, array in {**arrays, **extra}.items()})


def floats() -> ArrayRecord:
    """The same without the counter, of which Flower's mean makes a float."""
    return ArrayRecord({name: array for name, array in model().items() if array.numpy().dtype.kind == "f"})


def vector(record: ArrayRecord) -> np.ndarray:
    """All floating-point entries."""
    arrays = [array.numpy() for array in record.values()]
    return np.concatenate([array.reshape(-1) for array in arrays if array.dtype.kind == "f"])


def weights(record: ArrayRecord) -> np.ndarray:
    """What a rule weighs: without the running statistics."""
    return vector(ArrayRecord({name: array for name, array in record.items() if "running" not in name}))


def running(record: ArrayRecord) -> np.ndarray:
    """The running statistics."""
    return vector(ArrayRecord({name: array for name, array in record.items() if "running" in name}))


def liars(*partitions: int) -> Callable[[Context], bool]:
    return lambda context: context.node_config["partition-id"] in partitions


class Quadratic:
    """A client app without data: node k moves all weights towards its own target, and says so."""

    def __init__(self, mods: list[Any] | None = None, step: float = 0.5, spread: float = 0.1) -> None:
        self.app = ClientApp(mods=mods)
        self.step, self.spread = step, spread
        self.app.train()(self.train)
        self.app.evaluate()(self.evaluate)

    def target(self, partition: int) -> float:
        return 1.0 + self.spread * partition

    def train(self, message: Message, context: Context) -> Message:
        partition = int(context.node_config["partition-id"])
        moved = {}
        for name, array in message.content["arrays"].items():
            values = array.numpy()
            if values.dtype.kind == "f":
                values = (values + self.step * (self.target(partition) - values)).astype(values.dtype)
            else:
                values = values + 100 + partition
            moved[name] = Array(np.asarray(values))
        metrics = MetricRecord({"num-examples": 10 + partition, "loss": float(partition)})
        return Message(RecordDict({"arrays": ArrayRecord(moved), "metrics": metrics}), reply_to=message)

    def evaluate(self, message: Message, context: Context) -> Message:
        partition = int(context.node_config["partition-id"])
        metrics = MetricRecord({"num-examples": 10 + partition, "accuracy": partition / 10})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)


class Images:
    """A linear model on the packaged images, a shard a node."""

    def __init__(self, mods: list[Any] | None = None, clients: int = 10, lr: float = 0.05) -> None:
        self.data = sim.federate(sim.load("fashion-mnist-subset"), clients=clients)
        self.lr = lr
        self.app = ClientApp(mods=mods)
        self.app.train()(self.train)

    @staticmethod
    def model() -> torch.nn.Module:
        torch.manual_seed(0)
        return sim.build_model("linear")

    def train(self, message: Message, context: Context) -> Message:
        shard = self.data.shards[int(context.node_config["partition-id"])]
        inputs, labels = self.data.dataset.train.inputs[shard], self.data.dataset.train.labels[shard]
        model = self.model()
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        optimiser = torch.optim.SGD(model.parameters(), lr=self.lr)
        round = int(message.content["config"]["server-round"])
        order = torch.randperm(len(shard), generator=torch.Generator().manual_seed(round))
        loss = torch.tensor(0.0)
        for batch in order.split(100):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs[batch]), labels[batch])
            loss.backward()
            optimiser.step()
        metrics = MetricRecord({"num-examples": len(shard), "loss": float(loss.detach())})
        arrays = ArrayRecord(model.state_dict())
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    def accuracy(self, number: int, arrays: ArrayRecord) -> MetricRecord:
        model = self.model()
        model.load_state_dict(arrays.to_torch_state_dict())
        test = self.data.dataset.test
        with torch.inference_mode():
            return MetricRecord({"accuracy": float((model(test.inputs).argmax(1) == test.labels).float().mean())})
