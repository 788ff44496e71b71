"""Where the files of a data set are: found on this machine or downloaded, and known by their checksums."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.client import HTTPException
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..disk import write_whole
from ..failures import MendableError
from .content import Files, FormatError, digest, members, read, unzipped
from .idx import FILES, read_four
from .stored import Stored
from .tables import READERS, split_files

if TYPE_CHECKING:
    from .content import Location

TIMEOUT = 30.0  # seconds without a byte
Reader = Callable[[Files], tuple[Stored, Stored]]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class DataError(MendableError, RuntimeError):
    """A data set cannot be had: the message says which file, what is wrong with it and what to do."""

    hint = "(Or take the data that comes with fedward: --data fashion-mnist-subset.)"
    asked = True


class OwnDataError(DataError):
    """What is wrong with data of the user's own, for whom other data are no remedy."""

    hint = ""


@dataclass(frozen=True, kw_only=True)
class Filing:
    """One way in which the files of a data set lie on disk.

    Args:
        files: their names, which all must be there, each plain or with .gz.
        reader: what makes a training and a test set of them; it is given them in this order.
        folders: where below a data set's folder, such as torchvision's raw.
        archive: name of a zip or tar file that holds them, instead.
    """

    files: tuple[str, ...]
    reader: Reader
    folders: tuple[str, ...] = ("",)
    archive: str = ""

    def found(self, place: Location) -> Files:
        """Those of the files that are there, in this order; an archive stands for all of them."""
        best: Files = {}
        for folder in self.folders:
            below = place / folder if folder else place
            if self.archive:
                file = below / self.archive
                found: Files = dict.fromkeys(self.files, file) if file.is_file() else {}
            else:
                found = _plain_or_zipped(below, self.files)
            if len(found) > len(best):
                best = found
        return best

    def lacking(self, files: Files) -> list[str]:
        """Which of the files are missing."""
        return [name for name in self.files if name not in files]

    def read(self, files: Files) -> tuple[Stored, Stored]:
        """Training and test set.

        Raises:
            FormatError: files are damaged or of another data set, or missing in the archive.
        """
        if self.archive:
            archive = files[self.files[0]]
            assert isinstance(archive, Path)
            inside = members(archive, self.files)
            if lacking := self.lacking(inside):
                raise FormatError(f"it lacks {', '.join(lacking)}", archive)
            files = {name: inside[name] for name in self.files}
        return self.reader(files)


@dataclass(frozen=True, kw_only=True)
class Patterns(Filing):
    """Files of any number, those of the training set beside those of the test set: patterns such as train/*.json."""

    def found(self, place: Location) -> Files:
        """What fits the patterns, by path below the place."""
        if not isinstance(place, Path):
            return {}
        for folder in self.folders:
            below = place / folder
            found: Files = {}
            for pattern in self.files:
                found.update({str(file.relative_to(below)): file for file in sorted(below.glob(pattern))})
            if found:
                return found
        return {}

    def lacking(self, files: Files) -> list[str]:
        """The patterns that nothing fits."""
        return [pattern for pattern in self.files if not any(fnmatch(name, pattern) for name in files)]


FOUR_IDX = Filing(files=FILES, reader=read_four, folders=("", "raw"))


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a data set comes from and how to know it.

    Args:
        name: its name in the registry, in messages and in the cache.
        sha256: by name of file, of the decompressed content: a re-compressed copy is still the same data. That of an
            archive is of the archive. (MD5, where nothing else is published.)
        base: the address of the folder with the files.
        download: what is fetched from there: the files of the first filing, gzipped, or these.
        filings: ways in which the files may lie on disk, the first one preferred.
        tables: what reads .npz, Parquet and CSV files named like train and test, which do, too; by how names end.
        classes: labels are below this.
        counts: samples of the published training and test set, where these are all that there is.
        largest: bytes that a file to be fetched may have, and may hold.
        system: folders in which a package of the operating system installs the files.
        install: the command that installs that package.
        made: how the files are made, where nobody publishes them as they are needed; then nothing is fetched.
        packaged: the files are part of fedward.
    """

    name: str
    sha256: Mapping[str, str] = field(default_factory=dict, repr=False)
    base: str = ""
    download: tuple[str, ...] = ()
    filings: tuple[Filing, ...] = (FOUR_IDX,)
    tables: Mapping[str, Reader] = field(default_factory=lambda: READERS, repr=False)
    classes: int = 10
    counts: tuple[int, int] | None = None
    largest: int = 1 << 27
    system: tuple[str, ...] = ()
    install: str = ""
    made: str = ""
    packaged: bool = False

    @property
    def fetched(self) -> tuple[str, ...]:
        """The names of the files to be fetched, as they lie at the address."""
        return self.download or tuple(f"{name}.gz" for name in self.filings[0].files)

    @property
    def cache(self) -> Path:
        """The folder in the user's cache that downloads go to."""
        return cache_folder() / self.name

    def remedy(self) -> str:
        """How a user gets hold of the data."""
        if self.packaged:
            return "Reinstall fedward, which ships this data set."
        named = "a folder named by path= (--data-path) or by the environment variable FEDWARD_DATA"
        if self.made:
            return f"{self.made}, and put {' and '.join(self.filings[0].files)} into {self.cache} or into {named}."
        package = f"run `{self.install}`, or " if self.install else ""
        files = ", ".join(self.fetched)
        many = {1: "the file"}.get(len(self.fetched), f"the {len(self.fetched)} files")
        if len(self.fetched) == 4:
            many = "the four files"
        plain = " (also without .gz)" if not self.download else ""
        text = f"{package}put {many} {files}{plain} into {self.cache} or into {named}"
        return f"{text[0].upper()}{text[1:]}. Their address: {self.base}"

    def error(self, wrong: str, file: object | None = None, remedy: str = "delete or replace this file") -> DataError:
        """What is wrong, with which file if it is there at all, and the remedy."""
        text = wrong if file is None else f"{file}: {wrong}; {remedy}"
        return DataError(f"{text}. {self.remedy()}")


