"""The lazy stack of client updates: the only code that touches data."""

from .layout import Layout
from .sources import Dense, Layers, Stack, as_updates
from .stats import Block, Dots, Gram, Sample, SignConcordance, SignCounts, SqNorms, Statistic
from .updates import Extended, Joined, Kernel, Updates, materialise

__all__ = [
    "Block",
    "Dense",
    "Dots",
    "Extended",
    "Gram",
    "Joined",
    "Kernel",
    "Layers",
    "Layout",
    "Sample",
    "SignConcordance",
    "SignCounts",
    "SqNorms",
    "Stack",
    "Statistic",
    "Updates",
    "as_updates",
    "materialise",
]
