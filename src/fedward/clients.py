"""Client algorithms: what an honest client computes and sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .rule import Context


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """One gradient of the cross-entropy on one mini-batch, at the server's parameters.

    Each client walks through its own shard in a fresh random order every epoch; a last batch that would be short is
    left out, and a shard smaller than a batch is one batch.

    Args:
        batch_size: samples in a batch, at least 1.

    Raises:
        ValueError: batch_size below 1.
    """

    batch_size: int = 60

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size >= 1 is needed, got {self.batch_size}")

    def message(self, model: nn.Module, inputs: Tensor, labels: Tensor, row: Tensor) -> float:
        """Write what the client sends into ``row``, (d,), and return its loss; the model stays as it is."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        loss = nn.functional.cross_entropy(model(inputs), labels)
        gradients = torch.autograd.grad(loss, parameters)
        start = 0
        for gradient in gradients:
            row[start : start + gradient.numel()].view(gradient.shape).copy_(gradient)
            start += gradient.numel()
        return float(loss.detach())


class Sampler:
    """Which samples each client uses in each round: a function of seed, client and round alone."""

    def __init__(self, shards: Sequence[Tensor], batch_size: int, seed: int) -> None:
        self.shards, self.batch_size, self.seed = shards, batch_size, seed
        self._orders: dict[int, tuple[int, Tensor]] = {}  # client -> (epoch, its order), to shuffle once an epoch

    def batch(self, client: int, round: int) -> Tensor:
        """Sample numbers of the client's batch in this round: int64."""
        size = len(self.shards[client])
        batches = max(size // self.batch_size, 1)
        epoch, place = divmod(round, batches)
        if self._orders.get(client, (-1,))[0] != epoch:
            generator = Context(round=epoch, seed=self.seed).generator(f"batches of client {client}")
            self._orders[client] = epoch, self.shards[client][torch.randperm(size, generator=generator)]
        order = self._orders[client][1]
        return order[place * self.batch_size : (place + 1) * self.batch_size]