def read_source(
    source: Source, path: str | PathLike[str] | None = None, *, download: bool = True, others: tuple[Source, ...] = ()
) -> tuple[Stored, Stored]:
    """Training and test set as the files of a data set hold them.

    The files are looked for in `path`, and nowhere else if that is given; then in the folder FEDWARD_DATA of the
    environment (its subfolder of that name, then the folder itself); in the user's cache (XDG_CACHE_HOME or ~/.cache,
    in it fedward and the name); where a package of the operating system has them. At last they are downloaded into the
    cache, and their checksums verified. Files found on this machine need the right structure but not the published
    content, so that variants of a data set can be used.

    Args:
        source: what it is, perhaps one of your own, such as a mirror.
        path: a folder with the files.
        download: whether the network may be used.
        others: data sets whose files have the same names, so that one must not be taken for another.

    Raises:
        DataError: files are missing, damaged or of another data set.
    """
    with located(source, path, download=download, others=others) as found:
        return found.read()


@dataclass(frozen=True, kw_only=True)
class Found:
    """The files of a data set, and how they lie."""

    filing: Filing
    files: Files

    def read(self) -> tuple[Stored, Stored]:
        """Training and test set; raises as `Filing.read`."""
        return self.filing.read(self.files)


@contextmanager
def located(
    source: Source, path: str | PathLike[str] | None = None, *, download: bool = True, others: tuple[Source, ...] = ()
) -> Iterator[Found]:
    """The files, as for `read_source`; what is found wrong with them within the context is a `DataError`."""
    try:
        found = _locate(source, path, download)
        _refuse_other(source, found.files, others)
        yield found
    except FormatError as error:
        raise source.error(str(error), error.file, error.remedy) from error
    except OSError as error:
        raise source.error(f"{source.name}: {error}") from error


# Finding the files


