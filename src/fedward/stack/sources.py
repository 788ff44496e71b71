"""Where rows come from: one tensor (`Dense`), or separate tensors per client and layer (`Layers`)."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from . import compiled
from .kernels import weighted_sum
from .layout import Layout
from .updates import Rooted, Updates, View

StateDict = Mapping[str, Tensor]
Stack = Tensor | np.ndarray | Sequence[Tensor] | Sequence[np.ndarray] | Sequence[StateDict] | Updates
"""What counts as a stack of updates."""

# Entries of a block: 4 MiB in float64 stays in a core's L2 cache together with what statistics make of it.
_BLOCK_ENTRIES = 1 << 19
_BLOCK_ENTRIES_CUDA = 1 << 26


class _Source(Updates):
    """A stack whose rows are in memory, in tensors that it watches."""

    def __init__(
        self,
        n: int,
        d: int,
        dtype: torch.dtype,
        device: torch.device,
        ids: Sequence[Hashable] | None,
        block: int | None,
    ) -> None:
        super().__init__()
        if n < 1 or d < 1:
            raise ValueError(f"a stack needs at least one row and one column, got shape ({n}, {d})")
        self.n, self.d, self.dtype, self.device = n, d, dtype, device
        self.ids = _names(ids, n)
        entries = _BLOCK_ENTRIES_CUDA if device.type == "cuda" else _BLOCK_ENTRIES
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
    def columns_read(self) -> float:
        return self._entries_read / self.n


def _names(ids: Sequence[Hashable] | None, n: int) -> tuple[Hashable, ...]:
    """The ids of n clients: as given, or their numbers."""
    names = tuple(range(n)) if ids is None else tuple(ids)
    if len(names) != n:
        raise ValueError(f"{n} rows need {n} ids, got {len(names)}")
    if len(set(names)) != n:
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"ids must be distinct, {twice!r} occurs more than once; drop one of its rows")
    return names


class Dense(_Source):
    """A stack that is one (n, d) floating-point tensor, read where it lies."""

    def __init__(self, G: Tensor, *, ids: Sequence[Hashable] | None = None, block: int | None = None) -> None:
        if G.ndim != 2:
            raise ValueError(f"a stack is (n clients, d parameters), got shape {tuple(G.shape)}; one row is G[None, :]")
        if not G.is_floating_point():
            raise TypeError(f"updates must be floating point, got {G.dtype}; convert them with .float()")
        super().__init__(G.shape[0], G.shape[1], G.dtype, G.device, ids, block)
        self._G = G.detach()
        self._watch([self._G])

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        self._entries_read += (stop - start) * (self.n if rows is None else len(rows))
        block = self._G[:, start:stop]
        return _at_least_float32(block if rows is None else block[rows.to(self.device)])

    def combine(self, weights: Tensor) -> Tensor:
        rows = weights.nonzero().flatten()
        if len(rows) in (0, self.n) or not compiled.usable(self._G):
            return super().combine(weights)
        self.check_unwritten()
        # Picked as they are summed, not before.
        out, used = torch.empty(self.d, dtype=self.dtype), weights[rows].double()
        step = self.block_columns * compiled.BLOCKS
        places = [slice(start, start + step) for start in range(0, self.d, step)]
        sums = compiled.side_by_side(lambda place: weighted_sum(self._G[:, place], rows, used), places)
        for place, values in zip(places, sums, strict=True):
            out[place] = values
        self._entries_read += self.d * len(rows)
        return out


class Layers(_Source):
    """A stack of separate tensors, one list of layers per client, never concatenated.

    ``rows[i][k]`` is layer k of client i, of any shape; layers must agree between clients in shape. Blocks are
    gathered as they are read. ``counters`` are integer tensors, which have no columns, by name: (n, *shape).
    """

    def __init__(
        self,
        rows: Sequence[Sequence[Tensor]],
        *,
        layout: Layout | None = None,
        counters: Mapping[str, Tensor] | None = None,
        ids: Sequence[Hashable] | None = None,
        block: int | None = None,
    ) -> None:
        if not rows:
            raise ValueError("a stack needs at least one row, got an empty list: no client sent an update")
        first = rows[0]
        if not first:
            raise ValueError("rows need at least one floating-point tensor, got none")
        names = _names(ids, len(rows))
        for name, row in zip(names, rows, strict=True):
            if len(row) != len(first):
                raise ValueError(f"client {name!r} sent {len(row)} layers, the first client {len(first)}; leave it out")
            for k, (layer, model) in enumerate(zip(row, first, strict=True)):
                what = layout.names[k] if layout else "row"
                if layer.shape != model.shape:
                    raise ValueError(
                        f"client {name!r}: {what} has shape {tuple(layer.shape)}, the first client's has "
                        f"{tuple(model.shape)}; all clients must send the same model, leave this one out"
                    )
                if not layer.is_floating_point():
                    raise TypeError(f"client {name!r}: {what} is {layer.dtype}, updates must be floating point")
                if layer.device != model.device:
                    raise ValueError(
                        f"client {name!r}: {what} is on {layer.device}, the first client's on {model.device}"
                    )
        dtype = first[0].dtype
        for layer in first:
            dtype = torch.promote_types(dtype, layer.dtype)
        sizes = [layer.numel() for layer in first]
        super().__init__(len(rows), sum(sizes), dtype, first[0].device, names, block)
        self.layout = layout
        self.counters = dict(counters or {})
        self._rows = [[layer.detach().reshape(-1) for layer in row] for row in rows]
        self._watch(layer for row in self._rows for layer in row)
        self._edges = [0, *np.cumsum(sizes).tolist()]

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        self._entries_read += (stop - start) * (self.n if rows is None else len(rows))
        wanted = self._rows if rows is None else [self._rows[i] for i in rows.tolist()]
        pieces = [
            torch.stack([row[k][max(start - a, 0) : stop - a] for row in wanted]).to(self.dtype)
            for k, (a, b) in enumerate(pairwise(self._edges))
            if a < stop and b > start
        ] or [torch.empty(len(wanted), 0, dtype=self.dtype, device=self.device)]
        return _at_least_float32(pieces[0] if len(pieces) == 1 else torch.cat(pieces, 1))


def as_updates(G: Stack, ids: Sequence[Hashable] | None = None) -> Updates:
    """Any accepted form of a stack as `Updates`, without copying it.

    Takes an (n, d) tensor or array, a sequence of (d,) tensors or arrays, a sequence of state dicts, or `Updates`.

    Raises:
        TypeError: not one of these, or entries that are not floating point.
        ValueError: no rows, rows of different shape or keys, or ids that do not match the rows.
    """
    if isinstance(G, Updates):
        if ids is not None:
            raise ValueError("ids belong to the stack: give them to Dense(...) or Layers(...), not to the call")
        return Rooted(G) if isinstance(G, View) else G
    if isinstance(G, Tensor):
        return Dense(G, ids=ids)
    if isinstance(G, np.ndarray):
        return Dense(_from_numpy(G), ids=ids)
    if not isinstance(G, Sequence) or isinstance(G, str):
        raise TypeError(
            "a stack is an (n, d) tensor or array, a sequence of (d,) rows, a sequence of state dicts or Updates, "
            f"got {type(G).__name__}"
        )
    if G and isinstance(G[0], Mapping):
        names = _names(ids, len(G))
        rows, layout, counters = from_state_dicts(G, names)
        return Layers(rows, layout=layout, counters=counters, ids=names)
    names = _names(ids, len(G))
    rows = [[_as_tensor(row, name)] for row, name in zip(G, names, strict=True)]
    for name, (row,) in zip(names, rows, strict=True):
        if row.ndim != 1:
            raise ValueError(f"client {name!r}: the row has shape {tuple(row.shape)}, rows are (d,): flatten it")
    return Layers(rows, ids=names)


def from_state_dicts(
    dicts: Sequence[object], names: Sequence[Hashable]
) -> tuple[list[list[Tensor]], Layout, dict[str, Tensor]]:
    """The floating-point entries of each client's state dict, what lies where, and all integer entries by name.

    Raises:
        ValueError: they differ in keys, in shapes, or in the types of integers.
        TypeError: one is no state dict.
    """
    tensors: list[dict[str, Tensor]] = []
    for name, entries in zip(names, dicts, strict=True):
        if not isinstance(entries, Mapping):
            raise TypeError(
                f"client {name!r}: expected a state dict like the first client's, got {type(entries).__name__}"
            )
        tensors.append({key: _as_tensor(value, name) for key, value in entries.items()})
        missing, extra = tensors[0].keys() - tensors[-1].keys(), tensors[-1].keys() - tensors[0].keys()
        if missing or extra:
            raise ValueError(
                f"client {name!r}: state dict lacks {sorted(missing)} and adds {sorted(extra)} compared with the first "
                "client's; all clients must send the same model, leave this one out"
            )
    layout = Layout.of(tensors[0])
    for name, t in zip(names, tensors, strict=True):
        for key in layout.counters:
            sent, model = (t[key].dtype, t[key].shape), (tensors[0][key].dtype, tensors[0][key].shape)
            if sent != model:
                raise ValueError(
                    f"client {name!r}: {key} is {sent[0]} of shape {tuple(sent[1])}, the first client's is {model[0]} "
                    f"of shape {tuple(model[1])}; all clients must send the same model, leave this one out"
                )
    counters = {key: torch.stack([t[key] for t in tensors]) for key in layout.counters}
    return [[t[k] for k in layout.names] for t in tensors], layout, counters


def _as_tensor(row: object, name: Hashable) -> Tensor:
    if isinstance(row, Tensor):
        return row
    if isinstance(row, np.ndarray):
        return _from_numpy(row)
    raise TypeError(f"client {name!r}: expected a tensor or an array, got {type(row).__name__}")


def _from_numpy(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"updates must be floating point, got an array of {array.dtype}")
    if min(array.strides, default=0) < 0:  # torch has no negative strides
        array = np.ascontiguousarray(array)
    with warnings.catch_warnings():  # a read-only array is fine: rows are never written to
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        return torch.from_numpy(array)


def _at_least_float32(block: Tensor) -> Tensor:
    return block.float() if block.dtype.itemsize < 4 else block
