"""PyTorch's files, of which nothing but tensors is ever loaded."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..failures import tamed
from ..stack.entries import UnfitError
from .apart import copied

USUAL = ("state_dict", "model_state_dict", "model", "module", "params", "weights", "net")
"""What training scripts call the model in a file that holds more."""
_DEEPEST = 4
_MOST_SEEN = 100_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Pickled:
    """A state dict in a file.

    Attributes:
        tensors: by name.
        key: where in the file it is; "" at the top.
        others: where there are as many tensors of the same shapes, which may be meant as well; none if a key was given.
    """

    tensors: Mapping[str, Tensor]
    key: str = ""
    others: tuple[str, ...] = ()


def read_torch(path: Path, key: str | None = None, *, lenient: bool = False) -> Pickled:
    """The state dict in a file that `torch.save` wrote, mapped from a copy of it.

    ``weights_only``, always: a pickle of anything else is code that its sender wrote. Files of before PyTorch 1.6 are
    refused: of those it is not known how much memory they take before they have taken it.

    Args:
        path: the file.
        key: where in it the model is, ``model.state``; the one mapping of names to tensors that it holds if None.
        lenient: a key that leads nowhere is for other files, and none for this one.

    Raises:
        UnfitError: it cannot be read, holds anything but data, or no model, or several.
    """
    with copied(path) as copy:
        return _loaded(copy, key, lenient)


def _loaded(path: Path, key: str | None, lenient: bool) -> Pickled:
    size = _checked(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise UnfitError(ValueError, _refused(str(error))) from None
    except (MemoryError, RecursionError, OSError):
        raise
    except Exception as error:  # whatever a damaged file makes its reader stumble over
        raise UnfitError(ValueError, f"is damaged or no file of PyTorch's ({_first(error)})") from None
    found = _chosen(loaded, key, lenient)
    for name, tensor in found.tensors.items():
        if tensor.layout == torch.strided and not tensor.is_meta and tensor.numel() * tensor.element_size() > size:
            raise UnfitError(ValueError, f"{tamed(name)} claims more entries than the file has")
    return found


def _checked(path: Path) -> int:
    """The size of a file whose parts lie in it as they are; a compressed one could be far larger than it looks."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
            file.seek(0)
            cut = file.read(2) == b"PK"  # as an archive begins, whose list of contents is at its end
            why = "is cut off or damaged: it has to be sent anew" if cut else "is damaged, or of before PyTorch 1.6"
            anew = "" if cut else ": save it anew with torch.save(model.state_dict(), file)"
            raise UnfitError(ValueError, f"{why}{anew}") from None
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise UnfitError(ValueError, "has compressed parts, which torch.save never writes")
    if sum(entry.file_size for entry in entries) > size or any(
        entry.compress_size != entry.file_size for entry in entries
    ):
        raise UnfitError(ValueError, "claims to hold more than it has")
    return size


def _refused(said: str) -> str:
    """What of PyTorch's refusal is worth telling; its advice to load the file all the same is not."""
    found = re.search(r"GLOBAL ([\w.]+)", said)
    what = f" ({tamed(found[1], 80)})" if found else ""
    return (
        f"holds what is neither tensors nor numbers{what}; pickles run code, so it is not loaded: send the state dict"
    )


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return tamed(lines[0] if lines else type(error).__name__, 120)


def _chosen(loaded: object, key: str | None, lenient: bool) -> Pickled:
    if not key:
        return _search(loaded)
    try:
        return Pickled(tensors=_at(loaded, key), key=key)
    except UnfitError as error:
        if not lenient:
            raise
        lacking = error
    try:
        return _search(loaded)
    except UnfitError as error:
        raise UnfitError(ValueError, f"{lacking.text}, and {error.text}") from None


def _at(loaded: object, key: str) -> Mapping[str, Tensor]:
    """The mapping under a key, whose parts are parted by dots."""
    here: Any = loaded
    for part in key.split("."):
        if not isinstance(here, Mapping) or part not in here:
            raise UnfitError(ValueError, f"has no {tamed(key)!r}")
        here = here[part]
    found = _tensors_of(here)
    if not found:
        raise UnfitError(ValueError, f"has no tensors under {tamed(key)!r}")
    return found


def _search(loaded: object) -> Pickled:
    """The model in whatever was saved: the mapping of names to tensors that goes by a usual name, or the only one."""
    found = dict(_mappings(loaded))
    if not found:
        raise UnfitError(ValueError, f"holds no tensors by name, but {tamed(type(loaded).__name__)}: send a state dict")
    if "" in found and (len(found) == 1 or len(found[""]) >= max(map(len, found.values()))):
        return _taken(found, "")
    usual = [where for where in found if where.rpartition(".")[2] in USUAL]
    candidates = usual or [where for where in found if where]
    if len(candidates) != 1:
        names = ", ".join(tamed(where, 40) for where in candidates[:5])
        raise UnfitError(ValueError, f"holds several models ({names}): say with key which one is meant")
    return _taken(found, candidates[0])


def _taken(found: Mapping[str, Mapping[str, Tensor]], key: str) -> Pickled:
    """One of the mappings, and which of the others could be the model as well."""
    shapes = _shapes(found[key])
    alike = tuple(where for where, tensors in found.items() if where != key and _shapes(tensors) == shapes)
    return Pickled(tensors=found[key], key=key, others=alike)


def _shapes(tensors: Mapping[str, Tensor]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(tensor.shape) for tensor in tensors.values())


def _mappings(loaded: object) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Mappings of names to tensors, by where they are; not those within one, and none twice."""
    level: list[tuple[str, object]] = [("", loaded)]
    seen: set[int] = set()
    for _ in range(_DEEPEST):
        below: list[tuple[str, object]] = []
        for where, value in level:
            if not isinstance(value, Mapping) or id(value) in seen:
                continue
            seen.add(id(value))
            if tensors := _tensors_of(value):
                yield where, tensors
            prefix = f"{where}." if where else ""
            below += [(f"{prefix}{name}", inner) for name, inner in value.items() if isinstance(name, str)]
            if len(below) > _MOST_SEEN:
                raise UnfitError(ValueError, "holds too many mappings to find a model in")
        level = below


def _tensors_of(value: object) -> dict[str, Tensor]:
    """The tensors of a mapping by name; what else is in it is left out."""
    if not isinstance(value, Mapping):
        return {}
    return {name: t for name, t in value.items() if isinstance(name, str) and isinstance(t, Tensor)}
