"""The lazy stack of client updates: the only code that touches data."""

from .buffers import lower_median, mean_of_running
from .election import ElectedMean, Floors
from .files import Files
from .gathered import Gathered
from .geometry import SAME_ROW, cosines, cosines_to, evened, power_above, squared_distances
from .intake import Model, OnBad, Stack, as_updates
from .layout import Buffers, Integers, Layout
from .parts import one_mix, parts
from .ranks import MagnitudeCounts, magnitude_of_rank
from .reference import Ids
from .sources import Dense, Layers
from .stats import Block, Dots, Gram, Sample, SignConcordance, SignCounts, SqNorms, Statistic
from .updates import Extended, Joined, Kernel, Rooted, Updates, View, materialise

__all__ = [
    "SAME_ROW",
    "Block",
    "Buffers",
    "Dense",
    "Dots",
    "ElectedMean",
    "Extended",
    "Files",
    "Floors",
    "Gathered",
    "Gram",
    "Ids",
    "Integers",
    "Joined",
    "Kernel",
    "Layers",
    "Layout",
    "MagnitudeCounts",
    "Model",
    "OnBad",
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
    "cosines_to",
    "evened",
    "lower_median",
    "magnitude_of_rank",
    "materialise",
    "mean_of_running",
    "one_mix",
    "parts",
    "power_above",
    "squared_distances",
]
