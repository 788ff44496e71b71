"""`Files`: rows that stay on disk."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import cast, get_args

import torch
from torch import Tensor

from .ahead import ReadAhead
from .based import CENTRES, Origin
from .buffers import Policy
from .entries import UnfitError
from .filerows import FileRow, Stretch, nothing
from .intake import Base, Expected, Model, OnBad, agree_on_statistics, check_frozen
from .layout import Buffers, Integers, Layout
from .reference import STATE_DICT, Ids, Sent, client_names
from .sources import RowsLostError, RowSource, Types
from .tensorfile import TensorFile, open_all

_OPEN = 400
"""Files that a stack keeps open, of the 1,024 that a process may have. Others are opened for each piece of them."""
_LOST = "its file changed while it was read"


class Files(RowSource):
    """A stack of safetensors files, one client's state dict each, that is read where it lies.

    Columns are read block by block, so that the stack may be far larger than the memory: what is in memory of it is the
    system's file cache. They are in the order of ``like`` or ``base`` if that is a state dict, and else in that of the
    tensors' names.

    A file that was made shorter, written to or replaced since the stack was made is a verdict on its client alone: the
    row is lost (`lost`), and an aggregator decides as if it had not been sent. Whoever reads the stack otherwise is
    told by `RowsLostError`, once, and reads NaN in its place from then on. Writing through a mapping of the file in
    the moment of reading cannot be seen: let clients write elsewhere, and take what they are done with.

    Args:
        paths: one file a client; or files by the client's id.
        ids: names of the clients; the names of the files without what follows the last dot if not given.
        base: the model that clients started from, a file or a state dict, if files hold weights: rows are their
            differences from it. Or a centre of the clients' rows, see `as_updates`.
        like, buffers, integers, on_bad: as `as_updates` has them. A file that is absent or damaged counts as something
            that cannot be used, too, and so do running statistics that cannot be (a variance below 0). NaN or Inf in
            a client's statistics is as if its row had it.
        batch_norm: what becomes of running statistics, which no rule judges: "robust", the median of each entry over
            all usable clients, whoever the rule accepted, and no farther from the base's than the bound of
            `median_of_running`, without one if there is no base; "mean", of accepted clients, which any of them can
            move; or "frozen", the base's. Whose statistics are odd is said in the note of an aggregator's result.
        block: columns at a time; as many as suit the cache if None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: a file is damaged or no safetensors file (`fedward.audit.run_aggregate` reads others,
            too), files differ in names or shapes of tensors, or ``paths`` is one path.

    Examples:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from safetensors.torch import save_file
        >>> folder = Path(tempfile.mkdtemp())
        >>> for client, value in {"amber": 1.0, "birch": 2.0, "cedar": 30.0}.items():
        ...     save_file({"weight": torch.full((2, 2), value)}, folder / f"{client}.safetensors")
        >>> updates = Files(sorted(folder.glob("*.safetensors")))
        >>> updates.n, updates.d, updates.ids
        (3, 4, ('amber', 'birch', 'cedar'))
        >>> from fedward import Aggregator, rules
        >>> Aggregator(rules.Median())(updates).state_dict()
        {'weight': tensor([[2., 2.],
                [2., 2.]])}
    """

    def __init__(
        self,
        paths: Iterable[str | PathLike[str]] | Mapping[Hashable, str | PathLike[str]],
        *,
        ids: Ids = None,
        like: Model | None = None,
        base: Base | str | PathLike[str] | None = None,
        buffers: Buffers = "auto",
        integers: Integers = "refuse",
        on_bad: OnBad = "raise",
        batch_norm: Policy = "robust",
        block: int | None = None,
    ) -> None:
        if batch_norm not in get_args(Policy):
            raise ValueError(f"batch_norm is one of {', '.join(map(repr, get_args(Policy)))}, got {batch_norm!r}")
        if isinstance(paths, Mapping):
            if ids is not None:
                raise ValueError("files by id have their ids; leave ids= out, or give the files as a list")
            ids = list(paths)
            paths = paths.values()
        if isinstance(paths, str | PathLike):
            raise TypeError(
                f"paths is a list of files, one a client, or files by the client's id, got {paths!r}: pass [...] "
                "around one file, sorted(Path(...).glob('*.safetensors')) of a folder"
            )
        places = [fspath(path) for path in paths]
        if not places:
            raise ValueError("a stack needs at least one row, got no files: no client sent an update")
        if ids is None:
            ids = [Path(path).stem for path in places]
        names = client_names(ids, len(places))
        # Whoever gives a model reads columns in its order.
        by_name = like is None and (base is None or isinstance(base, str | PathLike))
        if isinstance(base, str | PathLike) and base not in CENTRES:
            base = _base_in(fspath(base))
        expected = Expected(like, buffers, integers, base=cast(Base | None, base), by_name=by_name)
        opened = open_all(places, _OPEN)
        files = {name: file for name, file in zip(names, opened, strict=True) if isinstance(file, TensorFile)}
        unread: set[Hashable] = set()

        def value(client: Hashable, tensor: Tensor) -> Tensor:
            read = files[client].values(tensor)
            if read is None:
                unread.add(client)
            return torch.zeros_like(tensor, device="cpu") if read is None else read

        agreed, layout = agree_on_statistics(
            list(map(_sent, opened)),
            names,
            expected,
            value,
            policy=batch_norm,
            has_base=expected.is_base,
            on_bad=on_bad,
        )
        assert layout is not None  # state dicts have one
        check_frozen(agreed, layout)
        self._files = [files[name] for name in agreed.clients]
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
        read_as = types.read_as
        self._rows = [_row(f, t, layout, read_as) for f, t in zip(self._files, agreed.tensors, strict=True)]
        self._ahead = ReadAhead(self._rows, layout.d)
        self._lost: dict[int, str] = {}
        self.layout = layout
        # What could not be read is nobody's: no statistics that others' are held against.
        self.agreed = replace(agreed, spoiled={**agreed.spoiled, **dict.fromkeys(unread, ())})
        for row, client in enumerate(agreed.clients):
            if client in agreed.spoiled:
                self._rows[row] = nothing(layout.d, read_as)
        self._give_up([row for row, client in enumerate(agreed.clients) if client in unread])
        self._origin: Origin | None = None
        self._origin = self._found_origin(expected)
        if self._origin is not None:
            self.dtype = self._origin.difference_dtype

    def _found_origin(self, expected: Expected) -> Origin | None:
        """What rows are seen from, if there is a base; a centre is that of the rows that are not lost meanwhile."""
        while True:
            try:
                return expected.origin(self)
            except RowsLostError:
                continue
            finally:  # what is known by now is of weights, not of differences
                self._statistics.clear()
                self._contained.clear()
                self._entries_read = 0

    @property
    def has_base(self) -> bool:
        """Whether rows are differences from something."""
        return self._origin is not None

    @property
    def dear(self) -> bool:
        return self._ahead.worth(self.n)

    @property
    def lost(self) -> Mapping[Hashable, str]:
        return {self.ids[row]: why for row, why in self._lost.items()}

    def check_unwritten(self) -> None:
        changed = [row for row, file in enumerate(self._files) if row not in self._lost and file.changed()]
        if changed:
            self._lose(changed)

    def _give_up(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._lost[row] = _LOST
            self._rows[row] = nothing(self.d, self._read_as)

    def _lose(self, rows: Sequence[int]) -> None:
        """Give up rows, and tell it."""
        self._give_up(rows)
        names = ", ".join(self._files[row].path for row in rows[:5])
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        raise RowsLostError(f"{names}{more}: changed while the rows were read; leave these clients out", self, rows)

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        wanted = list(range(self.n)) if rows is None else rows.tolist()
        self._entries_read += (stop - start) * len(wanted)
        block = torch.empty(len(wanted), stop - start, dtype=self._read_as)
        failed = self._ahead.fill(block.numpy(), start, stop, wanted)
        if failed:
            self._lose([wanted[k] for k in failed])
        return block if self._origin is None else self._origin.left_out(block, start)

    def placed(self, output: Tensor, first: int = 0) -> Tensor:
        return output if self._origin is None else self._origin.added(output, first)

    def sent_finite(self, row: int) -> bool:
        try:
            assert self.agreed is not None
            unsound = row in self._lost or self.ids[row] in self.agreed.spoiled
            return not unsound and super().sent_finite(row)
        except RowsLostError:
            return False


def _base_in(path: str) -> dict[str, Tensor]:
    """The tensors of a base that is a file.

    Raises:
        FileNotFoundError, ValueError: it cannot be read.
    """
    try:
        file = TensorFile(path, keep=True)
    except UnfitError as error:
        raise error.error(f"the base: {error.text}") from None
    held = {name: file.values(tensor) for name, tensor in file.tensors.items()}
    if any(values is None for values in held.values()):
        raise ValueError(f"the base: {path} changed while it was read; give one that nobody writes to")
    return {name: values for name, values in held.items() if values is not None}


def _sent(file: TensorFile | UnfitError) -> Sent:
    """What a file holds, of which nothing is read yet."""
    if isinstance(file, UnfitError):
        return Sent(form=STATE_DICT, tensors={}, fault=file)
    return Sent(form=STATE_DICT, tensors=file.tensors, source=file.path)


def _row(file: TensorFile, tensors: Mapping[Hashable, Tensor], layout: Layout, read_as: torch.dtype) -> FileRow:
    """A client's columns."""
    stretches = []
    for name, columns in layout.slices():
        lying = file.entry(tensors[name])
        stretches.append(
            Stretch(start=columns.start, stop=columns.stop, dtype=lying.dtype, source=file, place=lying.start)
        )
    return FileRow(stretches, read_as)
