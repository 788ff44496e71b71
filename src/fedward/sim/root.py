"""The server's own data in a simulation."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..clients import Client, Gradient, Shard, Task
from ..clients.tally import Tally
from ..core import Context, rows_of
from ..data.dataset import FederatedData, Split
from ..stack import Updates
from .backends import Backend


def root_split(train: Split, samples: int, context: Context) -> Split:
    """Some samples of the training data, drawn by the context's seed.

    Raises:
        ValueError: fewer than one sample, or more than there are.
    """
    drawn = _drawn(len(train), samples, context)
    return Split(inputs=train.inputs[drawn], labels=train.labels[drawn])


def without_root(data: FederatedData, samples: int, context: Context) -> FederatedData:
    """The data without the samples of `root_split`, which no client trains on.

    Raises:
        ValueError: as `root_split`, or a client held nothing else.
    """
    total = len(data.dataset.train)
    kept = torch.ones(total, dtype=torch.bool)
    kept[_drawn(total, samples, context)] = False
    shards = tuple(shard[kept[shard]] for shard in data.shards)
    for client, shard in enumerate(shards):
        if len(shard) == 0:
            raise ValueError(
                f"root_apart takes the server's {samples} samples out of the clients' data, and leaves client {client} "
                f"none of its {len(data.shards[client])}: use a smaller root or fewer clients"
            )
    return replace(data, shards=shards)


def _drawn(total: int, samples: int, context: Context) -> Tensor:
    """Which of all training samples the server has."""
    if not 1 <= samples <= total:
        raise ValueError(f"root counts samples of the server's own, 1 to {total}, got {samples}")
    return torch.randperm(total, generator=context.generator("root data"))[:samples]


class BackendEvaluator:
    """An evaluator at the server's current parameters; a gradient g leads to w - lr g, a delta to w + lr delta.

    Args:
        backend, clients: of the simulation; `update` is what such a client makes of the server's samples.
        split: the server's samples.
        parameters, buffers: the server's model, (d,) and (b,).
        lr: the server's learning rate in this round.
        round: that the clients' learning rates go by, 0 the first.
        seed: of the order of samples, and of what is random in the model.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        clients: Client,
        split: Split,
        parameters: Tensor,
        lr: float,
        round: int,
        seed: int,
        buffers: Tensor | None = None,
    ) -> None:
        self.backend = backend
        self.clients = clients
        self.split = split
        self.parameters = parameters
        self.buffers = buffers
        self.round = round
        self.seed = seed
        self.step = lr if clients.traits().sends == "delta" else -lr

    def update(self) -> Tensor:
        """See `fedward.Evaluator.update`."""
        row = torch.zeros_like(self.parameters)[None]
        fresh = self.clients.fresh()
        algorithm = Gradient(batch_size=len(self.split)) if fresh.traits().sends == "gradient" else fresh
        shard = Shard(self.split.inputs, self.split.labels, device=self.parameters.device)
        task = Task(
            client="server",
            parameters=self.parameters,
            shard=shard,
            context=Context(seed=self.seed),  # its samples in a fresh order, from the first
            buffers=self.buffers,
            schedule_round=self.round,
        )
        self.backend.messages(algorithm, [task], row)
        return row[0]

    def losses(self, steps: Updates) -> Tensor:
        """See `fedward.Evaluator.losses`."""
        return torch.tensor([tally.loss for tally in self._try(steps)], dtype=torch.float64)

    def error_rates(self, steps: Updates) -> Tensor:
        """See `fedward.Evaluator.error_rates`."""
        return torch.tensor([1 - tally.accuracy for tally in self._try(steps)], dtype=torch.float64)

    def _try(self, steps: Updates) -> list[Tally]:
        moved = (self.parameters.add(row.to(self.parameters), alpha=self.step) for row in rows_of(steps))
        return [self.backend.evaluate(parameters, self.split, self.buffers) for parameters in moved]
