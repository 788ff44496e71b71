"""Sweeps: many runs from one table, stored so that nothing is lost, and told as one table."""

from .grid import Cell, Sweep, make_sweep, read_sweep
from .rows import Row, write_rows
from .store import SweepFolder
from .work import Local, plan, run_sweep

__all__ = [
    "Cell",
    "Local",
    "Row",
    "Sweep",
    "SweepFolder",
    "make_sweep",
    "plan",
    "read_sweep",
    "run_sweep",
    "write_rows",
]
