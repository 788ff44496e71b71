"""`Peers`: the processes that decide together, and all that goes over the wire between them.

Every exchange begins with a header of three numbers: where in its course a process is, what it is about to do, with how
many numbers. So a process that fails, or does something else than the others, is known to all of them at the same
exchange, and none waits for an answer that never comes. Who says nothing at all is found by the group's timeout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import partial
from math import prod
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..failures import MendableError

_TEXT = 1000  # bytes of a message to the others


class PeerError(MendableError, RuntimeError):
    """Another process failed, did something else, or does not answer: raised by all but the one that failed.

    Attributes:
        known: whether all processes raise it by themselves; if not, they are told.
    """

    def __init__(self, message: str, *, known: bool = True) -> None:
        super().__init__(message)
        self.known = known


class Doing(IntEnum):
    """What a header says that a process is about to do."""

    DONE = 0
    FAILED = 1
    SUM = 2
    GATHER = 3
    TRANSPOSE = 4


class Peers:
    """The processes of a group, or of several: two are the rows and the columns of a grid of processes.

    With several groups all processes of the grid decide together. Their places count along the first group first.

    Args:
        groups: as `torch.distributed` has them; the whole world if none is given.

    Raises:
        RuntimeError: there is no process group.
    """

    def __init__(self, *groups: dist.ProcessGroup | None) -> None:
        if not dist.is_available() or not dist.is_initialized():
            raise RuntimeError(
                "there is no process group: start the processes with torchrun and call "
                "torch.distributed.init_process_group() first"
            )
        world = dist.group.WORLD
        assert world is not None
        self.groups = tuple(world if group is None else group for group in groups or (None,))
        ranks = [dist.get_rank(group) for group in self.groups]
        if min(ranks) < 0:
            raise RuntimeError("this process is not in the group: call this in the processes of the group alone")
        self.sizes = [dist.get_world_size(group) for group in self.groups]
        self.size = prod(self.sizes)
        self.place = sum(rank * prod(self.sizes[:k]) for k, rank in enumerate(ranks))
        self.bytes_sent = 0
        """What this process handed over so far, headers included: each sum and each gathered piece once."""
        self._step = 0
        self._depth = 0
        nccl = any(dist.get_backend(group) == "nccl" for group in self.groups)
        self.device = torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")

    # --- exchanges ------------------------------------------------------------------------------------------

    def total(self, sums: Tensor) -> Tensor:
        """Sums over all processes, the same on each to the last bit: float64, on the CPU."""
        self._header(Doing.SUM, sums.numel(), alike=True)
        whole = sums.to(self.device, copy=True)
        for group in self.groups:
            self._call(partial(dist.all_reduce, whole, group=group))
        self.bytes_sent += whole.nbytes
        return whole.cpu()

    def gathered(self, values: Tensor, *, in_group: bool = False) -> list[Tensor]:
        """What each process has, (k,) of any k, by place; on the device where it was.

        With ``in_group`` only what those of this process's first group have.
        """
        counts = self._header(Doing.GATHER, values.numel())
        groups = self.groups
        if in_group:
            groups = groups[:1]
            before = self.place - self.place % self.sizes[0]
            counts = counts[before : before + self.sizes[0]]
        longest = max(counts)
        if longest == 0:
            return [values] * len(counts)
        # Bytes, since backends do not know every type.
        padded = torch.zeros(longest, dtype=values.dtype, device=self.device)
        padded[: len(values)] = values
        pieces = self._all_gather(padded.view(torch.uint8), groups).view(values.dtype)
        return [piece[:count].to(values.device) for piece, count in zip(pieces, counts, strict=True)]

    def said(self, value: Mapping[str, Any], *, in_group: bool = False) -> list[dict[str, Any]]:
        """What each process says, by place, or of this process's first group: whatever JSON has."""
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        return [json.loads(bytes(piece.tolist())) for piece in self.gathered(text, in_group=in_group)]

    def numbers(self, number: int) -> list[int]:
        """A number of each process, by place."""
        return [int(piece) for piece in self.gathered(torch.tensor([number]))]

    def transposed(self, rows: Tensor, counts: Sequence[int], widths: Sequence[int]) -> Tensor:
        """All rows of some columns, from some rows of all columns: (k, d) in, (n, width) out.

        Rows and columns are shared out along the first group.

        Args:
            rows: those of this process.
            counts: rows of each process of the group.
            widths: columns for each.
        """
        self._header(Doing.TRANSPOSE, rows.numel())
        group = self.groups[0]
        own = widths[dist.get_rank(group)]
        sent = rows.to(self.device).contiguous()
        if len(rows) != 1:  # of a single row, the columns for each process lie next to one another
            sent = torch.cat([part.reshape(-1) for part in torch.split(sent, list(widths), 1)])
        received = torch.empty(sum(counts) * own, dtype=rows.dtype, device=self.device)
        # Of types of which a backend does not know how to send them, the bytes.
        size = rows.dtype.itemsize
        self._call(
            partial(
                dist.all_to_all_single,
                received.view(torch.uint8),
                sent.reshape(-1).view(torch.uint8),
                output_split_sizes=[count * own * size for count in counts],
                input_split_sizes=[len(rows) * width * size for width in widths],
                group=group,
            )
        )
        self.bytes_sent += len(rows) * (sum(widths) - own) * size
        return received.reshape(sum(counts), own).to(rows.device)

    # --- together -------------------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Iterator[None]:
        """A context that all processes leave together: where one raises, the others raise `PeerError`."""
        self._depth += 1
        try:
            yield
        except BaseException as error:
            if self._depth == 1 and not (isinstance(error, PeerError) and error.known):
                self._tell(error)
            raise
        else:
            if self._depth == 1:
                self._header(Doing.DONE, 0)
        finally:
            self._depth -= 1

    def _tell(self, error: BaseException) -> None:
        """Tell the others of an error of this process. It is raised in any case: theirs are told by themselves."""
        try:
            self._header(Doing.FAILED, 0, text=f"{type(error).__name__}: {error}")
        except PeerError as others:
            if others.__cause__ is not None:  # they could not be told
                error.add_note(str(others))

    def _header(self, doing: Doing, count: int, *, alike: bool = False, text: str = "") -> list[int]:
        """How many numbers each process is about to exchange, by place.

        Raises:
            PeerError: one has failed, or they are about to do different things.
        """
        own = torch.tensor([self._step, doing, count], device=self.device)
        headers = self._all_gather(own, self.groups).cpu()
        steps: list[int] = headers[:, 0].tolist()
        kinds: list[int] = headers[:, 1].tolist()
        counts: list[int] = headers[:, 2].tolist()
        self._step = max(steps) + 1
        if Doing.FAILED in kinds:
            self._raise_failure(kinds, text)
        if len(set(kinds)) > 1 or len(set(steps)) > 1 or (alike and len(set(counts)) > 1):
            courses = [f"rank {k}: {Doing(kind).name.lower()} {c}" for k, (_, kind, c) in enumerate(headers.tolist())]
            raise PeerError(
                f"the processes do different things ({', '.join(courses)}): each must aggregate as many rows, by the "
                "same rule with the same seed, memory and messages, in the same order"
            )
        return counts

    def _raise_failure(self, kinds: Sequence[int], text: str) -> None:
        said = torch.zeros(_TEXT, dtype=torch.uint8)
        cut = text.encode()[:_TEXT]
        said[: len(cut)] = torch.tensor(list(cut), dtype=torch.uint8)
        texts = self._all_gather(said.to(self.device), self.groups).cpu()
        failed = [
            f"rank {k}: {bytes(texts[k].tolist()).rstrip(bytes(1)).decode(errors='replace')}"
            for k, kind in enumerate(kinds)
            if kind == Doing.FAILED and k != self.place
        ]
        raise PeerError(f"another process failed, so that nobody has an aggregate ({'; '.join(failed)})")

    def _all_gather(self, values: Tensor, groups: Sequence[dist.ProcessGroup]) -> Tensor:
        """What each process of the groups has, (k,) of the same k: (processes, k), by place."""
        pieces = values[None]
        for group in groups:
            size = dist.get_world_size(group)
            own = pieces.contiguous()
            whole = own.new_empty(size * len(own), own.shape[1])
            self._call(partial(dist.all_gather, list(whole.chunk(size)), own, group=group))
            pieces = whole
        self.bytes_sent += values.nbytes
        return pieces

    def _call(self, exchange: Callable[[], object]) -> None:
        try:
            exchange()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise PeerError(
                f"rank {self.place} of {self.size}: the others do not answer: a process has ended, or said nothing for "
                f"as long as the group's timeout; start all of them again ({reason})"
            ) from error
