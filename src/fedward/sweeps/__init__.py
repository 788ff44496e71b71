"""Sweeps: many runs from one table, stored so that nothing is lost, and told as one table."""

from .grid import Cell, Sweep, make_sweep, read_sweep
from .rows import Row, write_rows

__all__ = ["Cell", "Row", "Sweep", "make_sweep", "read_sweep", "write_rows"]
