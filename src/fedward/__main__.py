"""The `fedward` command."""

from __future__ import annotations

import sys

from .cli.terminal import abandon, keep_folder_out, leave_when_interrupted, never_failing, say_error, write_anything


def main() -> None:
    """Run the command line, or say what it needs."""
    leave_when_interrupted()
    keep_folder_out()
    write_anything(sys.stdout)
    write_anything(sys.stderr)
    sys.stderr = never_failing(sys.stderr)
    from .failures import missing_extra, sentence

    try:
        from .cli.app import app
    except ModuleNotFoundError as error:
        if needed := missing_extra(error):
            sys.exit(needed)
        raise
    try:
        app()
    except OSError as error:  # of what no command says itself: --version, --help
        say_error(sentence(error))
        abandon(sys.stdout)
        sys.exit(1)
    finally:
        leave_when_interrupted()


if __name__ == "__main__":
    main()
