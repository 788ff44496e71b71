"""Clients that train on images which are cropped and flipped anew in every batch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..registry.bounds import Natural
from ..registry.component import components_within
from ..registry.entries import register
from ..training.augment import draw_moves, moved
from .base import Answer, Client, Prepare, Samples, Shard, Task, WithInner
from .local import Gradient
from .model import LocalModel


@register("augment", example={"inner": Gradient(batch_size=60)})
@dataclass(frozen=True, kw_only=True)
class Augment(WithInner):
    """Train another way on images that are moved by up to some pixels and mirrored or not, drawn anew in every batch.

    What becomes of a batch is a function of the seed, the client, the round and which samples are in it. Byzantine
    clients' attacks on data see the images as they are trained on. The test set stays as it is.

    Args:
        inner: how it trains.
        crop: pixels that an image is moved by at most, black where it leaves.
        flip: whether images are mirrored from left to right, with probability 1/2.

    Raises:
        ValueError: crop negative, an inner algorithm that tests on samples of its own (augment within that), or one
            that augments already.
    """

    inner: Client
    crop: Natural = 4
    flip: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inner.traits().talks:
            raise ValueError(
                f"{self.inner!r} tests on samples of its own, which stay as they are: put augment in its place within"
            )
        if any(isinstance(part, Augment) for part in components_within(self.inner)):
            raise ValueError(f"{self.inner!r} moves and mirrors images already: augment once")

    def epochs_per_round(self, shard: Shard) -> float | None:
        return self.inner.epochs_per_round(shard)

    def row_of(self, answer: Answer, group: int) -> Tensor | None:
        return self.inner.row_of(answer, group)

    def asks(self, task: Task) -> Sequence[Samples] | None:
        return self.inner.asks(self._within(task))

    def answer(self, task: Task, gradients: Sequence[Tensor], losses: Sequence[float | Tensor]) -> Answer:
        return self.inner.answer(self._within(task), gradients, losses)

    def work(self, model: LocalModel, task: Task) -> Answer:
        return self.inner.work(model, self._within(task))

    def _within(self, task: Task) -> Task:
        seed = task.context.draw_seed(f"images of client {task.client}")

        def draw(places: Tensor) -> Tensor:
            # Not one stream after another: who is asked for which batch first must not matter.
            which = zlib.crc32(places.cpu().numpy().tobytes())
            return draw_moves(len(places), torch.Generator().manual_seed(seed ^ which), self.crop, self.flip)

        return replace(task, shard=task.shard.prepared(Prepare(draw=draw, apply=self._moved)))

    def _moved(self, images: Tensor, moves: Tensor) -> Tensor:
        return moved(images, moves, self.crop)
