"""Simulation of federated training, some clients malicious, on one machine."""

from .backends import Backend, Loop
from .checkpoint import CheckpointError
from .data import DataError, Dataset, FederatedData, Split, federate, load
from .engine import Simulation
from .models import MODELS, SignGuardCNN, build_model
from .partition import IID, PARTITIONS, Degree, Dirichlet, KClasses, Partition, SFraction
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
