"""The audit on disk: one file a run, to which every round adds its lines."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedRandom
from itertools import count
from logging import INFO, WARNING, getLogger
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..disk import check_folder, json_line, json_of, open_regular, open_to_append, replacing, set_aside
from .answers import Reply
from .audit import FORMAT, Audit, told_numbers
from .names import NodeNames

_LONGEST_LINE = 1 << 26
_PIECE = 1 << 20
_logger = getLogger("flwr")


class AuditFile:
    """JSON lines on disk, added as rounds end: what became of the nodes in each, and what the model was found to be.

    A file holds one run. Where another one's rounds are there already, that file gets another name, audit-1.jsonl,
    and the log says so; a run that resumes from a checkpoint continues its file. If that has one more round, which
    it told of and was ended before it could save, or which is another run's, the whole file gets such a name, too, and
    the run goes on in a copy without that round. No line is ever removed. A run that finds that another one has taken
    its place goes on under another name.

    Raises:
        OSError: the file cannot be written to, or its folder is not there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = self._given = Path(path)
        check_folder(self.path)
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder: name a file in it, such as audit.jsonl", str(path))
        with open_to_append(self.path):
            pass  # before a round is spent on it
        self._done: int | None = None
        """After how many rounds the run began, if it said so."""
        self._last: int | None = None
        """The last round that is in it; None until something is to be written."""
        self._evaluated = -1
        self._end: tuple[int, bytes] | None = None
        """Where the line ends that was written last, and that line; None where nothing can be told by it."""

    def begin(self, done: int) -> None:
        """A run begins, or resumes after so many rounds; an earlier run's file is left until this one has a line."""
        self._done, self._last = done, None

    def _start(self, done: int) -> None:
        """Before the first line of a run that has done so many rounds."""
        self.path, self._end = self._given, None
        last, evaluated = _rounds_in(self.path)
        if last == done + 1 > 1 and (whole := _set_aside_whole(self.path, done)) is not None:
            text = "round %d in %s is done once more: the audit as it was is now %s"
            _logger.log(INFO, text, last, self.path, whole)
            last, evaluated = _rounds_in(self.path)
        if last > done or (done == 0 and last >= 0):
            aside = set_aside(self.path)
            _logger.log(INFO, "the audit of an earlier run, %s, is now %s", self.path, aside)
            last, evaluated = -1, -1
        elif last >= 0:
            _logger.log(INFO, "the audit continues in %s, after round %d", self.path, last)
        self._last = last
        self._evaluated = evaluated
        self._end = None if last < 0 else _end_of(self.path)  # nobody else's line may come before this run's first

    def append(self, audit: Audit) -> None:
        """Add one round."""
        if self._last is None or audit.round <= self._last:
            self._start(audit.round - 1 if self._done is None or self._last is not None else self._done)
        self._add(audit.to_json())
        self._last = audit.round

    def append_evaluation(
        self,
        number: int,
        by: Literal["server", "clients"],
        metrics: Mapping[str, Any],
        replies: Sequence[Reply] = (),
        names: NodeNames | None = None,
    ) -> None:
        """Add what the model after a round was found to be, 0 before the first: by the server, or by clients together.

        Args:
            number: of the round.
            by: whom.
            metrics: what was found.
            replies: each client's own, with its metrics.
            names: what they are called.
        """
        if self._last is None:
            self._start(number if self._done is None else self._done)
        if by == "server":
            if number <= self._evaluated:
                return  # a run that resumes evaluates once more what it had at the end
            self._evaluated = number
        called = names or NodeNames("ids")
        nodes = [
            {
                "node": str(reply.node),
                **({"name": called.of(reply.node)} if called.of(reply.node) else {}),
                "metrics": told_numbers(reply.metrics),
            }
            for reply in replies
        ]
        line = {"format": FORMAT, "round": number, "evaluated": by, "metrics": told_numbers(metrics)}
        self._add({**line, **({"nodes": nodes} if nodes else {})})

    def _add(self, entry: Mapping[str, Any]) -> None:
        line = json_line(entry).encode()
        with self._opened() as file:
            self._end = None  # a full disk may take half of the line
            if file.seek(0, os.SEEK_END) and not _ends_a_line(file):
                file.write(b"\n")  # a line that a kill cut short must not swallow this one
            file.write(line)
            end = file.tell()
        self._end = end, line

    def _opened(self) -> BufferedRandom:
        """The file of this run, wherever another one may have moved it that was given the same name."""
        file = open_to_append(self.path)
        if self._end is None or file.seek(0, os.SEEK_END) == 0 or self._is_own(file):
            return file
        file.close()
        found, self.path = self.path, next(place for place in _beside(self._given) if self._may_take(place))
        text = "%s is not as this run left it, so that another run may write there: this one's audit goes on in %s"
        _logger.log(WARNING, text + "; give every strategy an audit of its own", found, self.path)
        return open_to_append(self.path)

    def _may_take(self, place: Path) -> bool:
        """Whether this is the file of this run, or none at all."""
        if not os.path.lexists(place):
            return True
        try:
            with open_regular(place) as file:
                return self._is_own(file)
        except OSError:
            return False

    def _is_own(self, file: BinaryIO) -> bool:
        """Whether a file ends in the line that was written last. Its number says nothing on some file systems."""
        if self._end is None:
            return False
        end, line = self._end
        if file.seek(0, os.SEEK_END) != end:
            return False
        file.seek(end - len(line))
        return file.read(len(line)) == line


def _beside(path: Path) -> Iterator[Path]:
    """The names that files of other runs get, in order."""
    return (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(1))


def _ends_a_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _end_of(path: Path) -> tuple[int, bytes]:
    """Where a file ends, and its last line."""
    position, line = 0, b""
    for line in _lines(path):
        position += len(line)
    return position, line


def _rounds_in(path: Path) -> tuple[int, int]:
    """The last round of an audit, and the last one that its server evaluated; -1 where there is none."""
    last, evaluated = -1, -1
    if not path.exists():
        return last, evaluated
    for line in _lines(path):
        number, by = _told(line)
        last = max(last, number)
        if by == "server":
            evaluated = max(evaluated, number)
    return last, evaluated


def _set_aside_whole(path: Path, done: int) -> Path | None:
    """Set a file aside and leave a copy without later rounds, if these are the last lines; None if they are not.

    Whose a later round is cannot be told: of this run, killed before it could save, of one before an older checkpoint
    was put back, or of another strategy with the same audit. So the copy has less, and what is set aside has all.
    """
    kept, position, later = 0, 0, False
    for line in _lines(path):
        number, _ = _told(line)
        position += len(line)
        if later and 0 <= number <= done:
            return None
        later = later or number > done
        if not later:
            kept = position
    with replacing(path) as new:
        with open_regular(path) as old:
            while kept > 0 and (part := old.read(min(kept, _PIECE))):
                new.write(part)
                kept -= len(part)
        new.flush()  # a full disk leaves the file where it is
        return set_aside(path)


def _told(line: bytes) -> tuple[int, Any]:
    """The round of a line, -1 if it has none, and by whom the model was evaluated."""
    try:
        entry = json_of(line)
        return int(entry["round"]), entry.get("evaluated")
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError):
        return -1, None  # cut short, or of something else


def _lines(path: Path) -> Iterator[bytes]:
    with open_regular(path) as file:
        while line := file.readline(_LONGEST_LINE):
            yield line
