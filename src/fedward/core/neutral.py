"""Guards: what is remembered is finite and nobody else's, and decisions are the same, wherever they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_AUTOCAST = tuple(kind for kind in ("cpu", "cuda", "xpu", "mps") if torch.amp.is_autocast_available(kind))


@contextmanager
def neutral() -> Iterator[None]:
    """Without autocast, which rounds products of float32 rows to bfloat16 or float16, or a default device.

    Both are there for networks. A decision on client updates does not change with the region that it is asked for in,
    and what it is made from (`norms`, `gram`) is on the CPU whatever device the rows are on.
    """
    with ExitStack() as stack:
        # Asked of a tensor: `torch.get_default_device` of PyTorch 2.4 does not know of ``with torch.device(...):``.
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in _AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
