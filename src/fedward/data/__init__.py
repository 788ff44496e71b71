"""Data sets, and how they are dealt to clients."""

from .dataset import Dataset, FederatedData, Split, federate
from .partition import IID, PARTITIONS, Degree, Dirichlet, KClasses, Partition, SFraction
from .sources import SOURCES, DataError, Source, load, load_source, names

__all__ = [
    "IID",
    "PARTITIONS",
    "SOURCES",
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
    "federate",
    "load",
    "load_source",
    "names",
]
