"""Data sets, and how they are dealt to clients.

A new data set is a function in a file here that returns a `Dataset`, with `register(..., kind="data set")`; a new
partition is a class derived from `Partition`, with `register(...)`.
"""

from .dataset import Dataset, FederatedData, Split, federate
from .known import load_source
from .named import load, names
from .partition import IID, PARTITIONS, Degree, Dirichlet, KClasses, Partition, SFraction
from .sources import DataError, Source
from .tokens import Tokenizer

__all__ = [
    "IID",
    "PARTITIONS",
    "DataError",
    "Dataset",
    "Degree",
    "Dirichlet",
    "FederatedData",
    "KClasses",
    "Partition",
    "SFraction",
    "Source",
    "Split",
    "Tokenizer",
    "federate",
    "load",
    "load_source",
    "names",
]
