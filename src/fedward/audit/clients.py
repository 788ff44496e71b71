"""Who is there: files, folders and globs as clients, each with a name."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..disk import open_regular
from ..failures import MendableError, tamed

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".npz")
"""Files that may hold a model."""
_UNREAD = (".pkl", ".pickle", ".joblib", ".onnx", ".h5", ".hdf5", ".keras", ".gguf", ".tflite", ".pb", ".msgpack")
"""Files of models that are not read: of whoever sent nothing else nothing can be used, which is a verdict."""
_HARMLESS = (".html", ".json", ".jsonl", ".md", ".txt", ".log", ".csv", ".yaml", ".toml", ".png", ".pdf", ".svg")
"""Files that nobody takes for models; a note names them last."""
_BESIDE = "__MACOSX"
"""The folder in which macOS keeps in an archive what its files are."""
ADAPTER_CONFIG = "adapter_config.json"
INDEX = ".index.json"
# Bytes of two files that are held against each other together.
_AT_A_TIME = 1 << 20


class AuditError(MendableError, ValueError):
    """What the caller gave cannot be audited: no clients, a bad base, weights without a base."""

    asked = True


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a client's model is: a file, or a folder that holds one.

    ``within`` is the folder that was named by the caller; nothing outside of it is read for this client. None if the
    caller named the file itself.
    """

    name: str
    path: Path
    within: Path | None = None

    def outside(self, file: Path) -> bool:
        """Whether a link leads from the folder to a file elsewhere."""
        return self.within is not None and not file.resolve().is_relative_to(self.within.resolve())


@dataclass(frozen=True, kw_only=True)
class Clients:
    """Clients in order, and what lies beside them and is none: the base, and what is no model, or hidden.

    ``alike`` are folders that hold several clients of the same names, as rounds of the same clients do.
    """

    places: tuple[Place, ...]
    ignored: tuple[Path, ...]
    bases: tuple[Path, ...] = ()
    alike: tuple[Path, ...] = ()


def find_clients(arguments: Iterable[str | os.PathLike[str]], besides: Path | None = None) -> Clients:
    """Clients in files, folders and globs.

    A folder with an adapter, an index of shards or a single model is one client and gives it its name; of any other
    folder each model and each folder in it is one; what is hidden there is none. Files are named without their suffix,
    by more of their path where that would not tell them apart. What is not there is a client all the same, of whom
    nothing can be read.

    Args:
        arguments: as above.
        besides: the base, which is no client though it may lie among them.

    Raises:
        AuditError: a glob matches nothing, there is no client, or what came is one path and no list of them.
    """
    if isinstance(arguments, str | os.PathLike):
        raise AuditError(f"clients is a list of files, folders and globs, got {arguments!r}: pass [...] around it")
    places: list[Place] = []
    ignored: list[Path] = []
    for argument in arguments:
        for path in _expanded(os.fspath(argument)):
            if path.name == _BESIDE:
                ignored.append(path)
            elif path.is_dir():
                places += _in_folder(path, ignored)
            else:
                places.append(Place(name=path.stem, path=path))
    bases = {place.path for place in places if _is_base(place, besides)}
    chosen = {os.path.abspath(place.path): place for place in places if place.path not in bases}
    if not chosen:
        raise AuditError("there is no client: name files, folders or globs that hold models, one a client")
    ignored.sort(key=lambda path: (path.suffix.lower() in _HARMLESS, *_natural(path.name)))
    found = list(chosen.values())
    return Clients(places=tuple(_named(found)), ignored=tuple(ignored), bases=tuple(sorted(bases)), alike=_alike(found))


def lies_among(path: Path, argument: str | os.PathLike[str]) -> bool:
    """Whether `find_clients` would find what is written at a path by this argument: below a folder, or by a glob."""
    if os.path.isdir(argument):
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(argument))
    if os.path.lexists(argument) or not glob.has_magic(os.fspath(argument)):
        return False
    pattern = os.path.join(glob.escape(os.getcwd()), argument)  # which is the argument, if that begins at the root
    return Path(os.path.abspath(path)).match(os.path.normpath(pattern))


def is_adapter(path: Path) -> bool:
    """Whether a path is the folder of an adapter."""
    return (path / ADAPTER_CONFIG).exists()


def is_client(folder: Path) -> bool:
    """Whether a folder is one client's: it has an adapter or an index of shards."""
    return is_adapter(folder) or bool(indices_in(folder))


def indices_in(folder: Path) -> list[Path]:
    """Indices of shards in a folder."""
    return sorted(path for path in folder.iterdir() if path.name.endswith(INDEX) and not _is_hidden(path))


def nothing_at(path: Path) -> str:
    """Why nobody can have a model at a path: it is not there, or a folder without one; "" if somebody may."""
    if not os.path.lexists(path):
        return f"{tamed(path)}: no such file or folder"
    try:
        empty = path.is_dir() and not is_client(path) and not models_in(path)
    except OSError:  # nobody may look into it
        return ""
    return f"{tamed(path)} holds no models ({', '.join(SUFFIXES)}, or adapters)" if empty else ""


def models_in(folder: Path) -> list[Path]:
    """Files in a folder that may hold a model, client-2 before client-10; none that is hidden."""
    return [path for path in _seen_in(folder) if path.suffix.lower() in SUFFIXES and not path.is_dir()]


def _expanded(argument: str) -> list[Path]:
    if os.path.lexists(argument) or not glob.has_magic(argument):
        return [Path(argument)]
    found = sorted(map(Path, glob.glob(argument)), key=_natural)
    if not found:
        raise AuditError(f"nothing matches {tamed(argument)}")
    return [path for path in found if _BESIDE not in path.parts[:-1] or _BESIDE in argument]


