"""What each folder of results is made of: the reading of ``results/NAME/experiment.toml``.

Where it trains models it is a sweep as ``fedward sweep`` has them (`fedward.sweeps.grid`), and can be given to it.
``pictures.toml`` beside it says what is drawn of the runs: ``[[pictures]]`` of accuracy, or of a ``score`` that their
rules had put on record. Instead of runs there may be ``[redteam]``, which examines rules in the setting that the file
says, or ``[script]``, which calls a benchmark.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedward.experiments.spec import RunSpec, SpecError, each_rule, file_name, make_spec
from fedward.redteam import as_examined
from fedward.sweeps import make_sweep
from fedward.sweeps.grid import drafts

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
OTHERS = ("redteam", "script")
"""Tables of a file that is no sweep."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run, or the examination of one rule.

    Attributes:
        experiment: the folder of results that it belongs to.
        name: its key in ``runs.json``, or the text of the rule that is examined.
        spec: the run, or the training that the rule is examined on.
        options: of an examination; None for a run.
        cost: seconds of a quiet core that a round is expected to take; None where nobody has said so.
        recorded: what ``runs.json`` has under its name; None where it has nothing.
    """

    experiment: str
    name: str
    spec: RunSpec
    options: Mapping[str, Any] | None = None
    cost: float | None = None
    recorded: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def group(self) -> str:
        """What stands before the rule in the name of a run; empty where it is in no group."""
        return group_of(self.name)

    def place(self, work: Path) -> Path:
        """The folder of the run, or the file of the examination."""
        parts = [file_name(part) for part in self.name.split("/")]
        if self.options is None:
            return work.joinpath(self.experiment, *parts)
        return work / self.experiment / f"{file_name(self.spec.resolved()['rule'])}.jsonl"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A folder of results.

    Attributes:
        folder: where it is.
        jobs: its runs and examinations.
        pictures: how each is drawn.
        script: what writes its JSON file, where neither runs nor examinations do.
        refused: rules that cannot be examined in this setting, and why.
    """

    folder: Path
    jobs: tuple[Job, ...] = ()
    pictures: tuple[Mapping[str, Any], ...] = ()
    script: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def decided_by(self) -> tuple[str, ...]:
        """Folders of the package that decide its figures besides what decides a run."""
        if any(job.options is not None for job in self.jobs):
            return ("redteam",)
        return tuple(self.script.get("decided_by", ()))

    @property
    def table(self) -> Path:
        """Where its rows are, if it is a sweep that was kept."""
        return self.folder / "sweep.csv"

    @property
    def alone(self) -> bool:
        """Whether it measures time or memory, so that nothing else may run."""
        return bool(self.script.get("alone", False))


def group_of(name: str) -> str:
    """The group of a run of this name; empty where it is in none."""
    return name.partition(" under ")[0].rpartition("/")[0]


def names(results: Path = RESULTS) -> list[str]:
    """All folders of results."""
    return sorted(file.parent.name for file in results.glob("*/experiment.toml"))


def read(name: str, results: Path = RESULTS) -> Experiment:
    """The experiment of a folder.

    Raises:
        SpecError: no such folder, or a sweep that cannot be run, as `fedward.sweeps.make_sweep` says.
    """
    file = results / name / "experiment.toml"
    if file.with_name("sweep.csv").exists() and not file.exists():
        return Experiment(folder=file.parent)  # a sweep that scripts/keep_sweep.py has kept: there is nothing to run
    if not file.exists():
        raise SpecError(f"no results are called {name!r}; there are {', '.join(names(results))}")
    table, others = _tables(file)
    refused: dict[str, str] = {}
    try:
        cells = () if others else make_sweep(table, name=name).cells
        runs = recorded_in(file.parent)
        jobs = [
            Job(experiment=name, name=cell.name, spec=cell.spec, cost=cell.cost, recorded=runs.get(cell.name))
            for cell in cells
        ]
        if "redteam" in others:
            jobs, refused = _examinations(name, table, others["redteam"])
    except SpecError as error:
        raise SpecError(f"{file}: {error}") from None
    places = [job.place(Path()) for job in jobs]
    if twice := {str(place) for place in places if places.count(place) > 1}:
        raise SpecError(f"{file}: several runs lie in {', '.join(sorted(twice))}; give one a group of its own")
    drawn = file.with_name("pictures.toml")
    pictures = tomllib.loads(drawn.read_text(encoding="utf-8"))["pictures"] if drawn.exists() else ()
    return Experiment(
        folder=file.parent,
        jobs=tuple(jobs),
        pictures=tuple(pictures),
        script=others.get("script", {}),
        refused=refused,
    )


def recorded_in(folder: Path) -> dict[str, Any]:
    """The runs of a folder of results by name, as ``runs.json`` has them."""
    file = folder / "runs.json"
    runs: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return runs


def run_names(folder: Path) -> list[str]:
    """What the runs of a folder are called, as they stand there: they are not made."""
    table, others = _tables(folder / "experiment.toml")
    return [] if others else [draft.name for draft in drafts(table)]


def _tables(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a file, and what it has besides if it is no sweep."""
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    others = {key: table.pop(key) for key in OTHERS if key in table}
    if "script" in others and table:
        raise SpecError(f"{file}: {', '.join(table)}: a folder of a script has [script] alone")
    common = table.pop("all", {})  # where files of before this grammar have what their runs have in common
    return {**common, **table}, others


def _examinations(name: str, common: Mapping[str, Any], table: Mapping[str, Any]) -> tuple[list[Job], dict[str, str]]:
    """The examinations, and which rules cannot be examined in this setting, and why."""
    options = {key: table[key] for key in ("warmup", "rounds", "worst", "attacks") if key in table}
    specs, refused = each_rule(
        table["rules"],
        lambda rule: as_examined(make_spec({**common, "rule": rule, "attack": "no-attack"})),
        common.get("byzantine", _default("byzantine")),
    )
    jobs = [Job(experiment=name, name=rule, spec=spec, options=options) for rule, spec in specs.items()]
    return jobs, refused


def _default(key: str) -> Any:
    return RunSpec.model_fields[key].default
