"""`Sharded`: a stack that several processes hold together, each some columns of all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from ..core import Result
from ..stack import ColumnShard, Dense, Ids, Layout, RowSource
from .columns import Columns
from .peers import PeerError, Peers

R = TypeVar("R", Tensor, Result[Tensor])


class Sharded(ColumnShard):
    """A stack that several processes hold together: each has some columns of all rows, and decides as all others do.

    Rules, mixers and `fedward.Aggregator` take it as any other stack, called by every process alike. Small sums
    (norms, inner products, counts of signs) go over the wire, rows do not. The output, and what a rule remembers of it,
    is the columns that are held here; `gather` brings an output together.

    It is made by `of_columns`, `of_rows` or `split`; all processes of the group call the same one.

    Attributes:
        peers: the processes.
        share: which columns are held here.
    """

    def __init__(self, rows: RowSource, share: Columns) -> None:
        super().__init__(rows, share)
        self.peers = share.peers

    @classmethod
    def of_columns(cls, G: Tensor, *, ids: Ids = None, group: ProcessGroup | None = None) -> Sharded:
        """A stack of which this process holds the columns G, (n, width), and the next process the next ones.

        Args:
            G: read where it lies.
            ids: names of the clients, the same on all processes.
            group: the processes; all of them if None.

        Raises:
            PeerError: another process has another number of rows, another dtype or other names.
            ValueError, TypeError: as `fedward.stack.Dense`.
        """
        peers = Peers(group)
        with peers.together():
            rows = Dense(G, ids=ids)
            check_agreed(peers, {"rows": rows.n, "dtype": str(rows.dtype), "ids": [repr(name) for name in rows.ids]})
            return cls(rows, Columns(peers, peers.numbers(rows.d)))

    @classmethod
    def of_rows(
        cls,
        rows: Tensor,
        *,
        ids: Sequence[str | int] | None = None,
        layout: Layout | None = None,
        group: ProcessGroup | None = None,
        across: Sequence[ProcessGroup] = (),
    ) -> Sharded:
        """A stack of rows that lie one or a few on each process, turned into columns by one all-to-all.

        Args:
            rows: those of this process, (d,), or (k, d) where k may differ.
            ids: their names; numbers in the order of the processes if none has any.
            layout: names and shapes of the tensors that rows are made of.
            group: the processes; all of them if None.
            across: where a row is itself shared out, groups of processes that hold the same clients' other columns.

        Raises:
            PeerError: another process has another number of columns or dtype, or something else is wrong there.
            ValueError, TypeError: rows are no rows, or fewer columns than processes.
        """
        peers = Peers(group, *across)
        with peers.together():
            held = rows.detach().reshape(-1, rows.shape[-1])
            if not held.is_floating_point():
                raise TypeError(f"updates must be floating point, got {held.dtype}; convert them with .float()")
            check_agreed(peers, {"dtype": str(held.dtype)})
            along = peers.said({"rows": len(held), "columns": held.shape[1], "ids": ids and list(ids)}, in_group=True)
            d = held.shape[1]
            others = {said["columns"] for said in along}
            if others != {d}:
                # Of a grid of processes only some may know.
                raise PeerError(
                    f"rows have {', '.join(map(str, sorted(others)))} columns on different processes; they must agree",
                    known=False,
                )
            widths = even_widths(d, len(along))
            counts = [said["rows"] for said in along]
            G = peers.transposed(held, counts, widths)
            stack = Dense(G, ids=_joined_names([said["ids"] for said in along]))
            stack.layout = layout
            return cls(stack, Columns(peers, peers.numbers(stack.d)))

    @classmethod
    def split(cls, stack: RowSource, *, group: ProcessGroup | None = None) -> Sharded:
        """A stack that every process can read (files on a shared disk), of which each reads some columns.

        Raises:
            PeerError: another process has another stack.
            ValueError: fewer columns than processes.
        """
        peers = Peers(group)
        with peers.together():
            names = [repr(name) for name in stack.ids]
            check_agreed(peers, {"shape": [stack.n, stack.d], "dtype": str(stack.dtype), "ids": names})
            share = Columns(peers, even_widths(stack.d, peers.size))
            return cls(ColumnRange(stack, share.first, share.width), share)

    def gather(self, output: R) -> R:
        """The whole output on every process, of which each has its columns: (width,) in, (d,) out; or such a result."""
        if isinstance(output, Result):
            return replace(output, output=self.gather(output.output))
        with self.peers.together():
            if output.shape != (self.width,):
                raise ValueError(f"this process holds {self.width} columns of the output, got {tuple(output.shape)}")
            return self.share.joined(output)

    def own_row(self, output: Tensor) -> Tensor:
        """The output where this process gave its rows: the columns of all processes of its group, (k, d) to (d,)."""
        with self.peers.together():
            return torch.cat(self.peers.gathered(output, in_group=True))


class ColumnRange(RowSource):
    """Some columns of a stack that is all there: ``width`` of them from ``first`` on."""

    def __init__(self, whole: RowSource, first: int, width: int) -> None:
        super().__init__(
            n=whole.n, d=width, dtype=whole.dtype, device=whole.device, ids=whole.ids, block=whole.block_columns
        )
        self.whole = whole
        self.first = first
        self.layout, self.agreed = whole.layout, whole.agreed

    def check_unwritten(self) -> None:
        self.whole.check_unwritten()

    @property
    def lost(self) -> Mapping[Any, str]:
        return self.whole.lost

    @property
    def columns_read(self) -> float:
        return self.whole.columns_read

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        return self.whole.read(self.first + start, self.first + stop, rows)

    def placed(self, output: Tensor, first: int = 0) -> Tensor:
        return self.whole.placed(output, self.first + first)


def even_widths(d: int, processes: int) -> list[int]:
    """How many of d columns each process holds: as even as can be.

    Raises:
        ValueError: fewer columns than processes.
    """
    if d < processes:
        raise ValueError(f"{processes} processes cannot share out {d} columns: take at most {d} processes")
    least, more = divmod(d, processes)
    return [least + (place < more) for place in range(processes)]


def check_agreed(peers: Peers, own: Mapping[str, Any]) -> None:
    """Raise where processes say different things, by the name of what differs.

    Raises:
        PeerError: on all of them.
    """
    said = peers.said(own)
    for rank, other in enumerate(said):
        for name, value in said[0].items():
            if other.get(name) != value:
                raise PeerError(
                    f"{name}: rank {rank} has {_short(other.get(name))}, rank 0 has {_short(value)}; the processes "
                    "must agree"
                )


def _short(value: object, most: int = 200) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}..."


def _joined_names(given: Sequence[Sequence[str | int] | None]) -> Ids:
    """The names of all rows; none where no process has any.

    Raises:
        PeerError: only some have.
    """
    if all(names is None for names in given):
        return None
    without = [rank for rank, names in enumerate(given) if names is None]
    if without:
        raise PeerError(
            f"rank {without[0]} gives no ids and others do: give them on all processes or on none", known=False
        )
    return tuple(name for names in given if names is not None for name in names)
