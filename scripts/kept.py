"""Runs that other code has finished, and that count all the same: this code makes their first rounds again.

What is made in hours should not be thrown away for a line that does not concern it. A run of the same specification is
played again for its first rounds; where every figure of them is what it was, to the last digit, a mark beside the run
says which code has played it again. It is collected with the run, so that nobody takes one code for the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fedward.disk import write_whole
from fedward.experiments.run import execute
from fedward.experiments.spec import RunSpec, SpecError, make_spec
from fedward.experiments.store import RunFolder
from fedward.experiments.versions import code, versions
from fedward.sim import Record

ROUNDS = 12
"""That are played again, or all of a run that has fewer: so many that rules with a memory have begun to act on it."""
_MARK = "replayed.json"


def mark(place: Path) -> dict[str, Any] | None:
    """Which code has played the run again, and how many rounds; None where none has."""
    try:
        found: dict[str, Any] = json.loads((place / _MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def set_mark(place: Path, rounds: int) -> None:
    """Say that this code has played so many rounds of the run again."""
    write_whole(place / _MARK, json.dumps({"rounds": rounds, "versions": versions()}) + "\n")


def forget(place: Path) -> None:
    """Take the mark away."""
    (place / _MARK).unlink(missing_ok=True)


def counts(place: Path) -> bool:
    """Whether this code has played the run again."""
    return (mark(place) or {}).get("versions", {}).get("code") == code()


def whole(spec: RunSpec, place: Path) -> bool:
    """Whether there is a whole run of this specification, by whatever code; of one code, that is."""
    try:
        head = RunFolder(place).read_head()
        return len(head.codes) == 1 and same(head.config, spec) and RunFolder(place).rounds == spec.rounds
    except (OSError, ValueError):
        return False


def same(config: Mapping[str, Any], spec: RunSpec) -> bool:
    """Whether a specification as it was written down is this one, what has been added since at its default."""
    try:
        return make_spec(config).resolved() == spec.resolved()
    except SpecError:
        return False


def played_again(spec: RunSpec, place: Path) -> bool:
    """Play the first rounds of a whole run again; whether they are the same, which the mark says from then on."""
    rounds = min(ROUNDS, spec.rounds)
    before = RunFolder(place).read_records().records[:rounds]
    with TemporaryDirectory() as folder:
        execute(spec.model_copy(update={"rounds": rounds}), Path(folder))
        now = RunFolder(Path(folder)).read_records().records
    if not all(map(_alike, before, now)):
        return False
    set_mark(place, rounds)
    return True


def _alike(a: Record, b: Record) -> bool:
    """Whether two records of a round have the same figures; a test that one of them lacks was not due there."""
    if (a.round, a.marks, a.note, a.skipped, a.train_loss) != (b.round, b.marks, b.note, b.skipped, b.train_loss):
        return False
    measured = ((a.accuracy, b.accuracy), (a.loss, b.loss))
    if any(x != y for x, y in measured if x is not None and y is not None):
        return False
    return dict(a.scores) == dict(b.scores)
