"""Where clients' models are, and what may not be written there."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..disk import check_folder
from ..failures import no_page, tamed
from ..stack import CENTRES
from ..stack.entries import UnfitError
from ..stack.written import WRITTEN
from .clients import AuditError, Place, find_clients, is_adapter, lies_among
from .formats import read_contents


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where clients' models are, and how they are read; see `gather`."""

    clients: Sequence[str | os.PathLike[str]]
    base: str | os.PathLike[str] | None = None
    raw: bool = False
    key: str | None = None
    strict: bool = False
    """Whether a client of whom nothing can be used is an error."""

    def words(self) -> list[str]:
        """What a command is given to read the same; a name that begins with a dash is no option."""
        names = [os.fspath(client) for client in self.clients]
        words = [os.path.join(os.curdir, name) if name.startswith("-") else name for name in names]
        for option, value in (("--base", self.base), ("--key", self.key)):
            words += [] if value is None else [option, os.fspath(value)]
        return words + ["--raw"] * self.raw + ["--strict"] * self.strict

    def audit_telling(self, f: int) -> str:
        """The command that audits the same clients, with rules that are told of so many byzantine ones."""
        return tamed(shlex.join(["fedward", "audit", *self.words(), "--f", str(f)]), 1000)

    @property
    def base_name(self) -> str:
        """What the base is called."""
        return "" if self.base is None else tamed(os.fspath(self.base))

    @property
    def base_path(self) -> Path | None:
        """Where the base is; None if there is none, or it is a centre of the clients."""
        return None if self.base is None or str(self.base) in CENTRES else Path(self.base)


def check_output(output: Path, source: ModelSource | None = None) -> None:
    """Refuse before any work what could not be written after it, or would replace the base or become a client.

    Raises:
        AuditError: a format that is not written, a folder that is not there, the base, or a place among the clients.
    """
    known = not output.suffix or output.suffix in WRITTEN
    if not known and (source is None or not _of_adapters(source)):  # adapters' folder may be called anything: llama-3.1
        raise AuditError(f"{tamed(output)}: the output is one of {', '.join(WRITTEN)}, or of adapters a new folder")
    if not output.absolute().parent.is_dir():
        raise AuditError(f"{tamed(output)}: there is no folder {tamed(output.parent)}; make it first")
    if source is None:
        return
    base = source.base_path
    if base is not None and os.path.realpath(output) == os.path.realpath(base):
        raise AuditError(f"{tamed(output)} is the base: name another file to write")
    if not os.path.lexists(output) and any(lies_among(output, argument) for argument in source.clients):
        raise AuditError(
            f"{tamed(output)} lies among the clients, so that the next audit would take it for one: write it elsewhere"
        )


def _of_adapters(source: ModelSource) -> bool:
    """Whether it is an adapter that will be written: what the base is, or else most clients sent that can be read.

    Of what is not there this is true, too: whoever reads it says so.
    """
    if source.base_path is not None:
        return is_adapter(source.base_path) or not os.path.lexists(source.base_path)
    places = find_clients(source.clients).places
    if not any(is_adapter(place.path) for place in places):
        return not any(os.path.lexists(place.path) for place in places)
    kinds = [is_adapter(place.path) for place in places if _is_read(place, source.key)]
    return 2 * sum(kinds) > len(kinds) or not kinds


def _is_read(place: Place, key: str | None) -> bool:
    try:
        read_contents(place, key, keep=False)
    except UnfitError:
        return False
    return True


def check_page(page: Path, source: ModelSource, output: Path | None = None) -> None:
    """Refuse before any work a page that could not be written after it, or would replace what is read or written.

    Raises:
        AuditError: it is a folder, a client's, the base, the model that is to be written, or of another format.
        NoFolderError: its folder is not there.
    """
    check_folder(page)
    if why := no_page(page):
        raise AuditError(why)
    if page.is_dir():
        raise AuditError(f"{tamed(page)} is a folder: name a file to write, such as {tamed(page / 'audit.html')}")
    place = os.path.realpath(page)
    if output is not None and place == os.path.realpath(output):
        raise AuditError(f"{tamed(page)}: the model is written there; name another file for the page")
    base = source.base_path
    if base is not None and place == os.path.realpath(base):
        raise AuditError(f"{tamed(page)} is the base: name another file for the page")
    if place in {os.path.realpath(client.path) for client in find_clients(source.clients, besides=base).places}:
        raise AuditError(f"{tamed(page)} is a client's: name another file for the page")
