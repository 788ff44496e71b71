"""The paper's adversary: byzantine clients together, who know all gradients of the round."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Message, RecordDict

from fedward import Context
from fedward.attacks import Attack, View
from fedward.stack import Dense, materialise


class Omniscient:
    """A grid around Flower's whose byzantine clients send what an attack makes of everybody's gradients.

    A real attacker has a node each and knows less; papers grant them this, and so does the table.

    Args:
        grid: Flower's.
        attack: what they do together.
        byzantine: clients with ``partition-id`` below this.
        lr: a client's update is -lr times its gradient, and attacks are on gradients.
        seed: of an attack's random choices.
    """

    def __init__(self, grid: Any, attack: Attack, byzantine: int, lr: float, seed: int = 0) -> None:
        self._grid = grid
        self.attack, self.byzantine, self.lr, self.seed = attack, byzantine, lr, seed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send them, and exchange the replies of byzantine clients to training."""
        sent = list(messages)
        replies = list(self._grid.send_and_receive(sent, timeout=timeout))
        if not (sent and self.byzantine and sent[0].metadata.message_type == "train"):
            return replies
        arrays = {name: array.numpy() for name, array in sent[0].content["arrays"].items()}
        # Running statistics and counters of BatchNorm are no gradients.
        model = {name: v for name, v in arrays.items() if v.dtype.kind == "f" and "running_" not in name}
        number = int(sent[0].content["config"]["server-round"])
        answered = sorted((r for r in replies if r.has_content()), key=_partition)
        ours = [reply for reply in answered if _partition(reply) < self.byzantine]
        honest = [reply for reply in answered if _partition(reply) >= self.byzantine]
        if not (ours and honest):
            return replies
        view = View(
            honest=Dense(self._gradients(honest, model)),
            own=Dense(self._gradients(ours, model)),
            context=Context(round=number - 1, seed=self.seed),
        )
        rows = materialise(self.attack.forged(view)).numpy()
        forged = {id(reply): self._carrying(reply, model, row) for reply, row in zip(ours, rows, strict=True)}
        return [forged.get(id(reply), reply) for reply in replies]

    def _gradients(self, replies: list[Message], model: Mapping[str, np.ndarray]) -> torch.Tensor:
        rows = [
            np.concatenate([(r.content["arrays"][name].numpy() - value).reshape(-1) for name, value in model.items()])
            for r in replies
        ]
        return torch.from_numpy(np.stack(rows)) / -self.lr

    def _carrying(self, reply: Message, model: Mapping[str, np.ndarray], row: np.ndarray) -> Message:
        """The reply with another gradient."""
        edges = np.cumsum([value.size for value in model.values()])[:-1]
        arrays = {
            name: Array((value - self.lr * part.reshape(value.shape)).astype(value.dtype))
            for (name, value), part in zip(model.items(), np.split(row, edges), strict=True)
        }
        other = copy.copy(reply)
        whole = ArrayRecord({**reply.content["arrays"], **arrays})
        other.content = RecordDict({**reply.content, "arrays": whole})
        return other


def _partition(reply: Message) -> int:
    return int(reply.content["metrics"]["partition-id"])
