"""Make the folders of results: every run of their ``experiment.toml``, then their JSON files, pictures and tables.

    make results                             # all of them: hours
    make results ONLY="behaviour signguard"  # these, in this order
    make results JOBS=4                      # as many processes; all cores if not given
    make results ONLY=fedseca HOW=--dry-run  # what is to be done, and about how long it takes
    make results ONLY=fedseca HOW=--write    # write the folder with the runs that are finished, run nothing
    make results HOW=--keep                  # runs of other code count, if this code makes their first rounds again

It can be stopped at any time, killed too: the same command resumes. Runs that this code has finished are kept, those
too that ``runs.json`` alone has, as another clone wrote it; those of other code are made anew. Runs are made in the
order of ``experiment.toml``, what is most urgent first. A folder is written when all of its runs are there; ``--write``
writes it before, and its tables say what is not run yet.
Folders that measure time or memory are made only where ``ONLY`` names them, after the others, on a machine that must be
quiet.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import ages
import collect_runs
import kept
import recorded
from experiments import RESULTS, ROOT, Experiment, Job, names, read, recorded_in

from fedward.disk import write_whole
from fedward.experiments.pool import Failed, StoppedError, cores, run_jobs, stop_if_asked
from fedward.experiments.run import execute
from fedward.experiments.spec import SpecError
from fedward.experiments.store import RunFolder, lines_in
from fedward.experiments.versions import code, commit
from fedward.redteam import attacks_on, examination_steps, examine, load_examination

WORK = ROOT / "runs" / "results"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a job: seconds, what there is to say of it, and whether it failed."""

    seconds: float
    text: str
    failed: bool = False


# --- one job ------------------------------------------------------------------------------------------------


def finished(job: Job, work: Path) -> bool:
    """Whether this code has finished it."""
    place = job.place(work)
    if job.options is not None:
        return _ours(job, work) and lines_in(place) > examination_steps(
            job.options.get("attacks", attacks_on(job.spec.make_rule())), job.options.get("worst", 3)
        )
    return in_a_folder(job, work) or recorded.counts(job, work)


def in_a_folder(job: Job, work: Path) -> bool:
    """Whether the folder of a run has all of it, made by this code or played again by it."""
    place = job.place(work)
    if _ours(job, work):
        return RunFolder(place).rounds == job.spec.rounds
    return kept.counts(place) and kept.whole(job.spec, place)


def run_of(job: Job, work: Path) -> dict[str, Any]:
    """A finished run: from its folder, or as the folder of results has it."""
    return collect_runs.collected(job.place(work)) if in_a_folder(job, work) else recorded.run_of(job, work)


def _ours(job: Job, work: Path) -> bool:
    """Whether all that is there was made by this code, of this specification."""
    place = job.place(work)
    try:
        if job.options is not None:
            found = load_examination(place)
            same = all(found.settings.get(key) == value for key, value in _plain(job).items() if key != "attack")
            return same and {(v or {}).get("code") for v in found.versions} == {code("redteam")}
        head = RunFolder(place).read_head()
        return head.config == _plain(job) and head.codes == {code()}
    except (OSError, ValueError):
        return False


