"""Client algorithms: what an honest client computes and sends, the same in the simulator and on a real client."""

from .base import Answer, Client, Samples, Shard, Task, carry_out
from .local import Gradient, LocalSGD
from .model import LocalModel
from .momentum import ClassMomentum, WorkerMomentum
from .siren import Siren
from .tally import Tally

__all__ = [
    "Answer",
    "ClassMomentum",
    "Client",
    "Gradient",
    "LocalModel",
    "LocalSGD",
    "Samples",
    "Shard",
    "Siren",
    "Tally",
    "Task",
    "WorkerMomentum",
    "carry_out",
]
