"""Guards: what is remembered is finite and nobody else's, and decisions are the same, wherever they are asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from ..registry.component import Component, components_within
from .context import Context

_NUMPY: Any = np.random
"""Its stubs know of no bit generators."""
_SPARE: list[np.random.MT19937] = []
"""Bit generators that nobody draws from now: to make one takes as long as a small decision."""
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


@contextmanager
def drawing(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """What is drawn from the global generators of PyTorch, NumPy and `random` follows from the seed.

    Afterwards these are as they were. Threads share them: it holds as long as no other one draws meanwhile.

    Args:
        seed: at least 0.
        device: whose generator is meant besides that of the CPU.
    """
    on = torch.device(device)
    cuda = [on] if on.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), _numpy_drawing(seed), _python_drawing(seed):
        torch.default_generator.manual_seed(seed)
        for one in cuda:
            with torch.cuda.device(one):  # which need not be the current one
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def _numpy_drawing(seed: int) -> Iterator[None]:
    """With another bit generator in the place of the one that is there: to save and load a state takes far longer."""
    before, state = _NUMPY.get_bit_generator(), np.random.get_state(legacy=False)
    try:
        meanwhile = _SPARE.pop()
    except IndexError:  # none, or another thread was faster
        meanwhile = np.random.MT19937()
    _NUMPY.set_bit_generator(meanwhile)
    try:
        np.random.seed(seed & 0xFFFFFFFF)
        yield
    finally:
        if _NUMPY.get_bit_generator() is meanwhile:  # else another thread has it to put back, and it is no spare one
            _SPARE.append(meanwhile)
        _NUMPY.set_bit_generator(before)
        if state.get("has_gauss"):  # the other of a pair of normal numbers, which is nowhere else
            np.random.set_state(state)


@contextmanager
def _python_drawing(seed: int) -> Iterator[None]:
    before = random.getstate()
    try:
        random.seed(seed)
        yield
    finally:
        random.setstate(before)


def reproducible(component: Component, context: Context, device: torch.device) -> AbstractContextManager[None]:
    """For asking a component: where it is, or has a part, of somebody else's class, `drawing` by the context.

    Those of fedward draw from the context's own generators, and are not to wait for that.
    """
    if all(type(part).__module__.startswith("fedward.") for part in components_within(component)):
        return nullcontext()
    return drawing(context.draw_seed("global generators"), device)
