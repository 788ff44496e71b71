"""Which folders of results are older than the code that made them.

``python scripts/ages.py`` prints a line for each folder that is.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from experiments import RESULTS, Experiment, names, read

from fedward.experiments.versions import BESIDE, PACKAGE, code, git
from fedward.redteam import load_examination

_SHOWN = 6  # of the files that have changed


@dataclass(frozen=True, kw_only=True)
class Part:
    """Figures of a folder that were made together.

    Attributes:
        code: the digest of what made them; None where they do not say.
        commit: the commit, with a plus sign where the sources differed from it; None where they do not say.
        first: the name of the first of them.
        count: how many.
    """

    code: str | None
    commit: str | None
    first: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be said of a folder: nothing of one that this code has made, else older, unknown, not run or wrong."""

    kind: str
    text: str = ""


def parts(experiment: Experiment) -> list[Part]:
    """What made the figures of a folder, by code."""
    found: dict[tuple[str | None, str | None], list[str]] = {}
    for name, versions in _recorded(experiment):
        found.setdefault((versions.get("code"), versions.get("commit")), []).append(name)
    return [
        Part(code=made_code, commit=made_commit, first=figures[0], count=len(figures))
        for (made_code, made_commit), figures in found.items()
    ]


def _recorded(experiment: Experiment) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """By name of a run, a rule or a line all versions that made it; an empty table where it does not say."""
    if experiment.script:
        file = experiment.folder / f"{experiment.name}.json"
        if not file.exists():
            return
        measured = json.loads(file.read_text(encoding="utf-8"))
        whole = measured.get("versions") or measured.get("machine") or {}
        for line in measured.get("lines") or measured.get("rows") or measured.get("runs") or [{}]:
            yield str(line.get("rule") or line.get("attack") or experiment.name), line.get("made", whole)
        return
    for file in sorted(experiment.folder.glob("findings/*.jsonl")):
        for versions in load_examination(file).versions:
            yield file.stem, versions or {}
    if experiment.table.exists():
        with experiment.table.open(encoding="utf-8", newline="") as text:
            for row in csv.DictReader(text):
                yield row["cell"], {key: row.get(key) or None for key in ("code", "commit")}
    file = experiment.folder / "runs.json"
    if file.exists():
        for name, run in json.loads(file.read_text(encoding="utf-8")).items():
            last = run.get("replayed", run)["versions"]  # who has made its first rounds again answers for it
            for versions in (last, *(part["versions"] for part in run.get("earlier", []))):
                yield name, versions or {}


def _mixed(experiment: Experiment) -> bool:
    """Whether what is compared is of several codes: the runs of a folder, but an examination stands by itself."""
    apart = any(job.options is not None for job in experiment.jobs)
    codes: dict[str, set[str]] = {}
    for name, versions in _recorded(experiment):
        if versions.get("code") is not None:
            codes.setdefault(name if apart else "", set()).add(versions["code"])
    return any(len(each) > 1 for each in codes.values())


def verdict(experiment: Experiment) -> Verdict:
    """Whether what is compared in a folder is of one code, and of this one."""
    found = parts(experiment)
    remedy = f'make results ONLY="{experiment.name}"'
    if experiment.table.exists():
        remedy = "fedward sweep, then scripts/keep_sweep.py"
    if not found and not any(experiment.folder.glob("*.json")) and not experiment.table.exists():
        return Verdict(kind="not run", text=f"results/{experiment.name} is not run yet: {remedy}")
    if not found:
        return Verdict(kind="wrong", text=f"results/{experiment.name} has no figures: {remedy}")
    known = [part for part in found if part.code is not None]
    if not known:
        return Verdict(kind="unknown", text=f"results/{experiment.name} does not say which code made it: {remedy}")
    unknown = [part for part in found if part.code is None or part.commit is None]
    if unknown and not experiment.alone:  # times and memory are measured line by line
        first = unknown[0]
        return Verdict(
            kind="wrong",
            text=f"results/{experiment.name}: {first.count}, such as {first.first}, lack code or commit: {remedy}",
        )
    now = code(*experiment.decided_by)
    # What trains models is made whole; but for a sweep, whose keys say that the code of each cell's parts is the same.
    if _mixed(experiment) and not experiment.alone and not experiment.table.exists():
        codes = ", ".join(f"{part.count} of {part.commit} (code {part.code})" for part in known)
        return Verdict(kind="wrong", text=f"results/{experiment.name} is of several codes: {codes}: {remedy}")
    old = [part for part in found if part.code != now]
    if not old:
        return Verdict(kind="")
    since = "; ".join(
        f"{part.count} do not say which code made them"
        if part.code is None
        else f"{part.count} made at {part.commit} (code {part.code}, now {now}), {changed(part.commit, experiment)}"
        for part in old
    )
    return Verdict(kind="older", text=f"results/{experiment.name} is older than the code: {since}: {remedy}")


def changed(commit: str | None, experiment: Experiment) -> str:
    """Which files that decide its figures have changed since a commit, as far as git knows."""
    given = (commit or "").removesuffix("+")
    told = git("diff", "--name-only", "--relative", given, "--", ".") if given else None
    if told is None:
        return "git does not know what has changed since"
    beside = BESIDE - frozenset(experiment.decided_by)
    files = [file for file in told.splitlines() if file.endswith(".py") and Path(file).parts[0] not in beside]
    if not files:
        return "with files that differed from that commit"
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"changed since: {', '.join(files[:_SHOWN])}{more} in {PACKAGE.name}/"


def main() -> None:
    for name in names(RESULTS):
        if text := verdict(read(name)).text:
            print(text)


if __name__ == "__main__":
    main()
