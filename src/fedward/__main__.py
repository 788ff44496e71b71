"""The `fedward` command."""

from __future__ import annotations

import os
import sys

from .cli.terminal import leave_when_interrupted, write_anything


def main() -> None:
    """Run the command line, or say what it needs."""
    leave_when_interrupted()
    write_anything(sys.stdout)
    write_anything(sys.stderr)
    from .failures import missing_extra

    try:
        from .cli.app import app
    except ModuleNotFoundError as error:
        if needed := missing_extra(error):
            sys.exit(needed)
        raise
    sys.path.append(os.getcwd())  # for rules of the user's own, by import path
    try:
        app()
    finally:
        leave_when_interrupted()


if __name__ == "__main__":
    main()
