"""Simulation of federated training, some clients malicious, on one machine."""

from ..data.dataset import Dataset, FederatedData, Split, federate
from ..data.partition import IID, PARTITIONS, Degree, Dirichlet, KClasses, Partition, SFraction
from ..data.sources import DataError, load
from ..models.images import MODELS, SignGuardCNN, build_model
from .backends import Backend, Loop
from .checkpoint import CheckpointError
from .engine import Simulation
from .record import Record
from .server import ServerSGD

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
    "FederatedData",
    "KClasses",
    "Loop",
    "Partition",
    "Record",
    "SFraction",
    "ServerSGD",
    "SignGuardCNN",
    "Simulation",
    "Split",
    "build_model",
    "federate",
    "load",
]
