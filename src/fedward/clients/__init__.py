"""Client algorithms: what an honest client computes and sends, the same in the simulator and on a real client."""

from .augment import Augment
from .base import Answer, Client, Samples, Shard, Task, carry_out
from .drift import FedProx, Scaffold
from .local import Gradient, LocalSGD
from .model import LocalModel, Setup
from .momentum import ClassMomentum, WorkerMomentum
from .siren import Siren
from .tally import Tally

__all__ = [
    "Answer",
    "Augment",
    "ClassMomentum",
    "Client",
    "FedProx",
    "Gradient",
    "LocalModel",
    "LocalSGD",
    "Samples",
    "Scaffold",
    "Setup",
    "Shard",
    "Siren",
    "Tally",
    "Task",
    "WorkerMomentum",
    "carry_out",
]
