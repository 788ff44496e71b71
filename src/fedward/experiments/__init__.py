"""Runs from a specification: validated, stored, resumable, reported."""

from .load import load_spec
from .run import execute, run_grid
from .spec import RunSpec
from .store import RunFolder

__all__ = ["RunFolder", "RunSpec", "execute", "load_spec", "run_grid"]
