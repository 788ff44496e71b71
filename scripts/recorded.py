"""Runs that a folder of results holds itself, in its ``runs.json``, where the folders of the runs are no more.

What takes hours is made on several days, and perhaps in several clones. A run that ``runs.json`` has whole, of the same
specification and by this code, is finished in each of them. One of other code counts if this code makes its first
rounds again, as for the folders of runs (`kept`): held against each other are tests, scores and decisions, as far as
``runs.json`` has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import collect_runs
import kept
from experiments import Job

from fedward.experiments.run import execute
from fedward.experiments.versions import code

_SAID = ("config", "versions")
"""Tables of a run that are no figures."""


def whole(job: Job) -> bool:
    """Whether there is a whole run of this specification, by whatever code; of one code, that is."""
    run = job.recorded
    if run is None or run.get("rounds") != job.spec.rounds:
        return False
    return len({_code_of(part) for part in (run, *run.get("earlier", ()))}) == 1 and kept.same(run["config"], job.spec)


def counts(job: Job, work: Path) -> bool:
    """Whether it is whole, and this code has made it or has played it again."""
    return whole(job) and code() in _answerable(run_of(job, work))


def run_of(job: Job, work: Path) -> dict[str, Any]:
    """The run as it stands there, with the mark of who has played it again since."""
    run = dict(job.recorded or {})
    mark = kept.mark(job.place(work))
    return run if mark is None else {**run, "replayed": mark}


def _answerable(run: Mapping[str, Any]) -> set[str | None]:
    """Which code answers for a run: that which has made it, and that which has played it again."""
    return {_code_of(run), _code_of(run.get("replayed", run))}


def _code_of(part: Mapping[str, Any]) -> str | None:
    """Digest of the code that made a run, or rounds of it; None where nobody knows."""
    found: str | None = (part.get("versions") or {}).get("code")
    return found


def played_again(job: Job, work: Path) -> bool:
    """Play its first rounds again, a test at least; whether they are the same, which a mark says from then on."""
    run = job.recorded or {}
    tests = [int(number) for number in run.get("accuracy_by_round", {})]
    rounds = min(max(kept.ROUNDS, min(tests, default=0)), job.spec.rounds)
    with TemporaryDirectory() as folder:
        execute(job.spec.model_copy(update={"rounds": rounds}), Path(folder))
        now = collect_runs.collected(Path(folder))
    if not _alike(run, now):
        return False
    job.place(work).mkdir(parents=True, exist_ok=True)
    kept.set_mark(job.place(work), rounds)
    return True


def _alike(run: Mapping[str, Any], start: Mapping[str, Any]) -> bool:
    """Whether a run begins like another: tests that both have, and whatever else is put down of each round."""
    tests = [key for key in start if key.endswith("_by_round")]
    both = [(key, number) for key in tests for number in start[key].keys() & run.get(key, {}).keys()]
    if not both or any(start[key][number] != run[key][number] for key, number in both):
        return False
    lists = [key for key, value in start.items() if isinstance(value, list)]
    if any(run.get(key, [])[: len(start[key])] != start[key] for key in lists):
        return False
    scores = [key for key, value in start.items() if isinstance(value, dict) and key not in (*tests, *_SAID)]
    return all(run.get(key, {}).items() >= start[key].items() for key in scores)
