"""`Checkpoints`: rows in clients' files of any format, read where they lie."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..stack import Layout, RowsLostError
from ..stack.ahead import ReadAhead
from ..stack.entries import Flat
from ..stack.filerows import FileRow, Stretch, nothing
from ..stack.reference import Agreed
from ..stack.sources import RowSource, Types
from .formats import CHANGED, Contents

# Entries of a tensor that are looked at together.
_AT_A_TIME = 1 << 20


class Checkpoints(RowSource):
    """A stack of clients' models in files, one row each.

    A file that changes while it is read is a verdict on its client: the row is lost, as `fedward.stack.Files` has it.
    A client whose running statistics have NaN or Inf is read as a row of NaN: such a model is none.

    Args:
        contents: of the files, by client.
        agreed: what clients agree on, with the values of what has no columns (`fedward.stack.running.held_aside`).
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
        read_as = types.read_as
        self._rows = [
            FileRow([_stretch(c, tensors[name], columns) for name, columns in layout.slices()], read_as)
            for c, tensors in zip(held, agreed.tensors, strict=True)
        ]
        self.layout, self.agreed = layout, agreed
        self._sent = [*self._rows]
        for client in agreed.spoiled:
            self._rows[agreed.clients.index(client)] = nothing(self.d, read_as)
        self._ahead = ReadAhead(self._rows, layout.d)
        self._lost: set[int] = set()

    @property
    def dear(self) -> bool:
        return self._ahead.worth(self.n)

    @property
    def lost(self) -> Mapping[Hashable, str]:
        return {self.ids[row]: CHANGED for row in sorted(self._lost)}

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        wanted = list(range(self.n)) if rows is None else rows.tolist()
        self._entries_read += (stop - start) * len(wanted)
        block = torch.empty(len(wanted), stop - start, dtype=self._read_as)
        failed = self._ahead.fill(block.numpy(), start, stop, wanted)
        if failed:
            self._lose([wanted[k] for k in failed])
        return block

    def _lose(self, rows: Sequence[int]) -> None:
        """Give up rows, and tell it."""
        for row in rows:
            self._lost.add(row)
            self._rows[row] = nothing(self.d, self._read_as)
        names = ", ".join(str(self.ids[row]) for row in rows[:5])
        raise RowsLostError(f"{names}: {CHANGED}; leave these clients out", self, rows)

    def sent_finite(self, row: int) -> bool:
        return row not in self._lost and not self.nonfinite(row)

    def nonfinite(self, row: int) -> list[str]:
        """Names of a client's tensors with NaN or Inf, or that cannot be read any more."""
        assert self.layout is not None
        assert self.agreed is not None
        columns = [name for name, columns in self.layout.slices() if not self._finite_in(row, columns)]
        return [*columns, *self.agreed.spoiled.get(self.ids[row], ())]

    def _finite_in(self, row: int, columns: slice) -> bool:
        wide = self._sent[row].wide()  # as it was sent: what float32 has no number for is finite
        out = np.empty(min(_AT_A_TIME, columns.stop - columns.start))
        for start in range(columns.start, columns.stop, _AT_A_TIME):
            part = out[: min(start + _AT_A_TIME, columns.stop) - start]
            if not wide.fill(part, start, start + len(part)) or not bool(np.isfinite(part).all()):
                return False
        return True


def _stretch(contents: Contents, tensor: Tensor, columns: slice) -> Stretch:
    place = contents.where(tensor)
    if place is None:
        return Stretch(start=columns.start, stop=columns.stop, dtype=tensor.dtype, source=Flat(tensor))
    file, lying = place
    return Stretch(start=columns.start, stop=columns.stop, dtype=lying.dtype, source=file, place=lying.start)
