"""Aggregation rules. Each decides from statistics of the rows, and touches no data."""

from .center import RFA, CenteredClipping, GeometricMedian, Huber, SequentialCenteredClipping
from .classwise import ClassWise
from .clustering import FLAME, ClippedClustering, CosineClustering
from .coordinate import ClipMean, MeaMed, Mean, Median, Phocas, TrimmedMean
from .copod import CopodDOS
from .demoa import DeMoA
from .distance import Bulyan, Krum, MultiKrum
from .election import TIES, FedSECA, SignMajority
from .fldetector import FLDetector
from .hierarchical import Hierarchical
from .layerwise import LASA
from .mixture import RobustTailor
from .reputation import RFFL, FoolsGold
from .sign import SignGuard, SignGuardDist, SignGuardSim
from .siren import SIREN
from .spectral import CAF, DnC
from .subset import CGE, FABA, MDA, SMEA, MoNNA
from .trust import ErrorRateRejection, FLTrust, LossRejection, UnionRejection, Zeno
from .wrapped import Delayed

__all__ = [
    "CAF",
    "CGE",
    "FABA",
    "FLAME",
    "LASA",
    "MDA",
    "RFA",
    "RFFL",
    "SIREN",
    "SMEA",
    "TIES",
    "Bulyan",
    "CenteredClipping",
    "ClassWise",
    "ClipMean",
    "ClippedClustering",
    "CopodDOS",
    "CosineClustering",
    "DeMoA",
    "Delayed",
    "DnC",
    "ErrorRateRejection",
    "FLDetector",
    "FLTrust",
    "FedSECA",
    "FoolsGold",
    "GeometricMedian",
    "Hierarchical",
    "Huber",
    "Krum",
    "LossRejection",
    "MeaMed",
    "Mean",
    "Median",
    "MoNNA",
    "MultiKrum",
    "Phocas",
    "RobustTailor",
    "SequentialCenteredClipping",
    "SignGuard",
    "SignGuardDist",
    "SignGuardSim",
    "SignMajority",
    "TrimmedMean",
    "UnionRejection",
    "Zeno",
]
