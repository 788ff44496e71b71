"""Loops over blocks that numba compiles, each paired with a formulation in torch; `dispatch` chooses."""

from .compiled import FlatRows, LoopCode, run
from .dispatch import BLOCKS, Looping, Pair, available, in_loops, loops_from, made_of, side_by_side

__all__ = [
    "BLOCKS",
    "FlatRows",
    "LoopCode",
    "Looping",
    "Pair",
    "available",
    "in_loops",
    "loops_from",
    "made_of",
    "run",
    "side_by_side",
]