def cache_folder() -> Path:
    """fedward's folder in the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "fedward"


def _plain_or_zipped(folder: Location, names: tuple[str, ...]) -> Files:
    """Those of the files that the folder has, plain or gzipped."""
    found: Files = {}
    for name in names:
        for file in (folder / f"{name}.gz", folder / name):
            if file.is_file():
                found[name] = file
    return found


def _found(source: Source, place: Location, told: str, needed: bool = True, shared: bool = False) -> Found | None:
    """A filing whose files the place has; None, if it has none and need not; some of them are an error."""
    partial: list[tuple[Filing, Files]] = []
    for filing in source.filings:
        files = filing.found(place)
        if files and not filing.lacking(files):
            return Found(filing=filing, files=files)
        if files:
            partial.append((filing, files))
    if isinstance(place, Path):
        for suffix, reader in source.tables.items():
            if files := split_files(place, suffix, source.name if shared else ""):
                return Found(filing=Filing(files=tuple(files), reader=reader), files=files)
    if needed or partial:
        # Of the ways in which they might lie, the one that most is there of.
        filing, files = max(partial, key=lambda pair: len(pair[1]), default=(source.filings[0], {}))
        raise source.error(f"{source.name}: {told} lacks {', '.join(filing.lacking(files))}")
    return None


def _locate(source: Source, path: str | PathLike[str] | None, download: bool) -> Found:
    """All files that are needed, and how they lie."""
    if path is not None:
        folder = Path(os.path.expanduser(path))
        told = f"path={str(path)!r}"
        if not folder.is_dir():
            raise source.error(f"{source.name}: {told} is not a folder")
        return _sure(_found(source, folder, told))
    if source.packaged:
        return _sure(_found(source, resources.files("fedward.data") / "datasets" / source.name, "fedward"))
    looked = []
    if root := os.environ.get("FEDWARD_DATA"):
        folder = Path(os.path.expanduser(root))
        # Neither a mistyped nor an incomplete folder may quietly give other data than the user's own.
        if not folder.is_dir():
            raise DataError(f"{source.name}: FEDWARD_DATA={root!r} is not a folder. Correct it or unset it.")
        for place in _named_in(folder, source):
            looked.append(place)
            told = f"{place} (from FEDWARD_DATA)"
            if found := _found(source, place, told, needed=False, shared=place == folder):
                return found
    for place in (source.cache, *map(Path, source.system)):
        looked.append(place)
        if found := _complete(source, place):
            return found
    reason = "downloading is switched off"
    if download:
        try:
            _download(source)
            return _sure(_found(source, source.cache, str(source.cache)))
        except OSError as error:
            reason = f"the download failed: {error}"
    raise source.error(f"{source.name}: not in {', '.join(dict.fromkeys(map(str, looked)))}; {reason}")


def where(source: Source, below: Path | None = None) -> str:
    """The place on this machine where a data set is found, in words; empty if it is not there, or not whole.

    Args:
        source: which.
        below: a folder to look in, in the place of all others; below it a folder of the data set's name counts, too.
    """
    try:
        if below is None or source.packaged:
            files = _locate(source, None, download=False).files
        else:
            places = {place: _complete(source, place, shared=place == below) for place in _named_in(below, source)}
            files = next((found.files for found in places.values() if found), {})
    except (DataError, OSError):
        return ""
    if source.packaged:
        return "comes with fedward"
    return str(Path(str(next(iter(files.values())))).parent) if files else ""


def _named_in(folder: Path, source: Source) -> tuple[Path, ...]:
    """Where in a folder for several data sets this one may be; each place once."""
    return tuple(dict.fromkeys((folder / source.name, folder / source.name.replace("-", "_"), folder)))


def _complete(source: Source, place: Path, shared: bool = False) -> Found | None:
    """What `_found` finds; nothing, if some of the files are missing: a download may have been cut short."""
    try:
        return _found(source, place, "", needed=False, shared=shared)
    except DataError:
        return None


def _sure(found: Found | None) -> Found:
    assert found is not None
    return found


def _refuse_other(source: Source, files: Files, others: tuple[Source, ...]) -> None:
    """Stop if these are the files of another data set: those of several have the same names."""
    name = FILES[1]  # a data set is known by its labels, which are small
    if name not in files:
        return
    found = digest(read(files[name])[0])
    for other in others:
        if found == other.sha256.get(name) and found != source.sha256.get(name):
            raise DataError(
                f"{files[name]}: this is {other.name}, not {source.name}. Give each data set its own folder; "
                f"in the folder FEDWARD_DATA these are {source.name} and {other.name}."
            )


# Downloading


def _download(source: Source) -> None:
    """Fetch the missing files into the cache; a file is there whole and verified, or not at all."""
    folder = source.cache
    if source.made:
        raise OSError("nobody publishes these files")
    address = urlsplit(source.base)
    if address.scheme != "https" and address.hostname not in LOOPBACK:
        raise OSError(f"{source.base}: fetched over https alone")
    folder.mkdir(parents=True, exist_ok=True)
    for fetched in source.fetched:
        name = fetched if fetched in source.sha256 else fetched.removesuffix(".gz")
        if (folder / fetched).is_file() or (folder / name).is_file():
            continue
        _fetch(source, f"{source.base.rstrip('/')}/{fetched}", folder / fetched, source.sha256[name], name == fetched)


def _fetch(source: Source, address: str, target: Path, expected: str, as_it_is: bool) -> None:
    """One file, if its content has the checksum: as it is, or decompressed."""
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
            sent = answer.read(source.largest + 1)
    except (OSError, HTTPException) as error:
        raise OSError(f"{address}: {error}") from error
    content, trouble = (bytearray(sent), "") if as_it_is else unzipped(sent, source.largest)
    if trouble or digest(content, expected) != expected:
        kind = "MD5" if len(expected) == 32 else "SHA-256"
        raise source.error(
            f"{address}: the download is not the published file, or damaged: {len(sent):,} "
            f"bytes, {len(content):,} decompressed{trouble}, {kind} {digest(content, expected)}, expected "
            f"{expected}. Nothing of it was kept; try again"
        )
    write_whole(target, sent)
