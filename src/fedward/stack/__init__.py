"""The lazy stack of client updates: the only code that touches data."""

from .election import ElectedMean, Floors
from .files import Files
from .gathered import Gathered
from .geometry import SAME_ROW, cosines, evened, squared_distances
from .layout import Layout
from .parts import one_mix, parts
from .ranks import MagnitudeCounts, magnitude_of_rank
from .sources import Dense, Layers, Stack, as_updates
from .stats import Block, Dots, Gram, Sample, SignConcordance, SignCounts, SqNorms, Statistic
from .updates import Extended, Joined, Kernel, Rooted, Updates, View, materialise

__all__ = [
    "SAME_ROW",
    "Block",
    "Dense",
    "Dots",
    "ElectedMean",
    "Extended",
    "Files",
    "Floors",
    "Gathered",
    "Gram",
    "Joined",
    "Kernel",
    "Layers",
    "Layout",
    "MagnitudeCounts",
    "Rooted",
    "Sample",
    "SignConcordance",
    "SignCounts",
    "SqNorms",
    "Stack",
    "Statistic",
    "Updates",
    "View",
    "as_updates",
    "cosines",
    "evened",
    "magnitude_of_rank",
    "materialise",
    "one_mix",
    "parts",
    "squared_distances",
]
