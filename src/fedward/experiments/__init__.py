"""Runs from a specification: validated, stored, resumable, reported."""

from .run import execute, run_grid
from .spec import RunSpec, load_spec
from .store import RunFolder

__all__ = ["RunFolder", "RunSpec", "execute", "load_spec", "run_grid"]
