"""What `fedward watch` says before all that reads an audit is loaded. Loads nothing heavy."""

from __future__ import annotations

from pathlib import Path

import typer

from ..failures import MendableError, tamed

_RUN = "run.json"
"""What a run's folder holds, which has no audit."""


class WatchError(MendableError, ValueError):
    """Nothing that could be watched."""

    asked = True


def say_awaited(audit: Path, *, once: bool, as_json: bool, serve: int | None, host: str | None) -> None:
    """Say what is watched, or waited for.

    Raises:
        WatchError: it is a run's folder; or there is nothing, and nothing is to be waited for; or options contradict.
    """
    if serve is not None and (once or as_json):
        raise WatchError("--serve serves a page, and --once and --json are for the terminal: leave one of them out")
    if serve is None and host is not None:
        raise WatchError("--host says where --serve serves a page: give --serve, too, or leave it out")
    if (audit / _RUN).is_file():
        raise WatchError(f"{tamed(audit)} is the folder of a run, not an audit of a federation: fedward report {audit}")
    if not audit.exists():
        if once:
            raise WatchError(f"{tamed(audit)}: no such file; without --once it is waited for")
        say_waiting(audit)
    elif not once and serve is None:
        typer.echo(f"Watching {tamed(audit)}; Ctrl-C ends it", err=True)


def say_waiting(audit: Path) -> None:
    """Say that a file is not there yet, and who writes it."""
    typer.echo(f"Waiting for {tamed(audit, 1000)}, which RobustFedAvg(audit=...) writes", err=True)
