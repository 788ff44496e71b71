"""Where rows come from: one tensor (`Dense`), or separate tensors per client and layer (`Layers`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .blocks import at_least_float32
from .entries import Flat, middle_dtype, widest
from .kernels import weighted_sum
from .layout import Layout, remedy
from .loops import BLOCKS, side_by_side
from .madeof import rows_made_of
from .reference import LAYERS, ROW, WHOLE, Agreed, Ids, Sent, agree, client_names, read_entries
from .shares import ColumnShare
from .stats import Statistic
from .updates import Parts, Updates, View

# Entries of a block: 4 MiB in float64 stays in a core's L2 cache together with what statistics make of it.
BLOCK_ENTRIES = 1 << 19
BLOCK_ENTRIES_CUDA = 1 << 26


class RowSource(Updates):
    """A stack with rows of its own. If they are in tensors, it may watch these.

    A new kind defines `read`, which counts what it reads in ``_entries_read``.
    """

    def __init__(
        self,
        *,
        n: int,
        d: int,
        dtype: torch.dtype,
        device: torch.device,
        ids: Ids,
        block: int | None,
    ) -> None:
        super().__init__()
        if n < 1 or d < 1:
            raise ValueError(f"a stack needs at least one row and one column, got shape ({n}, {d})")
        self.n = n
        self.d, self.share = d, ColumnShare(d)
        self.dtype = dtype
        self.device = device
        self.ids = client_names(ids, n)
        entries = BLOCK_ENTRIES_CUDA if device.type == "cuda" else BLOCK_ENTRIES
        # At most 2^24 columns, up to which float32 counts exactly.
        self.block_columns = block or min(max(1024, entries // n), 1 << 24)
        self._entries_read = 0
        self._watched: tuple[tuple[Tensor, int], ...] = ()

    def _watch(self, tensors: Iterable[Tensor]) -> None:
        """Remember how often PyTorch has seen these written to. It counts writes through any view of their memory."""
        # Inference tensors are not counted, and writes by NumPy are not seen.
        self._watched = tuple((t, t._version) for t in tensors if not t.is_inference())

    def check_unwritten(self) -> None:
        if any(tensor._version != version for tensor, version in self._watched):
            raise RuntimeError(
                "the rows were written to after the stack was made, so what it knows of them is no longer true: "
                "make a new stack of them"
            )

    @property
    def dear(self) -> bool:
        """Whether a pass over the rows takes so long that another one is to be saved by work that may be in vain."""
        return False

    def forget(self, statistic: Statistic) -> None:
        """Let go of what a statistic holds."""
        self._statistics.pop(statistic, None)

    @property
    def lost(self) -> Mapping[Hashable, str]:
        """Clients whose rows can no longer be read as they were sent, by id, and why: files change."""
        return {}

    @property
    def columns_read(self) -> float:
        return self._entries_read / self.n

    def glance(self, start: int, stop: int, rows: Tensor) -> Tensor:
        """A few columns of a few rows, as `read` has them, which are no part of a pass and do not count as one."""
        before = self._entries_read
        try:
            return self.read(start, stop, rows)
        finally:
            self._entries_read = before

    def parts(self, full: bool = False) -> Parts:
        return self.own_parts()


class RowsLostError(RuntimeError):
    """Rows were written to, where they lie, after a stack was made of them.

    Attributes:
        rows: which, of the stack beneath views that has them.
    """

    def __init__(self, message: str, stack: Updates, rows: Sequence[int]) -> None:
        super().__init__(message)
        self.stack, self.rows = stack, tuple(rows)

    def among(self, updates: Updates) -> Tensor:
        """Which rows of a view, or of the stack itself, are made of them: (n,) bool."""
        return rows_made_of(updates, self._marks)

    def _marks(self, stack: Updates) -> Tensor | None:
        if stack is not self.stack:
            return None
        return torch.zeros(stack.n, dtype=torch.bool).index_fill_(0, torch.tensor(self.rows, dtype=torch.int64), 1)


def lost_rows(updates: Updates) -> Tensor:
    """Which rows, of a view too, are made of such as can no longer be read as they were sent: (n,) bool."""

    def marks(stack: Updates) -> Tensor | None:
        if not isinstance(stack, RowSource):
            return None
        lost = stack.lost
        return torch.tensor([name in lost for name in stack.ids])

    return rows_made_of(updates, marks)


def lost_clients(updates: Updates) -> Mapping[Hashable, str]:
    """Clients whose rows can no longer be read as they were sent, by id, and why: of the stack beneath views."""
    while isinstance(updates, View):
        updates = updates.base
    return updates.lost if isinstance(updates, RowSource) else {}


class Dense(RowSource):
    """A stack that is one (n, d) floating-point tensor, read where it lies."""

    def __init__(self, G: Tensor, *, ids: Ids = None, block: int | None = None) -> None:
        if G.ndim != 2:
            raise ValueError(f"a stack is (n clients, d parameters), got shape {tuple(G.shape)}; one row is G[None, :]")
        if not G.is_floating_point():
            raise TypeError(f"updates must be floating point, got {G.dtype}; convert them with .float()")
        n, d = G.shape
        super().__init__(n=n, d=d, dtype=G.dtype, device=G.device, ids=ids, block=block)
        self._G = G.detach().resolve_neg()
        self._watch([self._G])

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        self._entries_read += (stop - start) * (self.n if rows is None else len(rows))
        block = self._G[:, start:stop]
        return at_least_float32(block if rows is None else block[rows.to(self.device)])

    def combine(self, weights: Tensor) -> Tensor:
        rows = weights.nonzero().flatten()
        if len(rows) in (0, self.n) or not weighted_sum.takes(self._G):
            return super().combine(weights)
        self.check_unwritten()
        # The loop picks rows as it sums them: no block is copied for it.
        out = torch.empty(self.d, dtype=self.dtype)
        used = weights[rows].double()
        step = self.block_columns * BLOCKS
        places = [slice(start, start + step) for start in range(0, self.d, step)]
        sums = side_by_side(lambda place: weighted_sum(self._G[:, place], rows, used), places)
        for place, values in zip(places, sums, strict=True):
            out[place] = values
        self._entries_read += self.d * len(rows)
        return out


class Layers(RowSource):
    """A stack of separate tensors, one list of layers per client, never concatenated.

    ``rows[i][k]`` is layer k of client i, of any shape; clients must agree in shapes. Their types may differ, and so
    may their devices: blocks are gathered as they are read, in a type and on a device that no single client decides.

    Args:
        rows: as above, or what clients `Agreed` on.
        layout: names, shapes and types of the layers.
        ids: names of the clients.
        block: columns at a time; as many as suit the cache if None.

    Raises:
        ValueError, TypeError: rows differ in shapes, or are no updates.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[Tensor]] | Agreed,
        *,
        layout: Layout | None = None,
        ids: Ids = None,
        block: int | None = None,
    ) -> None:
        agreed = rows if isinstance(rows, Agreed) else _agree_on_layers(rows, layout, ids)
        keys = (WHOLE,) if agreed.form == ROW else layout.names if layout else tuple(agreed.model)
        if not keys:
            raise ValueError("rows need at least one floating-point tensor, got none")
        of = Types.of(agreed, keys)
        self._rows = [
            [Flat(_nothing(tensors[key]) if client in agreed.spoiled else tensors[key]) for key in keys]
            for client, tensors in zip(agreed.clients, agreed.tensors, strict=True)
        ]
        types = [{row[k].dtype for row in self._rows} for k in range(len(keys))]
        devices = Counter(layer.device for row in self._rows for layer in row)
        device = max(devices, key=lambda device: (devices[device], str(device)))
        sizes = [agreed.model[key].numel() for key in keys]
        super().__init__(
            n=len(self._rows), d=sum(sizes), dtype=of.dtype, device=device, ids=agreed.clients, block=block
        )
        self._edges = [0, *np.cumsum(sizes).tolist()]
        self._read_as = of.read_as
        self._alike = len(devices) == 1 and all(len(found) == 1 for found in types)
        self.layout, self.agreed = layout, agreed
        self._watch(layer.values for row in self._rows for layer in row)

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        self._entries_read += (stop - start) * (self.n if rows is None else len(rows))
        wanted = self._rows if rows is None else [self._rows[i] for i in rows.tolist()]
        pieces = [
            self._gathered([row[k].part(max(start - a, 0), min(stop, b) - a) for row in wanted])
            for k, (a, b) in enumerate(pairwise(self._edges))
            if a < stop and b > start
        ] or [torch.empty(len(wanted), 0, dtype=self._read_as, device=self.device)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, 1)

    def _gathered(self, parts: list[Tensor]) -> Tensor:
        """Parts of rows below one another. A few may come in another type, which is converted here, not in memory."""
        if not self._alike:
            parts = [part.to(self.device, self._read_as) for part in parts]
        return torch.stack(parts).to(self._read_as)

    def sent_finite(self, row: int) -> bool:
        return all(layer.isfinite() for layer in self._rows[row])


