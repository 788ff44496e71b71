"""Data sets by name, whoever has registered them."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from ..registry.entries import catalogue
from ..registry.notation import dotted, recipe
from .dataset import Dataset
from .known import SOURCES
from .land import EUROSAT
from .leaf import LEAF_SOURCES
from .own import own_dataset
from .sources import OwnDataError, Source
from .texts import TEXT_SOURCES

KNOWN: Mapping[str, Source] = {source.name: source for source in (*SOURCES, EUROSAT, *TEXT_SOURCES, *LEAF_SOURCES)}
"""Where the files of data sets are, by name."""


def names() -> tuple[str, ...]:
    """The names that `load` knows, beside import paths."""
    return tuple(entry.name for entry in catalogue("data set"))


def load(name: str, path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """A data set by name, such as "fashion-mnist" or "my.data.faces:size=32".

    Args:
        name: one of `names()`, or the import path of a class or function that returns what `own_dataset` takes, written
            my.module.load or my.module:load; with arguments after a colon, if it takes any.
        path: a folder with its files. Without it they are looked for where `load_source` says.
        download: whether the network may be used.

    Raises:
        ValueError: there is no data set of that name, or it takes no such arguments.
        DataError: files are missing, damaged or of another data set; or what has that name returns no data set.

    Examples:
        >>> dataset = load("fashion-mnist-subset")  # comes with fedward
        >>> dataset.train.inputs.shape, dataset.classes
        (torch.Size([10000, 1, 28, 28]), 10)
    """
    given: dict[str, Any] = {}
    if path is not None:
        given["path"] = path
    if not download:
        given["download"] = False
    found = recipe(name, "data set")
    if path is not None and "path" not in found.entry.parameters:
        raise OwnDataError(
            f"{found.entry.name} takes no path: leave --data-path out, or give it a parameter called path, "
            f"got {str(path)!r}"
        )
    return own_dataset(found.make(**given), dotted(name))
