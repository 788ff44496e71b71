"""Robust aggregation in a Flower federation: fedward's rules between real nodes and their model.

Needs Flower: ``pip install 'flwr[simulation]'``, or the extra, ``pip install '.[flower]'`` in a clone.
"""

try:
    import flwr as _flwr  # noqa: F401
except ModuleNotFoundError as error:
    from ..failures import install as _install

    raise ModuleNotFoundError(f"fedward.flower needs Flower: {_install('flower')}", name="flwr") from error

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