@dataclass(frozen=True, kw_only=True)
class Types:
    """The type of an output, and the type in which blocks are read."""

    dtype: torch.dtype
    read_as: torch.dtype

    @classmethod
    def of(cls, agreed: Agreed, keys: Sequence[Hashable]) -> Types:
        """Of what clients agreed on, under these keys.

        Raises:
            TypeError: something of it is not floating point.
        """
        for key in keys:
            if not agreed.model[key].is_floating_point():
                what = "rows are" if key == WHOLE else f"{key} is"
                raise TypeError(
                    f"{what} {agreed.model[key].dtype}, updates must be floating point; {remedy(agreed.model[key])}"
                )
        usual = [middle_dtype(tensors[key].dtype for tensors in agreed.tensors) for key in keys]
        return cls(
            dtype=widest([agreed.model[key].dtype for key in keys]),
            read_as=widest([torch.float32, *usual]),
        )


def _agree_on_layers(rows: Sequence[Sequence[Tensor]], layout: Layout | None, ids: Ids) -> Agreed:
    """What clients agree on who sent nothing but layers, which have the layout's names or numbers."""
    if not rows:
        raise ValueError("a stack needs at least one row, got an empty list: no client sent an update")
    names = layout.names if layout else ()
    like = None
    if layout:
        shapes = zip(layout.shapes, layout.dtypes, strict=True)
        tensors = [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in shapes]
        like = Sent(form=LAYERS, tensors=dict(zip(names, tensors, strict=True)))
    sent = [
        read_entries(LAYERS, {names[k] if k < len(names) else str(k): t for k, t in enumerate(row)}) for row in rows
    ]
    return agree(sent, client_names(ids, len(rows)), like=like)


def _nothing(tensor: Tensor) -> Tensor:
    """NaN for each entry of a client's that has NaN elsewhere, in running statistics."""
    return torch.full(tensor.shape, torch.nan, device=tensor.device).to(tensor.dtype)
