"""Robust aggregation in a Flower federation: fedward's rules between real nodes and their model.

Needs the extra: ``pip install 'fedward[flower]'``.
"""

try:
    import flwr as _flwr  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("fedward.flower needs Flower: pip install 'fedward[flower]'", name="flwr") from error

from ..sim.locking import LockedError
from .algorithms import siren_mod, train_with
from .answers import Fault
from .audit import Audit, Verdict
from .fedavg import RobustFedAvg
from .mods import momentum_mod, name_mod
from .screened import Screened
from .skips import SkippedError
from .strategy import Robust

__all__ = [
    "Audit",
    "Fault",
    "LockedError",
    "Robust",
    "RobustFedAvg",
    "Screened",
    "SkippedError",
    "Verdict",
    "momentum_mod",
    "name_mod",
    "siren_mod",
    "train_with",
]
