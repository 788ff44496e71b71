"""What each folder of results is made of: the reading of ``results/NAME/experiment.toml``.

``[all]`` has what its runs have in common, each ``[[runs]]`` some of them; keys are those of ``fedward run``. Several
rules, attacks or seeds make a grid; a run of another seed than 0 has it in its name. ``cost`` is what a round takes, in
seconds of a quiet core, and only an estimate hangs on it. ``[redteam]`` examines rules, ``[script]`` calls a benchmark,
``[[pictures]]`` are drawn from the runs: accuracy, or a ``score`` that their rules had put on record.

    python scripts/experiments.py NAME    # its runs as commands of the shell
"""

from __future__ import annotations

import argparse
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from fedward.experiments.spec import RunSpec, SpecError, each_rule, file_name, make_spec
from fedward.redteam import as_examined

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
KEYS = frozenset({"all", "runs", "redteam", "script", "pictures"})
GRID = ("seed", "attack", "rule")
"""Keys that may have several values, the outermost first: one seed is run whole before the next."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run, or the examination of one rule.

    Attributes:
        experiment: the folder of results that it belongs to.
        name: its key in ``runs.json``, or the text of the rule that is examined.
        spec: the run, or the training that the rule is examined on.
        options: of an examination; None for a run.
        cost: seconds of a quiet core that a round is expected to take; None where nobody has said so.
    """

    experiment: str
    name: str
    spec: RunSpec
    options: Mapping[str, Any] | None = None
    cost: float | None = None

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
        SpecError: no such folder, an unknown key, two runs of the same name, or a specification that cannot be run.
    """
    file = results / name / "experiment.toml"
    if not file.exists():
        raise SpecError(f"no results are called {name!r}; there are {', '.join(names(results))}")
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    if unknown := table.keys() - KEYS:
        raise SpecError(f"{file}: unknown {', '.join(sorted(unknown))}; there are {', '.join(sorted(KEYS))}")
    common = table.get("all", {})
    runs = _runs(common, table.get("runs", []))
    jobs = [_job(file, name, key, values) for key, values in runs]
    refused: dict[str, str] = {}
    if "redteam" in table:
        examinations, refused = _examinations(name, common, table["redteam"])
        jobs += examinations
    places = [job.place(Path()) for job in jobs]
    if twice := {str(place) for place in places if places.count(place) > 1}:
        raise SpecError(f"{file}: several runs are called {', '.join(sorted(twice))}; give one a group of its own")
    return Experiment(
        folder=file.parent,
        jobs=tuple(jobs),
        pictures=tuple(table.get("pictures", ())),
        script=table.get("script", {}),
        refused=refused,
    )


def run_names(folder: Path) -> list[str]:
    """What the runs of a folder are called, as they stand there: they are not made."""
    table = tomllib.loads((folder / "experiment.toml").read_text(encoding="utf-8"))
    return [name for name, _ in _runs(table.get("all", {}), table.get("runs", []))]


def _job(file: Path, experiment: str, name: str, values: dict[str, Any]) -> Job:
    cost = values.pop("cost", None)
    try:
        return Job(experiment=experiment, name=name, spec=make_spec(values), cost=cost)
    except SpecError as error:
        raise SpecError(f"{file}: {name}: {error}") from None


def _runs(common: Mapping[str, Any], groups: list[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the keys of every run."""
    for group in groups:
        values = {**common, **group}
        prefix = f"{values.pop('group')}/" if "group" in values else ""
        for seed, attack, rule in product(*(_listed(values.get(key, _default(key))) for key in GRID)):
            name = f"{prefix}{rule} under {attack}{of_seed(seed)}"
            yield name, {**values, "rule": rule, "attack": attack, "seed": seed}


def of_seed(seed: int) -> str:
    """How the name of a run ends; nothing for seed 0."""
    return f", seed {seed}" if seed else ""


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


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def commands(name: str, results: Path = RESULTS) -> Iterator[str]:
    """The runs of an experiment as commands of the shell."""
    table = tomllib.loads((results / name / "experiment.toml").read_text(encoding="utf-8"))
    for group in table.get("runs", []):
        values = {**table.get("all", {}), **group}
        out = values.pop("group", name)
        values.pop("cost", None)
        seeds = _listed(values.pop("seed", _default("seed")))
        grid = " ".join(
            f"--{key} {shlex.quote(str(v))}" for key in ("attack", "rule") for v in _listed(values.pop(key, []))
        )
        rest = " ".join(_option(key, value) for key, value in values.items())
        for seed in seeds:
            yield f"fedward run {rest} {grid} --seed {seed} --out {out}"
    if "redteam" in table:
        rest = " ".join(_option(key, value) for key, value in table.get("all", {}).items())
        yield f"fedward redteam {rest} {' '.join(f'--rule {shlex.quote(r)}' for r in table['redteam']['rules'])}"
    if "script" in table:
        yield f"python {table['script']['command']}"


def _option(key: str, value: Any) -> str:
    """A key as an option of the shell; one that is true or false is a flag."""
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    written = ",".join(map(str, value)) if isinstance(value, list) else shlex.quote(str(value))
    return f"--{name} {written}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    for name in parser.parse_args().names:
        print("\n".join(commands(name)))


if __name__ == "__main__":
    main()