def _in_folder(folder: Path, ignored: list[Path]) -> list[Place]:
    if is_client(folder):
        return [Place(name=_name_of(folder), path=folder, within=folder)]
    models = models_in(folder)
    folders = [path for path in _seen_in(folder) if path.is_dir()]
    unread = _unread_in(folder, [*(path.stem for path in models), *(path.name for path in folders)])
    hidden = [path for path in folder.iterdir() if _is_hidden(path) and _may_hold_model(path)]
    if not folders and (len(models) == 1 or len(models) + len(unread) <= 1):
        ignored += [*hidden, *(unread if models else [])]
        return [Place(name=_name_of(folder), path=[*models, *unread, folder][0], within=folder)]
    others = {*models, *folders, *unread}
    ignored += [*hidden, *(path for path in _seen_in(folder) if path not in others)]
    files = [Place(name=path.stem, path=path, within=folder) for path in (*models, *unread)]
    places = [*files, *(_one_client(path, folder) for path in folders)]
    return sorted(places, key=lambda place: (_natural(place.name), _natural(place.path)))


def _one_client(folder: Path, within: Path) -> Place:
    """A folder among others, which is one client's whatever is in it."""
    try:
        models = [] if is_client(folder) else models_in(folder) or _unread_in(folder)
    except OSError:  # for whoever reads it to say
        models = []
    return Place(name=_name_of(folder), path=models[0] if len(models) == 1 else folder, within=within)


def _seen_in(folder: Path) -> list[Path]:
    """What is in a folder and not hidden, client-2 before client-10."""
    return sorted((path for path in folder.iterdir() if not _is_hidden(path)), key=_natural)


def _is_hidden(path: Path) -> bool:
    """Whether a system put something there for itself, or somebody put it aside: a point before its name says so."""
    return path.name.startswith(".") or path.name == _BESIDE


def _may_hold_model(hidden: Path) -> bool:
    """Whether something hidden may be missed by who reads the verdicts."""
    if not hidden.is_dir():
        return hidden.suffix.lower() in (*SUFFIXES, *_UNREAD)
    try:
        return hidden.name == _BESIDE or is_client(hidden) or bool(models_in(hidden))
    except OSError:  # nobody may look into it, nor is asked to
        return False


def _unread_in(folder: Path, read: Collection[str] = ()) -> list[Path]:
    """Models in a folder that cannot be read; not those of a name that one has which can: they were made of it."""
    found = [path for path in _seen_in(folder) if path.suffix.lower() in _UNREAD and not path.is_dir()]
    return [path for path in found if path.stem not in read]


def _name_of(folder: Path) -> str:
    return folder.name or folder.resolve().name


def _named(places: Sequence[Place]) -> list[Place]:
    """The same places, each with a name that no other has."""
    shared = Path(os.path.commonpath([os.path.abspath(place.path) for place in places])) if len(places) > 1 else None
    longer: Sequence[Callable[[Place], str]] = (
        lambda place: place.name,
        lambda place: place.path.parent.name,
        lambda place: place.path.name,
        lambda place: str(place.path.parent / place.path.stem),
        lambda place: os.path.relpath(place.path, shared),
    )
    for naming in longer:
        names = [naming(place) for place in places]
        if max(Counter(names).values()) == 1 and all(names):
            break
    return [Place(name=name, path=p.path, within=p.within) for name, p in zip(names, places, strict=True)]


def _alike(places: Sequence[Place]) -> tuple[Path, ...]:
    """Folders that hold several clients of the same names."""
    held: dict[Path, set[str]] = {}
    for place in places:
        held.setdefault(place.within or place.path.parent, set()).add(place.name)
    counts = Counter(name for names in held.values() for name in names)
    shared = {name for name, count in counts.items() if count > 1}
    return tuple(folder for folder, names in held.items() if len(names & shared) > 1)


def _is_base(place: Place, base: Path | None) -> bool:
    """Whether a model among the clients' is the base: the very file or folder, or in a folder a copy of its name.

    A copy under another name is a client that changed nothing, which is for rules to say.
    """
    path = place.path
    if base is None or not path.exists() or not base.exists():
        return False
    if path.samefile(base) or (base.is_dir() and path.parent.samefile(base) and models_in(base) == [base / path.name]):
        return True
    among_others = place.within == path.parent and place.name == (path.name if path.is_dir() else path.stem)
    return among_others and path.name == base.name and _is_copy(path, base)


def _is_copy(path: Path, other: Path) -> bool:
    """Whether two files hold the same, or two folders the same models with the same configurations and indices."""
    if not (path.is_dir() and other.is_dir()):
        return _same_bytes(path, other)
    names, others = ([file.name for file in _read_in(folder)] for folder in (path, other))
    return names == others and bool(names) and all(_same_bytes(path / name, other / name) for name in names)


def _read_in(folder: Path) -> list[Path]:
    """The files of a client's folder that are read."""
    config = folder / ADAPTER_CONFIG
    return [*models_in(folder), *indices_in(folder), *([config] if config.exists() else [])]


def _same_bytes(path: Path, other: Path) -> bool:
    try:
        with open_regular(path) as one, open_regular(other) as two:
            if os.fstat(one.fileno()).st_size != os.fstat(two.fileno()).st_size:
                return False
            while part := one.read(_AT_A_TIME):
                if part != two.read(_AT_A_TIME):
                    return False
    except OSError:  # for whoever reads it to say
        return False
    return True


def _natural(name: str | Path) -> tuple[tuple[int, int, str], ...]:
    """To sort by: client-2 before client-10."""
    parts = re.split(r"(\d+)", str(name))
    return tuple((int(part.isdigit()), int(part) if part.isdecimal() and len(part) < 20 else 0, part) for part in parts)
