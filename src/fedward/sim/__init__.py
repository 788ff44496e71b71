"""Simulation of federated training, some clients malicious, on one machine."""

from ..data import (
    IID,
    PARTITIONS,
    DataError,
    Dataset,
    Degree,
    Dirichlet,
    FeatureSkew,
    FederatedData,
    KClasses,
    Natural,
    Partition,
    QuantitySkew,
    SFraction,
    Shards,
    Split,
    federate,
    load,
)
from ..models import MODELS, SignGuardCNN, build_model
from .adaptive import FedAdagrad, FedAdam, FedAvgM, FedYogi
from .backends import Backend, Loop
from .checkpoint import CheckpointError
from .engine import Simulation
from .locking import LockedError
from .record import Record
from .server import Server, ServerSGD

__all__ = [
    "IID",
    "MODELS",
    "PARTITIONS",
    "Backend",
    "CheckpointError",
    "DataError",
    "Dataset",
    "Degree",
    "Dirichlet",
    "FeatureSkew",
    "FedAdagrad",
    "FedAdam",
    "FedAvgM",
    "FedYogi",
    "FederatedData",
    "KClasses",
    "LockedError",
    "Loop",
    "Natural",
    "Partition",
    "QuantitySkew",
    "Record",
    "SFraction",
    "Server",
    "ServerSGD",
    "Shards",
    "SignGuardCNN",
    "Simulation",
    "Split",
    "build_model",
    "federate",
    "load",
]
