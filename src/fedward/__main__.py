"""The `fedward` command."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        from .cli import app
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in ("typer", "rich", "pydantic", "plotly"):
            sys.exit(f"the fedward command needs {error.name}: pip install 'fedward[cli]'")
        raise
    sys.path.append(os.getcwd())  # for rules of the user's own, by import path
    app()


if __name__ == "__main__":
    main()