def _plain(job: Job) -> dict[str, Any]:
    """The specification as a file gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(job.spec.resolved()))
    return plain


def carried_out(job: Job, work: Path, expected: str, keep: bool = False) -> Outcome:
    """A run or an examination, resumed or made anew; what it raises is told, and ends no other.

    With ``keep`` a whole run of other code counts if its first rounds come out the same.
    """
    start = time.perf_counter()
    place = job.place(work)
    try:
        if code("redteam") != expected:
            raise RuntimeError("the code has changed since the others were begun: start the same command again")
        if not _ours(job, work):
            if keep and job.options is None and _kept(job, work):
                return Outcome(seconds=time.perf_counter() - start, text="kept: its first rounds come out the same")
            _clear(place)
        if job.options is not None:
            worst = examine(job.spec, place, **job.options).worst()[0][1]
            return Outcome(seconds=time.perf_counter() - start, text=f"worst {worst.attack}, kappa {worst.kappa:.3g}")
        stop_if_asked()
        found = execute(job.spec, place, on_record=lambda record: stop_if_asked())
        best = found.best_accuracy or 0.0
        last = found.final_accuracy or 0.0
        return Outcome(seconds=time.perf_counter() - start, text=f"best {best:.2%}, last {last:.2%}")
    except StoppedError:
        raise
    except Exception as error:  # one of many: the others continue, and the same command tries it again
        return Outcome(
            seconds=time.perf_counter() - start, text=f"FAILED: {type(error).__name__}: {error}", failed=True
        )


def _kept(job: Job, work: Path) -> bool:
    """Whether there is a whole run of other code, in its folder or in the folder of results, that begins the same."""
    place = job.place(work)
    if kept.whole(job.spec, place):
        return kept.played_again(job.spec, place)
    return recorded.whole(job) and recorded.played_again(job, work)


def _clear(place: Path) -> None:
    if place.is_file():
        place.unlink()
    elif place.exists():
        RunFolder(place).clear()
        kept.forget(place)


# --- all of them --------------------------------------------------------------------------------------------


def make(experiments: Sequence[Experiment], work: Path, workers: int, keep: bool = False) -> list[str]:
    """Carry out what is missing, write each folder as soon as it is complete; what has failed."""
    expected = code("redteam")
    jobs = {job.place(work): job for e in experiments for job in e.jobs}
    missing = {place: job for place, job in jobs.items() if not finished(job, work)}
    open_ = {e.name: sum(job.experiment == e.name for job in missing.values()) for e in experiments if e.jobs}
    tell(f"{len(missing)} of {len(jobs)} to do on {workers} processes; commit {commit()}, code {code()}")
    failures: list[str] = []
    by_name = {e.name: e for e in experiments}
    for name, count in open_.items():
        if not count:
            write(by_name[name], work)
    ended = 0

    def told(place: Path, outcome: Outcome | Failed) -> None:
        nonlocal ended
        if isinstance(outcome, Failed):
            outcome = Outcome(seconds=0.0, text=f"FAILED: {outcome.why}", failed=True)
        job = missing[place]
        ended += 1
        tell(f"{ended}/{len(missing)} {job.experiment}: {job.name}: {outcome.text} ({outcome.seconds:.0f} s)")
        if outcome.failed:
            failures.append(f"{job.experiment}: {job.name}: {outcome.text}")
        open_[job.experiment] -= 1
        if not open_[job.experiment]:
            if any(text.startswith(f"{job.experiment}: ") for text in failures):
                tell(f"{job.experiment} is not written: runs have failed")
            else:
                write(by_name[job.experiment], work)

    if missing:
        run_jobs(
            carried_out,
            {place: (job, work, expected, keep) for place, job in missing.items()},
            workers=workers,
            on_done=told,
        )
    return failures


def planned(experiment: Experiment, work: Path) -> str:
    """By group of a folder: how many runs there are, how many are to be made, in how many hours of a core."""
    known = _seconds(experiment)
    lines = []
    total = 0.0
    for group in dict.fromkeys(job.group for job in experiment.jobs):
        jobs = [job for job in experiment.jobs if job.group == group]
        missing = [job for job in jobs if not finished(job, work)]
        hours = sum(_expected(job, known) for job in missing) / 3600
        total += hours
        lines.append(f"  {group or 'runs'}: {len(missing)} of {len(jobs)} to do, {hours:.1f} h")
    return "\n".join([f"{experiment.name}: about {total:.1f} hours of a core", *lines])


def _expected(job: Job, known: Mapping[str, float]) -> float:
    """Seconds that a run is expected to take; none where nobody knows."""
    if job.cost is not None:
        return job.cost * job.spec.rounds
    return known.get(job.name, 0.0)


def _seconds(experiment: Experiment) -> dict[str, float]:
    """What each run took when the folder was made."""
    runs = recorded_in(experiment.folder)
    return {name: run["seconds"] for name, run in runs.items() if "seconds" in run}


def write_parts(experiments: Sequence[Experiment], work: Path) -> None:
    """Write folders with the runs that are finished; a folder none of whose runs is, stays as it is.

    Raises:
        SpecError: a folder of examinations, which is written whole.
    """
    for experiment in experiments:
        if any(job.options is not None for job in experiment.jobs):
            raise SpecError(f"{experiment.name} holds examinations, and is written whole: leave --write out")
        count = sum(finished(job, work) for job in experiment.jobs)
        tell(f"{experiment.name}: {count} of {len(experiment.jobs)} are finished")
        if lost := [job.name for job in experiment.jobs if recorded.whole(job) and not finished(job, work)]:
            tell(f"{experiment.name}: {len(lost)} runs of other code are left out, such as {lost[0]}: first --keep")
        if count:
            write(experiment, work)


def write(experiment: Experiment, work: Path) -> None:
    """The folder's JSON files and pictures, of what is finished."""
    if any(job.options is not None for job in experiment.jobs):
        findings = experiment.folder / "findings"
        shutil.rmtree(findings, ignore_errors=True)  # rules that are gone, or are called otherwise now
        findings.mkdir()
        for job in experiment.jobs:
            shutil.copy(job.place(work), findings)
    else:
        there = [job for job in experiment.jobs if finished(job, work)]
        text = collect_runs.dumped({job.name: run_of(job, work) for job in there})
        file = experiment.folder / "runs.json"
        if file.exists() and file.read_text(encoding="utf-8") == text:
            tell(f"{experiment.name} is up to date")
            return
        write_whole(file, text)
    for picture in experiment.pictures:
        call(*_drawing(experiment, picture))
    done(experiment)


