"""A federation in one process, to try a strategy and a client app together in seconds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from flwr.app import Context, Error, Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity


class InProcess(Grid):
    """A grid that hands messages to a real ClientApp, node by node, and brings back what it says.

    ``strategy.start(InProcess(app, nodes=range(10)), arrays, num_rounds=3)``. Node k of the sequence has k as its
    ``partition-id``. An app that raises answers with an error, as Flower's nodes do.

    Args:
        app: what every node runs.
        nodes: their ids.
        run_config: the app's configuration.
        lost: whether the reply of a node never arrives, by node id and round.
        shuffle: seed of the order in which replies arrive; the order of the messages if None.
    """

    def __init__(
        self,
        app: ClientApp,
        nodes: Sequence[int],
        *,
        run_config: Mapping[str, Any] | None = None,
        lost: Callable[[int, int], bool] = lambda node, round: False,
        shuffle: int | None = None,
    ) -> None:
        self.app = app
        self.nodes = list(nodes)
        self.lost = lost
        self.shuffle = shuffle
        self.run_config = dict(run_config or {})
        self.contexts: dict[int, Context] = {}
        for node in self.nodes:
            self.restart(node)
        # A message says who sends it.
        TaskIdentity.run_id = 1
        TaskIdentity.node_id = 1
        TaskIdentity.task_id = 1

    def restart(self, node: int) -> None:
        """Let a node forget what it remembers."""
        config: UserConfig = {"partition-id": self.nodes.index(node), "num-partitions": len(self.nodes)}
        self.contexts[node] = Context(
            run_id=1, node_id=node, node_config=config, state=RecordDict(), run_config=self.run_config
        )

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Let every node that is sent a message answer it, one after the other."""
        replies = [reply for message in messages if (reply := self._reply(copy.deepcopy(message))) is not None]
        if self.shuffle is not None:
            order = np.random.default_rng(self.shuffle).permutation(len(replies))
            replies = [replies[i] for i in order]
        return replies

    def _reply(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        config = next(iter(message.content.config_records.values()), None)
        number = 0 if config is None else config.get("server-round", 0)
        if self.lost(node, number if isinstance(number, int) else 0):
            return None
        try:
            reply = self.app(message, self.contexts[node])
        except Exception as error:  # an app may raise anything; its node says so
            return Message(Error(code=1, reason=str(error)), reply_to=message)
        return copy.deepcopy(reply)  # over the wire, nobody shares memory

    def get_node_ids(self) -> list[int]:
        """All nodes."""
        return list(self.nodes)

    def set_run(self, run: Any) -> None:
        """There is no run beside the strategy's."""

    @property
    def run(self) -> Any:
        """Its id, which apps of Flower's older API ask for; there is no run beside the strategy's."""
        return SimpleNamespace(run_id=1)

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        """Not in one process: make a `Message`."""
        raise NotImplementedError("make a flwr.app.Message instead")

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Not in one process: use `send_and_receive`."""
        raise NotImplementedError("use send_and_receive instead")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Not in one process: use `send_and_receive`."""
        raise NotImplementedError("use send_and_receive instead")
