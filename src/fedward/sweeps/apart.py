"""Runs of the same settings that are not seeds of one thing, since code of the user's own was edited between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..failures import tamed

OWN_CODE = "own_code"
"""Under what name it stands among the settings of runs, where that is needed: no key of a run."""

_BESIDE = frozenset({"seed", "name", "evaluate_every", "data_path", "device", "confidence"})
_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class CodeOfRun:
    """What tells whether two runs are seeds of one thing.

    Attributes:
        config: of the run.
        own, imported: as `fedward.experiments.store.RunHead` has them.
    """

    config: Mapping[str, Any]
    own: Mapping[str, str]
    imported: Mapping[str, str] | None


def told_apart(runs: Sequence[CodeOfRun]) -> list[str]:
    """Of each run the user's own files that others of the same settings have otherwise, with a part of their digests.

    Nothing where all of these are of one code, or where nobody knows.
    """
    groups: dict[Any, list[int]] = {}
    for number, run in enumerate(runs):
        settings = tuple((key, repr(value)) for key, value in sorted(run.config.items()) if key not in _BESIDE)
        groups.setdefault(settings, []).append(number)
    told = [""] * len(runs)
    for numbers in groups.values():
        for number, words in zip(numbers, _words([runs[number] for number in numbers]), strict=True):
            told[number] = words
    return told


def _words(group: Sequence[CodeOfRun]) -> Iterator[str]:
    own = [run.own for run in group]
    imported = [run.imported for run in group if run.imported is not None]
    if len(imported) < len(group):  # of one nobody took note of it
        imported = [{} for _ in group]
    kinds = [(kind, _differing(kind)) for kind in (own, imported)]
    for number in range(len(group)):
        yield ", ".join(_told(name, kind[number].get(name)) for kind, names in kinds for name in names)


def _differing(files: Sequence[Mapping[str, str]]) -> list[str]:
    return sorted({name for each in files for name in each if len({other.get(name) for other in files}) > 1})


def _told(name: str, digest: str | None) -> str:
    return f"no {tamed(name)}" if digest is None else f"{tamed(name)} {tamed(digest[:_DIGITS])}"