def _drawing(experiment: Experiment, picture: Mapping[str, Any]) -> list[str]:
    command = ["scripts/draw_runs.py", str(experiment.folder / "runs.json")]
    command += ["-o", str(experiment.folder / picture["file"])]
    for key in ("match", "score", "level"):
        command += [f"--{key}", str(picture[key])] if key in picture else []
    for key in ("together", "map"):
        command += [f"--{key}"] * picture.get(key, False)
    return command


def run_script(experiment: Experiment) -> None:
    """What a benchmark measures, unless this code has measured it."""
    if [part.code for part in ages.parts(experiment)] == [code(*experiment.decided_by)]:
        tell(f"{experiment.name} is up to date")
        return
    tell(f"{experiment.name}: {experiment.script['command']}")
    call(*experiment.script["command"].split())
    done(experiment)


def done(experiment: Experiment) -> None:
    """The tables of its README, and a line."""
    if experiment.folder.parent == RESULTS:
        call("scripts/results_tables.py", "--write", experiment.name)
    tell(f"{experiment.name} is written")


def call(*arguments: str) -> None:
    """A Python script of this checkout."""
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True)


def tell(text: str) -> None:
    """A line with the time; a log shows it at once."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="folders of results, the most urgent first; all if none is named")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=WORK, help="where runs are until they are complete")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="say what is to be done, and about how long it takes")
    how.add_argument("--write", action="store_true", help="write the folders with what is finished, run nothing")
    how.add_argument("--keep", action="store_true", help="runs of other code count if their first rounds are the same")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folders (default: %(default)s)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        experiments = [read(name, given.results) for name in given.names or names(given.results)]
        of_jobs = [e for e in experiments if e.jobs]
        if given.dry_run:
            print("\n".join(planned(e, given.work) for e in of_jobs))
            return
        if given.write:
            write_parts(of_jobs, given.work)
            return
        failures = make(of_jobs, given.work, given.jobs, given.keep)
        for experiment in experiments:
            if experiment.script and (given.names or not experiment.alone):
                run_script(experiment)
    except SpecError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit("Stopped; what was done is kept. The same command resumes.") from None
    if failures:
        raise SystemExit("\n".join(["failed:", *failures]))


if __name__ == "__main__":
    main()
