"""Run the notebooks of examples/ again, and keep their outputs: ``python scripts/run_notebooks.py``.

What a run leaves in a notebook besides (times, versions, who ran it) is taken out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


def executed(notebook: Any, folder: Path) -> Any:
    """The notebook with the outputs of its cells, run in a folder."""
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    return cleaned(client.execute())


def cleaned(notebook: Any) -> Any:
    """The notebook without what is of this machine, and of this run, alone."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
    return notebook


if __name__ == "__main__":
    for file in sorted(EXAMPLES.glob("*.ipynb")):
        nbformat.write(executed(nbformat.read(file, as_version=4), EXAMPLES), file)
        print(f"ran {file.name}")
