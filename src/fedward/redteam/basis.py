"""What findings hang on besides their settings: files of the user's own, and the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..data import DataError
from ..experiments.own_code import imported_code, own_code
from ..experiments.spec import RunSpec
from ..sweeps.key import data_checksum

_OWN, _OF_ATTACKS, _DATA = "own", "own_of_attacks", "data"
_THE_DATA = "the data"


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What an examination hangs on besides its settings.

    Attributes:
        own: digests of the user's files that rule, data, model and clients stand in (`own_code`), and of those that
            these import (`imported_code`), by name.
        of_attacks: by attack the same with the files of the attack, where it is the user's own.
        data: a checksum; None where the data are not there.
    """

    own: Mapping[str, str] = field(default_factory=dict)
    of_attacks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    data: str | None = None

    @classmethod
    def of(cls, spec: RunSpec, attacks: Iterable[str]) -> Basis:
        """As it is now, for these attacks on the rule of a specification."""
        own = _files(spec, "no-attack")
        under = {text: _files(spec, text) for text in attacks}
        data = None
        with suppress(DataError):  # who needs them says what is wrong with them
            data = data_checksum(spec.data, spec.data_path)
        return cls(own=own, of_attacks={text: files for text, files in under.items() if files != own}, data=data)

    def to_json(self) -> dict[str, Any]:
        """Entries for the first line of a file, of what there is."""
        of_attacks = {attack: dict(files) for attack, files in self.of_attacks.items()}
        entries = {_DATA: self.data, _OWN: dict(self.own), _OF_ATTACKS: of_attacks}
        return {key: value for key, value in entries.items() if value}

    def changed(self, head: Mapping[str, Any], attack: str) -> list[str]:
        """What has changed that a result under an attack hangs on, in a file with this first line.

        Of files of the user's that it does not name nobody knows, so that they count; of data it is taken that they
        are the same.
        """
        under = head.get(_OF_ATTACKS)
        found = under.get(attack) if isinstance(under, dict) else None
        then = _texts(head.get(_OWN) if found is None else found)
        now = self.of_attacks.get(attack, self.own)
        names = sorted(name for name in {**then, **now} if then.get(name) != now.get(name))
        data = head.get(_DATA)
        return names + [_THE_DATA] * (None not in (data, self.data) and data != self.data)

    def renewed(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """The first line of a file of which all results that are left hold still; what it says of data stays."""
        kept = {key: value for key, value in head.items() if key not in (_OWN, _OF_ATTACKS)}
        return {**kept, **{key: value for key, value in self.to_json().items() if key != _DATA}}


@dataclass(frozen=True, kw_only=True)
class Outdated:
    """Results that a file held and that must be made again.

    Attributes:
        results: how many.
        changed: what changed that they hang on, by name.
        kept: the name of the file that has them now.
    """

    results: int
    changed: tuple[str, ...]
    kept: str


def _files(spec: RunSpec, attack: str) -> dict[str, str]:
    """Digests of the user's own files that a rule under an attack is made of, and of those that these import."""
    played = spec.model_copy(update={"attack": attack})
    named = (own_code(played), imported_code(played))
    names = sorted({name for files in named for name in files})
    return {name: " ".join(files[name] for files in named if name in files) for name in names}


def outdated_told(outdated: Iterable[Outdated]) -> list[str]:
    """What is made again of several files and why, a sentence for each reason."""
    by_reason: dict[tuple[str, ...], list[Outdated]] = {}
    for one in outdated:
        by_reason.setdefault(one.changed, []).append(one)
    return [_told(changed, found) for changed, found in by_reason.items()]


def _told(changed: tuple[str, ...], found: list[Outdated]) -> str:
    results = sum(one.results for one in found)
    what = f"{results} result{'s' * (results != 1)}"
    if len(found) > 1:
        what += f" in {len(found)} files"
    verb, old = ("is", "it is") if results == 1 else ("are", "they are")
    where = found[0].kept if len(found) == 1 else f"{found[0].kept} and the like"
    return f"{what} of before {', '.join(changed)} changed {verb} made again; {old} kept in {where}"


def _texts(value: Any) -> dict[str, str]:
    """Digests by name; nothing of what is none."""
    if not isinstance(value, dict) or not all(isinstance(digest, str) for digest in value.values()):
        return {}
    return value
