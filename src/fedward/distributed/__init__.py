"""Aggregation by several processes together, over `torch.distributed`."""

from .columns import Columns
from .hook import RobustHook, robust_hook
from .peers import PeerError, Peers
from .reduce import robust_all_reduce
from .sharded import Sharded

__all__ = [
    "Columns",
    "PeerError",
    "Peers",
    "RobustHook",
    "Sharded",
    "robust_all_reduce",
    "robust_hook",
]
