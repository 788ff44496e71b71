"""Data sets, and how they are dealt to clients.

A new data set is a function in a file here that returns a `Dataset`, with `register(..., kind="data set")`; a new
partition is a class derived from `Partition`, with `register(...)`.
"""

from .dataset import Dataset, FederatedData, Split
from .dealing import federate
from .known import load_source
from .lazy import Lazy
from .named import load, names
from .own import hold_out, own_dataset
from .partition import IID, PARTITIONS, Degree, Dirichlet, KClasses, Partition, SFraction
from .skews import FeatureSkew, Natural, QuantitySkew, Shards
from .sources import DataError, Source
from .tokens import Tokenizer

__all__ = [
    "IID",
    "PARTITIONS",
    "DataError",
    "Dataset",
    "Degree",
    "Dirichlet",
    "FeatureSkew",
    "FederatedData",
    "KClasses",
    "Lazy",
    "Natural",
    "Partition",
    "QuantitySkew",
    "SFraction",
    "Shards",
    "Source",
    "Split",
    "Tokenizer",
    "federate",
    "hold_out",
    "load",
    "load_source",
    "names",
    "own_dataset",
]
