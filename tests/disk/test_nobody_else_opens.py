"""One module opens files: whoever else did would follow links, wait for FIFOs, or leave half a file behind."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "fedward"
OPENERS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "fdopen", "mkstemp", "NamedTemporaryFile"}
MOVERS = {"os.replace", "os.rename", "shutil.move", "shutil.copy", "shutil.copyfile"}

ELSEWHERE: Mapping[str, str] = {
    "audit/apart.py": "a copy in the folder for temporary files, under a name that nobody knows",
    "audit/arrays.py": "that copy",
    "audit/pickled.py": "that copy",
    "audit/output.py": "a folder, made whole beside its place",
    "cli/terminal.py": "the null device",
    "data/content.py": "what comes with the package, and members of archives",
    "data/images.py": "what is in memory",
    "experiments/versions.py": "the package's own source",
    "published/reading.py": "the package's own tables",
    "report/bibliography.py": "the package's own table",
    "sim/locking.py": "the lock itself, which follows no link and waits for nobody",
    "sweeps/key.py": "source, of the package and of modules that were imported already",
    "sweeps/memory.py": "what the system says of this process",
    "stack/written.py": "a member of an archive that is being written",
}
"""Modules that open something all the same, and what."""


def opened(source: str) -> Iterator[str]:
    """Calls that open, read, write or move files."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called == "open" or called in MOVERS or (isinstance(node.func, ast.Attribute) and node.func.attr in OPENERS):
            yield called


def test_files_are_opened_in_one_place() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix(): list(opened(file.read_text(encoding="utf-8")))
        for file in PACKAGE.rglob("*.py")
    }
    others = {name: calls for name, calls in found.items() if calls and name != "disk.py"}
    assert others.keys() - ELSEWHERE.keys() == set()
    assert ELSEWHERE.keys() - others.keys() == set()  # no exception has outlived its reason


def test_a_planted_one_is_seen() -> None:
    source = "with open(path) as file: pass\npath.write_text('x')\nos.replace(a, b)\nopen_regular(path)\n"
    assert sorted(opened(source)) == ["open", "os.replace", "path.write_text"]
