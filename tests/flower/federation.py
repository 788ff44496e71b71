"""A federation in one process: a grid that hands messages to a real ClientApp and brings back what it says."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from fedward import sim

NODES = [9_000_000_000_000_000_000 + 7 * k for k in range(10)]  # as large as Flower's, where floats are too coarse


class InProcess(Grid):
    """Nodes that are a ClientApp each, in this process. ``lost`` says which replies never arrive."""

    def __init__(
        self,
        app: ClientApp | Callable[[int], ClientApp],
        nodes: Iterable[int] = NODES,
        lost: Callable[[int, int], bool] = lambda node, round: False,
        shuffle: int | None = None,
    ) -> None:
        self.nodes, self.lost, self.shuffle = list(nodes), lost, shuffle
        self.apps = {node: app if isinstance(app, ClientApp) else app(node) for node in self.nodes}
        self.contexts = {node: self.context(node, k) for k, node in enumerate(self.nodes)}
        self.sent: list[Message] = []
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1  # who this process is

    @staticmethod
    def context(node: int, partition: int) -> Context:
        return Context(1, node, {"partition-id": partition}, RecordDict(), {})

    def restart(self, node: int) -> None:
        self.contexts[node] = self.context(node, self.contexts[node].node_config["partition-id"])

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        replies = []
        for message in messages:
            self.sent.append(message)
            reply = self._reply(copy.deepcopy(message))  # over the wire, nobody shares memory
            if reply is not None:
                replies.append(reply)
        if self.shuffle is not None:
            order = np.random.default_rng(self.shuffle).permutation(len(replies))
            replies = [replies[i] for i in order]
        return replies

    def _reply(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        config = next(iter(message.content.config_records.values()))
        if self.lost(node, int(config["server-round"])):
            return None
        try:
            reply = self.apps[node](message, self.contexts[node])
        except Exception as error:
            return Message(Error(code=1, reason=str(error)), reply_to=message)
        return copy.deepcopy(reply)

    def get_node_ids(self) -> list[int]:
        return list(self.nodes)

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        raise NotImplementedError


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
