"""The house: arrows between packages point downwards, modules make no circle, files are short, a name means one thing.

Imports are read from the source, those within functions and those for type checkers alone included: what a module
needs to be understood is what it imports anywhere.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from fedward.experiments.versions import BESIDE

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "fedward"
LONGEST = 400

LAYERS = (
    "failures",
    "disk",
    "stack",
    "registry",
    "core",
    "distributed",
    "rules",
    "attacks",
    "audit",
    "training",
    "clients",
    "data",
    "models",
    "sim",
    "flower",
    "nvflare",
    "experiments",
    "sweeps",
    "published",
    "redteam",
    "report",
    "testing",
    "cli",
)
"""Lowest first."""

FACE = ("__init__", "__main__", "mixers")
"""Modules beside the packages, which show what there is and may import anything."""

SHOWN_TO = ("cli",)
"""What may use the face of the whole package."""

APART = {
    "data": {"registry", "failures", "disk"},
    "models": {"registry", "failures", "disk"},
    "training": {"registry", "failures", "disk"},
}
"""Packages that use less than what lies below them."""

KNOWN_ARROWS: Mapping[tuple[str, str], str] = {}
"""Arrows that point upwards all the same, by modules, each with its reason."""

SAME_NAME: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "run",
            "demo",
            "sweep",
            "redteam",
            "choose",
            "report",
            "list_",
            "list_data",
            "show_data",
            "aggregate",
            "audit",
            "watch",
        ),
        "a command of the command line, and what it does",
    ),
    "View": "what an attack sees, and a stack that is seen through another: both are public names",
    "RobustFedAvg": "federated averaging with a rule, for Flower's API of today and for the older one",
    "names": "what there is, of published tables and of data sets",
    "read": "reading, of a published table and of a file's content",
}
"""Public names of functions and classes that several packages have, each with its reason."""


# --- what a tree imports ------------------------------------------------------------------------------------


def modules(folder: Path, prefix: str) -> dict[str, Path]:
    """The modules below a folder by their full names; a package goes by the name of its folder."""
    found = {}
    for file in sorted(folder.rglob("*.py")):
        parts = [prefix, *file.relative_to(folder).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(part for part in parts if part)] = file
    return found


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(name: str, file: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules among ``known`` that a module imports, anywhere in it; its own package is none of them."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = list(_imported_from(node, package, known))
        else:
            continue
        yield from (module for module in found if module in known and module != name)


def _imported_from(node: ast.ImportFrom, package: str, known: Mapping[str, Path]) -> Iterator[str]:
    above = package.split(".")
    base = above[: len(above) - node.level + 1] if node.level else []
    source = ".".join([*base, *(node.module or "").split(".")]).strip(".")
    for alias in node.names:
        module = f"{source}.{alias.name}".strip(".")
        # ``from .. import plots`` imports a module, ``from ..plots import signs`` something of one.
        yield module if module in known else source


def graph(known: Mapping[str, Path]) -> dict[str, set[str]]:
    return {name: set(imports(name, file, known)) for name, file in known.items()}


def circle(arrows: Mapping[str, set[str]]) -> list[str]:
    """Modules that need each other, the first one once more at the end; empty if there are none."""
    done: set[str] = set()

    def followed(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(arrows[name]):
            if found := followed(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := followed(name, []))), [])


def package_of(module: str) -> str:
    """The package or module of the first level that a module lies in; ``__init__`` for the whole."""
    return module.split(".")[1] if "." in module else "__init__"


def arrows_upwards(arrows: Mapping[str, set[str]]) -> list[str]:
    """What a package must not import, as sentences."""
    found = []
    for module, others in sorted(arrows.items()):
        own = package_of(module)
        for other in sorted(others):
            if own in FACE or package_of(other) == own or (module, other) in KNOWN_ARROWS:
                continue
            if not _allowed(own, package_of(other)):
                found.append(f"{module} imports {other}")
    return found


def _allowed(own: str, other: str) -> bool:
    if other in FACE:
        return own in SHOWN_TO
    if own in APART:
        return other in APART[own]
    return LAYERS.index(other) < LAYERS.index(own)


SOURCES = modules(PACKAGE, "fedward")


@cache
def arrows_of_sources() -> dict[str, set[str]]:
    return graph(SOURCES)


# --- the house ----------------------------------------------------------------------------------------------


def test_every_package_has_its_place() -> None:
    assert {package_of(module) for module in SOURCES} == {*LAYERS, *FACE}


def test_arrows_between_packages_point_downwards() -> None:
    assert arrows_upwards(arrows_of_sources()) == []


def test_what_is_said_to_decide_no_figure_of_a_run_is_used_by_nothing_that_does() -> None:
    """All but `failures`, which is what errors say."""
    beside = {name.removesuffix(".py") for name in BESIDE} - {"failures"}
    assert {"audit", "nvflare", "distributed"} <= beside
    assert [
        f"{module} imports {other}"
        for module, others in sorted(arrows_of_sources().items())
        for other in sorted(others)
        if package_of(module) not in beside and package_of(other) in beside
    ] == []


def test_no_exception_has_outlived_its_reason() -> None:
    arrows = arrows_of_sources()
    assert [pair for pair in KNOWN_ARROWS if pair[1] not in arrows.get(pair[0], ())] == []
    assert sorted(set(SAME_NAME) - set(several_owners())) == []


@pytest.mark.parametrize(
    "known",
    [SOURCES, modules(ROOT / "benchmarks", "benchmarks"), modules(ROOT / "scripts", "")],
    ids=["src", "benchmarks", "scripts"],
)
def test_modules_make_no_circle(known: Mapping[str, Path]) -> None:
    assert circle(graph(known)) == []


@pytest.mark.parametrize("folder", ["src", "tests", "scripts", "benchmarks", "examples"])
def test_files_are_short(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    lines = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert lines
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


def test_contributing_names_the_layers_in_their_order() -> None:
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sentence = told[told.index("A package uses only what lies below it:") : told.index("lowest first")]
    assert tuple(re.findall(r"`(\w+)`", sentence)) == LAYERS


def several_owners() -> dict[str, list[str]]:
    """Public functions and classes that are defined in more than one module, with these modules."""
    owners: dict[str, list[str]] = {}
    for module, file in SOURCES.items():
        for node in parsed(file).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                owners.setdefault(node.name, []).append(module)
    return {name: where for name, where in owners.items() if len(set(where)) > 1}


def test_a_name_means_one_thing() -> None:
    assert {name: where for name, where in several_owners().items() if name not in SAME_NAME} == {}


# --- the test itself ----------------------------------------------------------------------------------------


def planted(folder: Path, files: Mapping[str, str]) -> dict[str, Path]:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return modules(folder, "fedward")


def test_a_planted_arrow_is_seen(tmp_path: Path) -> None:
    known = planted(
        tmp_path,
        {
            "__init__.py": "",
            "core/__init__.py": "from .rule import Rule\n",
            "core/rule.py": "def f():\n    from ..sim import engine\n",
            "data/__init__.py": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from ..core.rule import Rule\n",
            "sim/__init__.py": "",
            "sim/engine.py": "from .. import core\nfrom .. import __version__\n",
        },
    )
    assert arrows_upwards(graph(known)) == [
        "fedward.core.rule imports fedward.sim.engine",
        "fedward.data imports fedward.core.rule",
        "fedward.sim.engine imports fedward",
    ]
    assert circle(graph(known)) == ["fedward.core", "fedward.core.rule", "fedward.sim.engine", "fedward.core"]
