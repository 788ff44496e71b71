"""The lazy stack of client updates: the only code that touches data."""

from .alike import nearness
from .based import CENTRES, FromBase
from .beside import Unread, output_beside_norms
from .blocks import Block
from .buffers import Policy, lower_median, mean_of_running, median_of_running, middle_of_running, variance_of
from .carried import carried
from .copies import materialise, row_copies, rows_of
from .election import ElectedMean, Floors
from .files import Files
from .geometry import SAME_ROW, Distances, cosine_blocks, cosines, cosines_to, evened, power_above, squared_distances
from .intake import Base, Model, OnBad, Stack, as_updates
from .layered import LayerMixed, layer_bounds, layer_features
from .layout import Buffers, Integers, Layout
from .loops import loops_from, made_of
from .pairs import by_rows, collected, row_blocks, row_slices
from .parts import one_mix, parts
from .ranks import MagnitudeCounts, magnitude_of_rank
from .reference import Ids
from .sample import Sample
from .shards import ColumnShard, held_like, whole_rows
from .shares import ColumnShare
from .sources import Dense, Layers, RowsLostError, RowSource, lost_clients, lost_rows
from .stats import Dots, Gram, SignConcordance, SignCounts, SqNorms, Statistic
from .tiers import Aggregates, Apart, Group
from .updates import Kernel, Updates, View
from .views import Extended, Gathered, Joined, MixedByClient, Offset, Rooted, Single, Widened

__all__ = [
    "CENTRES",
    "SAME_ROW",
    "Aggregates",
    "Apart",
    "Base",
    "Block",
    "Buffers",
    "ColumnShard",
    "ColumnShare",
    "Dense",
    "Distances",
    "Dots",
    "ElectedMean",
    "Extended",
    "Files",
    "Floors",
    "FromBase",
    "Gathered",
    "Gram",
    "Group",
    "Ids",
    "Integers",
    "Joined",
    "Kernel",
    "LayerMixed",
    "Layers",
    "Layout",
    "MagnitudeCounts",
    "MixedByClient",
    "Model",
    "Offset",
    "OnBad",
    "Policy",
    "Rooted",
    "RowSource",
    "RowsLostError",
    "Sample",
    "SignConcordance",
    "SignCounts",
    "Single",
    "SqNorms",
    "Stack",
    "Statistic",
    "Unread",
    "Updates",
    "View",
    "Widened",
    "as_updates",
    "by_rows",
    "carried",
    "collected",
    "cosine_blocks",
    "cosines",
    "cosines_to",
    "evened",
    "held_like",
    "layer_bounds",
    "layer_features",
    "loops_from",
    "lost_clients",
    "lost_rows",
    "lower_median",
    "made_of",
    "magnitude_of_rank",
    "materialise",
    "mean_of_running",
    "median_of_running",
    "middle_of_running",
    "nearness",
    "one_mix",
    "output_beside_norms",
    "parts",
    "power_above",
    "row_blocks",
    "row_copies",
    "row_slices",
    "rows_of",
    "squared_distances",
    "variance_of",
    "whole_rows",
]
