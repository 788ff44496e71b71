"""Published tables and figures as sweeps: a specification each, and the numbers that the paper has for its cells."""

from .reading import Number, Published, look_up, names, read

__all__ = ["Number", "Published", "look_up", "names", "read"]
