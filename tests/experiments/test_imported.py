"""What a part's module imports of the user's own decides its figures, too, and is found without running any of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from fedward.experiments.imported import imported_by, is_a_users, shown_as

RULE = "def mine(G):\n    return scale() * G.mean(0)\n"
SCALE = "def scale():\n    return 1.0\n"


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source, encoding="utf-8")
    return folder


def found(file: Path) -> set[str]:
    return {shown_as(one) for one in imported_by([file])}


@pytest.mark.parametrize(
    ("line", "helper"),
    [
        ("from core_of_mine import scale", "core_of_mine.py"),
        ("import core_of_mine", "core_of_mine.py"),
        ("def late():\n    from core_of_mine import scale", "core_of_mine.py"),
        ("try:\n    import core_of_mine as core\nexcept ImportError:\n    core = None", "core_of_mine.py"),
        ("import importlib\ncore = importlib.import_module('core_of_mine')", "core_of_mine.py"),
        ("from importlib import import_module\ncore = import_module(name='core_of_mine')", "core_of_mine.py"),
        ("core = __import__('core_of_mine')", "core_of_mine.py"),
        ("import nested.deep.core", "nested/deep/core.py"),
        ("from nested.deep import core", "nested/deep/core.py"),
        ("from nested.deep.core import scale", "nested/deep/core.py"),
        ("from bare.core import scale", "core.py"),  # a folder without an __init__.py has no name of its own
    ],
)
def test_an_import_is_seen_however_it_is_written(tmp_path: Path, line: str, helper: str) -> None:
    names = ("core_of_mine.py", "nested/__init__.py", "nested/deep/__init__.py", "nested/deep/core.py", "bare/core.py")
    written(tmp_path, {**dict.fromkeys(names, SCALE), "rr.py": f"{line}\n{RULE}"})
    assert helper in found(tmp_path / "rr.py")


@pytest.mark.parametrize(
    ("line", "helpers"),
    [
        ("from .util import scale", {"pkg/util.py"}),
        ("from . import util", {"pkg/util.py"}),
        ("from . import util, LARGE", {"pkg/util.py", "pkg/__init__.py", "pkg/faced.py"}),
        ("from .. import other", set()),  # beyond its package
        ("from .sub import thing", {"pkg/sub/__init__.py", "pkg/sub/inner.py"}),
        ("from .sub.inner import thing", {"pkg/sub/inner.py"}),
        ("import pkg.util", {"pkg/util.py", "pkg/__init__.py", "pkg/faced.py"}),
        ("from importlib import import_module\nimport_module('.util', __package__)", {"pkg/util.py"}),
    ],
)
def test_relative_imports_are_those_of_the_package(tmp_path: Path, line: str, helpers: set[str]) -> None:
    """The face of a package counts where something is taken from it, or each of its rules would hang on all others."""
    files = {
        "pkg/__init__.py": "from .faced import thing\nLARGE = 3\n",
        "pkg/faced.py": "thing = 1\n",
        "pkg/util.py": SCALE,
        "pkg/unused.py": SCALE,
        "pkg/sub/__init__.py": "from .inner import thing\n",
        "pkg/sub/inner.py": "thing = 1\n",
        "pkg/rr.py": f"{line}\n{RULE}",
    }
    assert found(written(tmp_path, files) / "pkg" / "rr.py") == helpers


def test_it_goes_on_through_what_is_imported_and_comes_to_an_end(tmp_path: Path) -> None:
    files = {"rr.py": "import one", "one.py": "import two", "two.py": "import one, rr, three", "three.py": "def ("}
    assert found(written(tmp_path, files) / "rr.py") == {"one.py", "two.py", "three.py"}


def test_libraries_and_fedward_are_not_the_users(tmp_path: Path) -> None:
    source = "import json, os.path, torch, numpy.linalg, fedward, fedward.rules, not_there_at_all\nfrom torch import nn"
    assert found(written(tmp_path, {"rr.py": source}) / "rr.py") == set()
    assert not is_a_users(Path(os.__file__))
    installed = written(tmp_path / "env/lib/python3.12/site-packages", {"dep.py": "import beside", "beside.py": ""})
    assert imported_by([installed / "dep.py"]) == frozenset()


ASKED = """
import sys
sys.path.insert(0, {place!r})
{before}
from pathlib import Path
from fedward.experiments.imported import imported_by, shown_as
print(sorted(map(shown_as, imported_by([Path({file!r})]))))
"""


def test_neither_the_working_folder_nor_what_was_imported_before_changes_what_is_found(tmp_path: Path) -> None:
    place = written(tmp_path / "mine", {"rr.py": f"from helper import scale\n{RULE}", "helper.py": SCALE})
    elsewhere = written(tmp_path / "other", {"helper.py": "raise RuntimeError", "unused.py": ""})
    said = set()
    for folder, before in ((place, ""), (elsewhere, ""), (place, "import rr"), (elsewhere, "import helper, json")):
        asked = ASKED.format(place=str(place), file=str(place / "rr.py"), before=before)
        done = subprocess.run([sys.executable, "-c", asked], cwd=folder, capture_output=True, text=True, check=True)
        said.add(done.stdout)
    assert said == {"['helper.py']\n"}
    # Where its folder is not on Python's path, it is looked for beside the file.
    assert found(place / "rr.py") == {"helper.py"}


def test_nothing_is_run(tmp_path: Path) -> None:
    files = {"rr.py": "import helper", "helper.py": f"open({str(tmp_path / 'ran')!r}, 'w')", "pkg/__init__.py": "1/0"}
    files["rr.py"] += "\nimport pkg.sub"
    files["pkg/sub.py"] = "1/0"
    assert found(written(tmp_path, files) / "rr.py") == {"helper.py", "pkg/__init__.py", "pkg/sub.py"}
    assert not (tmp_path / "ran").exists()
