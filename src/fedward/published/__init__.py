"""Published tables and figures as sweeps: a specification each, and the numbers that the paper has for its cells."""

from .compare import Verdict, measured, verdict_in_small, verdict_on
from .reading import Number, Published, look_up, names, read

__all__ = ["Number", "Published", "Verdict", "look_up", "measured", "names", "read", "verdict_in_small", "verdict_on"]
