"""The examination of rules: every attack played, then the model trained under the worst.

Each result is in the file as soon as it is there, so that an examination that was stopped can be resumed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..experiments.pool import Failed, run_jobs, stop_if_asked
from ..experiments.spec import RunSpec
from ..experiments.store import lines_in, write_whole
from ..experiments.versions import versions
from ..failures import MendableError
from ..registry.notation import describe, parse
from .arsenal import EVERYTHING, family
from .capture import capture
from .play import Finding, play

_FORMAT = 1
NONE = "no-attack"


class RedTeamError(MendableError, ValueError):
    """A file of findings that cannot be resumed, or read."""


@dataclass(frozen=True, eq=False)
class Examination:
    """What came of examining one rule.

    Attributes:
        settings: the training that it was examined on.
        findings: one for each attack and strength, in the order played.
        untouched: accuracy of the short training run without attack.
        versions: what made them, first to last; more than one where the examination was resumed by other code, None
            where a file does not say.
    """

    settings: Mapping[str, Any]
    findings: tuple[Finding, ...]
    untouched: float | None
    versions: tuple[Mapping[str, Any] | None, ...] = ()

    @property
    def rule(self) -> str:
        """The rule, as text."""
        return str(self.settings["rule"])

    @property
    def baseline(self) -> Finding | None:
        """What the rule makes of honest clients alone."""
        return next((f for f in self.findings if f.attack == NONE), None)

    @property
    def trained(self) -> list[Finding]:
        """What the model was trained under, the lowest accuracy first."""
        found = [f for f in self.findings if f.accuracy is not None and f.attack != NONE]
        return sorted(found, key=lambda f: f.accuracy or 0.0)

    def worst(self) -> list[tuple[str, Finding]]:
        """By kind of attack the strength with the largest kappa, the most harmful kind first."""
        worst: dict[str, Finding] = {}
        for finding in sorted(self.findings, key=lambda f: -f.kappa):  # sorting is stable: of equals the first
            worst.setdefault(family(finding.attack), finding)
        return list(worst.items())

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "settings": dict(self.settings),
            "untouched": self.untouched,
            "versions": list(self.versions),
            "findings": list(map(asdict, self.findings)),
        }


def examine(
    spec: RunSpec,
    file: Path,
    *,
    warmup: int = 20,
    rounds: int = 3,
    worst: int = 3,
    attacks: Sequence[str] = EVERYTHING,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Examination:
    """Examine the rule of a specification: its data, model and clients make the rows, its rounds the short training.

    Every finding is a line of the file as soon as it is there; the same call resumes an unfinished file.

    Args:
        spec: the rule, and the training that it is examined on.
        file: JSON lines: settings, then one line a result.
        warmup: honest rounds before the rows are captured.
        rounds: successive rounds that are captured; attacks play in all but the first.
        worst: how many kinds of attack the model is trained under.
        attacks: which, as text.
        on_progress: told what is being done, how much is done, and how much there is in all.

    Raises:
        RedTeamError: the file holds an examination with other settings; it is left as it is.
        DataError: data files are missing or damaged.
    """
    attacks = [describe(parse(text, "attack")) for text in attacks]
    settings = {**spec.resolved(), "warmup": warmup, "captured": rounds, "worst": worst, "attacks": attacks}
    del settings["attack"]
    log = _Log(file, settings)
    total = examination_steps(attacks, worst)

    def tell(what: str) -> None:
        stop_if_asked()
        if on_progress is not None:
            on_progress(what, len(log.results), total)

    missing = [text for text in attacks if text not in log.results]
    if missing:
        tell("honest training")
        captured, rule = capture(spec, warmup, rounds), spec.make_rule()
        for text in missing:
            tell(text)
            log.add(asdict(play(rule, parse(text, "attack"), captured, spec.byzantine, spec.seed)))
    played = log.examination()
    chosen = [f.attack for _, f in played.worst() if f.attack != NONE][:worst]
    for text in (*chosen, NONE):
        if (_TRAINED, text) not in log.results:
            tell(f"training under {text}")
            log.add({_TRAINED: text, "accuracy": _accuracy(spec, text)})
    tell("done")
    return log.examination()


def examination_steps(attacks: Sequence[str], worst: int) -> int:
    """How many results an examination has, settings left aside."""
    return len(set(attacks)) + min(worst, len({family(a) for a in attacks} - {NONE})) + 1


def examine_all(
    jobs: Mapping[Path, RunSpec],
    *,
    workers: int | None = None,
    on_progress: Callable[[Mapping[Path, int]], None] | None = None,
    **options: Any,
) -> dict[Path, Examination | Failed]:
    """Examine many rules, one process a core with one thread each; one that fails stops no other.

    Args:
        jobs: specifications by file.
        workers: processes; all cores if None.
        on_progress: called twice a second with the results in each file.
        options: as `examine`.
    """
    work = {file: (spec, file, options) for file, spec in jobs.items()}
    return run_jobs(_work, work, workers=workers, progress=_results_in, on_progress=on_progress)


def _results_in(file: Path) -> int:
    """Lines but the first, which has the settings."""
    return max(lines_in(file) - 1, 0)


def load_examination(file: Path) -> Examination:
    """Read an examination, finished or not.

    Raises:
        RedTeamError: there is none in the file.
    """
    lines = list(_lines(file))
    if not lines or "settings" not in lines[0]:
        raise RedTeamError(f"{file}: no examination; `fedward redteam` writes one")
    results = [line for line in lines[1:] if _VERSIONS not in line]
    return _assembled(lines[0]["settings"], results, list(_made_by(lines)))


def _work(spec: RunSpec, file: Path, options: Mapping[str, Any]) -> Examination:
    return examine(spec, file, **options)


_TRAINED = "trained under"
_VERSIONS = "versions"


class _Log:
    """The file of an examination: what is in it already, and what is added to it."""

    def __init__(self, file: Path, settings: Mapping[str, Any]) -> None:
        self.file, self.settings = file, json.loads(json.dumps(settings))
        self.versions = versions("redteam")
        head = {"format": _FORMAT, "settings": self.settings, "versions": self.versions}
        lines = list(_lines(file)) or [head]
        if any(lines[0].get(key) != head[key] for key in ("format", "settings")):
            other = lines[0].get("settings", {})
            differ = [k for k in {**other, **self.settings} if other.get(k) != self.settings.get(k)]
            raise RedTeamError(
                f"{file} holds an examination with another {', '.join(differ) or 'format'}; choose another folder, "
                f"such as --out {file.parent}-2. (--fresh would delete its {len(lines) - 1} results, and start anew.)"
            )
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.file, "".join(map(_text, lines)))  # without a line that was cut off
        self.made_by = list(_made_by(lines))
        self.results: dict[Any, dict[str, Any]] = {_name(line): line for line in lines[1:] if _VERSIONS not in line}

    def add(self, line: dict[str, Any]) -> None:
        """Keep a result; where other code has made those before, which one makes it."""
        new = [line] if self.made_by[-1] == self.versions else [{_VERSIONS: self.versions}, line]
        with self.file.open("a", encoding="utf-8") as file:
            file.write("".join(map(_text, new)))
        self.made_by += [line[_VERSIONS] for line in new[:-1]]
        self.results[_name(line)] = line

    def examination(self) -> Examination:
        """What there is so far."""
        return _assembled(self.settings, list(self.results.values()), self.made_by)


def _assembled(
    settings: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], made_by: Sequence[Mapping[str, Any] | None]
) -> Examination:
    trained = {line[_TRAINED]: line["accuracy"] for line in lines if _TRAINED in line}
    findings = [Finding(**line) for line in lines if _TRAINED not in line]
    found = tuple(replace(f, accuracy=trained.get(f.attack)) for f in findings)
    return Examination(settings, found, trained.get(NONE), tuple(made_by))


def _made_by(lines: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any] | None]:
    """The versions that made the results of a file, in turn; None where the file does not say."""
    yield lines[0].get(_VERSIONS)
    yield from (line[_VERSIONS] for line in lines[1:] if _VERSIONS in line)


def _name(line: Mapping[str, Any]) -> Any:
    return (_TRAINED, line[_TRAINED]) if _TRAINED in line else line["attack"]


def _text(line: Mapping[str, Any]) -> str:
    return json.dumps(line, separators=(",", ":")) + "\n"


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; what a killed process left half written is left out."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            return
        try:
            yield json.loads(line)
        except ValueError:
            raise RedTeamError(f"{file}: not an examination: {line[:40]!r}") from None


def _accuracy(spec: RunSpec, attack: str) -> float:
    """Test accuracy after the specification's rounds under an attack."""
    simulation = spec.simulation(attack=parse(attack, "attack"))
    for _ in simulation.run(spec.rounds, evaluate_every=spec.rounds):
        stop_if_asked()
    accuracy = simulation.records[-1].accuracy
    assert accuracy is not None  # the last round is always evaluated
    return accuracy
