"""Runs of the same settings that are not seeds of one thing, since code of the user's own was edited between them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..failures import tamed
from ..registry.strangers import import_paths

OWN_CODE = "own_code"
"""Under what name it stands among the settings of runs, where that is needed: no key of a run."""
RULE_CODE = "rule_code"
ATTACK_CODE = "attack_code"
"""The same of files that only a rule, or only an attack, is made of: another rule, another column, no setting."""

_CODE_OF = {"rule": RULE_CODE, "attack": ATTACK_CODE}
_PARTS = (*_CODE_OF, "data", "model", "algorithm", "server", "partition")
"""Keys of a run that may name code of the user's own."""
_BESIDE = frozenset({"seed", "name", "evaluate_every", "data_path", "device", "confidence"})
_DIGITS = 6

Files = Mapping[str, str]
"""Digests of files by name."""


@dataclass(frozen=True, kw_only=True)
class CodeOfRun:
    """What tells whether two runs are seeds of one thing.

    Attributes:
        config: of the run.
        own, imported: as `fedward.experiments.store.RunHead` has them. Of a run that has not begun there is nothing.
    """

    config: Mapping[str, Any]
    own: Files
    imported: Files | None


def with_code(config: Mapping[str, Any], told: Mapping[str, str]) -> Mapping[str, Any]:
    """The settings of a run with what `told_apart` says of it."""
    return {**config, **told} if told else config


def named_with_code(text: str, config: Mapping[str, Any], key: str) -> str:
    """A rule or an attack as text, with its code where that tells it from others of the same text.

    Args:
        text: what it is called.
        config: of the run.
        key: ``rule`` or ``attack``.
    """
    code = config.get(_CODE_OF[key])
    return f"{text} ({code})" if code else text


def told_apart(runs: Sequence[CodeOfRun]) -> list[dict[str, str]]:
    """Of each run the user's own files that others have otherwise, with a part of their digests, by `OWN_CODE` etc.

    A file is compared among the runs that share what it is a part of: that of an attack among runs of this attack, that
    of a model among all runs of it. Runs of which nothing is known, such as those that have not begun, go with the last
    of these. Nothing is said where all are of one code, or where nobody knows.
    """
    told: list[dict[str, list[str]]] = [{} for _ in runs]
    own = [run.own or None for run in runs]
    imported = [run.imported if run.own else None for run in runs]
    for files in (own, imported):
        for name in sorted({name for each in files if each for name in each}):
            for key, numbers in _sharing(runs, files, name):
                for number, word in _words(numbers, files, name):
                    told[number].setdefault(_CODE_OF.get(key, OWN_CODE), []).append(word)
    return [{key: ", ".join(dict.fromkeys(words)) for key, words in each.items()} for each in told]


def _words(numbers: Sequence[int], files: Sequence[Files | None], name: str) -> Iterator[tuple[int, str]]:
    """Of runs that share a file what they have of it, if that is not the same."""
    known = {number: each.get(name) for number in numbers if (each := files[number]) is not None}
    if len(set(known.values())) < 2:
        return
    last = next(reversed(known.values()))
    for number in numbers:
        yield number, _told(name, known.get(number, last))


def _sharing(
    runs: Sequence[CodeOfRun], files: Sequence[Files | None], name: str
) -> Iterator[tuple[str, Sequence[int]]]:
    """The key that a file is a part of, and the numbers of runs that share that part; of each part once."""
    naming = {key: {n: paths for n, run in enumerate(runs) if (paths := _naming(run, key, name))} for key in _PARTS}
    named = [key for key, by_run in naming.items() if by_run]
    shared = [key for key in named if key not in _CODE_OF]
    for key in shared or named:
        yield from ((key, numbers) for numbers in _grouped(naming[key], naming[key].__getitem__))
    if named:
        return
    # What an import path does not name is a module that another one imports, or a class that has a name of its own.
    begun = [number for number, each in enumerate(files) if each is not None]
    having = {number for number in begun if name in (files[number] or {})}
    part = "" if len(having) == len(begun) else _deciding(runs, begun, having)
    if part is None:
        yield from (("", numbers) for numbers in _grouped(range(len(runs)), lambda number: _settings(runs[number])))
        return
    holding = {_part(runs[number], part) for number in having}
    there = [number for number in range(len(runs)) if _part(runs[number], part) in holding]
    yield from ((part, numbers) for numbers in _grouped(there, lambda number: _part(runs[number], part)))


def _deciding(runs: Sequence[CodeOfRun], begun: Sequence[int], having: set[int]) -> str | None:
    """The key that decides which runs have a file; None where there is none."""
    for key in _PARTS:
        kinds: dict[str, set[bool]] = {}
        for number in begun:
            kinds.setdefault(_part(runs[number], key), set()).add(number in having)
        if len(kinds) > 1 and all(len(kind) == 1 for kind in kinds.values()):
            return key
    return None


def _grouped(numbers: Iterable[int], by: Callable[[int], Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for number in numbers:
        groups.setdefault(by(number), []).append(number)
    return list(groups.values())


def _naming(run: CodeOfRun, key: str, file: str) -> frozenset[str]:
    """The import paths in a value that lead through a file, known by its own name or by that within its package."""
    return frozenset(path for path, files in _paths(repr(run.config.get(key))) if file in files)


@lru_cache(maxsize=1000)  # few values, of many runs
def _paths(text: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Each import path in a text, with what the files of its modules can be called."""
    return tuple((path, frozenset(_files_on(path.split(".")[:-1]))) for path in sorted(import_paths(text)))


def _files_on(modules: Sequence[str]) -> Iterator[str]:
    for end in range(1, len(modules) + 1):
        whole = "/".join(modules[:end])
        yield from (f"{modules[end - 1]}.py", f"{whole}.py", f"{whole}/__init__.py")


def _part(run: CodeOfRun, key: str) -> str:
    """The value of a key as text, that of none for what all runs have in common."""
    return repr(run.config.get(key)) if key else ""


def _settings(run: CodeOfRun) -> tuple[tuple[str, str], ...]:
    return tuple((key, repr(value)) for key, value in sorted(run.config.items()) if key not in _BESIDE)


def _told(name: str, digest: str | None) -> str:
    return f"no {tamed(name)}" if digest is None else f"{tamed(name)} {tamed(digest[:_DIGITS])}"
