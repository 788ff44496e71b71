"""`Files`: rows that stay on disk."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import cast

from torch import Tensor

from .entries import UnfitError
from .based import CENTRES
from .intake import Base, Expected, Model, OnBad, agree_on_layout
from .layout import Buffers, Integers
from .reference import STATE_DICT, Ids, Sent, client_names, read_entries
from .sources import Layers


class Files(Layers):
    """A stack of safetensors files, one client's state dict each, that is read where it lies.

    Files are mapped into memory and their columns read block by block, so that the stack may be far larger than the
    memory: what is in memory of it is the system's file cache. Files must not change meanwhile. Needs the extra
    ``files``.

    Args:
        paths: one file a client; or files by the client's id.
        ids: names of the clients; the names of the files without what follows the last dot if not given.
        base: the model that clients started from, a file or a state dict, if files hold weights: rows are their
            differences from it. Or a centre of the clients' rows, see `as_updates`.
        like, buffers, integers, on_bad: as `as_updates` has them. A file that is absent or damaged counts as something
            that cannot be used, too.
        block: columns at a time; as many as suit the cache if None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: a file is damaged or no safetensors file, or files differ in names or shapes of tensors.
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
        block: int | None = None,
    ) -> None:
        if isinstance(paths, Mapping):
            if ids is not None:
                raise ValueError("files by id have their ids; leave ids= out, or give the files as a list")
            ids = list(paths)
            paths = paths.values()
        files = [fspath(path) for path in paths]
        if not files:
            raise ValueError("a stack needs at least one row, got no files: no client sent an update")
        if ids is None:
            ids = [Path(path).stem for path in files]
        names = client_names(ids, len(files))
        if isinstance(base, str | PathLike) and base not in CENTRES:
            base = _base_in(fspath(base))
        expected = Expected(like, buffers, integers, base=cast(Base | None, base))
        agreed, layout = agree_on_layout([_read(path, expected) for path in files], names, expected, on_bad)
        super().__init__(agreed, layout=layout, block=block)
        self._origin = expected.origin(Layers(agreed, layout=layout, block=block))
        if self._origin is not None:
            self.dtype = self._origin.difference_dtype

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        block = super().read(start, stop, rows)
        return block if self._origin is None else self._origin.left_out(block, start)

    def placed(self, output: Tensor) -> Tensor:
        return output if self._origin is None else self._origin.added(output)


def _base_in(path: str) -> dict[str, Tensor]:
    """The tensors of a base that is a file.

    Raises:
        FileNotFoundError, ValueError: it cannot be read.
    """
    try:
        return _mapped(path)
    except UnfitError as error:
        raise error.error(f"the base: {error.text}") from None


def _read(path: str, expected: Expected) -> Sent:
    """What a file holds, of which nothing is read yet."""
    try:
        tensors = _mapped(path)
    except UnfitError as error:
        return Sent(form=STATE_DICT, tensors={}, fault=error)
    return replace(read_entries(STATE_DICT, tensors), source=path)


def _mapped(path: str) -> dict[str, Tensor]:
    try:
        from safetensors import safe_open
    except ImportError:
        raise ImportError("rows in files need the package safetensors: pip install 'fedward[files]'") from None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
            # Of a tensor with two names, `safetensors.torch.save_model` stores one, and which the other is.
            tied = {name: other for name, other in (file.metadata() or {}).items() if other in tensors}
            return {**{name: tensors[other] for name, other in tied.items()}, **tensors}
    except FileNotFoundError:
        raise UnfitError(FileNotFoundError, f"there is no file {path}") from None
    except Exception as error:  # whatever a file that is none makes its reader stumble over
        raise UnfitError(ValueError, f"{path} is damaged or no safetensors file ({error})") from None
