"""`Files`: rows that stay on disk."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from os import PathLike, fspath
from pathlib import Path

from torch import Tensor

from .sources import Layers, from_state_dicts


class Files(Layers):
    """A stack of safetensors files, one client's state dict each, that is read where it lies.

    Files are mapped into memory and their columns read block by block, so that the stack may be far larger than the
    memory: what is in memory of it is the system's file cache. Files must not change meanwhile. Needs the extra
    ``files``.

    Args:
        paths: one file a client.
        ids: names of the clients; the names of the files without what follows the last dot if not given.
        block: columns at a time; as many as suit the cache if None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is damaged or no safetensors file, or files differ in names or shapes of tensors.
    """

    def __init__(
        self,
        paths: Sequence[str | PathLike[str]],
        *,
        ids: Sequence[Hashable] | None = None,
        block: int | None = None,
    ) -> None:
        if not paths:
            raise ValueError("a stack needs at least one row, got no files: no client sent an update")
        names = [Path(path).stem for path in paths] if ids is None else list(ids)
        if len(names) != len(paths):
            raise ValueError(f"{len(paths)} files need {len(paths)} ids, got {len(names)}")
        rows, layout, counters = from_state_dicts([_mapped(fspath(path)) for path in paths], names)
        super().__init__(rows, layout=layout, counters=counters, ids=names, block=block)


def _mapped(path: str) -> dict[str, Tensor]:
    """The tensors of a file, of which nothing is read yet."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ImportError("rows in files need the package safetensors: pip install 'fedward[files]'") from None
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}): leave this client out") from None
