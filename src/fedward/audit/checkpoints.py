"""`Checkpoints`: rows in clients' files of any format, read where they lie."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from ..stack import Layout, RowsLostError
from ..stack.entries import Flat
from ..stack.reference import Agreed
from ..stack.sources import RowSource, Types
from ..stack.tensorfile import Lying, TensorFile
from .formats import CHANGED, Contents

# Entries of a tensor that are looked at together.
_AT_A_TIME = 1 << 20


@dataclass(frozen=True, kw_only=True)
class _InFile:
    """A tensor as a row in a file, of which a range of entries can be had while the file is what it was."""

    file: TensorFile
    lying: Lying

    def part(self, start: int, stop: int) -> Tensor | None:
        size = self.lying.dtype.itemsize
        held = bytearray((stop - start) * size)
        if not held:
            return torch.empty(0, dtype=self.lying.dtype)
        if not self.file.read_into(held, self.lying.start + start * size):
            return None
        return torch.frombuffer(held, dtype=self.lying.dtype)


class Checkpoints(RowSource):
    """A stack of clients' models in files, one row each.

    A file that changes while it is read is a verdict on its client: the row is lost, as `fedward.stack.Files` has it.

    Args:
        contents: of the files, by client.
        agreed: what clients agree on.
        layout: where tensors lie in a row.
        block: columns at a time; as many as suit the cache if None.
    """

    def __init__(
        self, contents: Mapping[Hashable, Contents], agreed: Agreed, layout: Layout, block: int | None = None
    ) -> None:
        types = Types.of(agreed, layout.names)
        super().__init__(
            n=len(agreed.clients),
            d=layout.d,
            dtype=types.dtype,
            device=torch.device("cpu"),
            ids=agreed.clients,
            block=block,
        )
        self._read_as = types.read_as
        held = [contents[name] for name in agreed.clients]
        self._rows = [
            [_piece(c, tensors[name]) for name in layout.names] for c, tensors in zip(held, agreed.tensors, strict=True)
        ]
        self._edges = [0, *(columns.stop for _, columns in layout.slices())]
        self._lost: set[int] = set()
        self.layout = layout
        # What has no columns is little, and is held.
        aside = (*layout.buffers, *layout.counters)
        self.agreed = replace(
            agreed,
            tensors=[
                {**tensors, **{name: c.values(tensors[name]) for name in aside}}
                for c, tensors in zip(held, agreed.tensors, strict=True)
            ],
        )

    @property
    def lost(self) -> Mapping[Hashable, str]:
        return {self.ids[row]: CHANGED for row in sorted(self._lost)}

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        wanted = list(range(self.n)) if rows is None else rows.tolist()
        self._entries_read += (stop - start) * len(wanted)
        block = torch.empty(len(wanted), stop - start, dtype=self._read_as)
        lost = [row for out, row in zip(block, wanted, strict=True) if not self._fill(out, row, start, stop)]
        if new := [row for row in lost if row not in self._lost]:
            self._lost.update(new)
            names = ", ".join(str(self.ids[row]) for row in new[:5])
            raise RowsLostError(f"{names}: {CHANGED}; leave these clients out", self, new)
        return block

    def _fill(self, out: Tensor, row: int, start: int, stop: int) -> bool:
        """Columns of one row; NaN, and False, if it is lost."""
        if row in self._lost:
            out.fill_(torch.nan)
            return False
        for piece, (a, b) in zip(self._rows[row], pairwise(self._edges), strict=True):
            if a >= stop or b <= start:
                continue
            part = piece.part(max(start - a, 0), min(stop, b) - a)
            if part is None:
                return False
            out[max(a - start, 0) : min(b, stop) - start] = part
        return True

    def sent_finite(self, row: int) -> bool:
        return row not in self._lost and not self.nonfinite(row)

    def nonfinite(self, row: int) -> list[str]:
        """Names of a client's tensors with NaN or Inf, or that cannot be read any more."""
        assert self.layout is not None
        return [
            name
            for name, piece, (a, b) in zip(self.layout.names, self._rows[row], pairwise(self._edges), strict=True)
            if not all(_is_finite(piece.part(at, min(at + _AT_A_TIME, b - a))) for at in range(0, b - a, _AT_A_TIME))
        ]


def _piece(contents: Contents, tensor: Tensor) -> _InFile | Flat:
    place = contents.where(tensor)
    return Flat(tensor) if place is None else _InFile(file=place[0], lying=place[1])


def _is_finite(part: Tensor | None) -> bool:
    return part is not None and bool(part.float().isfinite().all() if part.itemsize < 4 else part.isfinite().all())
