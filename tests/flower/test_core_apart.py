"""The core of a round knows nothing of Flower, so that other faces can be put around it."""

from __future__ import annotations

import ast
from pathlib import Path

import fedward.flower

FOLDER = Path(fedward.flower.__file__).parent


def imported(name: str) -> set[str]:
    """What a module of the package imports; of the package's own modules with a dot before."""
    found = set()
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add("." * (node.level == 1) + str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_no_module_that_a_round_needs_imports_flower() -> None:
    waiting, seen = {"rounds", "skips"}, set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        foreign = {module for module in imported(name) if module.partition(".")[0] == "flwr"}
        assert not foreign, f"{name} imports {foreign}"
        waiting |= {module[1:] for module in imported(name) if module.startswith(".")} - seen
    assert {"answers", "audit", "running", "server_model", "shares"} <= seen
