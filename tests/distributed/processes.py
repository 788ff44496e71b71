"""Processes on this machine that talk over gloo, and what each of them made of some work."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import torch
import torch.distributed as dist

_CONTEXT = multiprocessing.get_context("forkserver")
# Loaded once, and not once for each process.
_CONTEXT.set_forkserver_preload(["fedward.testing", "fedward.distributed", "torch.distributed.device_mesh"])


def spread(work: Callable[..., Any], size: int, *arguments: Any, silence: float = 60, most: float = 300) -> list[Any]:
    """What ``work(rank, *arguments)`` returns, or the error that it raises, in each of so many processes.

    Args:
        work: a function of a module.
        size: how many processes.
        arguments: for all of them.
        silence: seconds after which processes give up a silent one.
        most: seconds after which they are stopped.
    """
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            _CONTEXT.Process(target=_process, args=(work, rank, size, folder, silence, arguments), daemon=True)
            for rank in range(size)
        ]
        for process in processes:
            process.start()
        until = monotonic() + most
        for process in processes:
            process.join(max(until - monotonic(), 0))
        late = [process for process in processes if process.is_alive()]
        for process in late:
            process.kill()
        assert not late, f"{len(late)} of {size} processes did not end"
        found = [Path(folder, str(rank)) for rank in range(size)]
        return [pickle.loads(path.read_bytes()) if path.exists() else None for path in found]


def _process(
    work: Callable[..., Any], rank: int, size: int, folder: str, silence: float, arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(f"{folder}/store", size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=silence))
    try:
        outcome = work(rank, *arguments)
    except Exception as error:
        outcome = error.with_traceback(None)
    Path(folder, str(rank)).write_bytes(pickle.dumps(outcome))
    if isinstance(outcome, Exception):
        os._exit(1)  # whoever waits for it must not keep it
    dist.destroy_process_group()
