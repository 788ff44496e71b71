"""What the numbers depend on."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fedward.experiments.versions import versions


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", file.read_text()) if file.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    """Size of each cache that the first core sees, by name: L1 Data, L2 Unified."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        found[f"L{level} {kind}"] = size
    return found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes that the machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


SAME_MACHINE = ("processor", "cores", "threads")
"""What must be the same for figures of two runs to stand in one table."""


def require_same(before: dict[str, Any], now: dict[str, Any], keys: Iterable[str]) -> None:
    """Raise SystemExit if figures measured now are no part of the same table as those measured before."""
    for key in keys:
        if before[key] != now[key]:
            raise SystemExit(f"{key} was {before[key]}, is {now[key]}: measure everything anew")


def made_by(on: dict[str, Any]) -> dict[str, Any]:
    """What a line has to say that was measured apart from the others, out of `machine`."""
    return {key: on[key] for key in ("processor", "threads", "date", "commit", "code")}


def machine(threads: int) -> dict[str, Any]:
    """Processor, memory, versions, date and commit."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "caches": _caches(),
        "memory_gib": round(memory() / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        **versions(),
    }
