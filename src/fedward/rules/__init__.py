"""Aggregation rules. Each decides from statistics of the rows, and touches no data."""

from .coordinate import Mean, Median, TrimmedMean
from .distance import Bulyan, GeometricMedian, Krum, MultiKrum
from .sign import SignGuard, SignGuardDist, SignGuardSim
from .spectral import DnC

__all__ = [
    "Bulyan",
    "DnC",
    "GeometricMedian",
    "Krum",
    "Mean",
    "Median",
    "MultiKrum",
    "SignGuard",
    "SignGuardDist",
    "SignGuardSim",
    "TrimmedMean",
]
