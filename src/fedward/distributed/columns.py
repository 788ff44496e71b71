"""`Columns`: what `Peers` hold of a stack, each some of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from ..stack import ColumnShare
from .peers import PeerError, Peers

# How far weights may be apart, in parts of the largest: processors of different kinds round differently.
_APART = 1e-9


class Columns(ColumnShare):
    """Some of d columns, and by the same token those of the other processes, in the order of their places.

    Args:
        peers: the processes.
        widths: how many columns each holds.
    """

    alone = False

    def __init__(self, peers: Peers, widths: Sequence[int]) -> None:
        before = sum(widths[: peers.place])
        super().__init__(sum(widths), first=before, width=widths[peers.place])
        self.peers = peers
        self.widths = tuple(widths)

    def total(self, *sums: Tensor) -> tuple[Tensor, ...]:
        flat = torch.cat([part.reshape(-1).double().cpu() for part in sums])
        pieces = torch.split(self.peers.total(flat), [part.numel() for part in sums])
        return tuple(piece.reshape(part.shape) for piece, part in zip(pieces, sums, strict=True))

    def joined(self, values: Tensor) -> Tensor:
        if values.ndim == 1:
            return torch.cat(self.peers.gathered(values))
        # Column by column, so that one piece after the other is one column after the other.
        pieces = torch.cat(self.peers.gathered(values.T.reshape(-1)))
        return pieces.reshape(-1, len(values)).T.contiguous()

    def part(self, row: Tensor) -> Tensor:
        if row.shape != (self.d,):
            raise ValueError(f"a row of the whole has {self.d} columns, got shape {tuple(row.shape)}")
        return row[self.first : self.first + self.width].clone()

    def norm(self, row: Tensor) -> Tensor:
        return self.total(row.double().norm().square())[0].sqrt()

    def agree(self, decided: Tensor) -> None:
        """Raise if processes decided differently.

        Raises:
            PeerError: on all of them.
        """
        everybody = self.peers.gathered(decided)
        first, *others = everybody
        for place, other in enumerate(others, 1):
            if len(other) != len(first) or bool(((other - first).abs() > _APART * first.abs().amax()).any()):
                raise PeerError(
                    f"rank {place} decided otherwise than rank 0: each process needs the same rule, seed, memory and "
                    "messages"
                )

    def together(self) -> AbstractContextManager[None]:
        return self.peers.together()
