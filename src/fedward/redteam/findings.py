"""What came of an examination, in memory and in its file: JSON lines, which are kept one by one.

The first line has the settings, and what else all results hang on (`Basis`). Then there is a line for each finding and
for each training, and before those that other code has made than the lines above them, a line with its versions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..disk import json_line, json_of, open_to_append, read_bounded, set_aside, write_whole
from ..experiments.spec import RunSpec
from ..experiments.store import Versions, lines_in
from ..failures import MendableError, tamed
from ..sim.forms import FormError, brief, read_back, read_rate, read_text, shallow, written
from .arsenal import family, registered_rule
from .basis import Basis, Outdated
from .play import Finding, undecided

FORMAT = 1
NONE = "no-attack"
"""What rules are measured against: byzantine clients that do what honest ones do."""

_TRAINED = "trained under"
_STATISTICS = "statistics forged as by"
_VERSIONS = "versions"
_SHOWN = frozenset({"rule", "data", "model", "partition", "clients", "byzantine", "rounds"})
"""Settings that every examination has, and the page about it shows."""


WORST_BY = (
    "Worst by kappa is farthest from the honest mean on captured updates. Which attack costs a model most is said by "
    "training alone, and it may be another."
)
"""What is to be said wherever an attack is called the worst by kappa."""


NEVER_DECIDED = "never decided"
"""What stands for the worst attack on a rule that remembered too few rounds (`Examination.undecided`)."""


class RedTeamError(MendableError, ValueError):
    """A file of findings that cannot be resumed, or read."""

    asked = True


@dataclass(frozen=True, eq=False, kw_only=True)
class Examination:
    """What came of examining one rule.

    Attributes:
        settings: the training that it was examined on.
        findings: one for each attack and strength, in the order played.
        untouched: accuracy of the short training run without attack.
        besides: accuracies of short training runs under attacks that were not played on captured rounds.
        forged: accuracy of a short training run in which byzantine clients send honest rows and forge their running
            statistics as this attack would; None where none was made.
        versions: what made them, first to last; more than one where the examination was resumed by other code, None
            where a file does not say.
    """

    settings: Mapping[str, Any]
    findings: tuple[Finding, ...]
    untouched: float | None
    besides: Mapping[str, float] = field(default_factory=dict)
    forged: tuple[str, float] | None = None
    versions: tuple[Versions | None, ...] = ()

    @property
    def rule(self) -> str:
        """The rule, as text."""
        return str(self.settings["rule"])

    @property
    def baseline(self) -> Finding | None:
        """What the rule makes of honest clients alone."""
        return next((f for f in self.findings if f.attack == NONE), None)

    @property
    def trained(self) -> list[tuple[str, float]]:
        """The attacks that the model was trained under, with its accuracy, the lowest first."""
        found = {f.attack: f.accuracy for f in self.findings if f.accuracy is not None and f.attack != NONE}
        return sorted({**self.besides, **found}.items(), key=lambda each: each[1])

    def worst(self) -> list[tuple[str, Finding]]:
        """By kind of attack the strength with the largest kappa, the most harmful kind first."""
        worst: dict[str, Finding] = {}
        for finding in sorted(self.findings, key=lambda f: -f.kappa):  # sorting is stable: of equals the first
            worst.setdefault(family(finding.attack), finding)
        return list(worst.items())

    @property
    def undecided(self) -> int:
        """Rounds that the rule must have seen before it decides by what it is, where fewer were captured; else 0."""
        told = max((f.undecided for f in self.findings), default=0)
        captured = self.settings.get("captured")
        if told > 0 or not self.findings or type(captured) is not int:
            return max(told, 0)
        rule = registered_rule(self.rule)  # findings of earlier versions do not say
        return 0 if rule is None else undecided(rule, captured)

    def undecided_told(self) -> str:
        """A sentence on that; empty where the rule decided."""
        rounds = self.undecided
        if not rounds:
            return ""
        captured = self.settings.get("captured")
        return (
            f"{self.rule} {NEVER_DECIDED} by what it is: for that it must have seen {_rounds(rounds)} before, and "
            f"{_rounds(captured)} were captured. What was measured is how it begins, and ranks "
            f"nothing; --captured {rounds + 2} takes enough."
        )

    def astray(self) -> Finding | None:
        """The attack that led running statistics farthest from the honest ones; None of a model without any."""
        found = [f for f in self.findings if f.statistics is not None and f.attack != NONE]
        return max(found, key=lambda f: f.statistics or 0.0, default=None)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "settings": dict(self.settings),
            "untouched": self.untouched,
            "besides": dict(self.besides),
            "forged": None if self.forged is None else list(self.forged),
            "versions": list(self.versions),
            "undecided": self.undecided,
            "findings": [written(finding) for finding in self.findings],
            "worst": self._worst_json(),
        }

    def _worst_json(self) -> dict[str, Any]:
        """The worst attack by each measure; null where there is none, by kappa also if the rule never decided."""
        found = [] if self.undecided else self.worst()
        kappa = {"attack": found[0][1].attack, "kappa": found[0][1].kappa} if found else None
        trained = self.trained
        accuracy = {"attack": trained[0][0], "accuracy": trained[0][1]} if trained else None
        return {"by_kappa": kappa, "by_accuracy": accuracy}


def _rounds(count: Any) -> str:
    if type(count) is not int:
        return "fewer"
    return f"{count} {'round' if count == 1 else 'rounds'}"


def load_examination(file: Path) -> Examination:
    """Read an examination, finished or not.

    Raises:
        RedTeamError: there is none in the file.
    """
    return read_examination(_text_of(file), str(file))


def read_examination(text: str, place: str) -> Examination:
    """Read an examination from the text of its file; ``place`` is what errors call it.

    Raises:
        RedTeamError: there is none in the text.
    """
    lines = list(_lines(text, place))
    if not lines or "settings" not in lines[0]:
        raise RedTeamError(f"{place}: no examination; `fedward redteam` writes one")
    settings = lines[0]["settings"]
    if not isinstance(settings, dict) or not settings.keys() >= _SHOWN:
        raise RedTeamError(f"{place}: no settings of an examination in the first line; `fedward redteam` writes them")
    return _Results(lines, place).examination(settings)


def results_in(file: Path) -> int:
    """How many results a file has: lines but the first, which has the settings."""
    return max(lines_in(file) - 1, 0)


class FindingsFile:
    """The file of an examination that is being made: what is in it already, and what is added to it.

    Args:
        file: the file, which need not be there yet. A line in it that was cut off is removed.
        settings: of the examination.
        versions: of the code that adds to it.
        basis: what else its results hang on. Where it holds some of before that changed, the file as it was is set
            aside, and these are left out.

    Attributes:
        outdated: what was left out, if anything.

    Raises:
        RedTeamError: the file holds an examination with other settings; it is left as it is.
    """

    def __init__(self, file: Path, settings: Mapping[str, Any], versions: Versions, basis: Basis) -> None:
        self._file = file
        self._versions = versions
        self._settings = json.loads(json.dumps(settings))
        head = {"format": FORMAT, "settings": self._settings, _VERSIONS: versions, **basis.to_json()}
        lines = list(_lines(_text_of(file), str(file))) or [head]
        if not isinstance(lines[0].get("settings", {}), dict):
            raise RedTeamError(f"{file}: no settings of an examination in the first line; choose another folder")
        if lines[0].get("format") != FORMAT or _whole(lines[0].get("settings", {})) != self._settings:
            raise self._refusal(lines)
        self._results = _Results(lines, str(file))
        for attack in self._results.findings:
            if attack not in settings.get("attacks", (attack,)):
                raise RedTeamError(f"{file}: a finding of {attack[:80]!r}, which is not played here; delete its line")
        self.outdated: Outdated | None = None
        holding, changed = _holding(lines, basis)
        if changed:
            results = len(lines) - 1 - len(holding)
            self.outdated = Outdated(results=results, changed=tuple(changed), kept=str(set_aside(file)))
        # What is left is made of what there is now, and what is added will be.
        lines = [basis.renewed(lines[0]), *holding] if any(map(_attack_in, holding)) else [head]
        self._results = _Results(lines, str(file))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, "".join(map(_text, lines)))

    @property
    def played(self) -> Mapping[str, Finding]:
        """Findings by attack."""
        return self._results.findings

    @property
    def trained(self) -> Mapping[str, float]:
        """Accuracies of short training runs by attack."""
        return self._results.trained

    def add(self, finding: Finding) -> None:
        """Keep what an attack did."""
        self._append(written(finding))

    @property
    def forged(self) -> Mapping[str, float]:
        """Accuracies of short training runs with forged statistics by attack."""
        return self._results.forged

    def add_forged(self, attack: str, accuracy: float) -> None:
        """Keep the accuracy of a short training run with forged statistics."""
        self._append({_STATISTICS: attack, "accuracy": accuracy})

    def add_accuracy(self, attack: str, accuracy: float) -> None:
        """Keep the accuracy of a short training run."""
        self._append({_TRAINED: attack, "accuracy": accuracy})

    def examination(self) -> Examination:
        """What there is so far."""
        return self._results.examination(self._settings)

    def _append(self, line: Mapping[str, Any]) -> None:
        """Add a result; where other code has made those before, which one makes it."""
        new = [line]
        if self._results.made_by[-1] != self._versions:
            new.insert(0, {_VERSIONS: self._versions})
        with open_to_append(self._file) as file:
            file.write("".join(map(_text, new)).encode())
        for each in new:
            self._results.add(each)

    def _refusal(self, lines: Sequence[Mapping[str, Any]]) -> RedTeamError:
        differ = ", ".join(_differing(lines[0].get("settings", {}), self._settings)) or "format"
        return RedTeamError(
            f"{self._file} holds an examination of other settings ({differ}); choose another folder, such as --out "
            f"{self._file.parent}-2. (--fresh would delete its {len(lines) - 1} results, and start anew.)"
        )


class _Results:
    """The lines of a file, sorted by what they say."""

    def __init__(self, lines: Sequence[Mapping[str, Any]], place: str) -> None:
        self.place = place
        try:
            self.made_by = [_read_versions(lines[0].get(_VERSIONS))]
        except FormError as error:
            raise RedTeamError(f"{place}: its versions are none ({error}); delete them") from error
        self.findings: dict[str, Finding] = {}
        self.trained: dict[str, float] = {}
        self.forged: dict[str, float] = {}
        for line in lines[1:]:
            self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        """Take one line."""
        try:
            if _VERSIONS in line:
                self.made_by.append(_read_versions(line[_VERSIONS]))
            elif _TRAINED in line:
                self.trained[read_text(line[_TRAINED])] = read_rate(line.get("accuracy"))
            elif _STATISTICS in line:
                self.forged[read_text(line[_STATISTICS])] = read_rate(line.get("accuracy"))
            else:
                finding = read_back(Finding, line)
                family(finding.attack)
                self.findings[finding.attack] = finding
        except ValueError as error:
            raise RedTeamError(f"{self.place}: a line is no finding ({tamed(error)}); delete it") from error

    def examination(self, settings: Mapping[str, Any]) -> Examination:
        """All of them, each finding with the accuracy under its attack."""
        found = [replace(f, accuracy=self.trained.get(f.attack)) for f in self.findings.values()]
        return Examination(
            settings=settings,
            findings=tuple(found),
            untouched=self.trained.get(NONE),
            besides={a: accuracy for a, accuracy in self.trained.items() if a not in self.findings and a != NONE},
            forged=next(iter(self.forged.items()), None),
            versions=tuple(self.made_by),
        )


def _attack_in(line: Mapping[str, Any]) -> str | None:
    """The attack that a line is about; None of one with versions."""
    if _VERSIONS in line:
        return None
    return next(str(line[key]) for key in (_TRAINED, _STATISTICS, "attack") if key in line)


def _holding(lines: Sequence[dict[str, Any]], basis: Basis) -> tuple[list[dict[str, Any]], dict[str, None]]:
    """Of the lines after the first those that hold still, and what changed that the others hang on."""
    head, *rest = lines
    holding: list[dict[str, Any]] = []
    changed: dict[str, None] = {}
    for line in rest:
        attack = _attack_in(line)
        names = [] if attack is None else basis.changed(head, attack)
        if not names:
            holding.append(line)
        changed |= dict.fromkeys(names)
    return holding, changed


def differing(file: Path, settings: Mapping[str, Any]) -> list[str]:
    """In what an examination in a file is another one; nothing of a file that is not there, or is no examination."""
    try:
        head = next(_lines(_text_of(file), str(file)), {})
    except RedTeamError:  # for whoever reads on to say
        return []
    held = head.get("settings")
    return _differing(held, json.loads(json.dumps(settings))) if isinstance(held, dict) else []


def _differing(held: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    other = _whole(held)
    return [key for key in {**other, **settings} if other.get(key) != settings.get(key)]


def _whole(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the keys that came later at their defaults, which change nothing."""
    return {**{key: field.default for key, field in RunSpec.model_fields.items() if key != "attack"}, **settings}


def _read_versions(value: Any) -> Versions | None:
    """What made lines; None where nobody knows."""
    if value is None:
        return None
    if not isinstance(value, dict) or not all(v is None or isinstance(v, str) for v in value.values()):
        raise FormError(f"must be versions by name, got {brief(value)}")
    return value


def _text_of(file: Path) -> str:
    """What the file holds; nothing, where there is none."""
    try:
        return read_bounded(file).decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise RedTeamError(f"{file}: {error.strerror}; name another file") from error
    except UnicodeDecodeError as error:
        raise RedTeamError(f"{file}: not an examination: {error}; name another file") from error


def _text(line: Mapping[str, Any]) -> str:
    return json_line(line)


def _lines(text: str, place: str) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; what a killed process left half written is left out."""
    *whole, _ = text.split("\n")
    for line in whole:
        try:
            entry = shallow(json_of(line))
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            raise RedTeamError(f"{place}: not an examination: {tamed(line, 40)!r}")
        yield entry
