"""The notebooks of examples/ run, and what stands in them is what comes out, but for digits and pictures."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
pytest.importorskip("nbclient", reason="nbclient is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")
pytest.importorskip("matplotlib", reason="the extra figures is not installed")

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "run_notebooks.py"))

# jupyter_client says this of every kernel that runs here.
pytestmark = pytest.mark.filterwarnings("ignore:.*(TCP|zmq|event loop).*")


def structure(notebook: Any) -> list[Any]:
    """The cells, and of their outputs the kinds and the words."""
    return [(cell.cell_type, cell.source, *map(told, cell.get("outputs", []))) for cell in notebook.cells]


def told(output: Any) -> tuple[str, ...]:
    if output.output_type == "stream":
        return (output.name, re.sub(r"\d+(\.\d+)?", "#", " ".join(output.text.split())))
    return (output.output_type, *sorted(output.data))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_notebook_comes_out_as_it_is_kept(file: Path, tmp_path: Path) -> None:
    kept = nbformat.read(file, as_version=4)
    assert [cell for cell in kept.cells if cell.cell_type == "code" and cell.execution_count is None] == []
    again = SCRIPT["executed"](nbformat.read(file, as_version=4), tmp_path)
    assert structure(again) == structure(kept)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_notebook_holds_nothing_of_the_machine_that_ran_it(file: Path) -> None:
    kept = nbformat.read(file, as_version=4)
    nbformat.validate(kept)
    assert kept == SCRIPT["cleaned"](nbformat.read(file, as_version=4))
    text = "".join(output.get("text", "") for cell in kept.cells for output in cell.get("outputs", []))
    assert not re.search(r"(^|[\s\"'(])/\w+/|[A-Z]:\\", text, flags=re.MULTILINE)
    pictures = [
        output for cell in kept.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert pictures
    assert file.stat().st_size < 100_000


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
